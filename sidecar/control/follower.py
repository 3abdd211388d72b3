"""Following the configuration of the fleet: what is in force here, and what is refused and why.

A value that does not validate changes nothing: the former one stays in force, and the refusal stays visible until a
better one comes. A configuration that vanishes from the store is no configuration either: the store has lost it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from sidecar.config.fleet import FleetConfig, GlobalConfig, LocalConfig
from sidecar.control.guidance import GLOBAL, scope_of
from sidecar.control.records import Blob, ConfigState
from sidecar.control.stored import sections_of
from sidecar.coord.keys import Keys
from sidecar.coord.store import KeyValue
from sidecar.errors import ConfigInvalid
from sidecar.telemetry import log

Check = Callable[[FleetConfig], None]
"""Raises ConfigInvalid where a configuration, good in itself, does not go together with the gateway's own."""


class ConfigFollower:
    """The configuration in force for one region, from the blobs of `global` and of that region."""

    def __init__(self, keys: Keys, region: str, check: Check) -> None:
        self._region, self._check = region, check
        self._scopes = {keys.global_config: GLOBAL, keys.region_config(region): scope_of(region)}
        self._log = log.logger("config")
        self.blobs: dict[str, Blob] = {}
        """In force, by scope."""
        self.states: dict[str, ConfigState] = {}
        self._refused: dict[str, tuple[bytes, int]] = {}
        """By scope, with its revision: what may yet do once something else has changed."""
        self.config = FleetConfig()

    def take(self, entries: Iterable[KeyValue]) -> bool:
        """Looks at what has been put; whether anything in force, or what is refused, has changed."""
        changed = False
        for entry in entries:
            scope = self._scopes.get(entry.key)
            if scope is not None:
                self._take(scope, entry.value, entry.modified)
                changed = True
        if changed:
            self.reconsider()
        return changed

    def recall(self, blobs: Mapping[str, Blob]) -> None:
        """Takes what was in force before a restart; the store's word replaces it."""
        for scope, blob in blobs.items():
            if scope in self._scopes.values():
                self._take(scope, msgspec.json.encode(blob), 0)
        self.reconsider()

    def reconsider(self) -> bool:
        """Looks again at what is refused: it may go together with what is in force by now. Whether anything is new."""
        before = dict(self.states)
        for scope, (value, revision) in tuple(self._refused.items()):
            self._take(scope, value, revision)
        return self.states != before

    def _take(self, scope: str, value: bytes, revision: int) -> None:
        held = self.states.get(scope, ConfigState())
        version, digest = 0, ""
        reasons: tuple[str, ...] = ()
        try:
            blob = msgspec.json.decode(value, type=Blob)
            version, digest = blob.version, blob.sha256
            self._enforce(scope, blob)
        except ConfigInvalid as error:
            reasons = tuple(str(problem) for problem in error.problems)
        except (ValueError, RecursionError) as error:  # of msgspec too; nested too deep
            reasons = (str(error),)
        if reasons:
            state = msgspec.structs.replace(held, refused_version=version, refused=reasons, refused_sha256=digest)
            if state != held or scope not in self._refused:
                self._log.error(
                    "a configuration is refused, the old one stays", scope=scope, version=version, why=reasons
                )
            self.states[scope], self._refused[scope] = state, (value, revision)
            return
        self._refused.pop(scope, None)
        self.states[scope] = ConfigState(applied_version=version, applied_revision=revision, applied_sha256=digest)
        self._log.info("a configuration is taken", scope=scope, version=version, revision=revision)

    def _enforce(self, scope: str, blob: Blob) -> None:
        sections = sections_of(blob, f"{scope} v{blob.version}")
        if scope == GLOBAL:
            config = FleetConfig(sections.everywhere or GlobalConfig(), self.config.regions)
        else:
            local = {self._region: sections.local or LocalConfig()}
            config = FleetConfig(self.config.everywhere, local)
        self._check(config)
        self.config = config
        self.blobs[scope] = blob
