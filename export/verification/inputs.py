"""What an artefact is verified with: frames of several kinds and sizes, and PyTorch's translation of each."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.backends.engine_file import OptimizationProfile
from ...runtime.contract import Picture, Size, decode, encode, padded_side
from ...runtime.metadata import ArtefactMetadata
from ...trainer.checkpoints.checkpoint import LoadedGenerator
from ...trainer.data.pictures import Pixels, resize
from ..graph.inference import InferenceGenerator

BATCHES = (1, 2)
BRIEF = 64  # side of the one frame for an engine that takes minutes
LARGEST = 1024  # side in pixels of the largest input, which costs PyTorch and each engine seconds


@dataclass(frozen=True)
class VerificationInput:
    """Frames of one kind and size, uint8 [N, H, W, C], and what PyTorch makes of each by itself.

    `values` are float32 [N, C, H, W] in [-1, 1], as tanh gives them; `expected` are those as uint8 [N, H, W, C]. N is a
    multiple of each of `batches`, the batches to be compared, the smallest first.
    """

    kind: str
    frames: Picture
    values: NDArray[np.float32]
    expected: Picture
    batches: tuple[int, ...]

    @property
    def deviation(self) -> float:
        """The largest standard deviation of a channel in one of PyTorch's translations, in steps of 1/255."""
        return float(self.expected.std(axis=(1, 2)).max())


@dataclass(frozen=True)
class _Shape:
    """A size (height, width) to verify at, in which batches, and whether with one frame only."""

    size: Size
    batches: tuple[int, ...]
    one_frame: bool = False


def make_inputs(
    metadata: ArtefactMetadata,
    generator: LoadedGenerator,
    pictures: list[Pixels],
    profile: OptimizationProfile | None = None,
    *,
    brief: bool = False,
) -> Iterator[VerificationInput]:
    """Make noise, a gradient, nearly constant frames and frames of `pictures`, at every size of a verification.

    An engine is verified at the sizes and batches of its `profile`, an ONNX file at the one that is pinned, or at three
    around the size that the network was trained at. The largest size gets one frame. `brief` gives one small frame.
    """
    reference = InferenceGenerator(generator.network, io="float")
    side = padded_side(generator.config.data.crop_size, metadata.size_multiple, metadata.size_minimum)
    shapes = _engine_shapes(profile) if profile else _shapes(metadata, side)
    if brief:
        small = padded_side(min(side, BRIEF), metadata.size_multiple, metadata.size_minimum)
        shapes = iter([_Shape(metadata.size or (small, small), BATCHES[:1], one_frame=True)])
    for shape in shapes:
        for kind, frames in _frames(shape, metadata.input_channels, pictures).items():
            singly: list[NDArray[Any]] = [reference.translate(encode(frame[None])) for frame in frames]
            # Frames are repeated until every batch size divides their number.
            multiple = math.lcm(*shape.batches)
            repeated = np.arange(-(-len(frames) // multiple) * multiple) % len(frames)
            values = np.concatenate(singly)[repeated]
            yield VerificationInput(kind, frames[repeated], values, decode(values), shape.batches)


def _shapes(metadata: ArtefactMetadata, side: int) -> Iterator[_Shape]:
    """Give the pinned size; else those around `side`, and a square of twice that: faults may come with size alone."""
    if metadata.size:
        yield _Shape(metadata.size, BATCHES)
        return
    yield _Shape((side, side), BATCHES)
    yield _Shape((side, side + metadata.size_multiple), BATCHES)
    larger = padded_side(min(2 * side, LARGEST), metadata.size_multiple, metadata.size_minimum)
    if larger > side:
        yield _Shape((larger, larger), BATCHES[:1], one_frame=True)


def _engine_shapes(profile: OptimizationProfile) -> Iterator[_Shape]:
    """Give the min, opt and max size, each in the smallest and the largest batch."""
    shapes = (profile.min, profile.opt, profile.max)
    least, usual, most = ((height, width) for _, height, width in shapes)
    batches = tuple(dict.fromkeys(batch for batch, *_ in shapes))
    for size in dict.fromkeys((least, usual)):
        yield _Shape(size, batches)
    if most not in (least, usual):
        yield _Shape(most, batches, one_frame=True)


def _frames(shape: _Shape, channels: int, pictures: list[Pixels]) -> dict[str, Picture]:
    """Make frames of each kind, uint8 [N, H, W, C], no two of them alike; or one, of a picture if there is any."""
    height, width = shape.size
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (2, height, width, channels), dtype=np.uint8)
    if shape.one_frame:
        return {"pictures": _resized(pictures[:1], shape.size)} if pictures else {"noise": noise[:1]}
    colour = np.broadcast_to(random.integers(0, 256, channels, dtype=np.uint8), noise.shape[1:])
    covered = random.integers(0, 2, noise.shape[1:], dtype=np.uint8)  # a covered lens: black, and noise of one step
    ramps = np.meshgrid(np.linspace(0, 255, height), np.linspace(255, 0, width), indexing="ij")
    gradient = np.rint(np.repeat(np.stack(ramps)[..., None], channels, axis=-1)).astype(np.uint8)
    frames = {"noise": noise, "gradient": gradient, "constant": np.stack([colour, covered])}
    return frames | ({"pictures": _resized(pictures, shape.size)} if pictures else {})


def _resized(pictures: list[Pixels], size: Size) -> Picture:
    height, width = size
    return np.stack([np.rint(resize(picture, (width, height))).astype(np.uint8) for picture in pictures])
