"""The options of every command that trains, and the configuration that they describe."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from ..config import Precision, parse_assignment, read_toml

# The option of each flag that is only a short way to say `--set PART.KEY=VALUE`.
FLAGS = {
    "device": ("run", "device"),
    "precision": ("run", "precision"),
    "epochs": ("schedule", "n_epochs"),
    "epochs_decay": ("schedule", "n_epochs_decay"),
    "max_steps": ("run", "max_steps"),
    "batch_size": ("data", "batch_size"),
    "seed": ("run", "seed"),
    "compile": ("run", "compile"),
    "cache": ("data", "cache"),
}


RUN_OPTIONS = (
    click.option("--name", default="cyclegan", show_default=True, help="Name of the run and of its folder."),
    click.option(
        "--runs", type=click.Path(path_type=Path), default="runs", show_default=True, help="Folder of all runs."
    ),
    click.option(
        "--config", "config_file", type=click.Path(path_type=Path), help="TOML file whose keys replace the defaults."
    ),
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="PART.KEY=VALUE",
        help="Set a key of the configuration, such as networks.ngf=32; repeatable. A run's config.toml lists all.",
    ),
    click.option("--resume", is_flag=True, help="Continue the run exactly from its latest checkpoint."),
    click.option("--device", metavar="auto|cpu|cuda[:i]|mps", help="Device to train on.  [default: auto]"),
    click.option(
        "--precision",
        type=click.Choice(get_args(Precision)),
        help="Number format to train in.  [default: auto: bf16 where the hardware computes in it, else fp16 on CUDA]",
    ),
    click.option("--epochs", type=int, help="Epochs at the initial learning rate.  [default: 100]"),
    click.option(
        "--epochs-decay", type=int, help="Epochs after them, in which the learning rate falls to 0.  [default: 100]"
    ),
    click.option("--max-steps", type=int, help="Stop after this many steps in all."),
    click.option("--batch-size", type=int, help="Pictures of each domain in a step.  [default: 1]"),
    click.option(
        "--cache", metavar="DIR|off", help="Folder that keeps prepared pictures.  [default: the user's cache folder]"
    ),
    click.option("--seed", type=int, help="Random seed; on the CPU the same seed gives the same run.  [default: 0]"),
    click.option(
        "--compile/--no-compile", default=None, help="Compile the step: slow to start, then faster.  [default: no]"
    ),
)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that everything that trains has; see `configuration_layers`."""
    for option in reversed(RUN_OPTIONS):
        command = option(command)
    return command


def configuration_layers(
    dataroot: Path, config_file: Path | None, assignments: tuple[str, ...], **flags: Any
) -> list[dict[str, Any]]:
    """Return what the options say, as `resolve_config` takes it.

    Raises:
        ConfigError: a file or an assignment cannot be read.
    """
    layers = [read_toml(config_file)] if config_file else []
    layers += [parse_assignment(text) for text in assignments]
    for flag, value in flags.items():
        if value is not None:
            part, key = FLAGS[flag]
            layers.append({part: {key: value}})
    return [*layers, {"data": {"dataroot": str(dataroot.resolve())}}]
