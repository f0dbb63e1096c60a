"""How an RTSP stream is reached: as the address says, else over TCP, and over UDP where that does not answer."""

from threading import Event

import av
import pytest

from cyclegan_edge.runtime.errors import StreamError, UsageError
from cyclegan_edge.runtime.sources.network import open_stream


@pytest.fixture
def asked(monkeypatch):
    """Answer no call, and note the address and transport of each."""
    calls = []

    def refuse(address, options, **more):
        calls.append((address, options.get("rtsp_transport")))
        raise av.TimeoutError(110, "timed out")

    monkeypatch.setattr(av, "open", refuse)
    return calls


@pytest.mark.parametrize(
    ("query", "rest", "transports"),
    [
        ("", "", ["tcp", "udp"]),
        ("?transport=udp", "", ["udp"]),
        ("?transport=tcp", "", ["tcp"]),
        ("?token=x", "?token=x", ["tcp", "udp"]),
        ("?token=x&transport=udp", "?token=x", ["udp"]),
        ("?transport=udp&token=x", "?token=x", ["udp"]),
        ("?a=1&transport=tcp&b=2", "?a=1&b=2", ["tcp"]),
    ],
)
def test_the_transport_of_the_address_or_one_after_the_other(query, rest, transports, asked):
    with pytest.raises(StreamError, match="did not answer in time"):
        open_stream(f"rtsp://host/live{query}", Event())
    assert asked == [(f"rtsp://host/live{rest}", transport) for transport in transports]


def test_an_unknown_transport(asked):
    with pytest.raises(UsageError, match="has no transport 'quic'; use tcp or udp"):
        open_stream("rtsp://user:S3CRET@host/live?transport=quic", Event())
    assert not asked


def test_other_addresses_keep_their_query(asked):
    with pytest.raises(StreamError):
        open_stream("http://host/live?transport=udp", Event())
    assert asked == [("http://host/live?transport=udp", None)]
