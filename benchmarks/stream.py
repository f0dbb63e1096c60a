"""What streaming costs beside the engine: throughput, CPU time, latency and memory, and the plain loop beside ours.

    python benchmarks/stream.py ARTEFACT.onnx [--backend onnxruntime] [--frames 200] [--long 10000]

Each part runs in a process of its own. Results go to benchmarks/results/stream.json.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, nullcontext
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from threading import Event
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from cyclegan_edge.runtime.contract import Picture
from cyclegan_edge.runtime.doctor import machine
from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.pipeline import Outlet, run
from cyclegan_edge.runtime.sources.bars import BarsSource
from cyclegan_edge.runtime.stats import Stats
from cyclegan_edge.runtime.translator import Translator, load
from cyclegan_edge.runtime.video import open_video, video_sink

RESULTS = Path(__file__).parent / "results" / "stream.json"
SLOW = 0.1  # seconds that the slow engine of the live part takes
Row = dict[str, Any]


def bars(size: str, frames: int, **settings: object) -> BarsSource:
    """Return a test source of `size`, such as "256x256"."""
    query = "&".join(f"{name}={value}" for name, value in {"size": size, "frames": frames, **settings}.items())
    return BarsSource(f"test:bars?{query}", Event())


def null() -> Outlet:
    """Return a sink that throws everything away."""
    return Outlet(nullcontext(lambda frame: None), "null")


def first_picture(size: str) -> Picture:
    """Return the test source's first picture."""
    return next(iter(bars(size, 1))).pixels


def engine_alone(translator: Translator, picture: Picture, frames: int) -> float:
    """Return the seconds that the engine needs for prepared pictures, after a warm-up."""
    batch = translator.prepare(picture)[None]
    for _ in range(3):
        translator.infer(batch)
    start = time.perf_counter()
    for _ in range(frames):
        translator.infer(batch)
    return time.perf_counter() - start


def cpu_seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return the wall-clock and the CPU seconds of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def throughput(artefact: Path, backend: str, frames: int) -> Row:
    """Test source → null, beside the engine alone; aim: 0.95."""
    with load(artefact, backend=backend, device="cpu") as translator:
        alone = frames / engine_alone(translator, first_picture("256x256"), frames)
        stats = run(bars("256x256", frames), translator, null())
    return {
        "engine_fps": alone,
        "end_to_end_fps": stats.fps,
        "ratio": stats.fps / alone,
        "stages_ms": stats.summary()["stages_ms"],
    }


def video(artefact: Path, backend: str, frames: int) -> Row:
    """mp4 → mp4 at 720p: the CPU time of the whole beside that of its parts alone; aim: 1.1."""
    with tempfile.TemporaryDirectory() as folder, load(artefact, backend=backend, device="cpu") as translator:
        clip, target = Path(folder) / "clip.mp4", Path(folder) / "out.mp4"
        pictures = [frame.pixels for frame in bars("1280x720", min(frames, 30))]
        write_video(clip, pictures, frames)

        parts = {
            "decode": cpu_seconds(lambda: sum(1 for _ in open_video(clip))),
            "engine": cpu_seconds(lambda: engine_alone(translator, pictures[0], frames - 3)),
            "encode": cpu_seconds(lambda: write_video(target, pictures, frames)),
        }
        source = open_video(clip)
        whole = cpu_seconds(lambda: run(source, translator, video_sink(target, source.format.rate, like=source.format)))
    cpu = {name: seconds[1] for name, seconds in parts.items()}
    return {
        "fps": frames / whole[0],
        "cpu_seconds": whole[1],
        "parts_cpu_seconds": cpu,
        "ratio": whole[1] / sum(cpu.values()),
    }


def write_video(path: Path, pictures: list[Picture], frames: int) -> None:
    """Write pictures again and again, at 30 frames a second."""
    rate = Fraction(30)
    with video_sink(path, rate) as write:
        for i in range(frames):
            write(Frame(pictures[i % len(pictures)], path, time=i / rate, duration=1 / rate))


class SlowBackend:
    """An engine that takes its time somewhere else, as an accelerator does."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Wait, and give back what came."""
        time.sleep(SLOW)
        return batch


