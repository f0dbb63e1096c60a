import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from cyclegan_edge.runtime.bench import Latency, Result
from cyclegan_edge.trainer.checkpoint import save_checkpoint
from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.step import CycleGAN


@pytest.fixture
def benchmark():
    path = Path(__file__).parents[2] / "benchmarks" / "distill.py"
    spec = importlib.util.spec_from_file_location("distill_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["distill_benchmark"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["distill_benchmark"]


@pytest.mark.slow
def test_students_are_trained_in_every_way_and_stand_beside_their_teacher(benchmark, emoji, tmp_path, monkeypatch):
    layer = {
        "data": {"load_size": 32, "crop_size": 32},
        "networks": {"generator": "resnet_1blocks", "ngf": 8, "ndf": 4},
    }
    model = CycleGAN(resolve_config(layer), torch.device("cpu"))
    save_checkpoint(tmp_path / "t.pt", model.config, {"step": 1, "epoch": 1}, model.state_dict())
    monkeypatch.setattr(benchmark, "find_cases", lambda path, **options: [])
    latency = Latency(runs=1, p50_ms=2.0, p90_ms=2.0, p99_ms=2.0, fps=500.0)
    timed = [Result(name, "openvino", "cpu", "fp32", engine=latency) for name in ("fp32.onnx", "int8.onnx")]
    monkeypatch.setattr(benchmark, "bench", lambda cases: timed)
    options = ["--student", "edge_resnet_1blocks:2", "--steps", "2", "--seeds", "2", "--size", "32x32", "--quick"]
    command = [str(tmp_path / "t.pt"), str(emoji), *options, "--runs", str(tmp_path / "runs")]
    for _ in range(2):  # what is trained already is only measured again
        done = CliRunner().invoke(benchmark.main, [*command, "--output", str(tmp_path)], catch_exceptions=False)
        assert done.exit_code == 0
    found = json.loads((tmp_path / "distill-quick.json").read_text())["rows"]
    ways = [(row["plan"]["way"], row["plan"]["seed"]) for row in found]
    assert ways == [("teacher", 0)] + [(way, seed) for seed in (0, 1) for way in benchmark.WAYS]
    assert all(row["int8_psnr_db"] > 0 for row in found)
    assert all({f"{name}_AtoB" for name in benchmark.METRICS} <= row["quality"].keys() for row in found)
    assert found[0]["to_teacher_db"] is None
    assert found[1]["cost"]["p50_ms"] == {"openvino fp32": 2.0, "openvino int8": 2.0}
    assert "edge_resnet_1blocks, ngf 2, distilled, 2 seeds: PSNR" in done.stdout
    drawn = (tmp_path / "distill-quick.svg").read_text()
    assert all(name in drawn for name in (*benchmark.MARKERS, "untranslated", "edge_resnet_1blocks"))
    assert (tmp_path / "distill-quick.png").stat().st_size > 1000
