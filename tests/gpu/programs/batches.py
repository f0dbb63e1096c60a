"""Take batches of pictures that lie on the disk, or in the memory of the GPU, and report what each of them counted."""

import sys

import torch
from pretended import counted, nobody_waits, report

from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.data.batches import UnpairedBatches
from cyclegan_edge.trainer.data.dataset import load_training

TAKEN = 6

config = resolve_config({"data": {"dataroot": sys.argv[1], "load_size": 36, "crop_size": 32, "batch_size": 2}})
device = torch.device("cuda", 0)
batches = UnpairedBatches(load_training(config), config.data, 0, device)
batches.batch(0)
with nobody_waits(), counted() as found:
    for step in range(1, TAKEN + 1):
        for pictures in batches.batch(step):
            assert pictures.device == device
            assert pictures.shape == (2, 3, 32, 32)
    batches.close()  # waits for what is copied ahead
report(steps=TAKEN, **found)
