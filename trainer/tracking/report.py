"""The run's own `report.html`: how far it is, how its losses and measures went, and what it makes of pictures."""

import math
from pathlib import Path
from typing import Any

from ..config import TrainConfig
from ..evaluation.model_selection import HIGHER_IS_BETTER, base_name, value_of
from .html_page import write_page
from .line_charts import Chart, make_chart
from .metrics_log import read_records

MOST_PREVIEWS = 8

LOSSES = {
    "adversarial, generators": ("G_A", "G_B"),
    "discriminators": ("D_A", "D_B"),
    "distance to the teacher (L1)": ("output_A", "output_B"),
    "distance to its activations (relative)": ("features_A", "features_B"),
    "cycle (L1)": ("cycle_A", "cycle_B"),
    "identity (L1)": ("idt_A", "idt_B"),
    "D_A's judgement": ("D_A_real", "D_A_fake"),
    "D_B's judgement": ("D_B_real", "D_B_fake"),
    "share that D judges rightly": ("D_A_accuracy", "D_B_accuracy"),
    "learning rate": ("lr",),
}


def write_run_report(folder: Path, config: TrainConfig, metric: str | None) -> None:
    """Write `report.html` of a run from its metrics log and previews; `metric` is the one that chooses best.pt.

    Raises:
        OutputError: the file cannot be written.
    """
    train = read_records(folder / "metrics.jsonl", "train")
    measured = read_records(folder / "metrics.jsonl", "validation")
    previews = sorted((folder / "previews").glob("step-*.png"))
    content = {
        "name": folder.name,
        "runs": folder.parent.as_posix(),
        "config": config,
        "step": int(max([record["step"] for record in train + measured], default=0)),
        "best": _best(measured, metric),
        "last": measured[-1] if measured else None,
        "charts": _charts(train, LOSSES),
        "measures": _charts(measured, _by_base_name(measured)),
        "better": {name: f"{'higher' if higher else 'lower'} is better" for name, higher in HIGHER_IS_BETTER.items()},
        "previews": [path.relative_to(folder).as_posix() for path in _spread(previews)],
    }
    write_page(Path(__file__).with_name("report.html"), content, folder / "report.html")


def _best(measured: list[dict[str, Any]], metric: str | None) -> dict[str, Any] | None:
    """Return the record that best.pt was written at, with the metric's name and value."""
    values = [(value_of(metric, record), record) for record in measured] if metric else []
    comparable = [(value, record) for value, record in values if value is not None and math.isfinite(value)]
    if metric is None or not comparable:
        return None
    choose = max if HIGHER_IS_BETTER[base_name(metric)] else min
    value, record = choose(comparable, key=lambda pair: pair[0])
    return record | {"metric": metric, "value": value}


def _by_base_name(measured: list[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    names = list(dict.fromkeys(name for record in measured for name in record))
    return {base: tuple(name for name in names if base_name(name) == base) for base in HIGHER_IS_BETTER}


def _charts(records: list[dict[str, Any]], groups: dict[str, tuple[str, ...]]) -> list[Chart]:
    """Draw every group of which there is something finite to draw."""
    charts = []
    for title, names in groups.items():
        series = {
            name: [(record["step"], record[name]) for record in records if math.isfinite(record.get(name, math.nan))]
            for name in names
        }
        if any(series.values()):
            charts.append(make_chart(title, series))
    return charts


def _spread(previews: list[Path]) -> list[Path]:
    """Return the newest preview and some before it, the newest first."""
    number = min(len(previews), MOST_PREVIEWS)
    return [previews[-1 - place * len(previews) // number] for place in range(number)]
