import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.graph.onnx_export import write_onnx
from cyclegan_edge.export.quantization.int8 import CONVOLUTIONS, quantisable, quantise, run
from cyclegan_edge.export.quantization.int8_fp16 import mix
from cyclegan_edge.export.verification.verify import verify_artefact
from cyclegan_edge.runtime.backends import open_backend
from cyclegan_edge.runtime.errors import UsageError


@pytest.fixture(scope="module")
def pictures(emoji):
    return sorted((emoji / "trainA").iterdir())[:4]


@pytest.fixture(scope="module")
def calibration(pictures):
    return np.stack([np.array(Image.open(path).convert("RGB").resize((32, 32))) for path in pictures])


@pytest.fixture(scope="module")
def quantised(generator, exported, calibration, tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "run-AtoB-int8.onnx"
    found = quantise(exported(generator), path, Artefact.open(exported(generator)).metadata, calibration, keep_float=1)
    return path, found


def test_only_convolutions_between_the_first_and_last_are_integers_and_symmetric(quantised, generator, exported):
    path, found = quantised
    graph = onnx.load(path).graph
    makers = {output: node for node in graph.node for output in node.output}
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    integer = [
        node.name for node in graph.node if node.op_type.startswith("Conv") and makers.get(node.input[1]) is not None
    ]
    candidates = quantisable(onnx.load(exported(generator)))
    between = ("model.4", "model.7", "model.10.conv_block.1", "model.10.conv_block.5", "model.11", "model.14")
    assert tuple(candidates.values()) == between
    assert set(integer) == set(candidates) - set(found.kept_float)
    assert len(found.kept_float) == 1
    scales = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert all(not values[node.input[2]].any() for node in scales)
    for node in graph.node:
        if node.name in integer:
            weights = makers[node.input[1]]
            channels = values[weights.input[0]].shape[0 if node.op_type == "Conv" else 1]
            assert values[weights.input[1]].shape == (channels,)
            assert values[node.input[2]].dtype == np.float32  # the bias


def test_the_method_and_what_stays_float_are_those_that_measured_best(quantised):
    _, found = quantised
    assert found.psnr_db.keys() == {"min-max", "percentile"}
    assert found.psnr_db[found.method] == max(found.psnr_db.values())
    costs = [cost.psnr_db for cost in found.sensitivity]
    assert costs == sorted(costs)
    assert found.kept_float == (found.sensitivity[0].layer,)


def test_leaving_all_in_float_is_refused(generator, exported, calibration, tmp_path):
    source = exported(generator)
    layers = len(quantisable(onnx.load(source)))
    path = tmp_path / "a.onnx"
    with pytest.raises(UsageError, match=f"to keep {layers} layers in float leaves none of the {layers} in INT8"):
        quantise(source, path, Artefact.open(source).metadata, calibration, keep_float=layers)
    assert not path.exists()


def test_every_engine_takes_it_and_it_passes_its_gate(quantised, generator, pictures):
    path, _ = quantised
    assert Artefact.open(path).metadata.precision == "int8"
    report = verify_artefact(Artefact.open(path), generator, pictures)
    assert report.passed
    assert {row.engine for row in report.comparisons} == {"openvino", "onnxruntime"}
    judged = [row for row in report.comparisons if row.input == "pictures"]
    assert all(row.gate.min_psnr_db == 28 and row.psnr_db >= 28 for row in judged)


def test_it_is_smaller_in_integers_and_not_the_same_as_fp32(quantised, generator, exported, calibration):
    path, _ = quantised
    assert not np.array_equal(run(path, "uint8", calibration), run(exported(generator), "uint8", calibration))


@pytest.fixture(scope="module")
def mixed(quantised, generator, exported, tmp_path_factory):
    """The same for TensorRT: the rest of its chain is FP16."""
    path = tmp_path_factory.mktemp("mixed") / "run-AtoB-int8-fp16.onnx"
    model = mix(onnx.load(quantised[0]), onnx.load(exported(generator, precision="fp16")))
    write_onnx(model, Artefact.open(quantised[0]).metadata, path)
    return path


def test_for_tensorrt_the_same_integers_stand_in_an_fp16_chain(quantised, mixed, generator, exported):
    whole, half = onnx.load(quantised[0]).graph, onnx.load(mixed).graph
    of_whole, of_half = ({t.name: numpy_helper.to_array(t) for t in graph.initializer} for graph in (whole, half))
    makers = {output: node for node in half.node for output in node.output}
    found = [(node, makers[node.input[1]]) for node in half.node if node.input[1:] and node.input[1] in makers]
    integer = {node.name: weight for node, weight in found if node.op_type in CONVOLUTIONS}
    expected = {node.name for node in whole.node if node.op_type in CONVOLUTIONS and node.input[1] not in of_whole}
    assert integer.keys() == expected
    same = [(of_half[weight.input[0]], of_half[weight.input[1]]) for weight in integer.values()]
    theirs = {values.tobytes() for name, values in of_whole.items() if name.endswith("_quantized")}
    assert all(weights.tobytes() in theirs and scale.dtype == np.float16 for weights, scale in same)
    assert [node.op_type for node in half.node].count("QuantizeLinear") == len(integer)  # none behind a convolution
    left = {values.dtype.name for name, values in of_half.items() if "weight" in name and values.ndim == 4}
    assert left == {"int8", "float16"}


def test_scales_too_small_for_fp16_grow_and_the_weights_stay_what_they_were(quantised, generator, exported):
    model = onnx.load(quantised[0])
    tensor = next(each for each in model.graph.initializer if each.name.endswith("weight_scale"))
    scale = numpy_helper.to_array(tensor).copy()
    scale[0] = 2.0**-16
    tensor.CopyFrom(numpy_helper.from_array(scale, tensor.name))
    weights = next(each for each in model.graph.initializer if each.name == tensor.name.replace("_scale", "_quantized"))
    made = {
        each.name: numpy_helper.to_array(each)
        for each in mix(model, onnx.load(exported(generator, precision="fp16"))).graph.initializer
    }
    user = next(node for node in model.graph.node if tensor.name in node.input)
    name = next(node.name for node in model.graph.node if user.output[0] in node.input)
    axis = next(attribute.i for attribute in user.attribute if attribute.name == "axis")
    before = np.take(numpy_helper.to_array(weights), 0, axis) * np.float64(scale[0])
    grown = float(made[f"{name}_weight_scale"][0])
    after = np.take(made[f"{name}_weight_int8"], 0, axis) * grown
    assert grown == 2.0**-14
    assert np.abs(after - before).max() <= grown / 2


def test_every_engine_takes_the_fp16_chain_too(mixed, generator, pictures):
    report = verify_artefact(Artefact.open(mixed), generator, pictures)
    assert report.passed
    assert {row.engine for row in report.comparisons} == {"openvino", "onnxruntime"}


@pytest.mark.parametrize(("chain", "dtype"), [("quantised", "FLOAT"), ("mixed", "HALF")])
def test_tensorrt_rtx_builds_either(request, chain, dtype):
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    from cyclegan_edge.export.engine import EngineOptions, build_plan, parse
    from cyclegan_edge.runtime.backends.engine_file import OptimizationProfile
    from cyclegan_edge.runtime.backends.trt_api import new_logger

    path = request.getfixturevalue(chain)
    graph = (path if chain == "mixed" else path[0]).read_bytes()
    builder = trt.Builder(logger := new_logger(trt))
    network = parse(trt, graph, logger, builder)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    kinds = {(layer.type.name, layer.get_output(0).dtype.name) for layer in layers}
    assert kinds >= {("QUANTIZE", "INT8"), ("DEQUANTIZE", dtype), ("CONVOLUTION", dtype), ("NORMALIZATION", "FLOAT")}
    profile = OptimizationProfile(min=(1, 32, 32), opt=(1, 32, 32), max=(1, 32, 32))
    assert len(build_plan(trt, graph, EngineOptions(profile), io="uint8", title="int8")) > 10_000


def test_the_float_interface_is_quantised_too(generator, exported, calibration, tmp_path):
    source = exported(generator, io="float")
    path = tmp_path / "a.onnx"
    found = quantise(source, path, Artefact.open(source).metadata, calibration)
    assert open_backend(path, backend="onnxruntime").input.dtype == "float32"
    assert found.psnr_db[found.method] > 25
    assert json.loads(Artefact.open(path).metadata.to_text())["precision"] == "int8"
