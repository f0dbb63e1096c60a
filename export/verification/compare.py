"""What an engine makes of an input, compared with PyTorch."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...runtime.backends.base import Backend
from ...runtime.contract import Picture, decode, encode
from ...runtime.metadata import IO
from ...trainer.evaluation.paired import psnr, ssim
from .gates import UNDETERMINED, Gate
from .inputs import VerificationInput
from .report import Comparison, TanhDifference, WorstPicture

SSIM_WINDOW = 11

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class OpenArtefact:
    """An artefact in an engine; `tanh` is its graph cut behind tanh, where its own output is pixels."""

    backend: Backend
    tanh: Backend | None


@dataclass(frozen=True)
class ComparedFrames:
    """A comparison with its frames: the engine's, uint8 [N, H, W, C], and what tanh gave where that can be seen."""

    comparison: Comparison
    source: VerificationInput
    result: Picture
    values: Values | None

    @property
    def badness(self) -> tuple[bool, bool, float]:
        """A key to order by: what missed comes last, before it what has a gate, and within these the lowest PSNR."""
        row = self.comparison
        return not row.passed, row.gate != UNDETERMINED, -(row.psnr_db or np.inf)

    @cached_property
    def worst_frame(self) -> int:
        """The index of the frame that differs most; one that is not finite differs more than any."""
        errors = np.square(self.result.astype(np.float32) - self.source.expected).mean(axis=(1, 2, 3))
        if self.values is not None:
            errors[~np.isfinite(self.values).all(axis=(1, 2, 3))] = np.inf
        return int(errors.argmax())

    def worst_picture(self) -> WorstPicture:
        """Show the frame that differs most."""
        source, row, index = self.source, self.comparison, self.worst_frame
        engine = f"{row.engine} {row.precision}"
        return WorstPicture.of(engine, source.kind, source.frames[index], source.expected[index], self.result[index])


def compare_batches(artefact: OpenArtefact, io: IO, source: VerificationInput, gate: Gate) -> Iterator[ComparedFrames]:
    """Compare an input in batches of every size; each must also equal the engine's own smallest batches."""
    alone: Picture | None = None
    for batch in source.batches:
        result, values = _translate(artefact, io, source.frames, batch)
        alone = result if alone is None else alone
        comparison = _compare(artefact.backend, source, batch, gate, result, values, alone)
        yield ComparedFrames(comparison, source, result, values)


def _compare(
    backend: Backend,
    source: VerificationInput,
    batch: int,
    gate: Gate,
    result: Picture,
    values: Values | None,
    alone: Picture,
) -> Comparison:
    difference = np.abs(result.astype(np.int16) - source.expected)
    worst_psnr = _worst_psnr(result, source.expected)
    ours, theirs = (torch.from_numpy(frames).permute(0, 3, 1, 2) for frames in (result, source.expected))
    height, width = source.frames.shape[1:3]
    max_lsb = int(difference.max())
    alone_lsb = int(np.abs(result.astype(np.int16) - alone).max())
    blank = _is_blank(result) & ~_is_blank(source.expected)
    if values is not None:
        blank |= ~np.isfinite(values).all(axis=(1, 2, 3))
    passed = gate.admits(max_lsb, worst_psnr) and gate.admits(alone_lsb, _worst_psnr(result, alone))
    return Comparison(
        engine=backend.name,
        precision=backend.precision,
        input=source.kind,
        size=(height, width),
        batch=batch,
        max_lsb=max_lsb,
        mean_lsb=float(difference.mean()),
        p999_lsb=float(np.percentile(difference, 99.9)),
        tanh=None if values is None else TanhDifference.of(np.abs(_finite(values) - source.values)),
        alone_lsb=alone_lsb,
        equal_share=float((difference == 0).all(axis=-1).mean()),
        psnr_db=worst_psnr,
        ssim=float(ssim(ours, theirs).min()) if min(height, width) >= SSIM_WINDOW else None,
        blank_frames=int(blank.sum()),
        gate=gate,
        passed=not blank.any() and passed,
    )


def _worst_psnr(result: Picture, truth: Picture) -> float | None:
    """Return the lowest PSNR of any picture in dB, None where all are identical."""
    ours, theirs = (torch.from_numpy(frames).permute(0, 3, 1, 2) for frames in (result, truth))
    worst = float(psnr(ours, theirs).min())
    return worst if np.isfinite(worst) else None


def _translate(artefact: OpenArtefact, io: IO, frames: Picture, batch: int) -> tuple[Picture, Values | None]:
    """Run the frames through an engine in batches; returns the pixels, and what tanh gave where that can be seen.

    The graph that is cut for it translates pictures one by one only; batches are compared in pixels.
    """
    batches = np.split(frames, len(frames) // batch)
    if io == "float":
        values = np.concatenate([artefact.backend.infer(encode(part)) for part in batches])
        return decode(_finite(values)), values
    pixels = np.concatenate([artefact.backend.infer(part) for part in batches])
    if artefact.tanh is None or batch > 1:
        return pixels, None
    return pixels, np.concatenate([artefact.tanh.infer(part) for part in batches])


def _finite(values: Values) -> Values:
    """Put the value of a black pixel for what is no number, and the nearest end for what is infinite."""
    return np.nan_to_num(values, nan=-1, posinf=1, neginf=-1)


def _is_blank(frames: Picture) -> NDArray[np.bool_]:
    """Tell for every frame whether it is black or white throughout, as a value that is not finite becomes."""
    lowest, highest = frames.min(axis=(1, 2, 3)), frames.max(axis=(1, 2, 3))
    blank: NDArray[np.bool_] = np.logical_or(highest == 0, lowest == 255)
    return blank
