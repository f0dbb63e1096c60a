"""Faults that are planted in a graph, each found and named."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.verification.divergence import tolerance_of
from cyclegan_edge.export.verification.intermediate import open_at
from cyclegan_edge.export.verification.verify import verify_artefact


def planted(path, folder, fault):
    model = onnx.load(path)
    fault(model.graph)
    onnx.save(model, folder / "planted.onnx")
    return folder / "planted.onnx"


def nodes(graph, operator):
    return [node for node in graph.node if node.op_type == operator]


def another_epsilon(graph):
    """Of the third InstanceNorm, as a converter that clamps it would."""
    norm = nodes(graph, "InstanceNormalization")[2]
    del norm.attribute[:]
    norm.attribute.append(helper.make_attribute("epsilon", 0.1))


def swapped_colours(graph):
    weight = next(tensor for tensor in graph.initializer if tensor.name == "generator.model.1.weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight)[:, ::-1].copy(), weight.name))


def darker_pixels(graph):
    """Behind the last layer: (y + 1) * 110 in place of 127.5."""
    scale = nodes(graph, "Mul")[-1]
    graph.initializer.append(numpy_helper.from_array(np.float32(110), "darker"))
    scale.input[1 if scale.input[1] not in {output for node in graph.node for output in node.output} else 0] = "darker"


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (another_epsilon, r"model\.8 (InstanceNormalization)"),
        (swapped_colours, r"model\.1 (Conv)"),
        (darker_pixels, "every layer agrees, so it is the way from the last one to the pixels"),
    ],
)
def test_a_planted_fault_is_caught_and_its_layer_named(generator, exported, tmp_path, fault, named):
    artefact = Artefact.open(planted(exported(generator), tmp_path, fault))
    report = verify_artefact(artefact, generator, backend="onnxruntime")
    assert not report.passed
    (divergence,) = report.divergences
    assert divergence.layer == named.replace("\\", "")
    assert (divergence.deviation is None) == ("every layer" in named)
    assert named.replace("\\", "") in str(divergence)


@pytest.mark.slow
def test_every_engine_names_the_same_layer(generator, exported, tmp_path):
    report = verify_artefact(Artefact.open(planted(exported(generator), tmp_path, another_epsilon)), generator)
    in_fp32 = {each.engine: each.layer for each in report.divergences if each.precision == "fp32"}
    assert in_fp32 == dict.fromkeys(("onnxruntime", "openvino"), "model.8 (InstanceNormalization)")


def insert(graph, place, steps):
    """Add nodes at a place of the graph, each given as (operator, inputs, output, attributes)."""
    for number, (operator, taken, given, attributes) in enumerate(steps):
        node = helper.make_node(operator, taken, [given], name=f"planted_{number}", **attributes)
        graph.node.insert(place + number, node)


def constants(graph, **values):
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in values.items())


def a_shift_of_bright_pictures(graph):
    """By half a deviation behind the first InstanceNorm; the others stay what they are."""
    norm = nodes(graph, "InstanceNormalization")[0]
    name, norm.output[0] = norm.output[0], "unshifted"
    constants(graph, sides=np.array([1, 2, 3]), bright=np.float32(150), half=np.float32(0.5))
    floats = {"to": onnx.TensorProto.FLOAT}
    steps = [
        ("Cast", ["image"], "pixels", floats),
        ("ReduceMean", ["pixels", "sides"], "brightness", {}),
        ("Greater", ["brightness", "bright"], "is_bright", {}),
        ("Cast", ["is_bright"], "one_if_bright", floats),
        ("Mul", ["one_if_bright", "half"], "shift", {}),
        ("Add", ["unshifted", "shift"], name, {}),
    ]
    insert(graph, list(graph.node).index(norm) + 1, steps)


def test_the_layer_is_looked_for_with_the_picture_that_came_out_worst(generator, exported, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 100, (32, 32, 3), dtype=np.uint8)
    for name, picture in (("1-dark", pixels), ("2-bright", 255 - pixels)):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    path = planted(exported(generator), tmp_path, a_shift_of_bright_pictures)
    report = verify_artefact(Artefact.open(path), generator, sorted(tmp_path.glob("*.png")), backend="onnxruntime")
    assert {(row.input, row.size) for row in report.comparisons if not row.passed} == {
        ("pictures", (32, 32)),
        ("pictures", (32, 36)),
    }
    assert [divergence.layer for divergence in report.divergences] == ["model.3 (Relu)"]


@pytest.mark.parametrize(
    ("artefact", "engine", "tolerance"),
    [
        ("fp32", "fp32", 1e-3),
        ("fp32", "bf16", 8e-2),
        ("fp16", "fp16", 2e-2),
        ("int8", "bf16", 0.3),
        ("fp32", "tf32", 1e-3),
    ],
)
def test_the_coarser_precision_decides_what_rounding_explains(artefact, engine, tolerance):
    assert tolerance_of(artefact, engine) == tolerance


def statistics_in_half(gain):
    """Sum the squares of the second InstanceNorm in FP16, as one without an FP32 island does.

    ONNX Runtime computes FP16 in FP32 and leaves out casts between: the transposition, which it does in FP16, makes it
    round. `gain` scales the values, which changes nothing else.
    """

    def fault(graph):
        norm = nodes(graph, "InstanceNormalization")[1]
        place = list(graph.node).index(norm)
        graph.node.remove(norm)
        constants(
            graph,
            sides=np.array([2, 3]),
            gain=np.float16(gain),
            nought=np.float32(0),
            epsilon=np.float32(1e-5 * gain**2),
        )
        floats = {"to": onnx.TensorProto.FLOAT}
        steps = [
            ("Cast", [norm.input[0]], "half", {"to": onnx.TensorProto.FLOAT16}),
            ("Mul", ["half", "gain"], "scaled", {}),
            ("ReduceMean", ["scaled", "sides"], "mean", {}),
            ("Sub", ["scaled", "mean"], "centred", {}),
            ("Mul", ["centred", "centred"], "squares", {}),
            ("ReduceSum", ["squares", "sides"], "sum_of_squares", {}),
            ("Transpose", ["sum_of_squares"], "in_half", {"perm": [0, 1, 3, 2]}),
            ("Cast", ["in_half"], "sum", floats),
            ("Cast", ["centred"], "numerator", floats),
            ("Pow", ["numerator", "nought"], "ones", {}),
            ("ReduceSum", ["ones", "sides"], "count", {}),
            ("Div", ["sum", "count"], "variance", {}),
            ("Add", ["variance", "epsilon"], "safe", {}),
            ("Sqrt", ["safe"], "deviation", {}),
            ("Div", ["numerator", "deviation"], norm.output[0], {}),
        ]
        insert(graph, place, steps)

    return fault


@pytest.mark.parametrize(
    ("size", "gain", "missed"),
    [
        ((512, 512), 0.5, set()),
        ((512, 512), 40, {(512, 512)}),
        (None, 2, set()),
        (None, 50, {(64, 64)}),  # an artefact of any size shows it at the larger size only
    ],
)
def test_half_precision_statistics_that_overflow_are_caught(generator, exported, tmp_path, size, gain, missed):
    """The second InstanceNorm sums the squares of a fourth of the pixels; above 65504 FP16 has no number."""
    path = planted(exported(generator, precision="fp16", size=size), tmp_path, statistics_in_half(gain))
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    smooth = np.stack([*np.meshgrid(ramp, 255 - ramp), np.full((64, 64), 128, np.uint8)], axis=-1)
    Image.fromarray(smooth).save(tmp_path / "smooth.png")
    report = verify_artefact(Artefact.open(path), generator, [tmp_path / "smooth.png"], backend="onnxruntime")
    sizes = {row.size for row in report.comparisons}
    assert {row.size for row in report.comparisons if not row.passed} == missed
    assert {each for each in sizes if not np.isfinite(sums_of_squares(path, smooth, each)).all()} == missed
    assert report.passed == (not missed)
    assert [each.layer for each in report.divergences] == ["model.6 (Relu)"] * len(missed)  # the norm is no node now


def sums_of_squares(path, picture, size):
    given = np.array(Image.fromarray(picture).resize(size[::-1]))[None]
    with open_at(onnx.load(path), "sum", backend="onnxruntime", precision="fp32") as opened:
        return opened.infer(given)
