"""The pipeline for Python: `for frame in translator.stream("clip.mp4", sink="out.mp4"): …`.

Reading, translating and writing go on in threads of their own while the loop works on the frame before.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

from ..channel import Channel
from ..contract import Picture
from ..control import Control
from ..errors import UsageError
from ..frame import Frame, FrameTranslator, Source, Write
from ..stats import Stats
from ..temporal.smoothing import SimilarFrames, Smoother, Smoothing
from .endpoints import connect
from .outputs import OutputOptions
from .run import Output, Policy, run

AHEAD = 2  # frames that are ready before the loop asks for them


@dataclass(frozen=True)
class Pictures:
    """Any iterable of pictures, uint8 [H, W, 3] in RGB order, as a source."""

    pictures: Iterable[Picture]
    total: int | None = None
    live: bool = False

    def __iter__(self) -> Iterator[Frame]:
        for number, picture in enumerate(self.pictures):
            yield Frame(picture, Path(f"{number:06d}.png"), number=number)


class Stream:
    """Translated frames, in order; made by `Translator.stream`, and read once.

    Each `Frame` holds `pixels` and `original`, uint8 [H, W, 3] in RGB order, and `time`, in seconds on the clock of its
    video as an exact fraction (None for pictures). To leave the loop stops the run, and what was written stays whole.
    """

    def __init__(
        self,
        translator: FrameTranslator,
        source: str | Path | int | Iterable[Picture],
        sink: str | Path | Sequence[str | Path] = (),
        *,
        policy: Policy = "auto",
        batch_size: int = 1,
        smooth: Smoothing | None = None,
        skip_similar: float | None = None,
        overwrite: bool = False,
    ) -> None:
        """Open the source and the sinks; see `Translator.stream`."""
        self._translator = translator
        self._policy, self._batch_size = policy, batch_size
        self._smooth = Smoother(smooth) if smooth else None
        self._skip = SimilarFrames(skip_similar).skips if skip_similar is not None else None
        self._control = Control()
        sinks = [str(one) for one in ([sink] if isinstance(sink, str | Path) else sink)]
        if "window" in sinks:
            raise UsageError(
                "a window belongs to the main thread, which your loop has; show its frames with cv2.imshow"
            )
        self._source: Source
        if isinstance(source, str | Path | int):
            endpoints = connect(str(source), sinks or ["null"], self._control, OutputOptions(overwrite=overwrite))
            if endpoints.skipped:
                raise UsageError(
                    f"{', '.join(sinks)}: {endpoints.skipped} of them exist; replace them with overwrite=True"
                )
            self._source, self._outputs = endpoints.source, list(endpoints.outputs)
        elif sinks:
            raise UsageError("pictures from Python have no rate or names to be written with; write them in your loop")
        else:
            self._source, self._outputs = Pictures(source), []
        latest = policy == "latest" or (policy == "auto" and self._source.live)
        self._frames: Channel[Frame] = Channel(1 if latest else AHEAD, lossless=not latest)
        self._thread = Thread(target=self._run, name="stream", daemon=True)

    @property
    def stats(self) -> Stats:
        """The counts and times so far."""
        return self._control.stats

    def __iter__(self) -> Iterator[Frame]:
        """Give each frame once.

        Raises:
            InputError, ModelError, OutputError: what ended the run, after the frames before it.
        """
        self._thread.start()
        try:
            yield from self._frames
        finally:
            self.close()

    def run(self) -> Stats:
        """Go through all frames for the sinks' sake; return the counts. Raises what the loop would raise."""
        for _ in self:
            pass
        return self.stats

    def close(self) -> None:
        """Stop the run and wait until what was written is whole; closing twice is allowed."""
        self._control.stop.set()
        self._frames.abandon()
        if self._thread.ident is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            run(
                self._source,
                self._translator,
                *self._outputs,
                Output(self._loop(), "loop"),
                policy=self._policy,
                batch_size=self._batch_size,
                control=self._control,
                smooth=self._smooth,
                skip=self._skip,
            )
        except BaseException as error:
            self._frames.finish(error)
        else:
            self._frames.finish()

    @contextmanager
    def _loop(self) -> Iterator[Write]:
        """Hand each frame to the user's loop, and count those that it was too slow for."""

        def write(frame: Frame) -> None:
            self._frames.put(frame, frame.pixels.nbytes)
            if self._frames.dropped:
                self.stats.dropped["your loop"] = self._frames.dropped

        yield write
