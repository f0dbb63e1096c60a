"""What distillation brings: students of one teacher beside each other, in quality and in time.

    python benchmarks/distill.py TEACHER [DATAROOT] --steps 20000 [--seeds 3] [--size 256x256] [--quick]

Every student is trained for the same number of steps in three ways: distilled, from the teacher's pictures alone
(lambda_features=0), and without a teacher, by plain CycleGAN. The first student is trained with several seeds. Each is
measured AtoB against the true pictures of testB, in PyTorch and as an INT8 file, and against the teacher's
translations, at the size of the training crops; its architecture is timed in every engine, in FP32 and INT8, at --size.
Runs are kept in --runs: what is there already goes on or is not trained again. Writes distill.json, .md, .png (all
beside each other) and .svg (quality over time) into benchmarks/results/.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

import click
import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from PIL import Image, ImageDraw
from runs import fit_schedule, train

from cyclegan_edge.export.graph.onnx_export import export_onnx
from cyclegan_edge.export.profiling.costs import count_costs
from cyclegan_edge.export.quantization.int8 import quantise_roughly, run
from cyclegan_edge.runtime.commands.options import parse_size
from cyclegan_edge.runtime.contract import Picture
from cyclegan_edge.runtime.machine.doctor import machine
from cyclegan_edge.trainer.checkpoints.checkpoint import (
    LoadedGenerator,
    load_generator,
)
from cyclegan_edge.trainer.config import TrainConfig, resolve_config
from cyclegan_edge.trainer.data.dataset import domain_folder, evenly, list_pictures, load_held_out
from cyclegan_edge.trainer.data.pictures import decode_picture
from cyclegan_edge.trainer.evaluation.evaluate import as_8_bit, evaluate, translate_all, untranslated
from cyclegan_edge.trainer.evaluation.paired import mean_of, psnr
from cyclegan_edge.trainer.methods.teacher import as_taught

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
STUDENTS = ("edge_resnet_3blocks:8", "edge_resnet_6blocks:16", "mobile_resnet_9blocks:16", "resnet_6blocks:8")
# The weight of the teacher's activations, and the learning rate that did best in trials of 600 steps.
WAYS = {"distilled": (1.0, 2e-3), "output alone": (0.0, 2e-3), "no teacher": (None, 1e-3)}
QUICK = {"networks": {"ndf": 4}, "data": {"max_dataset_size": 8, "batch_size": 2}}
MARKERS = {"teacher": "*", "distilled": "o", "output alone": "^", "no teacher": "s"}
SHOWN = 8  # pictures
# Of `cyclegan evaluate`, and the places that a table shows of them.
METRICS = {"psnr": 2, "ssim": 3, "gmsd": 3, "swd": 1, "colour": 2, "checkerboard": 1}
CALIBRATED = 32  # pictures that INT8 is calibrated on


@dataclass(frozen=True)
class Plan:
    """One generator to train."""

    generator: str
    ngf: int
    way: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its run."""
        return f"{self.generator}-{self.ngf}-{self.way.replace(' ', '-')}-{self.seed}"


@dataclass(frozen=True)
class Cost:
    """What an architecture costs whatever it has learnt; times by engine and precision."""

    parameters: int
    macs: int
    file_bytes: dict[str, int]
    p50_ms: dict[str, float]


@dataclass(frozen=True)
class Row:
    """One generator, trained and measured."""

    plan: Plan
    cost: Cost
    quality: dict[str, float]  # what `cyclegan evaluate` tells
    int8_psnr_db: float  # to the truth
    to_teacher_db: float | None


def plans(students: tuple[str, ...], seeds: int) -> Iterator[Plan]:
    """List what is to be trained; the first student in every way with every seed."""
    for number, student in enumerate(students):
        generator, _, ngf = student.partition(":")
        for seed in range(1 if number else seeds):
            for way in WAYS:
                yield Plan(generator, int(ngf), way, seed)


