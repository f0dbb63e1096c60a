"""How steady a translated video is, and what steadying it cost."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from ...runtime.contract import Picture
from ...runtime.errors import InputError
from ...runtime.frame import Frame
from ...runtime.temporal.optical_flow import Gray, estimate_flow, gray, visible, warp
from ...runtime.temporal.smoothing import Smoother, Smoothing
from ...runtime.translator import load
from ...runtime.video import open_video

IDENTICAL_DB = 100.0  # stands for an infinite PSNR in a mean


@dataclass(frozen=True)
class Steadiness:
    """The scores of one way to translate a video; `smoothing` is "off" for frame by frame."""

    smoothing: str
    warping_error: float  # see `pair_error`, mean over all pairs of frames; smaller is steadier
    psnr_db: float  # to the frame-by-frame translation, mean; what blending changed
    ssim: float  # to the frame-by-frame translation, mean


def evaluate_video(
    model: Path, video: Path, *, limit: int | None = None, backend: str = "auto", device: str = "auto"
) -> list[Steadiness]:
    """Score the translation of a video file, or of its first `limit` frames, with each smoothing and without.

    Raises:
        InputError: the video cannot be read, or is too short.
        ModelError: the artefact cannot be loaded or run.
    """
    with load(model, backend=backend, device=device) as translator:
        frames = (frame.pixels for frame in islice(open_video(video), limit) if isinstance(frame, Frame))
        return compare_smoothing(frames, translator, get_args(Smoothing))


def compare_smoothing(
    frames: Iterable[Picture], translate: Callable[[Picture], Picture], modes: Sequence[Smoothing]
) -> list[Steadiness]:
    """Translate a video once, and score it as it comes and after each smoothing.

    Raises:
        InputError: there are fewer than two frames, or they are not of one size.
    """
    smoothers = {mode: Smoother(mode) for mode in modes}
    scores = {name: _Scores() for name in ("off", *modes)}
    before: Gray | None = None
    for frame in frames:
        luma, plain = gray(frame), translate(frame)
        if before is not None and before.shape != luma.shape:
            raise InputError("the video changes its size; cut it in two there")
        motion = None if before is None else _motion(before, luma)
        scores["off"].add(plain, plain, motion)
        for mode, smoother in smoothers.items():
            scores[mode].add(plain, smoother(frame, plain), motion)
        before = luma
    if not scores["off"].errors:
        raise InputError("a video needs two frames at least for its steadiness to be measured")
    return [Steadiness(name, *score.means()) for name, score in scores.items()]


def pair_error(before: Picture, now: Picture, flow: NDArray[np.float32], seen: NDArray[np.bool_]) -> float:
    """Return the warping error of two neighbouring translated frames, uint8 [H, W, 3].

    The second is warped back to the first along the *input's* flow; the error is the mean squared difference, of values
    in [0, 1], over the pixels that both show: E_pair of Lai et al., "Learning Blind Video Temporal Consistency" (ECCV
    2018), section 4.2, as a mean over channels. 0 where no pixel can be followed.
    """
    if not seen.any():
        return 0.0
    difference = (warp(now, flow) - before.astype(np.float32)) / 255
    return float(np.square(difference[seen]).mean())


def psnr(one: Picture, other: Picture) -> float:
    """Return the peak signal-to-noise ratio in dB; equal pictures have `IDENTICAL_DB`."""
    if np.array_equal(one, other):
        return IDENTICAL_DB
    return float(cv2.PSNR(one, other))


def ssim(one: Picture, other: Picture) -> float:
    """Return the structural similarity of uint8 [H, W, 3], mean over pixels and channels.

    Wang et al., "Image Quality Assessment" (IEEE TIP 2004): a Gaussian window of 11 pixels and sigma 1.5, K1 0.01 and
    K2 0.03.
    """
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    x, y = one.astype(np.float64), other.astype(np.float64)
    mean_x, mean_y = _windowed(x), _windowed(y)
    variance_x = _windowed(x * x) - mean_x**2
    variance_y = _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((likeness / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))).mean())


class _Scores:
    """The running scores of one way to translate."""

    def __init__(self) -> None:
        self.errors: list[float] = []
        self._fidelity: list[tuple[float, float]] = []
        self._before: Picture | None = None

    def add(
        self, plain: Picture, steadied: Picture, motion: tuple[NDArray[np.float32], NDArray[np.bool_]] | None
    ) -> None:
        if motion is not None and self._before is not None:
            self.errors.append(pair_error(self._before, steadied, *motion))
        self._fidelity.append((psnr(plain, steadied), ssim(plain, steadied)))
        self._before = steadied

    def means(self) -> tuple[float, float, float]:
        psnr_db, likeness = np.mean(self._fidelity, axis=0)
        return float(np.mean(self.errors)), float(psnr_db), float(likeness)


def _motion(before: Gray, now: Gray) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    there, back = estimate_flow(before, now), estimate_flow(now, before)
    return there, visible(there, back)


def _windowed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5), dtype=np.float64)
