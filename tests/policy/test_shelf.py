"""Scenario: policies go from supervisor to worker. Guarantees: they arrive whole and unchanged, or not at all, and what
has not changed does not travel twice."""

from __future__ import annotations

import fcntl
import gc
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.model import Priority
from sidecar.policy import shelf
from sidecar.policy.image import PolicyUnusable, encode
from sidecar.policy.policy import Policy
from sidecar.policy.shelf import Reader, Writer, mapped, seal
from sidecar.sampling.plan import SamplingPlan
from tests.policy.policies import elsewhere, members, policy, rule, same, slots_of


class Line:
    """A supervisor and a worker, and the descriptors between them."""

    def __init__(self) -> None:
        self.writer, self.reader = Writer(), Reader()

    def pass_on(self, made: Policy) -> Policy:
        descriptors = self.writer.write(made)
        try:
            return self.reader.read(descriptors[0], descriptors[1:])
        finally:
            close(descriptors)


def close(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.writer.close()


def two_areas(generation: int, previous: Policy | None = None, rate: float = 1.0, moved: int = 0) -> Policy:
    """Of the regions `here` and `there`; `moved` changes the latter."""
    return policy(
        members(6),
        generation=generation,
        sampling=SamplingPlan(rate=rate),
        others=[elsewhere("there", 5, first=4 + moved)],
        rules=[rule("critical-*", "there", Priority.HIGH)],
        previous=previous,
    )


def test_one_after_the_other_arrives_unchanged(line: Line) -> None:
    previous = None
    for generation in range(1, 6):
        made = two_areas(generation, previous, rate=1 / generation, moved=generation // 3)
        assert same(line.pass_on(made), made)
        previous = made


def test_what_has_not_changed_is_neither_sealed_nor_read_again(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    first = two_areas(1)
    was = line.pass_on(first)
    monkeypatch.setattr(shelf, "ref_to", None)  # whoever reads a table through calls it
    monkeypatch.setattr(shelf, "checked", None)
    now = line.pass_on(two_areas(2, first, rate=0.5))
    assert now.sampling.rate == 0.5
    assert [area is former for area, former in zip(now.areas, was.areas, strict=True)] == [True, True]
    assert now.numbering is was.numbering


def test_another_view_of_the_same_members_keeps_the_table(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    first = policy(members(6), generation=1)
    was = line.pass_on(first)
    monkeypatch.setattr(shelf, "ref_to", None)
    monkeypatch.setattr(shelf, "checked", None)
    now = line.pass_on(policy(members(6), generation=2, epoch=2, previous=first))
    assert (was.own.view.epoch, now.own.view.epoch) == (1, 2)


def test_a_worker_that_is_new_gets_everything(line: Line) -> None:
    first = two_areas(1)
    line.pass_on(first)
    line.reader = Reader()
    second = two_areas(2, first)
    assert same(line.pass_on(second), second)


def test_the_tables_outlive_descriptors_writer_and_policy(line: Line) -> None:
    made = policy(members(9))
    routing, rows = line.pass_on(made).routing(), [slots_of(made).owners_of(slot) for slot in range(0, 65536, 64)]
    line.writer.close()
    line.reader = Reader()
    gc.collect()
    assert [routing.owners_of(slot) for slot in range(0, 65536, 64)] == rows


def test_descriptors_do_not_gather(line: Line) -> None:
    def open_now() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    gc.collect()  # what other tests have left
    made = two_areas(1)
    line.pass_on(made)
    before = open_now()
    for generation in range(2, 12):
        made = two_areas(generation, made, moved=generation)
        line.pass_on(made)
        assert open_now() == before
    line.writer.close()
    assert open_now() == before - 2


def test_what_is_on_the_shelf_does_not_change(line: Line) -> None:
    descriptors = line.writer.write(policy(members(3)))
    for fd in descriptors:
        size = os.fstat(fd).st_size
        for change in (
            lambda fd=fd: os.pwrite(fd, b"x", 0),
            lambda fd=fd, size=size: os.ftruncate(fd, size - 1),
            lambda fd=fd, size=size: os.ftruncate(fd, size + 1),
            lambda fd=fd, size=size: mmap.mmap(fd, size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE),
            lambda fd=fd: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW),
        ):
            with pytest.raises(PermissionError):
                change()
    slots = slots_of(line.reader.read(descriptors[0], descriptors[1:]))
    close(descriptors)
    with pytest.raises(TypeError):
        slots.primary[0] = 1


def test_what_is_refused_changes_nothing(line: Line) -> None:
    """Tables too few, of another policy, cut off, damaged; the next good one is read as if these had not been."""
    first, other = policy(members(3)), policy(members(4), generation=2)
    line.pass_on(first)
    head, table = line.writer.write(other)
    stranger = Writer().write(policy(members(5)))
    image = bytearray(os.pread(table, 1 << 20, 0))
    short = seal(bytes(image[:-2]))
    image[99] ^= 1
    damaged = seal(bytes(image))
    for fds, words in (
        ([], "has 1 tables, 0 have come"),
        ([stranger[1]], "a table is damaged"),
        ([short], "a table is cut off: 393214 of 393216"),
        ([damaged], "a table is damaged"),
    ):
        with pytest.raises(PolicyUnusable, match=words):
            line.reader.read(head, fds)
    with pytest.raises(PolicyUnusable, match="no policy"):
        line.reader.read(table, [table])
    whole = seal(encode(other))
    with pytest.raises(PolicyUnusable, match="the policy is cut off"):
        line.reader.read(whole, [table])
    assert same(line.reader.read(head, [table]), other)
    close([head, table, *stranger, short, damaged, whole])


def test_memory_that_could_change_is_refused() -> None:
    fd = os.memfd_create("open", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, b"policy")
    with pytest.raises(PolicyUnusable, match="not sealed"):
        mapped(fd)
    os.close(fd)


def test_what_is_no_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    path.write_bytes(encode(policy(members(1))))
    fd = os.open(path, os.O_RDONLY)
    with pytest.raises(PolicyUnusable, match="cannot be mapped"):
        mapped(fd)
    os.close(fd)
