"""The command `cyclegan`: a group that knows its commands by name and imports one only when it is called."""

import logging
import os
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from cyclegan_edge import __version__
from cyclegan_edge.runtime.errors import CycleganError, printable, without_opencv

LOGGER = logging.getLogger("cyclegan_edge")

# `cyclegan NAME` is the function NAME of FOLDER/commands/NAME.py.
COMMANDS = {
    "train": ("trainer", "Train a translator on two folders of unpaired pictures."),
    "distill": ("export", "Train a small translator to do what a large one does."),
    "export": ("export", "Turn a checkpoint into a verified ONNX file, engine or web page."),
    "verify": ("export", "Compare an exported model with its checkpoint."),
    "export-weights": ("trainer", "Write a run's weights for the official implementation."),
    "dataset": ("trainer", "Check a dataset before training; show or clear the cache of pictures."),
    "evaluate": ("export", "Measure how good translations are."),
    "translate": ("runtime", "Translate pictures, folders, videos, cameras and streams."),
    "cameras": ("runtime", "List the cameras of this machine."),
    "serve": ("runtime", "Offer a translator in the browser and over HTTP."),
    "info": ("export", "Describe an exported model, a page or a checkpoint."),
    "bench": ("runtime", "Measure the speed of exported models in each engine."),
    "profile": ("export", "Show which layers of an exported model take the time."),
    "doctor": ("runtime", "Show what works on this machine, and what is missing."),
    "demo": ("export", "Do all of it on the embedded emoji, and write a report."),
}


class LazyGroup(click.Group):
    """A click group over `COMMANDS`; `--help` and a mistyped name import no command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the one command that was asked for."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command = getattr(import_module(f"cyclegan_edge.{COMMANDS[cmd_name][0]}.commands.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; where an error is about some of its settings, name the options that set them."""
        try:
            return super().invoke(ctx)
        except CycleganError as error:
            command = self.get_command(ctx, ctx.invoked_subcommand or "")
            options = [option for option in command.params if option.name in error.about] if command else []
            if options:
                names = (max(option.opts, key=len) for option in options if isinstance(option, click.Option))
                error.args = (f"{error}; see {', '.join(names)}",)
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="The usual order is train, export, translate. cyclegan COMMAND --help lists the options of a command.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log details, and show the traceback of an error.")
@click.option("-q", "--quiet", is_flag=True, help="Log warnings and errors only.")
@click.version_option(__version__, prog_name="cyclegan")
def cyclegan(verbose: bool, quiet: bool) -> None:
    """Train a translator on two folders of unpaired pictures, and run it in real time on the edge."""
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Printable())
    LOGGER.setLevel(level)
    # OpenCV, its FFmpeg and encoders print what our one sentence says better; the user's own settings win.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("SVT_LOG", "1")  # of the AV1 encoder: errors only


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _run(arguments: list[str] | None) -> Any:
    try:
        return cyclegan.main(args=arguments, prog_name="cyclegan", standalone_mode=False)
    except ImportError as error:
        raise without_opencv(error) from error


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line and exit with the code of what happened (see `runtime/errors.py`; 130: interrupted)."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # a file's name that is no UTF-8 is printed as it is
    try:
        code = _run(arguments)
    except CycleganError as error:
        LOGGER.debug("the error came from here:", exc_info=True)
        click.echo(f"cyclegan: {printable(str(error))}", err=True)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("cyclegan: interrupted", err=True)
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
