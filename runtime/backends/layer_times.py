"""How long each layer of a model takes on the CPU, as the engine itself counts it."""

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from numpy.typing import NDArray

from ..errors import BackendError

WARM_UP = 2  # runs that are not counted
FEWEST = 5  # runs that are, however long they take


@dataclass(frozen=True)
class LayerTime:
    """One layer that the engine executes: its median over all runs."""

    kind: str  # the engine's word: "Convolution", "ReorderInput"
    names: tuple[str, ...]  # of nodes or tensors of the ONNX graph that it may stand for
    ms: float


@dataclass(frozen=True)
class Timing:
    """The layers in the order in which they run, and the whole run as seen from outside, in milliseconds."""

    layers: tuple[LayerTime, ...]
    ms: float
    runs: int


def layer_times(path: Path, batch: NDArray[Any], *, backend: str, precision: str, seconds: float) -> Timing:
    """Run a model that loads on one batch for so many seconds, with the engine's own counting on.

    `backend` is "onnxruntime" or "openvino"; `precision` "auto", "fp32" or "bf16" is for openvino.

    Raises:
        BackendError: this engine does not measure its layers.
    """
    counters = {"onnxruntime": _onnxruntime, "openvino": _openvino}
    if backend not in counters:
        raise BackendError(f"{backend} does not measure its layers; use onnxruntime or openvino")
    return counters[backend](path, batch, precision, seconds)


def _onnxruntime(path: Path, batch: NDArray[Any], precision: str, seconds: float) -> Timing:
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        feed = {session.get_inputs()[0].name: batch}
        times = [ms for ms, _ in _runs(lambda: session.run(None, feed), seconds)]
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    durations: dict[str, list[float]] = {}
    kinds: dict[str, str] = {}
    for event in sorted(events, key=lambda event: event["ts"]):
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            durations.setdefault(name, []).append(event["dur"] / 1000)
            kinds[name] = event["args"]["op_name"]
    layers = tuple(
        LayerTime(kinds[name], (name.removesuffix("_nchwc"),), median(each[WARM_UP:]))
        for name, each in durations.items()
    )
    return Timing(layers, median(times), len(times))


def _openvino(path: Path, batch: NDArray[Any], precision: str, seconds: float) -> Timing:
    import openvino as ov

    config = {"PERFORMANCE_HINT": "LATENCY", "PERF_COUNT": "YES"}
    if precision != "auto":
        config["INFERENCE_PRECISION_HINT"] = {"fp32": "f32", "bf16": "bf16"}[precision]
    compiled = ov.Core().compile_model(str(path), "CPU", config)
    request = compiled.create_infer_request()

    def count() -> list[tuple[str, str, float]]:
        request.infer({0: batch}, share_inputs=True)
        executed = [layer for layer in request.get_profiling_info() if layer.status == ov.ProfilingInfo.Status.EXECUTED]
        return [(layer.node_name, layer.node_type, layer.real_time.total_seconds() * 1000) for layer in executed]

    times, counted = zip(*_runs(count, seconds), strict=True)
    durations: dict[str, list[float]] = {}
    for name, _, ms in (layer for run in counted for layer in run):
        durations.setdefault(name, []).append(ms)
    names = _original_names(compiled.get_runtime_model())
    layers = tuple(LayerTime(kind, names.get(name, (name,)), median(durations[name])) for name, kind, _ in counted[-1])
    return Timing(layers, median(times), len(times))


def _original_names(executed: Any) -> dict[str, tuple[str, ...]]:
    """Return which layers of the file OpenVINO fused into each that it executes."""
    names = {}
    for layer in executed.get_ordered_ops():
        original = layer.get_rt_info()["originalLayersNames"]
        names[layer.get_friendly_name()] = tuple(str(getattr(original, "value", original)).split(","))
    return names


def _runs(run: Callable[[], Any], seconds: float) -> Iterator[tuple[float, Any]]:
    """Call `run` for so many seconds after the warm-up; gives the milliseconds of each call and what came of it."""
    for _ in range(WARM_UP):
        run()
    end, number = perf_counter() + seconds, 0
    while number < FEWEST or perf_counter() < end:
        start = perf_counter()
        result = run()
        yield (perf_counter() - start) * 1000, result
        number += 1
