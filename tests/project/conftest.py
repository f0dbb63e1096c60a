"""What the tests of the house share: where it stands and which files are its own."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root, which is the import package `cyclegan_edge`."""
    return ROOT


@pytest.fixture(scope="session")
def own_files() -> list[Path]:
    """Every file that is or would be committed, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return sorted({Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()})


@pytest.fixture(scope="session")
def python() -> Run:
    """Run a program text in a fresh interpreter, outside the repository's root."""

    def run(program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        command: Sequence[str] = [sys.executable, "-c", program, *arguments]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)

    return run
