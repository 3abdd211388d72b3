"""What a member of a fleet follows, and what stays when the store is away, wiped or wrong."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from sidecar.control import last_good
from sidecar.control.records import TargetRecord, ViewRecord
from sidecar.coord.memory import MemoryStore
from sidecar.coord.mirror import MirrorState
from sidecar.model import Ownership
from tests.control.members import KEYS, Member, blob, hall, seen
from tests.coord.virtual_time import clock, virtual

pytestmark = pytest.mark.usefixtures("no_threads")

RATE = "global:\n  sampling_rate: {}\n"
RULE = "global:\n  routing_rules:\n    - {{service: 'pay*', target_region: {}}}\n"


def rate_of(member: Member) -> float:
    return member.effective.sampling.rate


@virtual
async def test_configuration_is_followed_by_all(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        one, two = await here.join("g1", "g2")
        await here.shared.put(KEYS.global_config, blob(RATE.format(0.25)))
        await seen(lambda: rate_of(one) == rate_of(two) == 0.25, "both take it")
        await here.shared.put(KEYS.region_config("eu"), blob("local:\n  regional_sampling_rate: 0.5\n", 7))
        await here.shared.put(KEYS.region_config("us"), blob("local:\n  regional_sampling_rate: 0.75\n"))
        await seen(lambda: rate_of(one) == rate_of(two) == 0.5, "that of their region, not of the other")
        assert one.guidance.states["regions/eu"].applied_version == 7
        assert "regions/us" not in one.guidance.states


@virtual
async def test_what_is_refused_is_seen_and_the_old_stays(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        await here.shared.put(KEYS.global_config, blob(RATE.format(0.25)))
        await seen(lambda: rate_of(one) == 0.25, "it is taken")
        for value in (blob(RATE.format(5), 2), b"{", b'{"version":2,"sha256":"","body":""}', blob("[" * 100_000, 2)):
            await here.shared.put(KEYS.global_config, value)
            await seen(lambda: one.guidance.states["global"].refused, "it is refused")
            state = one.guidance.states["global"]
            assert (state.applied_version, rate_of(one)) == (1, 0.25)
            await here.shared.put(KEYS.global_config, blob(RATE.format(0.25)))
            await seen(lambda: not one.guidance.states["global"].refused, "a good one mends it")
        await here.shared.delete(KEYS.global_config)
        await here.shared.put(KEYS.region_config("eu"), blob("local: {}\n"))
        await seen(lambda: "regions/eu" in one.guidance.states, "something later is seen")
        assert rate_of(one) == 0.25, "what the store has lost stays"


@virtual
async def test_what_was_refused_is_taken_once_it_fits(tmp_path: Path) -> None:
    """Whether `round_robin` fits depends on the gateway's own configuration."""
    rules = "global:\n  routing: {strategy: round_robin}\n"
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        refused: list[bool] = [True]
        check = one.coordinator.follower._check

        def picky(fleet: object) -> None:
            if refused[0]:
                raise ValueError("not with this one")
            check(fleet)  # type: ignore[arg-type]

        one.coordinator.follower._check = picky
        await here.shared.put(KEYS.global_config, blob(rules))
        await seen(lambda: one.guidance.states.get("global"), "it is seen")
        assert one.guidance.states["global"].refused == ("not with this one",)
        refused[0] = False
        one.coordinator.reconsider()
        assert one.guidance.states["global"].applied_version == 1
        assert one.effective.routing.ownership is Ownership.NONE


