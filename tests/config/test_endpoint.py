import pytest

from sidecar.model import Endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:4317", Endpoint("127.0.0.1", 4317)),
        ("collector-1.example.net:0", Endpoint("collector-1.example.net", 0)),
        ("my_collector:65535", Endpoint("my_collector", 65535)),
        (f"{'a' * 63}.{'b' * 63}.:1", Endpoint(f"{'a' * 63}.{'b' * 63}.", 1)),
        ("[::1]:4317", Endpoint("::1", 4317)),
        ("[2001:DB8:0::1]:1", Endpoint("2001:db8::1", 1)),
    ],
)
def test_addresses_are_read_and_written(text: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(text) == endpoint
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("http://a:4317", "without the scheme"),
        ("collector", "no port"),
        (":4317", "no host"),
        ("::1:4317", "in brackets"),
        ("[collector]:4317", "no IPv6 address"),
        ("a b:4317", "no name and no address"),
        ("a..b:4317", "no name and no address"),
        (f"{'a' * 64}:4317", "no name and no address"),
        ("a:port", "no number"),
        ("a:65536", "no number"),
        ("a:-1", "no number"),
        ("a:٣", "no number"),
        ("", "no port"),
    ],
)
def test_what_is_no_address_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Endpoint.parse(text)
