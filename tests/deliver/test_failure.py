import base64

import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from sidecar.deliver.failure import LONGEST_PAUSE_S, NO_STATUS, REFUSED_STREAM, Failure
from sidecar.errors import GrpcStatus
from tests.deliver import failures
from tests.deliver.failures import LOST, NOT_LOOKED_AT, REFUSED, RESET, UNSENT, packed, refused, retry_info

OF_HTTP = {
    400: GrpcStatus.INTERNAL,
    401: GrpcStatus.UNAUTHENTICATED,
    403: GrpcStatus.PERMISSION_DENIED,
    404: GrpcStatus.UNIMPLEMENTED,
    429: GrpcStatus.UNAVAILABLE,
    502: GrpcStatus.UNAVAILABLE,
    503: GrpcStatus.UNAVAILABLE,
    504: GrpcStatus.UNAVAILABLE,
}
"""gRPC's "HTTP to gRPC Status Code Mapping", all of it; whatever is not there is UNKNOWN."""


# ---- status


@pytest.mark.parametrize("status", GrpcStatus)
def test_the_status_that_was_answered(status: GrpcStatus) -> None:
    assert refused(status).status is status
    assert refused(status)._replace(http_status=503).status is status, "what HTTP says counts only without one"
    assert refused(status)._replace(connection_lost=True, h2_error=REFUSED_STREAM).status is status


@pytest.mark.parametrize("status", [17, 99, 999])
def test_a_status_that_grpc_does_not_have_is_unknown(status: int) -> None:
    assert REFUSED._replace(grpc_status=status).status is GrpcStatus.UNKNOWN


@pytest.mark.parametrize("http", [200, 204, 302, 400, 401, 403, 404, 405, 413, 415, 429, 500, 501, 502, 503, 504, 505])
def test_without_one_http_tells(http: int) -> None:
    failure = REFUSED._replace(grpc_status=NO_STATUS, http_status=http)
    assert failure.status is OF_HTTP.get(http, GrpcStatus.UNKNOWN)
    assert failure.retryable == (http in {429, 502, 503, 504}), "OTLP/HTTP has exactly these"


@pytest.mark.parametrize("failure", [LOST, UNSENT, RESET, NOT_LOOKED_AT], ids=["lost", "unsent", "reset", "refused"])
def test_no_answer_is_unavailable(failure: Failure) -> None:
    assert failure.status is GrpcStatus.UNAVAILABLE
    assert failure._replace(http_status=401).status is GrpcStatus.UNAVAILABLE, "the end of the answer is missing"
    assert failure.retryable
    assert not failure.refused
    assert failure.retry_after_s is None
    assert failure.words == ""


def test_a_reset_without_an_error_is_no_answer_either() -> None:
    failure = REFUSED._replace(grpc_status=NO_STATUS, http_status=0)
    assert failure.status is GrpcStatus.UNAVAILABLE
    assert not failure.refused


def test_an_answer_is_one_whatever_happens_to_its_stream_after_it() -> None:
    assert REFUSED.refused
    assert REFUSED._replace(h2_error=failures.CANCEL).refused
    assert REFUSED._replace(connection_lost=True, h2_error=failures.INTERNAL_ERROR).refused
    assert REFUSED._replace(grpc_status=NO_STATUS, http_status=503).refused


# ---- words


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"", ""),
        (b"queue is full", "queue is full"),
        (b"100%25 full%2C sorry", "100% full, sorry"),
        (b"gr%C3%BC%C3%9Fe %F0%9F%90%99", "grüße 🐙"),
        (b"%", "%"),
        (b"%zz%1", "%zz%1"),
        (b"%FF%FE", "\N{REPLACEMENT CHARACTER}" * 2),
        ("grüße".encode("latin-1"), "grüße"),
    ],
)
def test_words_are_percent_encoded(message: bytes, words: str) -> None:
    assert REFUSED._replace(message=message).words == words


# ---- RetryInfo


@pytest.mark.parametrize("after_s", [0.0, 1e-9, 0.25, 1.0, 30.000000001, 600.0])
@pytest.mark.parametrize("padded", [True, False])
def test_retry_info(after_s: float, padded: bool) -> None:
    failure = REFUSED._replace(details=packed(retry_info(after_s), padded=padded))
    assert failure.retry_after_s == after_s


def test_retry_info_among_other_details() -> None:
    other = failures.bad_request()
    assert REFUSED._replace(details=packed(other, retry_info(2.0), other)).retry_after_s == 2.0
    assert REFUSED._replace(details=packed(retry_info(2.0), retry_info(9.0))).retry_after_s == 2.0


def test_retry_info_without_a_delay_asks_for_none() -> None:
    assert REFUSED._replace(details=packed(RetryInfo())).retry_after_s == 0.0


@pytest.mark.parametrize("after_s", [LONGEST_PAUSE_S, LONGEST_PAUSE_S + 1, 315_576_000_000.0])
def test_retry_info_is_bounded(after_s: float) -> None:
    """A Duration may be ten thousand years: no backend is to be lost by one."""
    assert REFUSED._replace(details=packed(retry_info(after_s))).retry_after_s == LONGEST_PAUSE_S


def test_a_negative_retry_info_is_none_at_all() -> None:
    assert REFUSED._replace(details=packed(retry_info(-1.5))).retry_after_s == 0.0


def garbage() -> dict[str, bytes]:
    status = Status(code=14)
    detail = status.details.add()
    detail.type_url = "type.googleapis.com/google.rpc.RetryInfo"
    detail.value = b"\xff\xff"
    return {
        "nothing": b"",
        "no details": packed(),
        "others only": packed(failures.bad_request()),
        "no base64": b"A",
        "no protobuf": base64.b64encode(b"\xff" * 20),
        "cut off": packed(retry_info(1.0))[:-8],
        "a RetryInfo that is none": base64.b64encode(status.SerializeToString()),
    }


@pytest.mark.parametrize("what", garbage())
def test_details_without_retry_info(what: str) -> None:
    failure = REFUSED._replace(details=garbage()[what])
    assert failure.retry_after_s is None
    assert not failure._replace(grpc_status=GrpcStatus.RESOURCE_EXHAUSTED).retryable
