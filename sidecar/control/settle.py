"""From what one gateway is configured to be and what its fleet says to what its policy is made of. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from sidecar.config.fleet import GlobalConfig, RoutingRule
from sidecar.config.overlay import Overlay
from sidecar.config.schema import GatewayConfig
from sidecar.control.guidance import Guidance
from sidecar.control.records import ViewRecord
from sidecar.model import MemberSource
from sidecar.ports import Member
from sidecar.routing.area import Area
from sidecar.routing.view import View
from sidecar.sampling.limit import share_of_limits
from sidecar.sampling.plan import SamplingPlan, Shed
from sidecar.sampling.settle import plan_of


class Settled(NamedTuple):
    """What a policy is compiled from, and the configuration that goes with it."""

    config: GatewayConfig
    """With the fleet's word over its own."""
    said_by: Mapping[str, str]
    """The settings that the store decides, and which of its configurations does."""
    areas: tuple[Area, ...]
    """The own region first."""
    rules: tuple[RoutingRule, ...]
    plan: SamplingPlan


def settle(
    own: GatewayConfig,
    guidance: Guidance,
    configured: View,
    *,
    overlay: Overlay | None = None,
    shed: Shed = Shed(),  # noqa: B008  a frozen value
    share: float = 1.0,
) -> Settled:
    """Everything at once. ConfigInvalid when the fleet's word and the gateway's own do not go together.

    configured: the backends of its configuration, which count unless the registry says who there is. shed: on top of
    every rate, of this gateway alone. share: its part of the fleet's load, for the limits.
    """
    versions = {scope: state.applied_version for scope, state in guidance.states.items()}
    laid = (overlay or Overlay()).settled(own, guidance.config, own.region, versions)
    config, everywhere = laid.config, guidance.config.everywhere
    said_by = dict(laid.store_paths)
    target = guidance.target
    if config.routing.members is MemberSource.REGISTRY:
        record = guidance.views.get(own.region)
        view = view_of(record) if record else View(0, ())
        if record:  # the notice that was announced, or gateways would go over to the view one after the other
            routing = msgspec.structs.replace(config.routing, effective_in_s=record.effective_in_s)
            config = msgspec.structs.replace(config, routing=routing)
            said_by["routing.effective_in"] = f"the view of {own.region}"
    else:
        view = configured
    return Settled(
        config=config,
        said_by=said_by,
        areas=(Area(own.region, view), *_others(own.region, everywhere, guidance.views)),
        rules=everywhere.routing_rules,
        plan=plan_of(
            config.sampling,
            everywhere,
            target.rate if target else None,
            target.services if target else {},
            shed=shed,
            limit=share_of_limits(everywhere.rate_limiting, share),
        ),
    )


def view_of(record: ViewRecord) -> View:
    """A view as routing has it."""
    return View(
        record.epoch,
        tuple(Member(one.id, one.address, one.weight) for one in record.members),
        frozenset(record.down),
    )


def _others(own: str, config: GlobalConfig, views: Mapping[str, ViewRecord]) -> Iterable[Area]:
    """The regions that rules name, in a stable order; one without a view has no members."""
    for region in sorted({rule.target_region for rule in config.routing_rules} - {own}):
        record = views.get(region)
        yield Area(region, view_of(record) if record else View(0, ()))
