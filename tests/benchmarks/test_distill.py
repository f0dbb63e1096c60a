import json

import pytest
import torch
from click.testing import CliRunner

from cyclegan_edge.export.graph.onnx_export import export_onnx
from cyclegan_edge.trainer.checkpoints.checkpoint import load_generator, save_checkpoint
from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.methods.cyclegan import CycleGAN


@pytest.fixture
def benchmark(load_benchmark):
    return load_benchmark("distill")


@pytest.fixture
def teacher(tmp_path):
    layer = {
        "data": {"load_size": 32, "crop_size": 32},
        "networks": {"generator": "resnet_1blocks", "ngf": 8, "ndf": 4},
    }
    model = CycleGAN(resolve_config(layer), torch.device("cpu"))
    path = tmp_path / "t.pt"
    save_checkpoint(path, model.config, {"step": 1, "epoch": 1}, model.state_dict())
    return path


@pytest.mark.slow
def test_students_are_trained_in_every_way_and_stand_beside_their_teacher(
    benchmark, teacher, emoji, tmp_path, monkeypatch
):
    timed = {"openvino fp32": 2.0, "openvino int8": 1.0}
    monkeypatch.setattr(benchmark, "time_files", lambda *files, **options: timed)
    options = ["--student", "edge_resnet_1blocks:2", "--steps", "2", "--seeds", "2", "--size", "32x32", "--quick"]
    command = [str(teacher), str(emoji), *options, "--runs", str(tmp_path / "runs")]
    for _ in range(2):  # what is trained already is only measured again
        done = CliRunner().invoke(benchmark.main, [*command, "--output", str(tmp_path)], catch_exceptions=False)
        assert done.exit_code == 0
    found = json.loads((tmp_path / "distill-quick.json").read_text())["rows"]
    ways = [(row["plan"]["way"], row["plan"]["seed"]) for row in found]
    assert ways == [("teacher", 0)] + [(way, seed) for seed in (0, 1) for way in benchmark.WAYS]
    assert all(row["int8_psnr_db"] > 0 for row in found)
    assert all({f"{name}_AtoB" for name in benchmark.METRICS} <= row["quality"].keys() for row in found)
    assert found[0]["to_teacher_db"] is None
    assert found[1]["cost"]["p50_ms"] == timed
    assert "edge_resnet_1blocks, ngf 2, distilled, 2 seeds: PSNR" in done.stdout
    drawn = (tmp_path / "distill-quick.svg").read_text()
    assert all(name in drawn for name in (*benchmark.MARKERS, "untranslated", "edge_resnet_1blocks"))
    assert (tmp_path / "distill-quick.png").stat().st_size > 1000


def test_files_are_timed_by_the_command_in_every_engine(benchmark, teacher, tmp_path):
    full = tmp_path / "fp32.onnx"
    export_onnx(load_generator(teacher, "AtoB"), full)
    found = benchmark.time_files(full, size=(32, 32), seconds=0.0)
    assert {name.split()[0] for name in found} == {"onnxruntime", "openvino"}
    assert all(ms > 0 for ms in found.values())
