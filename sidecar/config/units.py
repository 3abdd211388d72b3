"""Durations and sizes as people write them: `200ms`, `1m30s`, `4MiB`; a plain number is seconds, or bytes."""

from __future__ import annotations

import re
from decimal import Decimal

TIME_UNITS = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
SIZE_UNITS = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
}

_NUMBER = r"\d{1,18}(?:\.\d{1,18})?"
_PLAIN = re.compile(rf"({_NUMBER})", re.ASCII)
_AMOUNT = re.compile(rf"({_NUMBER})\s*([A-Za-zµ]+)", re.ASCII)


def read_duration_s(text: str) -> float:
    """Seconds in `text`; several amounts add up. ValueError when it is no duration."""
    if _PLAIN.fullmatch(text):
        return float(text)
    total, end = Decimal(0), 0
    for amount in _AMOUNT.finditer(text):
        unit = amount[2].replace("µ", "u")
        if amount.start() != end or unit not in TIME_UNITS:
            raise ValueError(f"unknown unit {amount[2]!r}")
        total, end = total + Decimal(amount[1]) * TIME_UNITS[unit], amount.end()
    if end != len(text) or not text:
        raise ValueError("no duration")
    return float(total)


def read_size_bytes(text: str) -> int:
    """Bytes in `text`. ValueError when it is no size, or not a whole number of bytes."""
    amount = _PLAIN.fullmatch(text) or _AMOUNT.fullmatch(text)
    if amount is None:
        raise ValueError("no size")
    unit = amount[2] if amount.re is _AMOUNT else "B"
    if unit not in SIZE_UNITS:
        raise ValueError(f"unknown unit {unit!r}")
    total = Decimal(amount[1]) * SIZE_UNITS[unit]
    if total != int(total):
        raise ValueError("not a whole number of bytes")
    return int(total)


def write_duration(seconds: float) -> str:
    """The shortest exact way to write a duration: `0.2` is `200ms`, `600` is `10m`, `0` is `0s`."""
    exact = Decimal(repr(seconds))
    if not exact:
        return "0s"
    for unit, worth in reversed(TIME_UNITS.items()):
        if exact % worth == 0:
            return f"{int(exact / worth)}{unit}"
    return f"{exact:f}s"


def write_size(size_bytes: int) -> str:
    """A size in the largest binary unit that divides it: `4194304` is `4MiB`, `1000` is `1000B`."""
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % SIZE_UNITS[unit] == 0:
            return f"{size_bytes // SIZE_UNITS[unit]}{unit}"
    return f"{size_bytes}B"
