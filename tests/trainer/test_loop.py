import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from cyclegan_edge.runtime.errors import ConfigError
from cyclegan_edge.trainer.checkpoints.checkpoint import load_checkpoint, load_generator
from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.loop import Run
from cyclegan_edge.trainer.methods.schedule import learning_rate_factor
from cyclegan_edge.trainer.tracking.metrics_log import MetricsLog, read_records


@pytest.fixture
def configure(make_config, dataroot):
    def make(**changes):
        return make_config(
            data={"dataroot": str(dataroot), "load_size": 36, "crop_size": 32, "batch_size": 2}, **changes
        )

    return make


def flatten(value, name="state"):
    """Yield every leaf of a nested checkpoint by its path."""
    if isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            yield from flatten(inner, f"{name}.{key}")
    else:
        yield name, value


def assert_same_state(first, second):
    left, right = dict(flatten(first)), dict(flatten(second))
    assert left.keys() == right.keys()
    for name, value in left.items():
        same = torch.equal(value, right[name]) if isinstance(value, torch.Tensor) else value == right[name]
        assert same, name


def resumed(config, folder):
    content = load_checkpoint(folder / "checkpoints" / "latest.pt")
    run = Run(config, folder)
    run.load_state_dict(content["state"], content["progress"])
    return run


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"networks": {"norm": "batch", "dropout": True, "generator": "resnet_1blocks", "ngf": 4, "ndf": 4}},
        {"optim": {"update_order": "discriminators_first", "pool_size": 3}, "losses": {"gan_mode": "wgangp"}},
        {"schedule": {"lr_policy": "plateau", "n_epochs": 4, "n_epochs_decay": 0}},
    ],
    ids=["default", "batch norm and dropout", "discriminators first, wgangp", "plateau"],
)
@pytest.mark.parametrize("stop_at", [1, 4, 6])  # in mid-epoch, after a preview, at the end of an epoch
def test_stopping_and_resuming_changes_no_bit(configure, tmp_path, changes, stop_at):
    run = {"device": "cpu", "precision": "fp32", "preview_every": 4, "validate_every_epochs": 1, "log_every": 1}
    whole = Run(configure(run=run | {"max_steps": 9}, **changes), tmp_path / "whole")
    whole.train()
    Run(configure(run=run | {"max_steps": stop_at}, **changes), tmp_path / "parts").train()
    second = resumed(configure(run=run | {"max_steps": 9}, **changes), tmp_path / "parts")
    second.train()
    assert_same_state(whole.state_dict(), second.state_dict())
    logs = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "parts")]
    assert logs[0] == logs[1]


def test_a_run_folder_holds_what_the_design_promises(configure, tmp_path):
    config = configure(run={"device": "cpu", "precision": "fp32", "preview_every": 4, "keep_every_epochs": 2})
    outcome = Run(config, tmp_path / "run").train()
    assert (outcome.step, outcome.interrupted) == (12, False)
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["epoch-0002.pt", "epoch-0004.pt", "latest.pt"]
    previews = sorted((tmp_path / "run" / "previews").iterdir())
    assert [path.name for path in previews] == ["step-0000004.png", "step-0000008.png", "step-0000012.png"]
    with Image.open(previews[0]) as grid:
        assert grid.size == (3 * 34 + 2, 6 * 34 + 2)  # three held-out pictures, six rows
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    assert 'generator = "resnet_1blocks"' in (tmp_path / "run" / "config.toml").read_text()


def test_the_metrics_log_holds_losses_learning_rates_and_the_paired_truth(configure, tmp_path):
    run = {"device": "cpu", "precision": "fp32", "log_every": 3, "validate_every_epochs": 2}
    Run(configure(run=run), tmp_path / "run").train()
    records = read_records(tmp_path / "run" / "metrics.jsonl", "train")
    assert [record["step"] for record in records] == [3, 6, 9, 12]
    # The rate is that of the step's own epoch: two epochs of three steps at 2e-4, then 2/3 and 1/3 of it.
    assert [record["lr"] for record in records] == pytest.approx([2e-4, 2e-4, 2e-4 * 2 / 3, 2e-4 / 3])
    measured = read_records(tmp_path / "run" / "metrics.jsonl", "validation")
    assert [record["epoch"] for record in measured] == [2, 4]
    assert {"cycle_psnr_A", "cycle_l1", "psnr_AtoB", "ssim_BtoA"} <= measured[0].keys()


