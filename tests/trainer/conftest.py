"""Small data and small networks for the trainer's tests."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cyclegan_edge.trainer.config import TrainConfig, resolve_config

TINY = {
    "data": {"load_size": 36, "crop_size": 32, "batch_size": 2},
    "networks": {"generator": "resnet_1blocks", "ngf": 4, "ndf": 4},
    "schedule": {"n_epochs": 2, "n_epochs_decay": 2},
    "run": {"device": "cpu", "precision": "fp32", "log_every": 1, "preview_every": 4, "save_every": 2},
}


@pytest.fixture
def make_config():
    """Return a function that lays changes over the tiny configuration."""

    def make(**changes: dict) -> TrainConfig:
        return resolve_config(TINY, changes)

    return make


def write_pictures(folder: Path, count: int, seed: int, size: tuple[int, int] = (40, 40)) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        pixels = np.kron(rng.integers(0, 256, (5, 5, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        Image.fromarray(pixels).resize(size).save(folder / f"{number:02}.png")


@pytest.fixture
def dataroot(tmp_path: Path) -> Path:
    """A dataset of 6 + 5 training pictures and 3 + 3 paired test pictures."""
    root = tmp_path / "data"
    for number, (name, count) in enumerate({"trainA": 6, "trainB": 5, "testA": 3, "testB": 3}.items()):
        write_pictures(root / name, count, seed=number)
    return root