def live(artefact: Path, backend: str, frames: int) -> Row:
    """A live source at six times the engine's rate; aim: p99 of capture to shown within two engine times."""
    with load(artefact, backend=backend, device="cpu") as fast:
        translator = Translator(SlowBackend(fast.backend), artefact)
        stats = run(bars("256x256", frames, fps=round(6 / SLOW), live="yes"), translator, null())
    latency = stats.latency["null"]
    return {
        "engine_ms": 1000 * SLOW,
        "p50_ms": 1000 * latency.quantile(0.5),
        "p99_ms": 1000 * latency.quantile(0.99),
        "ratio": latency.quantile(0.99) / SLOW,
        "frames": stats.frames,
        "dropped": stats.dropped.total(),
    }


def memory(artefact: Path, backend: str, frames: int) -> Row:
    """Resident memory over many frames; aim: flat from the tenth part on."""
    samples: list[tuple[int, float]] = []

    def watch(stats: Stats) -> None:
        if not samples or stats.frames >= samples[-1][0] + frames // 100:
            samples.append((stats.frames, resident()))

    with load(artefact, backend=backend, device="cpu") as translator:
        stats = run(bars("64x64", frames), translator, null(), watch=watch)
    settled = [mib for done, mib in samples if done >= frames // 10]
    return {
        "frames": stats.frames,
        "mib_at_a_tenth": settled[0],
        "mib_at_the_end": settled[-1],
        "mib_most": max(settled),
    }


def resident() -> float:
    """Return this process's resident memory in MiB; on Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def plain_loop(artefact: Path, backend: str, frames: int) -> Row:
    """The loop of most repositories beside ours, both in ONNX Runtime: OpenCV reads, one thread, OpenCV writes."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        clip, target = Path(folder) / "clip.mp4", Path(folder) / "out.mp4"
        write_video(clip, [frame.pixels for frame in bars("256x256", 30)], frames)
        session = onnxruntime.InferenceSession(str(artefact), providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name

        def loop() -> None:
            encoder = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), 30.0, (256, 256))
            with closing(_opencv_frames(clip)) as pictures:
                for picture in pictures:
                    rgb = np.ascontiguousarray(picture[None, ..., ::-1])
                    encoder.write(session.run(None, {name: rgb})[0][0, ..., ::-1])
            encoder.release()

        theirs = cpu_seconds(loop)
        with load(artefact, backend="onnxruntime", device="cpu") as translator:
            source = open_video(clip)
            sink = video_sink(target.with_name("ours.mp4"), source.format.rate, like=source.format)
            ours = cpu_seconds(lambda: run(source, translator, sink))
    return {
        "plain_fps": frames / theirs[0],
        "ours_fps": frames / ours[0],
        "ratio": theirs[0] / ours[0],
        "plain_cpu_seconds": theirs[1],
        "ours_cpu_seconds": ours[1],
    }


def _opencv_frames(clip: Path) -> Iterator[NDArray[Any]]:
    capture = cv2.VideoCapture(str(clip))
    while (decoded := capture.read())[0]:
        yield decoded[1]
    capture.release()


PARTS: dict[str, Callable[[Path, str, int], Row]] = {
    "test source to null": throughput,
    "mp4 to mp4, 720p": video,
    "live, slow engine": live,
    "long run": memory,
    "plain loop": plain_loop,
}


@click.command()
@click.argument("artefact", type=click.Path(exists=True, path_type=Path))
@click.option("--backend", default="auto", show_default=True, help="Engine of all parts but the plain loop.")
@click.option("--frames", default=200, show_default=True, help="Frames of each part.")
@click.option("--long", "long_run", default=10_000, show_default=True, help="Frames of the long run.")
@click.option("--part", "parts", multiple=True, type=click.Choice(list(PARTS)), help="Only this part; by default all.")
@click.option("--output", default=RESULTS, type=click.Path(path_type=Path), help="Where the figures go.")
def main(artefact: Path, backend: str, frames: int, long_run: int, parts: tuple[str, ...], output: Path) -> None:
    """Measure what streaming costs beside the engine."""
    rows = {}
    for name in parts or PARTS:
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
            count = long_run if name == "long run" else frames
            rows[name] = pool.submit(PARTS[name], artefact, backend, count).result()
        shown = {key: value for key, value in rows[name].items() if not isinstance(value, dict)}
        figures = "  ".join(
            f"{key} {value:.2f}" if isinstance(value, float) else f"{key} {value}" for key, value in shown.items()
        )
        print(f"{name:20}  {figures}")
    output.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(), "artefact": artefact.name, "backend": backend, "frames": frames, "parts": rows}
    output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
