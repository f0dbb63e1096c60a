"""How a run's start, memory and step grow with the number of pictures, beside torchvision's ImageFolder and DataLoader.

    python benchmarks/data.py [--pictures N]… [--memory-only] [--quick]

A dataset of N pictures in each domain is made of hard links to 2,000 distinct JPEG files. Every measurement is a
process of its own: ours with an empty cache (cold), with a full one (warm), two of them at once as ranks of one
machine, and the peer with a worker for every processor. All take the same training steps. Results go to
benchmarks/results/.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cyclegan_edge.trainer.config import TrainConfig, resolve_config
from cyclegan_edge.trainer.data.batches import UnpairedBatches
from cyclegan_edge.trainer.data.dataset import load_training
from cyclegan_edge.trainer.device import pick_device, tune
from cyclegan_edge.trainer.distributed import World
from cyclegan_edge.trainer.methods.cyclegan import CycleGAN

RESULTS = Path(__file__).parent / "results"
DISTINCT = 2000
DOMAINS = ("trainA", "trainB")


def make_dataset(root: Path, pictures: int, distinct: int, side: int) -> None:
    """Write trainA and trainB of `pictures` files each, hard links to `distinct` pictures of `side` pixels."""
    originals = root.parent / "originals"
    if not originals.exists():
        originals.mkdir(parents=True)
        rng = np.random.default_rng(0)
        for number in range(distinct):
            coarse = rng.integers(0, 256, (side // 16, side // 16, 3), np.uint8)
            picture = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
            picture.save(originals / f"{number:05}.jpg", quality=90)
    files = sorted(originals.iterdir())
    for domain in DOMAINS:
        folder = root / domain / "all"  # ImageFolder wants a class
        folder.mkdir(parents=True)
        for number in range(pictures):
            os.link(files[number % len(files)], folder / f"{number:06}.jpg")


def configure(root: Path, cache: Path, side: int, device: str, quick: bool) -> TrainConfig:
    """Return the configuration of a run on 286/256 of `side`, cropped to it; `quick` makes the networks tiny."""
    tiny = {"networks": {"generator": "resnet_1blocks", "ngf": 4, "ndf": 4}} if quick else {}
    data = {"dataroot": str(root), "cache": str(cache), "load_size": round(side * 286 / 256), "crop_size": side}
    return resolve_config({"data": data, "run": {"device": device}}, tiny)


def ours(config: TrainConfig, device: torch.device, rank: int) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Return the batches of a run as they come to its step."""
    return UnpairedBatches(
        load_training(config), config.data, 0, device, World(max(rank, 0), 2 if rank >= 0 else 1)
    ).batch


def peer(config: TrainConfig, device: torch.device, workers: int) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Return the batches of ImageFolder and DataLoader, with the same sizes and draws of their own."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    data = config.data
    change = v2.Compose(
        [
            v2.ToImage(),
            v2.Resize([data.load_size, data.load_size], v2.InterpolationMode.BICUBIC),
            v2.RandomCrop(data.crop_size),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5], [0.5]),
        ]
    )

    def endless(domain: str) -> Iterator[Tensor]:
        pictures = ImageFolder(str(Path(data.dataroot) / domain), change)
        loader = DataLoader(
            pictures, data.batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0
        )
        while True:
            for batch, _ in loader:
                yield batch

    both = [endless(domain) for domain in DOMAINS]
    return lambda step: (next(both[0]).to(device), next(both[1]).to(device))


def measure(kind: str, config: TrainConfig, steps: int, reads: int) -> dict[str, Any]:
    """Time the start and some steps of a run, and read `reads` batches more; returns seconds and peak bytes."""
    started = time.perf_counter()
    device = pick_device(config.run.device)
    tune(device)
    if kind == "peer":
        batches = peer(config, device, os.cpu_count() or 1)
    else:
        batches = ours(config, device, int(kind.removeprefix("rank")) if kind.startswith("rank") else -1)
    model = CycleGAN(config, device, None)
    times = []
    for step in range(steps):
        before = time.perf_counter()
        losses = model.step(*batches(step))
        losses["D_A"].item()  # waits for the device
        times.append(time.perf_counter() - before)
        if step == 0:
            first = time.perf_counter() - started
    read = time.perf_counter()
    for step in range(steps, steps + reads):
        batches(step)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {
        "kind": kind, "first_step_s": first, "step_s": median(times[1:]), "reads_s": time.perf_counter() - read,
        "peak_bytes": 1024 * peak, "worker_peak_bytes": 1024 * workers,
    }  # fmt: skip


