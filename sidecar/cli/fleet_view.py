"""The view of a fleet, to fit 80 columns: pure functions from a topology to what rich prints."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sidecar.control.topology import GatewayView, RegionView, Topology
from sidecar.model import Health, RegionHealth

_COLOURS = {
    RegionHealth.HEALTHY: "green",
    RegionHealth.DEGRADED: "yellow",
    RegionHealth.UNHEALTHY: "red",
    Health.HEALTHY: "green",
    Health.UNKNOWN: "yellow",
    Health.UNHEALTHY: "red",
}


def frame(found: Topology, notice: str = "") -> Group:
    """All of it. `notice` is a line of trouble above the rest."""
    parts: list[RenderableType] = [Text(notice, style="bold red")] if notice else []
    parts.append(headline(found))
    for region in found.regions:
        parts += [Text(), title(region), collectors(region), *troubles(region), gateways(region)]
    if not found.regions:
        parts.append(Text("nobody is registered", style="yellow"))
    return Group(*parts)


def headline(found: Topology) -> Text:
    """Who leads the fleet, and what it is to keep."""
    target = found.target
    rate = "as configured" if target is None or target.rate is None else f"{target.rate:.2%}"
    apart = len(target.services) if target else 0
    received = sum(region.totals.received for region in found.regions)
    kept = sum(region.totals.kept for region in found.regions)
    return Text.assemble(
        ("fleet", "bold"),
        f"  led by {found.leader or 'nobody'}",
        f"  {received:,.0f} spans/s, {kept:,.0f} kept",
        f"  target {rate}",
        f" + {apart} service{'s' * (apart > 1)}" if apart else "",
    )


def title(region: RegionView) -> Text:
    """A region in one line."""
    totals = region.totals
    rate = "-" if region.effective_rate is None else f"{region.effective_rate:.2%}"
    return Text.assemble(
        (f"{region.name} ", "bold"),
        (str(region.health), _COLOURS[region.health]),
        f"  {totals.healthy}/{totals.collectors} collectors, epoch {region.epoch}",
        f"  {totals.received:,.0f} spans/s, {rate} kept, {totals.latency_ms:.1f} ms",
        (f", {totals.error_rate:.1%} failed" if totals.error_rate else "", "red"),
    )


def troubles(region: RegionView) -> list[Text]:
    """Why collectors are not healthy, each in one line."""
    return [
        Text(f"    {one.record.service.id}: {one.reason}", _COLOURS[one.health], no_wrap=True, overflow="ellipsis")
        for one in region.collectors
        if one.reason and one.health is not Health.HEALTHY
    ]


def collectors(region: RegionView) -> Table:
    """A row for each collector."""
    table = _table("  collector", "health", "weight", "load", "queue", "spans/s", "free", left=2)
    for one in region.collectors:
        load = one.record.load
        table.add_row(
            f"  {one.record.service.id}",
            Text(str(one.health), style=_COLOURS[one.health]),
            f"{one.weight:.2f}",
            f"{load.utilization:.0%}",
            f"{load.queue:.0%}",
            f"{load.qps:,.0f}",
            f"{load.available:.0%}" if load.capacity_qps else "-",
        )
    return table


def gateways(region: RegionView) -> Table:
    """A row for each gateway: what it is to keep against what it keeps."""
    table = _table("  gateway", "cpu", "memory", "spans/s", "target", "actual", "config", left=1)
    for one in region.gateways:
        record = one.record
        leads = " leads" if record.service.id == region.leader else ""
        table.add_row(
            Text.assemble(f"  {record.service.id}", (leads, "green")),
            f"{record.load.cpu:.0%}",
            f"{record.load.memory:.0%}",
            f"{record.received:,.0f}",
            _rate(one.target_rate),
            _rate(one.actual_rate),
            _config(one),
        )
    return table


def _config(one: GatewayView) -> Text:
    versions = " ".join(f"v{state.applied_version}" for _, state in sorted(one.record.config.items()))
    refused = any(state.refused for state in one.record.config.values())
    behind = " behind" if one.behind else ""
    return Text((versions or "-") + (" refuses" if refused else behind), style="red" if refused else "")


def _rate(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.2%}"


def _table(*names: str, left: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for i, name in enumerate(names):
        table.add_column(name, justify="left" if i < left else "right", no_wrap=True)
    return table
