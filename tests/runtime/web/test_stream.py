"""The server's own camera: opened for the first viewer, translated once, closed after the last."""

import struct
from threading import enumerate as threads

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect


def shown(line) -> tuple[int, float, bytes, bytes]:
    data = line.recv(timeout=20)
    number, milliseconds, length = struct.unpack_from("<IfI", data)
    return number, milliseconds, data[12 : 12 + length], data[12 + length :]


def watching(server):
    return connect(f"{server.socket_url}/v1/stream", proxy=None, max_size=None)


BARS = "test:bars?live=yes&size=96x72&fps=30"


@pytest.fixture
def streaming(start):
    """A server that shows the test picture as if it were a camera."""
    return start(address=BARS, longest=48)


def test_both_sides_are_shown_smaller_than_the_limit(streaming, pixels) -> None:
    assert streaming.client.get("/v1/models").json()["stream"] is True
    with watching(streaming) as line:
        _, milliseconds, before, after = shown(line)
    assert milliseconds > 0
    assert pixels(before).shape == pixels(after).shape == (36, 48, 3)
    assert np.abs(pixels(after).astype(int) - (255 - pixels(before).astype(int))).mean() < 6


def test_several_viewers_see_the_same_frames_translated_once(streaming) -> None:
    with watching(streaming) as one, watching(streaming) as other:
        seen = {number: after for number, _, _, after in (shown(one) for _ in range(15))}
        also = {number: after for number, _, _, after in (shown(other) for _ in range(15))}
    both = seen.keys() & also.keys()
    assert all(seen[number] == also[number] for number in both)
    metrics = streaming.client.get("/metrics").text
    translated = int(metrics.partition('cyclegan_translated_total{source="stream"} ')[2].split()[0])
    assert translated < len(seen) + len(also) + 40


def test_the_source_is_open_only_while_somebody_watches(streaming, wait_until) -> None:
    def open_now() -> bool:
        return any(thread.name == "broadcast" for thread in threads())

    assert not open_now()
    for _ in range(2):
        with watching(streaming) as line:
            shown(line)
            assert open_now()
        wait_until(lambda: not open_now())


def test_motion_jpeg_for_other_players(streaming, pixels) -> None:
    with streaming.client.stream("GET", "/v1/stream.mjpg") as answer:
        assert answer.headers["content-type"].startswith("multipart/x-mixed-replace; boundary=")
        received = b""
        for piece in answer.iter_raw():
            received += piece
            if received.count(b"--cyclegan-frame") == 3:
                break
    part = received.split(b"--cyclegan-frame\r\n")[1]
    head, _, body = part.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body) - 2}".encode() in head
    assert pixels(body[:-2]).shape == (36, 48, 3)


def test_viewers_count_as_sockets(start, wait_until) -> None:
    narrow = start(address=BARS, limits={"sockets": 1})
    with watching(narrow) as line:
        shown(line)
        assert narrow.client.get("/v1/stream.mjpg").status_code == 429
    wait_until(lambda: narrow.service.sockets.taken == 0)
    with narrow.client.stream("GET", "/v1/stream.mjpg") as answer:
        assert answer.status_code == 200
        with pytest.raises(InvalidStatus), watching(narrow):
            pass
    wait_until(lambda: narrow.service.sockets.taken == 0)


def test_without_a_camera_there_is_no_stream(server) -> None:
    assert server.client.get("/v1/stream.mjpg").json()["reason"] == "no_stream"
    with pytest.raises(InvalidStatus) as denied, watching(server):
        pass
    assert denied.value.response.status_code == 404


def test_the_server_stops_while_somebody_watches(start) -> None:
    one = start(address=BARS)
    with watching(one) as line:
        shown(line)
        with one.client.stream("GET", "/v1/stream.mjpg") as answer:
            pieces = answer.iter_raw()
            next(pieces)
            one.service.broadcast.close()
            for _ in pieces:  # comes to its end
                pass
