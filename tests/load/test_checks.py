from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from sidecar.errors import Exit
from sidecar.load import threshold
from sidecar.load.checks import CheckInvalid, Subject, standard
from sidecar.load.verdict import GOOD, Check, Verdict, judged, judged_all
from sidecar.model import Endpoint
from sidecar.snapshot import Load
from tests.load.server import Server, answer, nowhere

TIMEOUT_S = 5.0


def make(text: str, endpoint: Endpoint | None = None, load: Load | None = None, timeout_s: float = TIMEOUT_S) -> Check:
    return standard().make(text, Subject(endpoint or nowhere(), lambda: load or Load(), timeout_s))


# ---- TCP and HTTP


async def test_tcp() -> None:
    with Server(None) as server:
        assert await judged(make("tcp", server.endpoint)) == GOOD
        assert await judged(make(f"tcp://{server.endpoint}")) == GOOD


async def test_nobody_listens() -> None:
    where = nowhere()
    assert await judged(make("tcp", where)) == Verdict(False, f"tcp {where}: Connection refused")


async def test_a_name_that_is_none() -> None:
    verdict = await judged(make("tcp://no-such-host.invalid:1"))
    assert not verdict.ok
    assert verdict.reason.startswith("tcp no-such-host.invalid:1: ")


async def test_http() -> None:
    with Server(answer("ok")) as server:
        assert await judged(make(server.url)) == GOOD
        server.response = answer("", "503 Service Unavailable")
        assert await judged(make(server.url)) == Verdict(False, f"http {server.endpoint}/metrics: status 503")
        server.response = b"SSH-2.0\r\n\r\n"
        assert (await judged(make(server.url))).reason.startswith(f"http {server.endpoint}/metrics: no HTTP/1.1: ")


async def test_a_black_hole_costs_its_time() -> None:
    with Server(None) as server:
        for text in (server.url, f"grpc://{server.endpoint}"):
            verdict = await judged(make(text, timeout_s=0.1))
            assert not verdict.ok, text
        assert await judged(make(server.url, timeout_s=0.1)) == Verdict(
            False, f"http {server.endpoint}/metrics: no answer within 0.1 s"
        )


# ---- gRPC health


@asynccontextmanager
async def health_server(answers: dict[bytes, bytes | grpc.StatusCode]) -> AsyncIterator[Endpoint]:
    """A gRPC server whose health service gives these answers; none at all: it has no health service."""

    async def check(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        found = answers.get(request, grpc.StatusCode.NOT_FOUND)
        if isinstance(found, grpc.StatusCode):
            await context.abort(found, "as told")
        return found

    server = grpc.aio.server()
    if answers:
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(check)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),)
        )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Endpoint("127.0.0.1", port)
    finally:
        await server.stop(None)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (b"\x08\x01", ""),
        (b"\x08\x02", "NOT_SERVING"),
        (b"\x08\x00", "UNKNOWN"),
        (b"", "UNKNOWN"),
        (b"\x08\x03", "SERVICE_UNKNOWN"),
        (b"\x08\x63", "status 99"),
        (b"\xff\xff\xff", "UNKNOWN"),
        (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE: as told"),
        (grpc.StatusCode.UNIMPLEMENTED, ""),
    ],
)
async def test_grpc_health(found: bytes | grpc.StatusCode, reason: str) -> None:
    async with health_server({b"": found}) as endpoint:
        verdict = await judged(make("grpc", endpoint))
    assert verdict == (Verdict(False, f"grpc {endpoint}: {reason}") if reason else GOOD)


async def test_grpc_health_of_one_service() -> None:
    async with health_server({b"\x0a\x04shop": b"\x08\x01"}) as endpoint:
        assert await judged(make(f"grpc://{endpoint}/shop")) == GOOD
        verdict = await judged(make(f"grpc://{endpoint}/cart"))
    assert verdict == Verdict(False, f"grpc {endpoint}/cart: NOT_FOUND: as told")


async def test_a_grpc_server_that_has_never_heard_of_health_is_reachable() -> None:
    async with health_server({}) as endpoint:
        assert await judged(make("grpc", endpoint)) == GOOD


