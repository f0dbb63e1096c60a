"""One generator becomes all the files that were asked for, each of them held against PyTorch where it can run here."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..runtime.backends import open_backend
from ..runtime.engine_file import LIBRARY_NAMES, Library, Profile
from ..runtime.errors import BackendError, InputError, UsageError
from ..runtime.metadata import IO, ArtefactMetadata
from ..trainer.checkpoint import LoadedGenerator
from ..trainer.pictures import resize
from .engine import EngineOptions, build_engine, load_library
from .graph import Precision
from .onnx_export import check_size, export_onnx
from .options import SizeRange
from .report import VerificationReport, report_path, save_report
from .verify import read_pictures, record, verify_artefact

if TYPE_CHECKING:
    from ..runtime.contract import Picture
    from .quantize import Quantisation

LOGGER = logging.getLogger(__name__)

LIBRARIES: dict[str, Library] = {name: library for library, name in LIBRARY_NAMES.items()}


@dataclass(frozen=True)
class Request:
    """What shall be made of a generator, as the options of `cyclegan export` say it."""

    targets: tuple[str, ...]
    precision: str
    io: IO
    weights: str
    sizes: SizeRange | None
    largest_batch: int
    tf32: bool
    workspace_mib: int | None
    compute_capabilities: tuple[str, ...]
    calibration: tuple[Path, ...]
    keep_float: int
    verify: bool

    @property
    def libraries(self) -> list[Library]:
        """The libraries that engines are built with."""
        return [LIBRARIES[target] for target in self.targets if target in LIBRARIES]

    @property
    def pinned(self) -> tuple[int, int] | None:
        """The one size that was asked for, (height, width)."""
        return self.sizes[0] if self.sizes and self.sizes[0] == self.sizes[2] else None

    def check(self, generators: list[LoadedGenerator]) -> None:
        """Find out before anything is written whether the options go together.

        Raises:
            UsageError, BackendError: they do not, or a library is missing.
        """
        if self.libraries and self.sizes is None:
            raise UsageError(
                "an engine is built for known sizes; give one with --size 256x256, "
                "or a range with --size 128x128:256x256:512x512"
            )
        if self.precision == "int8" and not self.calibration:
            raise UsageError(
                "int8 needs pictures to measure its ranges on; give a folder, such as --calibration trainA"
            )
        if self.precision != "int8" and (self.calibration or self.keep_float):
            raise UsageError("--calibration and --keep-float belong to --precision int8; leave them out, or add that")
        if not self.libraries and (self.compute_capabilities or self.workspace_mib or self.tf32):
            raise UsageError("--compute-capability, --workspace and --tf32 are for engines; add --to tensorrt-rtx")
        if self.precision == "fp16" and not self.libraries:
            LOGGER.warning("on a CPU fp16 halves the file and nothing else: engines there compute it in FP32")
        for generator in generators:
            for size in self.sizes or ():
                check_size(size, generator.network)
        for library in self.libraries:
            load_library(library)

    def engine_options(self) -> EngineOptions:
        """Return what decides over engines."""
        assert self.sizes is not None, "checked before"
        smallest, commonest, largest = self.sizes
        profile = Profile(smallest=(1, *smallest), commonest=(1, *commonest), largest=(self.largest_batch, *largest))
        return EngineOptions(profile, self.tf32, self.workspace_mib, self.compute_capabilities)


@dataclass(frozen=True)
class Product:
    """A file that was made; the report is missing where it was not compared."""

    path: Path
    report: VerificationReport | None
    quantisation: "Quantisation | None" = None


def produce(generator: LoadedGenerator, request: Request, folder: Path, pictures: list[Path]) -> Iterator[Product]:
    """Write every target into `folder`, one after the other; each takes the place of an older one.

    Raises:
        CycleganError: whatever stands in the way, in one sentence.
    """
    with _graph_folder(request, folder) as place:
        path = place / f"{base_name(generator, request)}.onnx"
        metadata, quantisation = _write_graph(generator, request, path)
        report_path(path).unlink(missing_ok=True)  # it tells of the file that was here before
        report = None
        if request.verify:
            report = verify_artefact(path, generator, pictures)
        if "onnx" in request.targets:
            if report:
                record(report, path)
            yield Product(path, report, quantisation)
        for library in request.libraries:
            yield _produce_engine(generator, request, path, folder, metadata, library, report, pictures)


def base_name(generator: LoadedGenerator, request: Request) -> str:
    """Name a graph by what sets it apart: `NAME-AtoB-fp16`, then whatever is not the default."""
    parts = [generator.name, generator.direction, request.precision]
    parts += ["{}x{}".format(*request.pinned)] if request.pinned else []
    parts += [request.io] if request.io != "uint8" else []
    parts += [request.weights] if request.weights != "ema" else []
    return "-".join(parts)


@contextmanager
def _graph_folder(request: Request, folder: Path) -> Iterator[Path]:
    """Give the folder itself, or where the graph is only a step on the way, one that goes again."""
    with nullcontext(folder) if "onnx" in request.targets else tempfile.TemporaryDirectory() as place:
        yield Path(place)


def _write_graph(
    generator: LoadedGenerator, request: Request, path: Path
) -> "tuple[ArtefactMetadata, Quantisation | None]":
    if request.precision != "int8":
        precision: Precision = "fp16" if request.precision == "fp16" else "fp32"
        return export_onnx(generator, path, precision=precision, io=request.io, size=request.pinned), None
    from .quantize import quantise

    with tempfile.TemporaryDirectory() as place:
        full = Path(place) / path.name
        metadata = export_onnx(generator, full, io=request.io, size=request.pinned)
        pictures = _calibration_pictures(generator, request)
        found = quantise(full, path, metadata, pictures, keep_float=request.keep_float)
    return metadata.model_copy(update={"precision": "int8"}), found


def _calibration_pictures(generator: LoadedGenerator, request: Request) -> "Picture":
    """Read the calibration pictures at the size that the network was trained at, or is pinned to."""
    side = generator.config.data.crop_size
    height, width = request.pinned or (side, side)
    readable, notes = read_pictures(request.calibration, generator.input_nc, most=32)
    for note in notes:
        LOGGER.warning("%s", note)
    if not readable:
        raise InputError("none of the calibration pictures can be read; give another folder with --calibration")
    return np.stack([np.rint(resize(picture, (width, height))).astype(np.uint8) for picture in readable.values()])


def _produce_engine(
    generator: LoadedGenerator,
    request: Request,
    graph: Path,
    folder: Path,
    metadata: ArtefactMetadata,
    library: Library,
    of_graph: VerificationReport | None,
    pictures: list[Path],
) -> Product:
    """Build an engine and compare it; where it cannot run, the graph's comparison stands for it, and it says so."""
    path, _ = build_engine(graph, folder, metadata, request.engine_options(), library=library)
    report_path(path).unlink(missing_ok=True)
    if of_graph is None:
        return Product(path, None)
    try:
        open_backend(path).close()
    except BackendError as error:
        note = f"{path.name} was built and not run, its graph was compared instead: {error}"
        LOGGER.warning("%s", note)
        report = of_graph.model_copy(update={"notes": (*of_graph.notes, note)})
        save_report(report, report_path(path))
        return Product(path, report)
    report = verify_artefact(path, generator, pictures)
    record(report, path)
    return Product(path, report)
