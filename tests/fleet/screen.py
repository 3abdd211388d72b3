"""What `make fleet` shows: the fleet as `spangate topology` has it, and the ledgers of all gateways added up."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from sidecar.cli import fleet_view
from sidecar.control.topology import Topology
from sidecar.snapshot import LedgerRow


def frame(found: Topology | None, row: LedgerRow, news: str, notice: str) -> Group:
    """All of it, to fit 80 columns."""
    title = Text(news, style="bold cyan", no_wrap=True, overflow="ellipsis")
    shown = fleet_view.frame(found, notice) if found else Text(notice, style="bold red")
    return Group(title, shown, Text(), ledger(row), Text("Ctrl-C drains and ends", style="dim"))


def ledger(row: LedgerRow) -> Table:
    """One line that adds up."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    values = {
        "received": row.received,
        "forwarded": row.forwarded,
        "sampled": row.sampled_out,
        "rejected": row.rejected,
        "dropped": row.dropped_total,
        "in flight": row.in_flight,
    }
    table.add_column("ledgers", no_wrap=True)
    for name in (*values, "diff"):
        table.add_column(name, justify="right", no_wrap=True)
    difference = Text(f"{row.difference:,}", style="bold red" if row.difference else "bold green")
    table.add_row("spans", *(f"{value:,}" for value in values.values()), difference)
    return table


def line(at_s: float, found: Topology | None, row: LedgerRow, notice: str) -> str:
    """A second of it, for what is no terminal."""
    if found is None:
        return f"{at_s:4.0f} s  {notice}"
    regions = "; ".join(
        f"{region.name} {region.health}, {region.totals.healthy} of {region.totals.collectors} collectors, "
        f"{region.totals.received:,.0f} spans/s, {rate(region.effective_rate)} kept"
        for region in found.regions
    )
    target = found.target.rate if found.target else None
    leader = found.leader or "nobody"
    return f"{at_s:4.0f} s  led by {leader}, target {rate(target)}; {regions}; diff {row.difference}"


def rate(value: float | None) -> str:
    """Of spans that are kept."""
    return "-" if value is None else f"{value:.1%}"
