"""Verify an artefact: run it in every installed engine and compare it with the generator in PyTorch."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path

from ... import __version__
from ...runtime.backends import available_backends, open_backend
from ...runtime.backends.base import Backend, Precision
from ...runtime.backends.probe import gpus
from ...runtime.errors import BackendError, UsageError
from ...runtime.machine.doctor import machine
from ...runtime.metadata import ArtefactMetadata
from ...trainer.checkpoints.checkpoint import LoadedGenerator
from ...trainer.data.pictures import Pixels
from ..artefact import Artefact
from ..graph.onnx_export import source_of
from ..pictures import read_pictures
from .compare import ComparedFrames, OpenArtefact, compare_batches
from .divergence import find_divergence, only_batches
from .gates import FLAT, FLAT_DEVIATION, GATES, LARGE, UNDETERMINED, Gate
from .inputs import VerificationInput, make_inputs
from .intermediate import last_tanh, open_at
from .page import save_beside
from .report import Divergence, VerificationReport, judged

LOGGER = logging.getLogger(__name__)

# What each engine is made to compute in; always on the CPU, so that the outcome does not depend on the GPU at hand.
PRECISIONS: dict[str, tuple[Precision, ...]] = {"onnxruntime": ("fp32",), "openvino": ("fp32", "bf16")}


def verify_artefact(
    artefact: Artefact,
    generator: LoadedGenerator,
    pictures: Sequence[Path] = (),
    *,
    calibration: Sequence[Path] = (),
    backend: str = "auto",
    engines: Iterable[OpenArtefact] | None = None,
    brief: bool = False,
) -> VerificationReport:
    """Compare an artefact with `generator` in FP32 on noise, on constant pictures and on up to four of `pictures`.

    `make_inputs` says in which sizes and batches. PyTorch takes one picture at a time, so a batch must also equal its
    pictures alone. The pictures of `calibration` stand in where there are no others. `backend` "auto" means every
    engine installed; `engines` are others, opened one after the other. `brief` compares one small picture. What has no
    gate does not pass: INT8 has one on real pictures only.

    Raises:
        ArtefactError: the artefact cannot be loaded.
        BackendError: no engine is installed, or one failed.
        UsageError: the artefact is of another architecture or direction than `generator`, or no engine has that name.
    """
    path, metadata = artefact.path, artefact.metadata
    _check_same_kind(metadata, generator, path)
    readable, notes = _real_pictures(pictures, calibration, metadata.input_channels)
    if metadata.source.sha256 != generator.sha256:
        notes.append(f"{path.name} was made from another checkpoint than this {generator.name}")
    # Made once for all engines: PyTorch's side is the slow one.
    inputs = list(make_inputs(metadata, generator, list(readable.values()), artefact.profile, brief=brief))
    compared = [
        frames
        for opened in engines or _engines(artefact, backend, notes)
        for source in inputs
        for frames in compare_batches(opened, metadata.io, source, _gate(source, metadata, opened.backend, generator))
    ]
    if not judged([frames.comparison for frames in compared]):
        notes.append("INT8 is judged on real pictures, and there was none")
    for note in notes:
        LOGGER.warning("%s", note)
    return _report(artefact, generator, compared, tuple(readable), tuple(notes))


def _report(
    artefact: Artefact,
    generator: LoadedGenerator,
    compared: list[ComparedFrames],
    pictures: tuple[str, ...],
    notes: tuple[str, ...],
) -> VerificationReport:
    """Sum comparisons up: whether all passed, where an engine diverged, the worst picture, and what took part."""
    comparisons = tuple(frames.comparison for frames in compared)
    worst = max(compared, key=lambda frames: frames.badness)
    by_instance = generator.config.networks.norm == "instance"
    flat = _flat_deviation([frames.source for frames in compared]) if by_instance else None
    return VerificationReport(
        passed=bool(judged(comparisons)) and all(comparison.passed for comparison in comparisons),
        divergences=_divergences(artefact, generator, compared),
        worst=worst.worst_picture(),
        machine={"gpu": _gpu(), "TF32": _tf32(artefact)} | {key: str(value) for key, value in machine().items()},
        artefact=artefact.path.name,
        artefact_sha256=artefact.sha256(),
        reference=source_of(generator),
        producer=_producer({comparison.engine for comparison in comparisons}),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        pictures=pictures,
        notes=notes,
        comparisons=comparisons,
        flat_deviation=flat,
    )


def record(report: VerificationReport, artefact: Artefact) -> None:
    """Store the report and its page beside the artefact, and its summary inside.

    Raises:
        OutputError: a file cannot be written.
    """
    artefact.store(report.summary())
    save_beside(report, artefact.path)


def _real_pictures(
    pictures: Sequence[Path], calibration: Sequence[Path], channels: int
) -> tuple[dict[str, Pixels], list[str]]:
    """Read the pictures to verify with, or for want of any the calibration's, and say what must be known of them."""
    readable, notes = read_pictures(pictures, channels)
    if not readable and calibration:
        readable, others = read_pictures(calibration, channels)
        notes += [
            *others,
            "there was no other picture: compared on those of the calibration, which favour the artefact",
        ]
    if not readable:
        notes.append("there was no real picture: compared on synthetic pictures only")
    return readable, notes


