"""Two processes over gloo: what they compute together, and what a user meets when they are not what they were."""

import os
import signal
import subprocess
import sys
import time
from unittest.mock import Mock

import pytest
import torch
import torch.distributed as dist

from cyclegan_edge.runtime.errors import CycleganError, UsageError
from cyclegan_edge.trainer import distributed
from cyclegan_edge.trainer.checkpoints.checkpoint import load_checkpoint
from cyclegan_edge.trainer.distributed import World, check_distributable, joined_world
from cyclegan_edge.trainer.tracking.metrics_log import read_records

SETTINGS = [
    "data.load_size=36", "data.crop_size=32", "networks.generator=resnet_1blocks", "networks.ngf=4", "networks.ndf=4",
    "run.log_every=1", "run.preview_every=4", "run.save_every=3",
]  # fmt: skip


def start(processes: int, dataroot, runs, *options: str, settings=()) -> subprocess.Popen:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    command = [*launcher, "-m", "cyclegan_edge.cli"] if processes > 1 else [sys.executable, "-m", "cyclegan_edge.cli"]
    command += ["train", str(dataroot), "--runs", str(runs), "--name", "r", "--device", "cpu", "--precision", "fp32"]
    command += [word for setting in (*SETTINGS, *settings) for word in ("--set", setting)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen) -> tuple[int, str]:
    _, errors = process.communicate(timeout=240)
    return process.returncode, errors


def checkpoint_of(runs) -> dict:
    return load_checkpoint(runs / "r" / "checkpoints" / "latest.pt")


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_compute_what_one_does_with_the_batches_of_both(dataroot, tmp_path, accumulate):
    settings = ("optim.pool_size=0", "optim.beta1=0.0", "optim.lr=1e-4")
    for processes in (1, 2):
        batch = str(4 // processes)
        options = ("--max-steps", "1", "--batch-size", batch)
        chosen = (*settings, f"optim.accumulate={accumulate if processes > 1 else 1}")
        code, errors = finish(start(processes, dataroot, tmp_path / str(processes), *options, settings=chosen))
        assert code == 0, errors
    alone, together = (checkpoint_of(tmp_path / str(processes))["state"] for processes in (1, 2))
    # After one step the first moment is the gradient itself (beta1 is 0).
    for optimizer in ("optimizer_G", "optimizer_D"):
        moments = [list(state[optimizer]["state"].values()) for state in (alone, together)]
        largest = max(moment["exp_avg"].abs().max() for moment in moments[0])
        for one, both in zip(*moments, strict=True):
            assert (one["exp_avg"] - both["exp_avg"]).abs().max() < 1e-5 * largest
    logged = [read_records(tmp_path / name / "r" / "metrics.jsonl", "train")[0] for name in ("1", "2")]
    assert logged[0].pop("kind") == logged[1].pop("kind")
    assert logged[0] == pytest.approx(logged[1], rel=1e-4)  # losses are averaged over the processes


@pytest.mark.slow
def test_a_run_of_two_processes_resumes_bit_for_bit_and_with_two_alone(dataroot, tmp_path):
    settings = ("networks.norm=batch", "networks.dropout=true", "optim.pool_size=4")
    for runs, steps in (("whole", 5), ("parts", 2)):
        code, errors = finish(
            start(2, dataroot, tmp_path / runs, "--max-steps", str(steps), "--batch-size", "2", settings=settings)
        )
        assert code == 0, errors
    code, errors = finish(start(1, dataroot, tmp_path / "parts", "--resume", "--max-steps", "5"))
    assert code == 4
    assert "was trained by 2 processes" in errors
    assert "torchrun --nproc_per_node=2" in errors
    assert "Traceback" not in errors
    code, errors = finish(start(2, dataroot, tmp_path / "parts", "--resume", "--max-steps", "5"))
    assert code == 0, errors
    whole, parts = (checkpoint_of(tmp_path / runs) for runs in ("whole", "parts"))
    assert whole["progress"] == parts["progress"]
    assert_equal(whole["state"], parts["state"])
    pools = [process["pool_A"]["images"] for process in whole["state"]["processes"]]
    assert len(pools) == 2
    assert not torch.equal(pools[0][0], pools[1][0])  # each has a history of its own
    previews = list((tmp_path / "whole" / "r" / "previews").iterdir())
    assert len(previews) == 1  # written once, not by both


def assert_equal(first, second) -> None:
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key, value in first.items():
            assert_equal(value, second[key])
    elif isinstance(first, list | tuple):
        for one, other in zip(first, second, strict=True):
            assert_equal(one, other)
    else:
        assert first == second


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["writer", "other"])
def test_a_killed_worker_ends_the_run_with_a_sentence_and_a_whole_checkpoint(dataroot, tmp_path, victim):
    process = start(2, dataroot, tmp_path, "--epochs", "1000", "--batch-size", "2")
    latest = tmp_path / "r" / "checkpoints" / "latest.pt"
    deadline = time.monotonic() + 120
    while not latest.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = {rank_of(child): child for child in children_of(process.pid)}
    os.kill(workers[0 if victim == "writer" else 1], signal.SIGKILL)
    code, errors = finish(process)
    assert code != 0
    assert "stopped because another one ended" in errors
    assert "resume the run" in errors
    assert load_checkpoint(latest)["progress"]["step"] >= 3


