"""What the fleet tells a gateway, laid over its own configuration: store > flag > environment > file > default.

A pure function of values. What the store does not say stays as it is; a LocalConfig says something about everything
it has, by its defaults.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from sidecar.config.fleet import FleetConfig, FleetRouting, GlobalConfig, LocalConfig
from sidecar.config.reference import fields
from sidecar.config.rules import Rule, broken
from sidecar.config.schema import GatewayConfig, RoutingConfig, Section
from sidecar.config.validate import RULES
from sidecar.errors import ConfigInvalid
from sidecar.model import Ownership, RoutingStrategy

S = TypeVar("S", bound=Section)


class Settled(NamedTuple):
    """The configuration in force."""

    config: GatewayConfig
    store_paths: Mapping[str, str]
    """The settings that the store has set, each with where it stands there: `global v12`, `regions/eu v3`."""

    def at(self, versions: Mapping[str, int]) -> Settled:
        """With the versions of scopes where there are any."""
        named = {scope: f"{scope} v{version}" for scope, version in versions.items() if version}
        return self._replace(store_paths={path: named.get(scope, scope) for path, scope in self.store_paths.items()})


class _Told(NamedTuple):
    path: str
    value: Any
    scope: str


def settled(
    config: GatewayConfig,
    fleet: FleetConfig,
    region: str,
    versions: Mapping[str, int] | None = None,
    rules: Iterable[Rule[GatewayConfig]] = RULES,
) -> Settled:
    """`config` with all that the fleet says for `region`; `versions` are those in the store, by scope.

    ConfigInvalid when both together break a rule that the gateway alone keeps: then nothing of it may be used.
    """
    local = fleet.regions.get(region)
    store_paths: dict[str, str] = {}
    for told in (*_of_all(fleet.everywhere, config.routing), *_of_region(local, f"regions/{region}")):
        config = _with(config, told.path, told.value)
        version = (versions or {}).get(told.scope)
        store_paths[told.path] = f"{told.scope} v{version}" if version else told.scope
    if problems := broken(rules, config):
        scopes = ", ".join(sorted(set(store_paths.values())))
        raise ConfigInvalid(problem._replace(source=store_paths.get(problem.path, scopes)) for problem in problems)
    return Settled(config, store_paths)


class Overlay:
    """`settled` for one gateway: of one push several ask for the same, and only the first has it done."""

    def __init__(self) -> None:
        self._asked: tuple[GatewayConfig, FleetConfig, str, Settled] | None = None
        """The last question, and its answer."""

    def settled(
        self, config: GatewayConfig, fleet: FleetConfig, region: str, versions: Mapping[str, int] | None = None
    ) -> Settled:
        """As the function. It is the same question where both configurations are the same objects."""
        match self._asked:
            case (own, told, where, answer) if own is config and told is fleet and where == region:
                found = answer
            case _:
                try:
                    found = settled(config, fleet, region)
                except ConfigInvalid:
                    return settled(config, fleet, region, versions)  # the problems name the version
                self._asked = config, fleet, region, found
        return found.at(versions) if versions else found


def _of_all(everywhere: GlobalConfig, own: RoutingConfig) -> Iterator[_Told]:
    scope = "global"
    if everywhere.sampling_rate is not None:
        yield _Told("sampling.rate", everywhere.sampling_rate, scope)
    routing = everywhere.routing or FleetRouting()
    for field in fields(FleetRouting):
        if (value := getattr(routing, field.attribute)) is not None:
            yield _Told(f"routing.{field.key}", value, scope)
    if routing.strategy is not None and routing.strategy is not own.strategy:
        yield _Told("routing.ownership", _ownership(own, routing.strategy), scope)


def _ownership(own: RoutingConfig, strategy: RoutingStrategy) -> Ownership:
    """Under another strategy: what was chosen on purpose, where that can be had, else the strategy's default."""
    chosen = own.ownership is not own.strategy.ownerships[0]
    if chosen and own.ownership in strategy.ownerships:
        return own.ownership
    return strategy.ownerships[0]


def _of_region(local: LocalConfig | None, scope: str) -> Iterator[_Told]:
    if local is None:
        return
    if local.regional_sampling_rate is not None:
        yield _Told("sampling.rate", local.regional_sampling_rate, scope)
    yield _Told("limits.items", local.buffer_size, scope)
    yield _Told("batch.max_items", local.batch_config.max_items, scope)
    yield _Told("batch.max_wait", local.batch_config.max_wait_s, scope)
    yield _Told("delivery.max_retries", local.retry_policy.max_attempts - 1, scope)
    yield _Told("delivery.backoff.initial", local.retry_policy.initial_backoff_s, scope)
    yield _Told("delivery.backoff.max", local.retry_policy.max_backoff_s, scope)


def _with(section: S, path: str, value: object) -> S:
    """`section` with one setting replaced."""
    key, _, below = path.partition(".")
    attribute = next(field.attribute for field in fields(type(section)) if field.key == key)
    new = _with(getattr(section, attribute), below, value) if below else value
    return msgspec.structs.replace(section, **{attribute: new})
