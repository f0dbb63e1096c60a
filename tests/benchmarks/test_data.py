import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "data.py"


@pytest.mark.slow
def test_every_loader_is_measured_and_times_can_be_left_out(tmp_path):
    command = [sys.executable, str(BENCHMARK), "--quick", "--memory-only", "--pictures", "6", "--side", "32"]
    command += [
        "--steps",
        "2",
        "--reads",
        "4",
        "--device",
        "cpu",
        "--output",
        str(tmp_path),
        "--scratch",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "data.json").read_text())
    assert [row["kind"] for row in rows] == ["cold", "warm", "two ranks, warm", "peer"]
    assert rows[2]["peak_bytes"] > 1.5 * rows[1]["peak_bytes"]
    assert not any(key.endswith("_s") for row in rows for key in row)
    assert "not measured" in (tmp_path / "data.md").read_text()
