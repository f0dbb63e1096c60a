import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "train_step.py"

# What the benchmark asks of the official model class, and nothing else of it.
STAND_IN = """
import torch

class CycleGANModel:
    def __init__(self, opt):
        assert opt.isTrain and opt.lambda_identity == 0.5 and opt.gpu_ids == []
        self.weight = torch.zeros(1, device=opt.device, requires_grad=True)

    def setup(self, opt):
        print("networks initialized")  # the official code prints; the benchmark's answer must stay readable

    def set_input(self, input):
        self.real_A, self.real_B = input["A"], input["B"]

    def optimize_parameters(self):
        ((self.real_A - self.real_B).mean() * self.weight).backward()
"""


@pytest.mark.slow
def test_every_variant_is_measured_beside_the_classical_and_the_official_step(tmp_path):
    (tmp_path / "checkout" / "models").mkdir(parents=True)
    (tmp_path / "checkout" / "models" / "cycle_gan_model.py").write_text(STAND_IN)
    command = [sys.executable, str(BENCHMARK), "--quick", "--seconds", "0", "--shape", "32x1", "--device", "cpu"]
    command += ["--output", str(tmp_path), "--reference", str(tmp_path / "checkout")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (result,) = tmp_path.glob("train_step-*-quick.json")
    rows = json.loads(result.read_text())["rows"]
    assert [row["variant"] for row in rows] == ["official", "classical", "ours fp32", "ours bf16"]
    assert all(row["milliseconds"] > 0 and row["peak_bytes"] > 0 and row["steps"] == 3 for row in rows)
    assert "| 32x32, batch 1 | ours bf16 |" in done.stdout
    assert done.stdout == next(tmp_path.glob("*.md")).read_text() + "\n"
