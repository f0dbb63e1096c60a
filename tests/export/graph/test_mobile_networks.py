"""The small generators leave for every engine and precision, and stay what they are."""

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from PIL import Image

from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.graph.onnx_export import export_onnx
from cyclegan_edge.export.quantization.int8 import quantisable, quantise
from cyclegan_edge.export.verification.verify import verify_artefact
from cyclegan_edge.trainer.checkpoints.checkpoint import load_generator


@pytest.fixture(scope="module")
def pictures(emoji):
    return sorted((emoji / "trainA").iterdir())[:4]


@pytest.fixture(scope="module", params=["mobile_resnet_1blocks", "edge_resnet_2blocks"])
def small(request, make_run, exported):
    """One generator and its FP32 artefact."""
    networks = {"generator": request.param, "ngf": 4, "ndf": 4}
    generator = load_generator(make_run("small", networks=networks), "AtoB")
    return SimpleNamespace(generator=generator, path=exported(generator), name=request.param)


def test_every_engine_gives_what_pytorch_gives(small, pictures):
    report = verify_artefact(Artefact.open(small.path), small.generator, pictures)
    assert report.passed
    assert {row.engine for row in report.comparisons} == {"onnxruntime", "openvino"}
    told = Artefact.open(small.path).metadata
    assert (told.architecture, told.size_multiple, told.size_minimum) == (small.name, 4, 8)


def test_the_graph_holds_no_layer_that_only_moves_values_about(small):
    operators = {node.op_type for node in onnx.load(small.path).graph.node}
    assert not operators & {"Reshape", "Shape", "Slice", "Gather"}
    if small.name.startswith("edge"):
        assert not operators & {"Pad", "ConvTranspose", "Resize"}
        assert "DepthToSpace" in operators


def test_int8_leaves_what_reads_or_writes_pixels_in_float(small):
    between = {
        "mobile_resnet_1blocks": ["model.4", "model.7", *(f"model.10.conv_block.{layer}" for layer in (1, 3, 7, 9))],
        "edge_resnet_2blocks": [f"model.{block}.conv_block.{layer}" for block in (3, 4) for layer in (0, 3)],
    }
    found = [*quantisable(onnx.load(small.path)).values()]
    assert found[: len(between[small.name])] == between[small.name]
    assert not {"model.0", "model.1", "model.5", "skip", "model.18"} & {*found}


def test_int8_and_fp16_pass_their_gates_and_tensorrt_rtx_builds_all(small, pictures, tmp_path):
    calibration = np.stack([np.array(Image.open(path).convert("RGB").resize((32, 32))) for path in pictures])
    integer, half = tmp_path / "int8.onnx", tmp_path / "fp16.onnx"
    found = quantise(small.path, integer, Artefact.open(small.path).metadata, calibration)
    assert len(found.sensitivity) == len(quantisable(onnx.load(small.path))) > 0
    assert verify_artefact(Artefact.open(integer), small.generator, pictures, backend="openvino").passed
    export_onnx(small.generator, half, precision="fp16")
    assert verify_artefact(Artefact.open(half), small.generator, pictures, backend="onnxruntime").passed
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    from cyclegan_edge.export.engine import EngineOptions, build_plan
    from cyclegan_edge.runtime.backends.engine_file import OptimizationProfile

    options = EngineOptions(OptimizationProfile(min=(1, 32, 32), opt=(1, 32, 48), max=(1, 64, 64)))
    for path in (small.path, integer, half):
        assert len(build_plan(trt, path.read_bytes(), options, io="uint8", title=path.name)) > 10_000
