"""An artefact in every engine that is installed, beside the generator in PyTorch."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from .. import __version__
from ..runtime.backends import available_backends, open_backend
from ..runtime.backends.base import Backend, Precision
from ..runtime.contract import Picture, decode, encode
from ..runtime.doctor import gpus, machine
from ..runtime.engine_file import ENGINE_SUFFIX, read_description, write_engine
from ..runtime.errors import ArtefactError, BackendError, UsageError
from ..runtime.metadata import ArtefactMetadata, parse_metadata
from ..trainer.checkpoint import LoadedGenerator
from ..trainer.metrics import psnr, ssim
from .cases import Case, make_cases, read_pictures
from .divergence import find_divergence
from .onnx_export import source_of, write_onnx
from .probe import last_tanh, open_at
from .report import (
    GATES,
    UNDETERMINED,
    Comparison,
    Divergence,
    Gate,
    TanhDifference,
    VerificationReport,
    WorstPicture,
)
from .report_page import save_beside

LOGGER = logging.getLogger(__name__)

# What each engine is made to compute in; always on the CPU, so that the outcome does not depend on the GPU at hand.
PRECISIONS: dict[str, tuple[Precision, ...]] = {"onnxruntime": ("fp32",), "openvino": ("fp32", "bf16")}
BATCHES = (1, 2)
SSIM_WINDOW = 11

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class _Opened:
    """An artefact in an engine; `view` is its graph cut behind tanh, where pixels hide what that gives."""

    backend: Backend
    view: Backend | None


@dataclass(frozen=True)
class _Outcome:
    """A comparison, and what was compared."""

    comparison: Comparison
    case: Case
    result: Picture


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
    readable, notes = read_pictures(pictures, metadata.input_channels)
    if not readable:
        notes.append("no real picture was at hand: compared on synthetic pictures only")
    if metadata.source.sha256 != generator.sha256:
        notes.append(f"{path.name} was made from another checkpoint than this {generator.name}")
    cases = list(make_cases(metadata, generator, list(readable.values())))
    found = [
        outcome
        for opened in _engines(path, metadata, backend, notes)
        for case in cases
        for outcome in _compare_batches(opened, metadata, case, _gate(case.kind, metadata, opened.backend, generator))
    ]
    for note in notes:
        LOGGER.warning("%s", note)
    comparisons = tuple(outcome.comparison for outcome in found)
    worst = max(found, key=_badness)
    return VerificationReport(
        passed=all(comparison.passed for comparison in comparisons),
        divergences=_divergences(path, metadata, generator, found),
        worst=_worst_picture(worst),
        machine={"gpu": _gpu(), "TF32": _tf32(path)} | {key: str(value) for key, value in machine().items()},
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
    """Store the report and its page beside the artefact at `path`, and its summary inside.

    Raises:
        OutputError: a file cannot be written.
    """
    if path.suffix.lower() == ENGINE_SUFFIX:
        description = read_description(path)
        artefact = description.artefact.model_copy(update={"verification": report.summary()})
        write_engine(path.read_bytes(), description.model_copy(update={"artefact": artefact}), path)
        save_beside(report, path)
        return
    model = onnx.load(path)
    metadata = parse_metadata({entry.key: entry.value for entry in model.metadata_props}, path)
    assert metadata is not None, "a report is made of our own artefacts only"
    write_onnx(model, metadata.model_copy(update={"verification": report.summary()}), path)
    save_beside(report, path)


def read_metadata(path: Path) -> ArtefactMetadata:
    """Read what an artefact of ours says of itself.

    Raises:
        ArtefactError: the file is missing, damaged, changed, or not written by `cyclegan export`.
        BackendError: no engine is installed.
    """
    if path.suffix.lower() == ENGINE_SUFFIX:
        return read_description(path).artefact
    with closing(open_backend(path, device="cpu")) as backend:
        metadata = parse_metadata(backend.properties, path)
        if metadata is None:
            raise ArtefactError(f"{path} does not say which checkpoint it came from; only files of cyclegan export do")
        _check_tensors(metadata, backend, path)
    return metadata


def _check_tensors(metadata: ArtefactMetadata, backend: Backend, path: Path) -> None:
    """Make sure that the metadata was not changed by hand, as far as the tensors tell."""
    sides = metadata.size or (None, None)
    for channels, found in ((metadata.input_channels, backend.input), (metadata.output_channels, backend.output)):
        told = ("uint8", (None, *sides, channels)) if metadata.io == "uint8" else ("float32", (None, channels, *sides))
        if told != (found.dtype, found.shape):
            raise ArtefactError(f"{path} is not what its metadata says: it has {found}; export the checkpoint again")


def _check_same_kind(metadata: ArtefactMetadata, generator: LoadedGenerator, path: Path) -> None:
    if metadata.frozen_norm and not generator.frozen_norm:
        raise UsageError(
            f"the norms of {path} are frozen; name the folder that it was calibrated on with --calibration"
        )
    if generator.frozen_norm and not metadata.frozen_norm:
        raise UsageError(f"the norms of {path} are not frozen; leave --calibration out")
    told = metadata.architecture, metadata.direction
    wanted = generator.config.networks.generator, generator.direction
    if told != wanted:
        raise UsageError(
            f"{path} is {' '.join(told)} and {generator.name} is {' '.join(wanted)}; "
            "name the checkpoint that the artefact was exported from"
        )


def _engines(path: Path, metadata: ArtefactMetadata, backend: str, notes: list[str]) -> Iterator[_Opened]:
    """Open the artefact in every engine and precision in turn; one that this CPU does not have becomes a note."""
    if path.suffix.lower() == ENGINE_SUFFIX:
        with closing(open_backend(path, backend=backend)) as opened:
            yield _Opened(opened, None)
        return
    model = onnx.load(path)
    tanh = last_tanh(model) if metadata.io == "uint8" else None
    for engine in available_backends() if backend == "auto" else (backend,):
        for precision in PRECISIONS.get(engine, ("fp32",)):
            try:
                opened = open_backend(path, backend=engine, device="cpu", precision=precision)
            except BackendError as error:
                if precision != "bf16":
                    raise
                notes.append(f"{engine} in {precision} was left out: {error}")
                continue
            cut = open_at(model, tanh, backend=engine, precision=precision) if tanh else nullcontext()
            with closing(opened), cut as view:
                yield _Opened(opened, view)


def _gate(kind: str, metadata: ArtefactMetadata, opened: Backend, generator: LoadedGenerator) -> Gate:
    """Return the gate of the coarser precision; INT8 is judged on what it was calibrated for, real pictures."""
    if kind == "constant" and generator.config.networks.norm == "instance":
        return UNDETERMINED
    if metadata.precision == "int8":
        return GATES["int8"] if kind == "pictures" else UNDETERMINED
    return GATES[opened.precision if opened.precision in ("bf16", "tf32") else metadata.precision]


def _compare_batches(opened: _Opened, metadata: ArtefactMetadata, case: Case, gate: Gate) -> Iterator[_Outcome]:
    """Compare a case in batches of every size; each must also equal the engine's own batches of one."""
    alone: Picture | None = None
    for batch in BATCHES:
        result, values = _translate(opened, metadata, case.frames, batch)
        alone = result if alone is None else alone
        yield _Outcome(_compare(opened.backend, case, batch, gate, result, values, alone), case, result)


