"""`cyclegan distill`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..runtime.errors import ConfigError, UsageError
from ..trainer.commands import complete, configuration_layers, refuse_existing, resumed, run_options
from ..trainer.config import resolve_config
from .commands import DIRECTIONS, training_side

if TYPE_CHECKING:
    from ..trainer.official import Layer

# What only a cycle has.
WITHOUT_CYCLE = {"losses": ("lambda_A", "lambda_B", "lambda_identity"), "schedule": ("cycle_weight_end",)}


@click.command()
@click.argument("teacher", type=click.Path(path_type=Path))
@click.argument("dataroot", type=click.Path(path_type=Path))
@click.option("--direction", type=click.Choice(list(DIRECTIONS)), help="Which generators learn.  [default: AtoB]")
@click.option("--generator", metavar="NAME", help="The student's architecture.  [default: the teacher's]")
@click.option("--ngf", type=int, help="The student's width.  [default: the teacher's]")
@run_options
def distill(
    teacher: Path,
    dataroot: Path,
    direction: str | None,
    generator: str | None,
    ngf: int | None,
    name: str,
    runs: Path,
    resume: bool,
    **options: Any,
) -> None:
    """Train a small generator to do what TEACHER does, on the pictures of DATAROOT/trainA and DATAROOT/trainB.

    TEACHER is a run folder, a checkpoint, or official weights (a folder of latest_net_G_A.pth files, or one of them).
    What is not said of data and discriminators is as the teacher had it; [distill] of the configuration weighs what is
    learnt. RUNS/NAME becomes a run like any other, which export, evaluate and train --init-from take.
    """
    layers = configuration_layers(dataroot, **options)
    layers.append(_given(distill={"teacher": str(teacher.resolve()), "direction": direction}))
    layers.append(_given(networks={"generator": generator, "ngf": ngf}))
    _refuse_cycle(layers)
    folder = runs / name
    with training_side():
        from ..trainer.distillation import as_taught
    if resume:
        config, prepare = resumed(folder, layers)
        complete(config, folder, prepare)
        return
    refuse_existing(folder)
    taught = as_taught(teacher, DIRECTIONS.get(_said(layers, "distill", "direction"), ("AtoB",))[0])
    config = resolve_config(taught, *layers)
    if all(getattr(config.networks, key) == taught["networks"][key] for key in ("generator", "ngf")):
        raise UsageError(
            f"the student would be as large as its teacher ({config.networks.generator}, ngf {config.networks.ngf}); "
            "give a smaller --generator or --ngf"
        )
    complete(config, folder, lambda run: None)


def _given(**parts: dict[str, Any]) -> "Layer":
    """Return the values that were given, as a layer of the configuration."""
    return {part: {key: value for key, value in keys.items() if value is not None} for part, keys in parts.items()}


def _said(layers: "list[Layer]", part: str, key: str) -> Any:
    """Return what the last layer that speaks of it says of a key, None where none does."""
    return next((layer[part][key] for layer in reversed(layers) if key in layer.get(part, {})), None)


def _refuse_cycle(layers: "list[Layer]") -> None:
    """Refuse what would be without effect.

    Raises:
        ConfigError: a key weighs a cycle.
    """
    for part, keys in WITHOUT_CYCLE.items():
        for key in keys:
            if _said(layers, part, key) is not None:
                raise ConfigError(f"a distillation has no cycle for {part}.{key} to weigh; leave that out")
