"""The model repository, read with Triton's own definition of its configuration (its client needs another protobuf)."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from hypothesis import given
from hypothesis import strategies as st

from cyclegan_edge.export import engine
from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.triton import configuration, write_model
from cyclegan_edge.runtime.backends import open_backend
from cyclegan_edge.runtime.backends.engine_file import this_system
from cyclegan_edge.runtime.errors import OutputError

DTYPES = {onnx.TensorProto.UINT8: "TYPE_UINT8", onnx.TensorProto.FLOAT: "TYPE_FP32"}


@pytest.fixture(scope="module")
def parse():
    """Return a function that reads a configuration as the server does: an unknown field or value is an error."""
    definition = descriptor_pb2.FileDescriptorProto.FromString(
        (Path(__file__).parent / "triton" / "model_config.binpb").read_bytes()
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(definition)
    of_model = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))
    return lambda text: text_format.Parse(text, of_model())


@pytest.fixture(scope="module")
def metadata(generator, exported):
    return Artefact.open(exported(generator)).metadata


def named(part, field):
    """Return the name of an enumeration's value."""
    return part.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number[getattr(part, field)].name


def sides(value):
    """Return the sides of a graph's tensor without the batch; -1 for what is free, as Triton writes it."""
    return [side.dim_value or -1 for side in value.type.tensor_type.shape.dim][1:]


@pytest.mark.parametrize(
    "options", [{}, {"size": (32, 48)}, {"io": "float"}, {"precision": "fp16"}], ids=["free", "pinned", "float", "fp16"]
)
def test_the_configuration_says_what_the_graph_is(generator, exported, parse, options):
    path = exported(generator, **options)
    graph = onnx.load(path).graph
    config = parse(configuration(path, Artefact.open(path).metadata, max_batch=4, usual=(30, 62)))
    assert (config.name, config.backend, config.max_batch_size) == ("run", "onnxruntime", 4)
    for ours, theirs in ((graph.input, config.input), (graph.output, config.output)):
        assert [value.name for value in ours] == [part.name for part in theirs]
        assert [DTYPES[value.type.tensor_type.elem_type] for value in ours] == [named(p, "data_type") for p in theirs]
        assert [sides(value) for value in ours] == [list(part.dims) for part in theirs]
    assert config.HasField("dynamic_batching")
    assert not config.dynamic_batching.max_queue_delay_microseconds
    (group,) = config.instance_group
    assert (group.count, named(group, "kind")) == (1, "KIND_AUTO")

    (warmup,) = config.model_warmup
    first = warmup.inputs["image"]
    assert (warmup.batch_size, named(first, "data_type"), first.random_data) == (
        1,
        named(config.input[0], "data_type"),
        True,
    )
    dtype = np.uint8 if options.get("io") != "float" else np.float32
    translated = open_backend(path, backend="onnxruntime").infer(np.zeros((1, *first.dims), dtype))
    assert translated.shape == (1, *first.dims)
    assert list(first.dims) == {"size": [32, 48, 3], "io": [3, 32, 64]}.get(next(iter(options), ""), [32, 64, 3])


def test_a_plan_of_one_picture_is_not_batched(metadata, parse):
    config = parse(configuration(Path("a-trt11.4.0.engine"), metadata, max_batch=1, usual=(32, 32)))
    assert (config.name, config.backend, config.max_batch_size) == ("a-trt11.4.0", "tensorrt", 1)
    assert not config.HasField("dynamic_batching")
    assert named(config.instance_group[0], "kind") == "KIND_GPU"


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters="/"), min_size=1, max_size=30)


@given(name=NAMES, max_batch=st.integers(1, 4096), side=st.integers(1, 5000))
def test_any_name_batch_and_size_can_be_written(metadata, parse, name, max_batch, side):
    path = Path(f"{name}.onnx")
    config = parse(configuration(path, metadata, max_batch=max_batch, usual=(side, 2 * side)))
    assert (config.name, config.max_batch_size) == (path.stem, max_batch)
    warm = config.model_warmup[0].inputs["image"].dims
    assert all(
        large % 4 == 0 and 0 <= large - small < 8 for large, small in zip(warm[:2], (side, 2 * side), strict=True)
    )


def test_a_place_that_cannot_be_written_is_named(generator, exported, tmp_path):
    path = exported(generator)
    (tmp_path / "triton").write_text("mine")
    with pytest.raises(OutputError, match=r"cannot write .*triton/run/1/model\.onnx"):
        write_model(path, tmp_path, Artefact.open(path).metadata, max_batch=1, usual=(32, 32))
    assert (tmp_path / "triton").read_text() == "mine"


def test_the_command_writes_a_verified_repository(cyclegan, run_folder, parse, tmp_path, capsys):
    other = tmp_path / "triton" / "run-AtoB-fp32" / "2" / "model.onnx"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"the user's own")
    assert cyclegan("-q", "export", run_folder, "--to", "triton", "--output", tmp_path, "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)
    model = tmp_path / "triton" / "run-AtoB-fp32" / "1" / "model.onnx"
    assert told["artefact"] == str(model)
    assert told["verification"]["passed"]
    assert {path.name for path in model.parent.iterdir()} == {"model.onnx", "model.verify.json", "model.verify.html"}
    assert {path.name for path in tmp_path.iterdir()} == {"triton"}
    assert other.read_bytes() == b"the user's own"
    assert Artefact.open(model).metadata.verification.passed
    config = parse((model.parents[1] / "config.pbtxt").read_text())
    assert (config.name, config.max_batch_size) == ("run-AtoB-fp32", 8)
    assert list(config.model_warmup[0].inputs["image"].dims) == [32, 32, 3]


def test_with_tensorrt_the_repository_holds_its_plan(cyclegan, run_folder, parse, tmp_path, monkeypatch, caplog):
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    monkeypatch.setitem(sys.modules, "tensorrt", trt)  # which has the same names
    monkeypatch.setattr(engine, "_target", lambda library, capabilities: (None, ("8.9",)))
    options = ["--to", "tensorrt,triton", "--size", "32:32:48", "--batch-size", "2", "--no-verify"]
    assert cyclegan("export", run_folder, *options, "--output", tmp_path) == 0
    name = f"run-AtoB-fp32-trt{trt.__version__}-sm89-32_32_48-b2-{this_system().lower().replace('-', '_')}"
    model = tmp_path / "triton" / name / "1" / "model.plan"
    assert model.read_bytes() == (tmp_path / f"{name}.engine").read_bytes()
    config = parse((model.parents[1] / "config.pbtxt").read_text())
    assert (config.name, config.backend, config.max_batch_size) == (name, "tensorrt", 2)
