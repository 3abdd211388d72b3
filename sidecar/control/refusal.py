"""Why the fleet refuses a change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Self

from sidecar.control.records import Blob
from sidecar.coord.store import StoreError
from sidecar.errors import GrpcStatus, Refused


class Conflict(Refused):
    """Somebody else has changed it first."""

    grpc_status = GrpcStatus.ABORTED

    @classmethod
    def over(cls, scope: str, expected: int, held: Blob | None) -> Self:
        """`held` is in force where version `expected` should be; 0 and None stand for none."""
        wanted = f"version {expected}" if expected else "no version"
        if held is None:
            return cls(f"{scope} has no configuration, not {wanted}", "apply it without an expected version")
        comment = f": {held.comment}" if held.comment else ""
        return cls(
            f"{scope} is at version {held.version}, not at {wanted}: {told(held)}{comment}",
            "look at what changed (`spangate config diff FILE`), then apply over it",
        )


class NotThere(Refused):
    """A configuration, version, region or collector that nobody has made, or that is no longer kept."""

    grpc_status = GrpcStatus.NOT_FOUND


class AlreadyThere(Refused):
    """It has been made already."""

    grpc_status = GrpcStatus.ALREADY_EXISTS


class RegionInUse(Refused):
    """Somebody is registered in it."""


class ConfigDamaged(StoreError):
    """What the store has is no configuration: it was written past the admin service. Applying one replaces it."""

    grpc_status = GrpcStatus.DATA_LOSS
    retryable = False


def told(blob: Blob) -> str:
    """Who applied it, and when."""
    when = datetime.fromtimestamp(blob.applied_unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{blob.author or 'somebody'} applied it at {when}"
