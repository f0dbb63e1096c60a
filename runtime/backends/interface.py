"""What a loaded model takes and gives, read from its tensors and, where the file is one of ours, its metadata.

For models of others, what their tensors do not say is probed in the graph, named by the user, or assumed aloud.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..contract import Layout, Size, ValueRange
from ..errors import ArtefactError, UsageError
from ..metadata import IO, ArtefactMetadata
from .base import Backend, TensorSpec
from .onnx_file import read_graph
from .value_range import probe_input, probe_output

LOGGER = logging.getLogger(__name__)

# For models that do not say it themselves: two strided convolutions, and reflection padding between them.
FOREIGN_MULTIPLE = 4
FOREIGN_MINIMUM = 8
_CHANNELS = (1, 3)


@dataclass(frozen=True)
class Interface:
    """The pictures that a model takes and gives."""

    io: IO  # uint8, or with "float" float32 or float16
    dtype: str  # of the input: "uint8", "float32" or "float16"
    input_channels: int  # 3: RGB, 1: gray
    output_channels: int
    size_multiple: int  # both sides are multiples of this, and no less than the minimum
    size_minimum: int
    size: Size | None  # where they are pinned
    one_by_one: bool  # the batch is pinned to a single picture
    input_range: ValueRange = "-1..1"  # of float values
    output_range: ValueRange = "-1..1"
    input_layout: Layout = "NHWC"
    output_layout: Layout = "NHWC"
    assumed: tuple[str, ...] = ()  # what nothing says, in words


@dataclass(frozen=True)
class _Images:
    """One tensor, read as a batch of images."""

    io: IO
    layout: Layout
    channels: int
    size: Size | None
    one_by_one: bool
    assumed: tuple[str, ...]


class _UnsuitableError(Exception):
    """A tensor that cannot be a batch of images; says why."""


def read_interface(
    backend: Backend,
    metadata: ArtefactMetadata | None,
    path: Path,
    *,
    value_range: ValueRange | None = None,
    layout: Layout | None = None,
) -> Interface:
    """Infer what `backend` takes and gives; metadata adds what tensors cannot tell, and must agree with them.

    Args:
        backend: the open engine.
        metadata: what the file says of itself; None: it is somebody else's.
        path: the file.
        value_range: of a float model of somebody else, in and out; None: as its graph tells, else -1..1.
        layout: of a model of somebody else, in and out; None: as the place of its channels tells.

    Raises:
        ArtefactError: the tensors are no images of 1 or 3 channels, or the metadata says otherwise than they do.
        UsageError: a range or layout is named for a model that says its own.
    """
    if metadata is not None and (value_range or layout):
        raise UsageError(f"{path.name} says its own value range and layout; name none", about=("value_range", "layout"))
    try:
        images_in, images_out = _images(backend.input, "input", layout), _images(backend.output, "output", layout)
        if images_in.io != images_out.io:
            raise _UnsuitableError("one of them is uint8 and the other float")
        _check_sizes(images_in.size, images_out.size)
    except _UnsuitableError as reason:
        raise ArtefactError(
            f"{path} is no image-to-image model that can be run here: it takes {backend.input} and gives "
            f"{backend.output}; {reason}"
        ) from None
    if metadata is not None:
        _check_metadata(backend, metadata, path, images_in, images_out)
        ranges: tuple[ValueRange, ValueRange] = ("-1..1", "-1..1")
        assumed: tuple[str, ...] = ()
    else:
        ranges, assumed = _ranges(backend, path, images_in.io, value_range)
        assumed = (*dict.fromkeys((*images_in.assumed, *images_out.assumed)), *assumed)
    for part in assumed:
        LOGGER.warning("%s does not say everything: %s", path.name, part)
    return Interface(
        io=images_in.io,
        dtype=backend.input.dtype,
        input_channels=images_in.channels,
        output_channels=images_out.channels,
        size_multiple=metadata.size_multiple if metadata else FOREIGN_MULTIPLE,
        size_minimum=metadata.size_minimum if metadata else FOREIGN_MINIMUM,
        size=images_in.size,
        one_by_one=images_in.one_by_one,
        input_range=ranges[0],
        output_range=ranges[1],
        input_layout=images_in.layout,
        output_layout=images_out.layout,
        assumed=assumed,
    )


def _check_sizes(size_in: Size | None, size_out: Size | None) -> None:
    """Raise where an output cannot be a whole enlargement of the input; the engines do not always tell its size."""
    if size_out is None:
        return
    if size_in is None:
        raise _UnsuitableError("the size of the output is pinned and that of the input free")
    factor = size_out[0] // size_in[0]
    if factor < 1 or (factor * size_in[0], factor * size_in[1]) != size_out:
        raise _UnsuitableError("the output has another size; the same, or a whole enlargement, can be run")


def _check_metadata(
    backend: Backend, metadata: ArtefactMetadata, path: Path, images_in: _Images, images_out: _Images
) -> None:
    stated = (metadata.io, metadata.input_channels, metadata.output_channels, metadata.size)
    if stated != (images_in.io, images_in.channels, images_out.channels, images_in.size):
        raise ArtefactError(
            f"{path} is not what its metadata says ({metadata.io}, {metadata.input_channels} to "
            f"{metadata.output_channels} channels, size {metadata.size or 'free'}): it takes {backend.input}; "
            "export the checkpoint again"
        )


def _ranges(
    backend: Backend, path: Path, io: IO, value_range: ValueRange | None
) -> tuple[tuple[ValueRange, ValueRange], tuple[str, ...]]:
    """Return the ranges of input and output, and what of it is assumed."""
    if io == "uint8":
        return ("0..255", "0..255"), ()
    if value_range is not None:
        return (value_range, value_range), ()
    graph = read_graph(path)
    range_in = probe_input(graph, backend.input.name) if graph else None
    range_out = probe_output(graph, backend.output.name) if graph else None
    if range_in and range_out:
        LOGGER.info("%s takes %s and gives %s, as its graph tells", path.name, range_in, range_out)
        return (range_in, range_out), ()
    assumed = range_in or range_out or "-1..1"
    other = "if that is wrong, name a value range: 0..1, 0..255 or -1..1"
    if range_out:
        return (assumed, range_out), (f"it gives {range_out}, so its input is taken for {assumed} too; {other}",)
    if range_in:
        return (range_in, assumed), (f"it takes {range_in}, so its output is taken for {assumed} too; {other}",)
    return (assumed, assumed), (f"its values are taken for {assumed}, in and out; {other}",)


def _images(spec: TensorSpec, side: Literal["input", "output"], layout: Layout | None) -> _Images:
    """Read a tensor as images.

    Raises:
        _UnsuitableError: it cannot be that.
    """
    if spec.dtype not in ("uint8", "float32", "float16"):
        raise _UnsuitableError(f"the {side} holds {spec.dtype}, where uint8, float32 or float16 can be run")
    if len(spec.shape) != 4:
        raise _UnsuitableError(
            f"the {side} has {len(spec.shape)} dimensions, where images have 4: batch, channels, height, width"
        )
    io: IO = "uint8" if spec.dtype == "uint8" else "float"
    layout, assumed = _layout(spec, side, layout, io)
    batch, *rest = spec.shape
    channels, height, width = rest if layout == "NCHW" else (rest[2], rest[0], rest[1])
    if channels not in (*_CHANNELS, None):
        raise _UnsuitableError(f"the {side} has {channels} channels as {layout}, where 1 or 3 can be run")
    if batch not in (None, 1):
        raise _UnsuitableError(f"the batch of the {side} is pinned to {batch}; export it with 1 or a free batch")
    if (height is None) != (width is None):
        pinned, free = ("width", "height") if height is None else ("height", "width")
        raise _UnsuitableError(f"the {pinned} of the {side} is pinned and its {free} free; export both alike")
    size = None if height is None or width is None else (height, width)
    return _Images(io, layout, channels or 3, size, batch == 1, assumed)


def _layout(spec: TensorSpec, side: str, layout: Layout | None, io: IO) -> tuple[Layout, tuple[str, ...]]:
    """Return where the channels are, and what of it is assumed."""
    if layout is not None:
        return layout, ()
    first, last = spec.shape[1] in _CHANNELS, spec.shape[3] in _CHANNELS
    if first != last:
        return ("NCHW" if first else "NHWC"), ()
    assumed: Layout = "NHWC" if io == "uint8" else "NCHW"
    if not first and None not in (spec.shape[1], spec.shape[3]):
        raise _UnsuitableError(
            f"neither dimension 1 nor 3 of the {side} is that of 1 or 3 channels: {spec.shape[1]} and {spec.shape[3]}"
        )
    return assumed, (f"its layout is taken for {assumed}; if that is wrong, name one: NCHW or NHWC",)
