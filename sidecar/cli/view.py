"""The live view of a gateway, to fit 80 columns: pure functions from snapshots to what rich prints."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from sidecar.cli.standing import standing
from sidecar.snapshot import BackendStatus, GatewayStatus, LedgerRow, LedgerSnapshot, WorkerStatus

_BAR_CELLS = 6


def frame(status: GatewayStatus, ledger: LedgerSnapshot, notice: str = "") -> Group:
    """All of it. `notice` is a line of trouble above the rest."""
    parts: list[RenderableType] = [Text(notice, style="bold red")] if notice else []
    parts += [headline(status), flow(status), standing(status)]
    parts += [Text(), backends(status.backends), Text(), accounts(ledger)]
    if losses := dropped(ledger):
        parts.append(losses)
    return Group(*parts, Text(), workers(status.workers))


def headline(status: GatewayStatus) -> Text:
    """Who it is, whether it is well, and how it is set."""
    state = ("ready", "bold green") if status.ready else (f"not ready: {status.reason}", "bold red")
    settings = (
        ", ".join(status.listen),
        f"region {status.region}",
        status.strategy,
        f"sampling {status.sampling_rate:g}",
        f"policy {status.generation}",
    )
    return Text.assemble(
        (f"spangate {status.version}", "bold"),
        "  ",
        state,
        f"  up {_lasted(status.uptime_s)}",
        f"  holds {_size(status.memory_bytes)} of {_size(status.memory_limit_bytes)}\n",
        ("  ".join(settings), "dim"),
    )


def flow(status: GatewayStatus) -> Table:
    """What happens per second."""
    rates = status.rates
    table = _table(
        "requests/s", "MB/s", "items/s", "forwarded/s", "sampled out/s", "refused/s", "p50 ms", "p99 ms", left=0
    )
    table.add_row(
        _count(rates.requests),
        f"{rates.received_bytes / 1e6:.1f}",
        _count(rates.received),
        _count(rates.forwarded),
        _count(rates.sampled_out),
        _bad(rates.refused),
        f"{status.latency_p50_ms:.2f}",
        f"{status.latency_p99_ms:.2f}",
    )
    return table


def backends(found: tuple[BackendStatus, ...]) -> Table:
    """A row for each backend: its share as a bar, or why it has none."""
    table = _table("backend", "share", "queue", "calls", "p50 ms", "p99 ms", "sent", "failed", left=2)
    for backend in found:
        table.add_row(
            Text.assemble(("● ", "green" if backend.up else "red"), backend.name),
            _share(backend),
            _size(backend.queue_bytes),
            str(backend.calls_in_flight),
            f"{backend.latency_p50_ms:.2f}",
            f"{backend.latency_p99_ms:.2f}",
            _short(sum(backend.sent.values())),
            _bad(sum(backend.send_failed.values())),
        )
    return table


def accounts(ledger: LedgerSnapshot) -> RenderableType:
    """The ledger by signal; the last column is what cannot be accounted for. Counts are exact where they fit."""
    return _Fitting(_accounts(ledger, _count), _accounts(ledger, _short))


def _accounts(ledger: LedgerSnapshot, written: Callable[[float], str]) -> Table:
    table = _table("ledger", "received", "forwarded", "sampled out", "rejected", "dropped", "in flight", "diff")
    for row in ledger.totals():
        table.add_row(
            str(row.signal),
            *map(written, (row.received, row.forwarded, row.sampled_out)),
            *(Text(written(count), style="red" if count else "") for count in (row.rejected, row.dropped_total)),
            written(row.in_flight),
            _bad(row.difference) if row.difference else Text("0", style="bold green"),
        )
    return table


def dropped(ledger: LedgerSnapshot) -> Text | None:
    """Why items were dropped, where any were."""
    return (
        Text("\n").join(map(_losses, losing))
        if (losing := [row for row in ledger.totals() if row.dropped_total])
        else None
    )


def workers(found: tuple[WorkerStatus, ...]) -> Table:
    """A row for each worker."""
    table = _table("worker", "pid", "connections", "policy", "restarts", "cpu s")
    for worker in found:
        table.add_row(
            Text.assemble(("● ", "green" if worker.alive else "red"), str(worker.number)),
            str(worker.pid),
            str(worker.connections),
            str(worker.generation),
            _bad(worker.restarts),
            f"{worker.cpu_s:.1f}",
        )
    return table


class _Fitting:
    """The first of these tables that the terminal has the columns for; else the last one."""

    def __init__(self, *tables: Table) -> None:
        self._tables = tables

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unbounded = options.update_width(sys.maxsize)
        fitting = (t for t in self._tables if console.measure(t, options=unbounded).maximum <= options.max_width)
        yield next(fitting, self._tables[-1])


def _losses(row: LedgerRow) -> Text:
    reasons = ", ".join(f"{reason} {_count(count)}" for reason, count in row.dropped.items() if count)
    return Text(f"{row.signal} dropped: {reasons}", style="red")


def _table(*names: str, left: int = 1) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for i, name in enumerate(names):
        table.add_column(name, justify="left" if i < left else "right", no_wrap=True)
    return table


def _share(backend: BackendStatus) -> Text:
    if not backend.up:
        return Text(f"down {backend.reason}".strip(), style="red")
    filled = round(min(max(backend.share, 0.0), 1.0) * _BAR_CELLS)
    return Text("█" * filled + "░" * (_BAR_CELLS - filled) + f" {backend.share:.1%}")


def _bad(count: float) -> Text:
    return Text(_count(count), style="red" if count else "")


def _count(count: float) -> str:
    return f"{count:,.0f}"


def _short(count: float) -> str:
    for unit, worth in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= worth:
            return f"{count / worth:.1f}{unit}"
    return f"{count:.0f}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):,.1f} MiB"


def _lasted(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s"
