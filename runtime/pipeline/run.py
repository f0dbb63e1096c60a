"""Frames flow from a source through the translator to the sinks: decode → prepare → engine → finish → each sink.

Every stage is a generator in a thread of its own; a `Channel` leads from each to the next. An error travels with the
frames: what was read before it is still translated and written, then every sink hears of it and the run raises it.
Where a stage fails, those before it stop, because nobody receives any more. So no stage waits for one that is gone.
"""

import logging
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from threading import Thread
from time import perf_counter
from typing import Any, Literal

from ..channel import AbandonedError, Channel, EndedError
from ..contract import Picture
from ..control import Control
from ..errors import InputError, StreamError
from ..frame import Frame, FrameTranslator, InterruptionError, LostFramesError, Sink, Source
from ..stats import Durations, Stats
from .batching import PreparedFrame, batches, stack

__all__ = ["Control", "Output", "Policy", "Skip", "Smooth", "run"]

LOGGER = logging.getLogger(__name__)

Policy = Literal["auto", "lossless", "latest"]
Smooth = Callable[[Picture, Picture], Picture]  # a picture and its translation → what is shown
Skip = Callable[[Picture], bool]  # whether the translation before will do for this frame too

PATIENCE = 60.0  # seconds that a file may take to give its next frame; live sources have their own limit
DEPTH = 4  # frames that wait before a stage where none may be lost
TICK = 0.05  # seconds between two looks at how the run gets on
GRACE = 3.0  # seconds that a source may take to notice that it shall end


@dataclass(frozen=True)
class Output:
    """A sink, and how it is served."""

    sink: Sink
    name: str = "sink"
    newest_only: bool = False  # it shows frames: those that it was too slow for are not missed
    in_caller: bool = False  # it runs in the thread that calls `run`, as windows must
    idle: Callable[[], None] = lambda: None  # called in that thread while no frame comes


def run(
    source: Source,
    translator: FrameTranslator,
    *sinks: Sink | Output,
    policy: Policy = "auto",
    batch_size: int = 1,
    control: Control | None = None,
    watch: Callable[[Stats], None] = lambda stats: None,
    smooth: Smooth | None = None,
    skip: Skip | None = None,
    patience: float | None = None,
) -> Stats:
    """Translate everything that the source gives, in its order; count and log what it could not read.

    Args:
        source: where frames come from.
        translator: each of its stages is called in one thread only.
        sinks: each gets every frame, in a thread of its own.
        policy: "lossless" lets a stage wait for the next; "latest" lets the newest frame overtake those that wait, so
            that latency stays flat; "auto" is "latest" for live sources.
        batch_size: how many frames that follow one another, of equal size once prepared, are translated together;
            always 1 where only the latest counts, or where some are skipped.
        control: stops the run before its end, or pauses it, and holds its counts. A live source that is stopped ends
            well, any other is interrupted.
        watch: called with the counts in the calling thread, about 20 times a second and at the end.
        smooth: makes the translations steady, called in the frames' order.
        skip: spares the engine what hardly changed, called in the frames' order.
        patience: seconds that a source that is not live may take for one frame; None: as long as it likes.

    Raises:
        InputError: the source cannot go on.
        ModelError: the model or the engine failed.
        OutputError: a frame cannot be written.
    """
    outputs = [sink if isinstance(sink, Output) else Output(sink) for sink in sinks]
    latest = policy == "latest" or (policy == "auto" and source.live)
    pipeline = _Pipeline(source, translator, outputs, latest, 1 if latest or skip else batch_size, control or Control())
    return pipeline.run(watch, smooth, skip, None if source.live else patience)


