"""Scenario: a policy goes from supervisor to worker. Guarantees: it arrives whole and unchanged, or not at all."""

from __future__ import annotations

import fcntl
import gc
import mmap
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidecar.config.schema import BackendConfig, SamplingConfig
from sidecar.model import Endpoint, RoutingStrategy, Secret, Signal
from sidecar.policy.policy import Policy
from sidecar.policy.shelf import PolicyUnusable, attach, decode, encode, publish, seal
from sidecar.routing.members import StaticMembers
from tests.policy.policies import members, policy, same


@contextmanager
def closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def attached(made: Policy) -> Policy:
    with closing(publish(made)) as fd:
        return attach(fd)


@pytest.mark.parametrize("strategy", RoutingStrategy)
@pytest.mark.parametrize("n", [0, 1, 40])
def test_round_trip(strategy: RoutingStrategy, n: int) -> None:
    sampling = SamplingConfig(rate=0.1, precision=6, signals=(Signal.TRACES, Signal.LOGS))
    made = policy(members(n), strategy, sampling=sampling, generation=1 << 40, effective_in_s=1.5)
    assert same(attached(made), made)


def test_the_tables_outlive_the_descriptor_and_the_policy() -> None:
    made = policy(members(9))
    assert made.routes.slots is not None
    routing, rows = attached(made).routing(), [made.routes.slots.owners_of(slot) for slot in range(0, 65536, 64)]
    gc.collect()
    assert [routing.owners_of(slot) for slot in range(0, 65536, 64)] == rows


def test_what_is_on_the_shelf_does_not_change() -> None:
    made = policy(members(3))
    with closing(publish(made)) as fd:
        size = os.fstat(fd).st_size
        for change in (
            lambda: os.pwrite(fd, b"x", 0),
            lambda: os.ftruncate(fd, size - 1),
            lambda: os.ftruncate(fd, size + 1),
            lambda: mmap.mmap(fd, size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE),
            lambda: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW),
        ):
            with pytest.raises(PermissionError):
                change()
        slots = attach(fd).routes.slots
    assert slots is not None
    with pytest.raises(TypeError):
        slots.primary[0] = 1


def test_any_damaged_byte_is_seen() -> None:
    image, rng = encode(policy(members(20))), random.Random(1)
    for place in [*range(120), *(rng.randrange(len(image)) for _ in range(80)), len(image) - 1]:
        damaged = bytearray(image)
        damaged[place] ^= 1 << rng.randrange(8)
        with closing(seal(bytes(damaged))) as fd, pytest.raises(PolicyUnusable):
            attach(fd)


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        (0, "less than its header"),
        (8, "8 bytes are less"),
        (95, "95 bytes are less"),
        (4096, "4096 of 39.* are there"),
    ],
)
def test_a_part_is_refused(cut: int, words: str) -> None:
    with closing(seal(encode(policy(members(20)))[:cut])) as fd, pytest.raises(PolicyUnusable, match=words):
        attach(fd)


def test_more_than_a_policy_is_refused() -> None:
    image = encode(policy(members(1)))
    with pytest.raises(PolicyUnusable, match="cut off"):
        decode(memoryview(image + b"x"))


@pytest.mark.parametrize(
    ("place", "value", "words"), [(0, b"ELF", "no policy"), (8, b"\2\0\0\0", "has format 2, this version reads 1")]
)
def test_another_format_is_refused_by_its_name(place: int, value: bytes, words: str) -> None:
    image = bytearray(encode(policy(members(1))))
    image[place : place + len(value)] = value
    with pytest.raises(PolicyUnusable, match=words):
        decode(memoryview(image))


def test_memory_that_could_change_is_refused() -> None:
    with closing(os.memfd_create("open", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)) as fd:
        os.write(fd, encode(policy(members(1))))
        with pytest.raises(PolicyUnusable, match="not sealed"):
            attach(fd)


def test_what_is_no_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    path.write_bytes(encode(policy(members(1))))
    with closing(os.open(path, os.O_RDONLY)) as fd, pytest.raises(PolicyUnusable, match="cannot be mapped"):
        attach(fd)


def test_the_bytes_in_a_file_are_the_last_good_policy(tmp_path: Path) -> None:
    path, made = tmp_path / "policy", policy(members(4))
    path.write_bytes(encode(made))
    assert same(decode(memoryview(path.read_bytes())), made)


def test_no_secret_is_in_it() -> None:
    backends = [BackendConfig(address=Endpoint("a", 1), headers={"x-api-key": Secret("open sesame")})]
    image = encode(policy(tuple(StaticMembers(backends).members())))
    assert b"sesame" not in image
    assert b"api-key" not in image
