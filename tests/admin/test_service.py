import asyncio
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import quote

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message

from sidecar.admin.failure import heard
from sidecar.admin.service import AdminService
from sidecar.admin.v1 import admin_pb2 as pb
from sidecar.control.desk import Desk
from sidecar.coord.memory import MemoryStore
from sidecar.coord.store import StoreUnavailable
from sidecar.errors import Exit, PathUnwritable, PortTaken
from tests.control.fleet_store import GLOBAL, KEYS, LOCAL, announce, desk, rate

M = TypeVar("M", bound=Message)


class Client:
    """What somebody else would write, in any language."""

    def __init__(self, path: Path) -> None:
        self.channel = grpc.aio.insecure_channel(f"unix:{quote(str(path))}")

    async def call(self, method: str, request: Message, answer: type[M]) -> M:
        send = self.channel.unary_unary(
            f"/spangate.v1.Fleet/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return await send(request, timeout=20)

    async def stream(self, method: str, request: Message, answer: type[M]) -> AsyncIterator[M]:
        send = self.channel.unary_stream(
            f"/spangate.v1.Fleet/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        async for message in send(request, timeout=20):
            yield message


class Room:
    """A service, its store and a client."""

    def __init__(self, desk: Desk, store: MemoryStore, path: Path) -> None:
        self.store, self.path = store, path
        self.service = AdminService(desk, path)

    async def apply(self, body: str, region: str = "", expected: int | None = None) -> pb.ApplyConfigResponse:
        request = pb.ApplyConfigRequest(
            body=body, region=region, author="ann", source="f.yaml", expected_version=expected
        )
        return await self.client.call("ApplyConfig", request, pb.ApplyConfigResponse)

    async def get(self, region: str = "") -> pb.Config:
        return await self.client.call("GetConfig", pb.GetConfigRequest(region=region), pb.Config)

    async def __aenter__(self) -> Self:
        await self.service.start()
        self.client = Client(self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.channel.close()
        await self.service.stop()


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with desk() as (one, store), Room(one, store, tmp_path / "admin.sock") as room:
        yield room


def failure(error: grpc.aio.AioRpcError) -> pb.Failure:
    found = heard(error.trailing_metadata())
    assert found
    return found


async def test_apply_and_get(room: Room) -> None:
    first = await room.apply(GLOBAL)
    assert (first.version, first.changed) == (1, True)
    assert not (await room.apply(GLOBAL)).changed
    config = await room.get()
    assert (config.body, config.version, config.revision, config.author) == (GLOBAL, 1, first.revision, "ann")
    assert (await room.apply(LOCAL, "eu")).version == 1
    assert (await room.get("eu")).body == LOCAL


async def test_a_former_version(room: Room) -> None:
    await room.apply(rate(0.1))
    await room.apply(rate(0.2))
    config = await room.client.call("GetConfig", pb.GetConfigRequest(version=1), pb.Config)
    assert (config.body, config.revision) == (rate(0.1), 0)


async def test_what_is_wrong_with_a_text(room: Room) -> None:
    body = "global:\n  sampling_rate: 2\n  sampling_strategy: []\n"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await room.apply(body)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    told = failure(refused.value)
    assert told.exit_code == Exit.USAGE
    assert [(problem.line, problem.source) for problem in told.problems] == [(2, "f.yaml"), (3, "f.yaml")]
    answer = await room.client.call(
        "ValidateConfig", pb.ValidateConfigRequest(body=body, source="f.yaml"), pb.ValidateConfigResponse
    )
    assert list(answer.problems) == list(told.problems)


async def test_a_conflict_says_who_and_when(room: Room) -> None:
    await room.apply(rate(0.1))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await room.apply(rate(0.2), expected=0)
    assert refused.value.code() is grpc.StatusCode.ABORTED
    told = failure(refused.value)
    assert told.exit_code == Exit.REFUSED
    assert "ann applied it at 2023-11-14 22:13:20 UTC" in told.message
    assert (await room.apply(rate(0.2), expected=1)).version == 2


async def test_rollback_and_history(room: Room) -> None:
    for number in range(3):
        await room.apply(rate(number / 10))
    back = await room.client.call(
        "RollbackConfig", pb.RollbackConfigRequest(version=1, author="bob"), pb.ApplyConfigResponse
    )
    assert back.version == 4
    answer = await room.client.call("ListConfigHistory", pb.ListConfigHistoryRequest(), pb.ListConfigHistoryResponse)
    assert [(one.version, one.author, one.body) for one in answer.versions] == [
        (4, "bob", ""),
        (3, "ann", ""),
        (2, "ann", ""),
        (1, "ann", ""),
    ]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await room.client.call("RollbackConfig", pb.RollbackConfigRequest(version=9), pb.ApplyConfigResponse)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_diff(room: Room) -> None:
    await room.apply(rate(0.1))
    answer = await room.client.call("DiffConfig", pb.DiffConfigRequest(body=rate(0.2)), pb.DiffConfigResponse)
    assert "-  sampling_rate: 0.1\n+  sampling_rate: 0.2\n" in answer.diff


async def test_watching_ends_when_the_client_goes(room: Room) -> None:
    await room.apply(rate(0.1))
    call = room.client.stream("WatchConfig", pb.WatchConfigRequest(), pb.Config)
    assert (await anext(call)).version == 1
    await room.apply(rate(0.2))
    assert (await anext(call)).version == 2
    await call.aclose()  # type: ignore[attr-defined]


async def test_followers(room: Room) -> None:
    await room.apply(rate(0.1))
    await announce(room.store, "gw-1", "eu")
    request = pb.WatchFollowersRequest(version=1, timeout_s=0)
    looks = [look async for look in room.client.stream("WatchFollowers", request, pb.Followers)]
    assert looks == [pb.Followers(total=1, waiting=["gw-1"])]


async def test_regions(room: Room) -> None:
    await room.client.call("CreateRegion", pb.CreateRegionRequest(region="eu"), pb.CreateRegionResponse)
    await announce(room.store, "gw-1", "eu")
    answer = await room.client.call("ListRegions", pb.ListRegionsRequest(), pb.ListRegionsResponse)
    gateway = pb.Member(id="gw-1", address="10.0.0.1:4317", health="healthy")
    assert list(answer.regions) == [pb.Region(name="eu", created=True, gateways=[gateway])]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await room.client.call("DeleteRegion", pb.DeleteRegionRequest(region="eu"), pb.DeleteRegionResponse)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    await room.client.call("DeleteRegion", pb.DeleteRegionRequest(region="eu", force=True), pb.DeleteRegionResponse)


async def test_a_collector_is_registered_renewed_and_gone(room: Room) -> None:
    collector = pb.Collector(region="eu", endpoint="c:4317", health="healthy", load=pb.CollectorLoad(cpu=0.5))
    request = pb.RegisterCollectorRequest(collector=collector, ttl_s=15)
    first = await room.client.call("RegisterCollector", request, pb.RegisterCollectorResponse)
    assert first.anew
    request.lease_id = first.lease_id
    again = await room.client.call("RegisterCollector", request, pb.RegisterCollectorResponse)
    assert (again.anew, again.lease_id) == (False, first.lease_id)
    gone = pb.DeregisterCollectorRequest(region="eu", id="c:4317", lease_id=first.lease_id)
    await room.client.call("DeregisterCollector", gone, pb.DeregisterCollectorResponse)
    assert (await room.store.list(KEYS.regions)).entries == ()


@pytest.mark.parametrize(
    ("method", "request_", "answer"),
    [
        ("GetConfig", pb.GetConfigRequest(region="a/b"), pb.Config),
        ("CreateRegion", pb.CreateRegionRequest(), pb.CreateRegionResponse),
        ("RegisterCollector", pb.RegisterCollectorRequest(ttl_s=9), pb.RegisterCollectorResponse),
        (
            "RegisterCollector",
            pb.RegisterCollectorRequest(ttl_s=9, collector=pb.Collector(region="eu", endpoint="c:1", health="fine")),
            pb.RegisterCollectorResponse,
        ),
    ],
)
async def test_a_request_that_makes_no_sense(room: Room, method: str, request_: Message, answer: type[Message]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await room.client.call(method, request_, answer)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert failure(refused.value).exit_code == Exit.USAGE


async def test_trouble_with_the_store_is_told_as_such(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_key: str) -> None:
        raise StoreUnavailable("no quorum")

    monkeypatch.setattr(room.store, "get", away)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await room.get()
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert failure(refused.value).exit_code == Exit.STORE


async def test_a_fault_of_ours_is_logged_and_not_told(
    room: Room, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(_key: str) -> None:
        raise KeyError("a secret")

    monkeypatch.setattr(room.store, "get", broken)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await room.get()
    assert refused.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in (refused.value.details() or "")


# ---- the door


async def test_only_its_user_may_open_the_socket(room: Room) -> None:
    await room.apply(GLOBAL)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in room.path.parent.iterdir()}
    assert modes == {"admin.sock": 0o600, ".admin.sock": 0o600}
    await room.service.stop()
    assert list(room.path.parent.iterdir()) == []


async def test_grpc_comes_with_the_first_call(room: Room) -> None:
    _, writer = await asyncio.open_unix_connection(room.path)  # as who looks which gateways there are
    writer.close()
    await writer.wait_closed()
    async with desk() as (other, _):
        with pytest.raises(PortTaken):
            await AdminService(other, room.path).start()
    assert not room.service.serving
    await asyncio.gather(*(room.apply(rate(number / 10)) for number in range(5)))
    assert room.service.serving


LIGHT = """
import asyncio, sys
from pathlib import Path
from sidecar.admin.service import AdminService
async def main():
    service = AdminService(None, Path(sys.argv[1]))
    await service.start()
    print([name for name in ("grpc", "google.protobuf") if name in sys.modules])
    await service.stop()
asyncio.run(main())
"""


@pytest.mark.process
def test_until_then_nothing_heavy_is_loaded(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, str(tmp_path / "s")], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


async def test_a_socket_that_a_dead_gateway_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with desk() as (one, store), Room(one, store, path) as room:
        await room.apply(GLOBAL)


async def test_a_socket_that_is_in_use_is_not_taken(room: Room) -> None:
    async with desk() as (other, _):
        with pytest.raises(PortTaken, match="another gateway listens there"):
            await AdminService(other, room.path).start()
    await room.apply(GLOBAL)


async def test_a_successor_keeps_its_socket(room: Room, tmp_path: Path) -> None:
    room.path.rename(tmp_path / "old")
    async with desk() as (one, store), Room(one, store, room.path) as other:
        await room.service.stop()
        assert (await other.apply(GLOBAL)).version == 1


async def test_a_path_that_cannot_be_had(tmp_path: Path) -> None:
    plain = tmp_path / "file"
    plain.touch()
    async with desk() as (one, _):
        for path, why in (
            (plain, "there is a file that is no socket"),
            (plain / "sock", "/file: file exists"),
            (tmp_path / ("x" * 120), "106 bytes at most"),
        ):
            with pytest.raises(PathUnwritable, match=why):
                await AdminService(one, path).start()
    assert plain.exists()


async def test_a_connection_that_says_nothing_and_goes(room: Room) -> None:
    for garbage in (b"", b"GET / HTTP/1.1\r\n\r\n"):
        _, writer = await asyncio.open_unix_connection(room.path)
        writer.write(garbage)
        writer.close()
        await writer.wait_closed()
    await room.apply(GLOBAL)


async def test_open_watches_do_not_hold_up_the_end(room: Room) -> None:
    await room.apply(GLOBAL)
    call = room.client.stream("WatchConfig", pb.WatchConfigRequest(), pb.Config)
    await anext(call)
    async with asyncio.timeout(10):
        await room.service.stop()
    with pytest.raises(grpc.aio.AioRpcError):
        await anext(call)
