"""The kinds of value a setting may have: how each is read from text, and how it is written back.

File, environment and flags are all text, and all read by this one set of rules, so that a value means the same
wherever it is written: `no` is a name where a name is wanted, and `"2"` a number where a number is wanted.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, ClassVar, Protocol
from urllib.parse import urlsplit

from sidecar.config.units import read_duration_s, read_size_bytes, write_duration, write_size
from sidecar.model import Endpoint, Secret

Plain = str | int | float | bool
"""A value as JSON has it."""

_LONGEST_S = 30 * 86400.0
_LARGEST_BYTES = 1 << 50


class Unreadable(ValueError):
    """Text that is no value of its kind. `message` goes on after the setting's name; `hint` says what would do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Kind(Protocol):
    """One kind of scalar."""

    @property
    def metavar(self) -> str:
        """What `--help` calls it."""

    @property
    def noun(self) -> str:
        """What the documentation calls it, bounds included."""

    def read(self, text: str) -> Any:
        """The value that `text` means. Unreadable when it means none."""

    def show(self, value: Any) -> Plain:
        """The value as it would be written in a file; a secret stays one."""


@dataclass(frozen=True)
class Bounded:
    """A quantity from `least` to `most`, both allowed, in the unit of the value."""

    least: float = 0
    most: float = math.inf

    word: ClassVar[str]

    @property
    def noun(self) -> str:
        return f"{self.word}, {self._bounds}" if self._bounds else self.word

    @property
    def _bounds(self) -> str:
        if self.most < math.inf:
            return f"{self.show(self.least)} to {self.show(self.most)}"
        return f"at least {self.show(self.least)}" if self.least else ""

    def check(self, value: float) -> None:
        """Unreadable when `value` is out of bounds."""
        if not self.least <= value <= self.most:
            bounds = f"from {self._bounds}" if self.most < math.inf else self._bounds or "at least 0"
            raise Unreadable(f"must be {bounds}, not {self.show(value)}")

    def show(self, value: float) -> Plain:
        return int(value) if value == int(value) else value


