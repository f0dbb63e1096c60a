"""The values that a model of others works in, as far as its graph tells.

A model that divides by 255 first takes 0..255, and one that ends in a Sigmoid gives 0..1. Only operations that keep the
pixels apart are followed: constants that are added or multiplied, and those that move or round values.
"""

from dataclasses import dataclass
from typing import get_args

import numpy as np

from ..contract import ValueRange
from .onnx_file import Node, OnnxGraph

BOUNDS: dict[ValueRange, tuple[float, float]] = {"-1..1": (-1, 1), "0..1": (0, 1), "0..255": (0, 255)}

_KEEPING = frozenset({"Identity", "Cast", "Transpose", "Squeeze", "Unsqueeze", "Reshape", "Round", "Floor", "Slice"})
_BOUNDED = {"Tanh": (-1.0, 1.0), "Softsign": (-1.0, 1.0), "Sigmoid": (0.0, 1.0), "HardSigmoid": (0.0, 1.0)}
_LONGEST = 32  # operations that are followed


@dataclass(frozen=True)
class _Line:
    """v = scale · u + offset."""

    scale: float = 1.0
    offset: float = 0.0

    def of(self, low: float, high: float) -> tuple[float, float]:
        """Return where an interval goes."""
        ends = self.scale * low + self.offset, self.scale * high + self.offset
        return min(ends), max(ends)

    def after(self, first: "_Line") -> "_Line":
        """Return this line of what `first` gives."""
        return _Line(self.scale * first.scale, self.scale * first.offset + self.offset)


def probe_output(graph: OnnxGraph, name: str) -> ValueRange | None:
    """Return the range of an output; None where the graph does not tell."""
    line = _Line()
    for _ in range(_LONGEST):
        node = graph.maker(name)
        if node is None:
            return None
        bounds = _clip(graph, node) or _BOUNDED.get(node.op)
        if bounds:
            return _known(line.of(*bounds))
        step = _step(graph, node)
        if step is None:
            return None
        line, name = line.after(step[0]), step[1]
    return None


def probe_input(graph: OnnxGraph, name: str) -> ValueRange | None:
    """Return the range that an input expects: the one that the first operations bring close to [-1, 1] or [0, 1]."""
    line = _Line()
    for _ in range(_LONGEST):
        users = graph.users(name)
        if len(users) != 1:
            break
        bounds = _clip(graph, users[0])
        if bounds and line == _Line():
            return _known(bounds)
        step = _step(graph, users[0])
        if step is None or step[1] != name:
            break
        line, name = step[0].after(line), users[0].outputs[0]
    return None if line == _Line() else _expected(line)


def _expected(line: _Line) -> ValueRange | None:
    """Return the range whose image is of the size of one, and lies the most evenly about zero."""
    images = {name: line.of(*BOUNDS[name]) for name in get_args(ValueRange)}
    fitting = {name: image for name, image in images.items() if 0.5 <= image[1] - image[0] <= 8}
    if fitting:
        evenness = {name: abs(low + high) / (high - low) for name, (low, high) in fitting.items()}
        return min(evenness, key=lambda name: evenness[name])
    return "0..255" if abs(line.offset) > 2 else None  # only a mean is taken off, as early networks do


def _known(bounds: tuple[float, float]) -> ValueRange | None:
    for name, (low, high) in BOUNDS.items():
        if abs(bounds[0] - low) <= 0.02 * high and abs(bounds[1] - high) <= 0.02 * high:
            return name
    return None


def _clip(graph: OnnxGraph, node: Node) -> tuple[float, float] | None:
    """Return the bounds of a Clip; old ones have them as attributes, newer ones as inputs."""
    if node.op != "Clip":
        return None
    ends = []
    for place, attribute in ((1, "min"), (2, "max")):
        value = node.attributes.get(attribute)
        if value is None and len(node.inputs) > place:
            value = graph.constants.get(node.inputs[place])
        if value is None or np.size(value) != 1:
            return None
        ends.append(float(np.ravel(value)[0]))
    return ends[0], ends[1]


def _step(graph: OnnxGraph, node: Node) -> tuple[_Line, str] | None:
    """Return a node as a line of one of its inputs, and that input; None where it is none."""
    if not node.inputs:
        return None
    if node.op in _KEEPING:
        return _Line(), node.inputs[0]
    if node.op not in ("Add", "Sub", "Mul", "Div") or len(node.inputs) != 2:
        return None
    left, right = node.inputs
    first, second = graph.constants.get(left), graph.constants.get(right)
    if (first is None) == (second is None):
        return None
    constant = float(np.mean([value for value in (first, second) if value is not None]))
    match node.op, second is not None:
        case "Add", swapped:
            return _Line(1, constant), left if swapped else right
        case "Mul", swapped:
            return _Line(constant, 0), left if swapped else right
        case "Sub", True:
            return _Line(1, -constant), left
        case "Sub", False:
            return _Line(-1, constant), right
        case "Div", True if constant:
            return _Line(1 / constant, 0), left
    return None
