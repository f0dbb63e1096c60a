"""A generator becomes one ONNX file that every engine of the runtime reads and that says what it is."""

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import onnx
import torch
from torch.export import Dim

from ... import __version__
from ...runtime.contract import Size, padded_side
from ...runtime.errors import CheckpointError, UsageError
from ...runtime.files import replacing
from ...runtime.metadata import IO, METADATA_KEY, ArtefactMetadata, SourceCheckpoint
from ...trainer.checkpoints.checkpoint import LoadedGenerator
from ...trainer.networks.build import Generator
from .inference import FloatPrecision, InferenceGenerator

# The widest common denominator: ONNX Runtime's CUDA kernels, INT8 tools and OpenCV read no newer opset in full.
OPSET = 18
# The newest version of the format that every ONNX Runtime which reads the opset also opens.
IR_VERSION = 10


def export_onnx(
    generator: LoadedGenerator,
    path: Path,
    *,
    precision: FloatPrecision = "fp32",
    io: IO = "uint8",
    size: Size | None = None,
) -> ArtefactMetadata:
    """Write `generator` to `path`, in the place of what was there before; returns the metadata of the file.

    Batch, height and width are free unless `size` pins (height, width); the batch stays free.

    Raises:
        UsageError: the network does not take pictures of `size`.
        CheckpointError: the weights are not finite.
        OutputError: the file cannot be written.
    """
    if size is not None:
        check_size(size, generator.network)
    if not all(bool(tensor.isfinite().all()) for tensor in generator.network.state_dict().values()):
        raise CheckpointError(f"the weights of {generator.name} are not finite: training diverged; take an earlier one")
    model = _trace(generator, precision, io, size)
    metadata = _describe(generator, precision, io, size)
    write_onnx(model, metadata, path)
    return metadata


def check_size(size: Size, network: Generator) -> None:
    """Make sure that the network takes pictures of `size`, (height, width) in pixels.

    Raises:
        UsageError: a side is too small or no multiple of the network's total stride; the nearest sizes are named.
    """
    multiple, minimum = network.size_multiple, network.size_minimum
    above = tuple(padded_side(side, multiple, minimum) for side in size)
    if above == size:
        return
    below = tuple(max(side // multiple * multiple, padded_side(minimum, multiple)) for side in size)
    choices = " or ".join(dict.fromkeys(f"{height}x{width}" for height, width in (below, above)))
    raise UsageError(
        f"this generator takes sides that are multiples of {multiple}, from {minimum} on, not {size[0]}x{size[1]}; "
        f"take {choices}",
        about=("size",),
    )


def write_onnx(model: onnx.ModelProto, metadata: ArtefactMetadata, path: Path) -> None:
    """Write a model with its metadata, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    onnx.helper.set_model_props(model, {METADATA_KEY: metadata.to_text()})
    with replacing(path) as partial:
        onnx.save(model, partial)


def source_of(generator: LoadedGenerator) -> SourceCheckpoint:
    """Return what an artefact and its verification say of the checkpoint behind them."""
    return SourceCheckpoint(
        name=generator.name,
        sha256=generator.sha256,
        step=generator.step,
        weights=generator.weights,
        data_direction=generator.config.data.direction,
    )


def _trace(generator: LoadedGenerator, precision: FloatPrecision, io: IO, size: Size | None) -> onnx.ModelProto:
    network = generator.network
    multiple = network.size_multiple
    # Sides that differ from each other and from the smallest: the exporter takes equal or minimal ones for fixed.
    height, width = size or (padded_side(2 * multiple, multiple, network.size_minimum), 3 * multiple)
    sides = {} if size else {"height": multiple * Dim("h"), "width": multiple * Dim("w")}
    if io == "uint8":
        image = torch.zeros(2, height, width, generator.input_nc, dtype=torch.uint8)
        axes = {"batch": 0, "height": 1, "width": 2}
    else:
        image = torch.zeros(2, generator.input_nc, height, width)
        axes = {"batch": 0, "height": 2, "width": 3}
    free = {axes[name]: dimension for name, dimension in ({"batch": Dim("batch")} | sides).items()}
    program = torch.onnx.export(
        InferenceGenerator(network, precision, io).eval(),
        (image,),
        dynamo=True,
        opset_version=OPSET,
        input_names=["image"],
        output_names=["translated"],
        dynamic_shapes=(free,),
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    model.ir_version = min(model.ir_version, IR_VERSION)
    _forget_trace(model.graph)
    onnx.checker.check_model(model, full_check=True)
    return model


def _forget_trace(graph: onnx.GraphProto) -> None:
    """Drop the exporter's notes beside every node: paths and lines of this machine's source files."""
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]


def _describe(generator: LoadedGenerator, precision: FloatPrecision, io: IO, size: Size | None) -> ArtefactMetadata:
    return ArtefactMetadata(
        architecture=generator.config.networks.generator,
        direction=generator.direction,
        io=io,
        precision=precision,
        batch_norm=generator.batch_norm,
        frozen_norm=generator.frozen_norm,
        norm_floor=generator.config.networks.norm_floor,
        input_channels=generator.input_nc,
        output_channels=generator.output_nc,
        size_multiple=generator.network.size_multiple,
        size_minimum=generator.network.size_minimum,
        size=size,
        source=source_of(generator),
        producer={"cyclegan_edge": __version__}
        | {package: version(package) for package in ("torch", "onnx", "onnxscript")},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