def _compare(
    backend: Backend, case: Case, batch: int, gate: Gate, result: Picture, values: Values | None, alone: Picture
) -> Comparison:
    difference = np.abs(result.astype(np.int16) - case.expected)
    worst_psnr = _worst_psnr(result, case.expected)
    ours, theirs = (torch.from_numpy(frames).permute(0, 3, 1, 2) for frames in (result, case.expected))
    height, width = case.frames.shape[1:3]
    max_lsb = int(difference.max())
    alone_lsb = int(np.abs(result.astype(np.int16) - alone).max())
    blank = _is_blank(result) & ~_is_blank(case.expected)
    if values is not None:
        blank |= ~np.isfinite(values).all(axis=(1, 2, 3))
    passed = gate.admits(max_lsb, worst_psnr) and gate.admits(alone_lsb, _worst_psnr(result, alone))
    return Comparison(
        engine=backend.name,
        precision=backend.precision,
        input=case.kind,
        size=(height, width),
        batch=batch,
        max_lsb=max_lsb,
        mean_lsb=float(difference.mean()),
        p999_lsb=float(np.percentile(difference, 99.9)),
        tanh=None if values is None else TanhDifference.of(np.abs(_finite(values) - case.values)),
        alone_lsb=alone_lsb,
        equal_share=float((difference == 0).all(axis=-1).mean()),
        psnr_db=worst_psnr,
        ssim=float(ssim(ours, theirs).min()) if min(height, width) >= SSIM_WINDOW else None,
        blank_frames=int(blank.sum()),
        gate=gate,
        passed=not blank.any() and passed,
    )


