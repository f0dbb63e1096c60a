"""Export generators: write every target that was asked for, and compare it with PyTorch where it can run here."""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import onnx

from ..runtime.backends import available_backends, open_backend
from ..runtime.backends.engine_file import Library
from ..runtime.errors import BackendError
from ..runtime.metadata import ArtefactMetadata, Direction
from ..trainer.checkpoints.checkpoint import LoadedGenerator, load_generator
from .artefact import Artefact
from .engine import build_engine
from .graph.freeze_norm import freeze_norms
from .graph.norm_floor import floor_generator
from .graph.onnx_export import export_onnx, source_of, write_onnx
from .graph.picture_norm import norm_by_picture
from .pictures import named_pictures, verification_pictures
from .quantization.calibration import read_calibration
from .quantization.report import Quantisation
from .replaced import warn_of_replaced
from .request import Request
from .triton import model_path, write_model
from .verification.page import forget, save_beside
from .verification.report import VerificationReport
from .verification.verify import record, verify_artefact
from .web.folder import check_place
from .web.target import export_page

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Product:
    """A file that was made; `report` is None where it was not compared, `quantisation` where it is not INT8."""

    path: Path
    report: VerificationReport | None
    quantisation: Quantisation | None


def export_source(
    source: Path,
    directions: Sequence[Direction],
    request: Request,
    *,
    images: Path | None = None,
    output: Path | None = None,
) -> Iterator[Product]:
    """Export the generators of a run folder or checkpoint; each file is yielded when it is there.

    Everything that can be refused is refused before the first file is written. `images` is a folder of pictures to
    verify with, by default the dataset's held-out ones; `output` the folder to write to, by default the run's exports/,
    or for a file the current one.

    Raises:
        CycleganError: whatever stands in the way, in one sentence.
    """
    if request.verify and not available_backends():
        raise BackendError(
            'no engine is installed to verify with; install some with: pip install "cyclegan-edge[cpu]"',
            about=("verify",),
        )
    source = source.resolve()
    folder = output or (source / "exports" if source.is_dir() else Path())
    calibration = named_pictures(Path(request.calibration)) if request.calibration else []
    generators = [load_generator(source, direction, request.weights) for direction in directions]
    request.check(generators)
    for generator in generators if "web" in request.targets else ():
        check_place(_page_folder(folder, generator))
    pictures = [verification_pictures(images, generator) if request.verify else [] for generator in generators]
    for generator, held_out in zip(generators, pictures, strict=True):
        if request.batch_norm == "picture":
            generator = norm_by_picture(generator)
        if request.freeze_norm:
            generator = freeze_norms(generator, read_calibration(calibration, generator, request.pinned))
        if request.norm_floor:
            measured = read_calibration(calibration, generator, request.pinned)
            generator = floor_generator(generator, measured, request.norm_floor)
        yield from _produce(_Maker(generator, request, folder, held_out, calibration))


def _produce(maker: "_Maker") -> Iterator[Product]:
    """Write every target of one generator, one after the other; each replaces an older file of its name."""
    if set(maker.request.targets) != {"web"}:
        yield from _produce_files(maker)
    if "web" in maker.request.targets:
        yield _produce_page(maker)


def _produce_files(maker: "_Maker") -> Iterator[Product]:
    """Write an ONNX file, and what is made of it."""
    request = maker.request
    with tempfile.TemporaryDirectory() as scratch:
        folder = maker.folder if "onnx" in request.targets else Path(scratch)
        path = folder / f"{base_name(maker.generator, request)}.onnx"
        maker.make_way(path)
        graph = _Graph(path, *_write_graph(maker, path), maker)
        if "onnx" in request.targets:
            if graph.report:
                record(graph.report, graph.artefact)
            yield Product(path, graph.report, graph.quantisation)
        engines: dict[Library, Product] = {}
        of_engines = _mixed(graph, Path(scratch)) if request.precision == "int8" and request.libraries else graph
        for library in request.libraries:
            engines[library] = _produce_engine(maker, of_engines, library)
            yield engines[library]
        if "triton" in request.targets:
            yield _produce_triton(maker, graph, engines.get("tensorrt"))


def base_name(generator: LoadedGenerator, request: Request, *, precision: bool = True) -> str:
    """Name a graph by what sets it apart: `NAME-AtoB-fp16`, then whatever is not the default."""
    parts = [generator.name, generator.direction]
    parts += [request.precision] if precision else []
    parts += ["{}x{}".format(*request.pinned)] if request.pinned else []
    parts += [request.io] if request.io != "uint8" else []
    parts += ["frozen"] if request.freeze_norm else []
    parts += [f"floor{request.norm_floor:g}"] if request.norm_floor else []
    parts += ["picture"] if request.batch_norm == "picture" else []
    parts += [request.weights] if request.weights != "ema" else []
    return "-".join(parts)


