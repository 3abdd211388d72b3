from collections.abc import Mapping

from sidecar.config.schema import RoutingConfig
from sidecar.model import RoutingStrategy
from sidecar.routing.intelligent import Observed
from sidecar.supervisor.weights import LiveWeights
from tests.policy.policies import members

ROUTING = RoutingConfig(strategy=RoutingStrategy.INTELLIGENT, dead_band=0.2)
THREE = members(3)


def loads(**of: float) -> Mapping[str, Observed]:
    return {name: Observed(load=load, latency_ms=1.0) for name, load in of.items()}


def weights(live: LiveWeights) -> list[float]:
    return [member.weight for member in live.apply(THREE)]


CONFIGURED = [member.weight for member in THREE]


def test_until_something_is_known_weights_are_as_configured() -> None:
    live = LiveWeights()
    assert weights(live) == CONFIGURED
    assert not live.observe({}, ROUTING)
    assert weights(live) == CONFIGURED


def test_equals_keep_their_weights() -> None:
    live = LiveWeights()
    assert not live.observe(loads(c0=0.3, c1=0.3, c2=0.3), ROUTING)
    assert weights(live) == CONFIGURED


def test_a_loaded_member_gets_less_and_the_others_more() -> None:
    live = LiveWeights()
    assert live.observe(loads(c0=1.0, c1=0.1, c2=0.1), ROUTING)
    factors = [now / before for now, before in zip(weights(live), CONFIGURED, strict=True)]
    assert factors[0] < 1 < factors[1] == factors[2]
    assert [member.name for member in live.apply(THREE)] == [member.name for member in THREE]
    assert [member.address for member in live.apply(THREE)] == [member.address for member in THREE]


def test_within_the_dead_band_nothing_changes() -> None:
    live = LiveWeights()
    live.observe(loads(c0=0.9, c1=0.1, c2=0.1), ROUTING)
    before = weights(live)
    assert not live.observe(loads(c0=0.88, c1=0.1, c2=0.12), ROUTING)
    assert weights(live) == before


def test_a_member_that_recovers_gets_its_weight_back() -> None:
    live = LiveWeights()
    live.observe(loads(c0=1.0, c1=0.1, c2=0.1), ROUTING)
    assert live.observe(loads(c0=0.1, c1=0.1, c2=0.1), ROUTING)
    assert weights(live) == CONFIGURED


def test_a_member_that_nothing_is_known_of_has_its_configured_weight() -> None:
    live = LiveWeights()
    live.observe(loads(c0=1.0, c1=0.1), ROUTING)
    assert weights(live)[2] == CONFIGURED[2]
