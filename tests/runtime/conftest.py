"""Tiny ONNX models, whose right answer is known without computing it, and pictures for them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cyclegan_edge.runtime.metadata import METADATA_KEY, ArtefactMetadata, SourceCheckpoint

UINT8_FREE = ["batch", "height", "width", 3]
FLOAT_FREE = ["batch", 3, "height", "width"]


def metadata_of(**changes: Any) -> ArtefactMetadata:
    values: dict[str, Any] = {
        "architecture": "resnet_1blocks",
        "direction": "AtoB",
        "io": "uint8",
        "precision": "fp32",
        "input_channels": 3,
        "output_channels": 3,
        "size_multiple": 4,
        "size_minimum": 8,
        "source": SourceCheckpoint(name="run", sha256="0" * 64, weights="ema"),
        "producer": {"cyclegan-edge": "0.1.0"},
        "created": "2026-01-01T00:00:00Z",
    }
    return ArtefactMetadata(**(values | changes))


def uint8_model(body: list[Any], taken: list[Any] = UINT8_FREE, given: list[Any] | None = None) -> onnx.ModelProto:
    """uint8 NHWC in and out, around nodes that turn float `pixels` into float `results`."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        *body,
        helper.make_node("Cast", ["results"], ["translated"], to=TensorProto.UINT8),
    ]
    return _model(nodes, TensorProto.UINT8, taken, given or taken)


def float_model(dtype: int = TensorProto.FLOAT, taken: list[Any] = FLOAT_FREE) -> onnx.ModelProto:
    """The bare generator's form, NCHW in [-1, 1]; negating there inverts the picture."""
    return _model([helper.make_node("Neg", ["image"], ["translated"])], dtype, taken, taken)


def half_model() -> onnx.ModelProto:
    """As our FP16 artefacts are: uint8 outside, half in the middle; a 1x1 convolution that swaps red and blue."""
    swap = np.eye(3, dtype=np.float16)[::-1].reshape(3, 3, 1, 1)
    body = [
        helper.make_node("Div", ["pixels", "white"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Transpose", ["half"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "swap"], ["swapped"]),
        helper.make_node("Transpose", ["swapped"], ["rows"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["rows"], ["single"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["single", "white"], ["grown"]),
        helper.make_node("Round", ["grown"], ["results"]),
    ]
    model = uint8_model(body)
    model.graph.initializer.append(numpy_helper.from_array(swap, "swap"))
    return model


INVERT = [helper.make_node("Sub", ["white", "pixels"], ["results"])]
IDENTITY = [helper.make_node("Identity", ["pixels"], ["results"])]
RED_ONLY = [
    helper.make_node("ReduceMax", ["pixels", "last"], ["results"], keepdims=1),
]
HALVE = [
    helper.make_node("Slice", ["pixels", "start", "end", "axes", "steps"], ["results"]),
]


def _model(nodes: list[Any], dtype: int, taken: list[Any], given: list[Any]) -> onnx.ModelProto:
    constants = {
        "white": np.float32(255),
        "last": np.array([3], np.int64),
        "start": np.array([0, 0], np.int64),
        "end": np.array([2**31, 2**31], np.int64),
        "axes": np.array([1, 2], np.int64),
        "steps": np.array([2, 2], np.int64),
    }
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("image", dtype, taken)],
        [helper.make_tensor_value_info("translated", dtype, given)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items() if name in used],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def two_inputs() -> onnx.ModelProto:
    model = uint8_model([helper.make_node("Add", ["pixels", "noise"], ["results"])])
    model.graph.input.append(helper.make_tensor_value_info("noise", TensorProto.FLOAT, UINT8_FREE))
    return model


MODELS: dict[str, tuple[Callable[[], onnx.ModelProto], ArtefactMetadata | None]] = {
    "invert": (lambda: uint8_model(INVERT), metadata_of()),
    "identity": (lambda: uint8_model(IDENTITY), metadata_of()),
    "half": (half_model, metadata_of(precision="fp16")),
    "pinned": (lambda: uint8_model(INVERT, ["batch", 32, 48, 3]), metadata_of(size=(32, 48))),
    "pinned_square": (lambda: uint8_model(INVERT, ["batch", 32, 32, 3]), metadata_of(size=(32, 32))),
    "float": (float_model, metadata_of(io="float")),
    "foreign": (lambda: uint8_model(INVERT), None),
    "foreign_float": (float_model, None),
    "foreign_half": (lambda: float_model(TensorProto.FLOAT16), None),
    "foreign_pinned": (lambda: float_model(taken=[1, 3, 32, 48]), None),
    "gray": (lambda: uint8_model(INVERT, ["batch", "height", "width", 1]), None),
    "rgb_to_gray": (lambda: uint8_model(RED_ONLY, UINT8_FREE, ["batch", "height", "width", 1]), None),
    "halving": (lambda: uint8_model(HALVE, UINT8_FREE, ["batch", "h", "w", 3]), None),
    "two_inputs": (two_inputs, None),
    "channels_5": (lambda: uint8_model(INVERT, ["batch", "height", "width", 5]), None),
    "rank_3": (lambda: uint8_model(INVERT, ["height", "width", 3]), None),
    "batch_2": (lambda: uint8_model(INVERT, [2, "height", "width", 3]), None),
    "int32": (lambda: float_model(TensorProto.INT32), None),
    "lying": (lambda: uint8_model(INVERT), metadata_of(io="float")),
    "lying_size": (lambda: uint8_model(INVERT), metadata_of(size=(64, 64))),
}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give the path of a model by its name in `MODELS`."""
    folder = tmp_path_factory.mktemp("models")

    def path(name: str) -> Path:
        file = folder / f"{name}.onnx"
        if not file.exists():
            make, metadata = MODELS[name]
            proto = make()
            helper.set_model_props(proto, {"author": "test"} | ({METADATA_KEY: metadata.to_text()} if metadata else {}))
            onnx.checker.check_model(proto)
            onnx.save(proto, file)
        return file

    return path


@pytest.fixture(scope="session")
def metadata() -> Callable[..., ArtefactMetadata]:
    """Make valid metadata, with some fields changed."""
    return metadata_of


@pytest.fixture(scope="session")
def noise() -> Callable[..., NDArray[np.uint8]]:
    """Make the same random pixels for the same shape."""
    return lambda *shape: np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


@dataclass(frozen=True)
class Outcome:
    """What the command ended with."""

    code: int
    summary: dict[str, Any]  # empty where none was printed
    said: str  # on stderr


@pytest.fixture
def translate(cyclegan, model, capfd) -> Callable[..., Outcome]:
    """Run `cyclegan translate` with a model that inverts."""

    def run(given: object, *outputs: object, options: tuple[str, ...] = (), artefact: Path | None = None) -> Outcome:
        arguments = ["translate", "-m", artefact or model("invert"), "-i", given, "--json", "--backend", "onnxruntime"]
        for output in outputs:
            arguments += ["-o", output]
        capfd.readouterr()
        code = cyclegan(*arguments, *options)
        printed = capfd.readouterr()
        assert "Traceback" not in printed.err
        return Outcome(code, json.loads(printed.out) if printed.out else {}, printed.err)

    return run