@dataclass(frozen=True)
class _Maker:
    """What all targets of one generator share."""

    generator: LoadedGenerator
    request: Request
    folder: Path
    pictures: list[Path]
    calibration: list[Path]

    def make_way(self, path: Path) -> None:
        """Say which other checkpoint's file is replaced at `path`, and take away the reports on the older file."""
        warn_of_replaced(path, source_of(self.generator))
        forget(path)

    def verify(self, artefact: Artefact, quantisation: Quantisation | None) -> VerificationReport:
        """Compare an artefact with PyTorch."""
        report = verify_artefact(artefact, self.generator, self.pictures, calibration=self.calibration)
        return report.model_copy(update={"quantisation": quantisation})


@dataclass
class _Graph:
    """An ONNX file, which is opened and compared the first time that somebody asks."""

    path: Path
    metadata: ArtefactMetadata
    quantisation: Quantisation | None
    maker: _Maker

    @cached_property
    def artefact(self) -> Artefact:
        return Artefact.open(self.path)

    @cached_property
    def report(self) -> VerificationReport | None:
        return self.maker.verify(self.artefact, self.quantisation) if self.maker.request.verify else None


def _write_graph(maker: _Maker, path: Path) -> tuple[ArtefactMetadata, Quantisation | None]:
    generator, request = maker.generator, maker.request
    if request.precision != "int8":
        return export_onnx(generator, path, precision=request.precision, io=request.io, size=request.pinned), None
    from .quantization.int8 import quantise

    with tempfile.TemporaryDirectory() as scratch:
        full = Path(scratch) / path.name
        metadata = export_onnx(generator, full, io=request.io, size=request.pinned)
        pictures = read_calibration(maker.calibration, generator, request.pinned)
        quantisation = quantise(full, path, metadata, pictures, keep_float=request.keep_float)
    return metadata.model_copy(update={"precision": "int8"}), quantisation


def _mixed(graph: _Graph, scratch: Path) -> _Graph:
    """Write the INT8 graph that engines are built of: the rest of its chain is FP16, which a CPU would not compute."""
    from .quantization.int8_fp16 import mix

    maker = graph.maker
    half = scratch / "half.onnx"
    export_onnx(maker.generator, half, precision="fp16", io=maker.request.io, size=maker.request.pinned)
    path = scratch / f"{graph.path.stem}-fp16.onnx"
    write_onnx(mix(onnx.load(graph.path), onnx.load(half)), graph.metadata, path)
    return _Graph(path, graph.metadata, graph.quantisation, maker)


def _produce_engine(maker: _Maker, graph: _Graph, library: Library) -> Product:
    """Build an engine and compare it; where it cannot run, its graph is compared instead, and a note says so."""
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
    engine = Artefact.open(path)
    report = maker.verify(engine, graph.quantisation)
    record(report, engine)
    return Product(path, report, graph.quantisation)


def _produce_page(maker: _Maker) -> Product:
    """Write the page, or add the generator to the page of its other direction, and compare it in a browser."""
    folder = _page_folder(maker.folder, maker.generator)
    report = export_page(
        maker.generator,
        base_name(maker.generator, maker.request, precision=False),
        folder,
        size=maker.request.pinned,
        pictures=maker.pictures,
        calibration=maker.calibration,
        verify=maker.request.verify,
    )
    return Product(folder, report, None)


def _page_folder(folder: Path, generator: LoadedGenerator) -> Path:
    return folder / f"{generator.name}-web"


def _produce_triton(maker: _Maker, graph: _Graph, engine: Product | None) -> Product:
    """Put TensorRT's plan, or without one the graph, into the model repository; its comparison goes with it."""
    side = maker.generator.config.data.crop_size
    usual = maker.request.size_range[1] if maker.request.size_range else (side, side)
    path, report = (engine.path, engine.report) if engine else (graph.path, graph.report)
    maker.make_way(model_path(path, maker.folder))
    batch = maker.request.max_batch
    model = write_model(path, maker.folder, graph.metadata, max_batch=batch, usual=usual)
    if report and engine is None:
        record(report, replace(graph.artefact, path=model))
    elif report:
        save_beside(report, model)
    return Product(model, report, graph.quantisation)
