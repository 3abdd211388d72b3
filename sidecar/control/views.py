"""The views that one gateway uses: of its own region, and of regions that routing rules name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from sidecar.control.records import ViewRecord, read
from sidecar.coord.keys import Keys
from sidecar.coord.mirror import Mirror
from sidecar.coord.replica import Change

MakeMirror = Callable[[str], Mirror]


class Views:
    """One mirror for each region in use. A view that vanishes from the store stays as it was: last good."""

    def __init__(self, keys: Keys, mirror_of: MakeMirror, changed: Callable[[], None]) -> None:
        self._keys, self._mirror_of, self._changed = keys, mirror_of, changed
        self._mirrors: dict[str, Mirror] = {}
        self._views: dict[str, ViewRecord] = {}
        self._ending: set[asyncio.Task[None]] = set()
        """Mirrors that nobody needs any more, on their way to an end."""

    def __getitem__(self, region: str) -> ViewRecord | None:
        return self._views.get(region)

    @property
    def all(self) -> Mapping[str, ViewRecord]:
        """By region."""
        return dict(self._views)

    @property
    def watched(self) -> frozenset[str]:
        """The regions in use."""
        return frozenset(self._mirrors)

    def recall(self, views: Mapping[str, ViewRecord]) -> None:
        """Takes what was in force before a restart; the store's word replaces it."""
        self._views.update(views)

    def use(self, regions: Iterable[str]) -> None:
        """Watches these regions from now on, and no others: what is known of others is let go of."""
        wanted = set(regions)
        for region in wanted - self._mirrors.keys():
            mirror = self._mirrors[region] = self._mirror_of(self._keys.view(region))
            mirror.subscribe(self._taker(region, mirror))
            mirror.start()
        for region in self._mirrors.keys() - wanted:
            ending = asyncio.get_running_loop().create_task(self._mirrors.pop(region).stop())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        self._views = {region: view for region, view in self._views.items() if region in wanted}

    async def ready(self) -> None:
        """When each has been heard of once."""
        for mirror in list(self._mirrors.values()):
            await mirror.ready()

    async def stop(self) -> None:
        """Watches nothing any more."""
        self.use(())
        if self._ending:
            await asyncio.wait(self._ending)

    def _taker(self, region: str, mirror: Mirror) -> Callable[[Change], None]:
        key = self._keys.view(region)

        def take(change: Change) -> None:
            for entry in change.put:
                known = entry.key == key and self._mirrors.get(region) is mirror  # else it has been let go of
                if known and (view := read(ViewRecord, entry)) is not None:
                    self._views[region] = view
                    self._changed()

        return take
