"""What is announced, when, and when not."""

import asyncio
from functools import partial
from pathlib import Path

import msgspec
import pytest

from sidecar.control.announcer import ACKNOWLEDGED_PER_S, SPREAD_S, differs
from sidecar.control.records import CollectorRecord, ConfigState, GatewayRecord, TargetRecord
from sidecar.coord.memory import MemoryStore
from sidecar.coord.store import StoreDenied
from sidecar.model import Health
from sidecar.sampling.plan import ServiceLoad
from sidecar.snapshot import Load
from tests.control.members import EVERY_S, KEYS, TTL_S, blob, hall, seen
from tests.control.records import address, gateway
from tests.coord.virtual_time import clock, virtual

pytestmark = pytest.mark.usefixtures("no_threads")

OWN = f"{KEYS.gateways('eu')}g1"


def has_applied(version: int, record: GatewayRecord) -> bool:
    return record.config.get("global", ConfigState()).applied_version == version


@virtual
async def test_nothing_is_written_while_nothing_changes(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        one.senses.seen = {"shop": ServiceLoad(received=1000, kept=100)}
        await seen(lambda: one.guidance.led and one.guidance.views, "it is in the fleet")
        await asyncio.sleep(5 * EVERY_S)
        announced, entry = one.coordinator.announcer.announced, await here.shared.get(OWN)
        one.senses.seen = {"shop": ServiceLoad(received=1005, kept=100.5)}
        one.senses.own_load = Load(cpu=0.02)
        await asyncio.sleep(30 * EVERY_S)
        assert one.coordinator.announcer.announced == announced
        assert await here.shared.get(OWN) == entry
        one.senses.seen = {"shop": ServiceLoad(received=1100, kept=110)}
        told = await here.reads(OWN, GatewayRecord, lambda record: record.received == 1100, "it is told")
        assert told.kept == 110


@virtual
async def test_a_configuration_is_acknowledged_at_once(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        await seen(lambda: one.guidance.led and one.guidance.views, "it is in the fleet")
        for version in range(1, 6):
            began_s = clock().time()
            await here.shared.put(KEYS.global_config, blob("global: {sampling_rate: 0.5}", version))
            told = await here.reads(OWN, GatewayRecord, partial(has_applied, version), "it is told")
            assert told.config["global"].refused == ()
            assert clock().time() - began_s < 0.5 < EVERY_S


@virtual
async def test_what_the_store_denies_is_told_later(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        await seen(lambda: one.guidance.led, "it is in the fleet")
        put = here.shared.put

        async def denied(key: str, *what: object, **how: object) -> int:
            if key == OWN:
                raise StoreDenied("not with these rights")
            return await put(key, *what, **how)  # type: ignore[arg-type]

        here.shared.put = denied  # type: ignore[method-assign]
        one.senses.seen = {"shop": ServiceLoad(received=10)}
        await asyncio.sleep(3 * EVERY_S)
        one.senses.seen = {"shop": ServiceLoad(received=20)}
        await asyncio.sleep(3 * EVERY_S)
        here.shared.put = put  # type: ignore[method-assign]
        await here.reads(OWN, GatewayRecord, lambda record: record.received == 20, "the last word gets there")
        one.senses.seen = {"shop": ServiceLoad(received=30)}
        await here.reads(OWN, GatewayRecord, lambda record: record.received == 30, "and what comes after")


@virtual
async def test_the_collector_beside_it_is_announced_with_its_health(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        key = f"{KEYS.collectors('eu')}c-g1"
        told = await here.reads(key, CollectorRecord, lambda record: record, "it is registered")
        sick = msgspec.structs.replace(told.service, health=Health.UNHEALTHY, reason="its queue is full")
        one.senses.beside = msgspec.structs.replace(told, service=sick)
        told = await here.reads(key, CollectorRecord, lambda record: record.service.reason, "its health is told")
        assert told.by == "g1"


@virtual
async def test_all_is_announced_again_after_a_lost_lease(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        one, _two = await here.join("g1", "g2")
        one.store.cut()
        await asyncio.sleep(2 * TTL_S)
        assert await here.shared.get(OWN) is None
        one.store.mend()
        await here.reads(OWN, GatewayRecord, lambda record: record, "it is back")
        assert one.coordinator.session.losses == 1


def test_what_is_worth_telling() -> None:
    plain = gateway("g", observed={"shop": ServiceLoad(received=100)})
    replace = msgspec.structs.replace
    assert not differs(plain, plain)
    assert not differs(replace(plain, target_sequence=9), plain), "each step of the target is everybody's"
    assert differs(replace(plain, target_token=9), plain)
    assert differs(replace(plain, view_epochs={"eu": 2}), plain)
    doubting = replace(plain, suspects={str(address("a")): "refused"})
    assert differs(doubting, plain)
    assert not differs(replace(plain, suspects={str(address("a")): "timed out"}), doubting), "another reason is no news"
    assert differs(gateway("g", observed={"shop": ServiceLoad(received=100), "pay": ServiceLoad(received=1)}), plain)


@virtual
async def test_a_large_fleet_acknowledges_bit_by_bit(tmp_path: Path) -> None:
    """As many gateways as the target says there are do not write at once; those few that there are do."""
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        announcer = one.coordinator.announcer
        await seen(lambda: one.guidance.led and one.guidance.target, "it is in the fleet")
        assert announcer._spread_s() == min(SPREAD_S, EVERY_S / 10)
        announcer._applied = msgspec.structs.replace(one.guidance, target=TargetRecord(token=1, gateways=10_000))
        assert announcer._spread_s() == 10_000 / ACKNOWLEDGED_PER_S
