"""The live view of a gateway: pure functions from snapshots to what rich prints."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sidecar.snapshot import BackendStatus, GatewayStatus, LedgerRow, LedgerSnapshot, WorkerStatus

_BAR_CELLS = 12


def frame(status: GatewayStatus, ledger: LedgerSnapshot, notice: str = "") -> Group:
    """All of it. `notice` is a line of trouble above the rest."""
    parts: list[RenderableType] = [Text(notice, style="bold red")] if notice else []
    parts += [headline(status), flow(status), backends(status.backends), accounts(ledger), workers(status.workers)]
    return Group(*parts)


def headline(status: GatewayStatus) -> Text:
    """Who it is, and whether it is well."""
    state = ("ready", "bold green") if status.ready else (f"not ready: {status.reason}", "bold red")
    return Text("  ").join(
        [
            Text(f"spangate {status.version}", style="bold"),
            Text(*state),
            Text(f"{status.strategy}, sampling {status.sampling_rate:g}, policy {status.generation}"),
            Text(f"{', '.join(status.listen)}  region {status.region}  up {_lasted(status.uptime_s)}", style="dim"),
        ]
    )


def flow(status: GatewayStatus) -> Table:
    """What happens per second, and what is held."""
    rates = status.rates
    table = _table(
        "requests/s", "items/s", "MB/s", "forwarded/s", "sampled out/s", "refused/s", "p50 ms", "p99 ms", "held"
    )
    table.add_row(
        _count(rates.requests),
        _count(rates.received),
        f"{rates.received_bytes / 1e6:.1f}",
        _count(rates.forwarded),
        _count(rates.sampled_out),
        _bad(rates.refused),
        f"{status.latency_p50_ms:.2f}",
        f"{status.latency_p99_ms:.2f}",
        f"{_size(status.memory_bytes)} of {_size(status.memory_limit_bytes)}",
    )
    return table


def backends(found: tuple[BackendStatus, ...]) -> Table:
    """A row for each backend, its share as a bar."""
    table = _table(
        "backend", "state", "share", "weight", "queue", "calls", "p50 ms", "p99 ms", "sent", "failed", left=3
    )
    for backend in found:
        table.add_row(
            backend.name,
            Text("up", style="green") if backend.up else Text(f"down {backend.reason}".strip(), style="red"),
            f"{_bar(backend.share)} {backend.share:6.1%}",
            f"{backend.weight:g}",
            f"{_size(backend.queue_bytes)} of {_size(backend.queue_limit_bytes)}",
            str(backend.calls_in_flight),
            f"{backend.latency_p50_ms:.2f}",
            f"{backend.latency_p99_ms:.2f}",
            _count(sum(backend.sent.values())),
            _bad(sum(backend.send_failed.values())),
        )
    return table


def accounts(ledger: LedgerSnapshot) -> Table:
    """The ledger by signal; the last column is what cannot be accounted for."""
    table = _table("ledger", "received", "forwarded", "sampled out", "rejected", "dropped", "in flight", "difference")
    for row in ledger.totals():
        table.add_row(*_account(row))
    return table


def workers(found: tuple[WorkerStatus, ...]) -> Table:
    """A row for each worker."""
    table = _table("worker", "pid", "state", "connections", "policy", "restarts", "cpu s")
    for worker in found:
        table.add_row(
            str(worker.number),
            str(worker.pid),
            Text("alive", style="green") if worker.alive else Text("dead", style="red"),
            str(worker.connections),
            str(worker.generation),
            _bad(worker.restarts),
            f"{worker.cpu_s:.1f}",
        )
    return table


def _account(row: LedgerRow) -> list[str | Text]:
    dropped = " ".join(f"{reason} {_count(count)}" for reason, count in row.dropped.items() if count)
    return [
        str(row.signal),
        _count(row.received),
        _count(row.forwarded),
        _count(row.sampled_out),
        _bad(row.rejected),
        Text(dropped, style="red") if dropped else "0",
        _count(row.in_flight),
        _bad(row.difference) if row.difference else Text("0", style="bold green"),
    ]


def _table(first: str, *others: str, left: int = 1) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for i, name in enumerate((first, *others)):
        table.add_column(name, justify="left" if i < left else "right", no_wrap=True)
    return table


def _bar(share: float) -> str:
    filled = round(min(max(share, 0.0), 1.0) * _BAR_CELLS)
    return "█" * filled + "░" * (_BAR_CELLS - filled)


def _bad(count: float) -> Text:
    return Text(_count(count), style="red" if count else "")


def _count(count: float) -> str:
    return f"{count:,.0f}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):,.1f} MiB"


def _lasted(seconds: float) -> str:
    minutes, whole = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {whole:02}s"
