"""`cyclegan distill` from teacher to a student that every other command takes."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from cyclegan_edge.trainer.checkpoints.checkpoint import load_checkpoint

SMALL = ["--ngf", "2", "--device", "cpu", "--batch-size", "2", "--set", "run.log_every=2"]


@pytest.fixture(scope="module")
def dataroot(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    noise = np.random.default_rng(0)
    for name, count in {"trainA": 6, "trainB": 6, "testA": 2, "testB": 2}.items():
        (root / name).mkdir()
        for number in range(count):
            pixels = noise.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


@pytest.fixture
def distill(cyclegan, run_folder, dataroot, tmp_path):
    def run(*options, teacher=run_folder, name="s") -> int:
        return cyclegan("distill", teacher, dataroot, "--runs", tmp_path, "--name", name, *options)

    return run


def test_a_student_is_a_run_like_any_other(cyclegan, distill, run_folder, dataroot, tmp_path, capsys, caplog):
    assert distill("--max-steps", 2, "--set", "run.validate_every_epochs=1", *SMALL) == 0
    student = tmp_path / "s"
    config = load_checkpoint(student / "checkpoints" / "latest.pt")["config"]
    assert config["networks"] == config["networks"] | {"generator": "resnet_1blocks", "ngf": 2, "ndf": 4}
    assert config["data"]["crop_size"] == 32  # the teacher's
    assert config["optim"]["lr"] == 1e-3  # a student's own, unless it is told
    assert config["distill"]["teacher"] == str(run_folder)
    assert f'teacher = "{run_folder}"' in (student / "config.toml").read_text()
    assert distill("--max-steps", 3, "--resume") == 0
    assert load_checkpoint(student / "checkpoints" / "latest.pt")["progress"]["step"] == 3
    assert cyclegan("train", dataroot, "--runs", tmp_path, "--name", "s", "--resume", "--max-steps", 4) == 0
    capsys.readouterr()
    assert cyclegan("export", student, "--json") == 0
    (product,) = json.loads(capsys.readouterr().out)
    assert product["verification"]["passed"]
    assert cyclegan("export", student, "--direction", "BtoA") == 4
    assert "holds a student that learnt AtoB alone" in capsys.readouterr().err
    assert cyclegan("evaluate", student, dataroot, "--json") == 0
    assert json.loads(capsys.readouterr().out)["directions"] == ["AtoB"]
    assert cyclegan("train", dataroot, "--runs", tmp_path, "--name", "t", "--init-from", student, "--max-steps", 1) == 0
    assert "fresh: G_B, D_B" in caplog.text


def test_both_directions_and_an_official_teacher(cyclegan, distill, make_run, tmp_path, capsys, caplog):
    six = make_run("six", networks={"generator": "resnet_6blocks", "ngf": 4, "ndf": 4})
    assert cyclegan("export-weights", six, "--output", tmp_path / "official") == 0
    crops = ["--set", "data.crop_size=32", "--set", "data.load_size=32"]
    official = tmp_path / "official"
    assert distill("--max-steps", 1, "--direction", "both", *crops, *SMALL, teacher=official) == 0
    content = load_checkpoint(tmp_path / "s" / "checkpoints" / "latest.pt")
    assert content["state"]["teachers"].keys() == {"AtoB", "BtoA"}
    alone = official / "latest_net_G_B.pth"
    assert distill("--max-steps", 1, *crops, *SMALL, teacher=alone, name="u") == 4
    assert "no G_A, which translates AtoB; name that file" in capsys.readouterr().err
    assert distill("--max-steps", 1, "--direction", "BtoA", *crops, *SMALL, teacher=alone, name="u") == 0
    assert "D_B starts fresh" in caplog.text
    assert cyclegan("export-weights", tmp_path / "u", "--output", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["latest_net_D_B.pth", "latest_net_G_B.pth"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "would be as large as its teacher (resnet_1blocks, ngf 4); give a smaller --generator or --ngf"),
        (["--ngf", 8], 2, "of ngf 8 is wider than its teacher; take 4 or less"),
        (["--generator", "resnet_blocks"], 2, "networks.generator"),
        (["--ngf", 2, "--set", "losses.lambda_A=5"], 2, "has no cycle for losses.lambda_A to weigh; leave that out"),
        (["--ngf", 2, "--set", "distill.lambda_outptu=5"], 2, "did you mean distill.lambda_output?"),
        (["--ngf", 2, "--set", "data.input_nc=1"], 2, "turns 3 channels into 3 (AtoB), not 1 into 3"),
        (["--ngf", 2, "--set", "distill.direction=up"], 2, "distill.direction"),
        (["--resume"], 4, "there is no checkpoint"),
    ],
)
def test_a_wrong_option_ends_in_one_sentence_and_writes_nothing(distill, tmp_path, capsys, options, code, message):
    assert distill(*options, "--max-steps", 1) == code
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_a_teacher_that_is_not_there_or_not_whole(distill, run_folder, tmp_path, capsys):
    assert distill(*SMALL, teacher=tmp_path / "absent") == 4
    assert "there is no checkpoint" in capsys.readouterr().err
    cut = tmp_path / "cut.pt"
    cut.write_bytes((run_folder / "checkpoints" / "latest.pt").read_bytes()[:5000])
    assert distill(*SMALL, teacher=cut) == 4
    assert "cannot be read as a checkpoint: it is cut short" in capsys.readouterr().err


def test_a_run_without_a_teacher_does_not_go_on_with_one(cyclegan, distill, dataroot, tmp_path, capsys):
    tiny = ["networks.generator=resnet_1blocks", "networks.ngf=2", "networks.ndf=4", "data.load_size=32"]
    options = [word for setting in [*tiny, "data.crop_size=32"] for word in ("--set", setting)]
    assert cyclegan("train", dataroot, "--runs", tmp_path, "--name", "s", "--max-steps", 1, *options) == 0
    assert distill("--resume", "--max-steps", 2) == 2
    assert "began without a teacher, so it cannot go on with one" in capsys.readouterr().err
    assert distill(*SMALL) == 5
    assert "already holds a run; resume it" in capsys.readouterr().err


def test_ctrl_c_leaves_a_checkpoint_to_go_on_from(distill, run_folder, dataroot, tmp_path):
    command = [sys.executable, "-c", "from cyclegan_edge.cli import main; main()", "distill", run_folder, dataroot]
    command += ["--runs", tmp_path, "--name", "s", "--epochs", "10000", *SMALL]
    process = subprocess.Popen(
        list(map(str, command)), stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    journal, deadline = tmp_path / "s" / "metrics.jsonl", time.monotonic() + 120
    while not (journal.exists() and journal.read_text().count("\n") >= 2):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    stopped_at = load_checkpoint(tmp_path / "s" / "checkpoints" / "latest.pt")["progress"]["step"]
    assert distill("--resume", "--max-steps", stopped_at + 1) == 0
    state = load_checkpoint(tmp_path / "s" / "checkpoints" / "latest.pt")["state"]
    assert all(torch.isfinite(value).all() for value in state["networks"]["G_A"].values())
