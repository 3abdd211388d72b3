from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar._native.rendezvous import MEMBERS_MAX
from sidecar.config.load import Inputs, load
from sidecar.config.rules import Rule, rule
from sidecar.config.schema import GatewayConfig
from sidecar.config.validate import ADVICE, BACKENDS_MAX, RULES
from sidecar.errors import ConfigInvalid, Problem
from sidecar.model import MemberSource
from tests.config.files import lines, loaded, problems, written

BROKEN = [
    ("listen: []", "listen", "is empty"),
    ("listen: [a:1, a:1]", "listen[1]", "which listen[0] has already"),
    ("listen: 127.0.0.1:13133", "admin.listen", "which listen[0] has already"),
    ("listen: a:1\nbackends: [a:1]", "backends[0].address", "send to itself"),
    ("backends: [a:1, b:1, a:1]", "backends[2].address", "is that of backends[0]"),
    ("backends: ['a:1,name=x', 'A:1,name=y']", "backends[1].address", "is that of backends[0]"),
    (f"backends: [{', '.join(f'a:{port}' for port in range(1, 1026))}]", "backends", "there can be 1024"),
    ("backends: ['a:1,name=x', 'b:1,name=x']", "backends[1].name", "is that of backends[0]"),
    ("backends: ['a:1,weight=0', 'b:1,weight=0']", "backends", "all have weight 0"),
    ("routing: {strategy: round_robin, ownership: trace}", "routing.ownership", "cannot be trace"),
    ("routing: {ownership: none}", "routing.ownership", "cannot be none"),
    ("routing: {strategy: intelligent, load_weight: 0, latency_weight: 0}", "routing.load_weight", "one must count"),
    ("delivery: {backoff: {initial: 20s}}", "delivery.backoff.initial", "longer than delivery.backoff.max"),
    ("batch: {max_wait: 5s}", "batch.max_wait", "not shorter than delivery.max_wait"),
    ("batch: {max_wait: 1ms, pacing: 2ms}", "batch.pacing", "longer than batch.max_wait"),
    ("limits: {backend_queue_bytes: 1MiB}", "limits.backend_queue_bytes", "smaller than batch.max_bytes"),
    ("limits: {memory_bytes: 1MiB}", "limits.message_bytes", "larger than limits.memory_bytes"),
    ("shutdown: {unready_for: 30s}", "shutdown.unready_for", "longer than shutdown.drain_timeout"),
    ("coordination: {store: etcd, endpoints: []}", "coordination.endpoints", "is empty"),
    ("coordination: {store: etcd, endpoints: [a:1, b:1, A:1]}", "coordination.endpoints[2]", "endpoints[0]"),
    ("coordination: {username: a}", "coordination.username", "has no coordination.password"),
    ("coordination: {password: a}", "coordination.password", "has no coordination.username"),
    ("coordination: {cert_file: a, ca_file: b}", "coordination.cert_file", "has no coordination.key_file"),
    ("coordination: {key_file: a, ca_file: b}", "coordination.key_file", "has no coordination.cert_file"),
    ("coordination: {key_file: a, cert_file: b}", "coordination.cert_file", "ca_file is empty"),
    ("admin: {grpc: {listen: a:1, cert_file: b, key_file: c}}", "admin.grpc.token", "needed with admin.grpc.listen"),
    ("admin: {grpc: {listen: a:1, token: b, key_file: c}}", "admin.grpc.cert_file", "needed with admin.grpc.listen"),
    ("coordination: {announce_every: 15s}", "coordination.announce_every", "not shorter than coordination.lease_ttl"),
    ("coordination: {lease_ttl: 4s}", "coordination.lease_ttl", "not longer than coordination.timeout"),
    ("collector: {endpoint: 127.0.0.1:4317}", "collector.endpoint", "where this gateway listens"),
    ("advertise: a:1\ncollector: {endpoint: a:1}", "collector.endpoint", "where this gateway listens"),
    ("collector: {health_url: http://a/}", "collector.health_url", "is that of no collector"),
    (
        "collector: {endpoint: 'a:1', checks: [tcp, 'queue:0.9']}",
        "collector.checks[1]",
        "collector.metrics_url is empty",
    ),
]
UNWISE = [
    ("routing: {strategy: round_robin}\nbackends: [a:1, b:1]", "routing.strategy", "several backends"),
    ("routing: {strategy: least_connections}\nbackends: [a:1, 'b:1,weight=2']", "backends", "does not look at"),
    ("delivery: {ack: queued}", "delivery.ack", "a crash loses it"),
    ("admin: {listen: 0.0.0.0:13133}", "admin.listen", "from outside"),
    ("backends: ['a:1,max_message_bytes=1MiB']", "backends[0].max_message_bytes", "smaller than batch.max_bytes"),
    ("routing: {members: registry}", "routing.members", "nobody registers"),
    ("routing: {members: registry}\nbackends: [a:1]", "backends", "are not used"),
    ("coordination: {endpoints: [a:1]}", "coordination.endpoints", "are not used"),
    ("coordination: {username: a, password: b}", "coordination.password", "in the clear"),
]


