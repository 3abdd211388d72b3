"""Where everything lies in the store. All keys are under one prefix, `/spangate` unless configured."""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_PREFIX = "/spangate"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def is_name(name: str) -> bool:
    """Whether it may stand in a key as a region or id."""
    return _NAME.fullmatch(name) is not None


def checked(name: str) -> str:
    """A region or id that may stand in a key. ValueError otherwise."""
    if not is_name(name):
        raise ValueError(f"{name!r} is no name: at most 128 of A-Z a-z 0-9 . _ -, a letter or digit first")
    return name


@dataclass(frozen=True, slots=True)
class Keys:
    """The layout.

    config/global  config/regions/R      what people write (a Blob)
    history/global/N  history/regions/R/N    former versions, N counts up from 1 with leading zeros
    regions/R/info                       a region that was created by hand
    regions/R/collectors/ID  regions/R/gateways/ID    leased announcements
    regions/R/view                       the region leader's: who owns traces
    stats/R                              the region leader's sums
    sampling/target  sampling/state      the global leader's
    election/global  election/regions/R  lock/NAME
    """

    prefix: str = DEFAULT_PREFIX

    @property
    def config(self) -> str:
        return f"{self.prefix}/config/"

    @property
    def global_config(self) -> str:
        return f"{self.config}global"

    def region_config(self, region: str) -> str:
        return f"{self.config}regions/{checked(region)}"

    def history(self, scope: str) -> str:
        """The folder of former versions of `global` or `regions/R`."""
        return f"{self.prefix}/history/{scope}/"

    @property
    def regions(self) -> str:
        return f"{self.prefix}/regions/"

    def region_info(self, region: str) -> str:
        return f"{self.regions}{checked(region)}/info"

    def collectors(self, region: str) -> str:
        return f"{self.regions}{checked(region)}/collectors/"

    def gateways(self, region: str) -> str:
        return f"{self.regions}{checked(region)}/gateways/"

    def view(self, region: str) -> str:
        return f"{self.regions}{checked(region)}/view"

    @property
    def stats(self) -> str:
        return f"{self.prefix}/stats/"

    @property
    def sampling_target(self) -> str:
        return f"{self.prefix}/sampling/target"

    @property
    def sampling_state(self) -> str:
        return f"{self.prefix}/sampling/state"

    @property
    def global_election(self) -> str:
        return f"{self.prefix}/election/global/"

    def region_election(self, region: str) -> str:
        return f"{self.prefix}/election/regions/{checked(region)}/"

    def lock(self, name: str) -> str:
        return f"{self.prefix}/lock/{checked(name)}/"
