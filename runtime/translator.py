"""A picture in, its translation of the same size out.

>>> translator = load("flat2three-AtoB-fp16.onnx")
>>> picture = translator(rgb)  # uint8 [H, W, 3] in RGB order, both ways
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import cv2
import numpy as np

from .backends import open_backend
from .backends.base import Backend
from .backends.interface import read_interface
from .contract import Layout, Picture, Size, ValueRange, decode, encode, to_8_bits
from .errors import ArtefactError
from .fitting.modes import Fit, choose_fitting, resize, with_channels
from .fitting.tiles import choose_tile, translate_tiled
from .metadata import parse_metadata

if TYPE_CHECKING:
    from .pipeline.run import Policy
    from .pipeline.stream import Stream
    from .temporal.smoothing import Smoothing

__all__ = ["Fit", "LoadOptions", "Translator", "load"]

LOGGER = logging.getLogger(__name__)


def load(
    path: str | Path,
    *,
    device: str = "auto",
    backend: str = "auto",
    fit: Fit = "native",
    size: Size | None = None,
    scale: float | None = None,
    tile: int | None = None,
    live: bool = False,
    value_range: ValueRange | None = None,
    layout: Layout | None = None,
    output_name: str | None = None,
) -> "Translator":
    """Load an exported model, of ours or any other ONNX model with one image in and one of the same size out.

    What a model of somebody else does not say of itself is probed in its graph, else assumed, and logged.

    Args:
        path: the artefact.
        device: "auto", "cpu", "cuda" or "cuda:1".
        backend: "auto", "openvino" or "onnxruntime".
        fit: "native" translates at the picture's own size, "stretch" resizes to `size` and back, "letterbox" does so
            with its shape kept, "crop" takes the middle only; see `fitting`.
        size: (height, width) for all but "native"; where the artefact pins its size, it can be left out.
        scale: between 0 and 1: translate a smaller copy, and bring it back along its edges; see `guided_filter`.
        tile: side in pixels of the tiles that larger pictures are translated in; see `tiles` for what that costs.
        live: for a camera or stream: between two frames the engine's threads leave the processor to its capture.
        value_range: of a float model of somebody else: "-1..1", "0..1" or "0..255", in and out.
        layout: of a model of somebody else: "NCHW" or "NHWC", in and out.
        output_name: of a model with several outputs: the one to use.

    Raises:
        UsageError: an unknown name, or a size, scale or tile that does not go with the model or the fit.
        ArtefactError: the file is missing, damaged, of a newer schema, or no image-to-image model.
        BackendError: the engine is not installed, or cannot run on that device.
    """
    opened = open_backend(path, backend=backend, device=device, live=live, output=output_name)
    LOGGER.info("%s runs in %s on %s, precision %s", Path(path).name, opened.name, opened.device, opened.precision)
    return Translator(
        opened,
        Path(path),
        fit=fit,
        size=size,
        scale=scale,
        tile=tile,
        value_range=value_range,
        layout=layout,
    )


@dataclass(frozen=True)
class LoadOptions:
    """The options of `load` that a user chooses, as one value."""

    device: str = "auto"
    backend: str = "auto"
    fit: Fit = "native"
    size: Size | None = None
    scale: float | None = None
    tile: int | None = None
    value_range: ValueRange | None = None
    layout: Layout | None = None
    output_name: str | None = None

    def load(self, path: Path, *, live: bool = False) -> "Translator":
        """Load a model; raises what `load` raises."""
        return load(path, **vars(self), live=live)

    def of_pixels(self) -> dict[str, object]:
        """Return the options that decide the pixels of a result: all but the engine and its device."""
        options = {name: value for name, value in vars(self).items() if name not in ("backend", "device")}
        later = ("value_range", "layout", "output_name")  # not yet there when the first manifests were written
        return {name: value for name, value in options.items() if name not in later or value is not None}


class Translator:
    """Translates RGB pictures of any size; each comes out at the size it came in, unless cropping is asked for.

    `translator(picture)` does it all. Its three stages stand apart as well, so that a pipeline can run each in a thread
    of its own: `prepare` one picture, `infer` a batch of prepared pictures of one size, `finish` one result.

    A model of one channel is given the picture's luma, and its gray result comes back as three equal channels. An alpha
    channel passes by the model and comes out as it was. Pictures of 16 bits keep them through models of float input
    and output; to others they are given in 8 bits, and come out so.
    """

    def __init__(
        self,
        backend: Backend,
        path: Path,
        *,
        fit: Fit = "native",
        size: Size | None = None,
        scale: float | None = None,
        tile: int | None = None,
        value_range: ValueRange | None = None,
        layout: Layout | None = None,
    ) -> None:
        """Take an engine that is open; for the rest see `load`."""
        self.backend = backend
        self.path = path
        self.metadata = parse_metadata(backend.properties, path)
        self._interface = read_interface(backend, self.metadata, path, value_range=value_range, layout=layout)
        self._enlargement = 1  # known once the model has run
        self._is_depth_reported = False
        self._tile = choose_tile(self._interface, path, tile)
        self._fitting = choose_fitting(self._interface, path, fit, size, scale, self._tile)

    @property
    def size(self) -> Size | None:
        """The one (height, width) that the model takes; None where it takes any."""
        return self._interface.size

    def __call__(self, picture: Picture) -> Picture:
        """Translate one picture, uint8 or uint16 [H, W, 3], or [H, W, 4] with alpha.

        Raises:
            TypeError, ValueError: this is no such array.
            UsageError: the model is pinned to another size and does not stretch.
            BackendError: the engine failed.
        """
        prepared = self.prepare(picture)
        return self.finish(self.infer(prepared[None])[0], picture)

    def translate_batch(self, pictures: Picture) -> Picture:
        """Translate pictures of one size together, uint8 [N, H, W, 3]; raises what a single call raises."""
        if not isinstance(pictures, np.ndarray) or pictures.ndim != 4:
            shape = getattr(pictures, "shape", type(pictures).__name__)
            raise ValueError(f"a batch is uint8 [N, H, W, 3] in RGB order; this is {shape}")
        translated = self.infer(np.stack([self.prepare(picture) for picture in pictures]))
        return np.stack([self.finish(result, picture) for result, picture in zip(translated, pictures, strict=True)])

    def prepare(self, picture: Picture) -> Picture:
        """Turn a picture [H, W, 3 or 4] into the [H', W', C] that the model can take, uint8 or uint16."""
        _check(picture)
        picture = picture[..., :3]
        if self._interface.io == "uint8" and picture.dtype == np.uint16:
            if not self._is_depth_reported:
                self._is_depth_reported = True
                LOGGER.warning(
                    "%s takes 8 bits a channel, so what has more is translated and written in 8; a model of float "
                    "input and output keeps them",
                    self.path.name,
                )
            picture = to_8_bits(picture)
        if self._interface.input_channels == 1:
            picture = _luma(picture)
        return self._fitting.apply(picture)

    def infer(self, batch: Picture) -> Picture:
        """Run the model on prepared pictures, [N, H', W', C] to [N, H', W', C'] of the same type.

        Raises:
            ArtefactError: the model changes the size, and not by a whole factor.
            BackendError: the engine failed.
        """
        if self._tile is None:
            return self._translate(batch)
        multiple = self._interface.size_multiple
        return np.stack([translate_tiled(picture, self._translate, self._tile, multiple) for picture in batch])

    def _translate(self, batch: Picture) -> Picture:
        if self._interface.one_by_one:
            translated = np.concatenate([self._run(picture) for picture in np.split(batch, len(batch))])
        else:
            translated = self._run(batch)
        (taken_height, taken_width), (height, width) = batch.shape[1:3], translated.shape[1:3]
        self._enlargement = max(1, height // taken_height)
        if (height, width) != (self._enlargement * taken_height, self._enlargement * taken_width):
            raise ArtefactError(
                f"{self.path} gives {height}x{width} for {taken_height}x{taken_width}; only models that keep the size, "
                "or enlarge it by a whole factor, can be run"
            )
        return translated

    def finish(self, translated: Picture, original: Picture) -> Picture:
        """Turn the model's [H', W', C'] into a picture of the original's size, with its alpha if it has one."""
        if self._enlargement > 1:
            original = resize(original, (self._enlargement * original.shape[0], self._enlargement * original.shape[1]))
        colours = original[..., :3]
        picture = self._fitting.undo(translated, _luma(colours) if self._interface.input_channels == 1 else colours)
        if self._interface.output_channels == 1:
            picture = with_channels(cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB))
        if original.shape[2] == 4:
            alpha = self._fitting.region(original)[..., 3:]
            picture = np.concatenate([picture, alpha if picture.dtype == alpha.dtype else to_8_bits(alpha)], axis=2)
        return np.ascontiguousarray(picture)

    def stream(
        self,
        source: str | Path | int | Iterable[Picture],
        sink: str | Path | Sequence[str | Path] = (),
        *,
        policy: "Policy" = "auto",
        batch_size: int = 1,
        smooth: "Smoothing | None" = None,
        skip_similar: float | None = None,
        overwrite: bool = False,
    ) -> "Stream":
        """Translate a video, camera or stream, frame by frame for a loop, into files, or both.

        Args:
            source: what `cyclegan translate -i` takes, but no folder: "clip.mp4", 0, "rtsp://…", "frames_%05d.png"; or
                any iterable of pictures, uint8 [H, W, 3].
            sink: what `-o` takes, one or several, but no window.
            policy: "lossless" keeps every frame, "latest" gives the newest; "auto" chooses by the source.
            batch_size: how many frames are translated together.
            smooth: "ema", "gated" or "flow" steadies a video; see `temporal`.
            skip_similar: frames at least so similar, in dB PSNR, to the last translated are given its translation.
            overwrite: replace files that exist.

        Raises:
            UsageError, InputError, OutputError: the source or a sink cannot be opened.
        """
        from .pipeline.stream import Stream

        return Stream(
            self,
            source,
            sink,
            policy=policy,
            batch_size=batch_size,
            smooth=smooth,
            skip_similar=skip_similar,
            overwrite=overwrite,
        )

    def close(self) -> None:
        """Free the engine; the translator is not used again."""
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, batch: Picture) -> Picture:
        interface = self._interface
        if interface.io == "uint8":
            planes = batch.transpose(0, 3, 1, 2) if interface.input_layout == "NCHW" else batch
            pixels = self.backend.infer(np.ascontiguousarray(planes))
            return pixels.transpose(0, 2, 3, 1) if interface.output_layout == "NCHW" else pixels
        values = encode(batch, value_range=interface.input_range, layout=interface.input_layout)
        return decode(
            self.backend.infer(values.astype(interface.dtype)),
            batch.dtype,
            value_range=interface.output_range,
            layout=interface.output_layout,
        )


def _luma(picture: Picture) -> Picture:
    return with_channels(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))


def _check(picture: Picture) -> None:
    """Refuse what is no picture."""
    wanted = "uint8 [H, W, 3] in RGB order"
    if not isinstance(picture, np.ndarray):
        raise TypeError(f"a picture is a NumPy array, {wanted}; this is a {type(picture).__name__}")
    if picture.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"a picture is {wanted}, or uint16; this array is {picture.dtype}, convert it to 0..255 first")
    if picture.ndim != 3 or picture.shape[-1] not in (3, 4) or 0 in picture.shape:
        raise ValueError(f"a picture is {wanted}, or [H, W, 4] with alpha; this array has the shape {picture.shape}")
