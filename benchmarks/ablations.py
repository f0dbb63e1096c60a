"""What single options of training bring: one baseline, one option changed at a time, several seeds, equal steps.

    python benchmarks/ablations.py [DATAROOT] [--steps 1000] [--seeds 3] [--variant NAME]… [--quick]

Both directions of a CycleGAN with two `edge_resnet_3blocks` (ngf 8) are trained at 64x64, and measured on the pictures
of testA and testB with the averaged weights. Beside what `cyclegan evaluate` tells stand:

- cycle, noisy: the PSNR of the way there and back if noise with a deviation of two steps lies on the picture between
- flat: the largest deviation of a channel with which black, gray and white frames with noise of one step come out

Runs are kept in --runs: what is there already goes on or is not trained again. Writes ablations.json and .md into
benchmarks/results/, with the mean and the standard deviation over the seeds.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import click
import torch
from runs import fit_schedule, train
from torch import Tensor, nn

from cyclegan_edge.runtime.machine.doctor import machine
from cyclegan_edge.runtime.metadata import Direction
from cyclegan_edge.trainer.checkpoints.checkpoint import load_generator
from cyclegan_edge.trainer.config import TrainConfig, resolve_config
from cyclegan_edge.trainer.data.dataset import Domain, evenly, load_held_out
from cyclegan_edge.trainer.evaluation.evaluate import OPPOSITE, as_8_bit, evaluate, translate_all, untranslated
from cyclegan_edge.trainer.evaluation.paired import mean_of, psnr

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
DIRECTIONS: tuple[Direction, ...] = ("AtoB", "BtoA")
NOISE = 2.0  # deviation in steps of 1/255, on the picture between there and back
FLAT_SIDE = 128

BASELINE: dict[str, dict[str, Any]] = {
    "data": {"load_size": 64, "crop_size": 64, "flip": False, "batch_size": 4},
    "networks": {"generator": "edge_resnet_3blocks", "ngf": 8, "ndf": 32},
    "optim": {"lr": 1e-3},
    "run": {"device": "cpu", "precision": "fp32", "preview_every": 10**6, "save_every": 500, "log_every": 100},
}
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "baseline": {},
    "cycle_noise=1": {"losses": {"cycle_noise": 1.0}},
    "tail=smooth": {"networks": {"tail": "smooth"}},
    "norm_floor=1": {"networks": {"norm_floor": 1.0}},
    "tail=smooth norm_floor=1": {"networks": {"tail": "smooth", "norm_floor": 1.0}},
}
QUICK = {"networks": {"ndf": 4}, "data": {"max_dataset_size": 8, "batch_size": 2}}
# A column: what it is called, its key, and the places that are shown.
COLUMNS = (
    ("PSNR dB", "psnr", 2),
    ("SSIM", "ssim", 3),
    ("patches ↓", "swd", 1),
    ("colour ↓", "colour", 2),
    ("grid dB ↓", "checkerboard", 2),
    ("cycle dB", "cycle_psnr", 2),
    ("cycle, noisy dB", "cycle_psnr_noisy", 2),
    ("flat ↓", "flat_deviation", 1),
)


@dataclass(frozen=True)
class Trained:
    """One run, measured."""

    variant: str
    seed: int
    values: dict[str, float]  # by the keys of COLUMNS, the mean of both directions


def configure(variant: str, seed: int, dataroot: Path, steps: int, quick: bool) -> TrainConfig:
    """Return the configuration of a run; the learning rate falls over the second half of the steps."""
    run = {"seed": seed, "max_steps": steps}
    layers = [BASELINE, VARIANTS[variant], {"data": {"dataroot": str(dataroot.resolve())}, "run": run}]
    merged: dict[str, dict[str, Any]] = {}
    for layer in [*layers, QUICK if quick else {}]:
        merged |= {part: merged.get(part, {}) | values for part, values in layer.items()}
    config = resolve_config(merged)
    every = {"validate_every_epochs": 10**6, "keep_every_epochs": 10**6}
    return fit_schedule(resolve_config(config.model_dump(), {"run": config.run.model_dump() | every}), steps)


def measure(folder: Path, held_out: tuple[Domain, Domain]) -> dict[str, float]:
    """Measure a trained run; every value is the mean of both directions, but the flat deviation the larger."""
    generators: dict[Direction, nn.Module] = {way: load_generator(folder, way).network for way in DIRECTIONS}
    translators = {way: partial(translate_all, generator, device=CPU) for way, generator in generators.items()}
    found = evaluate(translators, held_out)
    values = averaged(found)
    noisy = []
    for direction, pictures in zip(DIRECTIONS, (held_out[0].stacked, held_out[1].stacked), strict=True):
        between = translators[direction](pictures).float()
        noise = NOISE * torch.randn(between.shape, generator=torch.Generator().manual_seed(0))
        back = translators[OPPOSITE[direction]]((between + noise).round().clamp(0, 255).byte())
        noisy.append(mean_of(psnr(back, as_8_bit(pictures))))
    values["cycle_psnr_noisy"] = fmean(noisy)
    flat = flat_frames()
    values["flat_deviation"] = max(
        float(translate(flat).float().std((2, 3)).max()) for translate in translators.values()
    )
    return values


def averaged(found: dict[str, float]) -> dict[str, float]:
    """Average over both directions what `evaluate` tells of each."""
    keys = [key for _, key, _ in COLUMNS]
    return {
        key: fmean(values)
        for key in keys
        if (values := [value for name, value in found.items() if name.removesuffix("_A").removesuffix("_B") == key
            or name in (f"{key}_AtoB", f"{key}_BtoA")])
    }  # fmt: skip


def flat_frames() -> Tensor:
    """Return black, gray and white frames with noise of one step, uint8 [3, 3, H, W]."""
    noise = torch.randint(-1, 2, (3, 3, FLAT_SIDE, FLAT_SIDE), generator=torch.Generator().manual_seed(0))
    return (torch.tensor([0, 127, 255])[:, None, None, None] + noise).clamp(0, 255).byte()


def table(rows: list[Trained], nothing: dict[str, float]) -> Iterator[str]:
    """Lay out the mean and the standard deviation over the seeds of each variant, as Markdown."""
    heads = ["", "seeds", *(head for head, _, _ in COLUMNS)]
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    cells = [f"{nothing[key]:.{places}f}" if key in nothing else "" for _, key, places in COLUMNS]
    yield "| " + " | ".join(["untranslated", "", *cells]) + " |"
    for variant in dict.fromkeys(row.variant for row in rows):
        of_variant = [row.values for row in rows if row.variant == variant]
        cells = [cell([values[key] for values in of_variant], places) for _, key, places in COLUMNS]
        yield "| " + " | ".join([f"`{variant}`" if "=" in variant else variant, f"{len(of_variant)}", *cells]) + " |"


def cell(values: list[float], places: int) -> str:
    """Write a mean, with the standard deviation where there is one."""
    spread = f" ± {stdev(values):.{places}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{places}f}{spread}"


@click.command()
@click.argument("dataroot", type=click.Path(path_type=Path, exists=True), default=ROOT / "examples" / "emoji")
@click.option("--variant", "variants", multiple=True, type=click.Choice(list(VARIANTS)), default=tuple(VARIANTS))
@click.option("--steps", default=1000, show_default=True, help="Steps of every run.")
@click.option("--seeds", default=3, show_default=True, help="Seeds that every variant is trained with.")
@click.option("--runs", type=click.Path(path_type=Path), default="runs/ablations", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=ROOT / "benchmarks" / "results")
@click.option("--quick", is_flag=True, help="Eight pictures and small discriminators: see that it runs.")
def main(
    dataroot: Path, variants: tuple[str, ...], steps: int, seeds: int, runs: Path, output: Path, quick: bool
) -> None:
    """Train, measure, and write what came of it, after each run anew."""
    pictures = load_held_out(configure("baseline", 0, dataroot, steps, quick))
    if pictures is None:
        raise click.UsageError(f"{dataroot} has no testA and testB")
    most = 8 if quick else 10**9
    held_out = evenly(pictures[0], most), evenly(pictures[1], most)
    nothing = averaged(untranslated(held_out))
    output.mkdir(parents=True, exist_ok=True)
    stem = output / f"ablations{'-quick' if quick else ''}"
    rows: list[Trained] = []
    for seed in range(seeds):  # all variants of a seed first: what is stopped early can be compared
        for variant in variants:
            folder = runs / f"{variant}-{seed}"
            click.echo(folder.name, err=True)
            train(configure(variant, seed, dataroot, steps, quick), folder)
            rows.append(Trained(variant, seed, measure(folder, held_out)))
            write(stem, rows, nothing, steps, len(held_out[0]))
    click.echo(stem.with_suffix(".md").read_text(encoding="utf-8"))


def write(stem: Path, rows: list[Trained], nothing: dict[str, float], steps: int, num_pictures: int) -> None:
    """Write all that is measured so far."""
    told = {
        "machine": machine(), "steps": steps, "test_pictures": num_pictures, "baseline": BASELINE,
        "variants": VARIANTS, "untranslated": nothing, "rows": [asdict(row) for row in rows],
    }  # fmt: skip
    stem.with_suffix(".json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    about = f"{' · '.join(str(value) for value in machine().values())}; {num_pictures} test pictures of each domain at "
    about += f"64x64, {steps} steps each; the mean of both directions, mean ± standard deviation over the seeds"
    lines = "\n".join([about, "", *table(rows, nothing)])
    stem.with_suffix(".md").write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
