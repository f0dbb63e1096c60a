"""Connections that drop and come back, or do not, through the command."""

import os
import signal
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import cv2
import numpy as np
import pytest

from cyclegan_edge.runtime.sources import live, network
from cyclegan_edge.runtime.sources.bars import Barcode, write_barcode

SHAPE = 80, 128, 3


def jpeg(number: int) -> bytes:
    picture = np.full(SHAPE, 90, np.uint8)
    write_barcode(picture, Barcode(number, number / 25))
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


class Camera:
    """A network camera that breaks off after some frames, answers some calls with nothing, and then goes on."""

    def __init__(self, *plan: int | str) -> None:
        """`plan`: for each call how many frames it gives, or "refuse"; none are left: "refuse"."""
        self.plan, self.calls, self.sent = list(plan), 0, 0
        self.exhausted = Event()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        step = self.plan[self.calls] if self.calls < len(self.plan) else "refuse"
        self.calls += 1
        if self.calls >= len(self.plan) + 1:
            self.exhausted.set()
        if step == "refuse":
            handler.send_error(503)
            return
        handler.send_response(200)
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=f")
        handler.end_headers()
        for _ in range(step):
            data = jpeg(self.sent)
            handler.wfile.write(b"--f\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data))
            handler.wfile.write(data + b"\r\n")
            self.sent += 1


@contextmanager
def serving(camera: Camera):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            camera.answer(self)

        def log_message(self, *arguments):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            """Say nothing: who only asks what it is hangs up."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield f"http://user:S3CRET@127.0.0.1:{server.server_port}/live?token=S3CRET"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(live, "FIRST_WAIT", 0.01)


def test_a_camera_that_drops_and_returns_is_one_recording(translate, numbers, tmp_path, caplog):
    camera = Camera(30, 30, "refuse", "refuse", 30, 30)  # the first call only asks what it is

    def stop() -> None:
        camera.exhausted.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    stopper = Thread(target=stop)
    stopper.start()
    with serving(camera) as address:
        done = translate(address, tmp_path / "a.mp4", options=("--policy", "lossless"))
    stopper.join()
    assert done.code == 130
    assert "broke off" in caplog.text or "has ended" in caplog.text
    assert "trying again in" in caplog.text
    assert "S3CRET" not in caplog.text + done.said
    seen = numbers(tmp_path / "a.mp4")
    assert seen == sorted(set(seen))
    assert len(seen) == done.summary["frames"] > 60
    assert (done.summary["failed"], done.summary["dropped"]) == (0, {})


class Stalling:
    """Answers every call with the first half of a file, and then says nothing more."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.released = Event()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        first, last = 0, len(self.data) - 1
        if wanted := handler.headers.get("Range"):
            first = int(wanted.removeprefix("bytes=").split("-")[0])
        handler.send_response(206 if wanted else 200)
        handler.send_header("Accept-Ranges", "bytes")
        handler.send_header("Content-Range", f"bytes {first}-{last}/{len(self.data)}")
        handler.send_header("Content-Length", str(last + 1 - first))
        handler.end_headers()
        handler.wfile.write(self.data[first : max(first, len(self.data) // 2)])
        handler.wfile.flush()
        self.released.wait(30)


@pytest.mark.parametrize("sound", ["", "--no-audio"])
def test_a_video_that_stalls_half_way_ends_as_a_camera_that_hangs_does(
    sound, translate, numbers, tmp_path, monkeypatch, partial_of
):
    monkeypatch.setattr(network, "READ_TIMEOUT", 0.5)
    assert translate("test:bars?size=64x48&frames=400", tmp_path / "film.mkv").code == 0
    stalling = Stalling((tmp_path / "film.mkv").read_bytes())
    (tmp_path / "film.mkv").unlink()
    with serving(stalling) as address:
        try:
            done = translate(address, tmp_path / "a.mkv", options=(sound,) if sound else ())
        finally:
            stalling.released.set()
    assert (done.code, done.summary) == (3, {})
    assert "gave no frame for 0.5 s" in done.said
    assert "S3CRET" not in done.said
    assert list(tmp_path.iterdir()) == [partial_of(tmp_path / "a.mkv")]
    assert len(numbers(partial_of(tmp_path / "a.mkv"))) > 20


def test_one_that_stays_away_ends_the_run_and_what_came_is_kept(translate, numbers, tmp_path, monkeypatch, partial_of):
    monkeypatch.setitem(live.LiveSource.__init__.__kwdefaults__, "attempts", 3)
    with serving(Camera(30, 30)) as address:
        done = translate(address, tmp_path / "a.mp4", options=("--policy", "lossless"))
    assert (done.code, done.summary) == (3, {})
    assert "cannot be opened" in done.said
    assert "S3CRET" not in done.said
    assert list(tmp_path.iterdir()) == [partial_of(tmp_path / "a.mp4")]
    assert len(numbers(partial_of(tmp_path / "a.mp4"))) > 20
