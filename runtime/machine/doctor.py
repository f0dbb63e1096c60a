"""What this machine can run, show, read and write, and the one line that mends what it cannot."""

import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from ctypes.util import find_library
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from ..backends import ENGINES
from ..backends.probe import describe, gpus, has_gpu, load_cuda_provider
from .chromium import chromium_version, find_chromium

# The shared libraries that the CUDA engines load, by the name that the linker knows.
CUDA_LIBRARIES = ("cudart", "cublas", "cublasLt", "cufft", "curand", "cudnn", "nvinfer")
DRIVER = "install NVIDIA's driver, if there is an NVIDIA GPU"
# What a video is encoded with through OpenCV: fourcc → suffix.
ENCODERS = {"avc1": ".mp4", "mp4v": ".mp4", "MJPG": ".avi"}
# Optional libraries: the extra that brings one → (its module, its distribution, what for).
EXTRAS = {
    "video": ("av", "av", "sound, time stamps and H.264 in videos"),
    "camera": ("cv2_enumerate_cameras", "cv2-enumerate-cameras", "the names of cameras"),
    "heif": ("pi_heif", "pi-heif", "HEIC pictures"),
    "screen": ("mss", "mss", "the screen as a source"),
    "virtual-camera": ("pyvirtualcam", "pyvirtualcam", "a virtual camera as a sink"),
    "web": ("starlette", "starlette", "cyclegan serve"),
    "ray": ("ray", "ray", "folder jobs on a cluster"),
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    part: str  # "engines", "cuda", "opencv", "encoders", "cameras" or "extras"
    name: str
    status: Literal["ok", "missing", "broken"]
    detail: str
    remedy: str = ""  # one line; empty where there is nothing to do


def examine() -> list[Finding]:
    """Look at everything; a library that is missing or broken becomes a finding, never an error."""
    parts: tuple[Callable[[], Iterator[Finding]], ...] = (_engines, _cuda, _opencv, _encoders, _cameras, _extras)
    return [finding for part in parts for finding in part()]


def can_run(findings: list[Finding]) -> bool:
    """Whether anything can be translated here: OpenCV works, and at least one engine does."""
    working = {finding.part for finding in findings if finding.status == "ok"}
    return {"engines", "opencv"} <= working


def _engines() -> Iterator[Finding]:
    for engine in ENGINES:
        remedy = f'pip install "cyclegan-edge[{next(iter(engine.extras.values()))}]"'
        if not engine.installed:
            yield Finding("engines", engine.name, "missing", "not installed", remedy)
            continue
        try:
            told = describe(engine.library)
            if "cpu" in engine.extras or has_gpu():
                yield Finding("engines", engine.name, "ok", told)
            else:
                yield Finding("engines", engine.name, "missing", f"{told}, but there is no NVIDIA GPU", DRIVER)
        except Exception as error:  # a broken library may raise anything when it is imported
            yield Finding("engines", engine.name, "broken", _line(error), f"{remedy} --force-reinstall")


def _cuda() -> Iterator[Finding]:
    """Tell the driver, the libraries, and whether ONNX Runtime can load what it needs of them."""
    try:
        yield Finding("cuda", "driver", "ok", gpus())
    except OSError as error:
        yield Finding("cuda", "driver", "missing", _line(error), DRIVER)
    for name in CUDA_LIBRARIES:
        found = _shared_library(name)
        extra = "tensorrt" if name == "nvinfer" else "cuda"
        remedy = "" if found else f'pip install "cyclegan-edge[{extra}]"'
        yield Finding("cuda", f"lib{name}", "ok" if found else "missing", found or "not found", remedy)
    if find_spec("onnxruntime") is not None:
        try:
            load_cuda_provider()
            yield Finding("cuda", "onnxruntime", "ok", "loads its CUDA provider")
        except Exception as error:  # OSError names the library that is lacking; a broken onnxruntime raises anything
            yield Finding("cuda", "onnxruntime", "missing", _line(error), 'pip install "cyclegan-edge[cuda]"')


def _shared_library(name: str) -> str:
    """Return where a CUDA library is, in the system or among the packages that pip installed; "" where it is not."""
    for folder in filter(None, sys.path):
        for vendor in ("nvidia", "tensorrt_libs"):
            found = sorted((Path(folder) / vendor).glob(f"**/lib{name}.so*"))
            if found:
                return str(found[0])
    return find_library(name) or ""


def _opencv() -> Iterator[Finding]:
    try:
        import cv2
    except Exception as error:  # where libGL is missing, an ImportError
        missing = isinstance(error, ModuleNotFoundError)
        remedy = "apt install libgl1 libglib2.0-0, or take opencv-python-headless in place of opencv-python"
        remedy = 'pip install "cyclegan-edge[window]", or [headless] where there is no screen' if missing else remedy
        yield Finding("opencv", "opencv", "missing" if missing else "broken", _line(error), remedy)
        return
    yield Finding("opencv", "opencv", "ok", str(cv2.__version__))
    build = cv2.getBuildInformation()
    video = build_section(build, "Video I/O")
    for name in ("FFMPEG", "GStreamer"):
        remedy = "" if name == "FFMPEG" else "only CSI cameras and gst pipelines need it: build OpenCV with GStreamer"
        built = video.get(name, "NO").startswith("YES")
        yield Finding(
            "opencv", f"video: {name}", "ok" if built else "missing", video.get(name, "NO"), "" if built else remedy
        )
    yield _window(build)


def _window(build: str) -> Finding:
    """Tell whether a window can be shown."""
    found = re.search(r"^ *GUI: *(\S+)", build, flags=re.MULTILINE)
    gui = found[1] if found else "NONE"
    if gui == "NONE":
        remedy = "pip install opencv-python in place of opencv-python-headless, or watch with -o http://127.0.0.1:8000"
        return Finding("opencv", "window", "missing", "built without windows", remedy)
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        remedy = "watch in a browser with -o http://127.0.0.1:8000"
        return Finding("opencv", "window", "missing", f"{gui}, but this session has no display", remedy)
    return Finding("opencv", "window", "ok", gui)


def build_section(build: str, title: str) -> dict[str, str]:
    """Return the entries of one section of `cv2.getBuildInformation()`, without those indented further."""
    found = re.search(rf"^  {re.escape(title)}: *\n((?:    .*\n)*)", build, flags=re.MULTILINE)
    lines = re.findall(r"^    (\S[^:\n]*): *(.*)$", found[1] if found else "", flags=re.MULTILINE)
    return {name.strip(): value.strip() for name, value in lines}


def _encoders() -> Iterator[Finding]:
    """Try each encoder on one small frame: what a build claims and what it opens are not the same."""
    with suppress(Exception):  # a broken OpenCV has been told already
        import cv2

        with tempfile.TemporaryDirectory() as folder:
            for fourcc, suffix in ENCODERS.items():
                writer = cv2.VideoWriter()
                path = str(Path(folder) / f"{fourcc}{suffix}")
                opened = writer.open(path, cv2.VideoWriter.fourcc(*fourcc), 25.0, (64, 64))
                writer.release()
                helps = fourcc == "avc1" and not opened and find_spec("av") is None
                remedy = 'pip install "cyclegan-edge[video]"' if helps else ""
                detail = f"{suffix} through OpenCV"
                yield Finding("encoders", fourcc, "ok" if opened else "missing", detail, remedy)
    with suppress(Exception):
        import av

        names = [name for name in ("libx264", "libx265", "libsvtav1", "libvpx-vp9") if name in av.codecs_available]
        yield Finding("encoders", "PyAV", "ok" if names else "missing", ", ".join(names) or "no encoder")


def _cameras() -> Iterator[Finding]:
    """List what `cyclegan cameras` lists, and whether it may be opened."""
    cameras = []
    with suppress(Exception):  # a broken OpenCV has been told already
        from ..sources.camera import list_cameras

        cameras = list_cameras()
    for camera in cameras:
        closed = camera.address.startswith("/dev/") and not os.access(camera.address, os.R_OK | os.W_OK)
        remedy = "sudo usermod -aG video $USER, and log in again" if closed else ""
        yield Finding("cameras", camera.address, "broken" if closed else "ok", camera.name, remedy)
    if not cameras:
        yield Finding("cameras", "camera", "missing", "none found", "plug one in; in a container, pass --device")


def _extras() -> Iterator[Finding]:
    for extra, (module, distribution, purpose) in EXTRAS.items():
        if find_spec(module) is None:
            yield Finding("extras", extra, "missing", purpose, f'pip install "cyclegan-edge[{extra}]"')
            continue
        try:
            number = version(distribution)
        except PackageNotFoundError:
            number = "of unknown version"
        yield Finding("extras", extra, "ok", f"{distribution} {number}: {purpose}")
    yield _chromium()


def _chromium() -> Finding:
    purpose = "verifies the pages of cyclegan export --to web"
    path = find_chromium()
    if path is None:
        remedy = "install Chromium, Chrome or Edge, on Debian with: apt install chromium"
        return Finding("extras", "chromium", "missing", purpose, remedy)
    try:
        return Finding("extras", "chromium", "ok", f"{chromium_version(path)}: {purpose}")
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("extras", "chromium", "broken", _line(error), f"install {path} again")


def machine() -> dict[str, str | int]:
    """Return what stands above every measurement: the system, the processor and the versions."""
    model = platform.processor() or platform.machine()
    with suppress(OSError):
        names = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), flags=re.MULTILINE)
        model = names[0] if names else model
    return {
        "system": platform.platform(),
        "processor": model,
        "cores": os.cpu_count() or 1,
        "python": platform.python_version(),
        # Not of the installed package, for a checkout runs without one; and importing the root would make a circle.
        "cyclegan_edge": str(sys.modules["cyclegan_edge"].__version__),
    }


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def in_words(machine: dict[str, str | int]) -> str:
    """Describe a machine in one line."""
    return " · ".join(f"{key} {value}" for key, value in machine.items())
