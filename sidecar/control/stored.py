"""A configuration as it lies in the store: the text that people wrote, and beside it what gateways read.

    body, sha256 of it     what was given to `config apply`, comments and all; `config get` gives it back
    meaning, seal          the same as JSON of the schema, sealed to that body

Neither is trusted. A checksum that does not fit is damage; what is read is checked to the last value and rule, here as
at the desk. A blob without meaning, as somebody may write it by hand or a former version has, is read from its body.
"""

from __future__ import annotations

import hashlib

import msgspec

from sidecar.config import meaning
from sidecar.config.fleet import FleetSections
from sidecar.config.fleet_file import read_fleet
from sidecar.control.records import NO_MEANING, Blob
from sidecar.coord.store import VALUE_LIMIT_BYTES


def stored(
    body: str,
    sections: FleetSections,
    *,
    version: int,
    author: str = "",
    comment: str = "",
    at_unix_s: float = 0.0,
) -> Blob:
    """The blob of a text that means `sections`. Where both are too large for one value the text goes alone."""
    digest = digest_of(body)
    written = meaning.write(sections)
    blob = Blob(
        version=version,
        sha256=digest,
        body=body,
        author=author,
        applied_unix_s=at_unix_s,
        comment=comment,
        meaning=msgspec.Raw(written),
        seal=_seal(digest, written),
    )
    if len(msgspec.json.encode(blob)) > VALUE_LIMIT_BYTES:
        return msgspec.structs.replace(blob, meaning=NO_MEANING, seal="")
    return blob


def sections_of(blob: Blob, source: str) -> FleetSections:
    """What a blob means; problems call it `source`. ConfigInvalid, or ValueError when it is damaged."""
    if digest_of(blob.body) != blob.sha256:
        raise ValueError("it is damaged: its checksum does not fit")
    if not blob.seal:
        return read_fleet(blob.body, source).sections
    if _seal(blob.sha256, blob.meaning) != blob.seal:
        raise ValueError("it is damaged: what gateways read of it was not made of its text")
    return meaning.read(blob.meaning, source)


def digest_of(body: str) -> str:
    """The SHA-256 of a text."""
    return hashlib.sha256(body.encode()).hexdigest()


def _seal(digest: str, written: bytes | msgspec.Raw) -> str:
    seal = hashlib.sha256(digest.encode())
    seal.update(written)
    return seal.hexdigest()
