"""What a whole fleet is told through the store: GlobalConfig for all regions, LocalConfig for one.

Every value is optional in the sense that one that is not given leaves the gateway's own (flag, environment, file,
default) in force; one that is given wins over all of them.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from sidecar.config.kinds import Choice, Count, Duration, Glob, KeyName, Many, Number, Switch
from sidecar.config.schema import Ratio, Section
from sidecar.model import Fairness, OnLimit, Priority, RoutingStrategy, SamplingStrategy

Yes = Annotated[bool, Switch()]
PerSecond = Annotated[float, Number(most=1e12)]

ADAPTIVE_MIN_RATE = 0.01
ADAPTIVE_MAX_RATE = 1.0


class PriorityRule(Section, frozen=True, kw_only=True):
    """A rate and a class for some services.

    A rule without services is for those that no rule names: of each class, as routing rules tell it. Services of no
    routing rule are `normal`.
    """

    plural: ClassVar[str] = "rules"

    priority: Annotated[Priority, Choice(Priority)]
    """The traffic class of the services."""
    rate: Ratio
    """The share of their traces that is kept."""
    services: Annotated[tuple[str, ...], Many(Glob())] = ()
    """Names, or patterns with `*`. `[]`: those of the class that no rule names."""


class StrategyConfig(Section, frozen=True, kw_only=True):
    """One sampling strategy. Which keys it has depends on its type; those of another are refused.

    A priority rule that names services pins their rate; `adaptive` moves the rest, so that all kept spans together
    meet its target; `cost_based` paces what is left of the budget over what is left of the hour.
    """

    plural: ClassVar[str] = "strategies"

    type: Annotated[SamplingStrategy, Choice(SamplingStrategy)]
    """Which strategy."""
    rate: Ratio | None = None
    """fixed: the share that is kept."""
    min_rate: Ratio | None = None
    """adaptive: the lower bound of the rate."""
    max_rate: Ratio | None = None
    """adaptive: the upper bound of the rate."""
    target_qps: PerSecond | None = None
    """adaptive: spans per second that the whole fleet keeps."""
    fairness: Annotated[Fairness | None, Choice(Fairness)] = None
    """adaptive: how that is spread. `uniform`: one rate. `max_min`: rare services are kept whole."""
    rules: tuple[PriorityRule, ...] = ()
    """priority_based: the rules."""
    budget_per_hour: Annotated[float | None, Number(most=1e12)] = None
    """cost_based: what an hour may cost, in the unit of per_span."""
    per_span: Annotated[float | None, Number(most=1e9)] = None
    """cost_based: what a kept span costs."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest rate that `adaptive` may choose."""
        return (
            ADAPTIVE_MIN_RATE if self.min_rate is None else self.min_rate,
            ADAPTIVE_MAX_RATE if self.max_rate is None else self.max_rate,
        )


class DegradationConfig(Section, frozen=True, kw_only=True):
    """Shedding while a gateway is overloaded."""

    enabled: Yes = False
    """Whether it may shed."""
    threshold: Ratio = 0.8
    """The utilization, measured or forecast, from which shedding rises."""
    target_rate: Ratio = 0.01
    """The share that is left at full shedding."""
    recovery_threshold: Ratio = 0.6
    """The utilization under which it comes back."""
    min_hold_s: Annotated[float, Duration()] = 10.0
    """How long a step holds at least."""


class RateLimitingConfig(Section, frozen=True, kw_only=True):
    """Limits on what is kept, in spans per second, for the whole fleet."""

    max_qps: PerSecond | None = None
    """All services together."""
    burst_size: Annotated[float, Number(most=1e12)] = 10_000
    """How many spans over the limit may pass at once."""
    per_service_limit: PerSecond | None = None
    """Each service."""
    on_limit: Annotated[OnLimit, Choice(OnLimit)] = OnLimit.SAMPLE
    """What happens to more than that."""


