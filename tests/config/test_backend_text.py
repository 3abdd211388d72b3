import pytest

from sidecar.config.load import Inputs, load
from sidecar.config.schema import BackendConfig
from sidecar.errors import ConfigInvalid, Problem
from sidecar.model import Compression, Endpoint


def backends(text: str) -> tuple[BackendConfig, ...]:
    return load(Inputs(None, {"SPANGATE_BACKENDS": text})).config.backends


def refused(text: str) -> list[Problem]:
    with pytest.raises(ConfigInvalid) as caught:
        backends(text)
    return list(caught.value.problems)


def test_one_line_holds_all_that_a_backend_has() -> None:
    (backend,) = backends("a:1, weight=2.5, name=blue, compression=gzip, max_message_bytes=8MiB, header.API-Key=s=3")
    assert (backend.address, backend.weight, backend.name) == (Endpoint("a", 1), 2.5, "blue")
    assert (backend.compression, backend.max_message_bytes) == (Compression.GZIP, 8 << 20)
    assert backend.headers["api-key"].reveal() == "s=3"


def test_a_semicolon_between_several() -> None:
    assert [str(b.address) for b in backends("a:1;b:2,weight=2; [::1]:3;")] == ["a:1", "b:2", "[::1]:3"]


@pytest.mark.parametrize(
    ("text", "path", "complaint"),
    [
        ("a:1,wieght=2", "backends[0].wieght", "is no setting"),
        ("a:1;b:1,weight", "backends[1]", "not `key=value`"),
        ("a:1,=2", "backends[0]", "not `key=value`"),
        ("a:1,weight=1,weight=2", "backends[0].weight", "is here twice"),
        ("a:1,header.k=1,header.k=2", "backends[0].header.k", "is here twice"),
        ("weight=2", "backends[0].address", "is missing"),
        ("a:1,address=b:1", "backends[0].address", "is here twice"),
        (",weight=2", "backends[0].address", "no port"),
    ],
)
def test_what_is_no_backend_is_refused(text: str, path: str, complaint: str) -> None:
    (problem,) = refused(text)
    assert (problem.path, problem.source) == (path, "SPANGATE_BACKENDS")
    assert complaint in problem.message


@pytest.mark.parametrize(
    "text", ["a:1,header.k=xyzzy,xyzzy", "header.k=xyzzy,a:1", "a:1,header.k=xyzzy\x01", "a:1,xyzzy"]
)
def test_no_problem_repeats_a_secret(text: str) -> None:
    assert "xyzzy" not in repr(refused(text))
