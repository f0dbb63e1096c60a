"""Whole runs that read from the cache: the same to the bit, in memory that does not grow."""

import os
import subprocess
import sys

import pytest
import torch

from cyclegan_edge.trainer.checkpoints.checkpoint import load_checkpoint
from cyclegan_edge.trainer.data.cache.contents import list_stores, remove_stores
from cyclegan_edge.trainer.loop import Run


@pytest.mark.parametrize("stop_at", [2, 5])  # in the first epoch and in the second
def test_a_run_goes_on_bit_for_bit_wherever_its_pictures_lie(make_config, dataroot, place, tmp_path, stop_at):
    (dataroot / "trainA" / "02.png").write_bytes(b"damage")

    def trained(folder, cache, steps):
        config = make_config(
            data={"dataroot": str(dataroot), "cache": str(cache), "load_size": 36, "crop_size": 32, "batch_size": 2},
            run={"device": "cpu", "precision": "fp32", "max_steps": steps, "log_every": 1},
        )
        run = Run(config, folder)
        latest = folder / "checkpoints" / "latest.pt"
        if latest.exists():
            content = load_checkpoint(latest)
            run.load_state_dict(content["state"], content["progress"])
        run.train()
        return run.model.networks["G_A"].state_dict(), (folder / "metrics.jsonl").read_text()

    weights, log = trained(tmp_path / "whole", "off", 8)
    trained(tmp_path / "parts", place, stop_at)
    trained(tmp_path / "parts", place, stop_at + 1)  # from what was prepared before
    remove_stores(list_stores(place))
    trained(tmp_path / "parts", place, stop_at + 2)  # prepared again
    again, log_again = trained(tmp_path / "parts", "off", 8)
    assert all(torch.equal(value, again[name]) for name, value in weights.items())
    assert log == log_again


CHILD = """
import resource, sys
import torch
from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.data.batches import UnpairedBatches
from cyclegan_edge.trainer.data.dataset import load_training
data = {"dataroot": sys.argv[1], "cache": sys.argv[2], "load_size": 72, "crop_size": 64}
config = resolve_config({"data": data})
batches = UnpairedBatches(load_training(config), config.data, 0, torch.device("cpu"))
for step in range(3000):
    batches.batch(step)
print(batches.num_pictures, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no getrusage")
def test_memory_does_not_grow_with_the_dataset(dataroot, place):
    peaks = []
    for number in (200, 4000):
        for place_in_folder in range(6, number):
            link = dataroot / f"trainA/{place_in_folder:04}.png"
            if not link.exists():
                os.link(dataroot / f"trainA/0{place_in_folder % 6}.png", link)
        for _ in ("cold", "warm"):
            command = [sys.executable, "-c", CHILD, dataroot, place]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            count, peak = map(int, done.stdout.split())
            assert count == number
            peaks.append(peak / 1024)
    assert max(peaks[2] - peaks[0], peaks[3] - peaks[1]) < 20  # MiB; their pixels alone are 56