class Count(Bounded):
    """A whole number."""

    word = "whole number"
    metavar = "N"

    def read(self, text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
            raise Unreadable(f"must be a whole number, not {text!r}")
        self.check(int(text))
        return int(text)


class Number(Bounded):
    """A number, whole or not."""

    word = "number"
    metavar = "NUMBER"

    def read(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise Unreadable(f"must be a number, not {text!r}")
        self.check(value)
        return value


@dataclass(frozen=True)
class Duration(Bounded):
    """A length of time, in seconds."""

    most: float = _LONGEST_S

    word = "duration"
    metavar = "TIME"

    @property
    def noun(self) -> str:
        return super().noun if self.least or self.most < _LONGEST_S else self.word

    def read(self, text: str) -> float:
        try:
            value_s = read_duration_s(text)
        except ValueError as error:
            raise Unreadable(
                f"must be a duration, not {text!r} ({error})", "write it as 200ms, 3s, 1m30s or 10m"
            ) from None
        self.check(value_s)
        return value_s

    def show(self, value: float) -> str:
        return write_duration(value)


@dataclass(frozen=True)
class Size(Bounded):
    """A number of bytes."""

    most: float = _LARGEST_BYTES

    word = "size"
    metavar = "SIZE"

    @property
    def noun(self) -> str:
        return f"{self.word}, at least {self.show(self.least)}" if self.least else self.word

    def read(self, text: str) -> int:
        try:
            value_bytes = read_size_bytes(text)
        except ValueError as error:
            raise Unreadable(f"must be a size, not {text!r} ({error})", "write it as 4MiB, 512KiB or 65536") from None
        self.check(value_bytes)
        return value_bytes

    def show(self, value: float) -> str:
        return write_size(int(value))


class Switch:
    """Yes or no."""

    noun = "true or false"
    metavar = "BOOL"
    words: ClassVar[dict[str, bool]] = {
        **dict.fromkeys(("true", "yes", "on", "1"), True),
        **dict.fromkeys(("false", "no", "off", "0"), False),
    }

    def read(self, text: str) -> bool:
        if (word := text.lower()) not in self.words:
            raise Unreadable(f"must be true or false, not {text!r}")
        return self.words[word]

    def show(self, value: bool) -> bool:  # noqa: FBT001  the value itself
        return value


@dataclass(frozen=True)
class Choice:
    """One name out of a few. `planned` are names that the documentation speaks of and this version lacks."""

    names: type[StrEnum]
    planned: tuple[str, ...] = ()
    unfit: tuple[StrEnum, ...] = ()
    """Names that make no sense here."""
    metavar = "NAME"

    @property
    def fit(self) -> list[StrEnum]:
        """The names to choose from."""
        return [name for name in self.names if name not in self.unfit]

    @property
    def noun(self) -> str:
        return ", ".join(self.fit)

    def read(self, text: str) -> StrEnum:
        if text in self.fit:
            return self.names(text)
        if text in self.planned:
            raise Unreadable(f"{text!r} is not available yet", f"this version has {self.noun}")
        near = get_close_matches(text.lower().replace("-", "_"), self.fit, n=1)
        raise Unreadable(
            f"must be one of {self.noun}, not {text!r}",
            f"did you mean {near[0]}?" if near else "",
        )

    def show(self, value: StrEnum) -> str:
        return str(value)


@dataclass(frozen=True)
class Address:
    """Host and port. Port 0 asks for any free one, which only a listener can."""

    any_port: bool = False
    noun = metavar = "HOST:PORT"

    def read(self, text: str) -> Endpoint:
        try:
            endpoint = Endpoint.parse(text)
        except ValueError as error:
            raise Unreadable(f"{text!r} {error}") from None
        if not (endpoint.port or self.any_port):
            raise Unreadable(f"{text!r} has port 0, which nothing can be sent to")
        return endpoint

    def show(self, value: Endpoint) -> str:
        return str(value)


@dataclass(frozen=True)
class Name:
    """A short text that ends up in labels and tables."""

    noun = "text"
    metavar = "TEXT"
    longest: int = 128

    def read(self, text: str) -> str:
        if not text.isprintable() or len(text) > self.longest:
            raise Unreadable(f"must be printable, and at most {self.longest} characters")
        return text

    def show(self, value: str) -> str:
        return value


@dataclass(frozen=True)
class Glob:
    """The name of a service, or a pattern in which `*` stands for any text. No other character is special."""

    noun = "name or pattern"
    metavar = "PATTERN"
    longest: int = 255

    def read(self, text: str) -> str:
        if not text or not text.isprintable() or len(text) > self.longest:
            raise Unreadable(f"must be printable, not empty, and at most {self.longest} characters")
        return text

    def show(self, value: str) -> str:
        return value


@dataclass(frozen=True)
class KeyName:
    """A name that stands in keys of the store, as `coord.keys` checks it there."""

    noun = "name"
    metavar = "TEXT"
    longest: int = 128

    def read(self, text: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text) or len(text) > self.longest:
            raise Unreadable(
                f"must be at most {self.longest} of A-Z a-z 0-9 . _ -, a letter or digit first, not {text!r}"
            )
        return text

    def show(self, value: str) -> str:
        return value

    @classmethod
    def fitted(cls, text: str) -> str:
        """`text` with a dash for whatever may not stand in a key: `[::1]:4317` is `1-4317`."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[: cls.longest]


class Url:
    """An address on the web."""

    noun = metavar = "URL"

    def read(self, text: str) -> str:
        wrong = f"must be like http://HOST:PORT/PATH, not {text!r}"
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise Unreadable(wrong, "a port is a number from 1 to 65535") from None
        if parts.scheme not in {"http", "https"}:
            hint = "there are http:// and https://" if "://" in text else f"write the scheme: http://{text}"
            raise Unreadable(wrong, hint)
        if not parts.hostname:
            raise Unreadable(wrong, "the host is missing")
        if port == 0:
            raise Unreadable(wrong, "a port is a number from 1 to 65535")
        if parts.username is not None:
            raise Unreadable("has a user in it, whom logs would show")
        if not text.isascii() or not text.isprintable() or " " in text:
            raise Unreadable(wrong, "other characters than those of ASCII, and blanks, are written as %XX")
        return text

    def show(self, value: str) -> str:
        return value


class KeyPrefix:
    """What keys in a store begin with: segments, each after a slash."""

    noun = "path that begins with a slash"
    metavar = "PATH"

    def read(self, text: str) -> str:
        if not re.fullmatch(r"(/[A-Za-z0-9._-]+){1,8}", text):
            raise Unreadable(f"must be like /spangate, not {text!r}")
        return text

    def show(self, value: str) -> str:
        return value


class Hidden:
    """A password or token: never shown, not even when it is wrong."""

    noun = "secret text"
    metavar = "TEXT"

    def read(self, text: str) -> Secret:
        return Secret(text)

    def show(self, value: Secret | None) -> str:
        return "" if value is None else str(value)


class HeaderValue:
    """What a header carries: usually a key, so it is never shown, not even when it is wrong."""

    noun = "secret text"
    metavar = "TEXT"

    def read(self, text: str) -> Secret:
        if not (text.isascii() and text.isprintable() and text == text.strip() and text):
            raise Unreadable("must be printable ASCII without spaces around it, and not empty")
        return Secret(text)

    def show(self, value: Secret) -> str:
        return str(value)


@dataclass(frozen=True)
class Many:
    """Several scalars of one kind: a list in the file, or separated by commas."""

    of: Kind

    @property
    def noun(self) -> str:
        return f"list of {self.of.noun}"


@dataclass(frozen=True)
class Headers:
    """Request headers by name. What gRPC and HTTP/2 say themselves is not to be had."""

    noun = "names and values"
    value: ClassVar[Kind] = HeaderValue()
    reserved: ClassVar[frozenset[str]] = frozenset(
        ("connection", "content-length", "content-type", "host", "te", "transfer-encoding", "user-agent")
    )

    def read_name(self, text: str) -> str:
        """The name in lower case. Unreadable when it cannot be sent."""
        name = text.lower()
        if not re.fullmatch(r"[a-z0-9_.-]{1,128}", name):
            raise Unreadable("is no header name: letters, digits, - _ . only")
        if name in self.reserved or name.startswith("grpc-"):
            raise Unreadable("is a header that the transport writes itself")
        return name
