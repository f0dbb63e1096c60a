"""`cyclegan translate` on a folder of pictures: plan the job, do it here or on a Ray cluster, and count."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..control import Control, stop_on_signals
from ..errors import UsageError
from ..files import remove_hidden
from ..frame import FrameTranslator, Sink, Source
from ..pipeline.run import PATIENCE, run
from ..sources.pictures import PICTURE_NAMES
from ..stats import Progress, Stats
from ..translator import LoadOptions
from ..video import VIDEO_SUFFIXES
from .films import FilmOptions, translate_film
from .fingerprint import Fingerprint
from .job import FolderJob, OnError, Translate, TranslateFilm, plan, watch
from .manifest import NAME, Manifest
from .ray_cluster import run_on_ray

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class FolderOptions:
    """How a folder job is done; see `cyclegan translate --help`."""

    overwrite: bool = False
    retry_failed: bool = False
    picture_format: str | None = None
    on_error: OnError = "skip"
    watch: bool = False
    ray: str | None = None  # a cluster's address


@dataclass(frozen=True)
class FolderResult:
    """What a folder job did, and on what."""

    job: FolderJob
    stats: Stats
    engine: str
    device: str
    precision: str

    def summary(self) -> dict[str, Any]:
        """Return the counts as `cyclegan translate` prints them; files that failed before count as failed."""
        return {
            "translated": self.stats.frames,
            "skipped": self.job.skipped,
            "failed": self.stats.failed + self.job.failed_before,
            "read": self.stats.read + self.job.failed_before,
            "frames": self.stats.frames,
            "seconds": round(self.stats.seconds, 3),
            "fps": round(self.stats.fps, 2),
            "engine": self.engine,
            "device": self.device,
            "precision": self.precision,
            "output": str(self.job.output),
        }


def translate_folder(
    root: Path,
    output: Path,
    model: Path,
    load_options: LoadOptions,
    options: FolderOptions,
    *,
    batch_size: int,
    film_options: FilmOptions = FilmOptions(),  # noqa: B008 - frozen
    progress: Progress,
    control: Control | None = None,
) -> FolderResult:
    """Translate the pictures and films of a folder into another.

    Args:
        root: the folder; its tree is mirrored in `output`.
        output: the folder of the results and of the manifest.
        model: the artefact.
        load_options: how the model is loaded.
        options: what is done, and where.
        batch_size: pictures that are translated together.
        film_options: how its films are read and written.
        progress: shows how far the work is.
        control: ends the job before its end; to a folder that is watched, that is its end.

    Raises:
        UsageError: the output is no folder, or names collide; nothing is written then.
        InputError, ModelError, OutputError: the job cannot go on, or another one is writing into the same folder.
        KeyboardInterrupt: a signal ended it.
    """
    control = control or Control()
    _check(root, output, options)
    fingerprint = Fingerprint.of(
        model, load_options.of_pixels() | {"format": options.picture_format} | film_options.of_pixels()
    )
    with Manifest(output / NAME) as manifest:
        manifest.claim()
        remove_hidden(output)
        plan_again = _planner(root, output, fingerprint, manifest, options)
        job = plan_again(overwrite=options.overwrite)
        _report(job)
        total = None if options.watch else len(job.todo)
        if options.ray is not None:
            with progress(total) as show:
                stats = run_on_ray(job, options.ray, model, load_options, watch=show)
            return FolderResult(job, stats, "ray", options.ray, "")
        with load_options.load(model) as translator, progress(total) as show, _ended_by_signals(control, options):
            pictures = _picture_translation(translator, batch_size, control, show)
            films = partial(translate_film, translator=translator, film_options=film_options, control=control)
            stats = _watch(plan_again, pictures, films, control) if options.watch else job.run(pictures, films)
            engine = translator.backend
            return FolderResult(job, stats, engine.name, engine.device, engine.precision)


def _planner(
    root: Path, output: Path, fingerprint: Fingerprint, manifest: Manifest, options: FolderOptions
) -> Callable[..., FolderJob]:
    """Return the function that plans the job, anew for each round of a folder that is watched."""
    return partial(
        plan,
        root,
        output,
        fingerprint,
        manifest,
        overwrite=False,
        retry_failed=options.retry_failed,
        may_be_empty=options.watch,
        picture_format=options.picture_format,
        on_error=options.on_error,
    )


def _picture_translation(
    translator: FrameTranslator, batch_size: int, control: Control, show: Callable[[Stats], None]
) -> Translate:
    """Return the function that runs a job's pictures through the pipeline."""

    def translate(source: Source, sink: Sink, one_by_one: bool) -> Stats:
        size = 1 if one_by_one else batch_size
        own = Control(control.stop, control.paused)  # counts of its own
        return run(source, translator, sink, batch_size=size, control=own, watch=show, patience=PATIENCE)

    return translate


def _check(root: Path, output: Path, options: FolderOptions) -> None:
    is_media = output.suffix.lower() in PICTURE_NAMES | VIDEO_SUFFIXES
    if output.is_file() or (is_media and not output.is_dir()):
        raise UsageError(f"{root} is a folder, so the output must be one too; {output} names a file")
    if output.resolve() == root.resolve():
        raise UsageError(f"the output is the input, {root}; name another folder")
    if options.watch and (options.ray is not None or options.overwrite):
        raise UsageError(
            "a folder that is watched is translated on this machine and without overwriting; leave one out",
            about=("watch", "ray", "overwrite"),
        )


def _report(job: FolderJob) -> None:
    if job.left_out:
        LOGGER.warning("%s", job.left_out)
    if job.skipped:
        LOGGER.info("finished before and left alone: %d; overwriting makes them anew", job.skipped)
    if job.failed_before:
        LOGGER.warning("failed before and left alone: %d; retrying the failed ones is an option", job.failed_before)


@contextmanager
def _ended_by_signals(control: Control, options: FolderOptions) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the job after the files that are under way; that is how a watch ends well."""
    with suppress(KeyboardInterrupt) if options.watch else nullcontext(), stop_on_signals(control):
        yield


def _watch(plan_again: Callable[[], FolderJob], translate: Translate, film: TranslateFilm, control: Control) -> Stats:
    """Add the rounds up."""
    total = Stats()
    for stats in watch(plan_again, translate, control.stop, film):
        LOGGER.info("translated %d, failed %d", stats.frames, stats.failed)
        total.read += stats.read
        total.frames += stats.frames
        total.failed += stats.failed
        total.seconds += stats.seconds
    return total
