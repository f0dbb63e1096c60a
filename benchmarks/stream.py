"""What streaming costs beside the engine: throughput, CPU time, latency and memory, and plain loops beside ours.

    python benchmarks/stream.py ARTEFACT.onnx [--backend onnxruntime] [--seconds 15] [--long 10000] [--quick]

Each part runs in a process of its own, on as many frames as the engine alone translates in --seconds. Results go to
benchmarks/results/stream.json and stream.md.
"""

import json
import tempfile
import time
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from threading import Event
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from cyclegan_edge.runtime.contract import Picture
from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.machine.doctor import machine
from cyclegan_edge.runtime.pipeline.run import Output, run
from cyclegan_edge.runtime.sources.bars import BarsSource
from cyclegan_edge.runtime.stats import Stats
from cyclegan_edge.runtime.translator import Translator, load
from cyclegan_edge.runtime.video import open_video, video_sink

RESULTS = Path(__file__).parent / "results"
FEWEST, MOST = 6, 500  # frames of a part
SLOW = 0.1  # seconds that the slow engine of the live part takes
LIVE_FRAMES = 200
Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is measured, and for how long."""

    artefact: Path
    backend: str
    seconds: float  # of the engine alone, in each part
    long_run: int  # frames

    def load(self, **options: Any) -> Translator:
        """Open the translator on the CPU."""
        return load(self.artefact, backend=self.backend, device="cpu", **options)

    def frames(self, translator: Translator, picture: Picture) -> int:
        """Return how many such pictures the engine translates in the time."""
        return min(MOST, max(FEWEST, round(3 * self.seconds / engine_alone(translator, picture, 3))))


def bars(size: str, frames: int, **settings: object) -> BarsSource:
    """Return a test source of `size`, such as "256x256"."""
    query = "&".join(f"{name}={value}" for name, value in {"size": size, "frames": frames, **settings}.items())
    return BarsSource(f"test:bars?{query}", Event())


def null() -> Output:
    """Return a sink that throws everything away."""
    return Output(nullcontext(lambda frame: None), "null")


def first_picture(size: str) -> Picture:
    """Return the test source's first picture."""
    return next(iter(bars(size, 1))).pixels


def engine_alone(translator: Translator, picture: Picture, frames: int, warm_up: int = 3) -> float:
    """Return the seconds that the engine needs for prepared pictures, after a warm-up."""
    batch = translator.prepare(picture)[None]
    for _ in range(warm_up):
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


def throughput(plan: Plan) -> Row:
    """Test source → null; the engine alone is measured before and after."""
    picture = first_picture("256x256")
    with plan.load() as translator:
        frames = plan.frames(translator, picture)
        alone = engine_alone(translator, picture, frames)
        stats = run(bars("256x256", frames), translator, null())
        alone = (alone + engine_alone(translator, picture, frames)) / 2
    return {
        "engine_fps": frames / alone,
        "end_to_end_fps": stats.fps,
        "ratio": stats.fps * alone / frames,
        "frames": frames,
        "stages_ms": stats.summary()["stages_ms"],
    }


