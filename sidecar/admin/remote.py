"""How the fleet is changed from another machine."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sidecar.config.schema import AdminGrpcConfig
from sidecar.model import Endpoint, Secret


def remote_of(config: AdminGrpcConfig) -> Remote | None:
    """The way in that is configured; None where there is only the Unix socket."""
    if config.listen is None:
        return None
    return Remote(
        config.listen,
        Path(config.cert_file),
        Path(config.key_file),
        config.token or Secret(""),
        Path(config.client_ca_file) if config.client_ca_file else None,
    )


class Remote(NamedTuple):
    """The way in over TCP: TLS always, and a token that callers show as `authorization: Bearer TOKEN`."""

    listen: Endpoint
    cert_file: Path
    key_file: Path
    token: Secret
    client_ca_file: Path | None = None
    """Callers have to show a certificate signed by these."""
