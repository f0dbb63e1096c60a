"""What a verification found: its gates, its numbers, its table."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtime.errors import CycleganError

if TYPE_CHECKING:
    from rich.table import Table


import base64
import io
from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from rich.table import Table

from ..runtime.contract import Picture
from ..runtime.files import replacing
from ..runtime.metadata import Source, Verification


class Gate(BaseModel):
    """What a comparison must reach to pass, besides having no blank frame."""

    model_config = ConfigDict(frozen=True)

    max_lsb: int | None = None
    min_psnr_db: float | None = None

    def admits(self, max_lsb: int, psnr_db: float | None) -> bool:
        """Whether a comparison with these numbers passes; a PSNR of None means identical pictures."""
        if self.max_lsb is not None and max_lsb > self.max_lsb:
            return False
        return self.min_psnr_db is None or psnr_db is None or psnr_db >= self.min_psnr_db

    def __str__(self) -> str:
        if self.max_lsb is not None:
            return f"≤ {self.max_lsb} LSB"
        return "not blank" if self.min_psnr_db is None else f"≥ {self.min_psnr_db:g} dB"


# By the coarser precision of artefact and engine. The longer the sums of an InstanceNorm, the further engines are from
# each other: in FP32 only ONNX Runtime stays within 1 LSB of PyTorch from 512x512 pixels on (figures: docs/export.md).
GATES = {
    "fp32": Gate(max_lsb=1),
    "fp32 large": Gate(min_psnr_db=45.0),
    "tf32": Gate(min_psnr_db=45.0),
    "fp16": Gate(min_psnr_db=40.0),
    "bf16": Gate(min_psnr_db=40.0),
    "int8": Gate(min_psnr_db=28.0),
}

LARGE = 512 * 512  # pixels

# InstanceNorm divides a flat plane's rounding error by sqrt(eps) and the next layers magnify it until it fills the
# picture: PyTorch in FP32 and in FP64 differ by more than 100 LSB there. No two engines can agree on such noise.
UNDETERMINED = Gate()


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


class LayerCost(BaseModel):
    """What one convolution alone costs in INT8: the PSNR of the whole network's pictures against FP32."""

    model_config = ConfigDict(frozen=True)

    layer: str  # the graph's name of it
    module: str  # PyTorch's
    psnr_db: float


class Quantisation(BaseModel):
    """How an artefact was quantised: what each method of calibration reached, and what each layer costs."""

    model_config = ConfigDict(frozen=True)

    method: str
    psnr_db: dict[str, float] = Field(description="by method, with every layer in INT8 that may be")
    sensitivity: tuple[LayerCost, ...] = Field(description="the costliest first")
    kept_float: tuple[str, ...] = Field(description="layers, by the graph's names")

    def __str__(self) -> str:
        """Say which method was taken, and why."""
        tried = ", ".join(f"{method} {psnr:.1f} dB" for method, psnr in self.psnr_db.items())
        return f"INT8 by {self.method} ({tried})"


class WorstPicture(BaseModel):
    """The picture that came out worst, as data URIs; the difference is ten times enlarged."""

    model_config = ConfigDict(frozen=True)

    engine: str
    input: str
    given: str
    pytorch: str
    engine_result: str
    difference: str

    @classmethod
    def of(cls, engine: str, kind: str, given: Picture, pytorch: Picture, result: Picture) -> "WorstPicture":
        """Encode uint8 [H, W, C] pictures: what was given, and what came of it here and there."""
        difference = np.clip(10 * np.abs(result.astype(np.int16) - pytorch), 0, 255).astype(np.uint8)
        uris = [_data_uri(picture) for picture in (given, pytorch, result, difference)]
        return cls(engine=engine, input=kind, given=uris[0], pytorch=uris[1], engine_result=uris[2], difference=uris[3])


class VerificationReport(BaseModel):
    """A whole verification, as it is stored beside the artefact; `artefact_sha256` is the file's as it was compared."""

    model_config = ConfigDict(frozen=True)

    passed: bool
    artefact: str
    artefact_sha256: str
    reference: Source
    producer: dict[str, str]
    created: str
    pictures: tuple[str, ...]
    notes: tuple[str, ...]
    machine: dict[str, str]
    comparisons: tuple[Comparison, ...]
    divergences: tuple[Divergence, ...] = ()
    quantisation: Quantisation | None = None
    worst: WorstPicture | None = Field(default=None, exclude=True, repr=False)  # for the page alone

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


