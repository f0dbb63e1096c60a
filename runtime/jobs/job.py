"""Folder jobs: every picture of a folder once, whatever interrupts the work in between.

A job is planned before anything is translated: which names would meet in one file, which files an earlier run finished
with the same model and options, and which failed then. What happens to each is written down in a `Manifest`.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from time import perf_counter
from typing import Literal

from ..errors import CycleganError, FileOutputError, InputError, ModelError, OutputError
from ..frame import Frame, Sink, Source, Write
from ..listing import list_files
from ..sinks import picture_sink
from ..sinks.animation import holds_several
from ..sources import PictureSource, find_pictures
from ..sources.animation import count_frames
from ..sources.pictures import left_out, readable_suffixes
from ..stats import Stats
from ..video import VIDEO_SUFFIXES
from .fingerprint import Fingerprint
from .manifest import Manifest, Record, Status, Work
from .names import refuse_collisions, target_name

LOGGER = logging.getLogger(__name__)

OnError = Literal["skip", "stop"]
TranslateFilm = Callable[[Path, Path], None]  # from a file to another
Translate = Callable[[Source, Sink, bool], Stats]  # from a source to a sink; True: one by one, never in batches


@dataclass
class FolderJob:
    """What is left to do for a folder; made by `plan`."""

    root: Path
    output: Path
    fingerprint: Fingerprint
    manifest: Manifest
    todo: Sequence[Path]  # relative to the root
    picture_format: str | None = None  # "png": the suffix of every result; None: each keeps its own
    on_error: OnError = "skip"
    skipped: int = 0  # finished by an earlier run, or somebody else's
    failed_before: int = 0  # in an earlier run, and not tried again
    left_out: str = ""  # the files of the folder that are not of the job, in one line
    films: list[Path] = field(default_factory=list)  # found while pictures were read: they come after them
    done: set[Path] = field(default_factory=set)  # in this run
    failed: set[Path] = field(default_factory=set)  # in this run

    def run(self, translate: Translate, film: TranslateFilm | None = None, *, proven: bool = False) -> Stats:
        """Do what is left, and count it: the pictures, then the films, each by `film`.

        Where the engine fails, the files are tried one by one from there on, and the one that it fails on is passed
        over. An engine that fails on two in a row, or on all where it has not been `proven` before, is broken itself.

        Raises:
            ModelError: the engine is broken, or it failed on a file and `on_error` is "stop".
            InputError: a file cannot be read and `on_error` is "stop".
            OutputError: the disk is full or gone, or the manifest cannot be written; or one file cannot, and `on_error`
                is "stop".
        """
        stats = Stats()
        rest = list(self.todo)
        one_by_one = False
        suspect: tuple[Path, ModelError] | None = None  # its verdict waits for a success after it
        while rest:
            done = len(self.done)
            try:
                stats = translate(JobSource(self, rest), self.sink(), one_by_one)
                break
            except ModelError as error:
                if self.on_error == "stop" or (suspect and len(self.done) == done):
                    raise
                settled = self.done | self.failed | set(self.films)  # films come later, by themselves
                rest = [name for name in rest if name not in settled]
                if one_by_one:
                    self._convict(suspect)
                    suspect = rest.pop(0), error
                one_by_one = True
        if suspect and not (self.done or proven):
            raise suspect[1]
        self._convict(suspect)
        for name in self.films:
            self._translate_film(name, film)
        stats.read, stats.frames, stats.failed = len(self.done | self.failed), len(self.done), len(self.failed)
        return stats

    def _translate_film(self, name: Path, film: TranslateFilm | None) -> None:
        start = perf_counter()
        try:
            self.start(name)
            if film is None:
                raise InputError(f"{self.root / name} holds several frames, which are not translated here")
            film(self.root / name, self.output / self.target(name))
        except CycleganError as error:
            if self.on_error == "stop" or (isinstance(error, OutputError) and not isinstance(error, FileOutputError)):
                raise
            LOGGER.error("failed: %s", error)
            self.fail(name, error)
        else:
            self.succeed(name, perf_counter() - start)

    def start(self, name: Path) -> None:
        """Write down that a file is begun: whatever is found at its target later is ours."""
        self.manifest.add(Record(self.fingerprint.work(self.root, name), "started"))

    def succeed(self, name: Path, seconds: float) -> None:
        """Write down that a file that was started is done."""
        self._end(name, "done", seconds=round(seconds, 4))
        self.done.add(name)

    def fail(self, name: Path, error: Exception) -> None:
        """Write down that a file failed; one that is gone leaves no record."""
        self._end(name, "failed", error=str(error))
        self.failed.add(name)

    def target(self, name: Path) -> Path:
        """Return where a file's result goes, relative to the output folder."""
        return target_name(name, self.picture_format)

    @contextmanager
    def sink(self) -> Iterator[Write]:
        """Write results, and each file's success once its result is whole."""
        inputs = {self.target(name): name for name in self.todo}
        with picture_sink(self.output) as write_picture:

            def write(frame: Frame) -> None:
                try:
                    write_picture(frame)
                except FileOutputError as error:  # the others can be written
                    LOGGER.error("failed: %s", error)
                    self.fail(inputs[frame.name], error)
                    if self.on_error == "stop":
                        raise
                    return
                self.succeed(inputs[frame.name], perf_counter() - frame.captured)

            yield write

    def _end(self, name: Path, status: Status, seconds: float = 0.0, error: str = "") -> None:
        record = self.manifest.get(name.as_posix())
        if record is not None and record.status == "started":
            self.manifest.add(Record(record.work, status, seconds, error))

    def _convict(self, suspect: tuple[Path, ModelError] | None) -> None:
        if suspect is not None:
            LOGGER.error("failed: %s: %s", *suspect)
            self.fail(*suspect)


