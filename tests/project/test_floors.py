"""The oldest libraries that the requirements allow hold against the attacks too.

onnx is not among them: its floor is for files that name external data, which only the engines read here, see
`test_weights_outside_a_models_folder_are_not_read`.
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# extra → the libraries whose fixes the page about security relies on, and the tests that show them
FLOORS = {
    "web": (
        ["starlette", "uvicorn", "websockets"],
        ["test_attacks.py", "test_videos.py::test_a_request_for_a_thousand_ranges_does_not_multiply_the_answer"],
    ),
}


def floor_of(extra: str, name: str) -> str:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    requirement = next(line for line in declared[extra] if re.match(rf"{name}\b(\[|>)", line))
    return f"{name}=={requirement.partition('>=')[2].split(',')[0]}"


@pytest.mark.slow
@pytest.mark.parametrize("extra", FLOORS)
def test_the_attacks_are_held_on_the_oldest_libraries_too(extra: str, tmp_path: Path) -> None:
    names, tests = FLOORS[extra]
    floors = [floor_of(extra, name) for name in names]
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path), *floors]
    installed = subprocess.run(pip, capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"{', '.join(floors)} cannot be installed here: {installed.stderr.strip().splitlines()[-1]}")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not slow", "-p", "no:cacheprovider"]
        + [str(ROOT / "tests" / "runtime" / extra / name) for name in tests],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-3000:]