def configure(plan: Plan, teacher: Path, dataroot: Path, steps: int, quick: bool) -> TrainConfig:
    """Return the configuration of a run; the learning rate falls over the second half of the steps."""
    taught = as_taught(teacher, "AtoB")
    lambda_features, lr = WAYS[plan.way]
    layer = {
        "data": {"dataroot": str(dataroot.resolve())},
        "networks": {"generator": plan.generator, "ngf": plan.ngf},
        "optim": {"lr": lr},
        "run": {"seed": plan.seed, "max_steps": steps, "save_every": 1000, "preview_every": 5000},
    }
    if lambda_features is not None:
        layer["distill"] = {"teacher": str(teacher.resolve()), "lambda_features": lambda_features}
    else:
        taught["losses"].pop("lambda_identity")
    return fit_schedule(resolve_config(taught, layer, QUICK if quick else {}), steps)


def cost_of(generator: LoadedGenerator, calibration: Picture, size: tuple[int, int], seconds: float) -> Cost:
    """Export a generator in FP32 and INT8, and time both in every engine."""
    with tempfile.TemporaryDirectory() as folder:
        full, small = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        metadata = export_onnx(generator, full)
        shutil.copyfile(full, small)
        quantise_roughly(small, metadata, calibration)
        return Cost(
            parameters=sum(weight.numel() for weight in generator.network.parameters()),
            macs=sum(cost.macs for cost in count_costs(full, (1, *size, generator.input_nc))),
            file_bytes={path.stem: path.stat().st_size for path in (full, small)},
            p50_ms=time_files(full, small, size=size, seconds=seconds),
        )


