"""Untrained checkpoints whose weights are stirred until every part of a network matters, and artefacts made of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cyclegan_edge.export.graph.onnx_export import export_onnx
from cyclegan_edge.trainer.checkpoints.checkpoint import LoadedGenerator, load_generator, save_checkpoint
from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.methods.cyclegan import CycleGAN

TINY = {
    "data": {"load_size": 32, "crop_size": 32},
    "networks": {"generator": "resnet_1blocks", "ngf": 4, "ndf": 4},
}


def stir(weights: dict[str, torch.Tensor], seed: int) -> None:
    """Give every bias a value, every BatchNorm statistics of its own, and the averages other weights than the raw."""
    noise = torch.Generator().manual_seed(seed)
    for name, tensor in weights.items():
        if name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=noise) + 0.5)
        elif tensor.is_floating_point():
            tensor.add_(torch.randn(tensor.shape, generator=noise), alpha=0.02)


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that writes a run folder of a tiny network with the given changes to its configuration."""

    def make(name: str = "run", **changes: Any) -> Path:
        folder = tmp_path_factory.mktemp("runs") / name
        config = resolve_config(TINY, changes)
        state = CycleGAN(config, torch.device("cpu")).state_dict()
        for seed, network in enumerate(("G_A", "G_B", "ema_A", "ema_B")):
            stir(state["networks"][network], seed)
        save_checkpoint(folder / "checkpoints" / "latest.pt", config, {"step": 7, "epoch": 1}, state)
        return folder

    return make


@pytest.fixture(scope="session")
def run_folder(make_run: Callable[..., Path]) -> Path:
    return make_run()


@pytest.fixture(scope="session")
def generator(run_folder: Path) -> LoadedGenerator:
    return load_generator(run_folder, "AtoB")


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that exports a generator, once for the same options; nobody changes what it returns."""
    made: dict[Any, Path] = {}

    def export(generator: LoadedGenerator, **options: Any) -> Path:
        options = {"precision": "fp32", "io": "uint8", "size": None} | options
        floor = generator.config.networks.norm_floor
        key = (generator.sha256, generator.direction, generator.weights, floor, *options.values())
        if key not in made:
            made[key] = tmp_path_factory.mktemp("artefacts") / "run.onnx"
            export_onnx(generator, made[key], **options)
        return made[key]

    return export
