"""Whoever waits for the store is told soon that it is away."""

import asyncio

import pytest

from sidecar.control.answered import PATIENCE_S, answered
from sidecar.coord.store import StoreDenied, StoreUnavailable
from sidecar.errors import Exit
from tests.control.fleet_store import GLOBAL, desk
from tests.coord.virtual_time import clock, virtual


async def silent(_key: str) -> None:
    await asyncio.Event().wait()


@virtual
async def test_a_store_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk() as (one, store):
        monkeypatch.setattr(store, "get", silent)
        for question in (
            one.get("global"),
            one.history("global"),
            one.rollback("global", 1, author="ann"),
            one.regions.create("eu"),
            one.regions.delete("eu"),
        ):
            began_s = clock().time()
            with pytest.raises(StoreUnavailable, match="the store is away: it gives no answer") as told:
                await question
            assert clock().time() - began_s == pytest.approx(PATIENCE_S)
            assert (told.value.exit_code, "etcdctl" in told.value.hint) == (Exit.STORE, True)
        with pytest.raises(StoreUnavailable, match="the store is away"):
            await one.diff("global", GLOBAL)


async def test_other_words_of_the_store_stay_as_they_are() -> None:
    async def says(error: Exception) -> None:
        raise error

    with pytest.raises(StoreUnavailable, match=r"^the store is away: etcd at a:1: connection refused$"):
        await answered(says(StoreUnavailable("etcd at a:1: connection refused")))
    with pytest.raises(StoreDenied, match=r"^not for you$"):
        await answered(says(StoreDenied("not for you")))
