"""The report of a verification: its comparisons, where an engine diverged, and its worst picture."""

import base64
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from ...runtime.contract import Picture
from ...runtime.errors import CycleganError
from ...runtime.files import replacing
from ...runtime.metadata import SourceCheckpoint, Verification
from ..quantization.report import Quantisation
from .gates import FLAT_DEVIATION, UNDETERMINED, Gate


class TanhDifference(BaseModel):
    """How far what tanh gives, in [-1, 1], is from PyTorch's; one LSB of a pixel is 2/255 of it."""

    model_config = ConfigDict(frozen=True)

    max: float
    mean: float
    p999: float

    @classmethod
    def of(cls, difference: NDArray[np.floating[Any]]) -> "TanhDifference":
        """Measure absolute differences of any shape."""
        return cls(
            max=float(difference.max()), mean=float(difference.mean()), p999=float(np.percentile(difference, 99.9))
        )


class Comparison(BaseModel):
    """One engine against PyTorch on one kind of input, size and batch; one LSB is a step of a uint8 pixel.

    `p999_lsb` is what 99.9 % of all values stay below or at; `alone_lsb` is how far the engine's batches differ from
    its own batches of one. `tanh` is None where it cannot be seen: in an engine whose output are pixels, and in
    batches of such artefacts. PSNR (dB, None where all pictures are identical) and SSIM (None where its window does not
    fit) are of the worst picture. A blank frame is not finite, or all black or all white where PyTorch's is not.
    """

    model_config = ConfigDict(frozen=True)

    engine: str
    precision: str
    input: str
    size: tuple[int, int]
    batch: int
    max_lsb: int
    mean_lsb: float
    p999_lsb: float
    tanh: TanhDifference | None
    alone_lsb: int
    equal_share: float
    psnr_db: float | None
    ssim: float | None
    blank_frames: int
    gate: Gate
    passed: bool


class Divergence(BaseModel):
    """Where an engine that missed its gate first leaves PyTorch, on one picture.

    `layer` is PyTorch's name of it, `node` the graph's; the deviations are relative: the RMS of the difference over the
    RMS of PyTorch's own values, behind this layer and behind the one before.
    """

    model_config = ConfigDict(frozen=True)

    engine: str
    precision: str
    layer: str
    node: str
    deviation: float | None
    deviation_before: float | None

    def __str__(self) -> str:
        """Say it in a sentence."""
        if self.deviation is None:
            return f"{self.engine} {self.precision}: {self.layer}"
        before = "" if self.deviation_before is None else f", {self.deviation_before:.1e} before it"
        return (
            f"{self.engine} {self.precision} first leaves PyTorch at {self.layer} (node {self.node}): "
            f"relative deviation {self.deviation:.1e}{before}"
        )


class WorstPicture(BaseModel):
    """The picture that differs most, as data URIs; the difference is ten times enlarged."""

    model_config = ConfigDict(frozen=True)

    engine: str
    input: str
    source: str
    pytorch: str
    engine_result: str
    difference: str

    @classmethod
    def of(cls, engine: str, kind: str, source: Picture, pytorch: Picture, result: Picture) -> "WorstPicture":
        """Encode uint8 [H, W, C] pictures: the input, PyTorch's translation and the engine's."""
        difference = np.clip(10 * np.abs(result.astype(np.int16) - pytorch), 0, 255).astype(np.uint8)
        uris = [_data_uri(picture) for picture in (source, pytorch, result, difference)]
        return cls(
            engine=engine, input=kind, source=uris[0], pytorch=uris[1], engine_result=uris[2], difference=uris[3]
        )


class VerificationReport(BaseModel):
    """A whole verification, as it is stored beside the artefact; `artefact_sha256` is the file's as it was compared.

    `flat_deviation` is the largest standard deviation, in steps of 1/255, with which PyTorch itself translates constant
    pictures; None where none was compared, and of networks without InstanceNorm.
    """

    model_config = ConfigDict(frozen=True)

    passed: bool
    artefact: str
    artefact_sha256: str
    reference: SourceCheckpoint
    producer: dict[str, str]
    created: str
    pictures: tuple[str, ...]
    notes: tuple[str, ...]
    machine: dict[str, str]
    comparisons: tuple[Comparison, ...]
    divergences: tuple[Divergence, ...] = ()
    quantisation: Quantisation | None = None
    flat_deviation: float | None = None
    worst: WorstPicture | None = Field(default=None, exclude=True, repr=False)  # for the page alone

    @property
    def advice(self) -> str | None:
        """What to do about a network that fills constant pictures with noise; None where it does not."""
        if self.flat_deviation is None or self.flat_deviation <= FLAT_DEVIATION:
            return None
        return (
            f"A constant picture comes out with a deviation of {self.flat_deviation:.0f} steps, in PyTorch too: the "
            "norms magnify what little it varies by. A floor under the variance, or a higher one, keeps it flat: "
            "cyclegan export SOURCE --norm-floor 2 --calibration DIR, or networks.norm_floor=1 in training; see "
            "docs/flat-pictures.md."
        )

    def summary(self) -> Verification:
        """Return what the artefact itself says of it; undetermined comparisons have a say only where no other is."""
        rows = judged(self.comparisons) or self.comparisons
        return Verification(
            passed=self.passed,
            engines=tuple(dict.fromkeys(f"{row.engine} {row.precision}" for row in self.comparisons)),
            max_lsb=max(row.max_lsb for row in rows),
            min_psnr_db=min((round(row.psnr_db, 2) for row in rows if row.psnr_db is not None), default=None),
        )


def judged(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return those that have a gate to reach, besides having no blank frame."""
    return [row for row in comparisons if row.gate != UNDETERMINED]


def _data_uri(picture: Picture) -> str:
    """Encode uint8 [H, W, C] as PNG; where there are neither 1 nor 3 channels, the first stands for all."""
    buffer = io.BytesIO()
    Image.fromarray(picture if picture.shape[-1] == 3 else picture[..., 0]).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def report_path(artefact: Path) -> Path:
    """Return where the report of an artefact lies: `NAME.verify.json` beside it."""
    return artefact.with_suffix(".verify.json")


def save_report(report: VerificationReport, path: Path) -> None:
    """Write the report to `path`, as JSON.

    Raises:
        OutputError: the file cannot be written.
    """
    with replacing(path) as partial:
        partial.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")


def fail_if_missed(reports: Sequence[tuple[Path, VerificationReport]]) -> None:
    """Raise a `CycleganError` where an artefact missed its gate, or had no picture to be judged on.

    A page has a report for each of its models, so its path may come more than once.
    """
    failed = [(path.name, report) for path, report in reports if not report.passed]
    missed = _names(name for name, report in failed if not all(row.passed for row in report.comparisons))
    if missed:
        raise CycleganError(f"{missed}: not the same as PyTorch within the gate; the file is kept, do not ship it")
    if names := _names(name for name, _ in failed):
        raise CycleganError(
            f"{names}: no real picture to judge it on; the file is kept, verify it with some", about=("images",)
        )


def _names(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
