"""An artefact in every engine that is installed, beside the generator in PyTorch."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path

import onnx

from ... import __version__
from ...runtime.backends import available_backends, open_backend
from ...runtime.backends.base import Backend, Precision
from ...runtime.backends.engine_file import ENGINE_SUFFIX, read_description, write_engine
from ...runtime.backends.probe import gpus
from ...runtime.errors import BackendError, UsageError
from ...runtime.machine.doctor import machine
from ...runtime.metadata import ArtefactMetadata, parse_metadata
from ...trainer.checkpoints.checkpoint import LoadedGenerator
from ...trainer.data.pictures import Pixels
from ..artefact import read_metadata
from ..graph.onnx_export import source_of, write_onnx
from ..pictures import read_pictures
from .compare import Opened, Outcome, compare_batches
from .divergence import find_divergence, only_batches
from .gates import GATES, LARGE, UNDETERMINED, Gate
from .inputs import Case, make_cases
from .intermediate import last_tanh, open_at
from .page import save_beside
from .report import Divergence, VerificationReport, judged

LOGGER = logging.getLogger(__name__)

# What each engine is made to compute in; always on the CPU, so that the outcome does not depend on the GPU at hand.
PRECISIONS: dict[str, tuple[Precision, ...]] = {"onnxruntime": ("fp32",), "openvino": ("fp32", "bf16")}


def verify_artefact(
    path: Path,
    generator: LoadedGenerator,
    pictures: Sequence[Path] = (),
    *,
    calibration: Sequence[Path] = (),
    backend: str = "auto",
) -> VerificationReport:
    """Compare an artefact with `generator` in FP32 on noise, on constant pictures and on up to four of `pictures`.

    `make_cases` says in which sizes and batches. PyTorch takes one picture at a time, so a batch must also equal its
    pictures alone. The pictures of `calibration` stand in where there are no others. `backend` "auto" means every
    engine installed. What is not judged does not pass: INT8 has a gate on real pictures only.

    Raises:
        ArtefactError: the artefact cannot be loaded, or is not ours.
        BackendError: no engine is installed, or one failed.
        UsageError: the artefact is of another architecture or direction than `generator`, or no engine has that name.
    """
    metadata = read_metadata(path)
    _check_same_kind(metadata, generator, path)
    readable, notes = _real_pictures(pictures, calibration, metadata.input_channels)
    if metadata.source.sha256 != generator.sha256:
        notes.append(f"{path.name} was made from another checkpoint than this {generator.name}")
    profile = read_description(path).profile if path.suffix.lower() == ENGINE_SUFFIX else None
    cases = list(make_cases(metadata, generator, list(readable.values()), profile))
    found = [
        outcome
        for opened in _engines(path, metadata, backend, notes)
        for case in cases
        for outcome in compare_batches(opened, metadata.io, case, _gate(case, metadata, opened.backend, generator))
    ]
    comparisons = tuple(outcome.comparison for outcome in found)
    if not judged(comparisons):
        notes.append("INT8 is judged on real pictures, and there was none: give some with --images")
    for note in notes:
        LOGGER.warning("%s", note)
    worst = max(found, key=lambda outcome: outcome.badness)
    return VerificationReport(
        passed=bool(judged(comparisons)) and all(comparison.passed for comparison in comparisons),
        divergences=_divergences(path, metadata, generator, found),
        worst=worst.worst_picture(),
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


def _real_pictures(
    pictures: Sequence[Path], calibration: Sequence[Path], channels: int
) -> tuple[dict[str, Pixels], list[str]]:
    """Read the pictures to verify with, or for want of any the calibration's, and say what must be known of them."""
    readable, notes = read_pictures(pictures, channels)
    if not readable and calibration:
        readable, others = read_pictures(calibration, channels)
        notes += [
            *others,
            "no other picture was at hand: compared on those of --calibration, which favour the artefact",
        ]
    if not readable:
        notes.append("no real picture was at hand: compared on synthetic pictures only")
    return readable, notes


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


def _engines(path: Path, metadata: ArtefactMetadata, backend: str, notes: list[str]) -> Iterator[Opened]:
    """Open the artefact in every engine and precision in turn; one that this CPU does not have becomes a note."""
    if path.suffix.lower() == ENGINE_SUFFIX:
        with closing(open_backend(path, backend=backend)) as opened:
            yield Opened(opened, None)
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
                yield Opened(opened, view)


def _gate(case: Case, metadata: ArtefactMetadata, opened: Backend, generator: LoadedGenerator) -> Gate:
    """Return the gate of the coarser precision; INT8 is judged on what it was calibrated for, real pictures."""
    if case.kind == "constant" and generator.config.networks.norm == "instance":
        return UNDETERMINED
    if metadata.precision == "int8":
        return GATES["int8"] if case.kind == "pictures" else UNDETERMINED
    coarser = opened.precision if opened.precision in ("bf16", "tf32") else metadata.precision
    height, width = case.frames.shape[1:3]
    if coarser == "fp32" and height * width >= LARGE and opened.name != "onnxruntime":
        return GATES["fp32 large"]
    return GATES[coarser]


def _divergences(
    path: Path, metadata: ArtefactMetadata, generator: LoadedGenerator, found: list[Outcome]
) -> tuple[Divergence, ...]:
    """Name the first layer that differs, of each engine that missed a gate; an engine file shows no layers."""
    if path.suffix.lower() == ENGINE_SUFFIX:
        return ()
    missed: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in found:
        if not outcome.comparison.passed:
            missed.setdefault((outcome.comparison.engine, outcome.comparison.precision), []).append(outcome)
    divergences = []
    for (engine, precision), outcomes in missed.items():
        singles = [outcome for outcome in outcomes if outcome.comparison.batch == 1]
        if not singles:
            divergences.append(only_batches(sorted({each.comparison.batch for each in outcomes}), engine, precision))
            continue
        worst = max(singles, key=lambda outcome: outcome.badness)
        frame = worst.case.frames[worst.worst_frame][None]
        divergences.append(find_divergence(path, metadata, generator, frame, backend=engine, precision=precision))
    return tuple(divergences)


def _tf32(path: Path) -> str:
    """Say whether FP32 may have been rounded to TF32 anywhere; PyTorch and the other engines run on the CPU."""
    built_with = path.suffix.lower() == ENGINE_SUFFIX and read_description(path).tf32
    return "on in the engine, as it was built; PyTorch on the CPU, without" if built_with else "off"


def _gpu() -> str:
    try:
        return gpus()
    except OSError:
        return "none"


_owners = cache(packages_distributions)  # of modules; it reads every package that is installed


def _producer(engines: set[str]) -> dict[str, str]:
    """Return the versions of everything that took part; the library of an engine may come from several packages."""
    owners = _owners()
    libraries = {engine: version(owners[engine.replace("-", "_")][0]) for engine in sorted(engines)}
    return {"cyclegan_edge": __version__, "torch": version("torch")} | libraries
