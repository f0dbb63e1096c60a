"""What the tests of the cache share: a place for it, and a look at what a run would see."""

from pathlib import Path

import pytest
import torch

from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.data.batches import UnpairedBatches
from cyclegan_edge.trainer.data.dataset import load_training
from cyclegan_edge.trainer.data.pictures import Preparation


@pytest.fixture
def place(tmp_path):
    return tmp_path / "prepared"


@pytest.fixture
def make_batches():
    """Return a function that opens a dataset, and its batches, under some options."""

    def make(dataroot, place, **data):
        small = {"dataroot": str(dataroot), "cache": str(place), "load_size": 36, "crop_size": 32, "batch_size": 2}
        config = resolve_config({"data": small | data})
        domains = load_training(config)
        return domains, lambda: UnpairedBatches(domains, config.data, 0, torch.device("cpu"))

    return make


@pytest.fixture
def opened(make_batches):
    """Return a function that opens both domains."""
    return lambda dataroot, place, **data: make_batches(dataroot, place, **data)[0]


@pytest.fixture
def drawn(make_batches):
    """Return a function that gives all pictures of twelve steps, one after another."""

    def draw(dataroot, place, **data):
        batches = make_batches(dataroot, place, **data)[1]()
        seen = torch.cat([real for step in range(12) for real in batches.batch(step)])
        batches.close()
        return seen

    return draw


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that are decoded."""
    names: list[str] = []
    real = Preparation.__call__
    monkeypatch.setattr(Preparation, "__call__", lambda self, path: names.append(path.name) or real(self, path))
    return names


@pytest.fixture
def pixel_files():
    """Return a function that gives the size of every file of pixels below a folder."""

    def find(place: Path) -> dict[Path, int]:
        return {path.relative_to(place): path.stat().st_size for path in place.rglob("*.pixels")}

    return find


@pytest.fixture
def many(dataroot):
    """Twenty pictures in domain A."""
    for number in range(6, 20):
        (dataroot / f"trainA/{number:02}.png").write_bytes((dataroot / f"trainA/0{number % 6}.png").read_bytes())
    return dataroot
