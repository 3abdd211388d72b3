"""Checks by name: what `health_url` may say, and where others are plugged in.

The text before the first colon is the name, and whoever is registered under it makes the check of the text:

    tcp  tcp://HOST:PORT           a connection comes about
    http://...  https://...        a page answers 200
    grpc  grpc://HOST:PORT/NAME    grpc.health.v1 says SERVING, or is not there
    cpu:0.9  memory:0.9  queue:0.8  error_rate:0.1    of the load that was read last
    disk:PATH:0.9                  the fill of a file system of this machine

`tcp` and `grpc` alone are about the collector's own endpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sidecar.errors import Exit, GrpcStatus, SpangateError
from sidecar.load.page import Url
from sidecar.load.reach import GrpcCheck, HttpCheck, TcpCheck
from sidecar.load.threshold import DiskCheck, ThresholdCheck
from sidecar.load.verdict import Check
from sidecar.model import Endpoint
from sidecar.snapshot import Load


class Subject(NamedTuple):
    """Who a check is about."""

    endpoint: Endpoint
    load: Callable[[], Load]
    """As it was read last."""
    timeout_s: float
    """The longest that a look may take."""


Maker = Callable[[str, Subject], Check]
"""From the whole text, and who it is about, to the check. ValueError says what is wrong with the text."""


class CheckInvalid(SpangateError):
    """A text that is no check."""

    exit_code = Exit.USAGE
    grpc_status = GrpcStatus.INVALID_ARGUMENT


class Registry:
    """The checks there are."""

    def __init__(self) -> None:
        self._makers: dict[str, Maker] = {}

    def register(self, name: str, maker: Maker) -> None:
        """Adds one, or puts it in the place of the one of that name."""
        self._makers[name] = maker

    def make(self, text: str, subject: Subject) -> Check:
        """The check that a text means. CheckInvalid when it means none."""
        maker = self._makers.get(text.partition(":")[0])
        if maker is None:
            raise CheckInvalid(f"no such health check: {text!r}", f"there are {', '.join(sorted(self._makers))}")
        try:
            return maker(text, subject)
        except ValueError as error:
            raise CheckInvalid(f"the health check {text!r} {error}") from None


def standard() -> Registry:
    """A registry of those above."""
    registry = Registry()
    registry.register("tcp", _tcp)
    registry.register("grpc", _grpc)
    registry.register("http", _http)
    registry.register("https", _http)
    registry.register("disk", _disk)
    registry.register("cpu", _threshold(lambda load: load.cpu))
    registry.register("memory", _threshold(lambda load: load.memory))
    registry.register("queue", _threshold(lambda load: load.queue))
    registry.register("error_rate", _threshold(lambda load: load.error_rate))
    return registry


def _tcp(text: str, subject: Subject) -> Check:
    address = text.removeprefix("tcp").removeprefix("://").rstrip("/")
    return TcpCheck(Endpoint.parse(address) if address else subject.endpoint, subject.timeout_s)


def _grpc(text: str, subject: Subject) -> Check:
    address, _, service = text.removeprefix("grpc").removeprefix("://").partition("/")
    if len(service) > 127 or not service.isascii():
        raise ValueError("has a service name of more than 127 characters, or not of ASCII")
    return GrpcCheck(Endpoint.parse(address) if address else subject.endpoint, subject.timeout_s, service)


def _http(text: str, subject: Subject) -> Check:
    return HttpCheck(Url.parse(text), subject.timeout_s)


def _disk(text: str, subject: Subject) -> Check:
    path, _, most = text.removeprefix("disk:").rpartition(":")
    if not path.startswith("/"):
        raise ValueError("must be like disk:/var/lib/data:0.9")
    return DiskCheck(path, _ratio(most), subject.timeout_s)


def _threshold(figure: Callable[[Load], float]) -> Maker:
    def make(text: str, subject: Subject) -> Check:
        name, _, most = text.partition(":")
        return ThresholdCheck(name, lambda: figure(subject.load()), _ratio(most), subject.timeout_s)

    return make


def _ratio(text: str) -> float:
    """ValueError when it is no number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError(f"must end in a number from 0 to 1, not {text!r}")
    return value
