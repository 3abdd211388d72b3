"""The gateway as a member of a fleet: the store, what is followed and announced, and what people ask of it."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.clock import SystemClock
from sidecar.config.fleet import FleetConfig, GlobalConfig
from sidecar.config.overlay import Overlay
from sidecar.config.schema import CoordinationConfig, GatewayConfig
from sidecar.control.best import Best, best, weighed
from sidecar.control.coordinator import Coordinator
from sidecar.control.desk import Desk
from sidecar.control.guidance import Guidance
from sidecar.control.records import ServiceInfo, TargetRecord
from sidecar.control.senses import Senses
from sidecar.control.topology import Topology, topology
from sidecar.coord.memory import MemoryStore
from sidecar.coord.mirror import MirrorState
from sidecar.model import Endpoint, Health, SamplingStrategy, StoreKind, release
from sidecar.sampling.plan import SamplingPlan
from sidecar.sampling.settle import plan_of
from sidecar.snapshot import FleetStatus, ScopeStatus

if TYPE_CHECKING:
    from sidecar.coord.store import Store

START_S = 2.0
"""How long a start waits for the store before it goes on with what is on disk."""


class Fleet:
    """One gateway's part in its fleet.

    `own` is the gateway's configuration, which a reload may replace; `effective` that with the fleet's word over it.
    `unkept` says why nothing can be kept in `folder`, if that is so: then nothing is tried.
    """

    def __init__(
        self,
        config: GatewayConfig,
        identity: str,
        listen: Endpoint,
        senses: Senses,
        folder: Path,
        *,
        overlay: Overlay,
        unkept: str = "",
        own: Callable[[], GatewayConfig],
        effective: Callable[[], GatewayConfig],
    ) -> None:
        self._clock = SystemClock()
        self._own, self._effective, self._overlay = own, effective, overlay
        self.who = described(config, identity, listen)
        self.store = opened(config.coordination, folder)
        self._kind = config.coordination.store
        self.coordinator = Coordinator(
            self.store,
            config.coordination,
            self.who,
            senses,
            routing=lambda: effective().routing,
            sampling=lambda: (self.coordinator.guidance.config.everywhere, own().sampling.rate),
            check=self._check,
            state_dir=folder,
            clock=self._clock,
            wall=self._clock,
            dice=random.Random(),
        )
        if unkept:
            self.coordinator.saver.give_up(unkept)
        self.desk = Desk(self.store, self.coordinator.keys, self.coordinator.session, identity=identity)

    async def start(self, changed: Callable[[Guidance], None]) -> Guidance:
        """Joins; what to begin with. Later guidance goes to `changed`."""
        await self.coordinator.start(START_S)
        self.coordinator.subscribe(changed)
        return self.coordinator.guidance

    def reloaded(self) -> None:
        """`own` is another."""
        self.coordinator.reconsider()

    async def leave(self) -> None:
        """Deregisters and resigns."""
        await self.coordinator.leave()

    async def stop(self) -> None:
        """Closes what is open."""
        await self.coordinator.stop()

    # ---- for the admin

    async def topology(self) -> Topology:
        return await topology(self.store, self.coordinator.keys, self._plan_by)

    async def best(self, region: str | None, weights: str | None) -> Best:
        routing = self._effective().routing
        local = self.coordinator.guidance.config.regions.get(self.who.region)
        return best(
            await self.topology(),
            self.who.region,
            weighed(routing, weights) if weights else routing,
            only_region=region,
            preference=local.local_routing_preference if local else (),
        )

    def _plan_by(self, target: TargetRecord | None) -> SamplingPlan:
        """By the configuration in force here: where a region has a rate of its own, only its gateways know."""
        everywhere = self.coordinator.guidance.config.everywhere
        rate, services = (target.rate, target.services) if target else (None, None)
        return plan_of(self._effective().sampling, everywhere, rate, services)

    def _check(self, fleet: FleetConfig) -> None:
        self._overlay.settled(self._own(), fleet, self.who.region)

    def status(self) -> FleetStatus:
        """At this instant, without asking the store."""
        part, guidance = self.coordinator, self.coordinator.guidance
        mirrors = (part.config_mirror, part.target_mirror)
        # The store in this process has nothing to say while nothing changes, and is never away.
        silent_for_s = max(mirror.age_s for mirror in mirrors) if self._kind is not StoreKind.MEMORY else 0.0
        own = guidance.views.get(self.who.region)
        target = guidance.target
        return FleetStatus(
            id=self.who.id,
            store=str(self._kind),
            connected=all(mirror.state is MirrorState.WATCHING for mirror in mirrors),
            silent_for_s=silent_for_s,
            trouble=next((mirror.reason for mirror in mirrors if mirror.reason), ""),
            namesake=part.namesake.found,
            unkept=part.saver.trouble,
            config_age_s=silent_for_s,
            scopes={
                scope: ScopeStatus(
                    applied_version=state.applied_version,
                    applied_revision=state.applied_revision,
                    refused_version=state.refused_version,
                    refused=state.refused,
                )
                for scope, state in guidance.states.items()
            },
            view_epochs={region: view.epoch for region, view in guidance.views.items()},
            members=len(own.members) if own else 0,
            members_down=len(own.down) if own else 0,
            lease_valid=part.session.valid(),
            lease_losses=part.session.losses,
            leads=part.leads,
            led=guidance.led,
            target_token=target.token if target else 0,
            target_sequence=target.sequence if target else 0,
            target_rate=target.rate if target else None,
            sampling_floor=_floor(guidance.config.everywhere),
            relists=sum(mirror.relists for mirror in mirrors),
            resumes=sum(mirror.resumes for mirror in mirrors),
            resync_differences=sum(mirror.resync_diff for mirror in mirrors),
            watch_events=sum(mirror.events for mirror in mirrors),
            announced=part.announcer.announced,
        )


def described(config: GatewayConfig, identity: str, listen: Endpoint) -> ServiceInfo:
    """How this gateway is known in the fleet."""
    host = socket.gethostname() if listen.host in {"0.0.0.0", "::", "127.0.0.1", "::1", "localhost"} else listen.host
    address = config.advertise or Endpoint(host, listen.port)
    return ServiceInfo(
        id=identity,
        name=identity,
        address=address,
        region=config.region,
        metadata={"version": release()},
        health=Health.HEALTHY,
        registered_at_unix_s=SystemClock().unix_s(),
    )


def _floor(config: GlobalConfig) -> float:
    bounds = [one.bounds[0] for one in config.sampling_strategies if one.type is SamplingStrategy.ADAPTIVE]
    return min(bounds, default=1.0)


def opened(config: CoordinationConfig, folder: Path) -> Store:
    """The store that is configured. Nothing is connected yet."""
    if config.store is StoreKind.MEMORY:
        return MemoryStore(folder / "store.json")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")  # workers are started by exec, which it warns about
    from sidecar.coord.etcd import EtcdStore  # it brings grpc, which a fleet of one need not load

    return EtcdStore(config)
