"""A server on a free port of loopback, in a thread of its own, and pictures and videos to send it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

import cv2
import httpx
import numpy as np
import pytest

from cyclegan_edge.runtime.web.listening import listen
from cyclegan_edge.runtime.web.server import make_server
from cyclegan_edge.runtime.web.service import Service, open_service

TOKEN = "correct-horse-battery-staple"


@dataclass(frozen=True)
class Running:
    """A server that answers, and a client that speaks to it."""

    url: str
    service: Service
    client: httpx.Client

    @property
    def socket_url(self) -> str:
        return self.url.replace("http", "ws", 1)


@contextmanager
def running(service: Service, token: str | None = None, **tls: Path) -> Iterator[Running]:
    with listen("127.0.0.1", 0) as listening:
        url = f"http{'s' if tls else ''}://127.0.0.1:{listening.getsockname()[1]}"
        server = make_server(service, token, **tls)
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_until(lambda: server.started)
            with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
                yield Running(url, service, client)
        finally:
            server.should_exit = True
            thread.join(timeout=20)
        assert not thread.is_alive()


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, "waited in vain"
        sleep(0.02)


@pytest.fixture(scope="session", name="wait_until")
def _wait_until() -> Callable[..., None]:
    return wait_until


@pytest.fixture(scope="session")
def run_server() -> Callable[..., AbstractContextManager[Running]]:
    """Serve a service for the length of a block."""
    return running


@pytest.fixture
def start(model) -> Iterator[Callable[..., Running]]:
    """Start a server that inverts, with any of `open_service`'s options."""
    with ExitStack() as servers:

        def start_one(*models: str, token: str | None = None, **options) -> Running:
            paths = [model(name) for name in models or ("invert",)]
            service = open_service(paths, backend="onnxruntime", device="cpu", **options)
            return servers.enter_context(running(service, token))

        yield start_one


@pytest.fixture(scope="module")
def server(model) -> Iterator[Running]:
    """A server with two models, the first of which inverts, shared by the tests of a module."""
    paths = [model(name) for name in ("invert", "identity", "pinned")]
    with running(open_service(paths, backend="onnxruntime", device="cpu")) as one:
        yield one


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """Encode smooth colours, which JPEG hardly changes, as a picture of a size."""

    def encode(height: int = 48, width: int = 64, suffix: str = ".png") -> bytes:
        rows, columns = np.mgrid[0:height, 0:width]
        pixels = np.stack([255 * columns / width, 255 * rows / height, 0 * rows + 60], axis=-1).astype(np.uint8)
        return cv2.imencode(suffix, pixels)[1].tobytes()

    return encode


@pytest.fixture(scope="session")
def pixels() -> Callable[[bytes], np.ndarray]:
    """Decode a picture, in OpenCV's order of channels."""
    return lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a video of so many frames that grow brighter."""
    folder = tmp_path_factory.mktemp("clips")

    def write_clip(frames: int = 12, height: int = 48, width: int = 64) -> Path:
        path = folder / f"{frames}-{height}-{width}.mp4"
        if not path.exists():
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (width, height))
            for i in range(frames):
                writer.write(np.full((height, width, 3), 40 + 160 * i // frames, np.uint8))
            writer.release()
        return path

    return write_clip


@dataclass
class Victim:
    """The server's process and its largest figures so far."""

    process: subprocess.Popen[str]
    url: str
    log: Path
    headers: dict[str, str]
    start_megabytes: float = 0.0
    most_megabytes: float = 0.0
    most_descriptors: int = 0
    stopped: Event = field(default_factory=Event)

    @property
    def grown(self) -> float:
        return self.most_megabytes - self.start_megabytes

    def connect(self, sent: bytes = b"") -> socket.socket:
        line = socket.create_connection(("127.0.0.1", int(self.url.rpartition(":")[2])), timeout=20)
        line.sendall(sent)
        return line

    def open_websocket(self, path: str = "/v1/live") -> socket.socket:
        key = b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        line = self.connect(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n".encode() + key)
        assert b"101" in line.recv(2000)
        return line

    def post(self, body: bytes, path: str = "/v1/translate") -> httpx.Response:
        return httpx.post(self.url + path, content=body, headers=self.headers, timeout=60, trust_env=False)

    def serves(self) -> bool:
        """Whether a normal picture is translated now."""
        return self.post(cv2.imencode(".png", np.zeros((16, 16, 3), np.uint8))[1].tobytes()).status_code == 200

    def megabytes(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def watch(self) -> None:
        while not self.stopped.wait(0.02):
            try:
                self.most_megabytes = max(self.most_megabytes, self.megabytes())
                self.most_descriptors = max(
                    self.most_descriptors, len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))
                )
            except (OSError, IndexError):
                return


@contextmanager
def _attacked(model: Path, log: Path, *options: str, token: str | None = TOKEN) -> Iterator[Victim]:
    """Serve a model; afterwards the server must still serve, end with 0 when it is told to, and log no traceback."""
    command = ["-m", "cyclegan_edge", "serve", "-m", str(model), "--port", "0", "--backend", "onnxruntime", *options]
    environment = dict(os.environ)
    if token:
        environment["CYCLEGAN_TOKEN"] = token
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=file, text=True, env=environment
        )
    assert process.stdout
    victim = Victim(
        process,
        process.stdout.readline().strip().rstrip("/"),
        log,
        {"Authorization": f"Bearer {token}"} if token else {},
    )
    watching = Thread(target=victim.watch)
    try:
        assert victim.serves()
        victim.start_megabytes = victim.most_megabytes = victim.megabytes()
        watching.start()
        yield victim
        assert victim.serves()
    finally:
        victim.stopped.set()
        if watching.ident:
            watching.join()
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        process.stdout.close()
    assert code == 0
    assert "Traceback" not in log.read_text()


@pytest.fixture
def attacked(model, tmp_path) -> Callable[..., AbstractContextManager[Victim]]:
    """Start a server that inverts, in a process of its own, for a block that attacks it."""
    return lambda *options, token=TOKEN: _attacked(model("invert"), tmp_path / "log.txt", *options, token=token)
