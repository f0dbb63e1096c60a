"""Cameras through OpenCV, and which there are."""

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from threading import Event

import cv2
import numpy as np

from ..contract import Picture, Size
from ..errors import StreamError
from .address import Settings
from .live import LiveSource

_LINUX_DEVICES = Path("/sys/class/video4linux")


@dataclass(frozen=True)
class Camera:
    """A camera as `cyclegan cameras` lists it."""

    address: str  # what to give to -i
    name: str
    api: str  # the interface that OpenCV reaches it by


def open_camera(text: str, stop: Event) -> LiveSource:
    """Make the source for `0`, `/dev/video0` or `0?size=1280x720&fps=30`; it is opened when frames are wanted.

    Raises:
        UsageError: a setting is wrong.
    """
    settings = Settings(text, ("size", "fps"))
    size = settings.size("size", (0, 0))
    rate = settings.rate("fps", Fraction(30))
    asked = Fraction(0) if "fps" not in settings else rate

    def connect() -> Generator[Picture]:
        capture = cv2.VideoCapture(int(settings.place.removeprefix("/dev/video")))
        try:
            if not capture.isOpened():
                raise StreamError(
                    f"the camera {settings.place} cannot be opened; see which there are with: cyclegan cameras",
                    "unreachable",
                )
            _configure(capture, size, asked)
            while (decoded := capture.read())[0]:
                yield np.asarray(cv2.cvtColor(decoded[1], cv2.COLOR_BGR2RGB), dtype=np.uint8)
        finally:
            capture.release()

    return LiveSource(f"camera {settings.place}", connect, stop, rate=rate)


def _configure(capture: cv2.VideoCapture, size: Size, rate: Fraction) -> None:
    """Ask for a size and rate; a camera that has others gives those."""
    if size[0]:
        # USB carries large raw pictures at a few frames a second only; MJPEG fits.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[1])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[0])
    if rate:
        capture.set(cv2.CAP_PROP_FPS, float(rate))
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # old frames are worth nothing


def list_cameras() -> list[Camera]:
    """Return the cameras that the system knows and OpenCV can reach, without opening one.

    Without the extra `camera` those of Linux are found only.
    """
    if find_spec("cv2_enumerate_cameras") is None:
        return _list_on_linux()
    from cv2_enumerate_cameras import enumerate_cameras

    cameras = []
    for api in cv2.videoio_registry.getCameraBackends():
        with suppress(NotImplementedError):  # the library does not list this one
            for info in enumerate_cameras(api):
                path = info.path or ""
                address = path if path.startswith("/dev/") else str(api + info.index)  # OpenCV takes both in one
                cameras.append(Camera(address, info.name, cv2.videoio_registry.getBackendName(api)))
    return cameras


def _list_on_linux() -> list[Camera]:
    devices = sorted(_LINUX_DEVICES.glob("video*")) if _LINUX_DEVICES.is_dir() else []
    return [Camera(f"/dev/{device.name}", (device / "name").read_text().strip(), "V4L2") for device in devices]
