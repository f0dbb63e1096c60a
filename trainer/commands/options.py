"""The options of every command that trains, the configuration that they describe, and the words at the end."""

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from ...runtime.errors import CycleganError
from ...runtime.files import check_path
from ..config import Precision, is_address
from ..config_text import parse_assignment, read_toml

if TYPE_CHECKING:
    from ..result import TrainingResult

LOGGER = logging.getLogger(__name__)
COMMANDLINE = click.core.ParameterSource.COMMANDLINE

# The key of each flag that is only a short way to say `--set PART.KEY=VALUE`.
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


MAX_NAME = 200  # bytes of a run's name: file systems take 255
CHECKPOINT = re.compile(r"(latest|best|epoch-\d+)(\.pt)?")


class PathType(click.Path):
    """A path that the file system can take."""

    name = "path"

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse what no file can be called."""
        if not str(value):
            self.fail("an empty text is no path", param, ctx)
        try:
            check_path(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


class DatasetType(PathType):
    """A folder, or an address such as s3://bucket/horses; becomes a text."""

    name = "dataset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Make a path whole and leave an address as it is."""
        path = super().convert(value, param, ctx)
        return str(value) if is_address(str(value)) else str(path.absolute())


PATH = PathType()
DATASET = DatasetType()


def parse_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Take the name of a run: of one folder, neither hidden nor outside of the folder of all runs."""
    if not value or value.startswith(".") or any(sign in value for sign in "/\\\0"):
        raise click.BadParameter(f"{value!r} is no name of a folder; it must not be empty, begin with a dot or hold /")
    if len(os.fsencode(value)) > MAX_NAME:
        raise click.BadParameter(f"a name has at most {MAX_NAME} bytes, not {len(os.fsencode(value))}")
    return value


# The keys that a message below the commands may name, by the option that sets them.
KEYS = {flag: ".".join(key) for flag, key in FLAGS.items()} | {"size": "data.crop_size"}


class RunCommand(click.Command):
    """A command with the options of a run; `--resume` takes the name of a checkpoint where one follows."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; where an error names keys that were set by options, it is about these options."""
        try:
            return super().invoke(ctx)
        except CycleganError as error:
            named = [flag for flag, key in KEYS.items() if re.search(rf"\b{re.escape(key)}\b", str(error))]
            error.about += tuple(flag for flag in named if ctx.get_parameter_source(flag) is COMMANDLINE)
            raise

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let `--resume DATAROOT` mean the latest checkpoint, not one that is called DATAROOT."""
        followed = zip(args, [*args[1:], ""], strict=True)
        latest = "--resume=latest"
        args = [latest if word == "--resume" and not CHECKPOINT.fullmatch(after) else word for word, after in followed]
        return super().parse_args(ctx, args)


RUN_OPTIONS = (
    click.option(
        "--name", default="cyclegan", show_default=True, callback=parse_name, help="Name of the run and of its folder."
    ),
    click.option("--runs", type=PATH, default="runs", show_default=True, help="Folder of all runs."),
    click.option("--config", "config_file", type=PATH, help="TOML file whose keys replace the defaults."),
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="PART.KEY=VALUE",
        help="Set a key of the configuration, such as networks.ngf=32; repeatable. A run's config.toml lists all.",
    ),
    click.option(
        "--resume",
        is_flag=False,
        flag_value="latest",
        metavar="[CHECKPOINT]",
        help="Continue the run exactly from its latest checkpoint, or from another one, such as epoch-0010.",
    ),
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
        "--compile/--no-compile",
        default=None,
        help="Compile the step: slow to start, then faster.  [default: on one NVIDIA GPU, for 20,000 steps or more]",
    ),
)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that everything that trains has; see `configuration_layers`."""
    for option in reversed(RUN_OPTIONS):
        command = option(command)
    return command


def configuration_layers(
    dataroot: str, config_file: Path | None, assignments: tuple[str, ...], **flags: Any
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
    place = dataroot if is_address(dataroot) else os.path.realpath(dataroot)
    return [*layers, {"data": {"dataroot": place}}]


def report(result: "TrainingResult") -> None:
    """Say how a run ended and where it is.

    Raises:
        click.Abort: a signal ended it.
    """
    step, total, folder = result.step, result.total_steps, result.folder
    if result.interrupted:
        LOGGER.info("interrupted after step %d of %d; go on with --resume; the run is in %s", step, total, folder)
        raise click.Abort
    if step == result.first_step:
        more = "more with --epochs, --epochs-decay or --max-steps"
        if step < total:
            more = "it stopped early; more with --set validation.patience=0"
        LOGGER.warning("nothing to do: step %d of %d; %s; the run is in %s", step, total, more, folder)
        return
    skipped = f", of which {result.num_skipped} skipped an update" if result.num_skipped else ""
    LOGGER.info("done: step %d%s; the run is in %s", step, skipped, folder)
