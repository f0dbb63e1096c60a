"""Two processes on a GPU each."""

import socket
from concurrent.futures import ThreadPoolExecutor

OPTIONS = ["networks.generator=resnet_1blocks", "networks.ngf=4", "networks.ndf=4", "data.load_size=36"]
OPTIONS += ["data.crop_size=32", "run.log_every=1"]


def test_two_processes_train_on_two_gpus(pretended, pictures, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    options = [option for setting in OPTIONS for option in ("--set", setting)]
    command = ["ranks", "train", pictures, "--runs", tmp_path, "--name", "two", "--max-steps", "3", *options]

    def run(rank: int):
        return pretended(
            *command, **place, RANK=str(rank), LOCAL_RANK=str(rank), PRETENDED_GPUS="2", PRETENDED_RETURN="1"
        )

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(run, range(2))
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert first.told == second.told == [{"backend": "cpu:gloo,cuda:nccl"}]
    assert "on cuda:0 in bfloat16" in first.err
    assert "done: step 3" in first.err
    assert (tmp_path / "two" / "checkpoints" / "latest.pt").is_file()
