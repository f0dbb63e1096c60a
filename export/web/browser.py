"""Headless Chromium as an engine: it runs the page's own code, so that a page is verified as an ONNX file is.

No driver is needed. A server on loopback serves the folder and one page more, which asks for batches and gives back
what the page's engine makes of them.
"""

import os
import queue
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import numpy as np
from numpy.typing import NDArray

from ...runtime.backends.base import TensorSpec
from ...runtime.errors import BackendError
from ...runtime.web.static_folder import StaticHandler

HARNESS = Path(__file__).parent / "harness"

# WebGPU on Chromium's own emulation: slow, the same on every machine, and it needs no graphics processor.
FLAGS = (
    "--headless=new",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
)
START_SECONDS = 120.0
RUN_SECONDS = 300.0

Engine = Literal["wasm", "webgpu"]


class BrowserBackend:
    """A model of a page in one of the page's engines, on at most `threads`; a `Backend` of the runtime.

    Raises:
        BackendError: Chromium does not start, or the engine does not open there.
    """

    device = "cpu"

    def __init__(
        self, chromium: str, folder: Path, model: str, engine: Engine, precision: str, *, threads: int = 8
    ) -> None:
        self.name: str = engine
        self.precision = precision
        self.input = TensorSpec("image", (None, None, None, None), "uint8")
        self.output = TensorSpec("translated", (None, None, None, None), "uint8")
        self.properties: Mapping[str, str] = {}
        self._batches: queue.Queue[NDArray[np.uint8]] = queue.Queue()
        self._answers: queue.Queue[NDArray[np.uint8] | str | BackendError] = queue.Queue()
        self._server = _Server(folder, self._batches, self._answers)
        Thread(target=self._server.serve_forever, daemon=True).start()
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        wanted = urlencode({"model": model, "engine": engine, "precision": precision, "threads": threads})
        address = f"http://127.0.0.1:{self._server.server_port}/static/verify.html?{wanted}"
        as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        self._process = subprocess.Popen(
            [chromium, *FLAGS, *as_root, f"--user-data-dir={self._profile.name}", address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self.place = str(self._answer(START_SECONDS))  # the browser, and what the engine runs on there
        except BackendError:
            self.close()
            raise

    def infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run uint8 [N, H, W, C] through the page's engine.

        Raises:
            BackendError: it failed there.
        """
        self._batches.put(np.ascontiguousarray(batch))
        answer = self._answer(RUN_SECONDS)
        assert isinstance(answer, np.ndarray)
        return answer

    def close(self) -> None:
        """End the browser and forget its profile."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()
        self._server.shutdown()
        self._server.server_close()
        self._profile.cleanup()

    def _answer(self, seconds: float) -> NDArray[np.uint8] | str:
        """Wait for the page, as long as its browser lives."""
        for _ in range(int(seconds)):
            try:
                answer = self._answers.get(timeout=1.0)
            except queue.Empty:
                if self._process.poll() is not None:
                    raise BackendError(f"the browser ended by itself (code {self._process.returncode})") from None
                continue
            if isinstance(answer, BackendError):
                raise answer
            return answer
        raise BackendError(f"the browser did not answer within {seconds:.0f} seconds")


class _Server(ThreadingHTTPServer):
    """Serves the folder and the harness to the browser, and carries batches and answers."""

    daemon_threads = True

    def __init__(self, folder: Path, batches: "queue.Queue[Any]", answers: "queue.Queue[Any]") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.batches = batches
        self.answers = answers

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet: a browser that is closed cuts what it had asked for."""


class _Handler(StaticHandler):
    server: _Server

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/verification/next":
            self._next()
            return
        in_harness = path in ("/static/verify.html", "/static/verify.js")
        self.directory = str(HARNESS if in_harness else self.server.folder)
        self.path = path.removeprefix("/static") if in_harness else path
        super().do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["X-Failed"]:
            self.server.answers.put(BackendError(f"the browser's engine failed: {body.decode()}"))
        elif self.headers["X-Shape"]:
            shape = [int(side) for side in self.headers["X-Shape"].split()]
            self.server.answers.put(np.frombuffer(body, np.uint8).reshape(shape))
        else:
            self.server.answers.put(body.decode())
        self._send(204)

    def _next(self) -> None:
        """Give a batch, or after a while nothing, so that a request never hangs for longer than a browser waits."""
        try:
            batch = self.server.batches.get(timeout=5.0)
        except queue.Empty:
            self._send(204)
            return
        self._send(200, batch.tobytes(), {"X-Shape": " ".join(map(str, batch.shape))})

    def _send(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
