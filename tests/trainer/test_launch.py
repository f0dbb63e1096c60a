"""Training from Python: what is returned, what may change on resuming, and what is refused."""

import logging
import os
import shutil
import threading

import pytest
import torch

import cyclegan_edge
from cyclegan_edge.runtime.errors import CheckpointError, ConfigError, CycleganError, OutputError, UsageError
from cyclegan_edge.trainer.checkpoints.checkpoint import load_checkpoint
from cyclegan_edge.trainer.config import TrainConfig, merge_layers, resolve_config
from cyclegan_edge.trainer.config_text import read_toml
from cyclegan_edge.trainer.loop import Run
from cyclegan_edge.trainer.tracking.metrics_log import read_records

from .conftest import TINY, write_pictures


@pytest.fixture
def train(dataroot, tmp_path):
    """Return a function that trains the run `tmp_path/run` with some settings."""

    def run(*, resume=None, init_from=None, folder="run", **changes):
        data = TINY["data"] | {"dataroot": str(dataroot)}
        layer = merge_layers(TINY, {"data": data}, {"validation": {"max_pictures": 1}}, changes)
        if resume:
            layer = changes
        return cyclegan_edge.train(layer, tmp_path / folder, resume=resume, init_from=init_from)

    return run


def rates(folder):
    return {record["epoch"]: record["lr"] for record in read_records(folder / "metrics.jsonl", "train")}


def test_training_returns_what_was_made(train, tmp_path):
    result = train(run={"max_steps": 3, "log_every": 1, "validate_every_epochs": 1})
    assert (result.folder, result.first_step, result.step, result.total_steps) == (tmp_path / "run", 0, 3, 3)
    assert (result.interrupted, result.num_skipped) == (False, 0)
    assert load_checkpoint(result.latest)["progress"]["step"] == 3
    assert result.best == tmp_path / "run" / "checkpoints" / "best.pt"
    assert [record["kind"] for record in result.metrics] == ["train", "train", "train", "validation"]


def test_a_configuration_is_taken_as_a_model_too(dataroot, tmp_path):
    config = TrainConfig.model_validate(merge_layers(TINY, {"data": TINY["data"] | {"dataroot": str(dataroot)}}))
    config = TrainConfig.model_validate(config.model_dump() | {"run": config.run.model_dump() | {"max_steps": 1}})
    assert cyclegan_edge.train(config, tmp_path / "run").best is None


def test_a_run_is_trained_in_another_thread_too(train):
    results = []
    thread = threading.Thread(target=lambda: results.append(train(run={"max_steps": 1})))
    thread.start()
    thread.join()
    assert results[0].step == 1


def test_what_cannot_be_trained_is_refused(train, tmp_path):
    with pytest.raises(ConfigError, match=r"name the dataset in data\.dataroot"):
        cyclegan_edge.train({}, tmp_path / "none")
    with pytest.raises(ConfigError, match=r"did you mean networks\.ngf"):
        train(networks={"nfg": 3})
    train(run={"max_steps": 1})
    with pytest.raises(OutputError, match="already holds a run; resume it, or give the new one another name"):
        train()
    with pytest.raises(UsageError, match="cannot start from others"):
        train(resume="latest", init_from=tmp_path / "run")


def test_a_run_that_has_nothing_left_to_do_does_nothing(train, tmp_path):
    train(run={"max_steps": 2})
    before = (tmp_path / "run" / "checkpoints" / "latest.pt").read_bytes()
    result = train(resume="latest")
    assert (result.first_step, result.step) == (2, 2)
    assert (tmp_path / "run" / "checkpoints" / "latest.pt").read_bytes() == before


def test_a_longer_schedule_has_its_own_rates_from_the_first_step(train, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    train(schedule={"n_epochs": 1, "n_epochs_decay": 1})
    train(resume="latest", schedule={"n_epochs": 2, "n_epochs_decay": 2})
    assert rates(tmp_path / "run") == pytest.approx({1: 2e-4, 2: 1e-4, 3: 2e-4 * 2 / 3, 4: 2e-4 / 3})
    assert "schedule.n_epochs changes from 1 to 2" in caplog.text
    assert "schedule.n_epochs_decay changes from 1 to 2" in caplog.text


@pytest.mark.parametrize("policy", ["linear", "step", "cosine"])
def test_rates_do_not_depend_on_how_often_a_run_was_resumed(train, tmp_path, policy):
    schedule = {"lr_policy": policy, "n_epochs": 1, "n_epochs_decay": 3, "lr_decay_iters": 2}
    train(folder="whole", schedule=schedule)
    train(schedule=schedule, run={"max_steps": 1})
    for steps in (4, 6, 11, 0):
        train(resume="latest", run={"max_steps": steps})
    logs = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "run")]
    assert logs[0] == logs[1]


def test_more_pictures_keep_schedule_and_epoch_in_step(train, dataroot, tmp_path, caplog):
    train(run={"max_steps": 8, "log_every": 1})  # of 12: in the middle of the third of four epochs
    shutil.rmtree(dataroot / "trainA")
    write_pictures(dataroot / "trainA", 16, seed=9)
    result = train(resume="latest", run={"max_steps": 0})
    assert "domain A has 16 pictures, and had 6" in caplog.text
    assert "an epoch has 8 steps now: the run goes on in epoch 3 of 4, with 11 steps to go" in caplog.text
    assert (result.step, result.total_steps) == (19, 19)
    assert rates(tmp_path / "run") == pytest.approx({1: 2e-4, 2: 2e-4, 3: 2e-4 * 2 / 3, 4: 2e-4 / 3})
    again = train(resume="latest", schedule={"n_epochs": 3, "n_epochs_decay": 2})
    assert again.step == 19 + 8