def table(rows: list[dict[str, Any]], device: str, times: bool) -> str:
    """Return the results as Markdown; without `times` only memory is told."""
    fewest = min(row["pictures"] for row in rows)
    base = {row["kind"]: row for row in rows if row["pictures"] == fewest}
    lines = [
        f"{device}; torch {torch.__version__}; {rows[0]['network']}, {rows[0]['side']}x{rows[0]['side']}, batch 1",
        "",
        f"| pictures a domain | loader | peak RSS | more than with {fewest} | first step | step | beside {fewest} "
        "| every picture once |",
        "|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        start = base[row["kind"]]
        more = (row["peak_bytes"] - start["peak_bytes"]) / 2**20
        seconds = ("not measured",) * 4
        if times:
            ratio, once = row["step_s"] / start["step_s"], one_pass(row, rows)
            seconds = (
                f"{row['first_step_s']:.1f} s", f"{1000 * row['step_s']:.0f} ms", f"{ratio:.2f}", f"{once:.0f} s",
            )  # fmt: skip
        peak = row["peak_bytes"] / 2**20
        lines.append(
            f"| {row['pictures']} | {row['kind']} | {peak:.0f} MiB | {more:+.0f} MiB | {' | '.join(seconds)} |"
        )
    return "\n".join(lines) + "\n"


def one_pass(row: dict[str, Any], rows: list[dict[str, Any]]) -> float:
    """Return the seconds in which a loader reads every picture of both domains once.

    Of the cold cache that is how much later it starts than the warm one: it decodes and writes them. Of the others it
    is what their reads took, for as many as there are.
    """
    if row["kind"] == "cold":
        (warm,) = (other for other in rows if (other["pictures"], other["kind"]) == (row["pictures"], "warm"))
        return float(row["first_step_s"] - warm["first_step_s"])
    processes = 2 if row["kind"].startswith("two") else 1
    return float(row["reads_s"] / (processes * row["reads"]) * row["pictures"])


def run_all(pictures: int, scratch: Path, options: list[str]) -> list[dict[str, Any]]:
    """Measure every kind on one number of pictures, each in its process; the two ranks run together."""
    rows = []
    for kinds in (("cold",), ("warm",), ("rank0", "rank1"), ("peer",)):
        click.echo(f"{pictures} {' '.join(kinds)} …", err=True)
        commands = [[sys.executable, __file__, "--worker", kind, "--scratch", str(scratch), *options] for kind in kinds]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
        outputs = [process.communicate()[0] for process in processes]
        if any(process.returncode for process in processes):
            raise click.ClickException(f"{' '.join(kinds)} failed")
        found = [json.loads(output.splitlines()[-1]) for output in outputs]
        row = found[0] | {"pictures": pictures, "kind": kinds[0] if len(kinds) == 1 else "two ranks, warm"}
        for key in ("peak_bytes", "worker_peak_bytes"):
            row[key] = sum(one[key] for one in found)
        rows.append(row)
    return rows


@click.command()
@click.option("--pictures", "counts", multiple=True, type=int, default=(1000, 10_000, 100_000), show_default=True)
@click.option("--side", default=256, show_default=True, help="Crop that is trained on; the files are as large.")
@click.option("--steps", default=20, show_default=True, help="Training steps that are timed.")
@click.option("--reads", default=2000, show_default=True, help="Batches that are read after them.")
@click.option("--device", default="auto", show_default=True)
@click.option("--memory-only", is_flag=True, help="Leave times out, where other programs are running.")
@click.option("--quick", is_flag=True, help="Tiny networks.")
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS, help="Folder for the results.")
@click.option("--scratch", type=click.Path(path_type=Path), help="Folder for the datasets and caches.")
@click.option("--worker", hidden=True)
def main(
    counts: tuple[int, ...], side: int, steps: int, reads: int, device: str, memory_only: bool, quick: bool,
    output: Path, scratch: Path | None, worker: str | None,
) -> None:  # fmt: skip
    """Measure every number of pictures and write a table."""
    if worker:
        assert scratch is not None
        config = configure(scratch / "data", scratch / "cache", side, device, quick)
        click.echo(json.dumps(measure(worker, config, steps, reads)))
        return
    rows = []
    options = ["--side", str(side), "--steps", str(steps), "--reads", str(reads), "--device", device]
    options += ["--quick"] if quick else []
    for count in counts:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            make_dataset(Path(folder) / "data", count, min(DISTINCT, count), side)
            rows += run_all(count, Path(folder), options)
            shutil.rmtree(Path(folder) / "cache")
    network = "resnet_1blocks of 4 channels" if quick else "resnet_9blocks"
    rows = [row | {"side": side, "network": network, "reads": reads} for row in rows]
    written = table(rows, str(pick_device(device)), not memory_only)
    output.mkdir(parents=True, exist_ok=True)
    if memory_only:
        rows = [{key: value for key, value in row.items() if not key.endswith("_s")} for row in rows]
    (output / "data.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    (output / "data.md").write_text(written, encoding="utf-8")
    click.echo(written)


if __name__ == "__main__":
    main()
