"""The demo keeps to its minutes: by a clock that is told how long every step takes."""

import json

import numpy as np
import pytest
from PIL import Image

from cyclegan_edge.export.demo.timing import LEAST_STEPS, TimedRun, training_seconds
from cyclegan_edge.trainer.checkpoints.checkpoint import load_checkpoint
from cyclegan_edge.trainer.config import resolve_config


@pytest.fixture
def make_run(tmp_path):
    """Return a function that makes a run of so many seconds, whose steps take what `per_step` says of their number."""
    noise = np.random.default_rng(0)
    for name in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(4):
            pixels = noise.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{number}.png")
    layers = {
        "data": {"dataroot": str(tmp_path / "data"), "crop_size": 32, "load_size": 32, "batch_size": 2},
        "networks": {"generator": "resnet_1blocks", "ngf": 2, "ndf": 2},
        "schedule": {"n_epochs": 50, "n_epochs_decay": 50},
        "run": {"device": "cpu", "log_every": 1, "validate_every_epochs": 1000, "preview_every": 10000},
    }

    def make(seconds, per_step):
        time = [0.0]
        run = TimedRun(resolve_config(layers), tmp_path / "run", seconds, now=lambda: time[0])
        step = run.model.step

        def slow(*batch):
            time[0] += per_step(run.step)
            return step(*batch)

        run.model.step = slow
        return run

    return make


def records(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == "train"]


@pytest.mark.parametrize(
    ("per_step", "steps"),
    [
        (lambda step: 1.0, 60),
        (lambda step: 2.0, 30),
        (lambda step: 0.5 if step < 40 else 4.0, 50),  # the machine becomes busy
    ],
)
def test_a_run_ends_in_time_and_its_learning_rate_falls_to_the_end(make_run, per_step, steps):
    run = make_run(60, per_step)
    result = run.train()
    assert (result.step, result.total_steps, result.interrupted) == (steps, steps, False)
    rates = [record["lr"] for record in records(result.folder)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 2e-4
    assert rates[-1] < 0.2 * 2e-4
    assert load_checkpoint(result.latest)["progress"]["step"] == steps


def test_some_steps_are_done_however_little_time_there_is(make_run):
    result = make_run(1, lambda step: 9.0).train()
    assert result.step == LEAST_STEPS
    assert load_checkpoint(result.latest)["progress"]["step"] == LEAST_STEPS


def test_the_bar_shows_the_steps_that_the_time_allows(make_run):
    run = make_run(60, lambda step: 1.0)
    assert run.total_steps == LEAST_STEPS
    for _ in range(30):
        run.model.step(*run.batches.batch(0))
        run.clock.tick()
    assert run.total_steps == 60


@pytest.mark.parametrize(
    ("seconds", "elapsed", "rest", "training"), [(300, 10, 40, 250), (300, 10, 280, 60), (12, 5, 60, 2.4)]
)
def test_the_training_gets_what_the_rest_leaves_and_a_share_at_least(seconds, elapsed, rest, training):
    assert training_seconds(seconds, elapsed, rest) == pytest.approx(training)
