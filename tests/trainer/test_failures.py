"""What goes wrong in the middle of a run, and what is left of the run then."""

import logging
import os
import resource
import subprocess
import sys
import threading
from contextlib import suppress

import pytest
import torch

from cyclegan_edge.runtime.errors import CycleganError, OutputError
from cyclegan_edge.runtime.files import remove_hidden
from cyclegan_edge.trainer.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from cyclegan_edge.trainer.loop import Run
from cyclegan_edge.trainer.methods.cyclegan import CycleGAN
from cyclegan_edge.trainer.methods.update import MOST_OVERFLOWS
from cyclegan_edge.trainer.tracking import divergence, recorder
from cyclegan_edge.trainer.tracking.background import snapshot
from cyclegan_edge.trainer.tracking.divergence import MOST_RETURNS, LastGood
from cyclegan_edge.trainer.tracking.metrics_log import MetricsLog, read_records


@pytest.fixture
def configure(make_config, dataroot):
    def make(**changes):
        data = {"dataroot": str(dataroot), "load_size": 36, "crop_size": 32, "batch_size": 2}
        return make_config(data=data, **changes)

    return make


def poison(run: Run, monkeypatch: pytest.MonkeyPatch, *steps: int) -> None:
    """Make the pictures of some steps, counted from 1, not numbers."""
    draw = run.batches.batch

    def batch(step):
        real_A, real_B = draw(step)
        return (real_A * float("nan") if step + 1 in steps else real_A), real_B

    monkeypatch.setattr(run.batches, "batch", batch)