@dataclass(frozen=True)
class JobSource:
    """Reads a job's files; a `Source`."""

    job: FolderJob
    names: Sequence[Path]
    live: bool = False

    @property
    def total(self) -> int:
        """How many files there are."""
        return len(self.names)

    def __iter__(self) -> Iterator[Frame | InputError]:
        for name in self.names:
            if self._is_film(name):
                self.job.films.append(name)
                continue
            item = self._read(name)
            if isinstance(item, InputError):
                self.job.fail(name, item)
                if self.job.on_error == "stop":
                    raise item
            yield item

    def _is_film(self, name: Path) -> bool:
        """Whether a file is translated as a film, after the pictures."""
        if name.suffix.lower() in VIDEO_SUFFIXES:
            return True
        frames = count_frames(self.job.root / name)
        if frames > 1 and not holds_several(self.job.target(name)):
            LOGGER.warning("%s holds %d frames; the first is translated, because its result holds one", name, frames)
            return False
        return frames > 1

    def _read(self, name: Path) -> Frame | InputError:
        try:
            self.job.start(name)
        except InputError as error:
            return error
        [item] = PictureSource(self.job.root, [name])
        return item if isinstance(item, InputError) else replace(item, name=self.job.target(name))


def plan(
    root: Path,
    output: Path,
    fingerprint: Fingerprint,
    manifest: Manifest,
    *,
    overwrite: bool = False,
    retry_failed: bool = False,
    may_be_empty: bool = False,
    picture_format: str | None = None,
    on_error: OnError = "skip",
) -> FolderJob:
    """Find out what is left to do in a folder.

    A file is left alone where the manifest says that the same work was done and its result is there, or that it failed,
    unless `retry_failed` is set. A result that the manifest does not speak of is somebody else's, and left alone too.
    `overwrite` does everything anew.

    Raises:
        InputError: there is no picture, unless the folder `may_be_empty`.
        UsageError: two pictures would be written to one file, a result would replace an input, or a folder has the
            name of a result.
    """
    listing = list_files(root, readable_suffixes() | VIDEO_SUFFIXES, outside=output)
    names = listing.files
    if not names and not may_be_empty:
        find_pictures(root, outside=output)  # says what it should hold
    refuse_collisions(root, output, names, picture_format)
    job = FolderJob(root, output, fingerprint, manifest, [], picture_format, on_error, left_out=left_out(listing))
    todo = []
    for name in names:
        record = manifest.get(name.as_posix())
        try:
            known = record is not None and record.work == fingerprint.work(root, name)
        except InputError:  # gone since it was listed; who reads it says so
            known = False
        exists = (output / job.target(name)).exists()
        if overwrite:
            todo.append(name)
        elif record is not None and known and record.status == "failed" and not retry_failed:
            LOGGER.debug("failed before: %s", record.error)
            job.failed_before += 1
        elif exists and (record is None or (known and record.status == "done")):
            job.skipped += 1
        else:
            todo.append(name)
    job.todo = todo
    return job


def watch(
    plan_again: Callable[[], FolderJob],
    translate: Translate,
    stop: Event,
    film: TranslateFilm | None = None,
    *,
    interval: float = 1.0,
) -> Iterator[Stats]:
    """Translate files as they come, until `stop` is set; give the counts of each round.

    A file is taken once its size and time have not changed between two looks: then whoever writes it has finished.
    """
    seen: dict[Path, Work] = {}
    proven = False
    while not stop.is_set():
        job = plan_again()
        now = {}
        for name in job.todo:
            try:
                now[name] = job.fingerprint.work(job.root, name)
            except InputError:  # gone again
                continue
        job.todo = [name for name, work in now.items() if seen.get(name) == work]
        seen = now
        if job.todo:
            yield job.run(translate, film, proven=proven)
            proven = proven or bool(job.done)
        stop.wait(interval)
