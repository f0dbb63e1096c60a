"""Where an artefact's time goes: each layer that an engine executes, with what it costs by the graph's shapes."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.backends import open_backend
from ...runtime.backends.base import Precision
from ...runtime.backends.engine_file import ENGINE_SUFFIX
from ...runtime.backends.interface import Interface, read_interface
from ...runtime.backends.layer_times import LayerTime, layer_times
from ...runtime.contract import Size, encode, padded_side
from ...runtime.errors import ArtefactError, UsageError
from ...runtime.metadata import parse_metadata
from .costs import PIXELS_IN, NodeCost, count_costs

DEFAULT_SIZE = (256, 256)

# ONNX's operator where an engine calls a layer by a name of its own.
OPERATORS = {
    "Convolution": "Conv",
    "GroupConvolution": "Conv",
    "QLinearConv": "Conv",
    "FusedConv": "Conv",
    "ConvolutionBackpropData": "ConvTranspose",
    "MVN": "InstanceNormalization",
}
KINDS = {
    "Conv": "convolution",
    "ConvTranspose": "convolution",
    "InstanceNormalization": "normalisation",
    "BatchNormalization": "normalisation",
    "Pad": "padding",
}
LAYOUT, OTHER = "layout", "other"
ALL_KINDS = ("convolution", "normalisation", "padding", LAYOUT, OTHER)


@dataclass(frozen=True)
class Layer:
    """One layer as an engine executes it; what it costs is the sum over the nodes of the graph that are fused in it."""

    part: str  # of the network, as `NodeCost` names it
    layer: str
    kind: str  # one of `ALL_KINDS`
    ms: float
    macs: int
    parameters: int
    traffic: int  # bytes


@dataclass(frozen=True)
class Profile:
    """An artefact on one engine and size; the totals are those of the graph, whatever the engine fused."""

    artefact: str
    backend: str
    precision: str
    size: Size  # (height, width)
    runs: int
    ms: float  # a whole run seen from outside, median
    layers_ms: float  # the sum of the layers
    macs: int
    parameters: int
    traffic: int  # bytes
    layers: tuple[Layer, ...]

    def by_part(self) -> dict[str, dict[str, float]]:
        """Return the milliseconds of every part of the network by kind, in the order in which the parts run."""
        parts: dict[str, dict[str, float]] = {}
        for layer in self.layers:
            kinds = parts.setdefault(layer.part, {})
            kinds[layer.kind] = kinds.get(layer.kind, 0.0) + layer.ms
        return parts

    def by_kind(self) -> dict[str, float]:
        """Return the milliseconds of every kind of layer that took any."""
        times = {kind: sum(layer.ms for layer in self.layers if layer.kind == kind) for kind in ALL_KINDS}
        return {kind: ms for kind, ms in times.items() if ms}

    def as_dict(self) -> dict[str, Any]:
        """Return what a program may read."""
        return asdict(self) | {"ms_by_part": self.by_part(), "ms_by_kind": self.by_kind()}


def profile(
    path: Path,
    *,
    backend: str = "auto",
    precision: Precision = "auto",
    size: Size | None = None,
    seconds: float = 3.0,
) -> Profile:
    """Time every layer of an artefact on the CPU, one picture at a time.

    Args:
        path: an ONNX file; any image-to-image model.
        backend: "onnxruntime", "openvino", or "auto" for the one that would translate.
        precision: "auto", "fp32" or "bf16", as `open_backend` takes it.
        size: (height, width) of the picture, by default the artefact's, else 256x256; rounded up to what it takes.
        seconds: how long it runs, though five times at least.

    Raises:
        UsageError: an engine file, or a size other than the one that the artefact is pinned to.
        ArtefactError, BackendError: it cannot be loaded, run or counted.
    """
    if path.suffix.lower() == ENGINE_SUFFIX:
        raise UsageError(f"{path} does not tell its layers' times; profile the ONNX file that it was built from")
    with closing(open_backend(path, backend=backend, device="cpu", precision=precision)) as opened:
        interface = read_interface(opened, parse_metadata(opened.properties, path), path)
    if interface.size and size not in (None, interface.size):
        raise UsageError(f"{path} takes {interface.size[0]}x{interface.size[1]} only; take that size", about=("size",))
    height, width = (
        padded_side(side, interface.size_multiple, interface.size_minimum)
        for side in size or interface.size or DEFAULT_SIZE
    )
    batch = _noise(interface, height, width)
    costs = count_costs(path, batch.shape)
    timing = layer_times(path, batch, backend=opened.name, precision=precision, seconds=seconds)
    layers_ms = sum(layer.ms for layer in timing.layers)
    if not layers_ms:
        raise ArtefactError(f"{path} computes nothing that takes {opened.name} time; profile another model")
    return Profile(
        artefact=path.name,
        backend=opened.name,
        precision=opened.precision,
        size=(height, width),
        runs=timing.runs,
        ms=timing.ms,
        layers_ms=layers_ms,
        macs=sum(cost.macs for cost in costs),
        parameters=sum(cost.parameters for cost in costs),
        traffic=sum(cost.traffic for cost in costs),
        layers=tuple(_layers(timing.layers, costs)),
    )


def _noise(interface: Interface, height: int, width: int) -> NDArray[Any]:
    """Make one picture of noise in the form that the model takes."""
    shape = (1, height, width, interface.input_channels)
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    if interface.io == "float":
        values = encode(picture, value_range=interface.input_range, layout=interface.input_layout)
        return values.astype(interface.dtype)
    return picture if interface.input_layout == "NHWC" else picture.transpose(0, 3, 1, 2)


def _layers(times: tuple[LayerTime, ...], costs: list[NodeCost]) -> Iterator[Layer]:
    """Give every executed layer the nodes that it computes.

    Engines keep some names and make up others; a convolution or norm without a name of the graph is the next one of its
    operator, because both stand in the order in which they run.
    """
    named = {name: cost for cost in costs for name in (cost.name, *cost.outputs)}
    left = list(costs)
    part = PIXELS_IN
    for time in times:
        nodes = [named[name] for name in dict.fromkeys(time.names) if name in named and named[name] in left]
        operator = OPERATORS.get(time.kind, time.kind)
        if operator in KINDS and not any(node.operator == operator for node in nodes):
            nodes = [*[node for node in left if node.operator == operator][:1], *nodes]
        left = [node for node in left if node not in nodes]
        part = nodes[0].part if nodes else part
        yield Layer(
            part=part,
            layer=" + ".join(node.layer for node in nodes) or time.kind,
            kind=KINDS.get(operator, OTHER if nodes else LAYOUT),
            ms=time.ms,
            macs=sum(node.macs for node in nodes),
            parameters=sum(node.parameters for node in nodes),
            traffic=sum(node.traffic for node in nodes),
        )
