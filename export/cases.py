"""What an artefact is verified with: frames of several kinds and sizes, and PyTorch's translation of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..runtime.contract import Picture, decode, encode, padded_side
from ..runtime.metadata import ArtefactMetadata
from ..trainer.checkpoint import LoadedGenerator
from ..trainer.pictures import Pixels, read_pixels, resize
from .graph import InferenceGenerator
from .onnx_export import Size

NUM_PICTURES = 4


@dataclass(frozen=True)
class Case:
    """Frames of one kind and size, uint8 [N, H, W, C], and what PyTorch makes of each by itself.

    `values` are float32 [N, C, H, W] in [-1, 1], as tanh gives them; `expected` are those as uint8 [N, H, W, C].
    """

    kind: str
    frames: Picture
    values: NDArray[np.float32]
    expected: Picture


def make_cases(metadata: ArtefactMetadata, generator: LoadedGenerator, pictures: list[Pixels]) -> Iterator[Case]:
    """Make noise, a gradient, constant frames and frames of `pictures`, at two sizes, or the one that is pinned."""
    reference = InferenceGenerator(generator.network, io="float")
    side = padded_side(generator.config.data.crop_size, metadata.size_multiple, metadata.size_minimum)
    sizes = [metadata.size] if metadata.size else [(side, side), (side, side + metadata.size_multiple)]
    for size in sizes:
        for kind, frames in _frames(size, metadata.input_channels, pictures).items():
            singly: list[NDArray[Any]] = [reference.translate(encode(frame[None])) for frame in frames]
            values = np.concatenate(singly)
            yield Case(kind, frames, values, decode(values))


def read_pictures(
    paths: Sequence[Path], channels: int, most: int = NUM_PICTURES
) -> tuple[dict[str, Pixels], list[str]]:
    """Read the first pictures that can be read; returns them by file name, and what must be said about the others."""
    readable: dict[str, Pixels] = {}
    notes: list[str] = []
    for path in paths:
        if len(readable) == most:
            break
        try:
            readable[path.name] = read_pixels(path, channels)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            notes.append(f"{path} is no readable picture ({error})")
    return readable, notes


def _frames(size: Size, channels: int, pictures: list[Pixels]) -> dict[str, Picture]:
    """Make an even number of frames of each kind, uint8 [N, H, W, C]."""
    height, width = size
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (2, height, width, channels), dtype=np.uint8)
    colours = random.integers(0, 256, (2, 1, 1, channels), dtype=np.uint8)
    ramps = np.meshgrid(np.linspace(0, 255, height), np.linspace(255, 0, width), indexing="ij")
    gradient = np.rint(np.repeat(np.stack(ramps)[..., None], channels, axis=-1)).astype(np.uint8)
    frames = {"noise": noise, "gradient": gradient, "constant": np.broadcast_to(colours, noise.shape).copy()}
    if pictures:
        resized = [np.rint(resize(picture, (width, height))).astype(np.uint8) for picture in pictures]
        frames["pictures"] = np.stack(list(islice(cycle(resized), NUM_PICTURES)))
    return frames
