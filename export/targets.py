"""One generator becomes all the files that were asked for, each of them held against PyTorch where it can run here."""

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx

from ..runtime.backends import open_backend
from ..runtime.backends.engine_file import LIBRARY_NAMES, Library, Profile
from ..runtime.backends.trt_api import load_library
from ..runtime.contract import SizeRange
from ..runtime.errors import BackendError, UsageError
from ..runtime.metadata import IO, ArtefactMetadata, BatchNorm
from ..trainer.checkpoints.checkpoint import LoadedGenerator, Weights
from .engine import EngineOptions, build_engine
from .graph.freeze_norm import freeze_norms
from .graph.inference import Precision
from .graph.onnx_export import check_size, export_onnx, write_onnx
from .graph.picture_norm import norm_by_picture
from .quantization.calibration import read_calibration
from .quantization.report import Quantisation
from .triton import DEFAULT_BATCH, write_model
from .verification.page import forget, save_beside
from .verification.report import VerificationReport
from .verification.verify import record, verify_artefact

LOGGER = logging.getLogger(__name__)

LIBRARIES: dict[str, Library] = {name: library for library, name in LIBRARY_NAMES.items()}


@dataclass(frozen=True)
class Request:
    """What shall be made of a generator, as the options of `cyclegan export` say it."""

    targets: tuple[str, ...]
    precision: str
    io: IO
    weights: Weights
    sizes: SizeRange | None
    batch_size: int | None
    tf32: bool
    workspace_mib: int | None
    compute_capabilities: tuple[str, ...]
    calibration: tuple[Path, ...]
    keep_float: int
    freeze_norm: bool
    batch_norm: BatchNorm
    verify: bool

    @property
    def libraries(self) -> list[Library]:
        """The libraries that engines are built with."""
        return [LIBRARIES[target] for target in self.targets if target in LIBRARIES]

    @property
    def largest_batch(self) -> int:
        """The largest batch of an engine, and the largest that Triton puts together."""
        return self.batch_size or (DEFAULT_BATCH if "triton" in self.targets else 1)

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
        if self.freeze_norm and not self.calibration:
            raise UsageError(
                "--freeze-norm needs pictures to take the statistics of; give a folder, such as --calibration trainA"
            )
        if self.precision != "int8" and self.keep_float:
            raise UsageError("--keep-float belongs to --precision int8; leave it out, or add that")
        if self.calibration and not (self.freeze_norm or self.precision == "int8"):
            raise UsageError(
                "--calibration is for --precision int8 and --freeze-norm; leave it out, or add one of them"
            )
        if not self.libraries and (self.compute_capabilities or self.workspace_mib or self.tf32):
            raise UsageError("--compute-capability, --workspace and --tf32 are for engines; add --to tensorrt-rtx")
        if self.batch_size and not self.libraries and "triton" not in self.targets:
            raise UsageError("--batch-size is for engines and for Triton; an ONNX file takes any batch, leave it out")
        if self.precision == "fp16" and self.targets == ("onnx",):
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
    quantisation: Quantisation | None


@dataclass(frozen=True)
class _Maker:
    """Makes every target of one generator."""

    generator: LoadedGenerator
    request: Request
    folder: Path
    pictures: list[Path]

    def verify(self, path: Path, quantisation: Quantisation | None) -> VerificationReport | None:
        """Compare an artefact with PyTorch, if that was asked for."""
        if not self.request.verify:
            return None
        report = verify_artefact(path, self.generator, self.pictures, calibration=self.request.calibration)
        return report.model_copy(update={"quantisation": quantisation})


@dataclass
class _Graph:
    """An ONNX file, which is compared the first time that somebody asks."""

    path: Path
    metadata: ArtefactMetadata
    quantisation: Quantisation | None
    maker: _Maker

    @cached_property
    def report(self) -> VerificationReport | None:
        return self.maker.verify(self.path, self.quantisation)


