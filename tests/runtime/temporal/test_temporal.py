"""Flow, smoothing, skipping and their scores, on videos whose motion and flicker are known."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclegan_edge.export.evaluation.temporal_consistency import compare_smoothing, pair_error
from cyclegan_edge.runtime.errors import InputError, UsageError
from cyclegan_edge.runtime.temporal.optical_flow import estimate_flow, gray, resize_flow, visible, warp
from cyclegan_edge.runtime.temporal.smoothing import SimilarFrames, Smoother, is_cut
from cyclegan_edge.trainer.evaluation.similarity import IDENTICAL_DB, psnr, ssim

MODES = ("ema", "gated", "flow")
STEP = 3  # pixels that `pan` moves to the left between frames


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture with structure at every place, which flow can follow."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def pan(frames: int) -> list[np.ndarray]:
    wide = texture(96, 256)
    return [np.ascontiguousarray(wide[:, STEP * i : STEP * i + 128]) for i in range(frames)]


def still(frames: int) -> list[np.ndarray]:
    return [texture(96, 128)] * frames


def flickering(frames: list[np.ndarray], level: int = 12) -> list[np.ndarray]:
    """The frames, each brighter or darker than it was by a random step."""
    steps = np.random.default_rng(1).integers(-level, level + 1, len(frames))
    return [
        np.clip(frame.astype(int) + step, 0, 255).astype(np.uint8) for frame, step in zip(frames, steps, strict=True)
    ]


def smoothed(
    mode: str, frames: list[np.ndarray], translated: list[np.ndarray], strength: float = 0.7
) -> list[np.ndarray]:
    smoother = Smoother(mode, strength)
    return [smoother(frame, picture) for frame, picture in zip(frames, translated, strict=True)]


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


class TestFlow:
    def test_a_pan_is_measured_and_undone(self):
        before, now = pan(2)
        there = estimate_flow(gray(before), gray(now))
        inner = there[16:-16, 16:-16]
        assert np.abs(inner - (-STEP, 0)).mean() < 0.2
        assert distance(warp(now, there)[16:-16, 16:-16], before[16:-16, 16:-16]) < 3

    def test_no_motion_leaves_the_picture(self):
        picture = texture(40, 56)
        assert np.array_equal(warp(picture, np.zeros((40, 56, 2), np.float32)), picture)

    @settings(max_examples=20, deadline=None)
    @given(st.integers(1, 70), st.integers(1, 70))
    def test_every_size_has_a_flow(self, height, width):
        luma = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
        flow = estimate_flow(luma, luma)
        assert flow.shape == (height, width, 2)
        assert np.isfinite(flow).all()

    def test_lengths_grow_with_the_size(self):
        flow = np.full((10, 20, 2), 1.5, np.float32)
        grown = resize_flow(flow, (30, 40))
        assert grown.shape == (30, 40, 2)
        assert np.allclose(grown, (3.0, 4.5))

    def test_what_a_square_covers_is_not_visible(self):
        background, square = texture(96, 128), texture(96, 128, seed=5)[:32, :32]
        before, now = background.copy(), background.copy()
        before[32:64, 32:64] = square
        now[32:64, 40:72] = square
        there, back = (estimate_flow(gray(a), gray(b)) for a, b in ((before, now), (now, before)))
        seen = visible(there, back)
        assert seen[:, 90:].mean() > 0.95
        assert seen[36:60, 66:71].mean() < 0.5  # background in the first frame, covered in the second


class TestSmoothing:
    @pytest.mark.parametrize("mode", MODES)
    def test_flicker_of_a_still_video_shrinks(self, mode):
        frames = still(12)
        translated = flickering(frames)
        jumps = [
            np.mean([distance(a, b) for a, b in pairwise(video[3:])])
            for video in (translated, smoothed(mode, frames, translated))
        ]
        assert jumps[1] < 0.5 * jumps[0]

    @pytest.mark.parametrize("mode", MODES)
    def test_a_steady_video_is_left_as_it_is(self, mode):
        frames = still(5)
        assert all(np.array_equal(picture, frames[0]) for picture in smoothed(mode, frames, frames))

    @settings(max_examples=10, deadline=None)
    @given(st.sampled_from(MODES), st.integers(0, 1000))
    def test_no_strength_no_change(self, mode, seed):
        frames = [texture(32, 40, seed), texture(32, 40, seed)]
        translated = [texture(32, 40, seed + 1), texture(32, 40, seed + 2)]
        for result, picture in zip(smoothed(mode, frames, translated, strength=0), translated, strict=True):
            assert np.array_equal(result, picture)

    @pytest.mark.parametrize("mode", ["gated", "flow"])
    def test_motion_leaves_no_ghost(self, mode):
        frames = pan(8)
        ghost = distance(smoothed("ema", frames, frames)[-1], frames[-1])
        assert distance(smoothed(mode, frames, frames)[-1], frames[-1]) < 0.35 * ghost

    def test_flow_steadies_what_moves(self):
        frames = pan(10)
        translated = flickering(frames)
        errors = {score.smoothing: score.warping_error for score in scores_of(frames, translated)}
        assert errors["flow"] < 0.5 * errors["off"]
        assert errors["flow"] < errors["gated"]

    @pytest.mark.parametrize("mode", MODES)
    def test_a_cut_begins_anew(self, mode):
        dark, bright = np.full((48, 64, 3), 20, np.uint8), np.full((48, 64, 3), 220, np.uint8)
        assert np.array_equal(smoothed(mode, [dark, dark, bright], [dark, dark, bright])[-1], bright)
        assert is_cut(gray(dark), gray(bright))
        assert not is_cut(gray(dark), gray(dark))

    @pytest.mark.parametrize("mode", MODES)
    def test_another_size_begins_anew(self, mode):
        small, large = texture(32, 40), texture(48, 64)
        assert np.array_equal(smoothed(mode, [small, large], [small, large])[-1], large)

    def test_small_changes_are_not_rounded_away(self):
        frames = [np.full((32, 32, 3), 100, np.uint8)] * 60
        translated = [frames[0]] + [np.full((32, 32, 3), 101, np.uint8)] * 59
        assert np.array_equal(smoothed("ema", frames, translated, strength=0.9)[-1], translated[-1])

    @pytest.mark.parametrize("mode", MODES)
    def test_16_bits_are_smoothed_as_8_are_and_alpha_is_left_alone(self, mode):
        frames = still(6)
        translated = flickering(frames)
        expected = smoothed(mode, frames, translated)
        deep = [[picture.astype(np.uint16) * 257 for picture in video] for video in (frames, translated)]
        for result, picture in zip(smoothed(mode, *deep), expected, strict=True):
            assert result.dtype == np.uint16
            assert np.abs(result / 257 - picture).max() <= 0.6
        alpha = np.arange(96 * 128, dtype=np.uint8).reshape(96, 128, 1)
        shaded = [[np.concatenate([picture, np.roll(alpha, i)], axis=2) for i, picture in enumerate(video)]
                  for video in (frames, translated)]  # fmt: skip
        for i, (result, picture) in enumerate(zip(smoothed(mode, *shaded), expected, strict=True)):
            assert np.array_equal(result[..., :3], picture)
            assert np.array_equal(result[..., 3:], np.roll(alpha, i))

    @pytest.mark.parametrize(("mode", "strength"), [("emma", 0.5), ("ema", 1.0), ("flow", -0.1)])
    def test_what_is_no_smoothing_is_refused(self, mode, strength):
        with pytest.raises(UsageError):
            Smoother(mode, strength)


class TestSimilarFrames:
    def test_noise_is_skipped_and_news_is_not(self):
        picture = texture(48, 64)
        noisy = np.clip(picture + np.random.default_rng(0).normal(0, 1, picture.shape), 0, 255).astype(np.uint8)
        similar = SimilarFrames(40.0)
        assert [similar.skips(one) for one in (picture, noisy, texture(48, 64, 3), picture)] == [
            False,
            True,
            False,
            False,
        ]

    def test_16_bits_are_compared_as_8_are_and_alpha_does_not_count(self):
        deep = [np.full((16, 16, 4), (level * 257,) * 3 + (level,), np.uint16) for level in (100, 101, 160)]
        similar = SimilarFrames(40.0)
        assert [similar.skips(one) for one in deep] == [False, True, False]

    def test_slow_changes_add_up(self):
        similar = SimilarFrames(35.0)
        skipped = [similar.skips(np.full((16, 16, 3), 100 + level, np.uint8)) for level in range(30)]
        assert 2 < sum(not skip for skip in skipped) < 15

    def test_another_size_is_news(self):
        similar = SimilarFrames(0.0)
        assert not similar.skips(texture(32, 40))
        assert not similar.skips(texture(48, 64))


def scores_of(frames, translated):
    remaining = iter(translated)
    return compare_smoothing(frames, lambda frame: next(remaining), MODES)


class TestScores:
    def test_frame_by_frame_is_the_measure_of_fidelity(self):
        off, *others = scores_of(pan(4), flickering(pan(4)))
        assert (off.smoothing, off.psnr_db, off.ssim) == ("off", IDENTICAL_DB, pytest.approx(1.0))
        assert [score.smoothing for score in others] == list(MODES)
        assert all(score.psnr_db < IDENTICAL_DB and score.ssim < 1 for score in others)

    def test_flicker_is_seen_and_motion_is_not(self):
        [steady, *_] = scores_of(pan(6), pan(6))
        [flicker, *_] = scores_of(pan(6), flickering(pan(6)))
        assert steady.warping_error < 0.001
        assert flicker.warping_error > 3 * steady.warping_error

    def test_the_error_by_hand(self):
        before, now = np.full((8, 8, 3), 0, np.uint8), np.full((8, 8, 3), 51, np.uint8)
        still_flow, seen = np.zeros((8, 8, 2), np.float32), np.ones((8, 8), np.bool_)
        assert pair_error(before, now, still_flow, seen) == pytest.approx(0.2**2)
        assert pair_error(before, now, still_flow, ~seen) == 0
        now[:4] = 0
        seen[4:] = False
        assert pair_error(before, now, still_flow, seen) == 0

    def test_likeness_by_hand(self):
        one, other = np.full((16, 16, 3), 100, np.uint8), np.full((16, 16, 3), 120, np.uint8)
        c1 = (0.01 * 255) ** 2
        assert ssim(one, other) == pytest.approx((2 * 100 * 120 + c1) / (100**2 + 120**2 + c1))
        assert ssim(one, one) == pytest.approx(1)
        assert psnr(one, other) == pytest.approx(20 * np.log10(255 / 20))
        assert psnr(one, one) == IDENTICAL_DB

    @pytest.mark.parametrize("frames", [[], [texture(32, 40)], [texture(32, 40), texture(48, 64)]])
    def test_what_is_no_video_is_refused(self, frames):
        with pytest.raises(InputError):
            compare_smoothing(frames, lambda frame: frame, MODES)