class RoutingRule(Section, frozen=True, kw_only=True):
    """Sends services to the collectors of a region. Rules count by priority, then the longest pattern first.

    A trace that touches services of several regions is split between them.
    """

    plural: ClassVar[str] = "rules"

    service: Annotated[str, Glob()]
    """A name, or a pattern with `*`."""
    target_region: Annotated[str, KeyName(longest=64)]
    """Where its items go; its own region when that one has no healthy collector."""
    priority: Annotated[Priority, Choice(Priority)] = Priority.NORMAL
    """The precedence of the rule, and the traffic class of the services."""


class FleetRouting(Section, frozen=True, kw_only=True):
    """The routing strategy of the fleet; what is not given stays as each gateway has it."""

    strategy: Annotated[RoutingStrategy | None, Choice(RoutingStrategy)] = None
    """How a collector is chosen."""
    load_weight: Ratio | None = None
    """What load counts for in `intelligent`."""
    latency_weight: Ratio | None = None
    """What latency counts for in `intelligent`."""
    capacity_weight: Ratio | None = None
    """What free capacity counts for in `intelligent`."""


class GlobalConfig(Section, frozen=True, kw_only=True):
    """What holds for the whole fleet. Nothing is set that is not written."""

    version: Annotated[int | None, Count(most=2**53)] = None
    """A number of its writer's own. It may not go back."""
    sampling_rate: Ratio | None = None
    """The share kept of services that no strategy speaks of."""
    sampling_strategies: tuple[StrategyConfig, ...] = ()
    """At most one of each type."""
    degradation: DegradationConfig | None = None
    rate_limiting: RateLimitingConfig | None = None
    routing_rules: tuple[RoutingRule, ...] = ()
    """Which services go to another region."""
    routing: FleetRouting | None = None


class RetryPolicy(Section, frozen=True, kw_only=True):
    """How often and how soon a part is sent again: `delivery.max_retries` and `delivery.backoff` of a gateway."""

    max_attempts: Annotated[int, Count(least=1, most=100)] = 3
    """Tries at each owner."""
    initial_backoff_s: Annotated[float, Duration(least=0.001)] = 0.1
    """The upper bound of the first pause."""
    max_backoff_s: Annotated[float, Duration(least=0.001)] = 10.0
    """The upper bound of any pause."""


class LocalBatch(Section, frozen=True, kw_only=True):
    """When the parts for a backend leave: `batch.max_items` and `batch.max_wait` of a gateway."""

    max_items: Annotated[int, Count(least=1, most=10_000_000)] = 100
    """A call leaves when it holds this many items."""
    max_wait_s: Annotated[float, Duration()] = 0.1
    """The longest that a part waits for company."""


class LocalConfig(Section, frozen=True, kw_only=True):
    """What holds in one region. Where there is a `local:` at all, its defaults hold for what it leaves away."""

    version: Annotated[int | None, Count(most=2**53)] = None
    """A number of its writer's own. It may not go back."""
    regional_sampling_rate: Ratio | None = None
    """Replaces `sampling_rate` in the region."""
    local_routing_preference: Annotated[tuple[str, ...], Many(KeyName())] = ()
    """Ids of collectors, the preferred first: breaks ties of `best`."""
    buffer_size: Annotated[int, Count(least=1, most=10**9)] = 10_000
    """Items that a gateway holds at most; bytes are bounded as well."""
    batch_config: LocalBatch = LocalBatch()
    retry_policy: RetryPolicy = RetryPolicy()


class FleetSections(Section, frozen=True, kw_only=True, rename={"everywhere": "global"}):
    """The whole of a file or text for the fleet: `global:` for all regions, `local:` for one, or both."""

    everywhere: GlobalConfig | None = None
    local: LocalConfig | None = None


class FleetConfig(msgspec.Struct, frozen=True):
    """What is in the store: one for all, and one for each region that has any."""

    everywhere: GlobalConfig = GlobalConfig()
    regions: dict[str, LocalConfig] = {}
