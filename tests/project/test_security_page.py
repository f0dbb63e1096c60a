"""Every attack on the page about security is held by a test of that name."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_each_attack_of_the_page_has_its_test():
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    tables = page.partition("## What was tried on the server")[2].partition("\n## What is known")[0]
    rows = [line for line in tables.splitlines() if line.startswith("| ") and not line.startswith("| attack ")]
    named = [re.findall(r"`(test_\w+)` \|$", row) for row in rows]
    assert len(rows) > 30
    assert all(named), [row for row, names in zip(rows, named, strict=True) if not names]
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name for names in named for name in names} <= set(re.findall(r"def (test_\w+)\(", tests))


@pytest.mark.parametrize(
    ("extra", "name", "least"), [("web", "starlette", "1.5.1"), ("web", "uvicorn", "0.52.1"), ("train", "onnx", "1.21")]
)
def test_the_floors_hold_the_fixes_that_the_page_relies_on(extra: str, name: str, least: str):
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    requirement = next(line for line in declared[extra] if re.match(rf"{name}\b(\[|>)", line))
    floor = requirement.partition(">=")[2].split(",")[0]
    assert [int(part) for part in floor.split(".")] >= [int(part) for part in least.split(".")]