@pytest.mark.parametrize(("text", "path", "complaint"), BROKEN)
def test_a_broken_rule_refuses(tmp_path: Path, text: str, path: str, complaint: str) -> None:
    (problem,) = problems(written(tmp_path, text + "\n"))
    assert problem.path == path
    assert complaint in problem.message


@pytest.mark.parametrize("each", RULES, ids=lambda each: each.check.__name__)
def test_every_rule_is_broken_once(tmp_path: Path, each: Rule[GatewayConfig]) -> None:
    others = [other for other in RULES if other is not each]
    assert any(passes(written(tmp_path, text + "\n"), others) for text, _, _ in BROKEN)


@pytest.mark.parametrize("each", ADVICE, ids=lambda each: each.check.__name__)
def test_every_advice_is_given_once(tmp_path: Path, each: Rule[GatewayConfig]) -> None:
    others = [other for other in ADVICE if other is not each]
    files = (Inputs(written(tmp_path, text + "\n")) for text, _, _ in UNWISE)
    assert any(len(load(inputs).warnings) > len(load(inputs, advice=others).warnings) for inputs in files)


def passes(file: Path, rules: list[Rule[GatewayConfig]]) -> bool:
    try:
        load(Inputs(file), rules)
    except ConfigInvalid:
        return False
    return True


@pytest.mark.parametrize(("text", "path", "complaint"), UNWISE)
def test_advice_is_given_and_refuses_nothing(tmp_path: Path, text: str, path: str, complaint: str) -> None:
    found = {warning.path: warning for warning in loaded(tmp_path, text + "\n").warnings}
    assert complaint in found[path].message
    assert found[path].source.endswith("spangate.yaml")


def test_one_backend_splits_no_trace(tmp_path: Path) -> None:
    assert loaded(tmp_path, "routing: {strategy: round_robin}\nbackends: [a:1]\n").warnings == ()


def test_a_rule_has_the_line_of_what_it_blames(tmp_path: Path) -> None:
    text = """
        backends:
          - address: a:1
          - address: a:1
        batch:
          max_items: 1
          max_wait: 1h
    """
    assert lines(problems(written(tmp_path, text))) == {"backends[1].address": 3, "batch.max_wait": 6}


def test_rules_are_told_beside_other_problems(tmp_path: Path) -> None:
    text = "backends: ['a:1,weight=x', a:1]\nworkers: 0\n"
    assert {p.path for p in problems(written(tmp_path, text))} == {
        "backends[0].weight",
        "backends[1].address",
        "workers",
    }


def test_a_rule_is_silent_about_what_has_a_problem_already(tmp_path: Path) -> None:
    """The default stands in for what cannot be read: no rule may blame it."""
    assert [p.path for p in problems(written(tmp_path, "batch: {max_wait: soon}\ndelivery: {max_wait: 100ms}\n"))] == [
        "batch.max_wait"
    ]


def test_a_rule_is_silent_about_a_list_that_lacks_a_section(tmp_path: Path) -> None:
    """The third of these would be blamed as the second."""
    text = "backends: ['weight=1', 'a:1,name=x', 'b:1,name=x']\n"
    assert [p.path for p in problems(written(tmp_path, text))] == ["backends[0].address"]


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("workers: 1", MemberSource.STATIC),
        ("backends: [a:1]", MemberSource.STATIC),
        ("coordination: {store: etcd}", MemberSource.REGISTRY),
        ("coordination: {store: etcd}\nbackends: [a:1]", MemberSource.STATIC),
        ("collector: {endpoint: a:1}", MemberSource.REGISTRY),
        ("collector: {endpoint: a:1}\nbackends: [a:1]", MemberSource.STATIC),
        ("routing: {members: registry}\nbackends: [a:1]", MemberSource.REGISTRY),
    ],
)
def test_where_members_come_from(tmp_path: Path, text: str, members: MemberSource) -> None:
    config = loaded(tmp_path, text + "\n").config
    assert config.routing.members is members
    assert config.needs_backends is (text == "workers: 1")


def test_rules_from_above_are_handed_in() -> None:
    @rule("sampling.rate")
    def never_all(config: GatewayConfig) -> Iterator[Problem]:
        if config.sampling.rate == 1:
            yield Problem("sampling.rate", "is 1")

    with pytest.raises(ConfigInvalid, match=r"sampling\.rate: is 1"):
        load(Inputs(), rules=(*RULES, never_all))
    load(Inputs(flags={"sampling.rate": "0.5"}), rules=(*RULES, never_all))


def test_there_can_be_as_many_backends_as_the_tables_have_room_for() -> None:
    assert BACKENDS_MAX == MEMBERS_MAX
