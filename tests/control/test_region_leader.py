"""What the leader of a region makes of the announcements, and that no two write."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from sidecar.config.schema import RoutingConfig
from sidecar.control.records import CollectorRecord, StatsRecord, ViewRecord
from sidecar.control.region import distinct
from sidecar.control.settle import settle
from sidecar.coord.memory import MemoryStore
from sidecar.coord.store import FenceLost, StoreFull
from sidecar.coord.survivors import GRACE_S
from sidecar.model import Health, MemberSource, RegionHealth, RoutingStrategy
from sidecar.policy.compile import compile_policy
from sidecar.routing.view import View
from sidecar.sampling.plan import ServiceLoad
from sidecar.snapshot import Load
from tests.control.members import KEYS, TTL_S, Hall, Member, hall, seen
from tests.control.records import address, collector
from tests.coord.virtual_time import clock, virtual

pytestmark = pytest.mark.usefixtures("no_threads")


def ids(view: ViewRecord | None) -> set[str]:
    return {member.id for member in view.members} if view else set()


async def whole(here: Hall, *members: Member) -> ViewRecord:
    """Waits until all have the same view, of all their collectors."""
    wanted = {f"c-{member.name}" for member in members}
    await seen(lambda: all(ids(one.guidance.views.get("eu")) == wanted for one in members), f"all see {wanted}")
    view = await here.read(KEYS.view("eu"), ViewRecord)
    assert view is not None
    return view


def note(by_epoch: dict[int, set[tuple[str, ...]]], members: list[Member]) -> None:
    """Adds the owners of some slots, as each member's policy has them."""
    for member in members:
        told = settle(member.own, member.guidance, View(0, ()))
        policy = compile_policy(1, told.areas, told.rules, told.config.routing, told.plan)
        area = policy.areas[0]
        owners = (area.view.members[area.routes.table.owners_of(slot)[0]].name for slot in range(0, 65536, 64))
        by_epoch.setdefault(area.view.epoch, set()).add(tuple(owners))


