"""Queue uploaded videos, translate one at a time, and keep their temporary files.

A job's files lie in a folder of its own under the server's temporary folder, under names that we choose. The upload is
removed when the job ends, the result when it is deleted, too old, or the server stops.
"""

import logging
import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock
from time import monotonic
from typing import Any, Literal

import cv2

from ..control import Control
from ..errors import CycleganError
from ..pipeline.run import run
from ..stats import Stats
from ..video import open_video, video_sink
from .limits import Limits, RefusedError
from .metrics import Metrics
from .models import Model, Models
from .pictures import refuse_large_work

LOGGER = logging.getLogger(__name__)

State = Literal["uploading", "queued", "running", "done", "failed", "cancelled"]
OPEN: frozenset[State] = frozenset({"uploading", "queued", "running"})


class _CancelledError(Exception):
    """The visitor does not want the video any more."""


@dataclass
class Job:
    """One video on its way. The worker's thread writes it, the event loop reads it."""

    id: str  # nobody can guess it: who knows it, may fetch and delete
    folder: Path
    model: Model
    longest: int | None
    reserved: int  # bytes of disk, counted before they are written
    state: State = "uploading"
    frames: int = 0
    total: int | None = None
    detail: str | None = None  # why it failed
    upload: Path | None = None
    size: tuple[int, int] = (0, 0)  # (height, width)
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
        self._root = TemporaryDirectory(prefix="cyclegan-serve-")  # readable by its owner only
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="videos")
        self._jobs: dict[str, Job] = {}
        self._lock = Lock()

    @property
    def queued(self) -> int:
        """How many videos are coming in, waiting or being translated."""
        return sum(job.state in OPEN for job in list(self._jobs.values()))

    @property
    def disk_bytes(self) -> int:
        """Bytes of temporary disk in use or promised to uploads."""
        return sum(max(job.reserved, _folder_bytes(job.folder)) for job in list(self._jobs.values()))

    def admit(self, model: Model, longest: int | None, declared: int) -> Job:
        """Open a job for an upload of `declared` bytes (0: unknown).

        Raises:
            RefusedError: 413 it is too large; 429 the queue or the disk is full.
        """
        self.sweep()
        if declared > self._limits.video_bytes:
            raise RefusedError(
                413, "too_many_bytes", f"this upload is larger than {self._limits.video_bytes} bytes; cut the video"
            )
        later = {"Retry-After": "30"}
        if self.queued >= self._limits.queue:
            raise RefusedError(
                429, "queue_full", f"{self._limits.queue} videos are queued already; try again later", later
            )
        reserved = declared or self._limits.video_bytes
        if self.disk_bytes + reserved > self._limits.disk_bytes:
            raise RefusedError(429, "disk_full", "the server's temporary disk is in use; try again later", later)
        name = secrets.token_urlsafe(16)
        folder = Path(self._root.name) / name
        folder.mkdir()
        job = self._jobs[name] = Job(name, folder, model, longest, reserved)
        return job

    def start(self, job: Job) -> None:
        """Queue a job whose upload is complete.

        Raises:
            RefusedError: 413 too many pixels or frames; 415 no video that is taken; 422 it is damaged.
        """
        upload = job.folder / "upload"
        job.upload = upload.rename(upload.with_suffix(_container(upload)))
        (height, width), job.total = _probe(job.upload)
        job.size = (height, width)
        if height * width > self._limits.picture_pixels:
            raise RefusedError(413, "too_many_pixels", f"the video has {width}x{height} pixels; make it smaller")
        if (job.total or 0) > self._limits.video_frames:
            raise RefusedError(
                413, "too_many_frames", f"the video has more than {self._limits.video_frames} frames; cut it"
            )
        refuse_large_work(job.model.working_size(job.size, job.longest), self._limits)
        job.state = "queued"
        self._worker.submit(self._run, job)

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
        names = list(self._jobs)
        earlier = names[: names.index(job.id)]
        return sum(self._jobs[name].state in ("queued", "running") for name in earlier)

    def delete(self, job: Job) -> None:
        """Cancel a job in whatever state it is, and remove its files; a running one ends with its frame."""
        with self._lock:
            job.cancelled.set()
            running = job.state == "running"
        if not running:
            self._remove(job)

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
        self._root.cleanup()

    def _remove(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        shutil.rmtree(job.folder, ignore_errors=True)

    def _run(self, job: Job) -> None:
        """Translate one video, in the worker's thread."""
        with self._lock:
            if job.cancelled.is_set():
                return
            job.state = "running"
        state: State = "failed"
        try:
            self._translate(job)
            state = "done"
        except _CancelledError:
            state = "cancelled"
        except RefusedError as refusal:
            job.detail = refusal.detail
        except CycleganError as error:
            job.detail = str(error).replace(str(job.upload), "the video").replace(str(job.result), "the result")
        except Exception:  # a visitor's video never ends the worker
            LOGGER.exception("a video could not be translated")
            job.detail = "the server failed on this video; its log says why"
        finally:
            if job.upload:
                job.upload.unlink(missing_ok=True)
            with self._lock:
                job.reserved, job.ended, job.state = 0, monotonic(), state
                unwanted = job.cancelled.is_set()
            if unwanted:
                self._remove(job)
            self._metrics.count("cyclegan_videos_total", state=state)

    def _translate(self, job: Job) -> None:
        assert job.upload
        source = open_video(job.upload)
        sink = video_sink(job.result, source.format.rate, like=source.format)
        translator, _ = self._models.translator(job.model, job.size, job.longest)

        def watch(stats: Stats) -> None:
            job.frames = stats.frames
            if stats.read > self._limits.video_frames:  # more than the header promised
                raise RefusedError(413, "too_many_frames", "the video has more frames than its header promised")
            if self.disk_bytes > self._limits.disk_bytes:
                raise RefusedError(413, "disk_full", "the result does not fit on the server's temporary disk")

        stats = run(source, translator, sink, control=Control(stop=job.cancelled), watch=watch)
        self._metrics.count("cyclegan_translated_total", stats.frames, source="video")
        if job.cancelled.is_set():
            raise _CancelledError
        if stats.failed:
            job.detail = f"{stats.failed} of {stats.read} frames could not be read"


def _container(path: Path) -> str:
    """Return the suffix of the container that the first bytes show.

    FFmpeg opens much more, and some of it names further files or addresses to open: playlists, even inside an AVI. Only
    what browsers and phones record is let through to it.

    Raises:
        RefusedError: 415, it is neither MP4, QuickTime, Matroska nor WebM.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp":
        return ".mp4"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return ".mkv"
    raise RefusedError(415, "no_video", "this is no MP4, MOV, MKV or WebM video; convert it to one of these")


def _probe(path: Path) -> tuple[tuple[int, int], int | None]:
    """Return the (height, width) of a video, upright, and the number of frames that its header promises.

    Raises:
        RefusedError: 422, it cannot be opened.
    """
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        keys = cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_COUNT
        height, width, total = (int(capture.get(key)) for key in keys)
        if not capture.isOpened() or height < 1 or width < 1:
            raise RefusedError(422, "damaged", "the video is damaged, or in a codec that this server does not read")
        return (height, width), total if total > 0 else None
    finally:
        capture.release()


def _folder_bytes(folder: Path) -> int:
    total = 0
    for path in folder.glob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # a temporary name that was just replaced
            continue
    return total
