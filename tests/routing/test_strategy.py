from collections import Counter

import pytest

from sidecar.model import Endpoint, Ownership, RoutingStrategy
from sidecar.ports import Member
from sidecar.routing.strategy import Mode, mode_of, routes
from sidecar.routing.view import View

VIEW = View(
    1,
    tuple(Member(f"c{i}", Endpoint("host", 4317 + i), weight) for i, weight in enumerate((1.0, 3.0, 0.0, 1.0))),
    frozenset({"c3"}),
)


@pytest.mark.parametrize(
    ("strategy", "ownership", "mode"),
    [
        (RoutingStrategy.CONSISTENT_HASH, Ownership.TRACE, Mode.OWNING),
        (RoutingStrategy.INTELLIGENT, Ownership.TRACE, Mode.OWNING),
        (RoutingStrategy.INTELLIGENT, Ownership.NONE, Mode.SEQUENCE),
        (RoutingStrategy.ROUND_ROBIN, Ownership.NONE, Mode.SEQUENCE),
        (RoutingStrategy.WEIGHTED_ROUND_ROBIN, Ownership.NONE, Mode.SEQUENCE),
        (RoutingStrategy.LEAST_CONNECTIONS, Ownership.NONE, Mode.LEAST),
    ],
)
def test_modes(strategy: RoutingStrategy, ownership: Ownership, mode: Mode) -> None:
    assert mode_of(strategy, ownership) is mode
    made = routes(strategy, ownership, VIEW)
    assert made.mode is mode
    assert (made.slots is not None) == (mode is Mode.OWNING)
    assert (len(made.sequence) == 0) == (mode is Mode.OWNING)


@pytest.mark.parametrize("strategy", RoutingStrategy)
def test_a_promise_that_cannot_be_kept_is_refused(strategy: RoutingStrategy) -> None:
    for ownership in set(Ownership) - set(strategy.ownerships):
        with pytest.raises(ValueError, match=f"{strategy} cannot have ownership {ownership}"):
            mode_of(strategy, ownership)


@pytest.mark.parametrize(
    ("strategy", "turns"),
    [
        (RoutingStrategy.ROUND_ROBIN, {0: 1, 1: 1}),
        (RoutingStrategy.WEIGHTED_ROUND_ROBIN, {0: 1, 1: 3}),
        (RoutingStrategy.LEAST_CONNECTIONS, {0: 1, 1: 1}),
        (RoutingStrategy.INTELLIGENT, {0: 1, 1: 3}),
    ],
)
def test_turns(strategy: RoutingStrategy, turns: dict[int, int]) -> None:
    assert Counter(routes(strategy, Ownership.NONE, VIEW).sequence) == turns


def test_owners_have_the_weights_of_the_view() -> None:
    made = routes(RoutingStrategy.CONSISTENT_HASH, Ownership.TRACE, VIEW)
    assert made.slots is not None
    counted = Counter(made.slots.primary)
    assert set(counted) == {0, 1}
    assert counted[1] / counted[0] == pytest.approx(3, rel=0.05)
