"""A picture in, its translation of the same size out.

>>> translator = load("flat2three-AtoB-fp16.onnx")
>>> picture = translator(rgb)  # uint8 [H, W, 3] in RGB order, both ways
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from .backends import open_backend
from .backends.base import Backend
from .contract import Picture, decode, encode, pad_to_multiple, padded_side
from .errors import ArtefactError, UsageError
from .interface import Interface, read_interface
from .metadata import parse_metadata

if TYPE_CHECKING:
    from .pipeline import Policy
    from .stream import Stream
    from .temporal import Smoothing

Fit = Literal["native", "stretch"]


def load(
    path: str | Path,
    *,
    device: str = "auto",
    backend: str = "auto",
    fit: Fit = "native",
    size: tuple[int, int] | None = None,
) -> "Translator":
    """Load an exported model, of ours or any other ONNX model with one image in and one of the same size out.

    Args:
        path: the artefact.
        device: "auto", "cpu", "cuda" or "cuda:1".
        backend: "auto", "openvino" or "onnxruntime".
        fit: "native" translates at the picture's own size, reflected at the right and bottom where the model needs
            more pixels; "stretch" resizes to `size` and back.
        size: (height, width) for "stretch"; where the artefact pins its size, it can be left out.

    Raises:
        UsageError: an unknown name, or a size that does not go with the model or the fit.
        ArtefactError: the file is missing, damaged, of a newer schema, or no image-to-image model.
        BackendError: the engine is not installed, or cannot run on that device.
    """
    return Translator(open_backend(path, backend=backend, device=device), Path(path), fit=fit, size=size)


class Translator:
    """Translates RGB pictures of any size; each comes out at the size it came in.

    `translator(picture)` does it all. Its three stages stand apart as well, so that a pipeline can run each in a thread
    of its own: `prepare` one picture, `infer` a batch of prepared pictures of one size, `finish` one result.

    A model of one channel is given the picture's luma, and its gray result comes back as three equal channels.
    """

    def __init__(
        self, backend: Backend, path: Path, *, fit: Fit = "native", size: tuple[int, int] | None = None
    ) -> None:
        self.backend = backend
        self.path = path
        self.metadata = parse_metadata(backend.properties, path)
        self._interface = read_interface(backend, self.metadata, path)
        self._stretched = _stretched_size(self._interface, path, fit, size)

    def __call__(self, picture: Picture) -> Picture:
        """Translate one picture, uint8 [H, W, 3].

        Raises:
            TypeError, ValueError: this is no such array.
            UsageError: the model is pinned to another size and does not stretch.
            BackendError: the engine failed.
        """
        prepared = self.prepare(picture)
        return self.finish(self.infer(prepared[None])[0], picture)

    def translate_batch(self, pictures: Picture) -> Picture:
        """Translate pictures of one size together, uint8 [N, H, W, 3]; raises what a single call raises."""
        _check(pictures, "NHWC")
        translated = self.infer(np.stack([self.prepare(picture) for picture in pictures]))
        return np.stack([self.finish(result, picture) for result, picture in zip(translated, pictures, strict=True)])

    def prepare(self, picture: Picture) -> Picture:
        """Turn uint8 [H, W, 3] into the uint8 [H', W', C] that the model can take."""
        _check(picture, "HWC")
        if self._interface.input_channels == 1:
            picture = _pixels(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
        if self._stretched is not None:
            return _resize(picture, self._stretched)
        height, width = picture.shape[:2]
        pinned = self._interface.size
        if pinned is not None and pinned != (height, width):
            raise UsageError(
                f"{self.path.name} translates {pinned[0]}x{pinned[1]} only and this picture is {height}x{width}; "
                "resize it there and back with --fit stretch"
            )
        if pinned is not None:
            return picture
        return pad_to_multiple(picture, self._interface.size_multiple, self._interface.size_minimum)

    def infer(self, batch: Picture) -> Picture:
        """Run the model on prepared pictures, uint8 [N, H', W', C] to uint8 [N, H', W', C'].

        Raises:
            ArtefactError: the model changes the size.
            BackendError: the engine failed.
        """
        if self._interface.one_by_one:
            translated = np.concatenate([self._run(picture) for picture in np.split(batch, len(batch))])
        else:
            translated = self._run(batch)
        if translated.shape[:3] != batch.shape[:3]:
            raise ArtefactError(
                f"{self.path} gives {translated.shape[1]}x{translated.shape[2]} for {batch.shape[1]}x{batch.shape[2]}; "
                "only models that keep the size can be run"
            )
        return translated

    def finish(self, translated: Picture, original: Picture) -> Picture:
        """Turn the model's uint8 [H', W', C'] into a picture of the original's size, uint8 [H, W, 3]."""
        height, width = original.shape[:2]
        translated = _resize(translated, (height, width)) if self._stretched else translated[:height, :width]
        if self._interface.output_channels == 1:
            translated = _pixels(cv2.cvtColor(translated, cv2.COLOR_GRAY2RGB))
        return np.ascontiguousarray(translated)

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
        from .stream import Stream

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
        if self._interface.io == "uint8":
            return self.backend.infer(np.ascontiguousarray(batch))
        return decode(self.backend.infer(encode(batch).astype(self._interface.dtype)))