def test_other_names_are_said(train, dataroot, caplog):
    train(run={"max_steps": 2})
    (dataroot / "trainB" / "00.png").rename(dataroot / "trainB" / "new.png")
    train(resume="latest", run={"max_steps": 3})
    assert "the 5 pictures of domain B have other names than before" in caplog.text


def test_another_batch_size_keeps_the_epoch(train, caplog):
    caplog.set_level(logging.INFO)
    train(run={"max_steps": 3})  # one epoch of six pictures
    result = train(resume="latest", data={"batch_size": 1}, run={"max_steps": 0})
    assert "data.batch_size changes from 2 to 1" in caplog.text
    assert result.step == 3 + 3 * 6


@pytest.mark.parametrize(
    "change",
    [
        {"optim": {"lr": 1e-4}},
        {"optim": {"clip_norm": 1.0}},
        {"run": {"log_every": 7, "save_every": 9}},
        {"run": {"precision": "bf16"}},
    ],
    ids=str,
)
def test_what_may_change_on_resuming_is_said_in_one_line_each(train, tmp_path, caplog, change):
    caplog.set_level(logging.INFO)
    train(run={"max_steps": 1})
    caplog.clear()
    train(
        resume="latest", **{part: keys | {} for part, keys in merge_layers(change, {"run": {"max_steps": 2}}).items()}
    )
    stored = load_checkpoint(tmp_path / "run" / "checkpoints" / "latest.pt")["config"]
    for part, keys in change.items():
        for key, value in keys.items():
            assert stored[part][key] == value
            assert sum(f"{part}.{key} changes from " in record.getMessage() for record in caplog.records) == 1
    if "lr" in change.get("optim", {}):
        assert load_checkpoint(tmp_path / "run" / "checkpoints" / "latest.pt")["state"]["optimizer_G"]["param_groups"][
            0
        ]["lr"] == pytest.approx(1e-4)


def test_what_must_not_change_is_refused(train):
    train(run={"max_steps": 1})
    with pytest.raises(ConfigError, match=r"started with networks\.ngf=4, so it cannot go on with 8"):
        train(resume="latest", networks={"ngf": 8})


def test_a_kept_checkpoint_can_be_resumed(train, tmp_path, caplog):
    train(folder="whole")
    train(run={"keep_every_epochs": 2})
    result = train(resume="epoch-0002")
    assert (result.first_step, result.step) == (6, 12)
    assert "the run goes on from epoch-0002 at step 6; what it wrote after that step is replaced" in caplog.text
    states = [load_checkpoint(tmp_path / name / "checkpoints" / "latest.pt")["state"] for name in ("whole", "run")]
    for name, network in states[0]["networks"].items():
        assert all(torch.equal(value, states[1]["networks"][name][key]) for key, value in network.items()), name
    with pytest.raises(CheckpointError, match=r"no checkpoint epoch-0003 .*; it keeps epoch-0002, epoch-0004, latest"):
        train(resume="epoch-0003")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        train(resume="../../whole/checkpoints/latest")


def test_a_damaged_checkpoint_names_the_others(train, tmp_path):
    train(run={"keep_every_epochs": 2, "max_steps": 7})
    latest = tmp_path / "run" / "checkpoints" / "latest.pt"
    latest.write_bytes(latest.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"latest\.pt .*; the run can be resumed from epoch-0002$"):
        train(resume="latest")
    assert train(resume="epoch-0002").first_step == 6


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), torch.OutOfMemoryError("CUDA out of")],
    ids=["numpy", "cpu", "cuda"],
)
def test_too_little_memory_ends_in_one_sentence(train, monkeypatch, error):
    def fail(*_):
        raise error if "CUDA" not in str(error) else torch.OutOfMemoryError("CUDA out of memory. Tried")

    monkeypatch.setattr(Run, "train", fail)
    with pytest.raises(CycleganError, match=r"the memory is too small for this run; lower data\.crop_size"):
        train()


def test_names_that_are_no_utf_8_are_trained_on_and_resumed(dataroot, tmp_path):
    root = tmp_path / os.fsdecode(b"d\xffata")
    dataroot.rename(root)
    (root / "trainA" / "00.png").rename(root / "trainA" / os.fsdecode(b"\xfe.png"))
    layer = merge_layers(
        TINY, {"data": TINY["data"] | {"dataroot": str(root)}}, {"run": TINY["run"] | {"max_steps": 1}}
    )
    assert cyclegan_edge.train(layer, tmp_path / "run").step == 1
    assert cyclegan_edge.train({"run": {"max_steps": 2}}, tmp_path / "run", resume="latest").step == 2
    assert resolve_config(read_toml(tmp_path / "run" / "config.toml")).data.dataroot == str(root)
    with pytest.raises(UsageError, match=r"TensorBoard cannot write into .*, which is no UTF-8"):
        cyclegan_edge.train(layer, tmp_path / os.fsdecode(b"r\xfd"))
