"""Errors of the gateway. What an error does (exit code, gRPC status, worth a retry) is class data, never a lookup."""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import IntEnum
from typing import ClassVar, NamedTuple, Self


class Exit(IntEnum):
    """Exit codes of the `spangate` command: the one table of them, printed in `docs/configuration.md`."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    OK = 0, "All went well; a gateway that was told to stop has drained."
    PIPE = 1, "Whoever read the output has gone (`spangate ... | head`)."
    USAGE = 2, "The command line or the configuration is wrong; every problem is listed."
    PORT_TAKEN = 3, "An address to listen on is in use or not ours to bind."
    NO_BACKEND = 4, "No backend is configured; of `best`: there is no healthy collector."
    PATH_UNWRITABLE = 5, "A file or folder cannot be written."
    DESCRIPTORS = 6, "The limit on open files is too low for the configured connections."
    UNREACHABLE = 7, "No gateway answers where a command looks for one: its admin address, or its admin socket."
    NOT_BUILT = 8, "The native extension is missing or does not load."
    DEMO = 9, "The demo cannot run, or its ledger and its backends do not agree."
    STORE = 10, "The coordination store cannot be reached, or refuses."
    REFUSED = 11, "The fleet refuses the change: somebody else changed it first, or it does not validate there."
    INTERNAL = 70, "An error that nobody foresaw. `SPANGATE_TRACEBACK=1` shows where."
    INTERRUPTED = 130, "Ended by Ctrl-C before there was anything to drain."


class GrpcStatus(IntEnum):
    """The gRPC status codes, as they travel in `grpc-status`."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Problem(NamedTuple):
    """One thing that is wrong, or unwise, in a configuration."""

    path: str
    """The setting, as in `backends[1].weight`; empty when it is the file as a whole."""
    message: str
    hint: str = ""
    line: int | None = None
    """Line in the file, from 1; None when the value did not come from a file."""
    source: str = ""
    """Where the value was written: a file name, a flag, an environment variable."""

    @property
    def where(self) -> str:
        """`spangate.yaml:12`, `--ack`, `SPANGATE_DELIVERY_ACK`, or nothing."""
        return f"{self.source}:{self.line}" if self.line is not None else self.source

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.path, self.message) if part)


class SpangateError(Exception):
    """Whatever goes wrong in a way that we foresaw. `message` is one line, `hint` what to do about it."""

    exit_code: ClassVar[Exit] = Exit.INTERNAL
    grpc_status: ClassVar[GrpcStatus] = GrpcStatus.INTERNAL
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigInvalid(SpangateError):
    """A configuration that cannot be used, with everything that is wrong with it."""

    exit_code = Exit.USAGE
    grpc_status = GrpcStatus.INVALID_ARGUMENT

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__("the configuration has " + ("a problem" if count == 1 else f"{count} problems"))

    def __str__(self) -> str:
        return "\n".join([self.message, *map(str, self.problems)])


class PortTaken(SpangateError):
    """An address that cannot be bound."""

    exit_code = Exit.PORT_TAKEN

    def __init__(self, address: str, reason: str = "address already in use", *, setting: str = "listen") -> None:
        super().__init__(
            f"cannot listen on {address}: {reason}",
            f"stop what holds it (`ss -ltnp`), or set another `{setting}`",
        )

    @classmethod
    def because(cls, address: str, error: OSError, *, setting: str = "listen") -> Self:
        """With what the system or the resolver says of it.

        A resolver's errors have negative numbers and their own text; Python wraps those of the system in a sentence.
        """
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error.strerror or str(error)
        return cls(address, reason.lower(), setting=setting)


class NoBackend(SpangateError):
    """Nowhere to forward to: none is configured, or none is up."""

    exit_code = Exit.NO_BACKEND
    grpc_status = GrpcStatus.UNAVAILABLE
    retryable = True

    def __init__(self, message: str = "no backend is configured") -> None:
        super().__init__(message, "name one with --backend HOST:PORT, SPANGATE_BACKENDS, or `backends:` in the file")


class PathUnwritable(SpangateError):
    """A file or folder that the gateway must write, and cannot."""

    exit_code = Exit.PATH_UNWRITABLE

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"cannot write {path}: {reason}", "choose another path, or give this user the right to write")


class TooFewDescriptors(SpangateError):
    """The limit on open files is below what the configuration may need. Both are counts of descriptors."""

    exit_code = Exit.DESCRIPTORS

    def __init__(self, needed: int, allowed: int) -> None:
        super().__init__(
            f"up to {needed} descriptors may be needed, {allowed} are allowed",
            f"raise it (`ulimit -n {needed}`, LimitNOFILE=), or lower `limits.connections`",
        )


class GatewayUnreachable(SpangateError):
    """The admin address of a gateway does not answer, or not as a gateway does."""

    exit_code = Exit.UNREACHABLE
    grpc_status = GrpcStatus.UNAVAILABLE
    retryable = True

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(
            f"no gateway answers at {address}: {reason}",
            "is it running? --admin HOST:PORT says where its admin listens",
        )


class QuestionInvalid(SpangateError):
    """A question to a gateway that makes no sense to it."""

    exit_code = Exit.USAGE
    grpc_status = GrpcStatus.INVALID_ARGUMENT


class Refused(SpangateError):
    """A change that is well-formed, and that the fleet does not take as things stand."""

    exit_code = Exit.REFUSED
    grpc_status = GrpcStatus.FAILED_PRECONDITION


class DemoFailed(SpangateError):
    """The demo cannot go on, or what it shows cannot be true."""

    exit_code = Exit.DEMO


class NotBuilt(SpangateError):
    """The native extension is missing, or was built for another Python."""

    exit_code = Exit.NOT_BUILT

    def __init__(self, reason: str) -> None:
        super().__init__(f"the native extension does not load: {reason}", "build it in the checkout: pip install -e .")
