"""Lowers what is kept to a ceiling, the lowest class first.

Each class gives way to a hundredth of what it had, so that nothing vanishes from sight, before the next one is
touched. Where even that is not enough all give way alike.
"""

from __future__ import annotations

from collections.abc import Collection

from sidecar.model import Priority
from sidecar.sampling.demand import Demand
from sidecar.sampling.entry import CLASSES, Entries, kept
from sidecar.sampling.plan import Cause

FLOOR = 0.01
_ENOUGH = 1 + 1e-9


def cut(entries: Entries, ceiling: float, cause: Cause) -> Entries:
    """The entries with lower rates, if they keep more than `ceiling` spans per second."""
    for priority in CLASSES:
        entries = _lowered(entries, (priority,), ceiling, cause, FLOOR)
    return _lowered(entries, CLASSES, ceiling, cause, 0.0)


def _lowered(entries: Entries, classes: Collection[Priority], ceiling: float, cause: Cause, floor: float) -> Entries:
    if kept(entries.values()) <= ceiling * _ENOUGH:
        return entries
    those = {name: entry for name, entry in entries.items() if entry.priority in classes}
    others = kept(entry for name, entry in entries.items() if name not in those)
    demand = Demand.total(entry.demand.at(entry.rate) for entry in those.values())
    factor = max(demand.rate_for(ceiling - others), floor)
    return {name: entry.cut(factor, cause) if name in those else entry for name, entry in entries.items()}
