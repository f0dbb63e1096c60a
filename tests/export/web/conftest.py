"""A page of models whose right answer is known, on servers of several manners, and browsers to open it with."""

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from playwright.sync_api import Browser, Page, Playwright, expect

from cyclegan_edge.export.web.folder import WebModel, write_web
from cyclegan_edge.runtime.machine.chromium import find_chromium
from cyclegan_edge.runtime.metadata import ArtefactMetadata, SourceCheckpoint
from cyclegan_edge.runtime.web.static_folder import StaticServer

CHROMIUM = find_chromium()
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium: apt install chromium")

FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
WEBGPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()) or "launch" in getattr(item, "fixturenames", ()):
            item.add_marker(needs_chromium)


def metadata_of(**changes: Any) -> ArtefactMetadata:
    values: dict[str, Any] = {
        "architecture": "resnet_1blocks",
        "direction": "AtoB",
        "io": "uint8",
        "precision": "fp16",
        "input_channels": 3,
        "output_channels": 3,
        "size_multiple": 4,
        "size_minimum": 8,
        "source": SourceCheckpoint(name="run", sha256="0" * 64, weights="ema"),
        "producer": {"cyclegan_edge": "0.1.0"},
        "created": "2026-01-01T00:00:00Z",
    }
    return ArtefactMetadata(**(values | changes))


@pytest.fixture(scope="session")
def web_model(inverting_model, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., WebModel]:
    """Make a model for a page: it inverts, or as `identity` leaves pictures alone; `channels` in and out."""
    folder = tmp_path_factory.mktemp("models")

    def make(name: str = "invert-AtoB", *, identity: bool = False, channels: int = 3, **changes: Any) -> WebModel:
        proto = inverting_model()
        if identity:
            proto.graph.node[1].CopyFrom(onnx.helper.make_node("Identity", ["pixels"], ["inverted"]))
            del proto.graph.initializer[:]
        for value in (*proto.graph.input, *proto.graph.output):
            value.type.tensor_type.shape.dim[3].dim_value = channels
        path = folder / f"{name}.onnx"
        onnx.save(proto, path)
        metadata = metadata_of(input_channels=channels, output_channels=channels, **changes)
        return WebModel(name, {"fp16": path, "fp32": path}, metadata, usual=128)

    return make


@pytest.fixture(scope="session")
def web_folder(web_model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with four models; nobody changes it."""
    models = [
        web_model(),
        web_model("identity-BtoA", identity=True, direction="BtoA"),
        web_model("gray-AtoB", channels=1),
        web_model("pinned-AtoB", size=(32, 48)),
    ]
    return write_web(models, tmp_path_factory.mktemp("page") / "test-web")


@pytest.fixture
def copied(web_folder: Path, tmp_path: Path) -> Path:
    """A copy of the page that a test may damage."""
    return Path(shutil.copytree(web_folder, tmp_path / "copy"))


class _PlainHandler(SimpleHTTPRequestHandler):
    """A host that sends none of the headers, as many do."""

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def host() -> Iterator[Callable[..., str]]:
    """Serve a folder until the test ends, with the headers or as a `plain` host; returns the address."""
    with ExitStack() as servers:

        def start(folder: Path, *, plain: bool = False) -> str:
            if plain:
                server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_PlainHandler, directory=folder))
            else:
                server = StaticServer(socket.create_server(("127.0.0.1", 0)), folder)
            return servers.enter_context(serving(server))

        yield start


@pytest.fixture(scope="session")
def launch(playwright: Playwright) -> Iterator[Callable[..., Browser]]:
    """Start a browser with flags, once for the same flags."""
    with ExitStack() as browsers:
        started: dict[tuple[str, ...], Browser] = {}

        def start(*flags: str) -> Browser:
            if flags not in started:
                started[flags] = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *flags])
                browsers.callback(started[flags].close)
            return started[flags]

        yield start


@pytest.fixture
def open_page(launch, host, web_folder) -> Iterator[Callable[..., Page]]:
    """Open a page and wait until it is ready; at the end no request left for another place.

    Where `calm`, nothing may be complained of in the console either.
    """
    contexts, complaints, addresses = [], [], []

    def open_one(
        address: str | None = None, *, flags=FAKE_CAMERA, calm: bool = True, ready: bool = True, **options: Any
    ) -> Page:
        address = address or host(web_folder)
        context = launch(*flags).new_context(**({"viewport": {"width": 1280, "height": 860}} | options))
        contexts.append(context)
        context.on("request", lambda request: addresses.append((address, request.url)))
        page = context.new_page()
        if calm:
            page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        if ready:
            expect(page.locator("body[data-ready]")).to_be_attached()
            expect(page.locator("body[data-engine]")).to_be_attached(timeout=30_000)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []
    assert addresses
    assert [url for own, url in addresses if not url.startswith((own, f"blob:{own}"))] == []


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    def wait(condition: Callable[[], bool], seconds: float = 20) -> None:
        deadline = monotonic() + seconds
        while not condition():
            assert monotonic() < deadline, "waited in vain"
            sleep(0.05)

    return wait


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """Encode smooth colours as a PNG of a size."""

    def encode(height: int = 48, width: int = 64) -> bytes:
        rows, columns = np.mgrid[0:height, 0:width]
        pixels = np.stack([255 * columns / width, 255 * rows / height, 0 * rows + 60], axis=-1).astype(np.uint8)
        return cv2.imencode(".png", pixels)[1].tobytes()

    return encode


def _write_video(
    path: Path, frames: int, codec: str, *, sound: str | None = None, size: tuple[int, int] = (48, 64)
) -> Path:
    """Write frames that grow brighter, 25 a second."""
    import av

    height, width = size

    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = container.add_stream(sound, rate=48000, layout="mono") if sound else None
        for i in range(frames):
            pixels = np.full((height, width, 3), 40 + 160 * i / frames, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode())
        if audio:
            tone = (8000 * np.sin(np.arange(1920 * frames) / 20)).astype(np.int16)[None]
            for part in np.split(tone, frames * 2, axis=1):
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="s16", layout="mono")
                frame.sample_rate = 48000
                container.mux(audio.encode(frame))
            container.mux(audio.encode())
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a video of so many frames, as WebM (VP8) or MP4 (H.264)."""
    folder = tmp_path_factory.mktemp("clips")

    def make(frames: int, suffix: str) -> Path:
        path = folder / f"{frames}.{suffix}"
        return path if path.exists() else _write_video(path, frames, {"webm": "libvpx", "mp4": "libx264"}[suffix])

    return make


@pytest.fixture(scope="session")
def sounding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WebM with sound."""
    return _write_video(tmp_path_factory.mktemp("sounding") / "sounding.webm", 12, "libvpx", sound="libopus")


@pytest.fixture(scope="session")
def odd_clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Write three frames of 49x65, whose sides no chroma halves."""
    folder = tmp_path_factory.mktemp("odd")
    return lambda suffix: _write_video(
        folder / f"odd.{suffix}", 3, {"webm": "libvpx", "mp4": "libvpx-vp9"}[suffix], size=(49, 65)
    )
