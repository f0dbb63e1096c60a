"""Queue uploaded videos, translate one at a time, and keep their temporary files.

A job's files lie in a folder of its own under the server's temporary folder, under names that we choose. The upload is
removed when the job ends, the result when it is deleted, too old, or the server stops.
"""

import asyncio
import logging
import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from time import monotonic
from typing import Any, Literal

from ..control import Control
from ..errors import CycleganError
from ..pipeline.run import run
from ..stats import Stats
from ..video import has_pyav, open_video, video_sink
from .limits import Limits, RefusedError
from .metrics import Metrics
from .models import Model, Models
from .pictures import refuse_large_work
from .temporary_folder import TemporaryFolder
from .video_probe import ProbedVideo, probe

LOGGER = logging.getLogger(__name__)

State = Literal["uploading", "queued", "running", "done", "failed", "cancelled"]
OPEN: frozenset[State] = frozenset({"queued", "running"})
_LATER = {"Retry-After": "30"}


class _CancelledError(Exception):
    """The visitor does not want the video any more."""


@dataclass
class Job:
    """One video on its way. The worker's thread writes it, the event loop reads it."""

    id: str  # nobody can guess it: who knows it, may fetch and delete
    folder: Path
    model: Model
    longest: int | None
    visitor: str  # the address that it came from
    disk_bytes: int = 0  # that its files take
    state: State = "uploading"
    frames: int = 0
    total: int | None = None
    detail: str | None = None  # why it failed
    video: ProbedVideo | None = None  # once the upload is complete
    ended: float = 0.0
    cancelled: Event = field(default_factory=Event)

    @property
    def result(self) -> Path:
        """The path of the translated video."""
        return self.folder / "translated.mp4"

    def describe(self, ahead: int) -> dict[str, Any]:
        """Return the JSON that describes the job; `ahead`: how many videos come before it."""
        return {
            "id": self.id,
            "state": self.state,
            "model": self.model.name,
            "frames": self.frames,
            "total": self.total,
            "ahead": ahead,
            "bytes": self.result.stat().st_size if self.state == "done" else None,
            "detail": self.detail,
        }


