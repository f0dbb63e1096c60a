"""An artefact in every engine that is installed, beside the generator in PyTorch."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import packages_distributions, version
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from PIL import Image

from .. import __version__
from ..runtime.backends import available_backends, open_backend
from ..runtime.backends.base import Backend, Precision
from ..runtime.contract import Picture, decode, encode, padded_side
from ..runtime.errors import ArtefactError, BackendError, UsageError
from ..runtime.metadata import ArtefactMetadata, parse_metadata
from ..trainer.checkpoint import LoadedGenerator
from ..trainer.metrics import psnr, ssim
from ..trainer.pictures import Pixels, read_pixels, resize
from .graph import InferenceGenerator
from .onnx_export import Size, source_of, write_onnx
from .report import GATES, UNDETERMINED, Comparison, Gate, VerificationReport, report_path, save_report

LOGGER = logging.getLogger(__name__)

# What each engine is made to compute in; always on the CPU, so that the outcome does not depend on the GPU at hand.
PRECISIONS: dict[str, tuple[Precision, ...]] = {"onnxruntime": ("fp32",), "openvino": ("fp32", "bf16")}
BATCHES = (1, 2)
NUM_PICTURES = 4
SSIM_WINDOW = 11


@dataclass(frozen=True)
class _Case:
    """Frames of one kind and size with PyTorch's translation of each, both uint8 [N, H, W, C]."""

    kind: str
    frames: Picture
    expected: Picture


def verify_artefact(
    path: Path, generator: LoadedGenerator, pictures: Sequence[Path] = (), *, backend: str = "auto"
) -> VerificationReport:
    """Compare an artefact with `generator` in FP32 on noise, on constant pictures and on up to four of `pictures`.

    Every input goes in at two sizes (one where the artefact pins it) and in batches of 1 and 2; PyTorch takes one
    picture at a time, so a batch must also equal its pictures alone. `backend` "auto" means every engine installed.

    Raises:
        ArtefactError: the artefact cannot be loaded, or is not ours.
        BackendError: no engine is installed, or one failed.
        UsageError: the artefact is of another architecture or direction than `generator`, or no engine has that name.
    """
    metadata = read_metadata(path)
    _check_same_kind(metadata, generator, path)
    readable, notes = _read_pictures(pictures, metadata.input_channels)
    if metadata.source.sha256 != generator.sha256:
        notes.append(f"{path.name} was made from another checkpoint than this {generator.name}")
    cases = list(_cases(metadata, generator, list(readable.values())))
    comparisons = tuple(
        _compare(opened, metadata, case, batch, _gate(case.kind, metadata, opened, generator))
        for opened in _engines(path, backend, notes)
        for case in cases
        for batch in BATCHES
    )
    for note in notes:
        LOGGER.warning("%s", note)
    return VerificationReport(
        passed=all(comparison.passed for comparison in comparisons),
        artefact=path.name,
        artefact_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        reference=source_of(generator),
        producer=_producer({comparison.engine for comparison in comparisons}),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        pictures=tuple(readable),
        notes=tuple(notes),
        comparisons=comparisons,
    )


def record(report: VerificationReport, path: Path) -> None:
    """Store the report beside the artefact at `path`, and its summary inside.

    Raises:
        OutputError: a file cannot be written.
    """
    model = onnx.load(path)
    metadata = parse_metadata({entry.key: entry.value for entry in model.metadata_props}, path)
    assert metadata is not None, "a report is made of our own artefacts only"
    write_onnx(model, metadata.model_copy(update={"verification": report.summary()}), path)
    save_report(report, report_path(path))


def read_metadata(path: Path) -> ArtefactMetadata:
    """Read what an artefact of ours says of itself.

    Raises:
        ArtefactError: the file is missing, damaged, or not written by `cyclegan export`.
        BackendError: no engine is installed.
    """
    with closing(open_backend(path, device="cpu")) as backend:
        metadata = parse_metadata(backend.properties, path)
    if metadata is None:
        raise ArtefactError(f"{path} does not say which checkpoint it came from; only files of cyclegan export do")
    return metadata


def _check_same_kind(metadata: ArtefactMetadata, generator: LoadedGenerator, path: Path) -> None:
    told = metadata.architecture, metadata.direction
    wanted = generator.config.networks.generator, generator.direction
    if told != wanted:
        raise UsageError(
            f"{path} is {' '.join(told)} and {generator.name} is {' '.join(wanted)}; "
            "name the checkpoint that the artefact was exported from"
        )


def _read_pictures(paths: Sequence[Path], channels: int) -> tuple[dict[str, Pixels], list[str]]:
    """Read the first pictures that can be read; returns them by file name, and what must be said about the others."""
    readable: dict[str, Pixels] = {}
    notes: list[str] = []
    for path in paths:
        if len(readable) == NUM_PICTURES:
            break
        try:
            readable[path.name] = read_pixels(path, channels)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            notes.append(f"{path} is no readable picture ({error})")
    if not readable:
        notes.append("no real picture was at hand: compared on noise and constant pictures only")
    return readable, notes


