"""What sample should decide: OpenTelemetry's consistent probability sampling, in Python from its specification."""

import math
import re
from dataclasses import dataclass, field
from typing import NamedTuple

END = 1 << 56
MEMBER = re.compile(rb"[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{1,256}")
PAIR = re.compile(rb"[a-z][a-z0-9]*:[A-Za-z0-9._-]*")
TH = re.compile(rb"[0-9a-f]{1,14}")
RV = re.compile(rb"[0-9a-f]{14}")


def threshold_of(p: float, precision: int) -> int:
    """Rounded to so many hex digits, and more where p is near 0 or 1."""
    if p == 1:
        return 0
    if p < 2**-56:
        return END
    digits = precision + max(int(math.frexp(p)[1] / -4), int(math.frexp(1 - p)[1] / -4))
    t = END - math.floor(p * 2.0**56 + 0.5)
    unit = 1 << 4 * max(0, 14 - digits)
    return (t + unit // 2) // unit * unit


def halvings(t: int) -> int:
    """k of the power 2^-k that is nearest to the probability of T, in ratio."""
    q, k = END - t, 0
    while q * q * 2 ** (2 * k + 1) < END * END:
        k += 1
    return k


def text_of(t: int) -> bytes:
    return (f"{t:014x}".rstrip("0") or "0").encode()


def in_proportion(t: int, by: int, precision: int) -> int:
    if by == 0 or t == 0:
        return max(t, by)
    return max(t, threshold_of((END - t) / END * (END - by) / END, precision))


RATE, LIMIT, SHED, UPSTREAM = range(4)
"""Causes."""


class Asked(NamedTuple):
    """What a policy asks of an item."""

    own: int
    shed: int
    cause: int = RATE
    """Whom the own threshold is charged to."""
    limit: int = 0


@dataclass
class Policy:
    threshold: int
    services: dict[bytes, tuple[int, int, int]] = field(default_factory=dict)
    """Threshold, class and cause by service name."""
    shed: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    precision: int = 4

    def asks(self, service: bytes, *, error: bool) -> Asked:
        own, traffic_class, cause = self.services.get(service, (self.threshold, 1, RATE))
        return Asked(own, self.shed[3 if error else traffic_class], cause)


@dataclass
class State:
    """A tracestate, read."""

    others: list[bytes]
    pairs: list[bytes] = field(default_factory=list)
    """Of ot, but for th and a bad rv."""
    th: bytes | None = None
    rv: int | None = None
    foreign: bool = False
    fault: bool = False


def read_state(text: bytes) -> State:
    members = [m for part in text.split(b",") if (m := part.strip(b" \t"))]
    ot = [m for m in members if m.startswith(b"ot=")]
    st = State([m for m in members if not m.startswith(b"ot=")])
    if len(members) > 32 or not all(MEMBER.fullmatch(m) for m in st.others):
        st.foreign = st.fault = True
    elif ot and not (len(ot) == 1 and read_ot(st, ot[0][3:])):
        st.pairs, st.th, st.rv, st.fault = [], None, None, True
    return st


def read_ot(st: State, value: bytes) -> bool:
    pairs = value.split(b";")
    keys = [pair.split(b":")[0] for pair in pairs]
    if len(value) > 256 or not all(PAIR.fullmatch(p) for p in pairs) or max(map(keys.count, (b"th", b"rv"))) > 1:
        return False
    for pair in pairs:
        key, _, content = pair.partition(b":")
        if key == b"th":
            st.th = content if TH.fullmatch(content) else None
            st.fault |= st.th is None
        elif key == b"rv" and not RV.fullmatch(content):
            st.fault = True
        else:
            st.pairs.append(pair)
            st.rv = int(content, 16) if key == b"rv" else st.rv
    return True


def write_state(st: State, th: int) -> bytes | None:
    """The tracestate with this th (0: without one); None when ot would get too long."""
    ot = b";".join(([b"th:" + text_of(th)] if th else []) + st.pairs)
    if len(ot) > 256:
        return None
    return b",".join(([b"ot=" + ot] if ot else []) + st.others[: 31 if ot else 32])


@dataclass
class Verdict:
    kept: bool
    fault: bool = False
    rand: int | None = None
    cause: int = RATE
    """Of what is not kept."""
    arrived: int | None = None
    """Where it came with a th that can be true: its threshold."""
    state: bytes | None = None
    """The new tracestate; None: as it came."""


def charged(asked: Asked, came: int) -> int:
    """Who has the highest threshold; of equal ones the first."""
    parts = [(asked.own, asked.cause), (asked.limit, LIMIT), (asked.shed, SHED), (came, UPSTREAM)]
    return max(parts, key=lambda part: part[0])[1]


def judge(asked: Asked, precision: int, rand: int | None, text: bytes | None) -> Verdict:
    """text: the tracestate of a span, None if it has none; writable by whoever asks."""
    own, by = asked.own, in_proportion(asked.limit, asked.shed, precision)
    st = read_state(text or b"")
    rand = st.rv if st.rv is not None else rand
    if rand is None:
        t = in_proportion(own, by, precision)
        return Verdict(t < END, fault=st.fault or t > 0, cause=charged(asked, 0))
    came = int(st.th.ljust(14, b"0"), 16) if st.th is not None else None
    lies = came is not None and rand < came
    passed = 0 if lies else came or 0
    t = in_proportion(max(passed, own), by, precision)
    v = Verdict(rand >= t, st.fault or lies, rand, charged(asked, passed), None if lies else came)
    if not v.kept or st.foreign:
        return v
    if own == by == 0:
        v.state = write_state(st, 0) if lies else None
        return v
    passed_upstream = came is not None and not lies and came > own and t == came
    written = st.th is not None and not lies and st.th == text_of(t)
    if passed_upstream or written:
        return v
    v.state = write_state(st, t)
    v.fault |= v.state is None
    return v
