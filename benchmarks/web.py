"""What a browser brings of a model's speed: WebAssembly on one and two threads, beside ONNX Runtime here, in one run.

    python benchmarks/web.py [ARTEFACT.onnx…] [--size 256] [--runs 30] [--threads 1 --threads 2]
    python benchmarks/web.py --parity

Without artefacts the shipped examples are taken. WebGPU runs on Chromium's emulation, so its time says nothing: only
how far its pixels are from ONNX Runtime's is kept. Every engine gets the same noise, after three runs to warm up.
Results go to benchmarks/results/web.json and web.md. Needs a Chromium (Debian's will do).

--parity times nothing, so the machine may be busy: it compares the pixels of noise and of emoji, for the shipped
examples and an untrained resnet_9blocks. Its results are web-parity.json and web-parity.md.
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
from cyclegan_edge.export.graph.onnx_export import export_onnx
from cyclegan_edge.export.untrained import untrained_generator
from cyclegan_edge.export.web.browser import BrowserBackend, Engine
from cyclegan_edge.export.web.folder import WebModel, write_web
from cyclegan_edge.export.web.widen import widen
from cyclegan_edge.runtime.backends import open_backend
from cyclegan_edge.runtime.machine.chromium import find_chromium
from cyclegan_edge.runtime.machine.doctor import machine
from cyclegan_edge.trainer.config import TrainConfig
from cyclegan_edge.trainer.data.pictures import decode_picture

EXAMPLES = Path(__file__).parents[1] / "examples" / "flat2three"
RESULTS = Path(__file__).parent / "results"
WARM_UP = 3
EMOJI = EXAMPLES.parent / "emoji" / "testA"
# By engine: the file it runs, and the side of the pictures; emulated WebGPU takes seconds for a small one.
PARITY: dict[Engine, tuple[str, int]] = {"wasm": ("fp16", 256), "webgpu": ("fp32", 64)}
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


def parity(path: Path, name: str, chromium: str) -> Iterator[Row]:
    """Give a row for each of the page's engines: how far it is from ONNX Runtime in FP32, by kind of picture."""
    with page_of(path) as page, closing(open_backend(path, backend="onnxruntime", precision="fp32")) as native:
        for engine, (precision, side) in PARITY.items():
            noise = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8)
            emoji = np.stack([decode_picture(each, side) for each in sorted(EMOJI.iterdir())[:4]])
            row: Row = {"model": name, "engine": engine, "file": precision, "size": side}
            with closing(open_in(chromium, page, engine, precision, 8)) as browser:
                row["browser"] = browser.place
                for kind, pictures in (("noise", noise), ("emoji", emoji)):
                    pairs = [(browser.infer(each), native.infer(each)) for each in np.split(pictures, len(pictures))]
                    row[kind] = worst([distance(*pair) for pair in pairs])
            yield row


def worst(distances: list[Row]) -> Row:
    """Return the largest difference and the lowest PSNR of several pictures."""
    ratios = [each["psnr_db"] for each in distances if each["psnr_db"] is not None]
    return {"max_lsb": max(each["max_lsb"] for each in distances), "psnr_db": min(ratios, default=None)}


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


def parity_as_markdown(rows: list[Row]) -> str:
    """Write the rows of a comparison as a table."""
    lines = ["| model | engine | file | size | noise | emoji |", "|---|---|---|---|---|---|"]
    for row in rows:
        noise, emoji = (
            f"{row[kind]['max_lsb']} LSB, {row[kind]['psnr_db']:.1f} dB" if row[kind]["psnr_db"] else "identical"
            for kind in ("noise", "emoji")
        )
        size = f"{row['size']}x{row['size']}"
        lines.append(f"| {row['model']} | {row['engine']} | {row['file']} | {size} | {noise} | {emoji} |")
    return "\n".join(lines) + "\n"


def compare_pixels(chromium: str) -> tuple[dict[str, Any], str]:
    """Compare the shipped examples and an untrained resnet_9blocks; return the results and their table."""
    with tempfile.TemporaryDirectory() as scratch:
        untrained = Path(scratch) / "resnet_9blocks-fp16.onnx"
        export_onnx(untrained_generator(TrainConfig()), untrained, precision="fp16")
        named = {path: path.stem.removesuffix("-fp16") for path in sorted(EXAMPLES.glob("*-fp16.onnx"))}
        named[untrained] = "resnet_9blocks, untrained"
        rows = [row for path, name in named.items() for row in parity(path, name, chromium)]
    return {"machine": machine(), "results": rows}, parity_as_markdown(rows)


def save(content: dict[str, Any], table: str, name: str) -> None:
    """Write the results and their table beside the others, and print the table."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    (RESULTS / f"{name}.md").write_text(table)
    click.echo(table)


@click.command()
@click.argument("artefacts", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--size", default=256, show_default=True, help="Side of the picture.")
@click.option("--runs", default=30, show_default=True, help="Runs of each engine.")
@click.option("--threads", multiple=True, type=int, default=(1, 2), show_default=True, help="Of WebAssembly.")
@click.option(
    "--parity", "only_pixels", is_flag=True, help="Compare pixels only, of the examples and a resnet_9blocks."
)
def main(artefacts: Sequence[Path], size: int, runs: int, threads: Sequence[int], only_pixels: bool) -> None:
    """Measure every artefact, print the table and write it."""
    chromium = find_chromium()
    if chromium is None:
        raise click.ClickException("there is no Chromium; install it, on Debian with: apt install chromium")
    if only_pixels:
        save(*compare_pixels(chromium), name="web-parity")
        return
    picture = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    paths = artefacts or sorted(EXAMPLES.glob("*AtoB-fp16.onnx"))
    results = {path.stem: list(compare(path, picture, runs, threads, chromium)) for path in paths}
    content = {"machine": machine(), "size": size, "runs": runs, "results": results}
    save(content, as_markdown(results), name="web")


if __name__ == "__main__":
    main()
