"""Models of others: what their graphs tell of their values, what is assumed, and why one is refused."""

import json
import logging
import os
import shutil
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cyclegan_edge.runtime.errors import ArtefactError, UsageError
from cyclegan_edge.runtime.translator import load

FREE = [1, 3, "h", "w"]
GREY = np.full((16, 16, 3), 100, np.uint8)


@pytest.fixture
def save(tmp_path):
    """Write a model of a chain of operations, each (op, constants…), from `x` to `y`."""

    def write(*chain, shape=FREE, result=None, dtype=TensorProto.FLOAT, more_outputs=()):
        nodes, constants, name = [], [], "x"
        for number, (op, *values) in enumerate(chain):
            names = [f"c{number}_{place}" for place in range(len(values))]
            constants += [
                numpy_helper.from_array(np.asarray(v, np.float32), n) for v, n in zip(values, names, strict=True)
            ]
            output = "y" if number == len(chain) - 1 else f"v{number}"
            nodes.append(helper.make_node(op, [name, *names], [output]))
            name = output
        outputs = [helper.make_tensor_value_info("y", dtype, result or shape)]
        for output in more_outputs:
            nodes.append(helper.make_node("Neg", ["x"], [output]))
            outputs.append(helper.make_tensor_value_info(output, dtype, shape))
        inputs = [helper.make_tensor_value_info("x", dtype, shape)]
        graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, tmp_path / "m.onnx")
        return tmp_path / "m.onnx"

    return write


FITS = [{}, {"fit": "stretch", "size": (8, 12)}, {"fit": "letterbox", "size": (32, 32)}, {"tile": 8}]
IDENTITIES = {
    "clip to 255": [("Clip", 0, 255)],
    "clip to 1": [("Clip", 0, 1)],
    "clip to -1..1": [("Clip", -1, 1)],
    "divides by 255": [("Div", 255), ("Mul", 255), ("Clip", 0, 255)],
    "halves about zero": [("Div", 127.5), ("Sub", 1), ("Add", 1), ("Mul", 127.5), ("Clip", 0, 255)],
    "from 0..1 and back": [("Mul", 2), ("Sub", 1), ("Clip", -1, 1), ("Add", 1), ("Div", 2)],
    "mean and deviation": [
        ("Sub", [[[[0.485]], [[0.456]], [[0.406]]]]),
        ("Div", [[[[0.229]], [[0.224]], [[0.225]]]]),
        ("Mul", [[[[0.229]], [[0.224]], [[0.225]]]]),
        ("Add", [[[[0.485]], [[0.456]], [[0.406]]]]),
        ("Clip", 0, 1),
    ],
}


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("name", IDENTITIES)
def test_a_range_is_read_from_the_graph(name, backend, save, caplog):
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    with caplog.at_level(logging.WARNING):
        translated = load(save(*IDENTITIES[name]), backend=backend)(picture)
    assert np.abs(translated.astype(int) - picture).max() <= 2  # openvino may compute in bf16
    assert not caplog.text


@pytest.mark.parametrize(
    ("chain", "assumed"),
    [
        ([("Neg",)], "its values are taken for -1..1, in and out"),
        ([("Sigmoid",)], "it gives 0..1, so its input is taken for 0..1 too"),
        ([("Div", 255), ("Neg",)], "it takes 0..255, so its output is taken for 0..255 too"),
    ],
)
def test_what_is_assumed_is_told(chain, assumed, save, caplog):
    load(save(*chain))
    assert f"m.onnx does not say everything: {assumed}" in caplog.text
    assert "name a value range: 0..1, 0..255 or -1..1" in caplog.text


@pytest.mark.parametrize(("value_range", "level"), [("-1..1", 155), ("0..1", 0), ("0..255", 0)])
def test_the_users_word_counts(value_range, level, save, caplog):
    translated = load(save(("Neg",)), value_range=value_range)(GREY)
    assert (translated == level).all()
    assert not caplog.text


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_channels_may_come_last(dtype, save):
    assert (load(save(("Neg",), shape=[1, "h", "w", 3], dtype=dtype))(GREY) == 155).all()