def children_of(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123 - no file on a disk
        return [int(child) for child in file.read().split()]


def rank_of(pid: int) -> int:
    with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 - no file on a disk
        variables = dict(entry.split(b"=", 1) for entry in file.read().split(b"\0") if b"=" in entry)
    return int(variables.get(b"RANK", b"-1"))


@pytest.mark.slow
def test_an_interrupt_stops_both_at_the_same_step_and_saves(dataroot, tmp_path):
    process = start(2, dataroot, tmp_path, "--epochs", "1000", "--batch-size", "2")
    log = tmp_path / "r" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_text().count("\n") > 4) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)  # torchrun passes it on to its workers
    code, errors = finish(process)
    assert code != 0
    assert "interrupted after step" in errors
    content = checkpoint_of(tmp_path)
    assert len(content["state"]["processes"]) == 2
    assert f"interrupted after step {content['progress']['step']}" in errors


LEAVES_A_CYCLE = """
import os, pathlib
from torch import nn, ones
from cyclegan_edge.trainer.distributed import joined_world

def train(world):
    network = world.wrap(nn.Linear(1, 1))
    network.itself = [network]
    network(ones(1, 1)).sum().backward()

with joined_world("cpu") as world:
    train(world)
names = [(task / "comm").read_text() for task in pathlib.Path("/proc/self/task").iterdir()]
assert not [name for name in names if "gloo" in name], names
"""


def test_no_thread_of_the_group_outlives_it_to_meet_an_interpreter_that_has_ended(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(LEAVES_A_CYCLE)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    subprocess.run(launcher, check=True, timeout=240, env=os.environ | {"OMP_NUM_THREADS": "1"})


KILLED_ONCE = """
import os, signal, time
from cyclegan_edge.trainer.distributed import joined_world

with joined_world("cpu") as world:
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        if world.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600)
    assert world.gather(world.rank) == ([0, 1] if world.writes else [1])
"""


@pytest.mark.slow
def test_processes_that_torchrun_starts_anew_meet_again(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(KILLED_ONCE)
    options = ["--standalone", "--nproc_per_node=2", "--max-restarts=1"]
    launcher = [sys.executable, "-m", "torch.distributed.run", *options, str(script)]
    subprocess.run(launcher, check=True, timeout=240, env=os.environ | {"OMP_NUM_THREADS": "1"})


def test_alone_nothing_is_communicated():
    world = World()
    network = torch.nn.Linear(1, 1)
    assert world.wrap(network) is network
    assert world.any(True)
    assert not world.any(False)
    assert world.mean({"a": 2.0}) == {"a": 2.0}
    assert world.gather(3) == [3]
    assert world.share("x") == "x"
    assert not torch.distributed.is_initialized()


def test_without_torchrun_the_world_is_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined_world("auto") as world:
        assert world == World()


TORCHRUN = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


@pytest.fixture
def as_torchrun(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)


LACKING = [(name, value) for name in TORCHRUN if name != "WORLD_SIZE" for value in (None, "")]
NO_NUMBERS = [(name, "two") for name in TORCHRUN if name != "MASTER_ADDR"]


@pytest.mark.parametrize(("name", "value"), [*LACKING, *NO_NUMBERS])
def test_an_environment_that_is_not_of_torchrun_is_refused(as_torchrun, monkeypatch, name, value):
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=rf"{name} is missing or no number; start them with torchrun"):
        joined_world("cpu").__enter__()


def test_a_first_process_that_is_not_there_is_one_sentence(as_torchrun, monkeypatch):
    monkeypatch.setattr(distributed, "MEETING", 1)
    with pytest.raises(CycleganError, match=r"^process 1 of 2 does not reach the others through 127\.0\.0\.1, port 1 "):
        joined_world("cpu").__enter__()


NCCL = "NCCL error in: ProcessGroupNCCL.cpp:94, unhandled system error\nncclSystemError: a call to the system failed"


@pytest.mark.parametrize(
    ("error", "lost", "sentence"),
    [
        (RuntimeError("Connection closed by peer [::1]:9"), 1, "another one ended, number 1;"),
        (RuntimeError("Connection closed by peer [::1]:9"), None, "another one ended;"),
        (dist.DistBackendError(NCCL), 1, "another one ended, number 1;"),
        (
            dist.DistBackendError(NCCL),
            None,
            "NCCL, which joins the GPUs, failed: NCCL error in: ProcessGroupNCCL.cpp:94",
        ),
        (RuntimeError("CUDA out of memory"), 1, None),
        (ValueError("nccl"), 1, None),
    ],
)
def test_what_fails_between_processes_is_told_apart(error, lost, sentence):
    reason = distributed._why_peers_are_gone(error, World(0, 2), Mock(wait_for_loss=lambda seconds: lost))
    assert (sentence or "") in (reason or "")
    assert (reason is None) == (sentence is None)


def test_several_processes_cannot_share_one_named_device(as_torchrun):
    with pytest.raises(UsageError, match=r"run\.device=cuda:1 is one device for 2 processes"), joined_world("cuda:1"):
        pass


def test_batch_norm_over_one_picture_a_process_is_refused(make_config):
    config = make_config(networks={"norm": "batch"}, data={"load_size": 36, "crop_size": 32, "batch_size": 1})
    with pytest.raises(UsageError, match=r"one picture at a time in each of 2 processes .* data.batch_size=2 or"):
        check_distributable(config, World(0, 2))
    parts = make_config(networks={"norm": "batch"}, data={"batch_size": 2}, optim={"accumulate": 2})
    with pytest.raises(UsageError, match=r"one picture at a time in each of 2 processes .* data.batch_size=4 or"):
        check_distributable(parts, World(0, 2))
    check_distributable(config, World())
    check_distributable(make_config(networks={"norm": "batch"}), World(0, 2))
