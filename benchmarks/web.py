"""What a browser brings of a model's speed: WebAssembly on one and two threads, beside ONNX Runtime here, in one run.

    python benchmarks/web.py [ARTEFACT.onnx…] [--size 256] [--runs 30] [--threads 1 --threads 2]

Without artefacts the shipped examples are taken. WebGPU runs on Chromium's emulation, so its time says nothing: only
how far its pixels are from ONNX Runtime's is kept. Every engine gets the same noise, after three runs to warm up.
Results go to benchmarks/results/web.json and web.md. Needs a Chromium (Debian's will do).
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import onnx
from numpy.typing import NDArray

from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.web.browser import BrowserBackend, Engine, find_chromium
from cyclegan_edge.export.web.folder import WebModel, write_web
from cyclegan_edge.export.web.widen import widen
from cyclegan_edge.runtime.backends import open_backend
from cyclegan_edge.runtime.machine.doctor import machine

EXAMPLES = Path(__file__).parents[1] / "examples" / "flat2three"
RESULTS = Path(__file__).parent / "results"
WARM_UP = 3
Row = dict[str, Any]


@contextmanager
def page_of(path: Path) -> Iterator[Path]:
    """Write the page of an FP16 artefact, with its graph in FP32 beside it."""
    artefact = Artefact.open(path)
    with tempfile.TemporaryDirectory() as scratch:
        wide = Path(scratch) / "fp32.onnx"
        onnx.save(widen(onnx.load(path)), wide)
        model = WebModel("model", {"fp16": path, "fp32": wide}, artefact.metadata, usual=256)
        yield write_web([model], Path(scratch) / "page")


def compare(path: Path, picture: NDArray[np.uint8], runs: int, threads: Sequence[int], chromium: str) -> Iterator[Row]:
    """Give a row for each engine; those in a browser with how far they are from ONNX Runtime in FP32."""
    with closing(open_backend(path, backend="onnxruntime", device="cpu", precision="fp32")) as native:
        truth = native.infer(picture)
        yield {"engine": "onnxruntime", "ms": median_ms(native.infer, picture, runs), "max_lsb": 0, "psnr_db": None}
    with page_of(path) as page:
        for count in threads:
            with closing(open_in(chromium, page, "wasm", "fp16", count)) as browser:
                row = {"engine": browser.place, "ms": median_ms(browser.infer, picture, runs)}
                yield row | distance(browser.infer(picture), truth)
        with closing(open_in(chromium, page, "webgpu", "fp32", 1)) as browser:
            yield {"engine": browser.place, "ms": None} | distance(browser.infer(picture), truth)


def open_in(chromium: str, page: Path, engine: Engine, precision: str, threads: int) -> BrowserBackend:
    """Open the page's engine on so many threads at most."""
    return BrowserBackend(chromium, page, "model", engine, precision, threads=threads)


def distance(result: NDArray[np.uint8], truth: NDArray[np.uint8]) -> Row:
    """Return the largest difference in steps of a pixel, and the PSNR in dB, None where both are the same."""
    difference = result.astype(float) - truth
    error = float(np.square(difference).mean())
    return {"max_lsb": int(np.abs(difference).max()), "psnr_db": 10 * np.log10(255**2 / error) if error else None}


def median_ms(infer: Callable[[NDArray[np.uint8]], Any], picture: NDArray[np.uint8], runs: int) -> float:
    """Return the median milliseconds of a run; in a browser the way there and back over loopback is in it."""
    seconds = []
    for _ in range(WARM_UP + runs):
        began = time.perf_counter()
        infer(picture)
        seconds.append(time.perf_counter() - began)
    return 1000 * median(seconds[WARM_UP:])


def as_markdown(results: dict[str, list[Row]]) -> str:
    """Write the rows as a table."""
    lines = ["| artefact | engine | ms | max LSB | PSNR dB |", "|---|---|---:|---:|---:|"]
    for name, rows in results.items():
        for row in rows:
            ms = f"{row['ms']:.1f}" if row["ms"] else "-"
            psnr = f"{row['psnr_db']:.1f}" if row["psnr_db"] else "identical"
            lines.append(f"| {name} | {row['engine']} | {ms} | {row['max_lsb']} | {psnr} |")
    return "\n".join(lines) + "\n"


@click.command()
@click.argument("artefacts", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--size", default=256, show_default=True, help="Side of the picture.")
@click.option("--runs", default=30, show_default=True, help="Runs of each engine.")
@click.option("--threads", multiple=True, type=int, default=(1, 2), show_default=True, help="Of WebAssembly.")
def main(artefacts: Sequence[Path], size: int, runs: int, threads: Sequence[int]) -> None:
    """Measure every artefact, print the table and write it."""
    chromium = find_chromium()
    if chromium is None:
        raise click.ClickException("there is no Chromium; install it, on Debian with: apt install chromium")
    picture = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    paths = artefacts or sorted(EXAMPLES.glob("*AtoB-fp16.onnx"))
    results = {path.stem: list(compare(path, picture, runs, threads, chromium)) for path in paths}
    RESULTS.mkdir(exist_ok=True)
    content = {"machine": machine(), "size": size, "runs": runs, "results": results}
    (RESULTS / "web.json").write_text(json.dumps(content, indent=2) + "\n")
    (RESULTS / "web.md").write_text(as_markdown(results))
    click.echo(as_markdown(results))


if __name__ == "__main__":
    main()
