"""What an ONNX file says of its graph, read without any library: nodes, small constants, and which files it needs.

The engines tell the tensors at a model's ends, but not what happens there. Only the fields of onnx.proto that are
needed are read, and weights are passed over, so a large file costs little.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_VALUES = 16  # of a constant that is read; larger ones are weights

# Numbers of fields in onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH = 1, 2, 3, 5, 6
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW, _TENSOR_EXTERNAL = 1, 2, 8, 9, 13
_TENSOR_DATA = {4: np.float32, 10: np.float64}  # lists of values, by their field
_TYPES = {1: np.float32, 6: np.int32, 7: np.int64, 10: np.float16, 11: np.float64}
_NAME = 1  # of a value, and the key of an entry
_VALUE = 2  # of an entry


@dataclass(frozen=True)
class Node:
    """One operation."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, float | NDArray[np.floating]]


@dataclass(frozen=True)
class OnnxGraph:
    """The operations of a file."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, NDArray[np.floating]] = field(default_factory=dict)  # those of at most `MOST_VALUES` values
    inputs: list[str] = field(default_factory=list)  # without the weights that old files list there
    outputs: list[str] = field(default_factory=list)
    external: set[str] = field(default_factory=set)  # names of the files that hold weights, relative to this one

    def maker(self, name: str) -> Node | None:
        """Return the node that makes a value."""
        return next((node for node in self.nodes if name in node.outputs), None)

    def users(self, name: str) -> list[Node]:
        """Return the nodes that take a value."""
        return [node for node in self.nodes if name in node.inputs]


def read_graph(path: Path) -> OnnxGraph | None:
    """Read a file's graph; None where it cannot be read as an ONNX file."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return _parse(bytes(mapped) if len(mapped) < 2**20 else memoryview(mapped))
    except (OSError, ValueError, IndexError, BufferError):
        return None


def _parse(data: bytes | memoryview) -> OnnxGraph:
    graph = OnnxGraph()
    weights = set()
    for number, value in _fields(data):
        if number != _MODEL_GRAPH:
            continue
        for part, content in _fields(value):
            if part == _GRAPH_NODE:
                _add_node(graph, content)
            elif part == _GRAPH_INITIALIZER:
                weights.add(_add_tensor(graph, content))
            elif part in (_GRAPH_INPUT, _GRAPH_OUTPUT):
                names = graph.inputs if part == _GRAPH_INPUT else graph.outputs
                names += [_text(inner) for key, inner in _fields(content) if key == _NAME]
    graph.inputs[:] = [name for name in graph.inputs if name not in weights]
    return graph


def _add_node(graph: OnnxGraph, data: memoryview) -> None:
    node = Node("", [], [], {})
    op = ""
    for number, value in _fields(data):
        if number == _NODE_INPUT:
            node.inputs.append(_text(value))
        elif number == _NODE_OUTPUT:
            node.outputs.append(_text(value))
        elif number == _NODE_OP:
            op = _text(value)
        elif number == _NODE_ATTRIBUTE:
            _add_attribute(graph, node, value)
    graph.nodes.append(Node(op, node.inputs, node.outputs, node.attributes))
    if op == "Constant" and "value" in node.attributes:
        graph.constants[node.outputs[0]] = np.asarray(node.attributes["value"], np.float64)


def _add_attribute(graph: OnnxGraph, node: Node, data: memoryview) -> None:
    fields = dict(_fields(data))
    name = _text(fields.get(_ATTRIBUTE_NAME, b""))
    if _ATTRIBUTE_TENSOR in fields:
        _, values = _read_tensor(graph, fields[_ATTRIBUTE_TENSOR])
        if values is not None:
            node.attributes[name] = values
    elif _ATTRIBUTE_FLOAT in fields:
        node.attributes[name] = float(np.frombuffer(fields[_ATTRIBUTE_FLOAT], "<f4")[0])
    elif isinstance(fields.get(_ATTRIBUTE_INT), int):
        node.attributes[name] = float(fields[_ATTRIBUTE_INT])


def _add_tensor(graph: OnnxGraph, data: memoryview) -> str:
    name, values = _read_tensor(graph, data)
    if values is not None:
        graph.constants[name] = values
    return name


def _read_tensor(graph: OnnxGraph, data: Any) -> tuple[str, NDArray[np.floating] | None]:
    """Return a tensor's name, and its values where they are few; note the file that holds those of others."""
    name, kind, values = "", 0, None
    for number, value in _fields(data):
        if number == _TENSOR_NAME:
            name = _text(value)
        elif number == _TENSOR_TYPE:
            kind = value
        elif number == _TENSOR_RAW and kind in _TYPES and len(value) <= MOST_VALUES * np.dtype(_TYPES[kind]).itemsize:
            values = np.frombuffer(bytes(value), _TYPES[kind]).astype(np.float64)
        elif number in _TENSOR_DATA and not isinstance(value, int) and len(value) <= 8 * MOST_VALUES:
            values = np.frombuffer(bytes(value), _TENSOR_DATA[number]).astype(np.float64)
        elif number == _TENSOR_EXTERNAL:
            entry = {key: _text(inner) for key, inner in _fields(value)}
            if entry.get(_NAME) == "location":
                graph.external.add(entry.get(_VALUE, ""))
    return name, values


def _text(value: object) -> str:
    return bytes(value).decode(errors="replace") if isinstance(value, bytes | memoryview) else ""


def _fields(data: Any) -> Iterator[tuple[int, Any]]:
    """Give the fields of a message: its number, and an integer or the bytes.

    Raises:
        ValueError, IndexError: it is no message.
    """
    if isinstance(data, int):
        raise ValueError("a number where a message should be")
    view = memoryview(data)
    place = 0
    while place < len(view):
        key, place = _varint(view, place)
        match key & 7:
            case 0:
                value, place = _varint(view, place)
                yield key >> 3, value
                continue
            case 1:
                size = 8
            case 2:
                size, place = _varint(view, place)
            case 5:
                size = 4
            case _:
                raise ValueError("no such wire type")
        if place + size > len(view):
            raise ValueError("it is cut short")
        yield key >> 3, view[place : place + size]
        place += size


def _varint(view: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[place]
        value |= (byte & 0x7F) << shift
        place += 1
        shift += 7
        if byte < 0x80:
            return value, place
        if shift > 63:
            raise ValueError("no number is so long")
