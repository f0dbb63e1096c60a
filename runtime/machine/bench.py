"""How fast the engines of this machine run an artefact: from a cold start, alone, and from picture to picture."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import numpy as np

from ..backends import ENGINES, open_backend
from ..backends.interface import read_interface
from ..backends.probe import has_gpu
from ..contract import Picture, Size
from ..errors import ArtefactError, CycleganError
from ..translator import Translator, load

LOGGER = logging.getLogger(__name__)

DEFAULT_SIZE = (256, 256)
WARM_UP = 3  # runs that are not counted
FEWEST = 10  # runs that are, however long they take


@dataclass(frozen=True)
class Case:
    """One artefact on one engine and device."""

    artefact: Path
    backend: str
    device: str  # "cpu", "cuda", "cuda:1"
    size: Size | None  # of the pictures; None: the artefact's own, else `DEFAULT_SIZE`
    seconds: float  # that each of the two measurements lasts
    batch_size: int = 1  # pictures that run together


@dataclass(frozen=True)
class Latency:
    """The times of many runs, each of one batch."""

    runs: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    fps: float  # pictures a second, one run after the other


@dataclass(frozen=True)
class Result:
    """What came of a case: its numbers, or the error that stopped it."""

    artefact: str
    backend: str
    device: str
    precision: str = ""
    size: Size | None = None  # of the pictures
    batch_size: int = 1
    cold_ms: float = 0.0  # from an engine not yet imported to the first translated picture
    engine: Latency | None = None  # the engine alone, on a picture that is prepared already
    end_to_end: Latency | None = None  # from an RGB picture to its translation: prepare, engine, finish
    error: str = ""


def find_cases(
    artefact: Path,
    *,
    backend: str,
    device: str,
    size: Size | None,
    seconds: float,
    batch_sizes: Sequence[int] = (1,),
) -> list[Case]:
    """List the engines installed here that read an artefact, on each of their devices that is present.

    Raises:
        UsageError, ArtefactError, BackendError: none does; the message says what to install or to name.
    """
    kinds = {"cpu"} | ({"cuda"} if has_gpu() else set())
    cases = [
        Case(artefact, engine.name, kind if device == "auto" else device, size, seconds, batch_size)
        for engine in ENGINES
        if engine.installed and artefact.is_file() and engine.reads(artefact) and backend in ("auto", engine.name)
        for kind in engine.extras
        if (kind in kinds if device == "auto" else kind == device.partition(":")[0])
        for batch_size in batch_sizes
    ]
    if not cases or not artefact.is_file():
        open_backend(artefact, backend=backend, device=device).close()
        raise ArtefactError(f"no engine here runs {artefact}; see: cyclegan doctor")
    return cases


def bench(cases: list[Case]) -> Iterator[Result]:
    """Measure each case in a process of its own, so that starts are cold and no engine's threads disturb another."""
    for case in cases:
        LOGGER.info("measuring %s in %s on %s", case.artefact.name, case.backend, case.device)
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
            try:
                yield pool.submit(measure, case).result()
            except BrokenProcessPool:
                yield Result(case.artefact.name, case.backend, case.device, error="the engine crashed its process")


def measure(case: Case) -> Result:
    """Measure one case in this process."""
    try:
        return _measure(case)
    except CycleganError as error:
        return Result(case.artefact.name, case.backend, case.device, error=str(error))


def _measure(case: Case) -> Result:
    start = perf_counter()
    translator = load(case.artefact, backend=case.backend, device=case.device)
    pinned = read_interface(translator.backend, translator.metadata, case.artefact).size
    size = case.size or pinned or DEFAULT_SIZE
    if pinned not in (None, size):
        translator = Translator(translator.backend, case.artefact, fit="stretch")
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    with translator:
        translator(picture)
        cold = perf_counter() - start
        pictures: Picture = np.stack([picture] * case.batch_size)
        prepared: Picture = np.stack([translator.prepare(picture)] * case.batch_size)
        return Result(
            artefact=case.artefact.name,
            backend=translator.backend.name,
            device=translator.backend.device,
            precision=translator.backend.precision,
            size=size,
            batch_size=case.batch_size,
            cold_ms=cold * 1000,
            engine=timed(lambda: translator.infer(prepared), case.seconds, case.batch_size),
            end_to_end=timed(lambda: translator.translate_batch(pictures), case.seconds, case.batch_size),
        )


def timed(run: Callable[[], object], seconds: float, pictures: int = 1) -> Latency:
    """Call `run`, on so many pictures each time, for some seconds; at least `FEWEST` times, and `WARM_UP` before."""
    for _ in range(WARM_UP):
        run()
    times: list[float] = []
    end = perf_counter() + seconds
    while len(times) < FEWEST or perf_counter() < end:
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    p50, p90, p99 = np.percentile(times, (50, 90, 99)) * 1000
    return Latency(len(times), float(p50), float(p90), float(p99), pictures * len(times) / sum(times))