@virtual
async def test_the_same_epoch_is_the_same_owner(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        members = await here.join("g1", "g2", "g3")
        by_epoch: dict[int, set[tuple[str, ...]]] = {}
        await whole(here, *members)
        note(by_epoch, members)
        beside = members[1].senses.beside
        assert beside is not None
        sick = msgspec.structs.replace(beside.service, health=Health.UNHEALTHY, reason="disk")
        members[1].senses.beside = msgspec.structs.replace(beside, service=sick)
        await seen(lambda: all(one.guidance.views["eu"].down for one in members), "all pass it over")
        note(by_epoch, members)
        more = [*members, *await here.join("g4")]
        await whole(here, *more)
        note(by_epoch, more)
        assert len(by_epoch) >= 3
        assert all(len(owners) == 1 for owners in by_epoch.values())


@virtual
async def test_who_says_so_or_is_out_of_reach_is_down(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        members = await here.join("g1", "g2", "g3")
        await whole(here, *members)
        for member in members[:2]:
            member.senses.lost = {str(address("g3")): "refused"}
        await seen(lambda: members[2].guidance.views["eu"].down == ("c-g3",), "two of three make it down")
        epoch = members[2].guidance.views["eu"].epoch
        members[2].senses.lost = {str(address("g3")): "refused"}
        await asyncio.sleep(10)
        assert members[2].guidance.views["eu"].epoch == epoch, "another reason is no other view"
        for member in members:
            member.senses.lost = {}
        await seen(lambda: members[2].guidance.views["eu"].down == (), "it is back")
        stats = await here.reads(f"{KEYS.stats}eu", StatsRecord, lambda found: found.healthy == 3, "it is counted")
        assert (stats.health, stats.gateways) == (RegionHealth.HEALTHY, 3)


@virtual
async def test_weights_follow_load_under_intelligent(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        members = await here.join("g1", "g2")
        for member in members:
            routing = RoutingConfig(strategy=RoutingStrategy.INTELLIGENT, members=MemberSource.REGISTRY)
            member.own = msgspec.structs.replace(member.own, routing=routing)
        beside = members[0].senses.beside
        assert beside is not None
        members[0].senses.beside = msgspec.structs.replace(beside, load=Load(cpu=0.9, memory=0.9))

        def weights() -> dict[str, float]:
            view = members[1].guidance.views.get("eu")
            return {one.id: one.weight for one in view.members} if view else {}

        await seen(lambda: weights().get("c-g1", 1) < 0.6 < weights().get("c-g2", 0), "the loaded one weighs less")
        held = weights()
        leader = next(one for one in members if one.leads)
        other = next(one for one in members if one is not leader)
        await leader.coordinator.region_office.stop()
        await seen(lambda: other.leads, "the other leads")
        await asyncio.sleep(5)
        assert weights() == held, "the next leader goes on from them"


@virtual
async def test_the_sums_outlive_a_hand_over(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        one, two = await here.join("g1", "g2")
        one.senses.seen = {"shop": ServiceLoad(received=100, kept=10)}
        two.senses.seen = {"shop": ServiceLoad(received=300, kept=30)}

        sums = f"{KEYS.stats}eu"
        first = await here.reads(sums, StatsRecord, lambda found: found.received == 400, "both are in the sums")
        await one.coordinator.region_office.stop()  # it stays a gateway
        for _ in range(100):
            now = await here.read(sums, StatsRecord)
            assert now is not None, "they never vanish"
            assert now.received == 400
            await asyncio.sleep(0.05)
        second = await here.read(sums, StatsRecord)
        assert second is not None
        assert second.token > first.token


@virtual
async def test_one_that_leaves_takes_only_its_own_place(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        members = await here.join("g1", "g2", "g3", "g4")
        before = await whole(here, *members)
        await members[0].leave()  # the leader at that: its last word is a view without its collector
        after = await whole(here, *members[1:])
        assert (after.epoch, after.token) == (before.epoch + 1, before.token)
        await seen(lambda: any(len(one.leads) == 2 for one in members[1:]), "another leads both")
        await asyncio.sleep(2 * TTL_S)
        assert (await whole(here, *members[1:])).epoch == after.epoch


@virtual
async def test_a_rolling_upgrade_is_believed_each_time(tmp_path: Path) -> None:
    """All leave and come back within seconds of one another, the leader among them."""
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        members = await here.join("g1", "g2", "g3", "g4")
        view = await whole(here, *members)
        for name in ("g1", "g2", "g3", "g4"):
            await members.pop(0).leave()
            less = await whole(here, *members)
            members += await here.join(name)
            more = await whole(here, *members)
            assert (less.epoch, more.epoch) == (view.epoch + 1, view.epoch + 2)
            view = more


@virtual
async def test_all_but_one_leave_at_once(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        members = await here.join("g1", "g2", "g3", "g4", "g5")
        await whole(here, *members)
        await asyncio.gather(*(member.leave() for member in members[:4]))
        began_s = clock().time()
        await whole(here, members[4])
        assert clock().time() - began_s < TTL_S


@virtual
async def test_a_new_leader_waits_for_a_single_one_that_is_not_there_yet(tmp_path: Path) -> None:
    """The former leader's lease has expired, and it lives."""
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        one, two, three = await here.join("g1", "g2", "g3")
        before = await whole(here, one, two, three)
        lease = one.coordinator.session.lease
        assert lease is not None
        await here.shared.revoke(lease)
        await seen(lambda: len(two.leads) == 2, "another leads")
        await seen(one.coordinator.session.valid, "it registers anew")
        await asyncio.sleep(2 * TTL_S)
        assert (await whole(here, one, two, three)).epoch == before.epoch
        await two.crash()  # this one does not come back
        await seen(lambda: ids(one.guidance.views["eu"]) == {"c-g1", "c-g3"}, "it is given up", 3 * TTL_S)


@virtual
async def test_a_crashed_leader_is_followed_by_another(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        members = await here.join("g1", "g2", "g3", "g4")
        await whole(here, *members)
        await members[0].crash()
        await seen(lambda: any(len(one.leads) == 2 for one in members[1:]), "another leads both", 3 * TTL_S)
        await whole(here, *members[1:])


@virtual
async def test_a_storm_does_not_empty_the_view(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        members = await here.join("g1", "g2", "g3", "g4", "g5")
        before = await whole(here, *members)
        for member in members[2:]:
            member.store.cut()
        await asyncio.sleep(3 * TTL_S)
        assert members[0].guidance.views["eu"].members == before.members
        assert await here.shared.get(f"{KEYS.collectors('eu')}c-g5") is None, "its lease has expired"
        await asyncio.sleep(GRACE_S)
        await seen(lambda: ids(members[0].guidance.views["eu"]) == {"c-g1", "c-g2"}, "they are given up")
        for member in members[2:]:
            member.store.mend()
        await whole(here, *members)


@virtual
async def test_a_wiped_store_does_not_empty_the_view(tmp_path: Path) -> None:
    """The leader is a new one, and registrations come back one after the other."""
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        members = await here.join("g1", "g2", "g3", "g4", "g5")
        before = await whole(here, *members)
        members[4].store.cut()  # this one does not come back for a while
        smallest: list[int] = []
        for member in members:
            member.coordinator.subscribe(lambda told: smallest.append(len(told.views["eu"].members)))
        here.wipe()
        members[4].store.cut()
        await asyncio.sleep(GRACE_S / 2)
        assert min(smallest) == 5
        assert members[0].guidance.views["eu"].members == before.members
        assert (await whole(here, *members)).epoch == before.epoch
        await seen(lambda: len(members[0].guidance.views["eu"].members) == 4, "who does not come back is given up")
        members[4].store.mend()
        after = await whole(here, *members)
        assert after.epoch > before.epoch


@virtual
async def test_epochs_go_on_where_the_store_has_lost_them(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        members = await here.join("g1", "g2")
        before = await whole(here, *members)
        await here.shared.put(KEYS.view("eu"), b"no view")
        await asyncio.sleep(5)
        entry = await here.shared.get(KEYS.view("eu"))
        assert entry is not None
        assert msgspec.json.decode(entry.value, type=ViewRecord) == before, "it is mended"
        assert members[0].guidance.views["eu"] == before, "what does not read changes nothing"
        older = msgspec.structs.replace(before, epoch=before.epoch - 1, members=before.members[:1])
        await here.shared.put(KEYS.view("eu"), msgspec.json.encode(older))
        await seen(lambda: members[1].guidance.views["eu"].epoch > before.epoch, "the leader goes on above it")
        assert await whole(here, *members) == members[1].guidance.views["eu"]


@virtual
async def test_garbage_is_left_out(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        members = await here.join("g1")
        for number, value in enumerate([b"", b"{", b'{"service":1}', b"\xff\xfe"]):
            await here.shared.put(f"{KEYS.collectors('eu')}bad-{number}", value)
            await here.shared.put(f"{KEYS.gateways('eu')}bad-{number}", value)
        heavy = collector("heavy", weight=1e9)
        twin = msgspec.structs.replace(collector("twin"), service=collector("good").service)
        twin = msgspec.structs.replace(twin, service=msgspec.structs.replace(twin.service, id="twin"))
        for one in (heavy, twin, collector("good")):
            await here.shared.put(f"{KEYS.collectors('eu')}{one.service.id}", msgspec.json.encode(one))
        await seen(lambda: "good" in ids(members[0].guidance.views.get("eu")), "the good one is there")
        await asyncio.sleep(3)
        assert ids(members[0].guidance.views["eu"]) == {"c-g1", "good"}


@virtual
async def test_a_late_write_of_a_former_leader_is_refused(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        one, two = await here.join("g1", "g2")
        view = await whole(here, one, two)
        leadership = one.coordinator.region_office._election.leadership
        assert leadership is not None
        one.store.cut()
        await seen(lambda: "regions/eu" in two.leads, "the other leads")
        entry = await here.shared.get(KEYS.view("eu"))
        assert entry is not None
        assert not leadership.valid()
        with pytest.raises(FenceLost):
            await here.shared.compare_and_set(
                KEYS.view("eu"), msgspec.json.encode(view), entry.modified, fence=leadership.fence
            )
        one.store.mend()
        await whole(here, one, two)


@virtual
async def test_a_paused_leader_comes_back_as_a_follower(tmp_path: Path) -> None:
    """All stand still but the store, whose leases run out: both wake up at once."""
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        one, two = await here.join("g1", "g2")
        await whole(here, one, two)
        clock().stall(30)
        await seen(lambda: one.coordinator.session.valid() and two.coordinator.session.valid(), "they are back")
        await whole(here, one, two)
        await seen(lambda: len(one.leads) + len(two.leads) == 2, "each office has one holder")


@virtual
async def test_no_answer_for_a_moment_does_not_end_a_term(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        one, two = await here.join("g1", "g2")
        await whole(here, one, two)
        await seen(lambda: len(one.leads) == 2, "it leads")
        for _ in range(5):
            one.store.late = True  # writes arrive, their answers do not
            two.senses.seen = {"shop": ServiceLoad(received=two.senses.seen.get("shop", ServiceLoad()).received + 500)}
            await asyncio.sleep(1)
            one.store.late = False
            await asyncio.sleep(3)
        assert one.coordinator.region_office.terms == 1
        assert two.coordinator.region_office.terms == 0
        target = one.guidance.target
        assert target is not None
        assert target.fleet_received == 2500


@virtual
async def test_a_full_store_ends_no_gateway_and_is_not_stormed(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        one, two = await here.join("g1", "g2")
        view = await whole(here, one, two)
        put, cas = here.shared.put, here.shared.compare_and_set
        attempts: list[str] = []

        async def full(key: str, *_what: object, **_how: object) -> int:
            attempts.append(key)
            raise StoreFull("no space")

        here.shared.put = here.shared.compare_and_set = full  # type: ignore[method-assign,assignment]
        one.senses.own_load = Load(cpu=0.5)
        two.senses.own_load = Load(cpu=0.9)
        await asyncio.sleep(60)
        assert len(attempts) < 600
        assert one.guidance.views["eu"] == view
        here.shared.put, here.shared.compare_and_set = put, cas  # type: ignore[method-assign]
        await seen(lambda: len(one.leads) + len(two.leads) == 2, "somebody leads again")
        await here.join("g3")
        await whole(here, *here.members)


@virtual
async def test_a_region_of_many_services_still_fits(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        arrived = dict.fromkeys(range(1, 56), 1.25)
        one.senses.seen = {
            f"service-{number:04}-{'x' * 900}": ServiceLoad(received=number + 1.0, kept=1.0, arrived=arrived)
            for number in range(700)
        }
        found = await here.reads(f"{KEYS.stats}eu", StatsRecord, lambda one: one.received, "they are in the sums")
        assert found.received == pytest.approx(sum(range(1, 701)))
        assert "_other" in found.observed


@virtual
async def test_an_empty_region_is_led_without_a_view(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1", collector=False)
        await seen(lambda: one.guidance.led, "it leads")
        await asyncio.sleep(5)
        assert await here.shared.get(KEYS.view("eu")) is None
        stats = await here.read(f"{KEYS.stats}eu", StatsRecord)
        assert stats is not None
        assert (stats.collectors, stats.health) == (0, RegionHealth.UNHEALTHY)


def test_of_two_at_one_address_the_later_is_meant() -> None:
    def at(name: str, where: str, since: float) -> CollectorRecord:
        record = collector(name)
        who = msgspec.structs.replace(record.service, address=address(where), registered_at_unix_s=since)
        return msgspec.structs.replace(record, service=who)

    kept, wrong = distinct([at("a", "x", 1.0), at("b", "x", 2.0), at("c", "y", 0.0)])
    assert [one.service.id for one in kept] == ["b", "c"]
    assert wrong == ["a is registered at x.example:4317, as b is"]
