"""The engines as a table, and the one door to them: `open_backend`."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from ..errors import ArtefactError, BackendError, UsageError
from ..files import spelled
from .base import Backend, Precision
from .engine_file import ENGINE_SUFFIX, LIBRARY_NAMES, read_description
from .probe import has_gpu

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Engine:
    """What must be known of an engine before its library is imported."""

    name: str
    entry: str  # module:class in this folder
    library: str  # what that module imports
    suffixes: frozenset[str]  # of the files that it reads
    extras: Mapping[str, str]  # kind of device → the extra of cyclegan-edge that brings it; the default device first
    spins: bool = False  # its threads wait in busy loops, unless it is opened as `live`

    def reads(self, path: Path) -> bool:
        """Whether it runs this file; which of the two TensorRTs runs an engine, the file beside it tells.

        Raises:
            ArtefactError: nothing that can be read lies beside an engine.
        """
        suffix = path.suffix.lower()
        return suffix in self.suffixes and (suffix != ENGINE_SUFFIX or read_description(path).library == self.library)

    @property
    def installed(self) -> bool:
        """Whether its library can be found; nothing is imported."""
        return find_spec(self.library) is not None


# `auto` takes an NVIDIA GPU where one answers, else the first that reads the file, runs on the device and is installed.
_ONNX = frozenset({".onnx"})
_ENGINE = frozenset({ENGINE_SUFFIX})
ENGINES = (
    Engine("openvino", "ov:OpenVinoBackend", "openvino", _ONNX, {"cpu": "openvino"}),
    Engine("onnxruntime", "ort:OnnxRuntimeBackend", "onnxruntime", _ONNX, {"cpu": "ort", "cuda": "cuda"}, spins=True),
    Engine("tensorrt", "trt:TensorRtBackend", "tensorrt", _ENGINE, {"cuda": "tensorrt"}),
    Engine("tensorrt-rtx", "trt:TensorRtRtxBackend", "tensorrt_rtx", _ENGINE, {"cuda": "tensorrt-rtx"}),
)


def available_backends(suffix: str = ".onnx") -> tuple[str, ...]:
    """Return the engines installed here that read such files, the one that `auto` prefers first."""
    return tuple(engine.name for engine in ENGINES if engine.installed and suffix in engine.suffixes)


def open_backend(
    path: str | Path,
    *,
    backend: str = "auto",
    device: str = "auto",
    precision: Precision = "auto",
    live: bool = False,
    output: str | None = None,
) -> Backend:
    """Load an exported model into an engine.

    Args:
        path: an artefact, such as an ONNX file.
        backend: "auto" or a name of the table.
        device: "auto", "cpu", "cuda" or "cuda:1"; a device that is named is never replaced by another. "auto" takes an
            NVIDIA GPU where there is one, and says why if it cannot be used.
        precision: "auto" leaves the engine its choice, "fp32" forbids bf16 and TF32, "bf16" asks for bfloat16.
        live: the engine's threads leave the processor to others, such as the one that captures, while they wait.
        output: which of several outputs of an ONNX file is used.

    Raises:
        UsageError: no engine, device or precision has that name.
        ArtefactError: the file is missing, damaged, or of a kind that the engine does not read.
        BackendError: the engine is not installed, or cannot run on that device or in that precision.
    """
    path = Path(path)
    if precision not in get_args(Precision):
        raise UsageError(f"no precision is called {precision!r}; use {', '.join(get_args(Precision))}")
    if device == "auto" and precision != "bf16" and (on_gpu := _engine_on_gpu(path, backend)):
        try:
            return _open(on_gpu, path, "cuda", precision, live, output)
        except BackendError as error:
            LOGGER.warning("there is an NVIDIA GPU, but %s; running on the CPU", error)
    engine = _choose(path, backend, device)
    place = next(iter(engine.extras)) if device == "auto" else device
    return _open(engine, path, place, precision, live, output)


def _engine_on_gpu(path: Path, backend: str) -> Engine | None:
    """Return the engine that `auto` tries first where there is an NVIDIA GPU: one that reads the file and runs there.

    An engine that runs on nothing else needs no trial, and is found without it.
    """
    engines = [
        engine for engine in ENGINES if {"cpu", "cuda"} <= engine.extras.keys() and backend in ("auto", engine.name)
    ]
    readers = [engine for engine in engines if engine.installed and path.is_file() and engine.reads(path)]
    return readers[0] if readers and has_gpu() else None


def _open(engine: Engine, path: Path, place: str, precision: Precision, live: bool, output: str | None) -> Backend:
    module, _, attribute = engine.entry.partition(":")
    try:
        load = getattr(import_module(f".{module}", __name__), attribute)
    except (ImportError, OSError) as error:  # OSError: a shared library that is missing
        extra = engine.extras[place.partition(":")[0]]
        raise BackendError(
            f"{engine.name} is installed but broken ({error}); "
            f'install it again with: pip install "cyclegan-edge[{extra}]"'
        ) from error
    demands: dict[str, Any] = {"live": live} if engine.spins else {}
    if output is not None and engine.suffixes == _ONNX:
        demands["output"] = output
    with spelled(path) as name:
        file = path if name == str(path.absolute()) else Path(name)  # libraries take no name that is not UTF-8
        opened: Backend = load(file, place, precision, **demands)
    LOGGER.debug("%s runs in %s on %s, precision %s", path.name, opened.name, opened.device, opened.precision)
    return opened


def _choose(path: Path, backend: str, device: str) -> Engine:
    engines = ENGINES if backend == "auto" else (_named(backend),)
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UsageError(f"no device is called {device!r}; use auto, cpu, cuda or cuda:1")
    if not path.is_file():
        raise ArtefactError(f"there is no model file {path}; make one with: cyclegan export")

    readers = [engine for engine in engines if engine.reads(path)]
    if not readers and path.suffix.lower() == ENGINE_SUFFIX:
        built_with = LIBRARY_NAMES[read_description(path).library]
        raise BackendError(
            f"{path} was built with {built_with}, not for {backend}; leave it at auto", about=("backend",)
        )
    if not readers:
        known = ", ".join(sorted({suffix for engine in engines for suffix in engine.suffixes}))
        raise ArtefactError(f"{path} is no exported model ({known}); a checkpoint becomes one with: cyclegan export")

    kind = device.partition(":")[0]
    hosts = [engine for engine in readers if kind in ("auto", *engine.extras)]
    if not hosts:
        raise BackendError(
            f"{backend} does not run on {device} but on {', '.join(readers[0].extras)}; name another engine or device",
            about=("backend", "device"),
        )

    installed = [engine for engine in hosts if engine.installed]
    if not installed:
        names = " or ".join(engine.name for engine in hosts)
        extra = hosts[0].extras.get(kind) or next(iter(hosts[0].extras.values()))
        raise BackendError(f'{names} is not installed; install it with: pip install "cyclegan-edge[{extra}]"')
    return installed[0]


def _named(name: str) -> Engine:
    engines = {engine.name: engine for engine in ENGINES}
    if name not in engines:
        near = get_close_matches(name, engines, n=1)
        hint = f"did you mean {near[0]}?" if near else f"use auto, {' or '.join(engines)}"
        raise UsageError(f"no backend is called {name!r}; {hint}")
    return engines[name]
