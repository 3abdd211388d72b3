import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import meaning
from sidecar.config.fleet import FleetSections, GlobalConfig, RateLimitingConfig
from sidecar.config.fleet_file import read_fleet, write_fleet
from sidecar.errors import ConfigInvalid
from tests.config.fleets import globals_, locals_

BAD = {
    "global": [
        ({"sampling_rate": 2}, "global.sampling_rate: must be from 0 to 1, not 2"),
        ({"sampling_rate": "0.1"}, "does not read: Expected `float | null`, got `str`"),
        ({"sampling_rte": 0.1}, "does not read: Object contains unknown field `sampling_rte`"),
        ({"sampling_strategies": [{"type": "adaptive"}]}, "needs target_qps"),
        ({"sampling_strategies": [{"type": "magic"}]}, "does not read: Invalid enum value 'magic'"),
        ({"rate_limiting": {"burst_size": -1}}, "global.rate_limiting.burst_size: must be from 0"),
        ({"degradation": {"min_hold": 1e9}}, "global.degradation.min_hold: must be from"),
        ({"routing_rules": [{"service": "", "target_region": "eu"}]}, "global.routing_rules[0].service: must be print"),
        ({"routing_rules": [{"service": "a", "target_region": "../x"}]}, "global.routing_rules[0].target_region"),
        ({"degradation": {"threshold": 0.2}}, "global.degradation.recovery_threshold"),
        ({"version": -1}, "global.version: must be from"),
    ],
    "local": [
        ({"buffer_size": 0}, "local.buffer_size: must be from"),
        ({"local_routing_preference": ["a", "a"]}, "local.local_routing_preference[1]: is 'a'"),
        ({"local_routing_preference": [" "]}, "local.local_routing_preference[0]: must be at most"),
        ({"batch_config": {"max_wait": -1}}, "local.batch_config.max_wait: must be from"),
        ({"retry_policy": {"initial_backoff": 20}}, "local.retry_policy.initial_backoff: is longer"),
    ],
}


@given(globals_(), st.none() | locals_())
def test_it_means_what_the_text_means(everywhere: GlobalConfig, local: object) -> None:
    sections = FleetSections(everywhere=everywhere, local=local)  # type: ignore[arg-type]
    if sections == FleetSections():
        return
    assert meaning.read(meaning.write(sections), "x") == sections
    assert (
        meaning.read(meaning.write(read_fleet(write_fleet(everywhere, sections.local), "x").sections), "x") == sections
    )


def test_what_is_left_away_stays_so() -> None:
    """A reader of another version has his own defaults, and knows no setting that nobody wrote."""
    sections = read_fleet("global: {rate_limiting: {max_qps: 5}}", "x").sections
    assert meaning.write(sections) == b'{"global":{"rate_limiting":{"max_qps":5.0}}}'
    assert meaning.read(meaning.write(sections), "x").everywhere == GlobalConfig(
        rate_limiting=RateLimitingConfig(max_qps=5.0)
    )


@pytest.mark.parametrize(
    ("scope", "told", "problem"), [(scope, told, problem) for scope, cases in BAD.items() for told, problem in cases]
)
def test_nothing_in_it_is_trusted(scope: str, told: object, problem: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        meaning.read(msgspec.json.encode({scope: told}), "global v3")
    assert any(problem in str(one) for one in refused.value.problems), refused.value.problems
    assert all(one.source == "global v3" for one in refused.value.problems)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"{}", b"[" * 100_000, b'{"global": {"sampling_rate": 1e999}}']
)
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigInvalid):
        meaning.read(data, "x")