def video(plan: Plan, **fit: Any) -> Row:
    """mp4 → mp4 at 720p: the CPU time of the whole beside that of its parts alone."""
    with tempfile.TemporaryDirectory() as folder, plan.load(**fit) as translator:
        clip, target = Path(folder) / "clip.mp4", Path(folder) / "out.mp4"
        pictures = [frame.pixels for frame in bars("1280x720", 4)]
        frames = plan.frames(translator, pictures[0])
        write_video(clip, pictures, frames)
        translated = [translator(picture) for picture in pictures]  # as hard to encode as what the whole encodes

        parts = {
            "decode": cpu_seconds(lambda: sum(1 for _ in open_video(clip))),
            "engine": cpu_seconds(lambda: engine_alone(translator, pictures[0], frames, warm_up=0)),
            "encode": cpu_seconds(lambda: write_video(target, translated, frames)),
        }
        source = open_video(clip)
        whole = cpu_seconds(lambda: run(source, translator, video_sink(target, source.format.rate, like=source.format)))
    cpu = {name: seconds[1] for name, seconds in parts.items()}
    return {
        "fps": frames / whole[0],
        "cpu_seconds": whole[1],
        "parts_cpu_seconds": cpu,
        "ratio": whole[1] / sum(cpu.values()),
        "frames": frames,
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


def live(plan: Plan) -> Row:
    """A live source at six times the engine's rate: from a frame's capture to the sink, in times of the engine."""
    with plan.load(live=True) as fast:
        translator = Translator(SlowBackend(fast.backend), plan.artefact)
        stats = run(bars("256x256", LIVE_FRAMES, fps=round(6 / SLOW), live="yes"), translator, null())
    latency = stats.latency["null"]
    return {
        "engine_ms": 1000 * SLOW,
        "p50_ms": 1000 * latency.quantile(0.5),
        "p99_ms": 1000 * latency.quantile(0.99),
        "ratio": latency.quantile(0.99) / SLOW,
        "frames": stats.frames,
        "dropped": stats.dropped.total(),
    }


def memory(plan: Plan) -> Row:
    """Resident memory over many frames, from the tenth part on."""
    samples: list[tuple[int, float]] = []
    frames = plan.long_run

    def watch(stats: Stats) -> None:
        if not samples or stats.frames >= samples[-1][0] + frames // 100:
            samples.append((stats.frames, resident()))

    with plan.load() as translator:
        stats = run(bars("64x40", frames), translator, null(), watch=watch)
    settled = [mib for done, mib in samples if done >= frames // 10]
    return {
        "frames": stats.frames,
        "mib_at_a_tenth": settled[0],
        "mib_at_the_end": settled[-1],
        "ratio": max(settled) / settled[0],
    }


def resident() -> float:
    """Return this process's resident memory in MiB; on Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def plain_loop(plan: Plan, engine: str) -> Row:
    """The loop of most repositories beside ours, in one engine: OpenCV reads, one thread, OpenCV writes MPEG-4."""
    with tempfile.TemporaryDirectory() as folder, load(plan.artefact, backend=engine, device="cpu") as translator:
        clip, target = Path(folder) / "clip.mp4", Path(folder) / "out.mp4"
        frames = plan.frames(translator, first_picture("256x256"))
        write_video(clip, [frame.pixels for frame in bars("256x256", 30)], frames)
        translate = PLAIN[engine](plan.artefact)

        def loop() -> None:
            encoder = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), 30.0, (256, 256))
            with closing(_opencv_frames(clip)) as pictures:
                for picture in pictures:
                    encoder.write(translate(np.ascontiguousarray(picture[None, ..., ::-1]))[0, ..., ::-1])
            encoder.release()

        def ours() -> None:
            source = open_video(clip)
            sink = video_sink(target.with_name("ours.mp4"), source.format.rate, like=source.format)
            run(source, translator, sink)

        plain, threaded = cpu_seconds(loop), cpu_seconds(ours)
    return {
        "plain_fps": frames / plain[0],
        "ours_fps": frames / threaded[0],
        "ratio": plain[0] / threaded[0],
        "plain_cpu_seconds": plain[1],
        "ours_cpu_seconds": threaded[1],
        "frames": frames,
    }


def plain_onnxruntime(artefact: Path) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return a function that translates a batch, as the library's first example does."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(artefact), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})[0]


def plain_openvino(artefact: Path) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return a function that translates a batch, as the library's first example does."""
    import openvino

    compiled = openvino.compile_model(str(artefact), "CPU")
    return lambda batch: compiled(batch)[0]


PLAIN = {"onnxruntime": plain_onnxruntime, "openvino": plain_openvino}


def _opencv_frames(clip: Path) -> Generator[NDArray[Any]]:
    capture = cv2.VideoCapture(str(clip))
    while (decoded := capture.read())[0]:
        yield decoded[1]
    capture.release()


# Each part, and the aim that its ratio has.
PARTS: dict[str, tuple[Callable[[Plan], Row], str]] = {
    "test source to null": (throughput, "end to end / engine alone >= 0.95"),
    "mp4 to mp4, 720p": (video, "CPU time / decode + engine + encode <= 1.1"),
    "mp4 to mp4, 720p, model at 256": (partial(video, fit="stretch", size=(256, 256)), "the same, and resizing"),
    "live, slow engine": (live, "p99 / engine time <= 2"),
    "long run": (memory, "most memory / at a tenth <= 1.05"),
    "plain loop, ONNX Runtime": (partial(plain_loop, engine="onnxruntime"), "its time / ours"),
    "plain loop, OpenVINO": (partial(plain_loop, engine="openvino"), "its time / ours"),
}


def table(report: Row) -> str:
    """Lay the parts out as Markdown, under what they were measured on."""
    described = " · ".join(f"{key} {value}" for key, value in report["machine"].items())
    lines = [f"{described}  ", f"{report['artefact']} in {report['backend']}", ""]
    lines += ["| part | ratio | is | figures |", "|---|---|---|---|"]
    for name, row in report["parts"].items():
        figures = [
            f"{key} {value:.2f}" if isinstance(value, float) else f"{key} {value}"
            for key, value in row.items()
            if key != "ratio" and not isinstance(value, dict)
        ]
        lines.append(f"| {name} | {row['ratio']:.2f} | {PARTS[name][1]} | {', '.join(figures)} |")
    return "\n".join(lines) + "\n"


@click.command()
@click.argument("artefact", type=click.Path(exists=True, path_type=Path))
@click.option("--backend", default="auto", show_default=True, help="Engine of all parts but the plain loops.")
@click.option("--seconds", default=15.0, show_default=True, help="Time of the engine alone in each part.")
@click.option("--long", "long_run", default=10_000, show_default=True, help="Frames of the long run.")
@click.option("--quick", is_flag=True, help="A tenth of a second each, 300 frames: see that it runs.")
@click.option("--part", "parts", multiple=True, type=click.Choice(list(PARTS)), help="Only this part; by default all.")
@click.option("--output", default=RESULTS, type=click.Path(path_type=Path), help="Folder for the results.")
def main(
    artefact: Path, backend: str, seconds: float, long_run: int, quick: bool, parts: tuple[str, ...], output: Path
) -> None:
    """Measure what streaming costs beside the engine."""
    plan = Plan(artefact, backend, 0.1, 300) if quick else Plan(artefact, backend, seconds, long_run)
    rows = {}
    for name in parts or PARTS:
        click.echo(f"{name} …", err=True)
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
            rows[name] = pool.submit(PARTS[name][0], plan).result()
    report = {"machine": machine(), "artefact": artefact.name, "backend": backend, "parts": rows}
    output.mkdir(parents=True, exist_ok=True)
    stem = "stream-quick" if quick else "stream"
    (output / f"{stem}.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (output / f"{stem}.md").write_text(table(report), encoding="utf-8")
    click.echo(table(report), nl=False)


if __name__ == "__main__":
    main()
