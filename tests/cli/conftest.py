"""An untrained run and its pictures, for the commands that take either, and a model to translate with."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from cyclegan_edge.trainer.checkpoints.checkpoint import save_checkpoint
from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.methods.cyclegan import CycleGAN


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for domain in "AB":
        (root / f"test{domain}").mkdir()
        for number in range(2):
            pixels = rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / f"test{domain}" / f"{domain}{number}.png")
    return root


@pytest.fixture(scope="module")
def make_run(tmp_path_factory):
    """Return a function that writes an untrained run whose averaged weights are not its raw ones."""

    def make(name: str, dataroot: Path | str = "", **data) -> Path:
        layer = {
            "data": {"dataroot": str(dataroot), "load_size": 32, "crop_size": 32} | data,
            "networks": {"generator": "resnet_1blocks", "ngf": 4, "ndf": 4},
        }
        folder = tmp_path_factory.mktemp("runs") / name
        model = CycleGAN(resolve_config(layer), torch.device("cpu"))
        for averaged in (model.ema_A, model.ema_B):
            for weight in averaged.parameters():
                weight.add_(torch.randn_like(weight), alpha=0.01)
        progress = {"step": 7, "epoch": 1}
        save_checkpoint(folder / "checkpoints" / "latest.pt", model.config, progress, model.state_dict())
        return folder

    return make


@pytest.fixture(scope="module")
def run(make_run, dataset) -> Path:
    return make_run("t", dataset)


@pytest.fixture(scope="session")
def negative(inverting_model, tmp_path_factory) -> Path:
    """A foreign model that inverts its picture."""
    path = tmp_path_factory.mktemp("model") / "negative.onnx"
    onnx.save(inverting_model(), path)
    return path
