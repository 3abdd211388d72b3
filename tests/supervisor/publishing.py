"""A Publisher with workers and a gateway that only take notes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from sidecar.config.load import Sources
from sidecar.config.overlay import Overlay
from sidecar.config.schema import BackendConfig, GatewayConfig
from sidecar.control.guidance import Guidance
from sidecar.model import Endpoint
from sidecar.policy.policy import Policy
from sidecar.routing.intelligent import Observed as SeenMember
from sidecar.sampling.plan import Observed, Shed
from sidecar.supervisor.gateway import RunningGateway
from sidecar.supervisor.keeper import Keeper, Shelf
from sidecar.supervisor.publisher import Publisher
from sidecar.supervisor.senses import GatewaySenses


class FakeKeeper:
    """A worker that takes what is on the shelf when it is told to `obey`."""

    def __init__(self, shelf: Shelf) -> None:
        self.alive = True
        self.generation = 0
        self.told: list[int] = []
        self._shelf = shelf

    def use(self) -> None:
        self.told.append(self._shelf.generation)

    def obey(self) -> None:
        self.generation = self._shelf.generation


class FakeGateway:
    """What is in force, as the admin would show it."""

    def __init__(self) -> None:
        self.config: GatewayConfig | None = None
        self.policy: Policy | None = None
        self.said_by: Mapping[str, str] = {}
        self.loads: dict[str, SeenMember] = {}

    def use(self, config: GatewayConfig, sources: Sources, policy: Policy, said_by: Mapping[str, str]) -> None:
        self.config, self.policy, self.said_by = config, policy, said_by

    def backend_loads(self) -> Mapping[str, SeenMember]:
        return self.loads


class FakeSenses:
    """A load."""

    def __init__(self, shed: Shed = Shed(), observed: Observed | None = None) -> None:  # noqa: B008  a frozen value
        self.shed = shed
        self._observed = observed or {}

    def observed(self) -> Observed:
        return self._observed


class Bench:
    """A Publisher, and all that it acts on."""

    def __init__(self, config: GatewayConfig | None = None, workers: int = 2) -> None:
        backend = BackendConfig(address=Endpoint("a.example", 4317), name="a")
        self.config = config or GatewayConfig(region="eu", backends=(backend,))
        self.shelf = Shelf()
        self.keepers = [FakeKeeper(self.shelf) for _ in range(workers)]
        self.gateway = FakeGateway()
        self.applied: list[Guidance] = []
        self.publisher = Publisher(
            self.config,
            Sources(),
            keepers=cast("list[Keeper]", self.keepers),
            on_shelf=self.shelf,
            gateway=cast("RunningGateway", self.gateway),
            overlay=Overlay(),
            applied=self.applied.append,
        )

    @property
    def policy(self) -> Policy:
        """In force."""
        assert self.publisher.policy is not None
        return self.publisher.policy

    def obey(self) -> None:
        for keeper in self.keepers:
            keeper.obey()

    async def guided(self, guidance: Guidance) -> None:
        """As the supervisor does."""
        self.publisher.guidance = guidance
        await self.publisher.publish()

    def shed_by(self, senses: FakeSenses, now_s: float) -> bool:
        return self.publisher.shed_by(cast("GatewaySenses", senses), now_s)