@pytest.mark.parametrize("policy", ["linear", "step", "cosine"])
def test_every_epoch_has_the_learning_rate_of_its_policy(configure, tmp_path, policy):
    schedule = {"lr_policy": policy, "n_epochs": 2, "n_epochs_decay": 3, "lr_decay_iters": 2}
    run = {"device": "cpu", "precision": "fp32", "log_every": 1, "preview_every": 1000}
    config = configure(schedule=schedule, run=run, validation={"max_pictures": 1})
    Run(config, tmp_path / "run").train()
    for record in read_records(tmp_path / "run" / "metrics.jsonl", "train"):
        assert record["lr"] == pytest.approx(2e-4 * learning_rate_factor(config.schedule, record["epoch"]))


def test_a_record_cut_short_by_a_kill_is_dropped(tmp_path):
    lines = [json.dumps({"kind": "train", "step": step}) for step in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, '{"kind": "tra']))
    with MetricsLog(tmp_path, 2) as log:
        log.record("train", 3, 1, {"loss": 1.0})
    assert [record["step"] for record in read_records(tmp_path / "metrics.jsonl", "train")] == [1, 2, 3]


@pytest.mark.parametrize("damage", [b"\0\0\0\0", b"\xff\xfe", b"7", b"null", b'{"kind": "train"}'])
def test_what_a_power_cut_left_of_a_record_is_dropped(tmp_path, damage):
    line = json.dumps({"kind": "train", "step": 1})
    (tmp_path / "metrics.jsonl").write_bytes(line.encode() + b"\n" + damage)
    with MetricsLog(tmp_path, 1):
        pass
    assert [record["step"] for record in read_records(tmp_path / "metrics.jsonl")] == [1]


COMMAND = """
import sys
from cyclegan_edge.cli import main
main(sys.argv[1:])
"""


