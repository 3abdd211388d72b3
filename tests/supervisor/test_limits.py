import resource
from collections.abc import Sequence

import pytest

from sidecar.config.schema import BackendConfig, GatewayConfig, LimitsConfig
from sidecar.errors import Exit, TooFewDescriptors
from sidecar.model import Endpoint
from sidecar.supervisor.limits import RESERVE, ensure_descriptors

INFINITE = resource.RLIM_INFINITY


class Limits:
    """Stands for the limit of this process."""

    def __init__(self, soft: int, hard: int) -> None:
        self.now = (soft, hard)
        self.set: list[tuple[int, int]] = []

    def getrlimit(self, _: int) -> tuple[int, int]:
        return self.now

    def setrlimit(self, _: int, limits: Sequence[int]) -> None:
        self.now = (limits[0], limits[1])
        self.set.append(self.now)


def config(connections: int, workers: int = 1, backends: int = 2) -> GatewayConfig:
    made = tuple(BackendConfig(address=Endpoint("host.example", 4317 + i)) for i in range(backends))
    return GatewayConfig(workers=workers, backends=made, limits=LimitsConfig(connections=connections))


def ensured(monkeypatch: pytest.MonkeyPatch, limits: Limits, wanted: GatewayConfig) -> list[tuple[int, int]]:
    """What has been set."""
    monkeypatch.setattr(resource, "getrlimit", limits.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", limits.setrlimit)
    ensure_descriptors(wanted)
    return limits.set


NEEDED = 1000 + 2 * 2 + RESERVE


@pytest.mark.parametrize("soft", [NEEDED, NEEDED + 1, 10**6, INFINITE])
def test_enough_is_left_alone(monkeypatch: pytest.MonkeyPatch, soft: int) -> None:
    assert ensured(monkeypatch, Limits(soft, INFINITE), config(1000)) == []


@pytest.mark.parametrize("hard", [NEEDED, 4096, INFINITE])
def test_the_soft_limit_is_raised_as_far_as_needed(monkeypatch: pytest.MonkeyPatch, hard: int) -> None:
    assert ensured(monkeypatch, Limits(256, hard), config(1000)) == [(NEEDED, hard)]


def test_connections_are_shared_by_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ensured(monkeypatch, Limits(1, INFINITE), config(1000, workers=4)) == [(250 + 4 + RESERVE, INFINITE)]


def test_backends_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ensured(monkeypatch, Limits(1, INFINITE), config(1, backends=50)) == [(101 + RESERVE, INFINITE)]


@pytest.mark.parametrize("soft", [256, NEEDED - 1])
def test_too_few(monkeypatch: pytest.MonkeyPatch, soft: int) -> None:
    limits = Limits(soft, NEEDED - 1)
    with pytest.raises(TooFewDescriptors, match=str(NEEDED)) as told:
        ensured(monkeypatch, limits, config(1000))
    assert told.value.exit_code is Exit.DESCRIPTORS
    assert limits.set == []
