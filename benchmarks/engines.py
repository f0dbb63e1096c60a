"""Every engine beside PyTorch, in one table: how fast, how large, how near to FP32.

    python benchmarks/engines.py [SOURCE] [--quick] [--batches]

SOURCE is what `cyclegan export` takes; without it, an untrained resnet_9blocks shows the speed, and no PSNR worth the
name. Each row runs in a process of its own: cold is from an engine not yet opened to its first batch, compiling
included; memory the peak beyond what the process took before. PSNR is the lowest of four emoji against PyTorch in FP32.
--batches compares ways to keep a CPU busy: one big batch or several requests, OpenVINO's hints, and numbers of threads.
Of few runs, the p99 is the slowest. Results go to benchmarks/results/, as JSON and as Markdown.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from cyclegan_edge.export.graph.inference import InferenceGenerator
from cyclegan_edge.export.graph.onnx_export import export_onnx
from cyclegan_edge.export.quantization.int8 import quantise
from cyclegan_edge.runtime.backends import open_backend
from cyclegan_edge.runtime.contract import Picture
from cyclegan_edge.runtime.errors import CycleganError
from cyclegan_edge.runtime.machine.doctor import machine
from cyclegan_edge.trainer.checkpoints.checkpoint import LoadedGenerator, load_generator
from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.evaluation.similarity import psnr
from cyclegan_edge.trainer.networks.build import build_generator, init_weights

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SHAPES = ((256, 1), (256, 8), (512, 1), (512, 8))  # side, batch
WORDS = {"PERFORMANCE_HINT": "hint", "NUM_STREAMS": "streams", "INFERENCE_NUM_THREADS": "threads"}
FEWEST = 3  # batches that a row measures, however long they take
# What is run: name of the row → (engine, precision, file).
ROWS = {
    "PyTorch eager fp32": ("torch", "fp32", None),
    "torch.compile fp32": ("compile", "fp32", None),
    "torch.compile bf16": ("compile", "bf16", None),
    "ONNX Runtime fp32": ("onnxruntime", "fp32", "fp32"),
    "ONNX Runtime int8": ("onnxruntime", "auto", "int8"),
    "OpenVINO fp32": ("openvino", "fp32", "fp32"),
    "OpenVINO bf16": ("openvino", "bf16", "fp32"),
    "OpenVINO int8": ("openvino", "auto", "int8"),
}
ON_CUDA = {
    "PyTorch eager fp32, CUDA": ("torch-cuda", "fp32", None),
    "ONNX Runtime fp32, CUDA": ("onnxruntime-cuda", "fp32", "fp32"),
    "ONNX Runtime fp16, CUDA": ("onnxruntime-cuda", "auto", "fp16"),
}

Translate = Callable[[Picture], Picture]
Step = tuple[Any, ...]  # a function that measures a row, and its arguments


@dataclass(frozen=True)
class Row:
    """One engine on one size and batch; times are of a batch, frames a second of single pictures."""

    engine: str
    side: int
    batch: int
    cold_ms: float = 0.0
    p50_ms: float = 0.0
    p90_ms: float = 0.0
    p99_ms: float = 0.0
    fps: float = 0.0
    memory_mib: float = 0.0
    file_mib: float | None = None
    psnr_db: float | None = None
    runs: int = 0
    error: str = ""


@dataclass(frozen=True)
class Files:
    """The generator in every precision, and as it was trained; `None` stands for the untrained one."""

    source: Path | None
    folder: Path

    def path(self, precision: str) -> Path:
        """The artefact of a precision."""
        return self.folder / f"{precision}.onnx"

    def write_truth(self, side: int) -> None:
        """Translate the emoji of a size with PyTorch in FP32, once for all rows."""
        translate = InferenceGenerator(self.generator().network).translate
        np.save(self.folder / f"{side}.npy", np.concatenate([translate(picture[None]) for picture in emoji(side)]))

    def worst_psnr_db(self, translate: Translate, side: int) -> float:
        """Compare the emoji one by one with that translation."""
        truth = np.load(self.folder / f"{side}.npy")
        return min(psnr(translate(one[None]), true[None]) for one, true in zip(emoji(side), truth, strict=True))

    def generator(self) -> LoadedGenerator:
        """Load the generator AtoB, or make an untrained one, always the same."""
        if self.source:
            return load_generator(self.source, "AtoB")
        config = resolve_config({})
        torch.manual_seed(0)
        network = build_generator(config.networks, 3, 3)
        init_weights(network, "normal", 0.02)
        return LoadedGenerator(network.eval(), config, "AtoB", "raw", "untrained", None, "0" * 64, 3, 3)


def emoji(side: int, folder: str = "testA", most: int = 4) -> Picture:
    """Return emoji, uint8 [N, side, side, 3]."""
    paths = sorted((ROOT / "examples" / "emoji" / folder).iterdir())[:most]
    return np.stack([np.asarray(Image.open(path).convert("RGB").resize((side, side))) for path in paths])


def memory_mib(what: str) -> float:
    """Return what Linux says of this process: VmRSS now, VmHWM at most; 0 on other systems."""
    status = Path("/proc/self/status")
    found = re.search(rf"^{what}:\s+(\d+) kB", status.read_text(), flags=re.MULTILINE) if status.exists() else None
    return int(found[1]) / 1024 if found else 0.0


def open_engine(name: str, files: Files) -> Translate:
    """Load an engine by the name of its row."""
    engine, precision, file = (ROWS | ON_CUDA)[name]
    if file is not None:
        library, _, device = engine.partition("-")
        backend = open_backend(files.path(file), backend=library, device=device or "cpu", precision=precision)  # type: ignore[arg-type]
        return backend.infer
    network = InferenceGenerator(files.generator().network).eval()
    device = "cuda" if engine.endswith("cuda") else "cpu"
    network.to(device)
    run = torch.compile(network) if engine == "compile" else network

    def translate(batch: Picture) -> NDArray[np.uint8]:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            result: NDArray[np.uint8] = run(torch.from_numpy(batch).to(device)).cpu().numpy()
            return result

    return translate


def measure(name: str, side: int, batch: int, files: Files, seconds: float) -> Row:
    """Measure one row in this process; an engine that is not here becomes its error."""
    pictures = emoji(side)
    given = np.concatenate([pictures] * 2)[:batch]
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(files.folder / name.replace(" ", "-"))  # empty; g++ takes no spaces
    memory = memory_mib("VmRSS")
    start = perf_counter()
    try:
        translate = open_engine(name, files)
        translate(given)
        cold = perf_counter() - start
        times: list[float] = []
        end = perf_counter() + seconds
        while len(times) < FEWEST or perf_counter() < end:
            before = perf_counter()
            translate(given)
            times.append(perf_counter() - before)
        memory = memory_mib("VmHWM") - memory
        near = files.worst_psnr_db(translate, side) if batch == 1 else None
    except CycleganError as error:
        return Row(name, side, batch, error=str(error))
    p50, p90, p99 = (float(value) for value in np.percentile(times, (50, 90, 99)) * 1000)
    file = (ROWS | ON_CUDA)[name][2]
    size = files.path(file).stat().st_size / 2**20 if file else None
    fps = batch * len(times) / sum(times)
    return Row(name, side, batch, cold * 1000, p50, p90, p99, fps, memory, size, near, len(times))


def measure_requests(files: Files, side: int, options: dict[str, str], batch: int, seconds: float) -> Row:
    """Measure OpenVINO under some options with as many requests in flight as it then advises, each of a batch.

    The milliseconds are what one request waits; frames a second are of all together.
    """
    import openvino as ov

    core = ov.Core()
    start = perf_counter()
    compiled = core.compile_model(core.read_model(files.path("fp32")), "CPU", options)
    requests = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    queue = ov.AsyncInferQueue(compiled, requests)
    given = np.concatenate([emoji(side)] * 2)[:batch]
    queue.start_async({0: given})
    queue.wait_all()
    cold = perf_counter() - start
    done, begin = 0, perf_counter()
    while done < FEWEST * requests or perf_counter() - begin < seconds:
        queue.start_async({0: given})
        done += 1
    queue.wait_all()
    took = perf_counter() - begin
    told = ", ".join(f"{WORDS[key]} {value}" for key, value in options.items())
    name = f"OpenVINO, {told}: {requests} at once"
    wait = 1000 * took * requests / done
    return Row(name, side, batch, cold_ms=cold * 1000, p50_ms=wait, fps=done * batch / took, runs=done)


def measure_threads(files: Files, side: int, threads: int, batch: int, seconds: float) -> Row:
    """Measure ONNX Runtime on so many threads."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    start = perf_counter()
    session = ort.InferenceSession(str(files.path("fp32")), options, providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: np.concatenate([emoji(side)] * 2)[:batch]}
    session.run(None, given)
    cold = perf_counter() - start
    done, begin = 0, perf_counter()
    while done < FEWEST or perf_counter() - begin < seconds:
        session.run(None, given)
        done += 1
    took = perf_counter() - begin
    name = f"ONNX Runtime, threads {threads}"
    return Row(name, side, batch, cold_ms=cold * 1000, p50_ms=1000 * took / done, fps=done * batch / took, runs=done)


