"""`cyclegan train` and `cyclegan export-weights`. What brings torch is imported when it is needed."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from ..runtime.errors import ConfigError, OutputError, UsageError
from .config import Precision, TrainConfig, parse_assignment, read_toml, resolve_config

if TYPE_CHECKING:
    from .checkpoint import Weights
    from .loop import Outcome, Run

LOGGER = logging.getLogger(__name__)

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
}

# What may differ between a run and its continuation; the rest decides what was computed so far.
RESUMABLE = {"run": {"device", "max_steps", "log_every", "preview_every", "save_every", "keep_every_epochs", "compile"}}
RESUMABLE["schedule"] = {"n_epochs", "n_epochs_decay"}
RESUMABLE["validation"] = {"patience"}
RESUMABLE["data"] = {"dataroot"}
RESUMABLE["optim"] = {"accumulate", "checkpoint_activations"}
RESUMABLE["distill"] = {"teacher"}  # which may have moved; that it is the same one, the checkpoint knows


RUN_OPTIONS = (
    click.option("--name", default="cyclegan", show_default=True, help="Name of the run and of its folder."),
    click.option(
        "--runs", type=click.Path(path_type=Path), default="runs", show_default=True, help="Folder of all runs."
    ),
    click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file laid over the defaults."),
    click.option("--set", "assignments", multiple=True, metavar="PART.KEY=VALUE", help="Set any key; may be repeated."),
    click.option("--resume", is_flag=True, help="Go on exactly where the run's latest checkpoint stands."),
    click.option("--device", metavar="auto|cpu|cuda[:i]|mps", help="Where to train.  [default: auto]"),
    click.option(
        "--precision",
        type=click.Choice(get_args(Precision)),
        help="What to train in.  [default: auto, bf16 where hardware has it]",
    ),
    click.option("--epochs", type=int, help="Epochs at the initial learning rate.  [default: 100]"),
    click.option("--epochs-decay", type=int, help="Epochs of decay after them.  [default: 100]"),
    click.option("--max-steps", type=int, help="Stop after this many steps in all."),
    click.option("--batch-size", type=int, help="Pictures of each domain in a step.  [default: 1]"),
    click.option("--seed", type=int, help="A run with the same seed is repeated exactly on the CPU.  [default: 0]"),
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


@click.command()
@click.argument("dataroot", type=click.Path(path_type=Path))
@run_options
@click.option("--size", type=int, help="Train on crops of this side, from pictures resized to 286/256 of it.")
@click.option(
    "--init-from",
    type=click.Path(path_type=Path),
    help="Start from the weights of a run, a checkpoint, or an official checkpoints/NAME folder or *_net_G_A.pth file.",
)
def train(
    dataroot: Path,
    name: str,
    runs: Path,
    resume: bool,
    init_from: Path | None,
    size: int | None,
    **options: Any,
) -> None:
    """Train a translator between the pictures of DATAROOT/trainA and DATAROOT/trainB.

    Everything is written into RUNS/NAME: config.toml, checkpoints/, metrics.jsonl, tensorboard/ and previews/. Ctrl-C
    saves a checkpoint before it ends; --resume goes on from it exactly.
    """
    layers = configuration_layers(dataroot, **options)
    if size is not None:
        layers.append({"data": {"crop_size": size, "load_size": round(size * 286 / 256)}})
    folder = runs / name
    if resume and init_from:
        raise UsageError("--resume goes on with the run's own weights; leave out --init-from")
    config, prepare = resumed(folder, layers) if resume else _new(folder, layers, init_from)
    complete(config, folder, prepare)


def complete(config: TrainConfig, folder: Path, prepare: "Callable[[Run], None]") -> None:
    """Train a run to its end, having prepared it.

    Raises:
        click.Abort: a signal ended it before.
    """
    outcome = _train(config, folder, prepare)
    LOGGER.info(
        "%s step %d; the run is in %s", "interrupted after" if outcome.interrupted else "done:", outcome.step, folder
    )
    if outcome.interrupted:
        raise click.Abort


def refuse_existing(folder: Path) -> None:
    """Make sure that no run is in the place of a new one.

    Raises:
        OutputError: there is one.
    """
    if (folder / "checkpoints").exists():
        raise OutputError(f"{folder} already holds a run; give --resume to go on with it, or another --name")


def _train(config: TrainConfig, folder: Path, prepare: "Callable[[Run], None]") -> "Outcome":
    from .distributed import joined_world
    from .loop import Run

    with joined_world(config.run.device) as world:
        run = Run(config, folder, world)
        prepare(run)
        outcome = run.train()
        del run  # its networks hold the process group, whose threads must end before the interpreter does
    return outcome


def _new(
    folder: Path, layers: list[dict[str, Any]], init_from: Path | None
) -> tuple[TrainConfig, Callable[["Run"], None]]:
    """Return the configuration of a new run, and what is to be done to the run before it trains."""
    refuse_existing(folder)
    if init_from is None:
        return resolve_config(*layers), lambda run: None
    from .interchange import read_start, warm_start

    start = read_start(init_from)
    config = resolve_config(start.layer, *layers)
    start.check(config)
    return config, lambda run: warm_start(run.model, start)


def resumed(folder: Path, layers: list[dict[str, Any]]) -> tuple[TrainConfig, Callable[["Run"], None]]:
    """Return the configuration that a run goes on with, and what is to be done to the run before it does.

    Raises:
        CheckpointError: there is no run to go on with.
        ConfigError: what it computed so far was under another configuration.
    """
    from .checkpoint import find_checkpoint, load_checkpoint, remove_unfinished, restored_config

    path = find_checkpoint(folder)
    content = load_checkpoint(path)
    remove_unfinished(path.parent)
    stored = restored_config(content, path)
    config = resolve_config(content["config"], *layers)
    _check_resumable(stored, config)
    return config, lambda run: run.load_state_dict(content["state"], content["progress"]["step"])


def _check_resumable(stored: TrainConfig, wanted: TrainConfig) -> None:
    """Refuse to go on under a configuration that would have computed something else so far."""
    if wanted.distill.teacher and not stored.distill.teacher:
        raise ConfigError("the run began without a teacher, so it cannot go on with one; give another --name")
    before, after = stored.model_dump(), wanted.model_dump()
    for part, keys in before.items():
        for key, value in keys.items():
            if after[part][key] != value and key not in RESUMABLE.get(part, ()):
                raise ConfigError(
                    f"the run was started with {part}.{key}={value}, so it cannot go on with {after[part][key]}; "
                    "leave that out, or start a new run with another --name"
                )


@click.command("export-weights")
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="Folder to write to, such as checkpoints/NAME."
)
@click.option(
    "--weights",
    type=click.Choice(["ema", "raw"]),
    default="ema",
    show_default=True,
    help="Averaged weights where the run keeps any, or those of the last step.",
)
def export_weights(source: Path, output: Path, weights: "Weights") -> None:
    """Write the networks of SOURCE, a run folder or a checkpoint, as files that the official implementation loads.

    OUTPUT becomes what its checkpoints/NAME folder is: latest_net_G_A.pth, latest_net_G_B.pth and both discriminators.
    """
    from .interchange import export_weights

    for path in export_weights(source, output, weights):
        click.echo(str(path))
