"""`adaptive`: moves the rates of all who are not pinned, within bounds, so that all that is kept meets a target.

One level is raised until the target is met. With `uniform` it is a factor on the rates that would hold without it, so
classes with rates of their own keep their proportions. With `max_min` it is the number of spans per second that each
service may keep (max-min fairness by water-filling: Bertsekas and Gallager, Data Networks, 6.5.2): the rare are kept
whole, the frequent share the rest.
"""

from __future__ import annotations

from math import inf

from sidecar.config.fleet import StrategyConfig
from sidecar.model import Fairness
from sidecar.sampling.demand import Demand, highest
from sidecar.sampling.entry import Entries, Entry, kept

_LEAST_WEIGHT = 1e-9
"""Of services whose own rate is 0: they come last."""


def target_of(strategy: StrategyConfig) -> float:
    """Spans per second that the fleet is to keep; infinite if that is not said."""
    return inf if strategy.target_qps is None else strategy.target_qps


def adapt(strategy: StrategyConfig, entries: Entries) -> Entries:
    """The entries with the rates of this strategy. Those that nothing is observed of count for nothing."""
    room = target_of(strategy) - kept(entry for entry in entries.values() if entry.pinned)
    rest = {name: entry for name, entry in entries.items() if not entry.pinned}
    spread = _max_min if strategy.fairness is Fairness.MAX_MIN else _uniform
    return {**entries, **spread(rest, room, *strategy.bounds)}


def _uniform(rest: Entries, room: float, low: float, high: float) -> Entries:
    """Those of one weight and bound have one rate, so they are summed up first."""
    alike: dict[tuple[float, float], list[Demand]] = {}
    for entry in rest.values():
        alike.setdefault((_weight(entry), min(high, entry.most)), []).append(entry.demand)
    sums = [(weight, most, Demand.total(demands)) for (weight, most), demands in alike.items()]

    def total(level: float) -> float:
        return sum(demand.kept(min(max(level * weight, low), most)) for weight, most, demand in sums)

    level = highest(total, room, high / min((weight for weight, _, _ in sums), default=1.0))
    return {name: entry.at(_clamped(level * _weight(entry), low, high)) for name, entry in rest.items()}


def _max_min(rest: Entries, room: float, low: float, high: float) -> Entries:
    spans: list[tuple[float, float, float]] = []
    for entry in rest.values():
        least, most = (entry.demand.kept(min(rate, entry.most)) for rate in (low, high))
        spans.append((_weight(entry), least, most))

    def total(level: float) -> float:
        return sum(_clamped(level * weight, least, most) for weight, least, most in spans)

    level = highest(total, room, max([1.0, *(most / weight for weight, _, most in spans)]))
    return {
        name: entry.at(_clamped(entry.demand.rate_for(level * weight), low, high) if level > 0 else low)
        for (name, entry), (weight, _, _) in zip(rest.items(), spans, strict=True)
    }


def _weight(entry: Entry) -> float:
    return max(entry.base, _LEAST_WEIGHT)


def _clamped(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
