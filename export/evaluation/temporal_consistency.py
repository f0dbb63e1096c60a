"""The temporal consistency of a translated video: how much it flickers, and how far smoothing changes it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from ...runtime.contract import Picture, plain
from ...runtime.errors import InputError
from ...runtime.frame import Frame
from ...runtime.temporal.optical_flow import Gray, estimate_flow, gray, visible, warp
from ...runtime.temporal.smoothing import Smoother, Smoothing
from ...runtime.translator import load
from ...runtime.video import open_video
from ...trainer.evaluation.similarity import psnr, ssim

Motion = tuple[NDArray[np.float32], NDArray[np.bool_]]  # flow [H, W, 2] to the next frame, and where it can be followed


@dataclass(frozen=True)
class TemporalConsistency:
    """The scores of one way to translate a video; `smoothing` is "off" for frame by frame."""

    smoothing: str
    warping_error: float  # see `pair_error`, mean over all pairs of frames; lower flickers less
    psnr_db: float  # to the frame-by-frame translation, mean; what blending changed
    ssim: float  # to the frame-by-frame translation, mean


def evaluate_video(
    model: Path, video: Path, *, limit: int | None = None, backend: str = "auto", device: str = "auto"
) -> list[TemporalConsistency]:
    """Score the translation of a video file, or of its first `limit` frames, with each smoothing and without.

    Raises:
        InputError: the video cannot be read, or is too short.
        ModelError: the artefact cannot be loaded or run.
    """
    with load(model, backend=backend, device=device) as translator:
        frames = (plain(frame.pixels) for frame in islice(open_video(video), limit) if isinstance(frame, Frame))
        return compare_smoothing(frames, translator, get_args(Smoothing))


def compare_smoothing(
    frames: Iterable[Picture], translate: Callable[[Picture], Picture], modes: Sequence[Smoothing]
) -> list[TemporalConsistency]:
    """Translate a video once; score the translation itself, and what each smoothing makes of it.

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
        raise InputError("a video needs two frames or more for its temporal consistency to be measured")
    return [TemporalConsistency(name, *score.means()) for name, score in scores.items()]


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


class _Scores:
    """The running scores of one way to translate."""

    def __init__(self) -> None:
        self.errors: list[float] = []
        self._fidelity: list[tuple[float, float]] = []
        self._before: Picture | None = None

    def add(self, plain: Picture, smoothed: Picture, motion: Motion | None) -> None:
        if motion is not None and self._before is not None:
            self.errors.append(pair_error(self._before, smoothed, *motion))
        self._fidelity.append((psnr(plain, smoothed), ssim(plain, smoothed)))
        self._before = smoothed

    def means(self) -> tuple[float, float, float]:
        psnr_db, likeness = np.mean(self._fidelity, axis=0)
        return float(np.mean(self.errors)), float(psnr_db), float(likeness)


def _motion(before: Gray, now: Gray) -> Motion:
    forth, back = estimate_flow(before, now), estimate_flow(now, before)
    return forth, visible(forth, back)