@virtual
async def test_a_start_without_the_store_uses_what_was_last_good(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        await here.shared.put(KEYS.global_config, blob(RATE.format(0.25)))
        await seen(lambda: rate_of(one) == 0.25 and one.guidance.led and one.guidance.views, "it is in the fleet")
        await one.leave()
        view, target = one.guidance.views["eu"], one.guidance.target

        again = Member(here.shared, "g1", tmp_path, clock())
        again.store.cut()
        here.members.append(again)
        await again.start()
        assert (rate_of(again), again.guidance.views["eu"]) == (0.25, view)
        assert (again.guidance.target, again.guidance.led) == (target, False)
        assert again.coordinator.config_mirror.state is MirrorState.AWAY
        await here.shared.put(KEYS.global_config, blob(RATE.format(0.75), 2))
        again.store.mend()
        await seen(lambda: rate_of(again) == 0.75 and again.guidance.led, "the store's word replaces it")


@virtual
async def test_a_change_just_before_the_end_is_kept(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        await here.shared.put(KEYS.global_config, blob(RATE.format(0.25)))
        await seen(lambda: one.guidance.states, "it is taken")
        await one.leave()
        kept = last_good.load(tmp_path / "g1" / "last-good.json")
        assert kept is not None
        assert kept.blobs["global"].version == 1


@virtual
async def test_a_damaged_last_good_is_no_obstacle(tmp_path: Path) -> None:
    for number, content in enumerate([b"", b"x" * 200, b"0" * 64 + b"\n{}"]):
        folder = tmp_path / f"g{number}"
        folder.mkdir()
        (folder / "last-good.json").write_bytes(content)
        async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
            (one,) = await here.join(f"g{number}")
            await seen(lambda: one.guidance.led, "it is in the fleet")  # noqa: B023


@virtual
async def test_a_full_disk_is_told_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Path, good: last_good.LastGood) -> None:
        raise last_good.LastGoodUnusable(f"cannot write {file}: No space left on device")

    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        with monkeypatch.context() as disk:
            disk.setattr(last_good, "save", full)
            await here.shared.put(KEYS.global_config, blob(RATE.format(0.25)))
            await seen(lambda: one.coordinator.saver.trouble, "it is told")
            assert rate_of(one) == 0.25
        await here.shared.put(KEYS.global_config, blob(RATE.format(0.5), 2))
        await seen(lambda: not one.coordinator.saver.trouble, "there is space again")
        kept = last_good.load(tmp_path / "g1" / "last-good.json")
        assert kept is not None
        assert kept.blobs["global"].version == 2


@virtual
async def test_the_disk_is_not_written_for_every_step_of_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[float] = []
    save = last_good.save

    def counted(file: Path, good: last_good.LastGood) -> None:
        writes.append(clock().time())
        save(file, good)

    monkeypatch.setattr(last_good, "save", counted)
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        await seen(lambda: one.guidance.led, "it is in the fleet")
        await seen(lambda: writes, "it is kept")
        before = len(writes)
        for _ in range(120):
            held = one.guidance.target
            assert held is not None
            one.coordinator._target = msgspec.structs.replace(held, sequence=held.sequence + 1)
            one.coordinator._changed()
            await asyncio.sleep(1.0)
        assert len(writes) - before <= 5


@virtual
async def test_rules_bring_views_of_other_regions_and_let_go_of_them(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        (far,) = await here.join("h1", region="us")
        await seen(lambda: "us" in far.guidance.views, "the other region has a view")
        assert one.coordinator.views.watched == {"eu"}
        await here.shared.put(KEYS.global_config, blob(RULE.format("us")))
        await seen(lambda: "us" in one.guidance.views, "it is wanted")
        assert one.guidance.views["us"] == far.guidance.views["us"]
        for version in range(2, 12):  # back and forth faster than a watch ends
            await here.shared.put(KEYS.global_config, blob(RULE.format("us" if version % 2 else "asia"), version))
        await here.shared.put(KEYS.global_config, blob(RATE.format(1), 12))
        await seen(lambda: one.guidance.states["global"].applied_version == 12, "the last one is in force")
        assert one.coordinator.views.watched == {"eu"}
        await seen(lambda: set(one.guidance.views) == {"eu"}, "it is let go of")


@virtual
async def test_views_of_former_rules_do_not_come_back_from_disk(tmp_path: Path) -> None:
    stale = ViewRecord(region="asia", epoch=3)
    last_good.save(tmp_path / "g1" / "last-good.json", last_good.LastGood(views={"asia": stale}))
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        await seen(lambda: "eu" in one.guidance.views, "it has its own")
        assert "asia" not in one.guidance.views


@virtual
async def test_a_wiped_store_is_believed_and_filled_again(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        one, two = await here.join("g1", "g2")
        for number in range(200):  # tokens are revisions: let them grow
            await here.shared.put("/elsewhere", str(number).encode())
        await one.coordinator.region_office.stop()  # the next leader has a high one
        await seen(lambda: two.guidance.led and "global" in two.leads, "the other leads")
        await seen(lambda: one.guidance.target == two.guidance.target, "both follow it")
        held = two.guidance.target
        assert held is not None
        here.wipe()
        await seen(lambda: not one.guidance.led, "the target is gone", 30)
        await seen(lambda: one.guidance.led and two.guidance.led, "somebody leads again")
        target = one.guidance.target
        assert target is not None
        assert target.token < held.token
        assert await here.read(KEYS.sampling_target, TargetRecord) == target
        for member in (one, two):
            assert await here.shared.get(f"{KEYS.gateways('eu')}{member.name}")


@virtual
async def test_leaving_deregisters_at_once(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        one, two = await here.join("g1", "g2")
        await seen(lambda: len(one.leads) == 2 and two.guidance.led, "the first leads both")
        began_s = clock().time()
        await one.coordinator.leave()
        assert clock().time() - began_s < 0.5
        keys = [entry.key for entry in (await here.shared.list(KEYS.regions)).entries]
        assert f"{KEYS.gateways('eu')}g1" not in keys
        assert f"{KEYS.collectors('eu')}c-g1" not in keys
        assert f"{KEYS.gateways('eu')}g2" in keys
        await seen(lambda: len(two.leads) == 2, "the other leads", 2.0)


@virtual
async def test_the_end_does_not_wait_for_a_store_that_is_away(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        one, two = await here.join("g1", "g2")
        await seen(lambda: two.guidance.led, "somebody leads")
        for member in (one, two):
            member.store.cut()
            began_s = clock().time()
            await member.leave()
            assert clock().time() - began_s < 5
        left = [task for task in _tasks() if "mirror" in task or "session" in task or "office" in task]
        assert left == []


@virtual
async def test_a_member_that_never_left_still_ends(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        await seen(lambda: one.guidance.led, "it leads")
        await one.coordinator.stop()
        assert await here.shared.get(f"{KEYS.gateways('eu')}g1") is None
        before = len(_tasks())
        await one.coordinator.stop()
        assert len(_tasks()) == before


def _tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if not task.done()]
