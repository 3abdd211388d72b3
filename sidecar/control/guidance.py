"""What the fleet tells one gateway: the values in force, as one immutable value."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sidecar.config.fleet import FleetConfig
from sidecar.control.records import ConfigState, TargetRecord, ViewRecord

GLOBAL = "global"
"""The scope of the configuration for all regions."""


def scope_of(region: str) -> str:
    """The scope of the configuration for one region."""
    return f"regions/{region}"


class Guidance(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that comes from the store and decides something here."""

    config: FleetConfig = FleetConfig()
    states: Mapping[str, ConfigState] = {}
    """By scope: what is in force, and what is refused."""
    target: TargetRecord | None = None
    """The last one that was seen."""
    led: bool = False
    """Whether its writer still leads."""
    views: Mapping[str, ViewRecord] = {}
    """Of the own region and of those that rules name."""