def test_a_layout_that_nothing_tells_is_assumed_or_given(save, caplog):
    free = ["n", "a", "b", "c"]
    assert (load(save(("Neg",), shape=free), value_range="-1..1")(GREY) == 155).all()
    assert "its layout is taken for NCHW" in caplog.text
    caplog.clear()
    assert (load(save(("Neg",), shape=free), value_range="-1..1", layout="NHWC")(GREY) == 155).all()
    assert not caplog.text


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_one_of_several_outputs_is_named(backend, save):
    path = save(("Identity",), more_outputs=["negative"])
    with pytest.raises(ArtefactError, match=r"must have one output, and has y .*negative.*; name the one to use"):
        load(path, backend=backend)
    with pytest.raises(UsageError, match="has no output called 'z'; it has y"):
        load(path, backend=backend, output_name="z")
    options = {"backend": backend, "value_range": "-1..1"}
    assert (load(path, **options, output_name="negative")(GREY) == 155).all()
    assert (load(path, **options, output_name="y")(GREY) == 100).all()


@pytest.mark.parametrize(
    "fit", [{}, {"fit": "stretch", "size": (8, 12)}, {"fit": "letterbox", "size": (32, 32)}, {"tile": 8}]
)
def test_a_model_may_enlarge_by_a_whole_factor(fit, save):
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, FREE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, "H", "W"])],
        [numpy_helper.from_array(np.array([1, 1, 3, 3], np.float32), "scales")],
    )
    path = save(("Neg",))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    picture = np.repeat(np.linspace(0, 255, 21).astype(np.uint8)[None, :, None], 18, 0).repeat(3, 2)
    alpha = np.full((18, 21, 1), 77, np.uint8)
    translated = load(path, value_range="-1..1", **fit)(np.concatenate([picture, alpha], 2))
    assert translated.shape == (54, 63, 4)
    assert (translated[..., 3] == 77).all()
    assert np.abs(translated[::3, 1::3, 0].astype(int) - picture[..., 0]).max() < 45


@pytest.mark.parametrize(
    ("shape", "dtype", "reason"),
    [
        ([2, 3, "h", "w"], TensorProto.FLOAT, "the batch of the input is pinned to 2"),
        ([1, 5, "h", "w"], TensorProto.FLOAT, "its layout|has 5 channels as NCHW"),
        (
            [1, 5, 16, 16],
            TensorProto.FLOAT,
            "neither dimension 1 nor 3 of the input is that of 1 or 3 channels: 5",
        ),
        ([3, "h", "w"], TensorProto.FLOAT, "the input has 3 dimensions, where images have 4"),
        ([1, 3, 16, "w"], TensorProto.FLOAT, "the height of the input is pinned and its width free"),
        ([1, 3, "h", "w"], TensorProto.INT64, "the input holds int64"),
    ],
)
def test_why_a_model_is_refused_is_said_exactly(shape, dtype, reason, save):
    with pytest.raises(ArtefactError, match=reason):
        load(save(("Neg",), shape=shape, dtype=dtype), backend="onnxruntime")


def test_our_own_models_know_better(model):
    with pytest.raises(UsageError, match="says its own value range and layout"):
        load(model("float"), value_range="0..1")


def test_info_tells_what_is_known_and_what_is_assumed(cyclegan, save, capsys):
    assert cyclegan("info", save(("Sigmoid",)), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["runs"], facts["input_layout"], facts["output_range"]) == (True, "NCHW", "0..1")
    assert "its input is taken for 0..1 too" in facts["assumed"][0]
    assert cyclegan("info", save(("Neg",), shape=[2, 3, "h", "w"])) == 0
    assert "the batch of the input is pinned to 2" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9"), "100%d", "a b", "日本"])
def test_a_model_of_any_name_runs(name, backend, model, tmp_path):
    artefact = shutil.copy(model("invert"), tmp_path / f"{name}.onnx")
    with load(artefact, backend=backend) as translator:
        assert (translator(GREY) == 155).all()
