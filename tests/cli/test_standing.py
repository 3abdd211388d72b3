"""What the live view says of a gateway in its fleet, and of its load."""

from typing import Any

import msgspec
import pytest
from rich.console import Console

from sidecar.cli.standing import standing
from sidecar.snapshot import FleetStatus, Foresight, GatewayStatus, Load, ScopeStatus

ALONE = GatewayStatus(version="0", region="eu", uptime_s=1, ready=True)
FLEET = FleetStatus(
    id="gw-1",
    store="etcd",
    connected=True,
    scopes={"global": ScopeStatus(applied_version=3), "regions/eu": ScopeStatus(applied_version=1)},
    view_epochs={"us": 2, "eu": 4},
    members=7,
    lease_valid=True,
    led=True,
    target_rate=0.123456,
)
BUSY = Foresight(
    load=Load(cpu=0.12, memory=0.04),
    utilization=0.12,
    forecast=0.14,
    confidence=0.831,
    horizon_s=30,
    error=0.012,
    naive_error=0.02,
)


def shown(status: GatewayStatus, width: int = 80) -> list[str]:
    console = Console(width=width)
    with console.capture() as lines:
        console.print(standing(status))
    found = lines.get().splitlines()
    assert all(len(line) <= width for line in found)
    return [line.rstrip() for line in found]


def within(foresight: Foresight = BUSY, **changed: Any) -> list[str]:
    fleet = msgspec.structs.replace(FLEET, **changed)
    return shown(msgspec.structs.replace(ALONE, fleet=fleet, foresight=foresight))


def test_a_fleet_of_one_has_a_load_and_no_more() -> None:
    assert shown(ALONE) == ["load  0%  cpu 0%  memory 0%  queue 0%"]


def test_a_fleet_of_one_may_have_a_configuration() -> None:
    fleet = FleetStatus(scopes={"global": ScopeStatus(applied_version=2)}, view_epochs={"eu": 0}, leads=("global",))
    assert shown(msgspec.structs.replace(ALONE, fleet=fleet))[0] == "config  global v2"


def test_all_is_well() -> None:
    assert within() == [
        "fleet     gw-1  etcd is heard  target rate 0.1235",
        "views     eu epoch 4 (7 collectors)  us epoch 2",
        "config    global v3  eu v1",
        "load      12%  cpu 12%  memory 4%  queue 0%",
        "forecast  14% in 30 s, confidence 0.83  off by 1.2 points so far (naive: 2.0)",
    ]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"leads": ("global", "regions/eu")}, "fleet     gw-1  etcd is heard  leads global, eu  target rate 0.1235"),
        ({"led": False}, "fleet     gw-1  etcd is heard  nobody leads  target rate 0.1235"),
        ({"lease_valid": False}, "fleet     gw-1  etcd is heard  its lease is lost  target rate 0.1235"),
        ({"target_rate": None}, "fleet     gw-1  etcd is heard  rate as configured"),
        (
            {"connected": False, "silent_for_s": 12.3},
            "fleet     gw-1  etcd is silent for 12 s: the last word stays  target rate 0.1235",
        ),
        ({"trouble": "no answer"}, "          no answer"),
        ({"namesake": "b:4317"}, "          the gateway at b:4317 has the same id: the fleet sees one of the two"),
        ({"members_down": 1}, "views     eu epoch 4 (7 collectors, 1 down)  us epoch 2"),
        ({"members": 1}, "views     eu epoch 4 (1 collector)  us epoch 2"),
        (
            {"view_epochs": {"eu": 4}, "fallbacks": ("us",)},
            "views     eu epoch 4 (7 collectors)  us: nobody healthy, its services stay here",
        ),
    ],
)
def test_what_is_told_when_something_is_the_matter(changed: dict[str, Any], line: str) -> None:
    assert line in within(**changed)


def test_a_refusal_is_told_with_all_reasons() -> None:
    reasons = ("global v4:3: global.sampling_rate: must be from 0 to 1, not 2", "routing: does not go together")
    lines = within(scopes={"global": ScopeStatus(applied_version=3, refused_version=4, refused=reasons)})
    assert lines[2:6] == [
        "config    global v3",
        "          global v4 is refused:",
        "            line 3: global.sampling_rate: must be from 0 to 1, not 2",
        "            routing: does not go together",
    ]


def test_shedding_is_told() -> None:
    shed = {"degradation": {"low": 0.01, "normal": 0.2}, "ceiling": {"low": 0.0, "normal": 0.5}}
    now = msgspec.structs.replace(BUSY, degradation_level=0.5, shed=shed)
    assert within(now)[-2:] == [
        "shed      overload, level 0.50  left: low 1.0%  normal 20.0%",
        "          nobody leads, its own share  left: low 0.0%  normal 50.0%",
    ]


def test_a_forecast_that_has_not_been_measured_yet() -> None:
    young = Foresight(forecast=0.1, confidence=0.5, horizon_s=30)
    assert within(young)[-1] == "forecast  10% in 30 s, confidence 0.50"
