import re
from dataclasses import replace

import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from cyclegan_edge import __version__
from cyclegan_edge.export.graph.onnx_export import check_size, export_onnx, write_onnx
from cyclegan_edge.runtime.errors import CheckpointError, OutputError, UsageError
from cyclegan_edge.runtime.metadata import METADATA_KEY, SourceCheckpoint, parse_metadata
from cyclegan_edge.trainer.checkpoints.checkpoint import load_generator
from cyclegan_edge.trainer.networks.resnet import ResnetGenerator
from cyclegan_edge.trainer.networks.unet import UnetGenerator

PIXELS = {"Cast", "Div", "Sub", "Transpose", "Add", "Mul", "Round", "Clip"}
RESNET = {"Conv", "InstanceNormalization", "Pad", "Relu", "ConvTranspose", "Tanh"}


def operators(model):
    return {node.op_type for node in model.graph.node}


def dimensions(value):
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def metadata_of(path):
    return parse_metadata({entry.key: entry.value for entry in onnx.load(path).metadata_props}, path)


def test_the_graph_is_clean_and_in_one_file(generator, exported):
    path = exported(generator)
    model = onnx.load(path, load_external_data=False)
    assert [*path.parent.iterdir()] == [path]
    assert operators(model) == RESNET | PIXELS
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    assert model.ir_version <= 10
    assert not model.functions
    assert [entry.key for entry in model.metadata_props] == [METADATA_KEY]
    noted = [*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output]
    assert not any(part.metadata_props or part.doc_string for part in noted)
    assert b".py" not in path.read_bytes()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(
    ("io", "dtype", "shape"),
    [
        ("uint8", TensorProto.UINT8, ["batch", "4*h", "4*w", 3]),
        ("float", TensorProto.FLOAT, ["batch", 3, "4*h", "4*w"]),
    ],
)
def test_inputs_and_outputs_are_named_typed_and_free(generator, exported, precision, io, dtype, shape):
    graph = onnx.load(exported(generator, precision=precision, io=io)).graph
    assert [value.name for value in graph.input] == ["image"]
    assert [value.name for value in graph.output] == ["translated"]
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.elem_type == dtype
        assert dimensions(value) == shape


def test_size_pins_both_sides_and_leaves_the_batch_free(generator, exported):
    path = exported(generator, size=(32, 48))
    graph = onnx.load(path).graph
    assert dimensions(graph.input[0]) == dimensions(graph.output[0]) == ["batch", 32, 48, 3]
    assert metadata_of(path).size == (32, 48)