def _cases(metadata: ArtefactMetadata, generator: LoadedGenerator, pictures: list[Pixels]) -> Iterator[_Case]:
    reference = InferenceGenerator(generator.network)
    side = padded_side(generator.config.data.crop_size, metadata.size_multiple, metadata.size_minimum)
    sizes = [metadata.size] if metadata.size else [(side, side), (side, side + metadata.size_multiple)]
    for size in sizes:
        for kind, frames in _frames(size, metadata.input_channels, pictures).items():
            with torch.inference_mode():
                singly = [reference(frame) for frame in torch.split(torch.from_numpy(frames), 1)]
            yield _Case(kind, frames, torch.cat(singly).numpy())


def _frames(size: Size, channels: int, pictures: list[Pixels]) -> dict[str, Picture]:
    """Make an even number of frames of each kind, uint8 [N, H, W, C]."""
    height, width = size
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (2, height, width, channels), dtype=np.uint8)
    colours = random.integers(0, 256, (2, 1, 1, channels), dtype=np.uint8)
    frames = {"noise": noise, "constant": np.broadcast_to(colours, noise.shape).copy()}
    if pictures:
        resized = [np.rint(resize(picture, (width, height))).astype(np.uint8) for picture in pictures]
        frames["pictures"] = np.stack(list(islice(cycle(resized), NUM_PICTURES)))
    return frames


def _engines(path: Path, backend: str, notes: list[str]) -> Iterator[Backend]:
    """Open the artefact in every engine and precision in turn; one that this CPU does not have becomes a note."""
    for engine in available_backends() if backend == "auto" else (backend,):
        for precision in PRECISIONS.get(engine, ("fp32",)):
            try:
                opened = open_backend(path, backend=engine, device="cpu", precision=precision)
            except BackendError as error:
                if precision == "fp32":
                    raise
                notes.append(f"{engine} in {precision} was left out: {error}")
                continue
            with closing(opened):
                yield opened


def _gate(kind: str, metadata: ArtefactMetadata, opened: Backend, generator: LoadedGenerator) -> Gate:
    if kind == "constant" and generator.config.networks.norm == "instance":
        return UNDETERMINED
    return GATES[metadata.precision if opened.precision == "fp32" else opened.precision]


def _compare(opened: Backend, metadata: ArtefactMetadata, case: _Case, batch: int, gate: Gate) -> Comparison:
    result, finite = _translate(opened, metadata, case.frames, batch)
    difference = np.abs(result.astype(np.int16) - case.expected)
    ours, theirs = (torch.from_numpy(frames).permute(0, 3, 1, 2) for frames in (result, case.expected))
    worst_psnr = float(psnr(ours, theirs).min())
    height, width = case.frames.shape[1:3]
    max_lsb = int(difference.max())
    psnr_db = worst_psnr if np.isfinite(worst_psnr) else None
    blank_frames = int((~finite | (_is_blank(result) & ~_is_blank(case.expected))).sum())
    return Comparison(
        engine=opened.name,
        precision=opened.precision,
        input=case.kind,
        size=(height, width),
        batch=batch,
        max_lsb=max_lsb,
        mean_lsb=float(difference.mean()),
        equal_share=float((difference == 0).all(axis=-1).mean()),
        psnr_db=psnr_db,
        ssim=float(ssim(ours, theirs).min()) if min(height, width) >= SSIM_WINDOW else None,
        blank_frames=blank_frames,
        gate=gate,
        passed=not blank_frames and gate.admits(max_lsb, psnr_db),
    )


def _translate(
    opened: Backend, metadata: ArtefactMetadata, frames: Picture, batch: int
) -> tuple[Picture, NDArray[np.bool_]]:
    """Run the frames through an engine in batches; returns the pixels, and for every frame whether it is finite."""
    batches = np.split(frames, len(frames) // batch)
    if metadata.io == "uint8":
        return np.concatenate([opened.infer(part) for part in batches]), np.ones(len(frames), np.bool_)
    values = np.concatenate([opened.infer(encode(part)) for part in batches])
    return decode(np.nan_to_num(values, nan=-1, posinf=1, neginf=-1)), np.isfinite(values).all(axis=(1, 2, 3))


def _is_blank(frames: Picture) -> NDArray[np.bool_]:
    """Tell for every frame whether it is black or white throughout, as a value that is not finite becomes."""
    lowest, highest = frames.min(axis=(1, 2, 3)), frames.max(axis=(1, 2, 3))
    blank: NDArray[np.bool_] = np.logical_or(highest == 0, lowest == 255)
    return blank


def _producer(engines: set[str]) -> dict[str, str]:
    """Return the versions of everything that took part; the library of an engine may come from several packages."""
    owners = packages_distributions()
    libraries = {engine: version(owners[engine][0]) for engine in sorted(engines)}
    return {"cyclegan_edge": __version__, "torch": version("torch")} | libraries
