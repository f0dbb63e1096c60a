"""A verification as a table."""

from collections.abc import Iterator
from itertools import groupby

from rich.table import Table
from rich.text import Text

from .report import Comparison, VerificationReport

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
    caption += [report.advice] if report.advice else []
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


def _result(rows: list[Comparison]) -> Text:
    """Say whether all passed, else what happened and, where it is not everywhere, at which batches and sizes."""
    missed = [row for row in rows if not row.passed]
    if not missed:
        return Text("passed", "green")
    what = "blank" if any(row.blank_frames for row in missed) else "missed"
    where = ", ".join(f"{row.batch}x{row.size[0]}x{row.size[1]}" for row in missed)
    return Text(what if len(missed) == len(rows) else f"{what} at {where}", "red")
