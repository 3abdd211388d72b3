"""The tracestate: what is read from it, and what is written into it."""

import pytest

from tests.kernels.judge import read_state
from tests.kernels.test_sample import at, one

LOW, HIGH = "10000000000000", "f0000000000000"
LONG = "x:" + "y" * 240


def sampled(state: str, rand: str = HIGH) -> tuple[bool, str | None, int]:
    return one(rand, state, at(0.5))


@pytest.mark.parametrize(
    ("state", "after"),
    [
        ("", "ot=th:8"),
        (" , ,", "ot=th:8"),
        ("a=1", "ot=th:8,a=1"),
        ("a=1,b=2", "ot=th:8,a=1,b=2"),
        ("a=1 , b=2\t,\tc=3", "ot=th:8,a=1,b=2,c=3"),  # blanks around members are not theirs
        ("a= 1", "ot=th:8,a= 1"),  # but within
        ("a=1,,b=2,", "ot=th:8,a=1,b=2"),
        ("b=2,ot=rv:f1000000000000,a=1", "ot=th:8;rv:f1000000000000,b=2,a=1"),  # ot moves to the front
        ("ot=a:1;rv:f1000000000000;b:", "ot=th:8;a:1;rv:f1000000000000;b:"),
        ("ot=a:1;th:4;b:2", "ot=th:8;a:1;b:2"),
        ("ot=th:0", "ot=th:8"),
        ("ot=th:80000000000000", "ot=th:8"),
        ("ot=th:8;a:b", "ot=th:8;a:b"),
        ("z=1,ot=th:8", "z=1,ot=th:8"),  # says what we would: not touched
        ("z=1,ot=th:c", "z=1,ot=th:c"),
        ("ot=th:c0", "ot=th:c0"),  # passed upstream at less: as it was written
        ("a=1,a=2", "ot=th:8,a=1,a=2"),  # others' keys are others' affair
        ("fw529a3039@dt=F;1,k/_-*=x", "ot=th:8,fw529a3039@dt=F;1,k/_-*=x"),
        ("a=!~+/", "ot=th:8,a=!~+/"),
        (f"{'k' * 256}={'v' * 256}", f"ot=th:8,{'k' * 256}={'v' * 256}"),
        (f"ot={LONG}", f"ot=th:8;{LONG}"),
    ],
)
def test_well_formed(state: str, after: str) -> None:
    assert sampled(state) == (True, after, 0)


@pytest.mark.parametrize(
    ("state", "after"),
    [
        ("ot=th:", "ot=th:8"),
        ("ot=th:-1", "ot=th:8"),
        ("ot=th:F", "ot=th:8"),
        ("ot=th:g", "ot=th:8"),
        ("ot=th:000000000000000", "ot=th:8"),  # 15 digits
        ("ot=a:1;th:123456789abcdef;b:2", "ot=th:8;a:1;b:2"),
        ("ot=rv:f000000000000", "ot=th:8"),  # 13 digits
        ("ot=rv:f00000000000000", "ot=th:8"),
        ("ot=rv:F0000000000000;a:1", "ot=th:8;a:1"),
        ("ot=rv:", "ot=th:8"),
        # no list of pairs
        ("ot=", "ot=th:8"),
        ("ot=th:$", "ot=th:8"),
        ("ot=:1", "ot=th:8"),
        ("ot=X:1", "ot=th:8"),
        ("ot=1x:1", "ot=th:8"),
        ("ot=th", "ot=th:8"),
        ("ot=th:1;", "ot=th:8"),
        ("ot=;th:1", "ot=th:8"),
        ("ot=th:1; a:b", "ot=th:8"),
        ("ot=th:1=", "ot=th:8"),
        ("ot=th:8;th:8", "ot=th:8"),
        ("ot=rv:f0000000000000;rv:f0000000000000", "ot=th:8"),
        ("ot=th:8,ot=th:8", "ot=th:8"),
        ("ot=th:8,a=1,ot=rv:00000000000000", "ot=th:8,a=1"),
        ("ot=x:" + "y" * 255, "ot=th:8"),  # 257 bytes
        ("ot=th:\xe4", "ot=th:8"),
    ],
)
def test_a_bad_ot_is_as_none(state: str, after: str) -> None:
    assert sampled(state) == (True, after, 1)
    assert sampled(state, LOW) == (False, state, 1)
    assert one(HIGH, state, at(1)) == (True, state, 1)  # untouched where nothing is sampled


@pytest.mark.parametrize(
    "state",
    [
        "a",
        "a=",
        "=1",
        "A=1",
        "_a=1",
        "a b=1",
        "a=1=2",
        "a=\x1f",
        "a=\x7f",
        "a=x\ty",
        "a=\xe4",
        "\xe4=a",
        "ot",
        "ot =th:8",
        f"{'k' * 257}=1",
        f"a={'v' * 257}",
        ",".join(f"k{i}=1" for i in range(33)),
    ],
)
def test_bad_members_of_others(state: str) -> None:
    """The bytes go on as they are, without th; the trace id decides."""
    for text in (state, f"{state},ot=th:f8;rv:{LOW}", f"ot=rv:{LOW}, {state}"):
        assert sampled(text) == (True, text, 1)
        assert sampled(text, LOW) == (False, text, 1)
        assert one(LOW, text, at(1)) == (True, text, 1)


def test_the_right_most_of_33_members_gives_way() -> None:
    members = [f"k{i}=1" for i in range(32)]
    assert sampled(",".join(members[:31])) == (True, ",".join(["ot=th:8", *members[:31]]), 0)
    assert sampled(",".join(members)) == (True, ",".join(["ot=th:8", *members[:31]]), 0)
    assert sampled(",".join([*members[:31], "ot=th:4"])) == (True, ",".join(["ot=th:8", *members[:31]]), 0)


@pytest.mark.parametrize("length", [251, 252, 253, 254])
def test_an_ot_that_would_get_too_long_stays(length: int) -> None:
    """256 bytes at most; the item is kept, and counted."""
    value = "x:" + "y" * (length - 2)
    state = f"a=1,ot={value}"
    fits = length <= 256 - len("th:8;")
    assert sampled(state) == ((True, f"ot=th:8;{value},a=1", 0) if fits else (True, state, 1))


@pytest.mark.parametrize(
    ("value", "fine"),
    [("th:1;", False), ("", False), ("x:", True), ("th:1000", True), ("a:b;c:d", True), ("a:b,c:d", False)],
)
def test_what_the_collector_takes(value: str, fine: bool) -> None:
    """Its own cases for the value of ot; the oracle has to know them too."""
    assert sampled(f"ot={value}")[2] == (0 if fine else 1)
    assert read_state(f"ot={value}".encode()).fault == (not fine)
