"""Faults that are planted in a graph, each found and named."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from cyclegan_edge.export.verify import verify_artefact


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
    report = verify_artefact(planted(exported(generator), tmp_path, fault), generator, backend="onnxruntime")
    assert not report.passed
    (divergence,) = report.divergences
    assert divergence.layer == named.replace("\\", "")
    assert (divergence.deviation is None) == ("every layer" in named)
    assert named.replace("\\", "") in str(divergence)


@pytest.mark.slow
def test_every_engine_names_the_same_layer(generator, exported, tmp_path):
    report = verify_artefact(planted(exported(generator), tmp_path, another_epsilon), generator)
    in_fp32 = {each.engine: each.layer for each in report.divergences if each.precision == "fp32"}
    assert in_fp32 == dict.fromkeys(("onnxruntime", "openvino"), "model.8 (InstanceNormalization)")


def test_half_precision_statistics_that_overflow_are_caught(generator, exported, tmp_path):
    """A plane of 512x512 of values around 40: its sum of squares is no FP16 number."""

    def in_half(graph):
        """Compute the variance as an FP16 InstanceNorm without an FP32 island does: a plain sum of squares in half."""
        norm = nodes(graph, "InstanceNormalization")[1]
        names = iter(f"planted_{number}" for number in range(99))
        inputs = {"axes": np.array([2, 3], np.int64), "eps": np.float16(1e-3), "gain": np.float16(40)}
        graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in inputs.items())
        made = []

        def add(operator, *taken, **attributes):
            made.append(helper.make_node(operator, taken, [next(names)], **attributes))
            return made[-1].output[0]

        half = add("Mul", add("Cast", norm.input[0], to=onnx.TensorProto.FLOAT16), "gain")
        centred = add("Sub", half, add("ReduceMean", half, "axes"))
        squares = add("ReduceSum", add("Mul", centred, centred), "axes")
        deviation = add("Sqrt", add("Add", squares, "eps"))
        side = add("Cast", add("Div", centred, deviation), to=onnx.TensorProto.FLOAT)
        graph.initializer.append(numpy_helper.from_array(np.float32(512.0), "root"))
        made.append(helper.make_node("Mul", [side, "root"], [norm.output[0]], name="planted_norm"))
        place = list(graph.node).index(norm)
        graph.node.remove(norm)
        for offset, node in enumerate(made):
            graph.node.insert(place + offset, node)

    path = planted(exported(generator, size=(512, 512)), tmp_path, in_half)
    report = verify_artefact(path, generator, backend="onnxruntime")
    assert not report.passed
    assert any(row.psnr_db is not None and row.psnr_db < 40 for row in report.comparisons if not row.passed)
    assert report.divergences[0].layer == "model.6 (Relu)"  # the one behind the norm, which is no node of its own now