def _stretched_size(interface: Interface, path: Path, fit: Fit, size: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return the (height, width) that every picture is resized to; None where each keeps its own.

    Raises:
        UsageError: the fit is unknown, or the size does not go with it or with the model.
    """
    if fit not in get_args(Fit):
        near = get_close_matches(str(fit), get_args(Fit), n=1)
        raise UsageError(f"no fit is called {fit!r}; {f'did you mean {near[0]}?' if near else 'use native or stretch'}")
    if fit == "native":
        if size is not None:
            raise UsageError("a size goes with --fit stretch only; leave out --size, or add --fit stretch")
        return None

    wanted = size or interface.size
    if wanted is None:
        raise UsageError(f"{path.name} takes any size, so --fit stretch needs one, such as --size 256")
    if interface.size is not None and interface.size != wanted:
        height, width = interface.size
        raise UsageError(f"{path.name} is pinned to {height}x{width}; leave out --size, or export it with another")
    fitting = tuple(padded_side(side, interface.size_multiple, interface.size_minimum) for side in wanted)
    if interface.size is None and fitting != wanted:
        raise UsageError(
            f"{path.name} takes sides that are multiples of {interface.size_multiple}, from {interface.size_minimum} "
            f"on; use --size {fitting[0]}x{fitting[1]}"
        )
    return wanted


def _check(pictures: Picture, axes: Literal["HWC", "NHWC"]) -> None:
    """Refuse what is no uint8 RGB picture, or batch of them."""
    wanted = f"uint8 [{', '.join(axes[:-1])}, 3] in RGB order"
    if not isinstance(pictures, np.ndarray):
        raise TypeError(f"a picture is a NumPy array, {wanted}; this is a {type(pictures).__name__}")
    if pictures.dtype != np.uint8:
        raise TypeError(f"a picture is {wanted}; this array is {pictures.dtype}, convert it to 0..255 first")
    if pictures.ndim != len(axes) or pictures.shape[-1] != 3 or 0 in pictures.shape:
        raise ValueError(f"a picture is {wanted}; this array has the shape {pictures.shape}")


def _resize(picture: Picture, size: tuple[int, int]) -> Picture:
    """Resize uint8 [H, W, C]: area averages where it shrinks, cubic where it grows."""
    height, width = picture.shape[:2]
    if (height, width) == size:
        return picture
    shrinks = size[0] * size[1] < height * width
    resized = cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return _pixels(resized)


def _pixels(picture: NDArray[np.generic]) -> Picture:
    """Give back the channel axis that OpenCV drops from gray pictures."""
    pixels = np.asarray(picture, dtype=np.uint8)
    return pixels if pixels.ndim == 3 else pixels[..., None]
