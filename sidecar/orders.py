"""What supervisor and worker say to each other, over a socket pair that passes descriptors along.

    supervisor                                       worker
        Start + page, budget, listeners       ->
        Use + policy, configuration, tables   ->
                                              <-     Applied(generation) or Refused(generation, reason)
        Drain                                 ->
                                              <-     Drained(unsent items)

Each message is one datagram (SOCK_SEQPACKET) of JSON. Policy and configuration travel as sealed memory, so a message
stays small, and credentials never stand in an argument list or in the environment.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

import msgspec

MESSAGE_BYTES = 4096
DESCRIPTORS = 253
"""The most that Linux passes with one message (SCM_MAX_FD)."""


class Start(msgspec.Struct, frozen=True, tag=True):
    """The first order: who the worker is. Descriptors: page, budget, then the listeners."""

    index: int
    version: str


class Use(msgspec.Struct, frozen=True, tag=True):
    """Decide by this policy from the next tick on.

    Descriptors: policy, configuration, the policy's tables in its order, all of sealed memory. Tables come along each
    time; a worker that knows one by its digest does not map it again.
    """

    generation: int


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Finish what there is, within a time, and end."""

    timeout_s: float


class Applied(msgspec.Struct, frozen=True, tag=True):
    """The policy of this generation is in use."""

    generation: int


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The policy of this generation cannot be used; the former one stays."""

    generation: int
    reason: str


class Drained(msgspec.Struct, frozen=True, tag=True):
    """The worker is done and ends; what it could not send is in the ledger as dropped."""

    unsent_items: int


Order = Start | Use | Drain
Report = Applied | Refused | Drained

_ENCODER = msgspec.json.Encoder()
_ORDERS = msgspec.json.Decoder(Order)
_REPORTS = msgspec.json.Decoder(Report)


def send(sock: socket.socket, message: Order | Report, descriptors: Sequence[int] = ()) -> None:
    """One message, with copies of the descriptors. BlockingIOError when the other side does not read."""
    socket.send_fds(sock, [_ENCODER.encode(message)], list(descriptors))


def receive_order(sock: socket.socket) -> tuple[Order | None, list[int]]:
    """The next order and its descriptors, which are the caller's to close; None when the supervisor has gone."""
    data, descriptors, _, _ = socket.recv_fds(sock, MESSAGE_BYTES, DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    return (_ORDERS.decode(data) if data else None), descriptors


def receive_report(sock: socket.socket) -> Report | None:
    """The next report; None when the worker has gone."""
    data = sock.recv(MESSAGE_BYTES)
    return _REPORTS.decode(data) if data else None
