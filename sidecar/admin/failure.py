"""Errors on their way to a caller: the status is the error's own, and a `Failure` among its details has the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc.status_pb2 import Status

from sidecar.admin.v1 import admin_pb2 as pb
from sidecar.errors import ConfigInvalid, GrpcStatus, Problem, SpangateError

DETAILS = "grpc-status-details-bin"
"""The trailer that carries a google.rpc.Status."""
CODES = {GrpcStatus(code.value[0]): code for code in grpc.StatusCode}


class Told(NamedTuple):
    """An error as gRPC has it."""

    code: grpc.StatusCode
    text: str
    trailers: tuple[tuple[str, bytes], ...]


def told(error: SpangateError) -> Told:
    """How a caller gets to know of it."""
    problems = error.problems if isinstance(error, ConfigInvalid) else ()
    failure = pb.Failure(
        message=error.message, hint=error.hint, exit_code=error.exit_code, problems=map(problem_out, problems)
    )
    detail = Any()
    detail.Pack(failure)
    status = Status(code=error.grpc_status, message=error.message, details=[detail])
    return Told(CODES[error.grpc_status], error.message, ((DETAILS, status.SerializeToString()),))


def heard(trailers: Iterable[tuple[str, str | bytes]] | None) -> pb.Failure | None:
    """The other way round: what the trailers of a failed call have to say, if a gateway sent them."""
    for name, value in trailers or ():
        if name == DETAILS and isinstance(value, bytes):
            failure = pb.Failure()
            for detail in Status.FromString(value).details:
                if detail.Unpack(failure):
                    return failure
    return None


def problem_out(problem: Problem) -> pb.Problem:
    """As a message."""
    return pb.Problem(
        path=problem.path,
        message=problem.message,
        hint=problem.hint,
        line=problem.line or 0,
        source=problem.source,
    )


def problem_in(problem: pb.Problem) -> Problem:
    """As a value."""
    return Problem(problem.path, problem.message, problem.hint, problem.line or None, problem.source)
