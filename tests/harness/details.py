"""RetryInfo as it travels in `grpc-status-details-bin`, a google.rpc.Status, written and read by hand."""

from tests.kernels.wire import VARINT, field, fields, read_varint

KEY = "grpc-status-details-bin"
RETRY_INFO = b"type.googleapis.com/google.rpc.RetryInfo"


def pack(status: int, words: str, retry_after_s: float) -> bytes:
    """The value of the trailer."""
    seconds, nanos = divmod(round(retry_after_s * 1e9), 10**9)
    info = field(1, field(1, seconds) + field(2, nanos))
    return field(1, status) + field(2, words.encode()) + field(3, field(1, RETRY_INFO) + field(2, info))


def unpack(value: bytes) -> float | None:
    """The seconds that it asks for, or None."""
    for detail in _parts(value, 3):
        if _parts(detail, 1) == [RETRY_INFO]:
            (delay,) = _parts(_parts(detail, 2)[0], 1)
            return _number(delay, 1) + _number(delay, 2) / 1e9
    return None


def _parts(message: bytes, number: int) -> list[bytes]:
    return [message[f.value : f.end] for f in fields(message) if f.number == number and f.type != VARINT]


def _number(message: bytes, number: int) -> int:
    found = [read_varint(message, f.value, f.end)[0] for f in fields(message) if f.number == number]
    return found[-1] if found else 0
