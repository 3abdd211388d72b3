import pytest

from sidecar.config.fleet import RateLimitingConfig
from sidecar.model import OnLimit
from sidecar.sampling.limit import share_of, share_of_limits
from sidecar.sampling.plan import Limit


def test_a_share_is_by_what_is_received() -> None:
    assert share_of(25.0, 100.0, 7) == 0.25
    assert share_of(250.0, 100.0, 7) == 1.0


@pytest.mark.parametrize(("gateways", "share"), [(4, 0.25), (0, 1.0)])
def test_while_nothing_is_known_shares_are_equal(gateways: int, share: float) -> None:
    assert share_of(10.0, 0.0, gateways) == share


def test_the_buckets_of_one_gateway() -> None:
    limits = RateLimitingConfig(max_qps=1000.0, burst_size=100.0, per_service_limit=50.0, on_limit=OnLimit.REFUSE)
    assert share_of_limits(limits, 0.25) == Limit(
        per_s=250.0, burst=25.0, service_per_s=50.0, service_burst=100.0, on_limit=OnLimit.REFUSE
    )
    assert share_of_limits(limits, 0.25, 0.5).service_per_s == 25.0


def test_no_limit_is_none() -> None:
    assert share_of_limits(None, 0.5) == Limit()
    assert share_of_limits(RateLimitingConfig(burst_size=0.0), 0.5) == Limit()


def test_a_share_of_nothing_is_not_without_limit() -> None:
    limit = share_of_limits(RateLimitingConfig(max_qps=1000.0, per_service_limit=10.0), 0.0, 0.0)
    assert 0 < limit.per_s < 0.01
    assert 0 < limit.service_per_s < 0.01
