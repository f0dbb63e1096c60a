"""INT8 for TensorRT: integer convolutions in a graph whose remaining chain is FP16.

Q/DQ pairs stand on the inputs and weights of convolutions alone. Behind them ONNX Runtime needs another pair for its
integer kernels, which TensorRT does not, and which costs accuracy before every InstanceNorm.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .int8 import CONVOLUTIONS

OPSET = 19  # the first whose Q/DQ takes FP16; what else it changed, these graphs do not use
SMALLEST_SCALE = np.float16(2**-14)  # below it FP16 keeps few bits


def mix(quantised: onnx.ModelProto, half: onnx.ModelProto) -> onnx.ModelProto:
    """Return the FP16 artefact `half` with the integer convolutions of its INT8 twin, which has an FP32 chain."""
    model = onnx.ModelProto()
    model.CopyFrom(half)
    twins = iter([node for node in quantised.graph.node if node.op_type in CONVOLUTIONS])
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantised.graph.initializer}
    makers = {output: node for node in quantised.graph.node for output in node.output}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type in CONVOLUTIONS:
            taken, weight = (makers.get(name) for name in list(next(twins).input)[:2])
            if taken is not None and weight is not None and weight.op_type == "DequantizeLinear":
                nodes += _quantise_input(model.graph, node, values[taken.input[1]])
                nodes += _quantise_weight(model.graph, node, weight, values)
        nodes.append(node)
    _replace_nodes(model.graph, nodes)
    model.opset_import[0].version = OPSET
    onnx.checker.check_model(model, full_check=True)
    return model


def _quantise_input(
    graph: onnx.GraphProto, convolution: onnx.NodeProto, scale: NDArray[np.float32]
) -> list[onnx.NodeProto]:
    name = f"{convolution.name}_input"
    steps = _add_steps(graph, name, _half(scale))
    pair = [
        helper.make_node("QuantizeLinear", [convolution.input[0], *steps], [f"{name}_int8"], name=f"{name}_quantize"),
        helper.make_node("DequantizeLinear", [f"{name}_int8", *steps], [f"{name}_half"], name=f"{name}_dequantize"),
    ]
    convolution.input[0] = f"{name}_half"
    return pair


def _quantise_weight(
    graph: onnx.GraphProto, convolution: onnx.NodeProto, twin: onnx.NodeProto, values: dict[str, NDArray[Any]]
) -> list[onnx.NodeProto]:
    """Take the integers of the twin's weight, with a scale for every channel."""
    name = f"{convolution.name}_weight"
    integers, scale = values[twin.input[0]], values[twin.input[1]]
    axis = next(attribute.i for attribute in twin.attribute if attribute.name == "axis")
    rounded = _half(scale)
    shape = [-1 if side == axis else 1 for side in range(integers.ndim)]
    # The same integers, but where the scale had to grow.
    again = np.rint(integers * (scale / rounded.astype(np.float32)).reshape(shape)).astype(np.int8)
    graph.initializer.append(numpy_helper.from_array(again, f"{name}_int8"))
    inputs = [f"{name}_int8", *_add_steps(graph, name, rounded)]
    node = helper.make_node("DequantizeLinear", inputs, [f"{name}_half"], name=f"{name}_dequantize", axis=axis)
    convolution.input[1] = f"{name}_half"
    return [node]


def _half(scale: NDArray[np.float32]) -> NDArray[np.float16]:
    rounded: NDArray[np.float16] = np.maximum(scale.astype(np.float16), SMALLEST_SCALE)
    return rounded


def _add_steps(graph: onnx.GraphProto, name: str, scale: NDArray[np.float16]) -> list[str]:
    """Add a scale and its zero point, which TensorRT demands to be 0; returns their names."""
    zero = np.zeros(scale.shape, np.int8)
    graph.initializer.append(numpy_helper.from_array(np.asarray(scale), f"{name}_scale"))
    graph.initializer.append(numpy_helper.from_array(zero, f"{name}_zero"))
    return [f"{name}_scale", f"{name}_zero"]


def _replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Give the graph these nodes, some of which are its own, and drop the weights that none of them uses."""
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    used = {name for node in copies for name in node.input}
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in used:
            del graph.initializer[index]