def produce(generator: LoadedGenerator, request: Request, folder: Path, pictures: list[Path]) -> Iterator[Product]:
    """Write every target into `folder`, one after the other; each takes the place of an older one.

    Raises:
        CycleganError: whatever stands in the way, in one sentence.
    """
    if request.batch_norm == "picture":
        generator = norm_by_picture(generator)
    if request.freeze_norm:
        generator = freeze_norms(generator, read_calibration(request.calibration, generator, request.pinned))
    maker = _Maker(generator, request, folder, pictures)
    with tempfile.TemporaryDirectory() as place:
        path = (folder if "onnx" in request.targets else Path(place)) / f"{base_name(generator, request)}.onnx"
        metadata, quantisation = _write_graph(generator, request, path)
        forget(path)
        graph = _Graph(path, metadata, quantisation, maker)
        if "onnx" in request.targets:
            if graph.report:
                record(graph.report, path)
            yield Product(path, graph.report, quantisation)
        engines: dict[Library, Product] = {}
        of_engines = _mixed(graph, Path(place)) if request.precision == "int8" and request.libraries else graph
        for library in request.libraries:
            engines[library] = _produce_engine(maker, of_engines, library)
            yield engines[library]
        if "triton" in request.targets:
            yield _produce_triton(maker, graph, engines.get("tensorrt"))


def base_name(generator: LoadedGenerator, request: Request) -> str:
    """Name a graph by what sets it apart: `NAME-AtoB-fp16`, then whatever is not the default."""
    parts = [generator.name, generator.direction, request.precision]
    parts += ["{}x{}".format(*request.pinned)] if request.pinned else []
    parts += [request.io] if request.io != "uint8" else []
    parts += ["frozen"] if request.freeze_norm else []
    parts += ["picture"] if request.batch_norm == "picture" else []
    parts += [request.weights] if request.weights != "ema" else []
    return "-".join(parts)


def _write_graph(
    generator: LoadedGenerator, request: Request, path: Path
) -> tuple[ArtefactMetadata, Quantisation | None]:
    if request.precision != "int8":
        precision: Precision = "fp16" if request.precision == "fp16" else "fp32"
        return export_onnx(generator, path, precision=precision, io=request.io, size=request.pinned), None
    from .quantization.int8 import quantise

    with tempfile.TemporaryDirectory() as place:
        full = Path(place) / path.name
        metadata = export_onnx(generator, full, io=request.io, size=request.pinned)
        pictures = read_calibration(request.calibration, generator, request.pinned)
        found = quantise(full, path, metadata, pictures, keep_float=request.keep_float)
    return metadata.model_copy(update={"precision": "int8"}), found


def _mixed(graph: _Graph, place: Path) -> _Graph:
    """Write the INT8 graph that engines are built of: the rest of its chain is FP16, which a CPU would not compute."""
    from .quantization.int8_fp16 import mix

    maker = graph.maker
    half = place / "half.onnx"
    export_onnx(maker.generator, half, precision="fp16", io=maker.request.io, size=maker.request.pinned)
    path = place / f"{graph.path.stem}-fp16.onnx"
    write_onnx(mix(onnx.load(graph.path), onnx.load(half)), graph.metadata, path)
    return _Graph(path, graph.metadata, graph.quantisation, maker)


def _produce_engine(maker: _Maker, graph: _Graph, library: Library) -> Product:
    """Build an engine and compare it; where it cannot run, the graph's comparison stands for it, and it says so."""
    options = maker.request.engine_options()
    path, _ = build_engine(graph.path, maker.folder, graph.metadata, options, library=library)
    forget(path)
    if not maker.request.verify:
        return Product(path, None, graph.quantisation)
    try:
        open_backend(path).close()
    except BackendError as error:
        note = f"{path.name} was built and not run, its graph was compared instead: {error}"
        LOGGER.warning("%s", note)
        assert graph.report
        report = graph.report.model_copy(update={"notes": (*graph.report.notes, note)})
        save_beside(report, path)
        return Product(path, report, graph.quantisation)
    of_engine = maker.verify(path, graph.quantisation)
    assert of_engine
    record(of_engine, path)
    return Product(path, of_engine, graph.quantisation)


def _produce_triton(maker: _Maker, graph: _Graph, engine: Product | None) -> Product:
    """Put the plan of TensorRT into the model repository, or where there is none the graph; its comparison goes too."""
    side = maker.generator.config.data.crop_size
    usual = maker.request.sizes[1] if maker.request.sizes else (side, side)
    artefact, report = (engine.path, engine.report) if engine else (graph.path, graph.report)
    batch = maker.request.largest_batch
    path = write_model(artefact, maker.folder, graph.metadata, largest_batch=batch, usual=usual)
    forget(path)
    if report and engine is None:
        record(report, path)
    elif report:
        save_beside(report, path)
    return Product(path, report, graph.quantisation)
