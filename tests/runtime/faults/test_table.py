"""Every row of the guide's tables of faults is held by a test of that name."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_each_fault_of_the_guide_has_its_test():
    guide = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    rows = [line for line in guide.splitlines() if line.startswith("| ") and not line.startswith("| fault |")]
    named = [re.findall(r"`(test_\w+)` \|$", row) for row in rows]
    assert len(rows) > 60
    assert all(named), [row for row, names in zip(rows, named, strict=True) if not names]
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    known = set(re.findall(r"def (test_\w+)\(", tests))
    assert {name for names in named for name in names} <= known
