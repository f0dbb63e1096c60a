"""The rules of the house that no linter knows."""

import ast
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

LONGEST_FILE = 350  # lines
REGISTRY = re.compile(rb"pypi\.[a-z]+\.?|pythonhosted\.|index[-]url|registry\.npm|deb\.debian\.|download\.pytorch\.")


@pytest.fixture
def code(own_files: list[Path]) -> list[Path]:
    return [path for path in own_files if path.suffix == ".py"]


def test_the_root_holds_the_public_api_and_the_command_only(code: list[Path]) -> None:
    assert {path.name for path in code if len(path.parts) == 1} == {"__init__.py", "__main__.py", "cli.py"}


def test_every_file_has_one_role(code: list[Path]) -> None:
    vague = re.compile(r"^(utils?|helpers?|common|misc)\.py$")
    assert [path for path in code if vague.match(path.name)] == []


def test_no_file_is_too_long(root: Path, code: list[Path]) -> None:
    lengths = {str(path): len((root / path).read_text().splitlines()) for path in code}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_no_file_names_a_package_registry(root: Path, own_files: list[Path]) -> None:
    assert [path for path in own_files if REGISTRY.search((root / path).read_bytes())] == []


def test_constraints_are_names_and_versions(root: Path) -> None:
    lines = (root / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert pins
    assert [line for line in pins if not re.fullmatch(r"[\w.-]+==[\w.+]+", line)] == []


def test_onnx_runtime_for_cuda_brings_the_libraries_that_it_loads(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    requirements = [line for lines in project["optional-dependencies"].values() for line in lines]
    for_cuda = [line for line in requirements if line.startswith("onnxruntime-gpu")]
    assert for_cuda
    assert [line for line in for_cuda if not line.startswith("onnxruntime-gpu[cuda,cudnn]")] == []


@pytest.fixture
def make(root: Path, tmp_path: Path):
    """Run make in a bare copy of the house whose Pythons are the given scripts."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((root / name).read_bytes())
    pythons = tmp_path / "bin"
    pythons.mkdir()

    def run(*arguments: str, **scripts: str) -> subprocess.CompletedProcess[str]:
        for name, text in scripts.items():
            script = pythons / name.replace("_", ".")
            script.write_text(f"#!/bin/sh\n{text}\n")
            script.chmod(0o755)
        environment = {"PATH": f"{pythons}:/usr/bin:/bin"}
        return subprocess.run(["make", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


def test_make_tests_every_folder(root: Path) -> None:
    named = re.findall(r"tests/(\w+)", (root / "Makefile").read_text())
    folders = [path.name for path in (root / "tests").iterdir() if any(path.rglob("test_*.py"))]
    assert sorted(named) == sorted(folders)


def test_make_takes_the_first_python_that_runs(make) -> None:
    shim = "echo 'command not found' >&2; exit 127"
    planned = make("--dry-run", "lint", python3_12=shim, python3_13=shim, python3_11="exit 0", python3="exit 0")
    assert "python3.11 -m venv .venv" in planned.stdout


def test_make_says_in_one_sentence_that_python_is_too_old(make, tmp_path: Path) -> None:
    refused = make("demo", python3_12="exit 1", python3_13="exit 1", python3_11="exit 1", python3="exit 1")
    assert refused.returncode != 0
    assert "CycleGAN Edge needs Python 3.11, 3.12 or 3.13" in refused.stderr.splitlines()[0]
    assert not (tmp_path / ".venv").exists()


def test_make_installs_again_only_when_a_requirement_changed(make, tmp_path: Path) -> None:
    stamp = tmp_path / ".venv" / "installed"
    stamp.parent.mkdir()
    stamp.touch()
    assert "pip install" not in make("--dry-run", "test", "demo").stdout
    later = stamp.stat().st_mtime_ns + 10**9
    os.utime(tmp_path / "constraints.txt", ns=(later, later))
    assert "pip install" in make("--dry-run", "test", "demo").stdout


def texts(path: Path) -> list[str]:
    """Return the texts in a file's code; docstrings explain to readers, and are none of them."""
    tree = ast.parse(path.read_text())
    documented = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    docstrings = {id(node.body[0].value) for node in documented if ast.get_docstring(node)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [node.value for node in constants if id(node) not in docstrings]


def test_messages_of_the_trainer_name_no_option_of_a_command(root: Path, code: list[Path]) -> None:
    """A command names its options; below it a setting has its name in the configuration. `--nproc…` is torchrun's."""
    below = [path for path in code if path.parts[0] == "trainer" and "commands" not in path.parts]
    below.remove(Path("trainer/checkpoints/export_official.py"))  # which prints the options of the official code
    named = {
        str(path): text for path in below for text in texts(root / path) if re.search(r"(^|\s)--(?!nproc)[a-z]", text)
    }
    assert named == {}