def start_training(dataroot, tmp_path, *options):
    command = [sys.executable, "-c", COMMAND, "train", str(dataroot), "--runs", str(tmp_path / "runs"), "--name", "r"]
    settings = ["data.load_size=36", "networks.generator=resnet_1blocks", "networks.ngf=4", "networks.ndf=4"]
    settings += ["data.crop_size=32", "run.save_every=2", "run.log_every=1", "run.preview_every=1000"]
    command += [word for setting in settings for word in ("--set", setting)]
    command += ["--epochs", "100", "--epochs-decay", "0", "--device", "cpu", "--precision", "fp32", *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def wait_for_steps(log, steps):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if log.exists() and log.read_text().count("\n") >= steps:
            return
        time.sleep(0.02)
    raise AssertionError("the run never got going")


@pytest.mark.slow
@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_a_run_stopped_by_a_signal_goes_on_exactly(dataroot, tmp_path, signal_number, code):
    folder = tmp_path / "runs" / "r"
    process = start_training(dataroot, tmp_path)
    wait_for_steps(folder / "metrics.jsonl", 5)
    process.send_signal(signal_number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    stopped_at = load_checkpoint(folder / "checkpoints" / "latest.pt")["progress"]["step"]
    assert stopped_at >= 4
    end = stopped_at + 6
    resumed = start_training(dataroot, tmp_path, "--resume", "--max-steps", str(end))
    assert resumed.wait(timeout=120) == 0, resumed.stderr.read()
    resumed.stderr.close()
    whole = start_training(dataroot, tmp_path / "whole", "--max-steps", str(end))
    assert whole.wait(timeout=120) == 0, whole.stderr.read()
    whole.stderr.close()
    states = [
        load_checkpoint(root / "r" / "checkpoints" / "latest.pt")["state"]
        for root in (tmp_path / "runs", tmp_path / "whole" / "runs")
    ]
    assert_same_state(*states)
    logs = [(root / "r" / "metrics.jsonl").read_text() for root in (tmp_path / "runs", tmp_path / "whole" / "runs")]
    assert logs[0] == logs[1]


def test_the_best_checkpoint_is_that_of_the_best_validation(configure, tmp_path):
    run = {"device": "cpu", "precision": "fp32", "validate_every_epochs": 1, "preview_every": 1000}
    Run(configure(run=run, validation={"metric": "colour"}), tmp_path / "run").train()
    measured = read_records(tmp_path / "run" / "metrics.jsonl", "validation")
    best = min(measured, key=lambda record: record["colour_AtoB"] + record["colour_BtoA"])
    content = load_checkpoint(tmp_path / "run" / "checkpoints" / "best.pt")
    assert content["progress"]["step"] == best["step"]
    value = (best["colour_AtoB"] + best["colour_BtoA"]) / 2
    assert f"is of step {best['step']} " in (tmp_path / "run" / "report.html").read_text()
    assert content["state"]["selection"] == {"metric": "colour", "best": pytest.approx(value), "stale": 0}


def test_a_run_that_gets_no_better_stops_early_and_stays_stopped(configure, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "cyclegan_edge.trainer.evaluation.validation.evaluate", lambda *_: {"ssim_AtoB": 0.5, "cycle_l1": 0.1}
    )
    run = {"device": "cpu", "precision": "fp32", "validate_every_epochs": 1, "save_every": 1000}
    config = configure(run=run, validation={"patience": 2})
    outcome = Run(config, tmp_path / "run").train()
    assert (outcome.step, outcome.interrupted) == (9, False)  # the first epoch is the best, two more are waited for
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "latest.pt")["progress"]["step"] == 9
    assert resumed(config, tmp_path / "run").train().step == 9


def test_a_run_that_is_further_than_it_may_get_has_nothing_to_do(configure, tmp_path):
    run = {"device": "cpu", "precision": "fp32"}
    Run(configure(run=run | {"max_steps": 2}), tmp_path / "run").train()
    result = resumed(configure(run=run | {"max_steps": 1}), tmp_path / "run").train()
    assert (result.first_step, result.step, result.total_steps) == (2, 2, 2)


def test_only_a_fixed_subset_is_validated(configure, tmp_path):
    run = Run(configure(validation={"max_pictures": 2}), tmp_path / "run")
    assert [len(domain) for domain in run.validation.pictures] == [2, 2]


def test_a_validation_without_pictures_is_refused(configure, dataroot, tmp_path):
    shutil.rmtree(dataroot / "testA")
    assert Run(configure(), tmp_path / "run").validation is None
    with pytest.raises(ConfigError, match="need pictures in testA and testB"):
        Run(configure(validation={"patience": 3}), tmp_path / "run")


@pytest.mark.parametrize(("input_nc", "output_nc"), [(1, 3), (1, 1), (4, 2)])
def test_a_run_with_other_channels_ends_in_generators_of_those(make_config, dataroot, tmp_path, input_nc, output_nc):
    for folder, channels in (("trainA", input_nc), ("trainB", output_nc)):
        if channels not in (1, 3):
            for path in (dataroot / folder).iterdir():
                np.save(
                    path.with_suffix(".npy"), np.random.default_rng(0).integers(0, 256, (40, 40, channels), np.uint8)
                )
                path.unlink()
    for folder in ("testA", "testB"):
        shutil.rmtree(dataroot / folder)
    data = {"dataroot": str(dataroot), "load_size": 36, "crop_size": 32, "input_nc": input_nc, "output_nc": output_nc}
    config = make_config(data=data, losses={"lambda_identity": 0}, run={"device": "cpu", "preview_every": 2})
    config = resolve_config(config.model_dump(), {"run": {"max_steps": 2}})
    Run(config, tmp_path / "run").train()
    loaded = load_generator(tmp_path / "run", "BtoA")
    assert (loaded.input_nc, loaded.output_nc) == (output_nc, input_nc)
    assert loaded.network(torch.zeros(1, output_nc, 32, 32)).shape == (1, input_nc, 32, 32)


@pytest.mark.parametrize("preprocess", ["crop", "scale_width", "scale_width_and_crop", "none"])
def test_a_run_trains_in_every_mode_of_preprocessing(make_config, dataroot, tmp_path, preprocess):
    data = {"dataroot": str(dataroot), "load_size": 36, "crop_size": 32, "preprocess": preprocess}
    run = {"device": "cpu", "precision": "fp32", "max_steps": 1, "preview_every": 1}
    assert Run(make_config(data=data, run=run), tmp_path / "run").train().step == 1