def every_number_is_finite(value) -> bool:
    if isinstance(value, dict):
        return all(map(every_number_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(every_number_is_finite, value))
    return not isinstance(value, torch.Tensor) or not value.is_floating_point() or bool(value.isfinite().all())


@pytest.fixture
def impatient(monkeypatch):
    """Let a single skipped update count as a divergence."""
    monkeypatch.setattr(divergence, "MOST_SKIPPED", 1)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_one_bad_picture_skips_one_update_and_is_named(configure, tmp_path, monkeypatch, caplog, norm):
    networks = {"norm": norm, "generator": "resnet_1blocks", "ngf": 4, "ndf": 4}
    settings = {"device": "cpu", "precision": "fp32", "log_every": 4, "max_steps": 6}
    run = Run(configure(run=settings, networks=networks), tmp_path)
    poison(run, monkeypatch, 3)
    taken = []
    step = run.model.step
    monkeypatch.setattr(
        run.model, "step", lambda *batch: (step(*batch), taken.append(snapshot(run.model.state_dict())))[0]
    )
    monkeypatch.setattr(LastGood, "go_back", lambda *_: pytest.fail("one skipped update is no divergence"))
    result = run.train()
    assert (result.step, result.num_skipped, result.interrupted) == (6, 1, False)
    for name in ("G_A", "G_B", "D_A", "D_B"):
        for key, parameter in run.model.networks[name].named_parameters():
            before, after = (state["networks"][name][key] for state in taken[1:3])
            assert torch.equal(before, after), (name, key)  # the third step
            assert not torch.equal(after, parameter), (name, key)  # and later ones
    (message,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    names = ", ".join(path.relative_to(run.config.data.dataroot).as_posix() for path in run.batches.files(2))
    assert message == f"a gradient of step 3 was not finite, so its update was skipped; its pictures: {names}"
    assert [record["step"] for record in read_records(tmp_path / "metrics.jsonl", "train")] == [4]
    assert every_number_is_finite(load_checkpoint(tmp_path / "checkpoints" / "latest.pt")["state"])


def test_the_losses_of_a_skipped_update_are_not_recorded(configure, tmp_path, monkeypatch):
    run = Run(configure(run={"device": "cpu", "precision": "fp32", "log_every": 1, "max_steps": 4}), tmp_path)
    poison(run, monkeypatch, 3)
    run.train()
    assert [record["step"] for record in read_records(tmp_path / "metrics.jsonl", "train")] == [1, 2, 4]


def test_many_skipped_updates_are_named_a_few_times_and_counted(configure, tmp_path, monkeypatch, caplog):
    schedule = {"n_epochs": 20, "n_epochs_decay": 0}
    run = Run(configure(schedule=schedule, run={"device": "cpu", "precision": "fp32", "max_steps": 40}), tmp_path)
    bad = range(3, 40, 4)
    poison(run, monkeypatch, *bad)
    assert run.train().num_skipped == len(bad)
    named = [record.getMessage() for record in caplog.records if "its pictures" in record.getMessage()]
    assert len(named) == divergence.MOST_NAMED
    assert named[-1].endswith("further ones are counted only")


def test_a_loss_out_of_bounds_is_a_divergence(configure, tmp_path, monkeypatch, caplog):
    run = Run(configure(run={"device": "cpu", "precision": "fp32", "log_every": 1, "max_steps": 4}), tmp_path)
    step = run.model.step
    monkeypatch.setattr(
        run.model, "step", lambda *batch: step(*batch) | ({"G_A": torch.tensor(1e7)} if run.step == 2 else {})
    )
    run.train()
    assert "the run diverges before step 3 (G_A is 1e+07)" in caplog.text
    assert [record["step"] for record in read_records(tmp_path / "metrics.jsonl", "train")] == [1, 2, 4]


def test_a_loss_out_of_bounds_is_seen_where_it_is_saved_and_not_logged(configure, tmp_path, monkeypatch, caplog):
    settings = {"device": "cpu", "precision": "fp32", "log_every": 100, "save_every": 2, "max_steps": 3}
    run = Run(configure(run=settings), tmp_path)
    step = run.model.step
    monkeypatch.setattr(
        run.model, "step", lambda *batch: step(*batch) | ({"G_A": torch.tensor(1e7)} if run.step == 1 else {})
    )
    run.train()
    assert "the run diverges before step 2 (G_A is 1e+07)" in caplog.text


def test_no_thread_goes_on_reading_when_a_run_has_ended(configure, tmp_path):
    before = set(threading.enumerate())
    Run(configure(run={"device": "cpu", "precision": "fp32", "max_steps": 2}), tmp_path).train()
    assert not [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("pictures")]


@pytest.mark.parametrize("network", ["generators", "discriminators"])
def test_a_run_of_which_no_update_counted_is_no_success(configure, tmp_path, monkeypatch, network):
    run = Run(configure(run={"device": "cpu", "precision": "fp32", "log_every": 1, "max_steps": 4}), tmp_path)
    objective = run.model.objective
    original = getattr(objective, network)
    monkeypatch.setattr(objective, network, lambda *given: (original(*given)[0] * float("nan"), *original(*given)[1:]))
    with pytest.raises(CycleganError, match=f"not one update of the {network} counted in 4 steps"):
        run.train()
    assert load_checkpoint(tmp_path / "checkpoints" / "latest.pt")["progress"]["step"] == 4


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.usefixtures("impatient")
def test_a_run_goes_back_to_the_last_good_state_and_on(configure, tmp_path, monkeypatch, caplog, norm):
    schedule = {"n_epochs": 1, "n_epochs_decay": 3}
    config = configure(networks={"norm": norm, "generator": "resnet_1blocks", "ngf": 4, "ndf": 4}, schedule=schedule)
    run = Run(config, tmp_path)
    poison(run, monkeypatch, 3, 7)  # saved after 2 and 6 good steps
    with caplog.at_level(logging.WARNING):
        outcome = run.train()
    assert (outcome.step, outcome.interrupted) == (12, False)
    assert [record.getMessage()[:31] for record in caplog.records if "diverges" in record.getMessage()] == [
        "the run diverges before step 3 ",
        "the run diverges before step 7 ",
    ]
    content = load_checkpoint(tmp_path / "checkpoints" / "latest.pt")
    assert every_number_is_finite(content["state"])
    records = read_records(tmp_path / "metrics.jsonl", "train")
    assert [record["step"] for record in records] == [1, 2, 4, 5, 6, 8, 9, 10, 11, 12]
    assert all(every_number_is_finite(torch.tensor(record["cycle_A"])) for record in records)
    # The learning rate is the schedule's, not that of the state that the run went back to.
    assert records[-1]["lr"] == pytest.approx(2e-4 / 4)


@pytest.mark.usefixtures("impatient")
def test_going_back_restores_exactly_what_was_saved(configure, tmp_path, monkeypatch):
    run = Run(configure(run={"device": "cpu", "precision": "fp32", "save_every": 2, "max_steps": 3}), tmp_path / "a")
    poison(run, monkeypatch, 3)
    run.train()
    good = Run(configure(run={"device": "cpu", "precision": "fp32", "save_every": 2, "max_steps": 2}), tmp_path / "b")
    good.train()
    for name, network in good.model.networks.items():
        for found, expected in zip(run.model.networks[name].parameters(), network.parameters(), strict=True):
            assert torch.equal(found, expected), name


@pytest.mark.usefixtures("impatient")
def test_the_good_state_stays_good_while_training_goes_on_from_it(configure, tmp_path, monkeypatch):
    run = Run(configure(run={"device": "cpu", "precision": "fp32", "save_every": 4, "max_steps": 8}), tmp_path)
    poison(run, monkeypatch, 5, 7)  # a good step between them, which moves the weights and their moments
    taken, go_back = [], LastGood.go_back

    def watched(good, step, reason):
        taken.append(snapshot(good.state))
        return go_back(good, step, reason)

    monkeypatch.setattr(LastGood, "go_back", watched)
    run.train()
    first, second = (state["optimizer_G"]["state"] for state in taken)
    assert first.keys() == second.keys() != set()
    for number, moments in first.items():
        for name, value in moments.items():
            assert torch.equal(value, second[number][name]), name


def test_a_loss_scaler_that_never_finds_a_scale_counts_as_broken(configure):
    model = CycleGAN(configure(), torch.device("cpu"), torch.float16)
    model.scaler.scale(torch.ones(()))  # which makes it one that scales
    for parameter in model.G_A.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    for update in range(1, MOST_OVERFLOWS + 2):
        assert model.update_G.skipped.item() == 0, update  # as overflows are, now and then
        model.update_G(1)
        model.scaler.update()
    assert model.update_G.skipped.item() == 1
    model.load_state_dict(model.state_dict())
    model.update_G(1)
    assert model.update_G.skipped.item() == 0


@pytest.mark.usefixtures("impatient")
def test_a_run_whose_every_step_breaks_is_given_up_with_its_checkpoint_whole(configure, tmp_path, monkeypatch):
    run = Run(configure(), tmp_path)
    poison(run, monkeypatch, *range(5, 13))
    with pytest.raises(CycleganError, match=f"diverged {MOST_RETURNS + 1} times since its last good"):
        run.train()
    content = load_checkpoint(tmp_path / "checkpoints" / "latest.pt")
    assert content["progress"]["step"] == 4
    assert every_number_is_finite(content["state"])


def test_a_failed_save_ends_the_run_and_leaves_the_checkpoint_before_it(configure, tmp_path, monkeypatch):
    saves = []

    def failing(path, *content):
        saves.append(path)
        if len(saves) > 1:
            raise OutputError("the disk is full")
        save_checkpoint(path, *content)

    monkeypatch.setattr(recorder, "save_checkpoint", failing)
    run = Run(configure(), tmp_path)
    with pytest.raises(OutputError, match="the disk is full"):
        run.train()
    assert load_checkpoint(tmp_path / "checkpoints" / "latest.pt")["progress"]["step"] == 2


@pytest.fixture
def small_files():
    """Let no file grow beyond 100 kB, as on a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_while_a_checkpoint_is_written_leaves_the_one_before(make_config, tmp_path, request):
    path = tmp_path / "latest.pt"
    save_checkpoint(path, make_config(), {"step": 1}, {"networks": {"G_A": torch.zeros(3)}})
    request.getfixturevalue("small_files")
    with pytest.raises(OutputError, match=r"cannot write .*latest\.pt: the disk is full"):
        save_checkpoint(path, make_config(), {"step": 2}, {"networks": {"G_A": torch.zeros(1_000_000)}})
    assert load_checkpoint(path)["progress"] == {"step": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["latest.pt"]


def test_a_disk_that_fills_up_under_the_metrics_log_is_told_in_one_sentence(tmp_path, request):
    log = MetricsLog(tmp_path, 0)
    request.getfixturevalue("small_files")
    full = r"cannot write .*metrics\.jsonl and what lies beside it: File too large; make room there"
    with pytest.raises(OutputError, match=full):
        log.record("train", 1, 1, {"x" * 200_000: 1.0})
    with suppress(OutputError):  # what may still be to write meets the same, and nothing else comes out
        log.__exit__()
    assert len((tmp_path / "metrics.jsonl").read_bytes()) <= 100_000


# Saves after every step, so that it is always writing, and is killed and started again from what it wrote. The children
# are forks, because importing torch twenty times takes longer than all the training.
KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from cyclegan_edge.trainer.checkpoints.checkpoint import load_checkpoint, restored_config
from cyclegan_edge.trainer.loop import Run

torch.set_num_threads(1)
folder = Path(sys.argv[1])
latest = folder / "checkpoints" / "latest.pt"
random.seed(0)
for _ in range(20):
    begun, child = folder / "begun", os.fork()
    if child == 0:
        content = load_checkpoint(latest)
        run = Run(restored_config(content, latest), folder)
        run.load_state_dict(content["state"], content["progress"])
        begun.touch()
        run.train()
    while not begun.exists():
        time.sleep(0.01)
    begun.unlink()
    time.sleep(random.uniform(0, 1))
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    print(load_checkpoint(latest)["progress"]["step"], flush=True)
"""


@pytest.mark.slow
def test_killed_at_random_moments_twenty_times_a_run_never_loses_its_checkpoint(configure, tmp_path):
    run = {"device": "cpu", "precision": "fp32", "save_every": 1, "log_every": 1, "preview_every": 1_000_000}
    schedule = {"n_epochs": 100_000, "n_epochs_decay": 0}
    Run(configure(run=run | {"max_steps": 1}, schedule=schedule), tmp_path).train()
    latest = tmp_path / "checkpoints" / "latest.pt"
    content = load_checkpoint(latest)
    save_checkpoint(latest, configure(run=run, schedule=schedule), content["progress"], content["state"])
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    killed = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert killed.returncode == 0, killed.stderr
    steps = [int(line) for line in killed.stdout.split()]
    assert len(steps) == 20
    assert steps == sorted(steps)
    assert steps[-1] > 1  # it got somewhere between the kills
    remove_hidden(latest.parent)
    for path in latest.parent.iterdir():
        assert every_number_is_finite(load_checkpoint(path)["state"])


def test_what_a_kill_left_half_written_is_removed_and_nothing_else(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        names = ("latest.pt", "epoch-0010.pt", f".cyclegan-{gone.pid}-{'0' * 16}.partial.pt")
    for name in names:
        (tmp_path / name).touch()
    remove_hidden(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-0010.pt", "latest.pt"]
