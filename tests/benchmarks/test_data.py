import importlib.util
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


def test_one_pass_is_the_build_of_a_cold_cache_and_the_scaled_reads_of_the_others():
    spec = importlib.util.spec_from_file_location("data_benchmark", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    seconds = {"cold": (50.0, 1.0), "warm": (4.0, 2.0), "two ranks, warm": (6.0, 2.0), "peer": (5.0, 8.0)}
    rows = [
        {"kind": kind, "pictures": 1000, "reads": 200, "first_step_s": first, "reads_s": reads}
        for kind, (first, reads) in seconds.items()
    ]
    assert [module.one_pass(row, rows) for row in rows] == [46, 10, 5, 40]
