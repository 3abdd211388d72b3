"""How a gateway stands: in its fleet, and against its load. Lines of the live view, to fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sidecar.snapshot import FleetStatus, Foresight, GatewayStatus, ScopeStatus

_ALONE = "memory"


def standing(status: GatewayStatus) -> RenderableType:
    """What matters now, a row for each thing. A fleet of one has a configuration and a load, and no more to tell."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    fleet = status.fleet
    now = status.foresight
    rows = [("config", _config(fleet)), ("load", _load(now)), ("forecast", _forecast(now)), ("shed", _shed(now))]
    rows.append(("state", Text(f"nothing is kept on disk: {fleet.unkept}", "bold yellow") if fleet.unkept else Text()))
    if fleet.store != _ALONE:
        rows = [("fleet", _membership(fleet)), ("views", _views(fleet, status.region)), *rows]
    for name, told in rows:
        if told.plain:
            table.add_row(name, told)
    return table


# ---- the fleet


def _membership(fleet: FleetStatus) -> Text:
    """Who it is, whether the store is heard, what it leads, what it is to keep."""
    store = (
        (f"{fleet.store} is heard", "green")
        if fleet.connected
        else (f"{fleet.store} is silent for {fleet.silent_for_s:.0f} s: the last word stays", "bold red")
    )
    parts: list[str | tuple[str, str]] = [(fleet.id, "bold"), store]
    if not fleet.lease_valid:
        parts.append(("its lease is lost", "bold red"))
    if fleet.leads:
        parts.append((f"leads {', '.join(map(_scope, fleet.leads))}", "green"))
    elif not fleet.led:
        parts.append(("nobody leads", "yellow"))
    parts.append("rate as configured" if fleet.target_rate is None else f"target rate {fleet.target_rate:.4g}")
    told = _spaced(parts)
    if fleet.namesake:
        told.append(f"\nthe gateway at {fleet.namesake} has the same id: the fleet sees one of the two", "bold red")
    return told.append(f"\n{fleet.trouble}", "red") if fleet.trouble else told


def _views(fleet: FleetStatus, own: str) -> Text:
    """What it routes by: a view for each region that it sends to."""
    down = f", {fleet.members_down} down" if fleet.members_down else ""
    members = f"{fleet.members} {'collector' if fleet.members == 1 else 'collectors'}"
    parts: list[str | tuple[str, str]] = []
    for region, epoch in sorted(fleet.view_epochs.items(), key=lambda view: (view[0] != own, view[0])):
        more = f" ({members}{down})" if region == own else ""
        parts.append((f"{region} epoch {epoch}{more}", "yellow" if region == own and down else ""))
    parts += [(f"{region}: nobody healthy, its services stay here", "yellow") for region in fleet.fallbacks]
    return _spaced(parts)


def _config(fleet: FleetStatus) -> Text:
    """Versions in force, and those that are refused, with all reasons."""
    lines = [_spaced([f"{_scope(scope)} v{one.applied_version}" for scope, one in _applied(fleet)])]
    for scope, one in sorted(fleet.scopes.items()):
        if one.refused:
            lines.append(Text(f"{_scope(scope)} v{one.refused_version} is refused:", "bold red"))
            written = f"{scope} v{one.refused_version}:"
            reasons = (reason.replace(written, "line ", 1) for reason in one.refused)
            lines += [Text(f"  {reason}", "red") for reason in reasons]
    return Text("\n").join(line for line in lines if line)


def _applied(fleet: FleetStatus) -> Iterator[tuple[str, ScopeStatus]]:
    return ((scope, one) for scope, one in sorted(fleet.scopes.items()) if one.applied_version)


def _scope(name: str) -> str:
    return name.removeprefix("regions/")


# ---- the load


def _load(now: Foresight) -> Text:
    """How loaded it is: the worst of three, then all of them."""
    load = now.load
    return Text(f"{now.utilization:.0%}  cpu {load.cpu:.0%}  memory {load.memory:.0%}  queue {load.queue:.0%}")


def _forecast(now: Foresight) -> Text:
    """How loaded it will be, and how good such forecasts were, beside those that nothing changes."""
    if not now.horizon_s:
        return Text()
    told = f"{now.forecast:.0%} in {now.horizon_s:.0f} s, confidence {now.confidence:.2f}"
    if now.error or now.naive_error:
        told += f"  off by {now.error * 100:.1f} points so far (naive: {now.naive_error * 100:.1f})"
    return Text(told)


def _shed(now: Foresight) -> Text:
    """What is kept less of, a line for each cause."""
    why = {
        "degradation": f"overload, level {now.degradation_level:.2f}",
        "ceiling": "nobody leads, its own share",
    }
    lines = []
    for cause, classes in now.shed.items():
        left = "  ".join(f"{name} {share:.1%}" for name, share in classes.items())
        lines.append(Text(f"{why.get(cause, cause)}  left: {left}", "yellow"))
    return Text("\n").join(lines)


def _spaced(parts: list[str | tuple[str, str]] | list[str]) -> Text:
    return Text("  ").join(Text(part) if isinstance(part, str) else Text(*part) for part in parts)