def _check_same_kind(metadata: ArtefactMetadata, generator: LoadedGenerator, path: Path) -> None:
    if metadata.frozen_norm and not generator.frozen_norm:
        raise UsageError(
            f"the norms of {path} are frozen; name the pictures that it was calibrated on", about=("calibration",)
        )
    if generator.frozen_norm and not metadata.frozen_norm:
        raise UsageError(
            f"the norms of {path} are not frozen; leave the pictures of a calibration out", about=("calibration",)
        )
    floors = metadata.norm_floor, generator.config.networks.norm_floor
    if floors[0] != floors[1]:
        raise UsageError(
            f"the norms of {path} have a floor of {floors[0]:g}, and those of {generator.name} one of {floors[1]:g}; "
            "name the pictures that the file was calibrated on, or another checkpoint",
            about=("calibration",),
        )
    kind = metadata.architecture, metadata.direction
    reference = generator.config.networks.generator, generator.direction
    if kind != reference:
        raise UsageError(
            f"{path} is {' '.join(kind)} and {generator.name} is {' '.join(reference)}; "
            "name the checkpoint that the artefact was exported from"
        )


def _engines(artefact: Artefact, backend: str, notes: list[str]) -> Iterator[OpenArtefact]:
    """Open the artefact in every engine and precision in turn; one that this CPU does not have becomes a note."""
    path, model = artefact.path, artefact.model
    if model is None:
        with closing(open_backend(path, backend=backend)) as opened:
            yield OpenArtefact(opened, None)
        return
    tanh = last_tanh(model) if artefact.metadata.io == "uint8" else None
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
                yield OpenArtefact(opened, view)


def _gate(source: VerificationInput, metadata: ArtefactMetadata, opened: Backend, generator: LoadedGenerator) -> Gate:
    """Return the gate of the coarser precision; INT8 is judged on what it was calibrated for, real pictures."""
    if metadata.precision == "int8":
        return GATES["int8"] if source.kind == "pictures" else UNDETERMINED
    coarser = opened.precision if opened.precision in ("bf16", "tf32") else metadata.precision
    by_picture = generator.config.networks.norm == "instance" or generator.batch_norm == "picture"
    if source.kind == "constant" and by_picture:
        if source.deviation > FLAT_DEVIATION:
            return UNDETERMINED
        return GATES["bf16"] if coarser == "bf16" else FLAT
    height, width = source.frames.shape[1:3]
    if coarser == "fp32" and height * width >= LARGE and opened.name != "onnxruntime":
        return GATES["fp32 large"]
    return GATES[coarser]


def _divergences(
    artefact: Artefact, generator: LoadedGenerator, compared: list[ComparedFrames]
) -> tuple[Divergence, ...]:
    """Name the first layer that differs, of each engine that missed a gate; an engine file shows no layers."""
    if artefact.model is None:
        return ()
    missed: dict[tuple[str, str], list[ComparedFrames]] = {}
    for frames in compared:
        if not frames.comparison.passed:
            missed.setdefault((frames.comparison.engine, frames.comparison.precision), []).append(frames)
    divergences = []
    for (engine, precision), of_engine in missed.items():
        if engine not in available_backends():  # it shows no layers, as a browser
            continue
        singles = [frames for frames in of_engine if frames.comparison.batch == 1]
        if not singles:
            divergences.append(only_batches(sorted({each.comparison.batch for each in of_engine}), engine, precision))
            continue
        worst = max(singles, key=lambda frames: frames.badness)
        picture = worst.source.frames[worst.worst_frame][None]
        divergences.append(find_divergence(artefact, generator, picture, backend=engine, precision=precision))
    return tuple(divergences)


def _flat_deviation(inputs: Iterable[VerificationInput]) -> float | None:
    return max((source.deviation for source in inputs if source.kind == "constant"), default=None)


def _tf32(artefact: Artefact) -> str:
    """Say whether FP32 may have been rounded to TF32 anywhere; PyTorch and the other engines run on the CPU."""
    return "on in the engine, as it was built; PyTorch on the CPU, without" if artefact.tf32 else "off"


def _gpu() -> str:
    try:
        return gpus()
    except OSError:
        return "none"


_owners = cache(packages_distributions)  # of modules; it reads every package that is installed


def _producer(engines: set[str]) -> dict[str, str]:
    """Return the versions of everything that took part; the library of an engine may come from several packages."""
    owners = _owners()
    modules = {engine: engine.replace("-", "_") for engine in sorted(engines)}
    libraries = {engine: version(owners[module][0]) for engine, module in modules.items() if module in owners}
    return {"cyclegan_edge": __version__, "torch": version("torch")} | libraries
