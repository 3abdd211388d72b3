"""The metrics of a gateway as a member of a fleet, and of where its load is heading. The rest is in `table`."""

from __future__ import annotations

from collections.abc import Callable

from sidecar.snapshot import FleetStatus, Foresight
from sidecar.telemetry.table import Row, Values, View


def _of_fleet(value: Callable[[FleetStatus], float]) -> Callable[[View], Values]:
    return lambda view: (((), value(view.status.fleet)),)


def _of_load(value: Callable[[Foresight], float]) -> Callable[[View], Values]:
    return lambda view: (((), value(view.status.foresight)),)


def _offices(view: View) -> Values:
    """Of every office that this gateway may hold."""
    scopes = ("global", f"regions/{view.status.region}")
    return (((scope,), float(scope in view.status.fleet.leads)) for scope in scopes)


def _left(view: View) -> Values:
    """After each cause of shedding, of every class: 1 where nothing is shed."""
    shed = view.status.foresight.shed
    return (
        ((cause, name), shed.get(cause, {}).get(name, 1.0))
        for cause in ("degradation", "ceiling")
        for name in ("low", "normal", "high", "errors")
    )


def _row(name: str, text: str, value: Callable[[FleetStatus], float], kind: str = "gauge") -> Row:
    return Row(f"spangate_{name}", kind, text, (), _of_fleet(value))


FLEET_TABLE: tuple[Row, ...] = (
    _row("store_connected", "1 while the store is heard.", lambda f: f.connected),
    _row("state_kept", "1 while what is in force is kept on disk.", lambda f: not f.unkept),
    _row("watch_lag_seconds", "Time since the store last gave a sign of life.", lambda f: f.silent_for_s),
    _row(
        "config_age_seconds",
        "Time since the configuration in force was known to be the newest.",
        lambda f: f.config_age_s,
    ),
    Row(
        "spangate_config_version",
        "gauge",
        "Version of the fleet's configuration in force.",
        ("scope",),
        lambda v: (((scope,), one.applied_version) for scope, one in v.status.fleet.scopes.items()),
    ),
    Row(
        "spangate_config_refused",
        "gauge",
        "1 while a later version of the configuration is refused.",
        ("scope",),
        lambda v: (((scope,), float(bool(one.refused))) for scope, one in v.status.fleet.scopes.items()),
    ),
    Row(
        "spangate_view_epoch",
        "gauge",
        "Epoch of the view in force.",
        ("region",),
        lambda v: (((region,), epoch) for region, epoch in v.status.fleet.view_epochs.items()),
    ),
    _row("view_members", "Collectors in the own region's view.", lambda f: f.members),
    _row("view_members_down", "Of those, the ones that everybody passes over.", lambda f: f.members_down),
    Row(
        "spangate_region_fallback",
        "gauge",
        "1 while services that a rule sends to the region stay in the own one: it has no healthy collector.",
        ("region",),
        lambda v: (((region,), 1.0) for region in v.status.fleet.fallbacks),
    ),
    _row("lease_valid", "1 while the fleet knows this gateway.", lambda f: f.lease_valid),
    _row("lease_losses_total", "Leases that have expired.", lambda f: f.lease_losses, "counter"),
    Row("spangate_leader", "gauge", "1 while this gateway leads.", ("scope",), _offices),
    _row("fleet_led", "1 while anybody leads the fleet.", lambda f: f.led),
    _row("sampling_target_token", "Of the leader that wrote the target in force.", lambda f: f.target_token),
    _row("sampling_target_sequence", "Of the target in force.", lambda f: f.target_sequence),
    _row(
        "sampling_floor",
        "The lowest rate that the strategies allow; 1 where none moves it.",
        lambda f: f.sampling_floor,
    ),
    _row("watch_relists_total", "Listings after the first one.", lambda f: f.relists, "counter"),
    _row("watch_resumes_total", "Watches that were taken up again.", lambda f: f.resumes, "counter"),
    _row("watch_events_total", "Changes that the store has told of.", lambda f: f.watch_events, "counter"),
    _row("config_resync_diff_total", "Changes that a watch had lost.", lambda f: f.resync_differences, "counter"),
    _row("announcements_total", "Records that this gateway has written of itself.", lambda f: f.announced, "counter"),
    Row("spangate_utilization", "gauge", "The worst of CPU, memory and queue.", (), _of_load(lambda f: f.utilization)),
    Row("spangate_cpu_utilization", "gauge", "Of what it may use.", (), _of_load(lambda f: f.load.cpu)),
    Row("spangate_memory_utilization", "gauge", "Of what it may use.", (), _of_load(lambda f: f.load.memory)),
    Row("spangate_queue_utilization", "gauge", "Fill of the fullest queue.", (), _of_load(lambda f: f.load.queue)),
    Row(
        "spangate_forecast_utilization",
        "gauge",
        "Utilization that is expected at the horizon.",
        (),
        _of_load(lambda f: f.forecast),
    ),
    Row("spangate_forecast_confidence", "gauge", "Of the forecast, 0 to 1.", (), _of_load(lambda f: f.confidence)),
    Row("spangate_forecast_error", "gauge", "Mean absolute error of past forecasts.", (), _of_load(lambda f: f.error)),
    Row(
        "spangate_forecast_naive_error",
        "gauge",
        "The same of the forecast that nothing changes.",
        (),
        _of_load(lambda f: f.naive_error),
    ),
    Row(
        "spangate_degradation_level",
        "gauge",
        "0: nothing is shed; 1: all that may be.",
        (),
        _of_load(lambda f: f.degradation_level),
    ),
    Row(
        "spangate_shed_left",
        "gauge",
        "Share of a class that is left after shedding; degradation: overload, ceiling: nobody leads the fleet.",
        ("cause", "class"),
        _left,
    ),
)
