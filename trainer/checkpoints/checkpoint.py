"""Checkpoints: everything a run needs to go on exactly, in one file that is data and nothing else.

A file is a plain dict of tensors, numbers and strings, so it loads with `weights_only=True` and cannot run code.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from ...runtime.errors import CheckpointError, ConfigError
from ...runtime.files import replacing
from ...runtime.metadata import BatchNorm, Direction
from ..config import TrainConfig, resolve_config
from ..networks.build import Generator, build_generator
from .official import NETWORK_NAMES as OFFICIAL_NAMES
from .official import clean, find_files, generator_shape, network_name
from .weights_file import read_tensors

FORMAT = "cyclegan-edge checkpoint"
SCHEMA_VERSION = 2  # 1 had no fingerprint of the data, and the counts of schedulers

Weights = Literal["ema", "raw"]


def save_checkpoint(path: Path, config: TrainConfig, progress: dict[str, int], state: dict[str, Any]) -> None:
    """Write a checkpoint; a crash while writing leaves the previous one whole.

    Raises:
        OutputError: the file cannot be written.
    """
    content = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "config": config.model_dump(),
        "progress": progress,
        "state": state,
    }
    with replacing(path) as partial, partial.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # what torch makes of any failure of the disk
            raise OSError("the disk is full, or was taken away") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of ours onto the CPU.

    Raises:
        CheckpointError: the file is missing, cut short, not ours, or of a newer schema.
    """
    content = read_tensors(path)
    if not is_ours(content):
        raise CheckpointError(
            f"{path} is no checkpoint of cyclegan-edge; give a run folder or one of its checkpoints, such as latest.pt"
        )
    _check(content, path)
    return content


def _check(content: dict[str, Any], path: Path) -> None:
    """Refuse a checkpoint of ours that is of a newer schema, or that somebody took parts out of."""
    version = content.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise CheckpointError(
            f"{path} was written by a newer cyclegan-edge (checkpoint schema {version}, this version reads up to "
            f"{SCHEMA_VERSION}); upgrade cyclegan-edge"
        )
    parts = [content.get(part, ()) for part in ("config", "progress", "state")]
    whole = isinstance(version, int) and all(isinstance(part, dict) for part in parts)
    if not whole or "step" not in content["progress"] or not isinstance(content["state"].get("networks"), dict):
        raise CheckpointError(f"{path} is a checkpoint of cyclegan-edge without all of its parts; take another one")


def is_ours(content: dict[str, Any]) -> bool:
    """Tell whether this is what `save_checkpoint` wrote, and not a state dict."""
    return content.get("format") == FORMAT


def find_checkpoint(source: Path) -> Path:
    """Return the checkpoint file that `source` means: itself, or the latest of a run folder."""
    return source / "checkpoints" / "latest.pt" if source.is_dir() else source


@dataclass(frozen=True)
class LoadedGenerator:
    """One trained generator in evaluation mode, and where it came from."""

    network: Generator
    config: TrainConfig
    direction: Direction
    weights: Weights
    name: str
    step: int | None  # None where the source does not tell
    sha256: str
    input_nc: int
    output_nc: int
    batch_norm: BatchNorm = "evaluation"
    frozen_norm: bool = False  # statistics of calibration pictures stand in the weights, in place of every InstanceNorm


def load_generator(source: Path, direction: Direction, weights: Weights = "ema") -> LoadedGenerator:
    """Load `G_A` (AtoB) or `G_B` (BtoA), with averaged weights where there are any.

    `source` is a run folder, a checkpoint file, or what the official code and CUT write: a folder of `*_net_G_A.pth`
    files, or a file of any name with the weights of one generator. Where its name does not tell the direction, it is
    taken for the one that is asked for.

    Raises:
        CheckpointError: the checkpoint cannot be used.
    """
    path = _official_generator(source, direction) or find_checkpoint(source)
    content = read_tensors(path)
    official = not is_ours(content)
    if official:
        state = clean(content)
        config = _config_of_official(state, direction, path)
        weights, step = "raw", None
    else:
        _check(content, path)
        config = restored_config(content, path)
        weights = weights if config.optim.ema_halflife else "raw"
        networks = content["state"]["networks"]
        if f"G_{direction[0]}" not in networks and networks.keys() & {"G_A", "G_B"}:
            raise CheckpointError(f"{path} holds a student that learnt {config.distill.direction} alone; take that")
        state = networks.get(f"{'ema' if weights == 'ema' else 'G'}_{direction[0]}", {})
        step = content["progress"]["step"]
    input_nc, output_nc = config.data.input_nc, config.data.output_nc
    if direction == "BtoA":
        input_nc, output_nc = output_nc, input_nc
    network = build_generator(config.networks, input_nc, output_nc)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{path} holds no generator {direction} of the architecture it names or shows") from error
    network.eval().requires_grad_(False)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    name = source.name if source.is_dir() else path.stem
    if official and network_name(path):  # checkpoints/NAME/latest_net_G_A.pth
        name = path.parent.name
    return LoadedGenerator(network, config, direction, weights, name, step, sha256, input_nc, output_nc)


def _official_generator(source: Path, direction: Direction) -> Path | None:
    """Return the official file that holds the generator of `direction`, or None where `source` is ours.

    Raises:
        CheckpointError: the source is official but holds another network.
    """
    files = find_files(source) if source.is_dir() else {network_name(source): source}
    wanted = f"G_{direction[0]}"
    if not files.keys() & OFFICIAL_NAMES:
        return None
    path = files.get(wanted) or files.get("G")
    if path is None:
        found = ", ".join(sorted(file.name for file in files.values()))
        raise CheckpointError(f"{source} holds {found} and no {wanted}, which translates {direction}; name that file")
    return path


def _config_of_official(state: dict[str, Any], direction: Direction, path: Path) -> TrainConfig:
    layer = generator_shape(state, path).layer(f"G_{direction[0]}")
    try:
        return resolve_config(layer, {"losses": {"lambda_identity": 0}})
    except ConfigError as error:
        raise CheckpointError(f"{path} holds a generator that cannot be built: {error}") from error


def restored_config(content: dict[str, Any], path: Path) -> TrainConfig:
    """Return the configuration that a checkpoint carries."""
    try:
        return resolve_config(content["config"])
    except ConfigError as error:
        raise CheckpointError(f"{path} carries a configuration that this version does not know: {error}") from error
