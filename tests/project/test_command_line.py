"""The command line from outside: what each command offers, and how little its help loads."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from cyclegan_edge.cli import COMMANDS, cyclegan

HEAVY = ("cv2", "jinja2", "matplotlib", "numpy", "onnx", "onnxruntime", "openvino", "torch", "torchvision")

# What users and documents rely on; a command may offer more.
PROMISED = {
    "train": (
        "--name --runs --config --set --resume --device --precision --epochs --epochs-decay --max-steps --batch-size "
        "--cache --recipe --size --seed --init-from"
    ),
    "distill": (
        "--direction --generator --ngf --budget-ms --engine --engine-precision --size --name --runs --config --set "
        "--resume --device --precision --epochs --epochs-decay --max-steps --batch-size --cache --seed"
    ),
    "export": (
        "--direction --to --precision --size --io --weights --calibration --freeze-norm --images --output --no-verify"
    ),
    "dataset": "check cache",
    "evaluate": "--size --limit --features --weights --backend --device",
    "export-weights": "--output --weights",
    "verify": "--reference --images --calibration --backend --report",
    "translate": (
        "-m -i -o --backend --device --fit --size --scale --tile --policy --codec --crf --preset --no-audio --view "
        "--overlay"
    ),
    "cameras": "--json",
    "serve": "-m -i --host --port --token --size --limit",
    "info": "",
    "bench": "--backend --device --size --seconds --batch-size --json",
    "profile": "--backend --precision --size --output --json",
    "doctor": "--json",
    "demo": "--minutes --output",
}

HELP = f"""
import sys
from cyclegan_edge.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)
"""


def test_the_table_of_promises_is_complete() -> None:
    assert PROMISED.keys() == COMMANDS.keys()


def test_the_groups_help_names_every_command_and_loads_nothing_heavy(python, tmp_path: Path) -> None:
    shown = python(HELP, "--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert all(f"\n  {name} " in shown.stdout for name in COMMANDS)
    assert shown.stderr == "\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_commands_help_shows_what_is_promised_and_loads_nothing_heavy(command: str, python, tmp_path: Path) -> None:
    shown = python(HELP, command, "--help", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    words = shown.stdout.replace(",", " ").replace("/", " ").split()
    assert set(PROMISED[command].split()) <= set(words)
    assert shown.stderr == "\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command: str) -> None:
    loaded = cyclegan.get_command(click.Context(cyclegan), command)
    assert loaded
    assert loaded.help
    silent = [option.opts for option in loaded.params if isinstance(option, click.Option) and not option.help]
    assert silent == []


def test_an_unknown_command_is_a_usage_error(python, tmp_path: Path) -> None:
    shown = python(HELP, "trian", cwd=tmp_path)
    assert shown.returncode == 2
    assert "No such command 'trian'" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_every_command_is_the_file_of_its_name(root: Path) -> None:
    """`cyclegan NAME` lies in FOLDER/commands/NAME.py, and nothing else lies there but what commands share."""
    shared = {"__init__", "console", "options"}
    files = {(path.parts[-3], path.stem) for path in root.glob("*/commands/*.py")}
    assert {(folder, name) for folder, name in files if name not in shared} == {
        (folder, name.replace("-", "_")) for name, (folder, _) in COMMANDS.items()
    }


def test_the_package_runs_as_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cyclegan_edge", "--version"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (shown.returncode, shown.stdout.split(", ")[0]) == (0, "cyclegan"), shown.stderr