def _worst_psnr(result: Picture, truth: Picture) -> float | None:
    """Return the lowest PSNR of any picture in dB, None where all are identical."""
    ours, theirs = (torch.from_numpy(frames).permute(0, 3, 1, 2) for frames in (result, truth))
    worst = float(psnr(ours, theirs).min())
    return worst if np.isfinite(worst) else None


def _badness(outcome: _Outcome) -> tuple[bool, bool, float]:
    """Order outcomes: those that missed first, real pictures before others, then by PSNR."""
    row = outcome.comparison
    return not row.passed, row.gate != UNDETERMINED, -(row.psnr_db or np.inf)


def _worst_picture(outcome: _Outcome) -> WorstPicture:
    """Pick the picture that differs most of the worst outcome."""
    case, row = outcome.case, outcome.comparison
    errors = np.square(outcome.result.astype(np.float32) - case.expected).mean(axis=(1, 2, 3))
    index = int(errors.argmax())
    return WorstPicture.of(
        f"{row.engine} {row.precision}", case.kind, case.frames[index], case.expected[index], outcome.result[index]
    )


def _divergences(
    path: Path, metadata: ArtefactMetadata, generator: LoadedGenerator, found: list[_Outcome]
) -> tuple[Divergence, ...]:
    """Name the first layer that differs, of each engine that missed a gate; an engine file shows no layers."""
    if path.suffix.lower() == ENGINE_SUFFIX:
        return ()
    missed: dict[tuple[str, str], _Outcome] = {}
    for outcome in found:
        if not outcome.comparison.passed:
            missed.setdefault((outcome.comparison.engine, outcome.comparison.precision), outcome)
    return tuple(
        find_divergence(path, metadata, generator, outcome.case.frames[:1], backend=engine, precision=precision)
        for (engine, precision), outcome in missed.items()
    )


def _tf32(path: Path) -> str:
    """Say whether FP32 may have been rounded to TF32 anywhere; PyTorch and the other engines run on the CPU."""
    built_with = path.suffix.lower() == ENGINE_SUFFIX and read_description(path).tf32
    return "on in the engine, as it was built; PyTorch on the CPU, without" if built_with else "off"


def _gpu() -> str:
    try:
        return gpus()
    except OSError:
        return "none"


def _translate(
    opened: _Opened, metadata: ArtefactMetadata, frames: Picture, batch: int
) -> tuple[Picture, Values | None]:
    """Run the frames through an engine in batches; returns the pixels, and what tanh gave where that can be seen.

    The graph that is cut for it translates one by one only: batches are held to that in pixels.
    """
    batches = np.split(frames, len(frames) // batch)
    if metadata.io == "float":
        values = np.concatenate([opened.backend.infer(encode(part)) for part in batches])
        return decode(_finite(values)), values
    seen = np.concatenate([opened.view.infer(part) for part in batches]) if opened.view and batch == 1 else None
    return np.concatenate([opened.backend.infer(part) for part in batches]), seen


def _finite(values: Values) -> Values:
    """Put the value of a black pixel for what is no number, and the nearest end for what is infinite."""
    return np.nan_to_num(values, nan=-1, posinf=1, neginf=-1)


def _is_blank(frames: Picture) -> NDArray[np.bool_]:
    """Tell for every frame whether it is black or white throughout, as a value that is not finite becomes."""
    lowest, highest = frames.min(axis=(1, 2, 3)), frames.max(axis=(1, 2, 3))
    blank: NDArray[np.bool_] = np.logical_or(highest == 0, lowest == 255)
    return blank


_owners = cache(packages_distributions)  # of modules; it reads every package that is installed


def _producer(engines: set[str]) -> dict[str, str]:
    """Return the versions of everything that took part; the library of an engine may come from several packages."""
    owners = _owners()
    libraries = {engine: version(owners[engine.replace("-", "_")][0]) for engine in sorted(engines)}
    return {"cyclegan_edge": __version__, "torch": version("torch")} | libraries
