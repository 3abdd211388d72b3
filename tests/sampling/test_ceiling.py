import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config.fleet import GlobalConfig, RateLimitingConfig
from sidecar.config.schema import SamplingConfig
from sidecar.model import Priority
from sidecar.sampling.ceiling import ceiling
from sidecar.sampling.plan import SamplingPlan, ServiceLoad, Shed
from sidecar.sampling.settle import plan_of
from sidecar.sampling.shed import kept_by_class
from tests.sampling.configs import adaptive, fixed, fleet, load, paced, pin, prioritised, routed

HIGH, LOW = Priority.HIGH, Priority.LOW
OWN = {"cart": load(600.0), "batch-1": load(400.0)}
ROUTES = (routed("batch-*", LOW),)


def plan(config: GlobalConfig, rate: float = 0.1) -> SamplingPlan:
    return plan_of(SamplingConfig(rate=rate), config, rate)


def assert_low_alone_is_halved(shed: Shed) -> None:
    assert shed.low == pytest.approx(0.5)
    assert (shed.normal, shed.high, shed.errors) == (1.0, 1.0, 1.0)


def test_without_anything_to_hold_nothing_is_shed() -> None:
    config = fleet(fixed(0.1))
    assert ceiling(config, plan(config), OWN, share=0.0) == Shed()


def test_a_gateway_within_its_share_sheds_nothing() -> None:
    config = fleet(adaptive(1000.0))
    assert ceiling(config, plan(config), OWN, share=0.1) == Shed()


def test_load_that_has_grown_is_shed_from_the_lowest_class() -> None:
    """100 are kept and 80 are its share: batch gives half of its 40."""
    config = fleet(adaptive(1000.0), routes=ROUTES)
    assert_low_alone_is_halved(ceiling(config, plan(config), OWN, share=0.08))


def test_the_hard_limit_of_all_is_shared_too() -> None:
    config = fleet(limits=RateLimitingConfig(max_qps=1000.0), routes=ROUTES)
    shed = ceiling(config, plan(config, 0.1), OWN, share=0.05)
    assert shed.low == pytest.approx(0.01)
    assert shed.normal == pytest.approx((50 - 0.4) / 60)


def test_a_budget_is_spent_evenly() -> None:
    """3.6 million an hour are 1,000 a second, 80 for this gateway."""
    config = fleet(fixed(0.1), paced(3.6e6), routes=ROUTES)
    assert_low_alone_is_halved(ceiling(config, plan(config), OWN, share=0.08))


def test_pinned_services_and_the_lower_bound_are_no_more_cut_than_the_leader_would() -> None:
    config = fleet(adaptive(100.0, 0.05), prioritised(pin(HIGH, 1.0, "payment")))
    own = {"payment": load(50.0), "cart": load(600.0)}
    shed = ceiling(config, plan(config), own, share=0.1)
    assert shed.normal == pytest.approx(0.5)
    assert (shed.high, shed.errors) == (1.0, 1.0)


def test_errors_go_last() -> None:
    config = fleet(limits=RateLimitingConfig(max_qps=100.0))
    own = {"cart": ServiceLoad(received=1000.0, errors=300.0)}
    shed = ceiling(config, plan(config), own, share=0.5)
    assert shed.normal == pytest.approx(20 / 70)
    assert shed.errors == 1.0


@given(
    st.dictionaries(st.sampled_from(["cart", "batch-1", "payment"]), st.floats(0, 1e6), max_size=3),
    st.floats(1.0, 1e6),
    st.floats(0, 1),
    st.floats(0, 1),
)
@settings(max_examples=200, deadline=None)
def test_no_more_is_kept_than_the_share(received: dict[str, float], limit: float, share: float, rate: float) -> None:
    config = fleet(prioritised(pin(HIGH, 1.0, "payment")), limits=RateLimitingConfig(max_qps=limit), routes=ROUTES)
    settled = plan(config, rate)
    own = {name: load(one) for name, one in received.items()}
    shed = ceiling(config, settled, own, share=share)
    left = sum(
        kept * part
        for kept, part in zip(kept_by_class(settled, own), (shed.low, shed.normal, shed.high, shed.errors), strict=True)
    )
    assert left <= limit * share * (1 + 1e-9) + 1e-6