def time_files(*files: Path, size: tuple[int, int], seconds: float) -> dict[str, float]:
    """Return the median milliseconds of files in every engine, by `cyclegan bench` in a process started by itself.

    In children of this process, OpenVINO was seen to use one core of two.
    """
    options = ["--size", f"{size[0]}x{size[1]}", "--seconds", str(seconds), "--device", "cpu", "--json"]
    command = [sys.executable, "-m", "cyclegan_edge.cli", "bench", *map(str, files), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # 1: an engine could not
    found = {}
    for result in json.loads(done.stdout)["results"]:
        precision = "int8" if result["artefact"] == "int8.onnx" else result["precision"]
        if result["engine"]:
            found[f"{result['backend']} {precision}"] = result["engine"]["p50_ms"]
    return found


def int8_psnr_db(generator: LoadedGenerator, calibration: Picture, real: Picture, truth: torch.Tensor) -> float:
    """Return the PSNR to the truth of the generator as an INT8 file, calibrated on uint8 [N, H, W, C]."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantise_roughly(path, export_onnx(generator, path), calibration)
        made = run(path, "uint8", real)
    return mean_of(psnr(torch.from_numpy(made).permute(0, 3, 1, 2), truth))


def quality_cells(quality: dict[str, float]) -> list[str]:
    """Return the cells of a table."""
    return [f"{quality[f'{name}_AtoB']:.{places}f}" for name, places in METRICS.items()]


def lay_out(heads: list[str], lines: Iterable[list[str]]) -> Iterator[str]:
    """Lay lines of cells out as Markdown."""
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for cells in lines:
        yield "| " + " | ".join(cells) + " |"


def costs_table(rows: list[Row]) -> Iterator[str]:
    """Tell what each architecture costs."""
    engines = list(rows[0].cost.p50_ms)
    heads = ["generator", "ngf", "parameters", "GMAC", "FP32 kB", "INT8 kB", *(f"{name}, ms" for name in engines)]
    lines = []
    for (generator, ngf), cost in {(row.plan.generator, row.plan.ngf): row.cost for row in rows}.items():
        cells = [generator, f"{ngf}", f"{cost.parameters:,}", f"{cost.macs / 1e9:.2f}"]
        cells += [f"{cost.file_bytes[kind] / 1000:.0f}" for kind in ("fp32", "int8")]
        lines.append(cells + [f"{cost.p50_ms[name]:.2f}" for name in engines])
    return lay_out(heads, lines)


def quality_table(rows: list[Row], nothing: dict[str, float]) -> Iterator[str]:
    """Tell how good each run became, beside the untranslated pictures."""
    heads = ["generator", "ngf", "way", "seed", "PSNR dB", "SSIM", "GMSD ↓", "patches ↓", "colour ↓", "grid dB ↓"]
    lines = [["untranslated", "", "", "", *quality_cells(nothing), "", ""]]
    for row in rows:
        plan = row.plan
        near = "" if row.to_teacher_db is None else f"{row.to_teacher_db:.2f}"
        cells = [plan.generator, f"{plan.ngf}", plan.way, f"{plan.seed}", *quality_cells(row.quality)]
        lines.append([*cells, f"{row.int8_psnr_db:.2f}", near])
    return lay_out([*heads, "PSNR in INT8, dB", "to the teacher, dB"], lines)


def spread(rows: list[Row]) -> Iterator[str]:
    """Tell the mean and standard deviation over seeds of each way of the student that has several."""
    for way in WAYS:
        first = rows[1].plan
        found = [row for row in rows if row.plan == replace(first, way=way, seed=row.plan.seed)]
        if len(found) > 1:
            values = [psnr_of(row) for row in found]
            yield (
                f"{first.generator}, ngf {first.ngf}, {way}, {len(found)} seeds: PSNR {fmean(values):.2f} ± "
                f"{stdev(values):.2f} dB"
            )


def side_by_side(named: dict[str, torch.Tensor], path: Path) -> None:
    """Draw a row of pictures, uint8 [N, C, H, W], for each name."""
    margin, side = 330, max(64, next(iter(named.values())).shape[-1])
    sheet = Image.new("RGB", (margin + SHOWN * (side + 2), len(named) * (side + 2)), "white")
    pen = ImageDraw.Draw(sheet)
    for line, (name, pictures) in enumerate(named.items()):
        pen.text((6, line * (side + 2) + side // 2 - 6), name, fill="black", font_size=15)
        for column, picture in enumerate(pictures[:SHOWN]):
            pixels = Image.fromarray(picture.permute(1, 2, 0).numpy()).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(pixels, (margin + column * (side + 2), line * (side + 2)))
    sheet.save(path)


def psnr_of(row: Row) -> float:
    """Return a run's PSNR to the truth in dB."""
    return row.quality["psnr_AtoB"]


def plot(rows: list[Row], nothing: dict[str, float], engine: str, path: Path) -> None:
    """Draw PSNR against the truth over the milliseconds in one engine, on a logarithmic axis."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for way, marker in MARKERS.items():
        shown = [row for row in rows if row.plan.way == way]
        values = [psnr_of(row) for row in shown]
        axes.scatter([row.cost.p50_ms[engine] for row in shown], values, marker=marker, s=60, alpha=0.8, label=way)
    lowest = {f"{row.plan.generator}\nngf {row.plan.ngf}": row for row in sorted(rows, key=lambda row: -psnr_of(row))}
    for name, row in lowest.items():
        place = row.cost.p50_ms[engine], psnr_of(row)
        axes.annotate(name, place, (0, -8), textcoords="offset points", ha="center", va="top", size=8)
    axes.axhline(nothing["psnr_AtoB"], color="#888", ls="--", lw=1, label="untranslated")
    axes.set(xscale="log", xlabel=f"ms a picture in {engine}", ylabel="PSNR to the truth, dB")
    axes.margins(0.15, 0.2)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(ScalarFormatter())
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False)
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})


@click.command()
@click.argument("teacher", type=click.Path(path_type=Path, exists=True))
@click.argument("dataroot", type=click.Path(path_type=Path, exists=True), default=ROOT / "examples" / "emoji")
@click.option("--student", "students", multiple=True, default=STUDENTS, show_default=True, help="GENERATOR:NGF.")
@click.option("--steps", default=20_000, show_default=True, help="Steps of every run.")
@click.option("--seeds", default=3, show_default=True, help="Seeds that the first student is trained with.")
@click.option("--size", metavar="HxW", callback=parse_size, default="256x256", show_default=True)
@click.option("--seconds", default=3.0, show_default=True, help="That each engine is measured for.")
@click.option("--runs", type=click.Path(path_type=Path), default="runs/distill-benchmark", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=ROOT / "benchmarks" / "results")
@click.option("--quick", is_flag=True, help="Eight pictures and small discriminators: see that it runs.")
def main(
    teacher: Path, dataroot: Path, students: tuple[str, ...], steps: int, seeds: int, size: tuple[int, int],
    seconds: float, runs: Path, output: Path, quick: bool,
) -> None:  # fmt: skip
    """Train, measure, and write what came of it."""
    config = load_generator(teacher, "AtoB").config
    data = config.data.model_copy(update={"dataroot": str(dataroot.resolve())})
    held_out = load_held_out(config.model_copy(update={"data": data}))
    if held_out is None:
        raise click.UsageError(f"{dataroot} has no testA and testB")
    held_out = evenly(held_out[0], SHOWN if quick else 10**9), evenly(held_out[1], SHOWN if quick else 10**9)
    real, truth = (as_8_bit(domain.stacked) for domain in held_out)
    given: Picture = np.ascontiguousarray(real.permute(0, 2, 3, 1).numpy())
    seen = list_pictures(domain_folder(data, "train", "A"))[:CALIBRATED]
    calibration: Picture = np.stack([decode_picture(path, config.data.crop_size) for path in seen])
    taught = load_generator(teacher, "AtoB")
    wanted = translate_all(taught.network, held_out[0].stacked, CPU)
    costs: dict[tuple[str, int], Cost] = {}

    def measured(source: Path, plan: Plan) -> tuple[Row, torch.Tensor]:
        generator = load_generator(source, "AtoB")
        translate = partial(translate_all, generator.network, device=CPU)
        made = translate(held_out[0].stacked)
        key = plan.generator, plan.ngf
        if key not in costs:
            costs[key] = cost_of(generator, calibration[:8], size, seconds)
        near = None if plan.way == "teacher" else mean_of(psnr(made, wanted))
        in_int8 = int8_psnr_db(generator, calibration, given, truth)
        return Row(plan, costs[key], evaluate({"AtoB": translate}, held_out), in_int8, near), made

    itself = Plan(config.networks.generator, config.networks.ngf, "teacher", 0)
    rows = [measured(teacher, itself)[0]]
    named = {"input (A)": real, "truth (B)": truth, f"teacher: {itself.generator} {itself.ngf}": wanted}
    for plan in plans(students, seeds):
        click.echo(plan.name, err=True)
        train(configure(plan, teacher, dataroot, steps, quick), runs / plan.name)
        row, made = measured(runs / plan.name, plan)
        rows.append(row)
        if plan.seed == 0:
            named[f"{plan.generator} {plan.ngf}, {plan.way}"] = made
    output.mkdir(parents=True, exist_ok=True)
    stem = output / f"distill{'-quick' if quick else ''}"
    nothing = untranslated(held_out)
    told = {
        "machine": machine(), "steps": steps, "size": size, "crop": config.data.crop_size,
        "test_pictures": len(given), "untranslated": nothing, "rows": [asdict(row) for row in rows],
    }  # fmt: skip
    stem.with_suffix(".json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    crop = f"{config.data.crop_size}x{config.data.crop_size}"
    about = f"{' · '.join(str(value) for value in machine().values())}; quality at {crop}, {len(given)} test pictures, "
    about += f"{steps} steps each; time at {size[0]}x{size[1]}"
    tables = [*costs_table(rows), "", *quality_table(rows, nothing), "", *spread(rows)]
    written = "\n".join([about, "", *tables]).rstrip() + "\n"
    stem.with_suffix(".md").write_text(written, encoding="utf-8")
    click.echo(written)
    side_by_side(named, stem.with_suffix(".png"))
    engines = list(rows[0].cost.p50_ms)
    engine = next((name for name in engines if name.startswith("openvino")), engines[0])
    plot(rows, nothing, engine, stem.with_suffix(".svg"))


if __name__ == "__main__":
    main()
