"""The demo's report: one HTML file that needs nothing beside itself."""

import base64
import os
import platform
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ...runtime.backends import available_backends, open_backend
from ...runtime.contract import Picture
from ...trainer.checkpoints.checkpoint import load_generator
from ...trainer.config import TrainConfig
from ...trainer.data.dataset import load_domain
from ...trainer.data.pictures import Preparation
from ...trainer.evaluation.paired import psnr, ssim
from ...trainer.tracking.html_page import write_page
from ...trainer.tracking.line_charts import Chart, make_chart
from ...trainer.tracking.metrics_log import read_records
from ..graph.inference import InferenceGenerator
from ..verification.report import VerificationReport
from ..verification.verify import PRECISIONS
from .files import DIRECTIONS, SIZE, SMALL, Demo

NUM_SHOWN = 12
REPEATS = 15
SPEED_SIZES = (64, 256)
CURVES = {
    "adversarial, generators": ("G_A", "G_B"),
    "adversarial, discriminators": ("D_A", "D_B"),
    "cycle (L1)": ("cycle_A", "cycle_B"),
    "identity (L1)": ("idt_A", "idt_B"),
}


def write_report(
    files: Demo, config: TrainConfig, step: int, verification: dict[str, VerificationReport], started: float
) -> Path:
    """Measure what the demo made in `step` steps and write `report.html`; `started` is its first `time.monotonic()`.

    Raises:
        OutputError: the file cannot be written.
    """
    losses = read_records(files.run / "metrics.jsonl", "train")
    quality = {direction: measure_quality(files, direction) for direction in DIRECTIONS}
    content = {
        "quality": quality,
        "small": {
            "name": _relative(SMALL),
            "kilobytes": SMALL.stat().st_size / 1000,
            "quality": measure_quality(files, "AtoB", "small"),
        },
        "rows": {"AtoB": _rows(files, "AtoB", small="small"), "BtoA": _rows(files, "BtoA")},
        "videos": {kind: _data_uri(files.video(kind), "video/webm") for kind in ("A", "AtoB")},
        "charts": _charts(losses, read_records(files.run / "metrics.jsonl", "validation"), quality),
        "verification": verification,
        "speed": measure_speed(files),
        "config": config,
        "step": step,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "artefacts": {direction: _relative(files.artefact(direction)) for direction in DIRECTIONS},
        "run": _relative(files.run),
        "page": _relative(files.page),
        "minutes": (time.monotonic() - started) / 60,
        "size": SIZE,
    }
    path = files.folder / "report.html"
    write_page(Path(__file__).with_name("report.html"), content, path)
    return path


def measure_quality(files: Demo, direction: str, translated: str = "") -> dict[str, float]:
    """Return mean PSNR (dB) and SSIM against the truth, of translations and of the untranslated pictures.

    `translated` is the kind of the translations, `direction` itself by default.
    """
    kinds = (direction[0], direction[-1], translated or direction)
    prepare = Preparation(channels=3, preprocess="resize_and_crop", load_size=SIZE, crop_size=SIZE)
    source, truth, result = (load_domain(files.pictures(kind), prepare).stacked for kind in kinds)
    return {
        "psnr": float(psnr(result, truth).mean()),
        "ssim": float(ssim(result, truth).mean()),
        "psnr_untranslated": float(psnr(source, truth).mean()),
        "ssim_untranslated": float(ssim(source, truth).mean()),
    }


def measure_speed(files: Demo) -> list[dict[str, Any]]:
    """Return the median milliseconds a picture of PyTorch and of every engine, for each of `SPEED_SIZES`."""
    reference = InferenceGenerator(load_generator(files.run, "AtoB").network)
    pictures = {size: np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8) for size in SPEED_SIZES}

    def milliseconds(translate: Any) -> dict[int, float]:
        return {size: _median_ms(translate, picture) for size, picture in pictures.items()}

    rows = [{"engine": "PyTorch", "precision": "fp32", "ms": milliseconds(reference.translate)}]
    for artefact, label in ((files.artefact("AtoB"), ""), (SMALL, ", the shipped small one")):
        for name in available_backends():
            for precision in PRECISIONS.get(name, ()):
                backend = open_backend(artefact, backend=name, device="cpu", precision=precision)
                rows.append({"engine": name + label, "precision": backend.precision, "ms": milliseconds(backend.infer)})
                backend.close()
    return rows


def _median_ms(translate: Any, picture: Picture) -> float:
    seconds = []
    for _ in range(3 + REPEATS):
        before = time.perf_counter()
        translate(picture)
        seconds.append(time.perf_counter() - before)
    return 1000 * median(seconds[3:])


def _rows(files: Demo, direction: str, **others: str) -> list[dict[str, str]]:
    """Return before, after and truth of some test pictures, spread over all of them, as data URIs.

    `others` are further kinds of pictures, by what to call them.
    """
    names = sorted(path.name for path in files.pictures(direction[0]).iterdir())
    spread = np.linspace(0, len(names) - 1, NUM_SHOWN).astype(int)
    kinds = {"before": direction[0], "after": direction, "truth": direction[-1]} | others
    return [
        {label: _data_uri(files.pictures(kind) / names[index], "image/png") for label, kind in kinds.items()}
        for index in spread
    ]


def _charts(
    losses: list[dict[str, float]], validations: list[dict[str, float]], quality: dict[str, dict[str, float]]
) -> list[Chart]:
    """Draw the losses, and the PSNR against the truth beside what the untranslated pictures reach."""
    charts = []
    for title, names in CURVES.items() if losses else ():
        series = {name: _smooth([row[name] for row in losses]) for name in names}
        steps = [row["step"] for row in losses]
        charts.append(
            make_chart(title, {name: list(zip(steps, values, strict=True)) for name, values in series.items()})
        )
    measured = {direction: [(row["step"], row[f"psnr_{direction}"]) for row in validations] for direction in DIRECTIONS}
    if validations:
        ends = validations[0]["step"], validations[-1]["step"]
        untranslated = [(step, quality["AtoB"]["psnr_untranslated"]) for step in ends]
        charts.append(make_chart("PSNR against the truth, dB", measured | {"untranslated": untranslated}))
    return charts


def _smooth(values: list[float], window: int = 7) -> list[float]:
    """Return the running mean over up to `window` values before each."""
    return [float(np.mean(values[max(0, end - window) : end])) for end in range(1, len(values) + 1)]


def _data_uri(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _relative(path: Path) -> str:
    """Return the path as the user would type it from where the demo was started."""
    return os.path.relpath(path)
