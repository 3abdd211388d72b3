import pytest

from sidecar._native.core import WorkerCore
from sidecar._native.ledger import SAMPLED_OUT, page_bytes
from sidecar._native.sample import HIGH, LOW, NORMAL, probability_to_threshold, sample
from sidecar._native.scan import Tick, scan
from sidecar.model import OnLimit, Priority, Signal
from sidecar.pipeline.sampler import CAUSES, CLASSES, SIGNALS, Sampler
from sidecar.sampling.plan import Cause, Limit, SamplingPlan, ServiceRate, Shed
from tests.kernels.otlp import OWNER_NONE, TRACES
from tests.kernels.spans import request, resource
from tests.kernels.wire import field

HALF, TENTH = probability_to_threshold(0.5), probability_to_threshold(0.1)


def span(rand: int) -> bytes:
    return field(1, b"\xaa" * 9 + rand.to_bytes(7))


def body(service: str, *shares: float) -> bytes:
    """Spans that rates from these on keep."""
    return request(*[span(min(round((1 - share) * 2**56), 2**56 - 1)) for share in shares], resource=resource(service))


def judged(core: WorkerCore, sampler: Sampler, *bodies: bytes) -> list[list[bool]]:
    """What is kept of each request of a tick, its services being met as a worker meets them."""
    core.on_services(sampler.meet)
    tick = Tick.of(TRACES, bodies, core)
    scan(tick, 1 << 40)
    sample(tick, sampler.table)
    items = tick.items()
    return [[item.owner == OWNER_NONE for item in items[doc.item0 :][: doc.items]] for doc in tick.docs()]


@pytest.fixture
def core() -> WorkerCore:
    return WorkerCore(bytearray(page_bytes()), bytearray(16))


def test_names_of_the_kernels() -> None:
    assert tuple(CAUSES) == tuple(SAMPLED_OUT) == tuple(Cause)
    assert CLASSES == {Priority.HIGH: HIGH, Priority.NORMAL: NORMAL, Priority.LOW: LOW}
    assert SIGNALS[Signal.TRACES] == TRACES


def test_the_first_span_of_a_service_obeys(core: WorkerCore) -> None:
    """By name and by pattern, the exact name first, then patterns in their order."""
    plan = SamplingPlan(
        rate=0.5,
        services={"batch-vip": ServiceRate(1.0)},
        patterns=(("batch-*", ServiceRate(0.1)), ("*", ServiceRate(0.25))),
    )
    kept = judged(core, Sampler(plan), *[body(name, 0.7, 0.3, 0.2, 0.05) for name in ("batch-vip", "batch-1", "cart")])
    assert kept == [[True] * 4, [False, False, False, True], [False, False, True, True]]


def test_services_that_nothing_fits_have_the_default(core: WorkerCore) -> None:
    sampler = Sampler(SamplingPlan(rate=0.5, priority=Priority.LOW, services={"cart": ServiceRate(0.1)}))
    judged(core, sampler, body("cart"), body("shop"))
    names = core.services()
    assert sampler.table.rule(names.index("cart")) == (TENTH, NORMAL, 0)
    assert sampler.table.rule(names.index("shop")) == sampler.table.rule(0) == (HALF, LOW, 0)


def test_another_policy_decides_about_services_that_are_known(core: WorkerCore) -> None:
    judged(core, Sampler(SamplingPlan()), body("cart", 0.3))
    later = Sampler(SamplingPlan(services={"cart": ServiceRate(0.1, Priority.HIGH, Cause.LIMIT)}))
    later.meet(0, core.services())
    assert judged(core, later, body("cart", 0.3)) == [[False]]
    assert later.table.rule(core.services().index("cart")) == (TENTH, HIGH, CAUSES[Cause.LIMIT])


def test_priorities_are_shed_apart(core: WorkerCore) -> None:
    services = {str(priority): ServiceRate(1.0, priority) for priority in Priority}
    plan = SamplingPlan(services=services, shed=Shed(low=0.01, normal=0.1, high=0.5, errors=1.0))
    bad = request(span(0) + field(15, field(3, 2)), resource=resource("low"))
    kept = judged(core, Sampler(plan), *[body(name, 0.6, 0.3, 0.05) for name in ("high", "normal", "low")], bad)
    assert kept == [[False, True, True], [False, False, True], [False, False, False], [True]]


def test_a_worker_has_its_share_of_the_limits(core: WorkerCore) -> None:
    limit = Limit(per_s=4000, burst=400, service_per_s=400, service_burst=40)
    sampler = Sampler(SamplingPlan(limit=limit), workers=4)
    judged(core, sampler, body("cart", 0.5))
    assert sampler.table.levels(core.services().index("cart")) == (99, 9), "one has been kept"


def test_limits_go_on_with_the_next_policy(core: WorkerCore) -> None:
    plan = SamplingPlan(limit=Limit(per_s=100, burst=10))
    former = Sampler(plan)
    judged(core, former, body("cart", *[0.5] * 8))
    assert Sampler(plan, 1, former).table.levels() == former.table.levels() == (2, 0)
    assert Sampler(SamplingPlan(), 1, former).table.levels() is None


def test_refusing_is_for_limits_alone(core: WorkerCore) -> None:
    sampler = Sampler(SamplingPlan(limit=Limit(per_s=10, burst=10, on_limit=OnLimit.REFUSE)))
    assert judged(core, sampler, body("cart", *[0.5] * 30), body("cart", 0.5)) == [[True] * 30, [False]]
    assert judged(core, Sampler(SamplingPlan(limit=Limit(on_limit=OnLimit.REFUSE))), body("cart", 0.5)) == [[True]]


def test_a_thousand_names_and_the_rest(core: WorkerCore) -> None:
    sampler = Sampler(SamplingPlan(rate=0.5, patterns=(("s*", ServiceRate(1.0)),)))
    judged(core, sampler, *[body(f"s{i}") for i in range(1200)])
    assert len(core.services()) == 1001
    assert sampler.table.rule(1000) == (0, NORMAL, 0)
    assert judged(core, sampler, body("s1199", 0.7)) == [[False]], "it has no name here, and so the default"