class _Pipeline:
    """The channels between the stages, the threads that run them, and what they count."""

    def __init__(
        self,
        source: Source,
        translator: FrameTranslator,
        outputs: list[Output],
        latest: bool,
        batch_size: int,
        control: Control,
    ) -> None:
        self._source, self._translator, self._control = source, translator, control
        self._batch_size = batch_size
        self._stats = control.stats
        self._asked: float | None = None  # since when the source is asked for its next frame
        self._errors: list[BaseException] = []  # the first is the one that ended the run
        depth = 1 if latest else max(DEPTH, batch_size)
        self._captured: Channel[Frame] = Channel(depth, lossless=not latest)
        self._prepared: Channel[PreparedFrame] = Channel(depth, lossless=not latest)
        self._translated: Channel[PreparedFrame] = Channel(depth, lossless=not latest)
        self._lanes: list[tuple[Output, Channel[Frame]]] = [
            (output, Channel(1 if output.newest_only else DEPTH, lossless=not (latest or output.newest_only)))
            for output in outputs
        ]
        self._channels: list[tuple[str, Channel[Any]]] = [
            ("capture", self._captured),
            ("engine", self._prepared),
            ("finish", self._translated),
            *((output.name, lane) for output, lane in self._lanes),
        ]

    def run(
        self, watch: Callable[[Stats], None], smooth: Smooth | None, skip: Skip | None, patience: float | None
    ) -> Stats:
        """Run every stage to its end; see the function `run`."""
        lanes = [lane for _, lane in self._lanes]
        source = self._stage("decode", self._decode(), None, self._captured)
        workers = [
            self._stage("prepare", self._prepare(), self._captured, self._prepared),
            self._stage("engine", self._infer(skip), self._prepared, self._translated),
            self._stage("finish", self._finish(smooth), self._translated, *lanes),
            *(
                Thread(target=_exhaust, args=[self._deliver(output, lane)], name=output.name, daemon=True)
                for output, lane in self._lanes
                if not output.in_caller
            ),
        ]
        here = [self._deliver(output, lane, TICK) for output, lane in self._lanes if output.in_caller]
        start = perf_counter()
        try:
            for thread in (source, *workers):
                thread.start()
            for _ in self._progress(workers, here, patience):
                self._stats.seconds = perf_counter() - start
                watch(self._stats)
        except BaseException as ending:  # an interruption, or the caller's own `watch`
            self._errors.insert(0, ending)
            for _, channel in self._channels:
                channel.abandon(ending)
            for steps in here:
                _exhaust(steps)
        for thread in workers:
            thread.join()
        source.join(GRACE)
        if source.is_alive():
            LOGGER.warning("the source does not answer and is left behind")
        self._count_drops()
        for error in self._errors:
            if not isinstance(error, InterruptionError):
                raise error
        self._stats.interrupted = bool(self._errors)
        watch(self._stats)
        return self._stats

    def _progress(self, workers: list[Thread], here: list[Iterator[None]], patience: float | None) -> Iterator[None]:
        """Serve the caller's own sinks until all work is done; give way to `watch` now and then."""
        grace = round(GRACE / TICK)
        while here or any(thread.is_alive() for thread in workers):
            if here:
                here[:] = [steps for steps in here if next(steps, EndedError) is not EndedError]
            else:
                next((thread for thread in workers if thread.is_alive()), workers[0]).join(TICK)
            if self._control.stop.is_set():
                grace -= 1
                if grace < 0:  # it hangs in a read that nobody can interrupt
                    self._captured.finish(InterruptionError())
            asked = self._asked
            if patience is not None and asked is not None and perf_counter() - asked > patience:
                self._captured.finish(StreamError(f"the source gave no frame for {patience:g} s", "timeout"))
            self._count_drops()
            yield

    def _count_drops(self) -> None:
        for place, channel in self._channels:
            if channel.dropped:
                self._stats.dropped[place] = channel.dropped

    def _stage(self, name: str, outputs: Generator[Any], inbox: Channel[Any] | None, *outboxes: Channel[Any]) -> Thread:
        """Make the thread that moves what a stage yields into its outboxes."""

        def work() -> None:
            ending: BaseException | None = None
            try:
                for item in outputs:
                    for outbox in outboxes:
                        outbox.put(item, _size(item))
            except AbandonedError as abandoned:
                ending = abandoned.error
            except BaseException as error:
                ending = error
                self._errors.append(error)
            outputs.close()
            if inbox is not None:
                inbox.abandon(ending)
            for outbox in outboxes:
                outbox.finish(ending)

        return Thread(target=work, name=name, daemon=True)

    def _decode(self) -> Generator[Frame]:
        stop, paused = self._control.stop, self._control.paused
        frames = iter(self._source)
        try:
            while not stop.is_set():
                start = self._asked = perf_counter()
                item = next(frames, None)
                self._asked = None
                if item is None:
                    return
                self._stats.observe("decode", perf_counter() - start)
                if isinstance(item, InputError):
                    self._fail(item)
                    continue
                self._stats.read += 1
                while paused.is_set() and not self._source.live and not stop.wait(TICK):
                    pass
                if paused.is_set() and self._source.live:
                    self._stats.dropped["pause"] += 1
                else:
                    yield item
            if not self._source.live:
                raise InterruptionError
        finally:
            if isinstance(frames, Generator):
                frames.close()

    def _fail(self, error: InputError) -> None:
        LOGGER.error("failed: %s", error)
        lost = error.frames if isinstance(error, LostFramesError) else 1
        self._stats.read += lost
        self._stats.failed += lost

    def _prepare(self) -> Generator[PreparedFrame]:
        for frame in self._captured:
            start = perf_counter()
            prepared = self._translator.prepare(frame.pixels)
            self._stats.observe("prepare", perf_counter() - start)
            yield PreparedFrame(frame, prepared)

    def _infer(self, skip: Skip | None) -> Generator[PreparedFrame]:
        last: Picture | None = None
        for jobs in batches(self._prepared, self._batch_size):
            start = perf_counter()
            if skip and skip(jobs[0].frame.pixels) and last is not None:
                yield PreparedFrame(jobs[0].frame, last)
                self._stats.reused += 1
                continue
            translated = self._translator.infer(stack([job.picture for job in jobs]))
            seconds = (perf_counter() - start) / len(jobs)
            for job, picture in zip(jobs, translated, strict=True):
                self._stats.observe("engine", seconds)
                yield PreparedFrame(job.frame, picture)
            last = translated[-1]

    def _finish(self, smooth: Smooth | None) -> Generator[Frame]:
        for job in self._translated:
            start = perf_counter()
            picture = self._translator.finish(job.picture, job.frame.pixels)
            if smooth:
                picture = smooth(job.frame.pixels, picture)
            self._stats.observe("finish", perf_counter() - start)
            self._stats.frames += 1
            yield replace(job.frame, pixels=picture, original=job.frame.pixels)

    def _deliver(self, output: Output, lane: Channel[Frame], timeout: float | None = None) -> Iterator[None]:
        """Write what comes through a lane; yield after each frame, and after `timeout` seconds without one."""
        latency = self._stats.latency.setdefault(output.name, Durations())
        try:
            with output.sink as write:
                while True:
                    try:
                        frame = lane.get(timeout)
                    except TimeoutError:
                        output.idle()
                        yield
                        continue
                    except EndedError:
                        return
                    start = perf_counter()
                    write(frame)
                    end = perf_counter()
                    self._stats.observe(output.name, end - start)
                    latency.add(end - frame.captured)
                    self._stats.written[output.name] += 1
                    yield
        except BaseException as error:
            self._errors.append(error)
            lane.abandon(error)


def _size(item: Frame | PreparedFrame) -> int:
    if isinstance(item, Frame):
        return item.pixels.nbytes
    return item.frame.pixels.nbytes + item.picture.nbytes


def _exhaust(steps: Iterator[None]) -> None:
    for _ in steps:
        pass
