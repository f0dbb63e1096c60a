"""What each node of an ONNX graph costs, counted from its shapes; no engine is asked.

One MAC is one multiplication with its addition. Only convolutions and matrix products are counted, every weight as
often as it is used: at each place of a convolution's output, at each place of a transposed convolution's input.
Parameters are their weights and biases. Traffic is the bytes that a node reads, weights included, and writes, as the
graph has them: an engine that fuses nodes moves less.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import NodeProto, TensorProto, helper

from ...runtime.errors import ArtefactError

CONVOLUTIONS = ("Conv", "ConvTranspose")
WEIGHTED = (*CONVOLUTIONS, "Gemm", "MatMul")
PREPARING = ("Pad", "Resize", "QuantizeLinear", "DequantizeLinear")  # they belong to the convolution that follows
PIXELS_IN, PIXELS_OUT = "pixels in", "pixels out"


@dataclass(frozen=True)
class NodeCost:
    """One node of the graph."""

    name: str
    operator: str  # ONNX's name
    part: str  # of the network: "stem", "down 1", "block 3", "up 2", "tail", "pixels out"
    layer: str  # what it does there: "conv 3x3 64→128 /2"
    outputs: tuple[str, ...]  # names of the tensors that it writes
    macs: int
    parameters: int
    traffic: int  # bytes


def count_costs(path: Path, shape: Sequence[int]) -> list[NodeCost]:
    """Count what every node costs where the graph's input has `shape`, [N, H, W, C] or [N, C, H, W].

    Raises:
        ArtefactError: the shapes inside the graph are not known.
    """
    try:
        graph = _Graph(onnx.load(path), shape)
        parts = _parts(graph)
        return [graph.cost(node, parts[node.name]) for node in graph.nodes]
    except (onnx.shape_inference.InferenceError, KeyError) as error:
        raise ArtefactError(f"the shapes inside {path} are not known ({error}); pin its size and try again") from error


class _Graph:
    """A graph whose every tensor has a known shape and type."""

    def __init__(self, model: onnx.ModelProto, shape: Sequence[int]) -> None:
        del model.graph.value_info[:]
        for dimension, side in zip(model.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
            dimension.dim_value = side
        graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
        self.nodes: list[NodeProto] = list(graph.node)
        for number, node in enumerate(self.nodes):
            node.name = node.name or f"{node.op_type}_{number}"
        self.makers = {output: node for node in self.nodes for output in node.output}
        self.readers = {tensor: node for node in reversed(self.nodes) for tensor in node.input}
        self.weights = {tensor.name for tensor in graph.initializer}
        self._tensors = {tensor.name: (tuple(tensor.dims), tensor.data_type) for tensor in graph.initializer}
        for value in (*graph.value_info, *graph.input, *graph.output):
            tensor = value.type.tensor_type
            # A side that is not told reads as 0 here, and only nodes without weights may have one.
            self._tensors[value.name] = tuple(side.dim_value for side in tensor.shape.dim), tensor.elem_type

    def shape(self, tensor: str) -> tuple[int, ...]:
        return self._tensors[tensor][0]

    def stored(self, tensor: str) -> str:
        """Go back from what a node reads to what is stored: engines read INT8 itself, not the float it stands for."""
        maker = self.makers.get(tensor)
        return maker.input[0] if maker is not None and maker.op_type == "DequantizeLinear" else tensor

    def weight(self, node: NodeProto) -> str:
        """Return the name of a convolution's weights, through a pair that quantises them."""
        name = self.stored(node.input[1])
        maker = self.makers.get(name)
        return maker.input[0] if maker is not None and maker.op_type == "QuantizeLinear" else name

    def cost(self, node: NodeProto, part: str) -> NodeCost:
        """Count one node."""
        macs = parameters = traffic = 0
        if node.op_type in WEIGHTED:
            macs = self._macs(node)
            stored = {self.stored(tensor) for tensor in node.input[1:]}
            parameters = sum(math.prod(self.shape(name)) for name in stored & self.weights)
        if node.op_type != "DequantizeLinear":
            tensors = {self.stored(tensor) for tensor in node.input if tensor} | set(node.output)
            traffic = sum(self._bytes(tensor) for tensor in tensors if tensor)
        return NodeCost(
            node.name, node.op_type, part, self.describe(node), tuple(node.output), macs, parameters, traffic
        )

    def describe(self, node: NodeProto) -> str:
        """Say what a node does, a convolution with its kernel, channels and stride."""
        if node.op_type not in CONVOLUTIONS:
            return _NAMES.get(node.op_type, node.op_type.lower())
        attributes = _attributes(node)
        group, strides = attributes.get("group", 1), attributes.get("strides", [1])
        shape = self.shape(node.input[1])
        kernel = "x".join(map(str, shape[2:]))
        if node.op_type == "ConvTranspose":
            return f"deconv {kernel} {shape[0]}→{shape[1] * group}" + (f" ×{strides[0]}" if strides[0] > 1 else "")
        if group == shape[0] > 1:
            return f"depthwise {kernel} {group}"
        return f"conv {kernel} {shape[1] * group}→{shape[0]}" + (f" /{strides[0]}" if strides[0] > 1 else "")

    def _macs(self, node: NodeProto) -> int:
        source, weight, result = self.shape(node.input[0]), self.shape(node.input[1]), self.shape(node.output[0])
        if node.op_type == "MatMul":
            return math.prod(result) * source[-1]
        if node.op_type == "Gemm":
            return result[0] * math.prod(weight)
        batch, *places = (result[0], *result[2:]) if node.op_type == "Conv" else (source[0], *source[2:])
        return batch * math.prod(places) * math.prod(weight)

    def _bytes(self, tensor: str) -> int:
        shape, kind = self._tensors[tensor]
        return int(math.prod(shape) * helper.tensor_dtype_to_np_dtype(kind or TensorProto.FLOAT).itemsize)


