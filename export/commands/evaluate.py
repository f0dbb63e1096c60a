"""`cyclegan evaluate`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...runtime.commands.console import print_wide, spinner
from ...runtime.commands.options import PathType, backend_option, device_option, json_option
from ...runtime.errors import CycleganError, UsageError, training_side
from ...trainer.commands.options import DATASET

if TYPE_CHECKING:
    from rich.table import Table

    from ...trainer.checkpoints.checkpoint import Weights
    from ..evaluation.pictures import Evaluation


# What every metric tells, in the order of the table.
MEANINGS = {
    "psnr": "dB, to the true picture · higher is better",
    "ssim": "structure, to the true picture · 1 at best",
    "gmsd": "unevenly kept edges, to the true picture · 0 at best",
    "fid": "Fréchet distance of features · lower is better",
    "kid": "kernel distance of features · 0 at best",
    "kid_low": "lower bound of its 95 % interval",
    "kid_high": "upper bound of its 95 % interval",
    "swd": "local structure, x1000 · 0 at best, without weights",
    "colour": "steps of 1/255 that colours must move · 0 at best, without weights",
    "checkerboard": "dB that a grid stands out beyond real pictures · 0 or less is good",
}
OTHERS = {
    "cycle_psnr_A": "dB, A → B → A to A · higher is better",
    "cycle_psnr_B": "dB, B → A → B to B · higher is better",
    "cycle_l1": "mean error of both cycles, of values in [-1, 1]",
    "identity_psnr_A": "dB, G_B given a picture of A already",
    "identity_psnr_B": "dB, G_A given a picture of B already",
}


@click.command()
@click.argument("source", metavar="ARTEFACT_OR_SOURCE", type=PathType())
@click.argument("dataroot", required=False, type=DATASET)
@click.option(
    "--video",
    type=PathType(),
    help="Measure how steady the translation of this video is instead, without smoothing and with each way of it.",
)
@click.option(
    "--size",
    type=click.IntRange(8, 4096),
    help="Side of the squares that are compared, in pixels.  [default: as trained]",
)
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), help="Take only the first N pictures of each folder, or frames."
)
@click.option(
    "--features",
    type=PathType(),
    help="TorchScript or ONNX network for FID and KID: float32 [N, 3, H, W] in [0, 255] to [N, D].",
)
@click.option(
    "--weights",
    type=click.Choice(["ema", "raw"]),
    default="ema",
    show_default=True,
    help="Checkpoint: ema: averaged weights if it keeps any; raw: those of the last step.",
)
@backend_option
@device_option
@json_option
def evaluate(
    source: Path,
    dataroot: str | None,
    video: Path | None,
    size: int | None,
    limit: int | None,
    features: Path | None,
    weights: "Weights",
    backend: str,
    device: str,
    as_json: bool,
) -> None:
    """Measure how good the translations of DATAROOT/testA and testB are, compared with not translating at all.

    ARTEFACT_OR_SOURCE is an exported model, a run folder, a checkpoint, or weights of the official code. If both
    folders use the same names, each picture is the truth for the other. Without --features no figure can be compared
    with a published FID.

    With --video an exported model translates a video. The warping error measures flicker (lower is steadier); PSNR and
    SSIM measure how much smoothing changes the translation of each frame.
    """
    if video is not None:
        _evaluate_video(source, video, limit, backend, device, as_json)
        return
    if dataroot is None:
        raise UsageError("name the DATAROOT that holds testA and testB, or a --video")
    with training_side():
        from ..evaluation.pictures import run_evaluation

    with spinner(f"evaluating {source.name}"):
        evaluation = run_evaluation(
            source,
            dataroot,
            size=size,
            limit=limit or 0,
            features=features,
            weights=weights,
            backend=backend,
            device=device,
        )
    if as_json:
        click.echo(json.dumps(asdict(evaluation)))
    else:
        _print(evaluation)
    if evaluation.skipped:
        raise CycleganError(f"{evaluation.skipped} files could not be read and were left out; see above")


def _evaluate_video(source: Path, video: Path, limit: int | None, backend: str, device: str, as_json: bool) -> None:
    from ..evaluation.temporal_consistency import evaluate_video

    with spinner(f"evaluating {source.name} on {video.name}"):
        scores = evaluate_video(source, video, limit=limit, backend=backend, device=device)
    if as_json:
        click.echo(json.dumps([asdict(score) for score in scores]))
        return
    click.echo("smoothing  warping error  PSNR dB    SSIM")
    for score in scores:
        own = score.smoothing == "off"  # it is the measure of the others
        likeness = "" if own else f"{score.psnr_db:7.2f}  {score.ssim:6.4f}"
        click.echo(f"{score.smoothing:9}  {score.warping_error:13.6f}  {likeness}".rstrip())


def _print(evaluation: "Evaluation") -> None:
    print_wide(_table(evaluation))


def _table(evaluation: "Evaluation") -> "Table":
    from rich.table import Table

    counts = (
        f"{evaluation.pictures['A']} + {evaluation.pictures['B']} pictures{', paired' if evaluation.paired else ''}"
    )
    table = Table(
        title=f"{evaluation.subject} on {counts} at {evaluation.size}x{evaluation.size}", title_justify="left"
    )
    table.add_column("metric")
    for direction in evaluation.directions:
        table.add_column(direction, justify="right")
        if evaluation.untranslated:
            table.add_column("untranslated", justify="right", style="dim")
    table.add_column("meaning", style="dim")
    for name, meaning in MEANINGS.items():
        cells = []
        for direction in evaluation.directions:
            cells.append(_shown(evaluation.metrics.get(f"{name}_{direction}")))
            if evaluation.untranslated:
                cells.append(_shown(evaluation.untranslated.get(f"{name}_{direction}")))
        if any(cells):
            table.add_row(name, *cells, meaning)
    for name, meaning in OTHERS.items():
        if name in evaluation.metrics:
            blank = [""] * (len(table.columns) - 3)
            table.add_row(name, _shown(evaluation.metrics[name]), *blank, meaning)
    if evaluation.features is None:
        table.caption = "Distances without weights compare runs on these pictures, never with a published FID."
        table.caption_justify = "left"
    return table


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
