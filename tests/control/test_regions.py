import msgspec
import pytest

from sidecar.control.refusal import AlreadyThere, NotThere, RegionInUse
from sidecar.coord.session import FAREWELL
from sidecar.coord.store import Kind
from sidecar.errors import QuestionInvalid, Refused
from tests.control.fleet_store import KEYS, LOCAL, announce, collector, desk


async def test_a_region_is_there_by_hand_by_its_configuration_or_by_who_is_in_it() -> None:
    async with desk() as (one, store):
        await one.regions.create("made")
        await one.apply("regions/told", LOCAL, author="ann")
        await announce(store, "gw", "lived")
        await one.regions.register(collector("c", "lived"), 15)
        found = {region.name: region for region in await one.regions.list()}
        assert list(found) == ["lived", "made", "told"]
        assert [region.created for region in found.values()] == [False, True, False]
        assert found["told"].config_version == 1
        lived = found["lived"]
        assert [service.id for service in (*lived.gateways, *lived.collectors)] == ["gw", "c"]


async def test_a_region_is_created_once() -> None:
    async with desk() as (one, _):
        await one.regions.create("eu")
        with pytest.raises(AlreadyThere):
            await one.regions.create("eu")


@pytest.mark.parametrize("name", ["", "a/b", "../x", "é", "x" * 200])
async def test_a_name_has_to_fit_a_key(name: str) -> None:
    async with desk() as (one, _):
        with pytest.raises(QuestionInvalid):
            await one.regions.create(name)
        with pytest.raises(QuestionInvalid):
            await one.regions.register(collector("c", name), 15)


async def test_a_region_in_use_is_deleted_by_force_alone() -> None:
    async with desk() as (one, store):
        for number in range(5):
            await announce(store, f"gw-{number}", "eu")
        with pytest.raises(RegionInUse, match="gw-0, gw-1, gw-2 and 2 more are registered"):
            await one.regions.delete("eu")
        await one.regions.delete("eu", force=True)
        assert [region.name for region in await one.regions.list()] == ["eu"], "who announces is still there"


async def test_a_deleted_region_leaves_only_its_history() -> None:
    async with desk() as (one, store):
        await one.regions.create("eu")
        await one.apply("regions/eu", LOCAL, author="ann")
        await store.put(KEYS.view("eu"), b"{}")
        await store.put(f"{KEYS.stats}eu", b"{}")
        await one.regions.delete("eu")
        assert await one.regions.list() == []
        left = [entry.key for entry in (await store.list(KEYS.prefix)).entries if "/lock/" not in entry.key]
        assert left == [f"{KEYS.history('regions/eu')}0000000001"]
        with pytest.raises(NotThere):
            await one.regions.delete("eu")
        assert (await one.rollback("regions/eu", 1, author="ann")).version == 2


async def test_a_registration_is_renewed_and_written_only_when_it_says_something_new() -> None:
    async with desk() as (one, store):
        first = await one.regions.register(collector("c"), 15)
        assert first.anew
        written = await store.get(f"{KEYS.collectors('eu')}c")
        again = await one.regions.register(collector("c"), 15, first.lease.id)
        assert (again.anew, again.lease.id) == (False, first.lease.id)
        assert await store.get(f"{KEYS.collectors('eu')}c") == written
        other = msgspec.structs.replace(collector("c"), weight=2.0)
        await one.regions.register(other, 15, first.lease.id)
        now = await store.get(f"{KEYS.collectors('eu')}c")
        assert now
        assert written
        assert now.modified > written.modified


async def test_a_registration_that_has_expired_is_made_anew() -> None:
    async with desk() as (one, store):
        first = await one.regions.register(collector("c"), 15)
        await store.revoke(first.lease)
        again = await one.regions.register(collector("c"), 15, first.lease.id)
        assert again.anew
        assert again.lease.id != first.lease.id


async def test_whoever_registers_last_has_the_id() -> None:
    async with desk() as (one, _):
        first = await one.regions.register(collector("c"), 15)
        second = await one.regions.register(collector("c"), 15)
        with pytest.raises(Refused, match="registered by somebody else"):
            await one.regions.register(collector("c"), 15, first.lease.id)
        with pytest.raises(NotThere):
            await one.regions.deregister("eu", "c", first.lease.id)
        await one.regions.deregister("eu", "c", second.lease.id)
        assert await one.regions.list() == []


async def test_who_deregisters_says_so() -> None:
    """A leader that watches need not take it for a loss."""
    async with desk() as (one, store):
        first = await one.regions.register(collector("c"), 15)
        key = f"{KEYS.collectors('eu')}c"
        entry = await store.get(key)
        assert entry
        async with store.watch(key, entry.modified) as batches:
            await one.regions.deregister("eu", "c", first.lease.id)
            events = [event for _ in range(2) for event in (await anext(batches)).events]
        assert [(event.kind, event.entry.value) for event in events] == [(Kind.PUT, FAREWELL), (Kind.DELETE, b"")]


@pytest.mark.parametrize("ttl_s", [0, -1, 1e9, float("nan")])
async def test_a_ttl_has_bounds(ttl_s: float) -> None:
    async with desk() as (one, _):
        with pytest.raises(QuestionInvalid):
            await one.regions.register(collector("c"), ttl_s)


async def test_an_endpoint_may_be_an_id() -> None:
    async with desk() as (one, _):
        await one.regions.register(collector("[::1]:4317"), 15)
        with pytest.raises(QuestionInvalid):
            await one.regions.register(collector("a/b"), 15)