def test_fp16_computes_norms_tanh_and_pixels_in_fp32_and_convolutions_in_half(generator, exported):
    graph = onnx.shape_inference.infer_shapes(onnx.load(exported(generator, precision="fp16")), data_prop=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    of_operator = {
        "InstanceNormalization": TensorProto.FLOAT,
        "Tanh": TensorProto.FLOAT,
        "Div": TensorProto.FLOAT,
        "Sub": TensorProto.FLOAT,
        "Mul": TensorProto.FLOAT,
        "Round": TensorProto.FLOAT,
        "Clip": TensorProto.FLOAT,
        "Conv": TensorProto.FLOAT16,
        "ConvTranspose": TensorProto.FLOAT16,
    }
    seen = set()
    for node in graph.node:
        if node.op_type in of_operator:
            found = {types[name] for name in (*node.input, *node.output)}
            assert found == {of_operator[node.op_type]}, node
            seen.add(node.op_type)
    assert seen == of_operator.keys()

    makers = {output: node for node in graph.node for output in node.output}
    users = {name: node for node in graph.node for name in node.input}
    norms = [node for node in graph.node if node.op_type == "InstanceNormalization"]
    assert all(makers[node.input[0]].op_type == users[node.output[0]].op_type == "Cast" for node in norms)


def test_fp16_is_half_the_size(generator, exported):
    full, half = (exported(generator, precision=precision).stat().st_size for precision in ("fp32", "fp16"))
    assert half < 0.65 * full


@pytest.mark.slow
def test_a_unet_takes_multiples_of_its_own_stride(make_run, exported):
    unet = make_run(networks={"generator": "unet_128", "ngf": 4}, data={"load_size": 128, "crop_size": 128})
    path = exported(load_generator(unet, "BtoA"))
    model = onnx.load(path)
    assert dimensions(model.graph.input[0]) == ["batch", "128*h", "128*w", 3]
    assert operators(model) == (RESNET - {"Pad"}) | {"LeakyRelu", "Concat"} | PIXELS
    metadata = metadata_of(path)
    assert (metadata.architecture, metadata.direction) == ("unet_128", "BtoA")
    assert (metadata.size_multiple, metadata.size_minimum) == (128, 128)


def test_the_metadata_says_all(generator, exported):
    metadata = metadata_of(exported(generator, precision="fp16", io="float"))
    told = metadata.model_dump(exclude={"producer", "created", "source"})
    assert told == {
        "schema_version": 1,
        "architecture": "resnet_1blocks",
        "direction": "AtoB",
        "io": "float",
        "precision": "fp16",
        "input_channels": 3,
        "output_channels": 3,
        "size_multiple": 4,
        "size_minimum": 8,
        "size": None,
        "batch_norm": "evaluation",
        "frozen_norm": False,
        "norm_floor": 0.0,
        "verification": None,
    }
    assert metadata.source == SourceCheckpoint(name="run", sha256=generator.sha256, step=7, weights="ema")
    assert metadata.producer.keys() == {"cyclegan_edge", "torch", "onnx", "onnxscript"}
    assert metadata.producer["cyclegan_edge"] == __version__
    assert metadata.created.endswith("+00:00")


@pytest.mark.slow
def test_raw_and_averaged_weights_and_both_directions_are_different_files(run_folder, generator, exported):
    others = [load_generator(run_folder, "AtoB", "raw"), load_generator(run_folder, "BtoA")]
    weights = []
    for each in (generator, *others):
        tensors = onnx.load(exported(each)).graph.initializer
        weights.append({tensor.raw_data for tensor in tensors if len(tensor.dims) == 4})
    assert weights[0]
    assert weights[0].isdisjoint(weights[1])
    assert weights[0].isdisjoint(weights[2])


GENERATORS = [ResnetGenerator(3, 3, ngf=1, n_blocks=1), UnetGenerator(3, 3, 7, ngf=1)]
SIDES = st.integers(1, 600)


@given(network=st.sampled_from(GENERATORS), height=SIDES, width=SIDES)
def test_sizes_are_checked_and_those_named_instead_are_right(network, height, width):
    right = all(side >= network.size_minimum and side % network.size_multiple == 0 for side in (height, width))
    if right:
        check_size((height, width), network)
        return
    with pytest.raises(UsageError, match="multiples of") as caught:
        check_size((height, width), network)
    named = re.findall(r"(\d+)x(\d+)", str(caught.value).rpartition("; take ")[2])
    assert 1 <= len(named) <= 2
    for near_height, near_width in named:
        assert abs(int(near_height) - height) < network.size_minimum
        assert abs(int(near_width) - width) < network.size_minimum
        check_size((int(near_height), int(near_width)), network)


def test_a_wrong_size_and_weights_that_diverged_are_refused_before_anything_is_written(generator, tmp_path):
    with pytest.raises(UsageError, match=r"not 30x32; take 28x32 or 32x32"):
        export_onnx(generator, tmp_path / "a.onnx", size=(30, 32))
    weights = generator.network.state_dict() | {"model.1.bias": torch.full((4,), float("nan"))}
    diverged = ResnetGenerator(3, 3, ngf=4, n_blocks=1)
    diverged.load_state_dict(weights)
    with pytest.raises(CheckpointError, match="weights of run are not finite: training diverged"):
        export_onnx(replace(generator, network=diverged), tmp_path / "a.onnx")
    assert not [*tmp_path.iterdir()]


def test_a_place_that_cannot_be_written_is_named(generator, exported, tmp_path):
    model, metadata = onnx.load(exported(generator)), metadata_of(exported(generator))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=rf"cannot write {tmp_path}/file/a\.onnx"):
        write_onnx(model, metadata, tmp_path / "file" / "a.onnx")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_fills_leaves_the_older_artefact_whole(generator, exported, tmp_path, monkeypatch):
    model, metadata = onnx.load(exported(generator)), metadata_of(exported(generator))
    path = tmp_path / "a.onnx"
    path.write_bytes(b"older")

    def save(model, partial):
        partial.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnx, "save", save)
    with pytest.raises(OutputError, match="No space left on device"):
        write_onnx(model, metadata, path)
    assert path.read_bytes() == b"older"
    assert [*tmp_path.iterdir()] == [path]
