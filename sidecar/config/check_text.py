"""Health checks as they are written. What each of them does is `load.checks`, which knows the same names."""

from __future__ import annotations

from sidecar.config.kinds import Unreadable, Url
from sidecar.model import Endpoint

FIGURES = ("cpu", "memory", "queue", "error_rate")


class HealthCheck:
    """A way to look at a collector."""

    noun = metavar = "CHECK"

    def read(self, text: str) -> str:
        name, colon, rest = text.partition(":")
        if name in {"http", "https"}:
            return Url().read(text)
        if name in {"tcp", "grpc"}:
            _about(name, rest if colon else None)
        elif name in FIGURES:
            _ratio(text, rest, f"{name}:0.9")
        elif name == "disk":
            path, _, most = rest.rpartition(":")
            if not path.startswith("/"):
                raise Unreadable(
                    f"must be like disk:/var/lib/data:0.9, not {text!r}", "a path from the root, and a bound"
                )
            _ratio(text, most, f"disk:{path}:0.9")
        else:
            hint = (
                f"for a page: http://{text}"
                if _endpoint(text.partition("/")[0])
                else "for a page: http://HOST:PORT/PATH"
            )
            known = "http, https, tcp, grpc, disk, " + ", ".join(FIGURES)
            raise Unreadable(f"begins with none of {known}: {text!r}", hint)
        return text

    def show(self, value: str) -> str:
        return value


def _about(name: str, rest: str | None) -> None:
    """`tcp` alone is about the endpoint of the collector itself."""
    if rest is None:
        return
    address, _, service = rest.removeprefix("//").partition("/")
    if not rest.startswith("//") or not _endpoint(address):
        raise Unreadable(
            f"must be like {name}://HOST:PORT, not {name}:{rest}", f"{name} alone is about collector.endpoint"
        )
    if len(service) > 127 or not service.isascii() or (service and name == "tcp"):
        raise Unreadable(
            f"must be like {name}://HOST:PORT, not {name}:{rest}", "a service has at most 127 characters of ASCII"
        )


def _endpoint(text: str) -> bool:
    try:
        return Endpoint.parse(text).port > 0
    except ValueError:
        return False


def _ratio(text: str, most: str, example: str) -> None:
    try:
        fits = 0 <= float(most) <= 1
    except ValueError:
        fits = False
    if not fits:
        raise Unreadable(f"must end in a number from 0 to 1, not {text!r}", f"as in {example}")
