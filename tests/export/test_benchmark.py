"""`benchmarks/engines.py` on a tiny run: the rows that need no compiler, and the table."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def engines():
    path = Path(__file__).parents[2] / "benchmarks" / "engines.py"
    spec = importlib.util.spec_from_file_location("engines", path)
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["engines"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["engines"]


@pytest.mark.slow
def test_every_engine_gives_a_row_near_to_pytorch(engines, run_folder, tmp_path):
    files = engines.Files(run_folder, tmp_path)
    engines.export_all(files, {"fp32", "int8"})
    files.write_truth(64)
    names = [name for name in engines.ROWS if "compile" not in name]
    rows = [engines.measure(name, 64, 1, files, 0.0) for name in names]
    rows.append(engines.measure_requests(files, 64, {"NUM_STREAMS": "2", "INFERENCE_NUM_THREADS": "2"}, 2, 0.0))
    rows.append(engines.measure_requests(files, 64, {"PERFORMANCE_HINT": "LATENCY"}, 1, 0.0))
    rows.append(engines.measure_threads(files, 64, 1, 2, 0.0))
    assert all(row.error == "" or "bf16" in row.error for row in rows)
    assert all(row.fps > 0 and row.runs >= engines.FEWEST for row in rows if not row.error)
    assert [row.engine for row in rows[-3:-1]] == [
        "OpenVINO, streams 2, threads 2: 2 at once",
        "OpenVINO, hint LATENCY: 1 at once",
    ]
    near = {row.engine: row.psnr_db for row in rows}
    assert near["PyTorch eager fp32"] == 100
    assert near["ONNX Runtime fp32"] > 60
    assert near["ONNX Runtime int8"] > 25
    described, _, *lines = engines.table(rows, "tiny")
    assert "processor" in described
    assert len(lines) == len(rows) + 2
    assert {line.count("|") for line in lines} == {14}
