"""What a loaded model takes and gives, read from its tensors and, where the file is one of ours, its metadata."""

from dataclasses import dataclass
from pathlib import Path

from ..contract import Size
from ..errors import ArtefactError
from ..metadata import IO, ArtefactMetadata
from .base import Backend, TensorSpec

# For models that do not say it themselves: two strided convolutions, and reflection padding between them.
FOREIGN_MULTIPLE = 4
FOREIGN_MINIMUM = 8


@dataclass(frozen=True)
class Interface:
    """The pictures that a model takes: uint8 [N, H, W, C], or with `io` "float" [N, C, H, W] in [-1, 1]."""

    io: IO
    dtype: str  # of the input: "uint8", "float32" or "float16"
    input_channels: int  # 3: RGB, 1: gray
    output_channels: int
    size_multiple: int  # both sides are multiples of this, and no less than the minimum
    size_minimum: int
    size: Size | None  # (height, width) where they are pinned
    one_by_one: bool  # the batch is pinned to a single picture


@dataclass(frozen=True)
class _Images:
    """One tensor, read as a batch of images."""

    io: IO
    channels: int
    size: Size | None
    one_by_one: bool


def read_interface(backend: Backend, metadata: ArtefactMetadata | None, path: Path) -> Interface:
    """Infer what `backend` takes and gives; metadata adds what tensors cannot tell, and must agree with them.

    Raises:
        ArtefactError: the tensors are no images of 1 or 3 channels, or the metadata says otherwise than they do.
    """
    taken, given = _images(backend.input), _images(backend.output)
    if taken is None or given is None or taken.io != given.io or taken.size != given.size:
        raise ArtefactError(
            f"{path} is no image-to-image model that can be run here: it takes {backend.input} and gives "
            f"{backend.output}, where one image of 1 or 3 channels must come and go, as uint8 [N, H, W, C] or float "
            "[N, C, H, W], at the same size"
        )
    if metadata is not None:
        told = (metadata.io, metadata.input_channels, metadata.output_channels, metadata.size)
        if told != (taken.io, taken.channels, given.channels, taken.size):
            raise ArtefactError(
                f"{path} is not what its metadata says ({metadata.io}, {metadata.input_channels} to "
                f"{metadata.output_channels} channels, size {metadata.size or 'free'}): it takes {backend.input}; "
                "export the checkpoint again"
            )
    return Interface(
        io=taken.io,
        dtype=backend.input.dtype,
        input_channels=taken.channels,
        output_channels=given.channels,
        size_multiple=metadata.size_multiple if metadata else FOREIGN_MULTIPLE,
        size_minimum=metadata.size_minimum if metadata else FOREIGN_MINIMUM,
        size=taken.size,
        one_by_one=taken.one_by_one,
    )


def _images(spec: TensorSpec) -> _Images | None:
    """Read a tensor as images; None where it cannot be that."""
    if len(spec.shape) != 4:
        return None
    io: IO
    if spec.dtype == "uint8":
        io, (batch, height, width, channels) = "uint8", spec.shape
    elif spec.dtype in ("float32", "float16"):
        io, (batch, channels, height, width) = "float", spec.shape
    else:
        return None
    if channels not in (1, 3) or batch not in (None, 1) or (height is None) != (width is None):
        return None
    size = None if height is None or width is None else (height, width)
    return _Images(io, channels, size, one_by_one=batch == 1)
