"""A server on a free port of loopback, in a thread of its own, and pictures and videos to send it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
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
def running(service: Service, token: str | None = None) -> Iterator[Running]:
    with listen("127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = make_server(service, token)
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
