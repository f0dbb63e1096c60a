"""Addresses: a video is read to its end, a live stream is kept alive, and each refusal says what it is."""

from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import cv2
import numpy as np
import pytest

from cyclegan_edge.runtime.errors import StreamError
from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.sources import live
from cyclegan_edge.runtime.sources.network import open_stream
from cyclegan_edge.runtime.video import video_sink

COUNT = 30


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("clip") / "a.mkv"
    with video_sink(path, 25) as write:
        for number in range(COUNT):
            write(Frame(np.full((48, 64, 3), 8 * number, np.uint8), path))
    return path.read_bytes()


@contextmanager
def serving(answer):
    """A server on this machine whose every GET is answered by a function; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    try:
        yield f"http://user:S3CRET@127.0.0.1:{server.server_port}/a.mkv?token=S3CRET"
    finally:
        server.shutdown()
        server.server_close()


def send(handler, data: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def test_a_video_is_read_to_its_end(clip):
    with serving(lambda handler: send(handler, clip)) as address:
        source = open_stream(address, Event())
        assert not source.live
        assert sum(isinstance(frame, Frame) for frame in source) == COUNT


@pytest.mark.parametrize(("status", "kind"), [(401, "unauthorised"), (403, "unauthorised"), (404, "not found")])
def test_refusals_are_told_apart_and_hide_the_password(status, kind):
    with (
        serving(lambda handler: handler.send_error(status)) as address,
        pytest.raises(StreamError) as refusal,
    ):
        open_stream(address, Event())
    assert refusal.value.kind == kind
    assert not refusal.value.passing
    assert "S3CRET" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_nobody_there():
    with pytest.raises(StreamError, match=r"127\.0\.0\.1:9/a cannot be opened") as refusal:
        open_stream("http://127.0.0.1:9/a", Event())
    assert refusal.value.kind == "unreachable"


def test_a_connection_that_breaks_off_is_made_again(monkeypatch):
    monkeypatch.setattr(live, "FIRST_WAIT", 0.01)
    pictures = [cv2.imencode(".jpg", np.full((48, 64, 3), 10 * n, np.uint8))[1].tobytes() for n in range(20)]
    asked = []

    def answer(handler):
        asked.append(handler.path)
        handler.send_response(200)
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=f")
        handler.end_headers()
        for jpeg in pictures:
            handler.wfile.write(b"--f\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
            handler.wfile.write(jpeg + b"\r\n")

    stop = Event()
    with serving(answer) as address:
        source = open_stream(address, stop)
        assert source.live
        assert Path(source.name).name == "a.mkv"
        frames = iter(source)
        seen = [next(frames).pixels.shape for _ in range(45)]
        stop.set()
        frames.close()
    assert set(seen) == {(48, 64, 3)}
    assert len(asked) >= 3
