"""Steadier videos: translated frames are blended with the past, and frames that show nothing new are not run again.

A network that sees one frame at a time answers noise with flicker. Blending hides it and costs sharpness or leaves
ghosts; `cyclegan evaluate --video` measures both sides.
"""

from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from ..contract import Picture, to_8_bits
from ..errors import UsageError
from .optical_flow import Gray, estimate_flow, gray, resize_flow, visible, warp

Smoothing = Literal["ema", "gated", "flow"]

STRENGTH = 0.7  # of the past, by default
NOISE = 12.0  # change of the input's luma, out of 255, at which the past loses most of its weight
CUT = 28.0  # mean change of the input's luma at which a new scene begins
FLOW_SIDE = 320  # longer side, in pixels, at which flow is estimated
CUT_SIDE = 32


class Smoother:
    """Blends each translated frame of one video with those before it; a scene cut begins anew.

    `ema`: the past has the same weight everywhere. `gated`: only where the input stands still. `flow`: the past is
    moved along with the input first, and weighs only where the motion could be followed.
    """

    def __init__(self, mode: Smoothing, strength: float = STRENGTH) -> None:
        """Begin a video; `strength` in [0, 1) is the largest weight of the past.

        Raises:
            UsageError: no such mode or strength.
        """
        if mode not in get_args(Smoothing):
            raise UsageError(f"no smoothing is called {mode!r}; use {', '.join(get_args(Smoothing))}")
        if not 0 <= strength < 1:
            raise UsageError(f"a smoothing strength lies between 0 and 1, and 1 would stand still; {strength} does not")
        self._mode, self._strength = mode, np.float32(strength)
        self._source: Gray | None = None
        self._past: NDArray[np.float32] | None = None  # kept in float, or rounding would freeze small changes

    def __call__(self, source: Picture, translated: Picture) -> Picture:
        """Give the next translated frame, steadied.

        Both are uint8 or uint16 [H, W, 3], or 4 with alpha, which stays as it is; the source is smaller where a model
        enlarges.
        """
        luma = gray(source)
        if luma.shape != translated.shape[:2]:
            luma = np.asarray(cv2.resize(luma, (translated.shape[1], translated.shape[0])), luma.dtype)
        now = translated[..., :3].astype(np.float32)
        if self._past is None or self._source is None or is_cut(self._source, luma):
            self._past = now
        else:
            past, weight = self._weighted(self._source, luma, self._past)
            self._past = now + weight * (past - now)
        self._source = luma
        steadied = np.rint(self._past).astype(translated.dtype)
        return steadied if translated.shape[2] == 3 else np.concatenate([steadied, translated[..., 3:]], axis=2)

    def _weighted(
        self, before: Gray, luma: Gray, past: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | np.float32]:
        """Return the past as it would look now, and its weight for each pixel."""
        if self._mode == "ema":
            return past, self._strength
        if self._mode == "gated":
            return past, self._strength * _stillness(before, luma)[..., None]
        back, seen = _followed(luma, before)
        return warp(past, back), self._strength * (_stillness(warp(before, back), luma) * seen)[..., None]


class SimilarFrames:
    """Recognises frames that show nothing new, so that the last translation can stand for theirs.

    Each is compared with the last that was translated, not with its neighbour: slow changes add up and are seen.
    """

    def __init__(self, psnr_db: float) -> None:
        """Frames at least so similar are skipped; 40 dB is what sensor noise leaves, and higher is stricter."""
        self._threshold = psnr_db
        self._reference: Picture | None = None

    def skips(self, source: Picture) -> bool:
        """Whether the colours of uint8 or uint16 [H, W, 3 or 4] are similar to those of the last that were not."""
        source = np.ascontiguousarray(to_8_bits(source[..., :3]))
        reference = self._reference
        if reference is not None and reference.shape == source.shape and cv2.PSNR(reference, source) >= self._threshold:
            return True
        self._reference = source
        return False


def is_cut(before: Gray, now: Gray) -> bool:
    """Whether a new scene begins: another size, or almost everything changed at once."""
    if before.shape != now.shape:
        return True
    size = CUT_SIDE, CUT_SIDE
    small = [cv2.resize(one, size, interpolation=cv2.INTER_AREA).astype(np.float32) for one in (before, now)]
    return float(np.abs(small[1] - small[0]).mean()) > CUT


def _stillness(before: NDArray[np.generic], now: Gray) -> NDArray[np.float32]:
    """Return a weight in (0, 1] for each pixel: 1 where nothing changed, near 0 where more than noise did."""
    change = cv2.absdiff(before.astype(np.float32), now.astype(np.float32))
    change = cv2.GaussianBlur(change, (0, 0), 1.5)  # one noisy pixel is no motion
    weight: NDArray[np.float32] = np.exp(-np.square(np.asarray(change, dtype=np.float32) / np.float32(NOISE)))
    return weight


def _followed(now: Gray, before: Gray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the flow from now back to before, and 1 for each pixel that could be followed there."""
    scale = FLOW_SIDE / max(now.shape)
    small = [_shrunk(one, scale) for one in (now, before)]
    back, forth = estimate_flow(*small, fast=True), estimate_flow(small[1], small[0], fast=True)
    seen = cv2.resize(visible(back, forth).astype(np.float32), now.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return resize_flow(back, (now.shape[0], now.shape[1])), np.asarray(seen, dtype=np.float32)


def _shrunk(luma: Gray, scale: float) -> Gray:
    if scale >= 1:
        return luma
    shrunk = cv2.resize(luma, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, dtype=np.uint8)