_NAMES = {
    "InstanceNormalization": "instance norm",
    "BatchNormalization": "batch norm",
    "DepthToSpace": "depth to space",
    "SpaceToDepth": "space to depth",
    "QuantizeLinear": "quantise",
    "DequantizeLinear": "dequantise",
    "LeakyRelu": "relu",
}


def _parts(graph: _Graph) -> dict[str, str]:
    """Say for every node which part of the network it belongs to.

    Convolutions are named by where they stand, and by the `conv_block` that the names of their weights tell; every
    other node goes with the convolution before it, or, where it prepares one, with the one after it.
    """
    parts = _convolution_parts(graph)
    order = {node.name: number for number, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        if node.name not in parts and node.op_type not in PREPARING:
            makers = [graph.makers[tensor] for tensor in node.input if tensor in graph.makers]
            before = max(makers, key=lambda maker: order[maker.name], default=None)
            behind = before is not None and before.op_type == "Tanh"
            parts[node.name] = PIXELS_OUT if behind else parts.get(before.name, PIXELS_IN) if before else PIXELS_IN
    for node in reversed(graph.nodes):
        if node.name not in parts:
            reader = graph.readers.get(node.output[0])
            parts[node.name] = parts[reader.name] if reader else PIXELS_OUT
    return parts


def _convolution_parts(graph: _Graph) -> dict[str, str]:
    convolutions = [node for node in graph.nodes if node.op_type in CONVOLUTIONS]
    numbers = {"down": 0, "up": 0, "conv": 0}
    blocks: list[str] = []
    parts = {}
    for node in convolutions:
        if block := re.match(r"(.+)\.conv_block\.", graph.weight(node)):
            if block[1] not in blocks:
                blocks.append(block[1])
            parts[node.name] = f"block {blocks.index(block[1]) + 1}"
            continue
        if node.op_type == "ConvTranspose" or _is_enlarged(graph, node):
            kind = "up"
        else:
            kind = "down" if max(_attributes(node).get("strides", [1])) > 1 else "conv"
        numbers[kind] += 1
        parts[node.name] = f"{kind} {numbers[kind]}"
    skips = {node.name: "skip" for node in convolutions if graph.weight(node).endswith(".skip.weight")}
    chain = [node.name for node in convolutions if node.name not in skips]
    if len(chain) > 1:
        parts |= {chain[0]: "stem", chain[-1]: "tail"}
    return parts | skips


def _is_enlarged(graph: _Graph, node: NodeProto) -> bool:
    """Tell whether a convolution reads what was resized before it, with or without padding and quantisation."""
    maker = graph.makers.get(node.input[0])
    while maker is not None and maker.op_type in PREPARING and maker.op_type != "Resize":
        maker = graph.makers.get(maker.input[0])
    return maker is not None and maker.op_type == "Resize"


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
