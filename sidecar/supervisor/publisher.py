"""What the workers go by: made of the gateway's own configuration, the fleet's word, and what is shed here."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

import msgspec

from sidecar.config.load import Sources
from sidecar.config.overlay import Overlay
from sidecar.config.schema import GatewayConfig, SamplingConfig
from sidecar.control.guidance import Guidance
from sidecar.control.records import TargetRecord
from sidecar.control.region import off
from sidecar.control.settle import Settled, settle
from sidecar.errors import ConfigInvalid
from sidecar.model import MemberSource, RoutingStrategy
from sidecar.policy import shelf
from sidecar.policy.compile import compile_policy, fills_nothing
from sidecar.policy.policy import Policy
from sidecar.routing.members import StaticMembers
from sidecar.routing.view import View
from sidecar.sampling.ceiling import ceiling
from sidecar.sampling.limit import share_of
from sidecar.sampling.plan import Observed, Shed
from sidecar.sampling.share import Share
from sidecar.sampling.shed import both
from sidecar.supervisor.gateway import RunningGateway
from sidecar.supervisor.keeper import Keeper, Shelf
from sidecar.supervisor.senses import GatewaySenses
from sidecar.supervisor.weights import LiveWeights
from sidecar.telemetry import log

LEADERLESS_S = 3.0
"""How long nobody may lead before each gateway keeps to its own share: an election takes a moment."""
WORTH_RATIO = 0.02
MEET_S = 8.0
"""How long the next leader may take to hear of all: they register anew within a third of a ttl."""
IDLE_SHARE = 0.1
"""Of an equal share, what a gateway has at least: its first spans come before it has been told of them."""
SHARE_RATIO = 0.03


class Publisher:
    """Compiles a policy of what is settled, and gives it to every worker.

    The setters only take values; `publish` acts on all that were taken, and of several calls that wait for one that is
    under way the last does the work of all.
    """

    def __init__(
        self,
        config: GatewayConfig,
        sources: Sources,
        *,
        keepers: Sequence[Keeper],
        on_shelf: Shelf,
        gateway: RunningGateway,
        overlay: Overlay,
        applied: Callable[[Guidance], None],
    ) -> None:
        self.config = config
        """The gateway's own."""
        self.sources = sources
        self.guidance = Guidance()
        self.shed = Shed()
        """What is shed, whatever the cause."""
        self.ceiling = Shed()
        """What of that is for want of a leader."""
        self.share = 1.0
        self.policy: Policy | None = None
        self.settled: Settled | None = None
        """What is in force."""
        self._keepers, self._shelf, self._gateway, self._applied = keepers, on_shelf, gateway, applied
        self._overlay = overlay
        self._writer, self._config = shelf.Writer(), _SealedConfig()
        self._members = StaticMembers(config.backends)
        self._weights = LiveWeights()
        self._generation = 0
        self._wanted = 0
        self._view = View(0, ())
        self._waiting: Guidance | None = None
        self._led_s = self._known_again_s = 0.0
        self._sure = Share(config.coordination.lease_ttl_s)
        self._turn = asyncio.Lock()
        self._log = log.logger("supervisor")

    @property
    def effective(self) -> GatewayConfig:
        """The configuration in force, the fleet's word included."""
        return self.settled.config if self.settled else self.config

    def reload(self, config: GatewayConfig, sources: Sources) -> None:
        """Another configuration of its own. ConfigInvalid when it does not go together with the fleet's word."""
        self._overlay.settled(config, self.guidance.config, config.region)
        self.config, self.sources = config, sources
        self._members.replace(config.backends)

    async def publish(self) -> None:
        """Compiles, off the loop where there are tables to fill, and hands over to the workers.

        What cannot be used changes nothing, and is logged.

        There has to be a first one: where the fleet's word cannot be used, that of the gateway's own configuration.
        """
        self._wanted += 1
        mine = self._wanted
        async with self._turn:
            if mine != self._wanted:
                return
            guidance = self.guidance
            if not await self._use(guidance) and self.policy is None:
                await self._use(Guidance(states=guidance.states))

    async def _use(self, guidance: Guidance) -> bool:
        """Whether the workers are given it, or have it already."""
        generation = self._generation + 1
        try:
            new = self._settle(guidance)
            routing = new.config.routing
            values = generation, new.areas, new.rules, routing, new.plan, self.policy
            if fills_nothing(new.areas, routing, self.policy):
                policy = compile_policy(*values)
            else:
                policy = await asyncio.to_thread(compile_policy, *values)
            if self.policy is not None and _same(policy, self.policy) and new.config == self.effective:
                policy = self.policy
            else:
                self._hand_over(policy, new.config)
        except ConfigInvalid as error:
            self._log.error("the configuration cannot be used as a whole, the former one stays", reason=str(error))
            return False
        except ValueError as error:  # too many members, two of one name
            self._log.error("the members cannot be routed to, the former ones stay", reason=str(error))
            return False
        except OSError as error:  # no more descriptors
            if self.policy is None:
                raise
            self._log.error("a policy cannot be handed over, the former one stays", reason=error.strerror)
            return False
        self.settled, self._waiting = new, guidance
        self._gateway.use(new.config, self.sources, policy, new.said_by)
        return True

    def _settle(self, guidance: Guidance) -> Settled:
        view = self._own_view(guidance)
        return settle(self.config, guidance, view, overlay=self._overlay, shed=self.shed, share=self.share)

    def _hand_over(self, policy: Policy, config: GatewayConfig) -> None:
        config_fd = self._config.descriptor(config)
        try:
            policy_fd, *table_fds = self._writer.write(policy)
        except OSError:
            os.close(config_fd)
            raise
        self._shelf.put(policy.generation, policy_fd, config_fd, *table_fds)
        self._generation, self.policy = policy.generation, policy
        for keeper in self._keepers:
            keeper.use()

    def acknowledged(self) -> None:
        """Called now and then: once all workers go by the last policy, the fleet is told."""
        served = [keeper.generation for keeper in self._keepers if keeper.alive]
        if self._waiting is not None and served and all(one == self._generation for one in served):
            self._applied(self._waiting)
            self._waiting = None

    def shed_by(self, senses: GatewaySenses, now_s: float) -> bool:
        """Takes what is to be shed now: by degradation, and without a leader down to the local ceiling.

        Whether that is worth a policy: shares change with every second, and most of it means nothing.
        """
        guidance, top = self.guidance, Shed()
        target, observed = guidance.target, senses.observed()
        if target is None or (guidance.led and now_s >= self._known_again_s):
            self._led_s = now_s
            share = self._live_share(observed, now_s)
        else:
            share = self._sure.without_leader(target.gateways, now_s)  # who grows would take from the others
            if self.policy is not None and now_s - self._led_s >= LEADERLESS_S:
                if not guidance.led:
                    self._known_again_s = now_s + MEET_S
                top = ceiling(guidance.config.everywhere, self.policy.sampling, observed, share=share)
        self.ceiling, shed = top, both(senses.shed, top)
        changed = any(
            off(getattr(shed, name), getattr(self.shed, name), WORTH_RATIO) for name in shed.__struct_fields__
        )
        if changed:
            self.shed = shed
        limited = guidance.config.everywhere.rate_limiting is not None
        if off(share, self.share, SHARE_RATIO):
            self.share, changed = share, changed or limited
        return changed

    def _live_share(self, observed: Observed, now_s: float) -> float:
        """Its part of what the fleet receives, remembered for a time without a leader."""
        if self.guidance.target is None:
            return 1.0
        share = _share(sum(load.received for load in observed.values()), self.guidance.target)
        self._sure.led(share, now_s)
        return share

    def reweigh(self) -> bool:
        """`intelligent` without a registry: weights follow what the workers see. Whether any leaves its dead band."""
        routing = self.effective.routing
        if routing.strategy is not RoutingStrategy.INTELLIGENT or routing.members is MemberSource.REGISTRY:
            return False
        return self._weights.observe(self._gateway.backend_loads(), routing)

    def _own_view(self, guidance: Guidance) -> View:
        """Of the configured backends; its epoch counts their changes."""
        members = tuple(self._members.members())
        routing = self._overlay.settled(self.config, guidance.config, self.config.region).config.routing
        if routing.strategy is RoutingStrategy.INTELLIGENT:
            members = self._weights.apply(members)
        if members != self._view.members:
            self._view = View(self._view.epoch + 1, members)
        return self._view


class _SealedConfig:
    """The part of a configuration that workers go by, in sealed memory: made anew only when it is another.

    How they sample is in the policy, and the rate changes with every other push.
    """

    def __init__(self) -> None:
        self._text = b""
        self._fd = -1

    def descriptor(self, config: GatewayConfig) -> int:
        """It is the caller's to close. OSError when there are no more."""
        text = msgspec.json.encode(msgspec.structs.replace(config, sampling=SamplingConfig()))
        if text != self._text:
            fd = shelf.seal(text)
            if self._fd >= 0:
                os.close(self._fd)
            self._fd, self._text = fd, text
        return os.dup(self._fd)


def _share(received: float, target: TargetRecord) -> float:
    return max(share_of(received, target.fleet_received, target.gateways), IDLE_SHARE / max(target.gateways, 1))


def _same(one: Policy, other: Policy) -> bool:
    """Whether the workers would do nothing else by it."""
    return (one.areas, one.rules, one.sampling) == (other.areas, other.rules, other.sampling) and (
        one.effective_in_s,
        one.affinity_window_s,
    ) == (other.effective_in_s, other.affinity_window_s)
