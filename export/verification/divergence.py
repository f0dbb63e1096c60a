"""The first layer at which an artefact differs from PyTorch, found by comparing the activations between layers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import Tensor, nn

from ...runtime.backends.base import Precision
from ...runtime.contract import Picture, encode
from ...trainer.checkpoints.checkpoint import LoadedGenerator
from ...trainer.networks.layers import InstanceNorm, Tanh
from ..artefact import Artefact
from ..graph.affine_norm import AffineInstanceNorm
from ..graph.inference import InferenceGenerator
from .intermediate import open_at
from .report import Divergence

OPERATORS: dict[type[nn.Module], str] = {
    nn.Conv2d: "Conv",
    nn.ConvTranspose2d: "ConvTranspose",
    InstanceNorm: "InstanceNormalization",
    AffineInstanceNorm: "InstanceNormalization",
    nn.ReLU: "Relu",
    nn.LeakyReLU: "LeakyRelu",
    Tanh: "Tanh",
}

# The largest relative deviation behind any layer that rounding alone explains.
TOLERANCES = {"fp32": 1e-3, "fp16": 2e-2, "bf16": 8e-2, "int8": 0.3}

Values = NDArray[np.floating[Any]]


def find_divergence(
    artefact: Artefact, generator: LoadedGenerator, picture: Picture, *, backend: str, precision: str
) -> Divergence:
    """Find by bisection a layer that deviates while the one before it does not; `picture` is [1, H, W, C].

    Every probe is the artefact's own graph, in the engine that missed the gate, with another layer as its output.
    """
    model, metadata = artefact.model, artefact.metadata
    assert model is not None, "an engine file shows no layers"
    expected = _intermediates(generator, picture)
    nodes = [node for node in model.graph.node if node.op_type in OPERATORS.values()]
    # INT8 leaves out a Relu where the quantisation behind it cuts off what is negative.
    layers = _pair(expected, [node.op_type for node in nodes]) if len(nodes) <= len(expected) else None
    if layers is None:
        counts = f"{len(nodes)} and {len(expected)}"
        return _unknown(backend, precision, f"the graph has other layers than PyTorch's network ({counts})")
    tolerance = tolerance_of(metadata.precision, precision)
    engine_precision: Precision = "bf16" if precision == "bf16" else "fp32"
    batch = picture if metadata.io == "uint8" else encode(picture)
    deviations: dict[int, float] = {}

    def deviates(index: int) -> bool:
        activation = _probe(model, nodes[index].output[0], batch, backend, engine_precision)
        deviations[index] = _relative(activation, layers[index][1])
        return not deviations[index] <= tolerance

    if not deviates(len(nodes) - 1):
        agreed = "every layer agrees" if tolerance < 0.01 else f"no layer is off by more than {tolerance:.0%}"
        cause = "it is" if tolerance < 0.01 else "rounding adds up, or it is"
        return _unknown(backend, precision, f"{agreed}, so {cause} the way from the last one to the pixels")
    good, bad = -1, len(nodes) - 1
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (good, middle) if deviates(middle) else (middle, bad)
    return Divergence(
        engine=backend,
        precision=precision,
        layer=layers[bad][0],
        node=nodes[bad].name,
        deviation=deviations[bad],
        deviation_before=deviations.get(good),
    )


def tolerance_of(artefact: str, engine: str) -> float:
    """Return the relative deviation that the coarser of two precisions explains: the artefact's and the engine's."""
    return max(TOLERANCES[artefact], TOLERANCES.get(engine, 0.0))


def only_batches(batches: Sequence[int], backend: str, precision: str) -> Divergence:
    """Say that every picture passed by itself, so that there is no layer to be found with one."""
    sizes = ", ".join(map(str, batches))
    what = f"single pictures pass and batches of {sizes} miss, so pictures are mixed there"
    return _unknown(backend, precision, what)


def _unknown(backend: str, precision: str, what: str) -> Divergence:
    """Say in words what is known where no single layer is to blame."""
    return Divergence(engine=backend, precision=precision, layer=what, node="", deviation=None, deviation_before=None)


def _intermediates(generator: LoadedGenerator, picture: Picture) -> list[tuple[str, str, Values]]:
    """Return every layer of PyTorch's network in the order it runs: its name, its operator and what it gives."""
    network = InferenceGenerator(generator.network)
    activations: list[tuple[str, str, Values]] = []

    def note(name: str, operator: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            # A ReLU may work in place, on the output of the layer before: keep a copy.
            activations.append((name, operator, output.detach().float().numpy().copy()))

        return hook

    def replace(module: nn.Module, inputs: Any, output: Tensor) -> None:
        name, operator, _ = activations[-1]  # the exporter folds BatchNorm into the convolution before it
        activations[-1] = (name, operator, output.detach().float().numpy().copy())

    for name, module in network.generator.named_modules():
        operator = next((operator for kind, operator in OPERATORS.items() if isinstance(module, kind)), None)
        if operator is not None:
            module.register_forward_hook(note(name, operator))
        elif isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(replace)
    network.translate(picture)
    return activations


def _pair(expected: list[tuple[str, str, Values]], operators: list[str]) -> list[tuple[str, Values]] | None:
    """Give each node its layer; layers without a node may be left out, but none may be of another kind."""
    pairs: list[tuple[str, Values]] = []
    rest = iter(expected)
    for operator in operators:
        layer = next((layer for layer in rest if layer[1] == operator), None)
        if layer is None:
            return None
        pairs.append((f"{layer[0]} ({operator})", layer[2]))
    return pairs


def _probe(model: onnx.ModelProto, output: str, batch: NDArray[Any], backend: str, precision: Precision) -> Values:
    """Run the graph up to one of its tensors."""
    with open_at(model, output, backend=backend, precision=precision) as opened:
        values: Values = opened.infer(batch).astype(np.float32)
    return values


def _relative(activation: Values, expected: Values) -> float:
    """Return the RMS of the difference over the RMS of what is expected; infinite where the shapes differ."""
    if activation.shape != expected.shape:
        return float("inf")
    rms = float(np.sqrt(np.square(expected).mean())) or 1.0
    return float(np.sqrt(np.square(activation - expected).mean())) / rms
