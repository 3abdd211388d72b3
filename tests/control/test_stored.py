import msgspec
import pytest

from sidecar.config.fleet_file import read_fleet
from sidecar.control.records import Blob
from sidecar.control.stored import digest_of, sections_of, stored
from sidecar.coord.store import VALUE_LIMIT_BYTES
from sidecar.errors import ConfigInvalid

TEXT = "# half of it\nglobal: {sampling_rate: 0.5}\n"
OTHER = "global: {sampling_rate: 0.25}\n"
BLOB = stored(TEXT, read_fleet(TEXT, "x").sections, version=3, author="ann")


def again(blob: Blob) -> Blob:
    return msgspec.json.decode(msgspec.json.encode(blob), type=Blob)


def test_it_gives_back_what_was_written_and_what_it_means() -> None:
    blob = again(BLOB)
    assert (blob.body, blob.version, blob.author) == (TEXT, 3, "ann")
    assert bytes(blob.meaning) == b'{"global":{"sampling_rate":0.5}}'
    assert sections_of(blob, "x") == read_fleet(TEXT, "x").sections


def test_one_without_meaning_is_read_from_its_text() -> None:
    """By hand, or by a former version."""
    assert sections_of(again(Blob(version=1, sha256=digest_of(TEXT), body=TEXT)), "x") == sections_of(BLOB, "x")
    with pytest.raises(ConfigInvalid):
        sections_of(Blob(version=1, sha256=digest_of("x: 1"), body="x: 1"), "x")


def test_neither_part_can_be_changed_alone() -> None:
    for damaged in (
        msgspec.structs.replace(BLOB, body=OTHER),
        msgspec.structs.replace(BLOB, body=OTHER, sha256=digest_of(OTHER)),
        msgspec.structs.replace(BLOB, meaning=msgspec.Raw(b'{"global":{"sampling_rate":0.75}}')),
        msgspec.structs.replace(BLOB, seal=BLOB.seal[::-1]),
    ):
        with pytest.raises(ValueError, match="damaged"):
            sections_of(again(damaged), "x")


def test_what_is_sealed_is_checked_all_the_same() -> None:
    """Whoever can write to the store can seal, too."""
    sections = read_fleet(TEXT, "x").sections
    assert sections.everywhere
    wrong = msgspec.structs.replace(
        sections, everywhere=msgspec.structs.replace(sections.everywhere, sampling_rate=5.0)
    )
    with pytest.raises(ConfigInvalid, match="sampling_rate"):
        sections_of(again(stored(TEXT, wrong, version=1)), "x")


def test_a_text_that_leaves_no_room_goes_alone() -> None:
    text = f"{TEXT}# {'x' * (VALUE_LIMIT_BYTES - 200)}"
    blob = stored(text, read_fleet(text, "x").sections, version=1)
    assert not blob.seal
    assert len(msgspec.json.encode(blob)) <= VALUE_LIMIT_BYTES
    assert sections_of(again(blob), "x") == sections_of(BLOB, "x")
