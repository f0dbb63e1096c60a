"""What is said of installing is true: the sizes in `docs/install.md`, and every extra that is named anywhere."""

import platform
import re
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGE = (ROOT / "docs" / "install.md").read_text()

PARTS = {
    name: int(size) for name, size in re.findall(r"^\| `(\w[\w-]*)`[^|]*\|[^|]*\| ([\d]+) \|$", PAGE, re.MULTILINE)
}
WHOLE = {
    names: int(size) for names, size in re.findall(r'^\| `"\.\[([\w,-]+)\]"` \|[^|]*\| (\d+) \|$', PAGE, re.MULTILINE)
}

like_the_table = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="the table is of Linux on x86-64"
)


def installed(requirements: list[str], parent: str = "") -> dict[str, Distribution]:
    """Return what requirements bring, and what that needs in its turn, by name; an extra's parent asks for that extra.

    Raises:
        PackageNotFoundError: something of it is not installed here.
    """
    brought: dict[str, Distribution] = {}
    waiting = [(Requirement(text), parent) for text in requirements]
    seen = set()
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        found = distribution(requirement.name)
        brought[requirement.name.lower().replace("_", "-")] = found
        for wanted in ("", *requirement.extras):
            if (requirement.name, wanted) not in seen:
                seen.add((requirement.name, wanted))
                waiting += [(Requirement(text), wanted) for text in found.requires or []]
    return brought


def megabytes(part: Distribution) -> float:
    """Return the size of a distribution's files on the disk, compiled ones among them, in 10^6 bytes."""
    paths = [Path(str(file.locate())) for file in part.files or []]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


@pytest.fixture(scope="module")
def base() -> dict[str, Distribution]:
    return installed(PROJECT["dependencies"])


@like_the_table
@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_as_large_as_the_page_says(
    part: str, base: dict[str, Distribution], root: Path, own_files: list[Path]
) -> None:
    try:
        brought = base if part == "base" else installed(PROJECT["optional-dependencies"][part])
    except PackageNotFoundError as missing:
        pytest.skip(f"{missing.name} is not installed here")
    if any((found.read_text("INSTALLER") or "").strip() != "pip" for found in brought.values()):
        pytest.skip("not installed by pip, which compiles what it installs")
    size = sum(megabytes(found) for name, found in brought.items() if part == "base" or name not in base)
    if part == "base":
        package = [path for path in own_files if path.parts[0] in ("trainer", "export", "runtime")]
        size += sum((root / path).stat().st_size for path in package) / 1e6
    assert PARTS[part] == pytest.approx(size, rel=0.1, abs=1)


def test_every_extra_that_a_device_needs_has_its_size() -> None:
    assert {"base", "headless", "window", "ort", "openvino", "video", "web"} <= PARTS.keys()


@pytest.mark.parametrize("extras", WHOLE)
def test_an_install_is_as_large_as_its_parts(extras: str) -> None:
    parts = extras.replace("cpu", "ort,openvino").split(",")
    assert WHOLE[extras] == pytest.approx(sum(PARTS[part] for part in ("base", *parts)), abs=1)


def test_a_device_without_a_screen_needs_less_than_400_megabytes() -> None:
    assert WHOLE["ort,headless"] < 400


def test_every_extra_that_is_named_exists_and_none_excludes_another(root: Path, own_files: list[Path]) -> None:
    named = re.compile(r"""(?:cyclegan-edge|\.whl|"\.|'\.)\[([a-z][a-z,-]*)\]""")
    texts = {path: (root / path).read_text() for path in own_files if path.suffix in (".md", ".py", ".toml")}
    texts |= {path: (root / path).read_text() for path in own_files if path.name.startswith("Dockerfile")}
    lists = {(path, names) for path, text in texts.items() for names in named.findall(text)}
    assert len({names for _, names in lists}) > 10
    known = PROJECT["optional-dependencies"].keys() | {"speed"}  # of a test's own engine
    assert {(path, names) for path, names in lists if not set(names.split(",")) <= known} == set()
    alternatives = ({"window", "headless"}, {"ort", "cuda"}, {"cpu", "cuda"})
    assert {(path, names) for path, names in lists for pair in alternatives if pair <= set(names.split(","))} == set()