class Videos:
    """All jobs. Its methods are called on the event loop; the translating is done in one thread."""

    def __init__(self, models: Models, limits: Limits, metrics: Metrics) -> None:
        self._models, self._limits, self._metrics = models, limits, metrics
        self._root = TemporaryFolder()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="videos")
        self._jobs: dict[str, Job] = {}
        self._lock = Lock()
        self._turns: dict[str, int] = {}  # when each visitor was last served

    @property
    def possible(self) -> bool:
        """Whether videos can be translated here: OpenCV's FFmpeg, which is read without PyAV, keeps to no limits."""
        return has_pyav()

    @property
    def queued(self) -> int:
        """How many videos are waiting or being translated."""
        return sum(job.state in OPEN for job in list(self._jobs.values()))

    @property
    def disk_bytes(self) -> int:
        """Bytes of temporary disk in use."""
        return sum(job.disk_bytes for job in list(self._jobs.values()))

    def admit(self, model: Model, longest: int | None, declared: int, visitor: str = "") -> Job:
        """Open a job for an upload of `declared` bytes (0: unknown).

        Raises:
            RefusedError: 413 it is too large; 429 the queue or the disk is full; 501 PyAV is not installed.
        """
        self.sweep()
        if not self.possible:
            raise RefusedError(
                501,
                "no_videos",
                'this server translates no videos, because PyAV is not installed: pip install "cyclegan-edge[video]"',
            )
        if declared > self._limits.video_bytes:
            raise RefusedError(
                413, "too_many_bytes", f"this upload is larger than {self._limits.video_bytes} bytes; cut the video"
            )
        self._refuse_full_queue(visitor)
        self._refuse_full_disk(declared)
        name = secrets.token_urlsafe(16)
        folder = self._root.path / name
        folder.mkdir()
        job = self._jobs[name] = Job(name, folder, model, longest, visitor)
        return job

    def grow(self, job: Job, received: int) -> None:
        """Count so many further bytes of an upload.

        Raises:
            RefusedError: 429, the disk is full.
        """
        self._refuse_full_disk(received)
        job.disk_bytes += received

    def start(self, job: Job) -> None:
        """Queue a job whose upload is complete.

        Raises:
            RefusedError: 413 too many pixels or frames; 415 no video that is taken; 422 it is damaged; 429 the queue is
                full by now.
        """
        job.video = probe(job.folder / "upload", self._limits.video_pixels)
        job.total = job.video.total
        if (job.total or 0) > self._limits.video_frames:
            raise RefusedError(
                413, "too_many_frames", f"the video has more than {self._limits.video_frames} frames; cut it"
            )
        refuse_large_work(job.model.working_size(job.video.size, job.longest), self._limits)
        with self._lock:
            self._refuse_full_queue(job.visitor)
            job.state = "queued"
        self._worker.submit(self._run_next)

    def find(self, name: str) -> Job:
        """Return a job.

        Raises:
            RefusedError: 404, it is unknown, deleted or too old.
        """
        self.sweep()
        if name not in self._jobs:
            raise RefusedError(404, "unknown_video", "there is no such video; it was deleted, or too old to be kept")
        return self._jobs[name]

    def ahead(self, job: Job) -> int:
        """Return how many videos are translated before this one."""
        if job.state != "queued":
            return 0
        running = sum(other.state == "running" for other in list(self._jobs.values()))
        return running + self._order().index(job)

    def delete(self, job: Job) -> None:
        """Cancel a job in whatever state it is, and remove its files; a running one ends with its frame."""
        with self._lock:
            job.cancelled.set()
            running = job.state == "running"
        if not running:
            self._remove(job)

    async def sweep_regularly(self) -> None:
        """Remove what is too old to be kept, until cancelled."""
        while True:
            await asyncio.sleep(min(self._limits.keep_seconds / 2, 30))
            self.sweep()

    def sweep(self) -> None:
        """Remove what is too old to be kept."""
        for job in list(self._jobs.values()):
            if job.ended and monotonic() - job.ended > self._limits.keep_seconds:
                self._remove(job)

    def close(self) -> None:
        """Cancel everything and remove every file."""
        for job in list(self._jobs.values()):
            job.cancelled.set()
        self._worker.shutdown(cancel_futures=True)
        self._root.remove()

    def _remove(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        shutil.rmtree(job.folder, ignore_errors=True)

    def _refuse_full_queue(self, visitor: str) -> None:
        """Refuse a video where the queue is full, or one visitor's share of it, which is half."""
        if self.queued >= self._limits.queue:
            raise RefusedError(
                429, "queue_full", f"{self._limits.queue} videos are queued already; try again later", _LATER
            )
        share = max(1, self._limits.queue // 2)
        if sum(job.state in OPEN and job.visitor == visitor for job in list(self._jobs.values())) >= share:
            raise RefusedError(
                429, "queue_full", f"{share} videos of yours are queued already; try again when one is done", _LATER
            )

    def _refuse_full_disk(self, further: int) -> None:
        if self.disk_bytes + further > self._limits.disk_bytes:
            raise RefusedError(429, "disk_full", "the server's temporary disk is in use; try again later", _LATER)

    def _order(self) -> list[Job]:
        """Return the waiting jobs in the order in which they are translated: the visitors take turns."""
        waiting = [job for job in list(self._jobs.values()) if job.state == "queued"]
        turns, order = dict(self._turns), []
        while waiting:
            job = min(waiting, key=lambda job: turns.get(job.visitor, 0))  # of several the earliest
            waiting.remove(job)
            order.append(job)
            turns[job.visitor] = max(turns.values(), default=0) + 1
        return order

    def _run_next(self) -> None:
        """Translate the video whose turn it is, in the worker's thread."""
        with self._lock:
            job = next((job for job in self._order() if not job.cancelled.is_set()), None)
            if job is None:  # deleted while it waited
                return
            job.state = "running"
            waiting = {other.visitor for other in self._jobs.values()}
            self._turns = {visitor: turn for visitor, turn in self._turns.items() if visitor in waiting}
            self._turns[job.visitor] = max(self._turns.values(), default=0) + 1
        self._run(job)

    def _run(self, job: Job) -> None:
        assert job.video
        state: State = "failed"
        try:
            self._translate(job)
            state = "done"
        except _CancelledError:
            state = "cancelled"
        except RefusedError as refusal:
            job.detail = refusal.detail
        except CycleganError as error:
            job.detail = str(error).replace(str(job.video.path), "the video").replace(str(job.result), "the result")
        except Exception:  # a visitor's video never ends the worker
            LOGGER.exception("a video could not be translated")
            job.detail = "the server failed on this video; its log says why"
        finally:
            for path in job.folder.glob("*"):
                if state != "done" or path != job.result:
                    path.unlink(missing_ok=True)
            with self._lock:
                job.disk_bytes, job.ended, job.state = _folder_bytes(job.folder), monotonic(), state
                unwanted = job.cancelled.is_set()
            if unwanted:
                self._remove(job)
            self._metrics.count("cyclegan_videos_total", state=state)

    def _translate(self, job: Job) -> None:
        assert job.video
        source = open_video(job.video.path, job.video.limits)
        sink = video_sink(job.result, source.format.rate, like=source.format)
        translator, _ = self._models.translator(job.model, job.video.size, job.longest)
        begun = monotonic()

        def watch(stats: Stats) -> None:
            job.frames = stats.frames
            if stats.read > self._limits.video_frames:  # more than the header promised
                raise RefusedError(413, "too_many_frames", "the video has more frames than its header promised")
            if monotonic() - begun > self._limits.video_seconds:
                raise RefusedError(
                    413, "too_long", "the translation takes longer than this server allows; cut the video"
                )
            job.disk_bytes = _folder_bytes(job.folder)
            if self.disk_bytes > self._limits.disk_bytes:
                raise RefusedError(413, "disk_full", "the result does not fit on the server's temporary disk")

        stats = run(source, translator, sink, control=Control(stop=job.cancelled), watch=watch)
        self._metrics.count("cyclegan_translated_total", stats.frames, source="video")
        if job.cancelled.is_set():
            raise _CancelledError
        if stats.failed:
            job.detail = f"{stats.failed} of {stats.read} frames could not be read"


def _folder_bytes(folder: Path) -> int:
    total = 0
    for path in folder.glob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # a temporary name that was just replaced
            continue
    return total
