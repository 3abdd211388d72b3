"""What the demo shows: the view of `spangate status`, and below it what is counted outside the gateway."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from sidecar.cli import view
from sidecar.cli.demo.books import Came, Sent, difference
from sidecar.errors import PathUnwritable
from sidecar.snapshot import GatewayStatus, LedgerRow, LedgerSnapshot


def frame(
    status: GatewayStatus, ledger: LedgerSnapshot, row: LedgerRow, sent: Sent, came: Came, *, title: str, notice: str
) -> Group:
    """All of it, to fit 80 columns and 24 lines. `row` is the ledger's sum of all traces."""
    inside = view.frame(status, ledger, notice)
    return Group(Text(title, style="bold cyan"), inside, Text(), outside(row, sent, came, under_way=True))


def save(shown: Group, file: Path) -> None:
    """A picture of it, as wide as 80 columns, that needs no font from elsewhere. PathUnwritable when it cannot be."""
    canvas = Console(record=True, width=80, file=io.StringIO())
    canvas.print(shown)
    svg = re.sub(r"\s*@font-face {.*?}", "", canvas.export_svg(title="make run"), flags=re.DOTALL)
    svg = re.sub(
        r"<!--.*?-->", "<!-- saved by spangate demo -->", svg.replace("Fira Code", "ui-monospace, Menlo, Consolas")
    )
    try:
        file.write_text(svg.replace("<svg ", '<svg xml:space="preserve" ', 1), encoding="utf-8")
    except OSError as error:
        raise PathUnwritable(str(file), (error.strerror or str(error)).lower()) from None


def outside(row: LedgerRow, sent: Sent, came: Came, *, under_way: bool) -> Table:
    """The other two books, and how far they are from the ledger. `under_way`: answers still are."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("counted outside", no_wrap=True)
    table.add_column("spans", justify="right", no_wrap=True)
    table.add_column("")
    table.add_row("SDK acknowledged", f"{sent.acknowledged:,}", f"of {sent.made:,} made, {sent.failed:,} given up")
    table.add_row(
        "backends decoded",
        f"{came.distinct:,}",
        f"distinct, {came.twice:,} came twice, {came.split:,} of {came.traces:,} traces split",
    )
    off = difference(row, came)
    style = "bold green" if off == 0 else "" if under_way else "bold red"
    words = "  (answers under way)" if under_way and off else ""
    table.add_row("ledger forwarded", f"{row.forwarded:,}", Text(f"difference {off:,}{words}", style=style))
    return table


def final(row: LedgerRow) -> Table:
    """The ledger at the end, term by term."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("final ledger", no_wrap=True)
    table.add_column("spans", justify="right", no_wrap=True)
    for name, count in (
        ("received", row.received),
        ("  forwarded", row.forwarded),
        ("  sampled out", row.sampled_out),
        ("  rejected", row.rejected),
        ("  dropped", row.dropped_total),
        ("  in flight", row.in_flight),
    ):
        table.add_row(name, f"{count:,}")
    table.add_row("difference", Text(f"{row.difference:,}", style="bold red" if row.difference else "bold green"))
    return table


def line(at_s: float, status: GatewayStatus, row: LedgerRow, came: Came) -> str:
    """A second of it, for what is no terminal."""
    rates = status.rates
    shares = " ".join(f"{backend.share:.0%}" for backend in status.backends)
    latency = f"p50 {status.latency_p50_ms:.2f} ms, p99 {status.latency_p99_ms:.2f} ms"
    return (
        f"{at_s:4.0f} s  {rates.received:,.0f} spans/s, {rates.forwarded:,.0f} forwarded, "
        f"{rates.sampled_out:,.0f} sampled out; {latency}; shares {shares}; "
        f"forwarded {row.forwarded:,}, at backends {came.distinct:,}"
    )
