"""`cyclegan distill`."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...runtime.commands.console import print_wide
from ...runtime.commands.options import NumberRange, PathType, parse_size, together
from ...runtime.errors import ConfigError, UsageError, training_side
from ...trainer.commands.options import DATASET, RunCommand, configuration_layers, report, run_options
from ...trainer.config import TrainConfig, resolve_config
from ...trainer.launch import complete, refuse_existing, resumed_run
from ..request import DIRECTIONS

if TYPE_CHECKING:
    from ...runtime.contract import Size
    from ...trainer.checkpoints.official import Layer
    from ..profiling.latency_budget import BudgetPrecision

LOGGER = logging.getLogger(__name__)


# What only a cycle has.
WITHOUT_CYCLE = {"losses": ("lambda_A", "lambda_B", "lambda_identity"), "schedule": ("cycle_weight_end",)}


@dataclass(frozen=True)
class BudgetOptions:
    """A budget of time for the student, and where and of what; None was not given."""

    budget_ms: float | None = None
    engine: str | None = None
    engine_precision: "BudgetPrecision | None" = None
    size: "Size | None" = None

    def check(self, resume: bool) -> None:
        """Find out whether the options go together.

        Raises:
            UsageError: they do not.
        """
        options = [f"--{name.replace('_', '-')}" for name, value in sorted(vars(self).items()) if value is not None]
        if options and resume:
            raise UsageError(f"--resume goes on with the student that was chosen; leave out {', '.join(options)}")
        if options and not self.budget_ms:
            raise UsageError(f"{', '.join(options)} without --budget-ms decides nothing; add that too, or leave it out")
        if self.budget_ms and not self.engine:
            raise UsageError("say in which engine the budget is to be kept: --engine openvino or onnxruntime")


budget_options = together(
    "limits",
    click.option(
        "--budget-ms",
        type=NumberRange(0, 60_000, min_open=True),
        help="Train the largest student that translates a picture in this many milliseconds on this machine.",
    ),
    click.option(
        "--engine",
        type=click.Choice(["openvino", "onnxruntime"]),
        help="Engine in which the budget holds; needed with --budget-ms.",
    ),
    click.option(
        "--engine-precision",
        type=click.Choice(["auto", "fp16", "int8"]),
        help="File that runs there: FP16, INT8, or auto: FP32, which the engine may compute in bf16.  [default: auto]",
    ),
    click.option(
        "--size",
        metavar="HxW",
        callback=parse_size,
        help="Height and width of the pictures that the budget is for.  [default: as trained on]",
    ),
    make=BudgetOptions,
)


@click.command(cls=RunCommand)
@click.argument("teacher", type=PathType())
@click.argument("dataroot", type=DATASET)
@click.option("--direction", type=click.Choice(list(DIRECTIONS)), help="Directions to learn.  [default: AtoB]")
@click.option("--generator", metavar="NAME", help="The student's architecture.  [default: the teacher's]")
@click.option("--ngf", type=click.IntRange(1, 1024), help="The student's width.  [default: the teacher's]")
@budget_options
@run_options
def distill(
    teacher: Path,
    dataroot: str,
    direction: str | None,
    generator: str | None,
    ngf: int | None,
    limits: BudgetOptions,
    name: str,
    runs: Path,
    resume: str | None,
    **options: Any,
) -> None:
    """Train a small generator to do what TEACHER does, on the pictures of DATAROOT/trainA and DATAROOT/trainB.

    TEACHER is a run folder, a checkpoint, or official weights (a folder of latest_net_G_A.pth files, or one of them).
    Data and discriminators are as the teacher had them unless you set them. RUNS/NAME becomes a run like any other, for
    export, evaluate and train --init-from.

    With --budget-ms, untrained candidates of several architectures and widths (or those of --generator and --ngf) are
    exported and measured in the engine. The one with the most parameters within the budget is trained.
    """
    layers = configuration_layers(dataroot, **options)
    layers.append(_without_none(distill={"teacher": str(teacher.resolve()), "direction": direction}))
    layers.append(_without_none(networks={"generator": generator, "ngf": ngf}))
    _refuse_cycle(layers)
    limits.check(bool(resume))
    folder = runs / name
    with training_side():
        from ...trainer.methods.teacher import as_taught
    if resume:
        config, prepare = resumed_run(folder, list(layers), resume)
        report(complete(config, folder, prepare))
        return
    refuse_existing(folder)
    taught = as_taught(teacher, DIRECTIONS.get(_last(layers, "distill", "direction"), ("AtoB",))[0])
    config = resolve_config(taught, *layers)
    if limits.budget_ms:
        chosen = _within_budget(config, limits, [_last(layers, "networks", key) for key in ("generator", "ngf")])
        config = resolve_config(taught, *layers, {"networks": chosen})
    elif all(getattr(config.networks, key) == taught["networks"][key] for key in ("generator", "ngf")):
        raise UsageError(
            f"the student would be as large as its teacher ({config.networks.generator}, ngf {config.networks.ngf}); "
            "give a smaller --generator or --ngf, or --budget-ms"
        )
    report(complete(config, folder, lambda run: None))


def _within_budget(config: TrainConfig, limits: BudgetOptions, student: list[Any]) -> dict[str, Any]:
    """Measure candidates, print them, and return the architecture and width of the one to train.

    `student` is the architecture and the width that the user asked for, None for several.
    """
    from ...trainer.data.dataset import domain_folder, load_examples
    from ...trainer.methods.teacher import load_teachers
    from ..profiling.latency_budget import GENERATORS, Budget, budget_table, choose, search

    assert limits.budget_ms is not None, "checked before"
    assert limits.engine is not None, "checked before"
    load_examples(config, 1)  # a dataset that is missing is reported before minutes of measuring
    teacher = next(iter(load_teachers(config).values()))
    side = config.data.crop_size
    budget = Budget(limits.budget_ms, limits.engine, limits.engine_precision or "auto", limits.size or (side, side))
    generator, ngf = student
    timings = list(search(teacher, config.networks, budget, (generator,) if generator else GENERATORS, ngf))
    if timings:
        print_wide(budget_table(timings, budget))
    chosen = choose(timings, budget)
    LOGGER.info("the student is %s with ngf %d: %.2f ms", chosen.generator, chosen.ngf, chosen.p50_ms)
    if budget.precision == "int8":
        pictures = domain_folder(config.data, "train", "A" if teacher.direction == "AtoB" else "B")
        LOGGER.info("it keeps the budget in INT8: cyclegan export … --precision int8 --calibration %s", pictures)
    return {"generator": chosen.generator, "ngf": chosen.ngf}


def _without_none(**parts: dict[str, Any]) -> "Layer":
    """Return the values that the user set, as a layer of the configuration."""
    return {part: {key: value for key, value in keys.items() if value is not None} for part, keys in parts.items()}


def _last(layers: "list[Layer]", part: str, key: str) -> Any:
    """Return the value of a key in the last layer that has it, None where none has."""
    return next((layer[part][key] for layer in reversed(layers) if key in layer.get(part, {})), None)


def _refuse_cycle(layers: "list[Layer]") -> None:
    """Raise a `ConfigError` where a key weighs a cycle, which a distillation does not have."""
    for part, keys in WITHOUT_CYCLE.items():
        for key in keys:
            if _last(layers, part, key) is not None:
                raise ConfigError(f"a distillation has no cycle for {part}.{key} to weigh; leave that out")
