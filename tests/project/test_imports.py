"""Who may import whom, what is declared, and what stays unloaded until it is needed."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib import import_module
from importlib.metadata import packages_distributions
from itertools import product
from pathlib import Path
from shutil import which

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT / "__init__.py", ROOT / "cli.py"]  # `__main__.py` runs the command when it is imported
SOURCES += sorted(path for folder in ("trainer", "export", "runtime") for path in (ROOT / folder).rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

ENGINES = ("window", "ort", "openvino")  # an OpenCV and what runs on a CPU: what every test has
EXTRAS = ("video", "camera", "heif", "screen", "virtual-camera", "ray", "tensorrt-rtx", "web")  # of the runtime
TRAINING_EXTRAS = ("heif", "remote")

# Declared for a library that we import, which imports them itself: the exporter and the writer of torch.
NEEDED_BY_TORCH = {"onnxscript", "tensorboard"}
# Brought by torch where it has kernels for a GPU; the one module that imports it is imported there only.
BROUGHT_BY_TORCH = {"triton"}
# Imported by its name, because one code serves it and tensorrt.
CHOSEN_AT_RUN_TIME = {"tensorrt-rtx-cu13"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("cyclegan_edge", *parts)).removesuffix(".__init__")


def requirements(*groups: str) -> list[Requirement]:
    listed = [
        PROJECT["dependencies"] if group == "base" else PROJECT["optional-dependencies"][group] for group in groups
    ]
    return [Requirement(text) for group in listed for text in group]


def names(*groups: str) -> set[str]:
    return {requirement.name for requirement in requirements(*groups)}


distributions = cache(packages_distributions)  # by what can be imported of them; it reads every package's files


def imported_distributions(path: Path) -> set[str]:
    """Return the distributions that own what a file imports anywhere in it."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules.add(node.module.partition(".")[0])
    owners = distributions()
    foreign = modules - sys.stdlib_module_names - {"cyclegan_edge"}
    found = {owners.get(module, [module])[0].lower().replace("_", "-") for module in foreign}
    return {re.sub(r"^onnxruntime-gpu$", "onnxruntime", name) for name in found}


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_every_module_imports(path: Path) -> None:
    assert Path(import_module(module_name(path)).__file__ or "").resolve() == path.resolve()


def test_import_contracts_are_kept(root: Path) -> None:
    command = which("lint-imports", path=Path(sys.executable).parent)
    assert command, "import-linter is not installed beside this Python"
    checked = subprocess.run([command, "--no-cache", "--no-logo"], cwd=root, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_are_declared_for_their_folder(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    more = ("train", *TRAINING_EXTRAS) if folder in ("trainer", "export") else EXTRAS
    brought = BROUGHT_BY_TORCH if folder == "trainer" else set()
    assert imported_distributions(path) - brought <= names("base", *ENGINES, *more)


def test_every_dependency_is_used() -> None:
    used = set().union(*map(imported_distributions, SOURCES))
    assert used & BROUGHT_BY_TORCH == BROUGHT_BY_TORCH
    assert names("base", *ENGINES, "train", *TRAINING_EXTRAS, *EXTRAS) - used == NEEDED_BY_TORCH | CHOSEN_AT_RUN_TIME


def test_exactly_one_onnxruntime_is_installed_everywhere() -> None:
    candidates = [r for r in requirements("all") if r.name.startswith("onnxruntime")]
    for platform, machine in product(("linux", "darwin", "win32"), ("x86_64", "aarch64", "arm64", "AMD64")):
        environment = {"sys_platform": platform, "platform_machine": machine}
        chosen = [r.name for r in candidates if isinstance(r.marker, Marker) and r.marker.evaluate(environment)]
        assert len(chosen) == 1, (environment, chosen)


def test_exactly_one_opencv_is_in_every_extra() -> None:
    def opencvs(extra: str) -> list[str]:
        within = [
            text
            for r in requirements(extra)
            if r.name == "cyclegan-edge"
            for name in r.extras
            for text in opencvs(name)
        ]
        return within + [r.name for r in requirements(extra) if r.name.startswith("opencv")]

    found = {extra: opencvs(extra) for extra in PROJECT["optional-dependencies"]}
    assert {extra: names for extra, names in found.items() if names} == {
        "window": ["opencv-python"],
        "headless": ["opencv-python-headless"],
        "all": ["opencv-python"],
    }


def test_the_package_alone_loads_nothing_heavy(python, tmp_path: Path) -> None:
    program = (
        "import sys, cyclegan_edge; print(sorted({'numpy', 'cv2', 'torch', 'pydantic', 'click'} & set(sys.modules)))"
    )
    assert python(program, cwd=tmp_path).stdout == "[]\n"
