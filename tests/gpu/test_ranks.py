"""Two processes on a GPU each."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

OPTIONS = ["networks.generator=resnet_1blocks", "networks.ngf=4", "networks.ndf=4", "data.load_size=36"]
OPTIONS += ["data.crop_size=32", "run.log_every=1"]


@pytest.fixture
def run_two(pretended, pictures, tmp_path):
    """Return a function that trains with two processes and gives how each of them ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    options = [option for setting in OPTIONS for option in ("--set", setting)]

    def run(how, *more):
        command = ["ranks", how, "train", pictures, "--runs", tmp_path, "--name", "two", *options, *more]

        def one(rank):
            settings = {"RANK": str(rank), "LOCAL_RANK": str(rank), "PRETENDED_GPUS": "2", "PRETENDED_RETURN": "1"}
            return pretended(*command, **place, **settings)

        with ThreadPoolExecutor(2) as pool:
            return tuple(pool.map(one, range(2)))

    return run


def test_two_processes_train_on_two_gpus(run_two, tmp_path):
    first, second = run_two("whole", "--max-steps", "3")
    assert (first.code, second.code) == (0, 0), first.err + second.err
    # A day: nobody is ended who waits for another that prepares pictures, measures or compiles.
    assert first.reports == second.reports == [{"backend": "cpu:gloo,cuda:nccl", "hours": 24.0}]
    assert "on cuda:0 in bfloat16" in first.err
    assert "done: step 3" in first.err
    assert (tmp_path / "two" / "checkpoints" / "latest.pt").is_file()


def test_a_process_that_is_killed_ends_the_one_that_waits_in_its_gpu(run_two):
    first, second = run_two("killed", "--max-steps", "1000")
    assert (first.code, second.code) == (1, -9), first.err + second.err
    assert "cyclegan: process 0 of 2 stopped because another one ended, number 1;" in first.err
    assert "Traceback" not in first.err