async def test_no_grpc_server() -> None:
    assert not (await judged(make("grpc"))).ok
    with Server(answer("ok")) as server:
        assert not (await judged(make("grpc", server.endpoint))).ok


# ---- thresholds


@pytest.mark.parametrize("name", ["cpu", "memory", "queue", "error_rate"])
async def test_figures_against_a_bound(name: str) -> None:
    at, above = Load(**{name: 0.9}), Load(**{name: 0.97})
    assert await judged(make(f"{name}:0.9", load=at)) == GOOD
    assert await judged(make(f"{name}:0.9", load=above)) == Verdict(False, f"{name}: 97.0% is above 90.0%")


async def test_a_disk(tmp_path: Path) -> None:
    assert await judged(make(f"disk:{tmp_path}:1")) == GOOD
    verdict = await judged(make(f"disk:{tmp_path}:0"))
    assert not verdict.ok
    assert verdict.reason.startswith(f"disk {tmp_path}: ")
    assert (await judged(make("disk:/no/such/folder:0.5"))).reason == "disk /no/such/folder: No such file or directory"


async def test_a_disk_that_hangs_holds_one_thread_however_often_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, release = [], threading.Event()

    def hangs(path: str) -> float:
        asked.append(path)
        assert release.wait(20)
        return 0.25

    monkeypatch.setattr(threshold, "_fill", hangs)
    check = make("disk:/data:0.5", timeout_s=0.05)
    for _ in range(3):
        assert await judged(check) == Verdict(False, "disk /data: no answer within 0.05 s")
    assert asked == ["/data"]
    release.set()
    end_s = time.monotonic() + 20
    while not (await judged(check)).ok:
        assert time.monotonic() < end_s
    assert await judged(check) == GOOD


# ---- names


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no such health check"),
        ("ping", "no such health check"),
        ("tcp://nothing", "has no port"),
        ("grpc://a:b", "no number from 0 to 65535"),
        ("grpc://a:1/" + "x" * 128, "more than 127 characters"),
        ("http://", "is no http:// or https:// URL"),
        ("cpu:2", "a number from 0 to 1, not '2'"),
        ("cpu", "a number from 0 to 1, not ''"),
        ("queue:nan", "a number from 0 to 1"),
        ("disk:0.9", "must be like disk:"),
    ],
)
def test_a_text_that_is_no_check(text: str, complaint: str) -> None:
    with pytest.raises(CheckInvalid) as raised:
        make(text)
    assert complaint in raised.value.message
    assert raised.value.exit_code is Exit.USAGE


class Moody:
    """A check that somebody else has written."""

    name = "moody"
    timeout_s = TIMEOUT_S

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    async def look(self) -> Verdict:
        if self._error is not None:
            raise self._error
        return GOOD


async def test_others_are_plugged_in() -> None:
    registry = standard()
    registry.register("moody", lambda text, subject: Moody(None))
    check = registry.make("moody:whatever", Subject(nowhere(), Load, TIMEOUT_S))
    assert await judged(check) == GOOD
    with pytest.raises(CheckInvalid, match="no such"):
        make("moody")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, os.strerror(28)), "moody: No space left on device"),
        (TimeoutError(), "moody: TimeoutError"),
        (CheckInvalid("not today"), "moody: not today"),
        (KeyError("x"), "moody: the check itself failed: KeyError('x')"),
    ],
)
async def test_a_check_that_fails_itself_is_a_bad_look(error: Exception, reason: str) -> None:
    assert await judged(Moody(error)) == Verdict(False, reason)


async def test_everything_is_looked_at_and_every_reason_told() -> None:
    bad = [make("cpu:0.5", load=Load(cpu=0.6)), Moody(None), Moody(OSError(5, "gone"))]
    assert await judged_all(bad) == Verdict(False, "cpu: 60.0% is above 50.0%; moody: Input/output error")
    assert await judged_all(bad[1:2]) == GOOD
    assert await judged_all([]) == GOOD


async def test_a_look_can_be_called_off() -> None:
    with Server(None) as server:
        looking = asyncio.create_task(judged(make(server.url)))
        await asyncio.sleep(0)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
