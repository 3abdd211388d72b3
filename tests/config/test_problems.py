"""Bad input: everything that is wrong is told at once, with the line where it stands and a hint where there is one."""

from pathlib import Path

import pytest

from tests.config.files import lines, problems, written


def test_all_problems_at_once(tmp_path: Path) -> None:
    text = """
        listen: http://127.0.0.1:4317
        workers: 0
        backends:
          - address: a:4317
            wieght: 2
          - {address: b, weight: -1}
          - weight: 3
          - c:4317,weight=heavy
        routing:
          strategy: consistent-hash
        sampling: 0.5
        delivery:
          ack: durable
          max_wait: 3 parsecs
        batch:
          max_bytes: [2MiB]
          max_items:
        max_items: 3
    """
    assert lines(problems(written(tmp_path, text))) == {
        "listen[0]": 1,
        "workers": 2,
        "backends[0].wieght": 5,
        "backends[1].address": 6,
        "backends[1].weight": 6,
        "backends[2].address": 7,
        "backends[3].weight": 8,
        "routing.strategy": 10,
        "sampling": 11,
        "delivery.ack": 13,
        "delivery.max_wait": 14,
        "batch.max_bytes": 16,
        "batch.max_items": 17,
        "max_items": 18,
    }


def test_problems_stand_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = problems(written(tmp_path, "workers: 0\nregoin: a\nlog: {level: loud}\nworkers: 1\n"))
    assert [problem.line for problem in found] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "path", "complaint", "hint"),
    [
        ("rooting: {}", "rooting", "is no setting", "did you mean routing?"),
        ("routing: {stratgy: round_robin}", "routing.stratgy", "is no setting", "did you mean strategy?"),
        ("delivery: {backoff: {initail: 1s}}", "delivery.backoff.initail", "is no setting", "did you mean initial?"),
        ("max_items: 3", "max_items", "is no setting", "did you mean batch.max_items?"),
        ("global: {}", "global", "is no setting", "that is for a fleet: `spangate config apply FILE`"),
        ("region: eu/1", "region", "must be at most 64 of A-Z", ""),
        ("id: .a", "id", "must be at most 128 of A-Z", ""),
        (
            "collector: {metrics_url: 'a:8888/m'}",
            "collector.metrics_url",
            "must be like http://HOST:PORT",
            "write the scheme: http://a:8888/m",
        ),
        (
            "collector: {metrics_url: 'ftp://a'}",
            "collector.metrics_url",
            "must be like",
            "there are http:// and https://",
        ),
        ("collector: {metrics_url: 'http://:1/'}", "collector.metrics_url", "must be like", "the host is missing"),
        ("collector: {metrics_url: 'http://a:x/'}", "collector.metrics_url", "must be like", "a port is a number"),
        ("collector: {metrics_url: 'http://a:0/'}", "collector.metrics_url", "must be like", "a port is a number"),
        ("collector: {metrics_url: 'http://u:p@a/'}", "collector.metrics_url", "has a user in it", ""),
        (
            "collector: {health_url: 'a:13133/'}",
            "collector.health_url",
            "begins with none of http",
            "for a page: http://a:13133/",
        ),
        ("collector: {health_url: 'tcp://a'}", "collector.health_url", "must be like tcp://HOST:PORT", "tcp alone"),
        ("collector: {checks: ['queue:2']}", "collector.checks[0]", "from 0 to 1", "as in queue:0.9"),
        (
            "collector: {checks: ['disk:data:0.9']}",
            "collector.checks[0]",
            "must be like disk:/",
            "a path from the root",
        ),
        ("coordination: {prefix: spangate}", "coordination.prefix", "must be like /spangate", ""),
        ("zzz: 1", "zzz", "is no setting", "there are: listen, "),
        ("routing: {strategy: random}", "routing.strategy", "must be one of consistent_hash, ", ""),
        ("log: {level: warn}", "log.level", "must be one of debug, ", "did you mean warning?"),
        ("log: {format: JSON}", "log.format", "must be one of text, json, not 'JSON'", "did you mean json?"),
        (
            "delivery: {ack: durable}",
            "delivery.ack",
            "'durable' is not available yet",
            "this version has forwarded, queued",
        ),
        ("sampling: {signals: [traces, metrics]}", "sampling.signals[1]", "must be one of traces, logs", ""),
        ("delivery: {max_wait: 3 parsecs}", "delivery.max_wait", "(unknown unit 'parsecs')", "write it as 200ms"),
        ("delivery: {max_wait: -1s}", "delivery.max_wait", "must be a duration", "write it as 200ms"),
        ("delivery: {max_wait: 1ms}", "delivery.max_wait", "must be from 10ms to 30d, not 1ms", ""),
        ("batch: {pacing: 1s}", "batch.pacing", "must be from 0s to 100ms, not 1s", ""),
        ("batch: {max_bytes: 2mb}", "batch.max_bytes", "(unknown unit 'mb')", "write it as 4MiB"),
        ("batch: {max_bytes: 10B}", "batch.max_bytes", "must be from 1KiB to", ""),
        ("workers: 1.5", "workers", "must be a whole number, not '1.5'", ""),
        ("workers: many", "workers", "must be a whole number, not 'many'", ""),
        ("workers: 99999999999999999999", "workers", "must be a whole number", ""),
        ("sampling: {rate: 10%}", "sampling.rate", "must be a number, not '10%'", ""),
        ("sampling: {rate: nan}", "sampling.rate", "must be a number, not 'nan'", ""),
        ("sampling: {rate: 1.01}", "sampling.rate", "must be from 0 to 1, not 1.01", ""),
        ("delivery: {may_duplicate_on_reset: maybe}", "delivery.may_duplicate_on_reset", "must be true or false", ""),
        ("workers:", "workers", "has no value", ""),
        ("workers: {n: 1}", "workers", "must be a single value, not a mapping", ""),
        ("batch: 3", "batch", "must be a mapping, not a single value", "its keys: max_bytes, "),
        ("batch: [3]", "batch", "must be a mapping, not a list", "its keys: max_bytes, "),
        ("listen: {a: 1}", "listen", "must be a list, not a mapping", ""),
        ("backends: {address: a:1}", "backends", "must be a list, not a mapping", "begin each with a dash"),
        ("backends: [{weight: 1}]", "backends[0].address", "is missing", ""),
        ("backends: [a:0]", "backends[0].address", "has port 0", ""),
        ("backends: [{address: a:1, headers: [b]}]", "backends[0].headers", "must be a mapping", "write NAME: VALUE"),
        ("backends: [{address: a:1, headers: {te: b}}]", "backends[0].headers.te", "the transport writes itself", ""),
        ("backends: [{address: a:1, headers: {grpc-x: b}}]", "backends[0].headers.grpc-x", "the transport writes", ""),
        ("backends: [{address: a:1, headers: {'a b': c}}]", "backends[0].headers.a b", "is no header name", ""),
        ("backends: [{address: a:1, headers: {A: b, a: c}}]", "backends[0].headers.a", "case makes no difference", ""),
        ("backends: [[a]]", "backends[0]", "must be a mapping, not a list", "its keys: address, "),
    ],
)
def test_a_problem_says_what_and_where(tmp_path: Path, text: str, path: str, complaint: str, hint: str) -> None:
    found = {problem.path: problem for problem in problems(written(tmp_path, f"# the file\n{text}\n"))}
    assert complaint in found[path].message
    assert found[path].hint.startswith(hint)
    assert found[path].line == 2
