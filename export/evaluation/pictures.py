"""What `cyclegan evaluate` measures: an artefact in its engine, or a checkpoint's generators in PyTorch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...runtime.backends import open_backend
from ...runtime.backends.base import Backend
from ...runtime.errors import ArtefactError, CheckpointError, DatasetError, UsageError
from ...runtime.metadata import Direction
from ...runtime.translator import Translator
from ...runtime.translator import load as load_translator
from ...trainer.checkpoints.checkpoint import Weights, load_generator
from ...trainer.config import TrainConfig, resolve_config
from ...trainer.data.dataset import LAYOUT, load_held_out, pairs
from ...trainer.device import pick_device
from ...trainer.evaluation.evaluate import Translate, evaluate, translate_all, untranslated
from ...trainer.evaluation.fid import Extractor, checked, load_torchscript

DEFAULT_SIZE = 256
SMALLEST = 32
BATCH = 8


@dataclass(frozen=True)
class Evaluation:
    """The figures of one subject, and of not translating at all; names as `trainer.evaluate` has them."""

    subject: str
    dataroot: str
    directions: tuple[Direction, ...]
    pictures: dict[str, int]  # by domain
    skipped: int
    paired: bool
    size: int
    features: str | None
    metrics: dict[str, float]
    untranslated: dict[str, float]


@dataclass(frozen=True)
class _Subject:
    """What translates, and the configuration whose pictures it wants."""

    translators: dict[Direction, Translate]
    config: TrainConfig


def run_evaluation(
    source: Path,
    dataroot: str | Path,
    *,
    size: int | None = None,
    limit: int = 0,
    features: Path | None = None,
    weights: Weights = "ema",
    backend: str = "auto",
    device: str = "auto",
) -> Evaluation:
    """Translate the test pictures of `dataroot` and measure the result.

    Args:
        source: an ONNX artefact, or what `load_generator` takes.
        dataroot: a folder, or an address such as s3://bucket/horses, with testA and testB.
        size: side of the squares that are compared; by default that of the training crops, or the artefact's.
        limit: pictures of each domain, 0: all.
        features: a TorchScript or ONNX feature extractor for FID and KID.
        weights, backend, device: which of a checkpoint's weights; the engine of an artefact; where both run.

    Raises:
        UsageError: a size that cannot be compared at, or no such device.
        DatasetError: there are no test pictures.
        ModelError: the source or the extractor cannot be loaded or run.
    """
    artefact = source.suffix.lower() == ".onnx"
    opened = _artefact(source, size, backend, device) if artefact else _checkpoint(source, weights, device)
    with opened as subject, _extractor(features, device) as extractor:
        config = _with_pictures(subject.config, dataroot, size, limit)
        held_out = load_held_out(config)
        if held_out is None:
            raise DatasetError(f"{dataroot} has no pictures in testA and testB:{LAYOUT.format(root=dataroot)}")
        return Evaluation(
            subject=str(source),
            dataroot=str(dataroot),
            directions=tuple(subject.translators),
            pictures={"A": len(held_out[0]), "B": len(held_out[1])},
            skipped=sum(domain.num_skipped for domain in held_out),
            paired=pairs(*held_out) is not None,
            size=config.data.crop_size,
            features=str(features) if features else None,
            metrics=evaluate(subject.translators, held_out, extractor),
            untranslated=untranslated(held_out, extractor, subject.translators),
        )


def _with_pictures(config: TrainConfig, dataroot: str | Path, size: int | None, limit: int) -> TrainConfig:
    side = size or config.data.crop_size
    multiple = config.networks.size_multiple
    if side < SMALLEST or side % multiple:
        nearest = max(SMALLEST, round(side / multiple) * multiple)
        raise UsageError(f"pictures of {side}x{side} cannot be compared; {nearest}x{nearest} can", about=("size",))
    data = config.data.model_dump() | {"dataroot": str(dataroot), "max_dataset_size": limit, "crop_size": side}
    data["load_size"] = max(data["load_size"], side)
    return resolve_config(config.model_dump(), {"data": data})


@contextmanager
def _checkpoint(source: Path, weights: Weights, device: str) -> Iterator[_Subject]:
    place = pick_device(device)
    translators: dict[Direction, Translate] = {}
    published: set[str] = set()
    refusal = None
    for direction in ("AtoB", "BtoA"):
        try:
            loaded = load_generator(source, direction, weights)
        except CheckpointError as error:  # an official file holds one direction only
            refusal = error
            continue
        if loaded.sha256 in published:  # one official file that does not tell its direction
            continue
        if loaded.step is None:
            published.add(loaded.sha256)
        config = loaded.config
        translators[direction] = partial(translate_all, loaded.network.to(place), device=place)
    if not translators:
        assert refusal is not None
        raise refusal
    yield _Subject(translators, config)


@contextmanager
def _artefact(path: Path, size: int | None, backend: str, device: str) -> Iterator[_Subject]:
    with load_translator(path, backend=backend, device=device) as translator:
        metadata, pinned = translator.metadata, translator.size
        if pinned is not None and (pinned[0] != pinned[1] or size not in (None, pinned[0])):
            raise UsageError(
                f"{path} translates {pinned[0]}x{pinned[1]} only; evaluate it at that size if that is square, or "
                "take one of any size",
                about=("size",),
            )
        side = size or (pinned[0] if pinned else DEFAULT_SIZE)
        data: dict[str, Any] = {"crop_size": side, "load_size": side}
        if metadata:
            channels = (metadata.input_channels, metadata.output_channels)[:: 1 if metadata.direction == "AtoB" else -1]
            data |= {"input_nc": channels[0], "output_nc": channels[1], "direction": metadata.source.data_direction}
        config = resolve_config({"data": data, "losses": {"lambda_identity": 0}})  # which wants equal channels
        yield _Subject({metadata.direction if metadata else "AtoB": partial(_translate, translator)}, config)


def _translate(translator: Translator, pictures: Tensor) -> Tensor:
    """Translate [N, C, H, W]; a gray model is shown gray in colour, and gives it so."""
    metadata = translator.metadata
    shown = pictures.expand(-1, 3, -1, -1) if pictures.shape[1] == 1 else pictures
    frames = shown.round().byte().permute(0, 2, 3, 1).numpy()
    made = [
        translator.translate_batch(np.ascontiguousarray(part))
        for part in np.split(frames, range(BATCH, len(frames), BATCH))
    ]
    result = torch.from_numpy(np.concatenate(made)).permute(0, 3, 1, 2)
    return result[:, :1] if metadata and metadata.output_channels == 1 else result


@contextmanager
def _extractor(path: Path | None, device: str) -> Iterator[Extractor | None]:
    if path is None:
        yield None
    elif path.suffix.lower() != ".onnx":
        yield load_torchscript(path)
    else:
        opened = open_backend(path, device="cpu" if device == "mps" else device)
        try:
            yield partial(_extract, opened, path)
        finally:
            opened.close()


def _extract(opened: Backend, path: Path, pictures: Tensor) -> Tensor:
    """Run an ONNX extractor that takes float32 [N, 3, H, W] in [0, 255], as a TorchScript one does."""
    if opened.input.dtype != "float32" or len(opened.input.shape) != 4:
        raise ArtefactError(f"{path} takes {opened.input}; a feature extractor takes float32 [N, 3, H, W] in [0, 255]")
    return checked(torch.from_numpy(opened.infer(pictures.float().numpy())), path)
