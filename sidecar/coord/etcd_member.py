"""One member of an etcd cluster: the channel to it and the stubs on it."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
from aetcd import rpc
from grpc import StatusCode

from sidecar.config.schema import CoordinationConfig
from sidecar.coord.etcd_errors import NO_CONNECTION, Refusal
from sidecar.coord.store import StoreDenied
from sidecar.model import Endpoint, release

RECEIVE_LIMIT_BYTES = 256 << 20
"""More than a page of a listing, or what a watch catches up on in one message, can be; gRPC's own limit is 4 MiB."""
LOOK_EVERY_S = 0.005
"""How often to look whether a connection has come about."""
SYSTEM = "system"

_OPTIONS = (
    ("grpc.primary_user_agent", f"spangate/{release()}"),
    ("grpc.max_receive_message_length", RECEIVE_LIMIT_BYTES),
    ("grpc.use_local_subchannel_pool", 1),  # a store's connections are its own
    ("grpc.enable_retries", 0),  # a write is not repeated behind our back
    # A member that is stuck keeps its connection open: only pings tell. etcd ends connections that ping more often than
    # every 5 s (--grpc-keepalive-min-time), or while no call is open.
    ("grpc.keepalive_time_ms", 6000),
    ("grpc.keepalive_timeout_ms", 3000),
    ("grpc.http2.ping_timeout_ms", 3000),  # the one that gRPC really waits for; 60 s unless given
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 3000),  # how long a connection may take to come about
    ("grpc.max_reconnect_backoff_ms", 2000),
)
_DECIDED = (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE)


@dataclass(frozen=True, slots=True)
class Certificates:
    """The contents of the files that TLS needs; without `roots` there is no TLS."""

    roots: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None

    @classmethod
    def read(cls, config: CoordinationConfig) -> Certificates:
        """As they are now. StoreDenied when one cannot be read."""
        if not config.ca_file:
            return cls()
        try:
            return cls(
                system_roots() if config.ca_file == SYSTEM else Path(config.ca_file).read_bytes(),
                Path(config.cert_file).read_bytes() if config.cert_file else None,
                Path(config.key_file).read_bytes() if config.key_file else None,
            )
        except OSError as error:
            raise StoreDenied(f"cannot read {error.filename}: {(error.strerror or str(error)).lower()}") from error


def system_roots() -> bytes:
    """The certificates that OpenSSL trusts on this machine; gRPC would take its own. OSError when there are none."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return Path(paths.cafile).read_bytes()
    hashed = sorted(Path(paths.capath).glob("*.0")) if paths.capath else []
    if not hashed:
        raise FileNotFoundError(2, "the system has no certificates", paths.openssl_capath)
    return b"\n".join(path.read_bytes() for path in hashed)


class Member:
    """A member by its address, with one connection that gRPC opens at the first call and keeps up."""

    def __init__(self, address: Endpoint, certificates: Certificates) -> None:
        self.address = address
        if certificates.roots is None:
            self._channel = grpc.aio.insecure_channel(str(address), options=_OPTIONS)
        else:
            credentials = grpc.ssl_channel_credentials(certificates.roots, certificates.key, certificates.certificate)
            self._channel = grpc.aio.secure_channel(str(address), credentials, options=_OPTIONS)
        self.kv = rpc.KVStub(self._channel)
        self.leases = rpc.LeaseStub(self._channel)
        self.watches = rpc.WatchStub(self._channel)
        self.auth = rpc.AuthStub(self._channel)
        self.maintenance = rpc.MaintenanceStub(self._channel)

    def __str__(self) -> str:
        return str(self.address)

    async def connect(self, within_s: float) -> None:
        """Returns once it is decided whether there is a connection. Refusal when it is not in time.

        That there is none is not told here: the next call fails at once, and knows the reason.
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + within_s
        while self._channel.get_state(try_to_connect=True) not in _DECIDED:
            if loop.time() >= end_s:
                raise Refusal(StatusCode.UNAVAILABLE, f"{NO_CONNECTION} in time")
            await asyncio.sleep(LOOK_EVERY_S)  # gRPC's own wait goes on when it is cancelled, and outlives its loop

    async def close(self, grace_s: float | None = None) -> None:
        """Ends the connection; calls that are under way get `grace_s` to end by themselves."""
        await self._channel.close(grace_s)
