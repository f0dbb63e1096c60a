"""Whole commands on a GPU, and from a GPU to a CPU and back."""

import json
from functools import partial

import pytest

SMALL = ["networks.generator=resnet_1blocks", "networks.ngf=4", "networks.ndf=4"]
SMALL += ["data.load_size=36", "data.crop_size=32", "run.log_every=1", "run.preview_every=2"]
OPTIONS = [option for setting in SMALL for option in ("--set", setting)]


@pytest.fixture(scope="module")
def train(pretended, pictures):
    """Return a function that trains on the pretended GPU and gives how that ended, and the run's folder."""

    def run(runs, *arguments, expected=0, **how):
        ended = pretended("command", "train", pictures, "--runs", runs, *arguments, **how)
        assert ended.code == expected, ended.err
        return ended

    return run


@pytest.fixture(scope="module")
def trained(train, tmp_path_factory):
    """The folder of a run that the GPU which `auto` found has trained for two epochs."""
    runs = tmp_path_factory.mktemp("runs")
    ended = train(runs, "--name", "small", "--epochs", 1, "--epochs-decay", 1, *OPTIONS)
    assert "on cuda:0 in bfloat16" in ended.err
    assert "done: step 8" in ended.err
    return runs / "small"


def test_auto_trains_on_the_gpu(trained):
    assert (trained / "checkpoints" / "latest.pt").is_file()
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "train"] == list(range(1, 9))


@pytest.mark.parametrize(("device", "precision"), [("cuda", "fp32"), ("cuda:0", "fp16")])
def test_a_device_that_is_named_trains(train, tmp_path, device, precision):
    options = ["--device", device, "--precision", precision, "--max-steps", 2, *OPTIONS]
    assert f"on cuda:0 in float{precision[2:]}" in train(tmp_path, *options).err


def test_a_gpu_that_is_not_there_is_named(train, tmp_path):
    ended = train(tmp_path, "--device", "cuda:1", "--max-steps", 1, *OPTIONS, expected=2)
    assert "there is no device cuda:1 here (1 found)" in ended.err


@pytest.mark.parametrize(("capability", "precision"), [("7.5", "float16"), ("12.0", "bfloat16")])
def test_auto_trains_in_the_precision_that_the_card_computes_in(train, tmp_path, capability, precision):
    ended = train(tmp_path, "--max-steps", 1, *OPTIONS, PRETENDED_CAPABILITY=capability)
    assert f"on cuda:0 in {precision}" in ended.err


@pytest.fixture
def moved(trained, tmp_path):
    """A copy of the trained run, which a test may go on with."""
    import shutil

    return shutil.copytree(trained, tmp_path / "small")


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_a_run_of_the_gpu_goes_on(train, moved, device):
    options = ["--name", "small", "--resume", "--epochs", 2, "--device", device]
    ended = train(moved.parent, *options)
    assert f"on {'cuda:0' if device == 'cuda' else 'cpu'} in" in ended.err
    assert "done: step 12" in ended.err


@pytest.fixture(scope="module")
def trained_on_cpu(train, tmp_path_factory):
    """The folder of a run that the CPU has trained for an epoch."""
    runs = tmp_path_factory.mktemp("cpu")
    ended = train(runs, "--name", "small", "--epochs", 1, "--epochs-decay", 0, "--device", "cpu", *OPTIONS)
    assert "on cpu in" in ended.err
    return runs / "small"


def test_a_run_of_the_cpu_goes_on_on_the_gpu(train, trained_on_cpu, tmp_path):
    import shutil

    shutil.copytree(trained_on_cpu, tmp_path / "small")
    ended = train(tmp_path, "--name", "small", "--precision", "bf16", "--epochs", 2, "--device", "cuda", "--resume")
    assert "on cuda:0 in bfloat16" in ended.err
    assert "done: step 8" in ended.err


MOVES = [("trained", "cuda"), ("trained", "cpu"), ("trained_on_cpu", "cuda")]


@pytest.mark.parametrize(("run", "device"), MOVES)
def test_a_student_learns_on_the_gpu_from_a_teacher_of_the_gpu(pretended, request, pictures, tmp_path, run, device):
    teacher = request.getfixturevalue(run)
    options = ["--runs", tmp_path, "--name", "student", "--set", "networks.ngf=2", "--max-steps", 3]
    ended = pretended("command", "distill", teacher, pictures, *options, "--device", device)
    assert ended.code == 0, ended.err
    assert f"on {'cuda:0 in bfloat16' if device == 'cuda' else 'cpu in'}" in ended.err


@pytest.mark.parametrize("source", ["run", "checkpoint"])
def test_a_run_of_the_gpu_is_evaluated(pretended, trained, pictures, source):
    path = trained if source == "run" else trained / "checkpoints" / "latest.pt"
    ended = pretended("command", "evaluate", path, pictures)
    assert ended.code == 0, ended.err
    assert ended.reports[-1]["launches"] > 0


@pytest.mark.parametrize(("run", "device"), MOVES[1:])
def test_a_run_is_evaluated_on_another_device_than_it_was_trained_on(pretended, request, pictures, run, device):
    there = {"PRETENDED_GPUS": "0"} if device == "cpu" else {}  # a machine without a GPU
    ended = pretended("command", "evaluate", request.getfixturevalue(run), pictures, **there)
    assert ended.code == 0, ended.err
    assert (ended.reports[-1]["launches"] > 0) is (device == "cuda")


def test_pictures_that_do_not_fit_the_gpu_are_copied_step_by_step(train, tmp_path):
    few = partial(train, PRETENDED_FREE="1000")
    ended = few(tmp_path, "--name", "few", "--max-steps", 4, "--set", "run.log_every=100", *OPTIONS)
    assert "done: step 4" in ended.err


@pytest.mark.parametrize("works", [True, False])
def test_a_long_run_is_compiled_by_itself_where_that_works(pretended, pictures, tmp_path, works):
    options = ["train", pictures, "--runs", tmp_path, "--max-steps", 6, "--set", "run.log_every=3", *OPTIONS]
    ended = pretended("long_run", "--works" if works else "--broken", *options)
    assert ended.code == 0, ended.err
    assert (
        "compiling the step: some minutes now, which 6 steps make up for; run.compile=false does without" in ended.err
    )
    assert ("is not compiled, because that fails here: Failed to find C compiler" in ended.err) is not works
    assert "done: step 6" in ended.err
    assert (ended.reports[-1]["graph_launches"] >= 4 * 5) is works