def plan_batches(files: Files, batches: tuple[int, ...], seconds: float) -> list[Step]:
    """Export, and list what compares streams, threads and batches."""
    export_all(files, {"fp32"})
    cores = os.cpu_count() or 1
    ways = [{"PERFORMANCE_HINT": hint} for hint in ("LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT")]
    ways += [
        {"NUM_STREAMS": str(streams), "INFERENCE_NUM_THREADS": str(threads)}
        for streams, threads in sorted({(1, max(1, cores // 2)), (1, cores), (2, cores), (cores, cores)})
    ]
    steps: list[Step] = [(measure_requests, files, 256, way, batch, seconds) for batch in batches for way in ways]
    threads = sorted({max(1, cores // 2), cores, 2 * cores})
    return steps + [(measure_threads, files, 256, number, batch, seconds) for batch in batches for number in threads]


def plan_engines(files: Files, shapes: tuple[tuple[int, int], ...], seconds: float, full: bool) -> list[Step]:
    """Export, and list every engine at every shape; compiling takes a minute, so it is measured at the first only."""
    rows = ROWS | (ON_CUDA if torch.cuda.is_available() else {})
    export_all(files, {file for _, _, file in rows.values() if file})
    for side in {side for side, _ in shapes}:
        files.write_truth(side)
    return [
        (measure, name, side, batch, files, seconds)
        for side, batch in shapes
        for name in rows
        if full or (side, batch) == shapes[0] or "compile" not in name
    ]


def apart(work: Callable[..., Row], *arguments: object) -> Row:
    """Measure in a process started by itself: in one of multiprocessing's, OpenVINO was seen to use one core of two."""
    files = next(argument for argument in arguments if isinstance(argument, Files))
    plain = [None if argument is files else argument for argument in arguments]
    asked = json.dumps([work.__name__, str(files.source) if files.source else None, str(files.folder), plain])
    done = subprocess.run([sys.executable, __file__, "--row", asked], stdout=subprocess.PIPE, text=True, check=True)
    return Row(**json.loads(done.stdout.splitlines()[-1]))


def measure_asked(asked: str) -> Row:
    """Do in this process what `apart` asked for."""
    work, source, folder, plain = json.loads(asked)
    files = Files(Path(source) if source else None, Path(folder))
    works = {"measure": measure, "measure_requests": measure_requests, "measure_threads": measure_threads}
    return works[work](*(files if argument is None else argument for argument in plain))


def export_all(files: Files, precisions: set[str]) -> None:
    """Write the artefacts that the rows read; FP32, from which INT8 is made, always."""
    generator = files.generator()
    metadata = export_onnx(generator, files.path("fp32"))
    if "int8" in precisions:
        quantise(files.path("fp32"), files.path("int8"), metadata, emoji(128, "trainA", 8))
    if "fp16" in precisions:
        export_onnx(generator, files.path("fp16"), precision="fp16")


def table(rows: list[Row], source: str) -> Iterator[str]:
    """Lay the rows out as Markdown, each against PyTorch eager at its size and batch."""
    yield " · ".join(f"{key} {value}" for key, value in machine().items()) + f" · {source}"
    yield ""
    eager = {(row.side, row.batch): row.p50_ms for row in rows if row.engine == "PyTorch eager fp32"}
    heads = ["engine", "size", "batch", "cold ms", "p50", "p90", "p99", "frames/s", "runs", "x eager"]
    heads += ["memory MiB", "file MiB", "PSNR dB"]
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        if row.error:
            yield f"| {row.engine} | {row.side} | {row.batch} | {row.error} |" + " |" * 9
            continue
        base = eager.get((row.side, row.batch))
        cells = (
            [row.engine, f"{row.side}", f"{row.batch}", f"{row.cold_ms:.0f}"]
            + [f"{value:.1f}" if value else "-" for value in (row.p50_ms, row.p90_ms, row.p99_ms, row.fps)]
            + [
                f"{row.runs}",
                f"{base / row.p50_ms:.1f}" if base else "-",
                f"{row.memory_mib:.0f}" if row.memory_mib else "-",
            ]
            + ["-" if value is None else f"{value:.1f}" for value in (row.file_mib, row.psnr_db)]
        )
        yield "| " + " | ".join(cells) + " |"


@click.command()
@click.argument("source", required=False, type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="256x256 and batch 1 only, a second each.")
@click.option("--full", is_flag=True, help="Compile every shape, not only the first: half an hour.")
@click.option("--batches", is_flag=True, help="Compare streams, threads and batches instead.")
@click.option("--output", default=RESULTS, type=click.Path(path_type=Path), help="Folder for the results.")
@click.option("--row", hidden=True, help="Measure only this, and print it.")
def main(source: Path | None, quick: bool, full: bool, batches: bool, output: Path, row: str | None) -> None:
    """Measure, print the table, and store it with what it was measured on."""
    if row:
        click.echo(json.dumps(asdict(measure_asked(row))))
        return
    seconds = 1.0 if quick else 2.0
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        files = Files(source, Path(folder))
        if batches:
            steps = plan_batches(files, (1,) if quick else (1, 8), seconds)
        else:
            steps = plan_engines(files, SHAPES[:1] if quick else SHAPES, seconds, full)
        for step in steps:
            rows.append(apart(*step))
            click.echo(f"{rows[-1].engine} {rows[-1].side} {rows[-1].batch}: {rows[-1].p50_ms:.1f} ms", err=True)
    name = source.name if source else "resnet_9blocks, untrained"
    lines = "\n".join(table(rows, name))
    click.echo(lines)
    output.mkdir(parents=True, exist_ok=True)
    stem = f"engines{'-batches' if batches else ''}{'-quick' if quick else ''}"
    told = {"machine": machine(), "source": name, "rows": [asdict(row) for row in rows]}
    (output / f"{stem}.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    (output / f"{stem}.md").write_text(lines + "\n", encoding="utf-8")
    click.echo(f"written to {output / stem}.json and .md", err=True)


if __name__ == "__main__":
    main()
