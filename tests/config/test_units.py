import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.units import read_duration_s, read_size_bytes, write_duration, write_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("200ms", 0.2),
        ("0.2s", 0.2),
        ("3", 3.0),
        ("0.5", 0.5),
        ("0us", 0.0),
        ("200us", 0.0002),
        ("200µs", 0.0002),
        ("1m30s", 90.0),
        ("10 m", 600.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert read_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "3 parsecs", "-1s", "1s-", "1s 2", "1e3", "nan", "inf", "٣s", "9" * 40])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"unit|duration"):
        read_duration_s(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "200ms"), (600.0, "10m"), (25.0, "25s"), (90.0, "90s"), (0.0, "0s"), (0.0002, "200us"), (1e-9, "1ns")],
)
def test_durations_are_written(seconds: float, text: str) -> None:
    assert write_duration(seconds) == text


@given(st.integers(0, 10**15))
def test_a_written_duration_reads_the_same(nanoseconds: int) -> None:
    seconds = read_duration_s(f"{nanoseconds}ns")
    assert read_duration_s(write_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("4MiB", 4 << 20),
        ("4 MiB", 4 << 20),
        ("65536", 65536),
        ("1.5KiB", 1536),
        ("2KB", 2000),
        ("1GB", 10**9),
        ("7B", 7),
    ],
)
def test_sizes_are_read(text: str, size_bytes: int) -> None:
    assert read_size_bytes(text) == size_bytes


@pytest.mark.parametrize("text", ["", "MiB", "4mib", "4 apples", "-1", "0.5B", "1.1", "1MiB1KiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"unit|size|whole"):
        read_size_bytes(text)


@given(st.integers(0, 2**50))
def test_a_written_size_reads_the_same(size_bytes: int) -> None:
    assert read_size_bytes(write_size(size_bytes)) == size_bytes
