"""What may be configured as a health check is what can be made one."""

import pytest

from sidecar.config.check_text import HealthCheck
from sidecar.config.kinds import Unreadable
from sidecar.load.checks import CheckInvalid, Subject, standard
from sidecar.model import Endpoint
from sidecar.snapshot import Load

SUBJECT = Subject(Endpoint("a", 4317), Load, 1.0)
GOOD = [
    *("tcp", "tcp://a:1", "tcp://[::1]:1", "grpc", "grpc://a:1", "grpc://a:1/otlp", "http://a", "https://a:1/x?y=z"),
    *("cpu:0.9", "memory:1", "queue:0", "error_rate:0.1", "disk:/:0.9", "disk:/var/lib/data:0.95"),
]
BAD = [
    *("", "a:4317", "ftp://a", "tcp://a", "tcp://a:x", "grpc://a", f"grpc://a:1/{'x' * 128}"),
    *(
        "http://",
        "http://:1",
        "http://a:x",
        "http://u@a",
        "cpu",
        "cpu:",
        "cpu:90",
        "queue:-1",
        "disk:0.9",
        "disk:a:0.9",
    ),
]


@pytest.mark.parametrize("text", GOOD)
def test_what_can_be_configured_can_be_made(text: str) -> None:
    assert HealthCheck().read(text) == text
    standard().make(text, SUBJECT)


@pytest.mark.parametrize("text", BAD)
def test_what_cannot_be_made_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(Unreadable):
        HealthCheck().read(text)
    with pytest.raises(CheckInvalid):
        standard().make(text, SUBJECT)
