"""One generator becomes all the files that were asked for, each of them held against PyTorch where it can run here."""

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx

from ..runtime.backends import open_backend
from ..runtime.backends.engine_file import Library
from ..runtime.errors import BackendError
from ..runtime.metadata import ArtefactMetadata
from ..trainer.checkpoints.checkpoint import LoadedGenerator
from .engine import build_engine
from .graph.freeze_norm import freeze_norms
from .graph.onnx_export import export_onnx, write_onnx
from .graph.picture_norm import norm_by_picture
from .quantization.calibration import read_calibration
from .quantization.report import Quantisation
from .request import Request
from .triton import write_model
from .verification.page import forget, save_beside
from .verification.report import VerificationReport
from .verification.verify import record, verify_artefact

LOGGER = logging.getLogger(__name__)


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
        return export_onnx(generator, path, precision=request.precision, io=request.io, size=request.pinned), None
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
    batch = maker.request.max_batch
    path = write_model(artefact, maker.folder, graph.metadata, max_batch=batch, usual=usual)
    forget(path)
    if report and engine is None:
        record(report, path)
    elif report:
        save_beside(report, path)
    return Product(path, report, graph.quantisation)