COLUMNS = ("max LSB", "p99.9", "mean LSB", "max tanh", "equal", "PSNR dB", "SSIM", "gate")


def summarise(report: VerificationReport) -> Iterator[tuple[str, str, list[Comparison], tuple[str, ...]]]:
    """Give for each engine and input the comparisons, and their worst numbers in words under `COLUMNS`."""
    for engine, of_engine in groupby(report.comparisons, lambda row: f"{row.engine} {row.precision}"):
        inputs: dict[str, list[Comparison]] = {}
        for row in of_engine:
            inputs.setdefault(row.input, []).append(row)
        for name, rows in inputs.items():
            yield engine, name, rows, _cells(rows)


def report_table(report: VerificationReport) -> Table:
    """Lay the report out: a line for each engine and input, with the worst over its sizes and batches."""
    table = Table(title=f"{report.artefact} against PyTorch FP32", title_justify="left", caption_justify="left")
    caption = [str(divergence) for divergence in report.divergences]
    if any(row.gate == UNDETERMINED and row.input == "constant" for row in report.comparisons):
        caption.append("InstanceNorm turns a constant picture into magnified rounding errors, in PyTorch as anywhere.")
    table.caption = "\n".join(caption) or None
    table.add_column("engine")
    table.add_column("input")
    for heading in COLUMNS:
        table.add_column(heading, justify="right")
    table.add_column("result")
    for _, of_engine in groupby(summarise(report), lambda line: line[0]):
        for engine, name, rows, cells in of_engine:
            table.add_row(engine, name, *cells, _result(rows))
        table.add_section()
    return table


def _cells(rows: list[Comparison]) -> tuple[str, ...]:
    ratios = [row.psnr_db for row in rows if row.psnr_db is not None]
    likenesses = [row.ssim for row in rows if row.ssim is not None]
    before_pixels = [row.tanh.max for row in rows if row.tanh]
    return (
        str(max(row.max_lsb for row in rows)),
        f"{max(row.p999_lsb for row in rows):.0f}",
        f"{max(row.mean_lsb for row in rows):.4f}",
        f"{max(before_pixels):.0e}" if before_pixels else "-",
        f"{min(row.equal_share for row in rows):.1%}",
        f"{min(ratios):.1f}" if ratios else "identical",
        f"{min(likenesses):.5f}" if likenesses else "-",
        ", ".join(dict.fromkeys(str(row.gate) for row in rows)),
    )


def _result(rows: list[Comparison]) -> str:
    """Say whether all passed, else what happened and, where it is not everywhere, at which batches and sizes."""
    missed = [row for row in rows if not row.passed]
    if not missed:
        return "[green]passed[/green]"
    what = "blank" if any(row.blank_frames for row in missed) else "missed"
    where = ", ".join(f"{row.batch}x{row.size[0]}x{row.size[1]}" for row in missed)
    return f"[red]{what}[/red]" if len(missed) == len(rows) else f"[red]{what} at {where}[/red]"


def quantisation_table(found: Quantisation) -> Table:
    """Lay out what INT8 costs: by method of calibration, then layer by layer, the costliest first."""
    table = Table(title=str(found), title_justify="left", min_width=len(str(found)))
    table.add_column("layer alone in INT8")
    table.add_column("PSNR dB", justify="right")
    table.add_column("computed in")
    for cost in found.sensitivity:
        table.add_row(cost.module, f"{cost.psnr_db:.1f}", "float" if cost.layer in found.kept_float else "int8")
    return table


def fail_if_missed(reports: dict[Path, VerificationReport]) -> None:
    """Raise a `CycleganError` where an artefact missed its gate, or had no picture to be judged on."""
    failed = {path.name: report for path, report in reports.items() if not report.passed}
    missed = ", ".join(name for name, report in failed.items() if not all(row.passed for row in report.comparisons))
    if missed:
        raise CycleganError(f"{missed}: not the same as PyTorch within the gate; the file is kept, do not ship it")
    if failed:
        raise CycleganError(f"{', '.join(failed)}: no real picture to judge it on; the file is kept, give --images")
