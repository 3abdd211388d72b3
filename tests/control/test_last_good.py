"""The file with what was in force: whole or not at all, and never in the way."""

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.clock import SystemClock
from sidecar.control import last_good
from sidecar.control.last_good import LastGood, LastGoodUnusable, Saver, load, save
from sidecar.control.records import Blob, TargetRecord, ViewRecord
from tests.coord.waiting import until

GOOD = LastGood(
    blobs={"global": Blob(version=1, sha256="x", body="global: {}\n")},
    views={"eu": ViewRecord(region="eu", epoch=3)},
    target=TargetRecord(token=7),
)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "not" / "there" / "last-good.json"
    assert load(file) is None
    save(file, GOOD)
    assert load(file) == GOOD
    assert [one.name for one in file.parent.iterdir()] == ["last-good.json"]
    assert file.stat().st_mode & 0o777 == 0o600


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_damage_is_taken_for_good(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    file = tmp_path_factory.mktemp("damaged") / "last-good.json"
    save(file, GOOD)
    whole = file.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = data.draw(
        st.sampled_from([whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]])
    )
    file.write_bytes(damaged)
    with pytest.raises(LastGoodUnusable):
        load(file)


def test_a_full_disk_leaves_the_former_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "last-good.json"
    save(file, GOOD)

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LastGoodUnusable, match="No space left on device") as caught:
        save(file, LastGood())
    assert caught.value.hint == "free some space"
    assert load(file) == GOOD
    assert [one.name for one in tmp_path.iterdir()] == ["last-good.json"]


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(LastGoodUnusable):
        load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(LastGoodUnusable, match="cannot write") as caught:
        save(tmp_path / "file" / "last-good.json", GOOD)
    assert caught.value.hint == "set coordination.state_dir"


async def test_a_write_under_way_is_finished_before_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_good, "SAVE_S", 0.0)
    begun, go_on = threading.Event(), threading.Event()
    real = last_good.save

    def slow(file: Path, good: LastGood) -> None:
        begun.set()
        go_on.wait(10)
        real(file, good)

    monkeypatch.setattr(last_good, "save", slow)
    current = [GOOD]
    saver = Saver(tmp_path / "last-good.json", lambda: current[0], clock=SystemClock())
    saver.changed()
    running = asyncio.ensure_future(saver.run())
    await until(begun.is_set, "it writes")
    running.cancel()
    await asyncio.wait([running])
    current[0] = LastGood(target=TargetRecord(token=8))
    flushed = asyncio.ensure_future(saver.flush())
    await asyncio.sleep(0)
    go_on.set()
    await flushed
    assert load(tmp_path / "last-good.json") == current[0]
