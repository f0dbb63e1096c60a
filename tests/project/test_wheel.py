"""The wheel holds the package, the whole package and nothing but the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

import cyclegan_edge

FOLDERS = ("trainer", "export", "runtime")


@pytest.fixture(scope="module")
def wheel(root: Path, own_files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """The wheel that `make wheel` gives in a fresh clone; nothing is left in the working tree."""
    clone = tmp_path_factory.mktemp("clone")
    for path in own_files:
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, clone / path)
    offline = os.environ | {"PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1"}  # 0: no isolation, in pip's reading
    command = ["make", "wheel", f"PYTHON={sys.executable}"]
    built = subprocess.run(command, cwd=clone, env=offline, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = (clone / "dist").glob("*.whl")
    assert built.stdout.splitlines()[-1] == f"dist/{path.name}"
    return ZipFile(path)


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel: ZipFile, own_files: list[Path]) -> None:
    package = {path for path in own_files if path.parts[0] in FOLDERS or path.name == "py.typed"}
    package |= {Path("__init__.py"), Path("__main__.py"), Path("cli.py")}
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert found == {f"cyclegan_edge/{path.as_posix()}" for path in package}


def test_the_pages_name_the_wheel_of_this_version(root: Path, own_files: list[Path]) -> None:
    pages = [path for path in own_files if path.suffix == ".md" and path.name != "CHANGELOG.md"]
    named = {
        name for page in pages for name in re.findall(r"cyclegan_edge-[\w.]+-py3-none-any", (root / page).read_text())
    }
    assert named == {f"cyclegan_edge-{cyclegan_edge.__version__}-py3-none-any"}


def test_the_wheel_brings_the_command_and_the_licence(wheel: ZipFile) -> None:
    described = {Path(name).name: wheel.read(name).decode() for name in wheel.namelist() if ".dist-info/" in name}
    assert "cyclegan = cyclegan_edge.cli:main" in described["entry_points.txt"]
    assert "Apache License" in described["LICENSE"]
    assert "Requires-Python: >=3.11" in described["METADATA"]
