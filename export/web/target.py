"""Export a generator as a page: FP16 and FP32 side by side, then compare what a browser makes of them with PyTorch."""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from ...runtime.contract import Size
from ...runtime.errors import BackendError
from ...runtime.machine.chromium import find_chromium
from ...trainer.checkpoints.checkpoint import LoadedGenerator
from ..artefact import Artefact
from ..graph.onnx_export import export_onnx
from ..replaced import warn_of_replaced
from ..verification.compare import OpenArtefact
from ..verification.page import remove, save_page
from ..verification.report import VerificationReport, save_report
from ..verification.verify import verify_artefact
from .browser import BrowserBackend, Engine
from .folder import WebModel, store_verification, write_web
from .libraries import library
from .manifest import PagePrecision, read_manifest

LOGGER = logging.getLogger(__name__)

# FP16 halves what WebAssembly fetches, and FP32 is for graphics processors without shader-f16. WebGPU is compared on
# the browser's own emulation, which lacks that too, and takes minutes for a second's work of a processor.
PRECISIONS: tuple[PagePrecision, ...] = ("fp16", "fp32")


def export_page(
    generator: LoadedGenerator,
    name: str,
    folder: Path,
    *,
    size: Size | None,
    pictures: Sequence[Path],
    calibration: Sequence[Path],
    verify: bool,
) -> VerificationReport | None:
    """Write the page of a generator into `folder`, under `name` beside the models that are there; compare it.

    The report lies beside the folder, as `NAME-web.verify.json` and `.html`, and its summary in models.json. Without a
    browser the FP16 file is compared in the engines that are installed here, and a note says so.

    Raises:
        CycleganError: whatever stands in the way, in one sentence.
    """
    beside = {suffix: folder.parent / f"{name}-web.verify.{suffix}" for suffix in ("json", "html")}
    with tempfile.TemporaryDirectory() as scratch:
        files: dict[PagePrecision, Path] = {
            precision: Path(scratch) / f"{name}-{precision}.onnx" for precision in PRECISIONS
        }
        metadata = export_onnx(generator, files["fp16"], precision="fp16", size=size)
        export_onnx(generator, files["fp32"], precision="fp32", size=size)
        model = WebModel(name, files, metadata, usual=max(size) if size else generator.config.data.crop_size)
        remove(*beside.values())
        warn_of_replaced(folder / "models" / files["fp16"].name, metadata.source)
        write_web([model], folder)
        if not verify:
            return None
        report = compare_page(model, folder, generator, pictures, calibration)
        store_verification(report.summary(), name, folder)
    save_report(report, beside["json"])
    save_page(report, beside["html"])
    return report


def page_models(folder: Path) -> list[WebModel]:
    """Return the models of a page.

    Raises:
        ArtefactError: its description or a model is missing or damaged.
    """
    models = []
    for published in read_manifest(folder).models:
        files: dict[PagePrecision, Path] = {
            precision: folder / file.path for precision, file in published.files.items()
        }
        metadata = Artefact.open(files.get("fp16") or files["fp32"]).metadata
        models.append(WebModel(published.name, files, metadata, published.usual))
    return models


def compare_page(
    model: WebModel,
    folder: Path,
    generator: LoadedGenerator,
    pictures: Sequence[Path],
    calibration: Sequence[Path],
) -> VerificationReport:
    """Compare every engine of the page with PyTorch in a browser, or without one the FP16 file in what is here.

    Raises:
        BackendError: the browser or its WebAssembly failed; WebGPU that fails is left out, and a note says so.
    """
    artefacts = {precision: Artefact.open(path) for precision, path in model.files.items()}
    smallest = artefacts.get("fp16") or artefacts["fp32"]
    chromium = find_chromium()
    if chromium is None:
        note = f"{folder.name} is unproven here: there is no Chromium, and {smallest.path.name} was compared instead"
        LOGGER.warning("%s", note)
        report = verify_artefact(smallest, generator, pictures, calibration=calibration)
        return report.model_copy(update={"artefact": folder.name, "notes": (*report.notes, note)})
    places: dict[str, str] = {}

    def opened(engine: Engine, precision: str) -> Iterator[OpenArtefact]:
        with closing(BrowserBackend(chromium, folder, model.name, engine, precision)) as backend:
            places[engine] = backend.place
            yield OpenArtefact(backend, None)

    verify = partial(verify_artefact, generator=generator, pictures=pictures, calibration=calibration)
    reports = [verify(smallest, engines=opened("wasm", smallest.metadata.precision))]
    try:
        if "fp32" not in artefacts:
            raise BackendError("there is no FP32 file for an adapter without shader-f16")
        reports.append(verify(artefacts["fp32"], engines=opened("webgpu", "fp32"), brief=True))
    except BackendError as error:
        note = f"WebGPU is unproven here: {error}"
        LOGGER.warning("%s", note)
        reports[0] = reports[0].model_copy(update={"notes": (*reports[0].notes, note)})
    return _merged(folder.name, reports, places)


def _merged(name: str, reports: list[VerificationReport], places: dict[str, str]) -> VerificationReport:
    """Put the reports of a page's files into one; its checksum is that of the FP16 file, as in models.json."""
    first = reports[0]
    missed = next((report for report in reports if not report.passed), first)
    return first.model_copy(
        update={
            "artefact": name,
            "passed": missed.passed,
            "notes": tuple(dict.fromkeys(note for report in reports for note in report.notes)),
            "comparisons": tuple(row for report in reports for row in report.comparisons),
            "divergences": tuple(each for report in reports for each in report.divergences),
            "machine": first.machine | places,
            "producer": first.producer | {"onnxruntime-web": library("onnxruntime-web").version},
            "worst": missed.worst,
        }
    )
