"""Show frames to browsers on this machine: Motion JPEG over HTTP, and the run's counts as JSON.

Without viewers nothing is encoded; several viewers share one encoding; a slow viewer misses frames and delays nobody.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Lock, Thread
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np

from ..contract import plain
from ..errors import OutputError, UsageError
from ..frame import Frame, Write
from ..stats import Stats

QUALITY = 85  # of JPEG, out of 100
BOUNDARY = "frame"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SLOWEST_VIEWER = 10.0  # seconds for one frame, before its connection is closed
HEADERS = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
}
_PAGE = b"""<!doctype html><meta charset="utf-8"><title>cyclegan</title>
<style>body{margin:0;background:#111}img{display:block;margin:auto;max-width:100vw;max-height:100vh}</style>
<img src="/stream.mjpg" alt="translated frames">
"""


class MjpegBroadcast:
    """Hold the newest frame, and encode it when the first viewer asks for it."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._encoding = Lock()
        self._frame: Frame | None = None
        self._number = 0
        self._jpeg: tuple[int, bytes] = (0, b"")
        self._over = False

    def write(self, frame: Frame) -> None:
        """Take the newest frame."""
        with self._changed:
            self._frame = frame
            self._number += 1
            self._changed.notify_all()

    def end(self) -> None:
        """End the streams of all viewers."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def after(self, number: int) -> tuple[int, bytes] | None:
        """Wait for a frame later than `number`; return its own number and JPEG, or None once there are no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._number > number)
            if self._over or self._frame is None:
                return None
            number, frame = self._number, self._frame
        with self._encoding:
            if self._jpeg[0] < number:
                pixels = cv2.cvtColor(plain(frame.pixels), cv2.COLOR_RGB2BGR)
                _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
                self._jpeg = number, np.asarray(encoded).tobytes()
            return self._jpeg


@contextmanager
def mjpeg_sink(address: str, stats: Stats) -> Iterator[Write]:
    """Show frames at `address`, http://127.0.0.1:PORT, to every browser of this machine.

    Raises:
        OutputError: the port is taken.
    """
    broadcast = MjpegBroadcast()
    host, port = split_address(address)
    try:
        server = _Server((host, port), _handler(broadcast, stats))
    except OSError as error:
        raise OutputError(f"cannot serve {address}: {error.strerror or error}; name another port") from error
    thread = Thread(target=server.serve_forever, args=[0.1], name="mjpeg", daemon=True)
    thread.start()
    try:
        yield broadcast.write
    finally:
        broadcast.end()
        server.shutdown()
        thread.join()
        server.server_close()


def split_address(address: str) -> tuple[str, int]:
    """Return host and port.

    Raises:
        UsageError: it is another machine's, has no port, or names a page.
    """
    parts = urlsplit(address)
    with suppress(ValueError):
        if parts.scheme == "http" and parts.hostname in LOOPBACK and parts.port and parts.path in ("", "/"):
            return parts.hostname, parts.port
    raise UsageError(
        f"frames are shown on this machine only, at an address such as http://127.0.0.1:8080, not at {address}; for "
        "others there is: cyclegan serve"
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: viewers come and go."""


def _handler(broadcast: MjpegBroadcast, stats: Stats) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = SLOWEST_VIEWER
        server_version, sys_version = "cyclegan", ""

        def end_headers(self) -> None:
            """Keep pages of other sites from showing or reading the frames."""
            for name, value in HEADERS.items():
                self.send_header(name, value)
            super().end_headers()

        def do_GET(self) -> None:
            host = (self.headers.get("Host") or "").rpartition(":")[0].strip("[]")
            if host not in LOOPBACK:  # a page from elsewhere that points its own name here
                self.send_error(403)
            elif self.path == "/":
                self._answer("text/html; charset=utf-8", _PAGE)
            elif self.path == "/stats.json":
                self._answer("application/json", json.dumps(stats.summary()).encode())
            elif self.path == "/stream.mjpg":
                self._stream()
            else:
                self.send_error(404)

        def _answer(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            number = 0
            while newer := broadcast.after(number):
                number, jpeg = newer
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing: the log is the run's."""

    return Handler
