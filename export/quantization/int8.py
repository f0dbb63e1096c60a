"""An FP32 artefact becomes INT8: convolutions between integer steps, measured on the user's own pictures.

Q/DQ pairs stand around Conv and ConvTranspose alone; zero points are 0 and weights have a scale for every channel, as
TensorRT demands. The first and the last convolution stay in float, where rounding is seen most: they read and write
pixels. Everything else, InstanceNorm above all, stays in FP32.
"""

import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType
from onnxruntime.quantization.calibrate import create_calibrator
from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

from ...runtime.backends import open_backend
from ...runtime.contract import Picture, decode, encode
from ...runtime.errors import UsageError
from ...runtime.metadata import IO, ArtefactMetadata
from ...trainer.evaluation.similarity import psnr
from ..graph.onnx_export import write_onnx
from .report import LayerCost, Quantisation

CONVOLUTIONS = ("Conv", "ConvTranspose")
METHODS = {"min-max": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile}
# Pictures that the ranges are measured on; percentiles keep every activation of all of them in memory.
NUM_CALIBRATION = {"min-max": 32, "percentile": 8}
NUM_MEASURED = 4  # of them, that a choice is measured on


def quantise(
    source: Path, target: Path, metadata: ArtefactMetadata, pictures: Picture, *, keep_float: int = 0
) -> Quantisation:
    """Write the FP32 artefact `source` to `target` in INT8; `pictures` are uint8 [N, H, W, C] that it takes.

    Min-max and percentile ranges are both tried, and the one nearer to FP32 is taken. `keep_float` leaves so many of
    the costliest layers in float.

    Raises:
        UsageError: no layer would become INT8.
        OutputError: the file cannot be written.
    """
    modules = quantisable(onnx.load(source))
    layers = list(modules)
    if keep_float >= len(layers):
        raise UsageError(
            f"to keep {keep_float} layers in float leaves none of the {len(layers)} in INT8; keep fewer",
            about=("keep_float",),
        )
    measured = pictures[:NUM_MEASURED]
    truth = run(source, metadata.io, measured)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"), _quiet():
        trial = _Trial(source, Path(folder), metadata.io, pictures, truth)
        reached = {method: trial.psnr(method, layers, measured) for method in METHODS}
        method = max(reached, key=lambda name: reached[name])
        costs = [
            LayerCost(layer=layer, module=module, psnr_db=trial.psnr(method, [layer], measured))
            for layer, module in modules.items()
        ]
        costs.sort(key=lambda cost: cost.psnr_db)
        kept = tuple(cost.layer for cost in costs[:keep_float])
        model = onnx.load(trial.quantised(method, [layer for layer in layers if layer not in kept]))
    write_onnx(model, metadata.model_copy(update={"precision": "int8"}), target)
    return Quantisation(method=method, psnr_db=reached, sensitivity=tuple(costs), kept_float=kept)


def quantise_roughly(path: Path, metadata: ArtefactMetadata, pictures: Picture) -> None:
    """Replace the FP32 artefact `path` by what is as fast as its INT8 twin: ranges of a few pictures, nothing compared.

    Raises:
        OutputError: the file cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"), _quiet():
        trial = _Trial(path, Path(folder), metadata.io, pictures, truth=pictures)
        model = onnx.load(trial.quantised("min-max", list(quantisable(onnx.load(path)))))
    write_onnx(model, metadata.model_copy(update={"precision": "int8"}), path)


def quantisable(model: onnx.ModelProto) -> dict[str, str]:
    """Return the convolutions that neither read nor write pixels, in the graph's order: node → PyTorch's name of it."""
    pixels = {value.name for value in model.graph.input}
    nodes = []
    for node in model.graph.node:
        reads_pixels = bool(node.input) and node.input[0] in pixels
        if node.op_type in CONVOLUTIONS and not reads_pixels:
            nodes.append(node)
        elif node.op_type not in CONVOLUTIONS and reads_pixels:  # scaled, padded
            pixels |= set(node.output)
    return {node.name: node.input[1].removeprefix("generator.").removesuffix(".weight") for node in nodes[:-1]}


def run(path: Path, io: IO, pictures: Picture) -> Picture:
    """Translate uint8 [N, H, W, C] one by one with ONNX Runtime, which computes what the graph says."""
    with closing(open_backend(path, backend="onnxruntime", device="cpu")) as backend:
        parts = np.split(pictures, len(pictures))
        if io == "uint8":
            return np.concatenate([backend.infer(part) for part in parts])
        return np.concatenate([decode(backend.infer(encode(part))) for part in parts])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep ONNX Runtime from printing, and from advising at every trial to prepare a graph that is prepared."""
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


@dataclass
class _Trial:
    """Quantises again and again with the ranges of each method measured once."""

    source: Path
    folder: Path
    io: IO
    calibration: Picture
    truth: Picture

    @cached_property
    def ranges(self) -> dict[str, Any]:
        """The ranges of all activations around convolutions, by method."""
        measured: dict[str, Any] = {}
        for method, kind in METHODS.items():
            watched = str(self.folder / f"{method}.onnx")
            calibrator = create_calibrator(self.source, list(CONVOLUTIONS), watched, kind)
            calibrator.collect_data(_Reader(self.calibration[: NUM_CALIBRATION[method]], self.io))
            measured[method] = calibrator.compute_data()
        return measured

    def quantised(self, method: str, layers: list[str]) -> Path:
        """Quantise some layers; returns a file that the next call overwrites."""
        # What quantize_static does, which would measure the ranges at each call.
        quantiser = QDQQuantizer(
            load_model_with_shape_infer(self.source),
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8,
            tensors_range=self.ranges[method],
            nodes_to_quantize=layers,
            nodes_to_exclude=[],
            op_types_to_quantize=list(CONVOLUTIONS),
            # TensorRT takes neither zero points nor INT32 biases.
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
        )
        quantiser.quantize_model()
        target = self.folder / "trial.onnx"
        quantiser.model.save_model_to_file(str(target))
        return target

    def psnr(self, method: str, layers: list[str], pictures: Picture) -> float:
        """Return how near to FP32 the network comes with these layers in INT8, in dB."""
        return psnr(run(self.quantised(method, layers), self.io, pictures), self.truth)


class _Reader:
    """Gives the calibration one picture after the other, as ONNX Runtime asks for them."""

    def __init__(self, pictures: Picture, io: IO) -> None:
        parts: Sequence[NDArray[Any]] = np.split(pictures, len(pictures))
        self._batches: Iterator[NDArray[Any]] = iter(parts if io == "uint8" else [encode(part) for part in parts])

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Return the next input by its name, None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {"image": batch}
