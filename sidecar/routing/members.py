"""Members that a configuration names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sidecar.config.schema import BackendConfig
from sidecar.ports import Member

Watcher = Callable[[Sequence[Member]], None]


class StaticMembers:
    """A Membership of the backends of a configuration: it changes when the configuration is loaded again."""

    def __init__(self, backends: Iterable[BackendConfig]) -> None:
        self._members = _members(backends)
        self._watchers: list[Watcher] = []

    def members(self) -> Sequence[Member]:
        """The members now."""
        return self._members

    def watch(self, changed: Watcher) -> Callable[[], None]:
        """Call `changed` with all members after every change. The answer ends it, and may be called twice."""

        def end() -> None:
            if entry in self._watchers:
                self._watchers.remove(entry)

        def entry(members: Sequence[Member]) -> None:
            changed(members)

        self._watchers.append(entry)
        return end

    def replace(self, backends: Iterable[BackendConfig]) -> None:
        """Take the backends of another configuration; watchers are told if the members are others now."""
        members = _members(backends)
        if members != self._members:
            self._members = members
            for watcher in tuple(self._watchers):
                watcher(members)


def _members(backends: Iterable[BackendConfig]) -> tuple[Member, ...]:
    return tuple(Member(name=backend.name, address=backend.address, weight=backend.weight) for backend in backends)
