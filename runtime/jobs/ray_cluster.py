"""A folder job on a Ray cluster: the same plan, manifest, counts and errors, with a translator on every node.

The files go through a Ray Data pipeline in small portions. Each worker does its portion as a folder job of its own and
sends the records back; only this process writes the manifest. Where a node is lost, Ray gives its portions to others.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from socket import create_connection
from typing import Any

from .. import errors
from ..errors import BackendError, CycleganError, InputError
from ..stats import Stats
from ..translator import LoadOptions
from .job import FolderJob
from .manifest import Manifest, from_line, to_line

LOGGER = logging.getLogger(__name__)

PORTION = 8  # files that a worker takes at a time, and that are done again where its node is lost


def run_on_ray(
    job: FolderJob,
    address: str,
    model: Path,
    load_options: LoadOptions,
    *,
    watch: Callable[[Stats], None] = lambda stats: None,
) -> Stats:
    """Do what is left of a folder job on a Ray cluster, whose nodes see the same paths as this one.

    Args:
        job: as `jobs.plan` made it.
        address: "auto", or HOST:PORT of the cluster.
        model: the artefact.
        load_options: how each worker loads the model.
        watch: called with the counts as they grow.

    Raises:
        BackendError: Ray is not installed, no cluster answers, or the cluster gave up.
        CycleganError: what `FolderJob.run` raises.
    """
    stats = Stats()
    todo = [name for name in job.todo if _started(job, name)]
    with _cluster(address):
        for record in _translated(job, todo, model.absolute(), load_options):
            if record.startswith("{"):
                _adopt(job, record)
            else:
                kind, _, message = record.partition(":")
                raise getattr(errors, kind)(message)
            stats.read, stats.frames, stats.failed = len(job.done | job.failed), len(job.done), len(job.failed)
            watch(stats)
    lost = set(todo) - job.done - job.failed
    if lost:
        raise BackendError(f"the Ray cluster lost {len(lost)} of {len(todo)} files; run the same command again")
    return stats


class Worker:
    """What runs on a node: one translator, loaded for the first portion."""

    def __init__(self, make_job: Callable[..., FolderJob], model: Path, load_options: LoadOptions) -> None:
        self._make_job, self._load = make_job, partial(_load, model, load_options)
        self._translate: Any = None
        self._proven = False

    def __call__(self, portion: Mapping[str, Any]) -> dict[str, list[str]]:
        """Translate the files named in the column "name".

        Gives a column "line": the records, and last the error that ends the whole job, as CLASS:MESSAGE.
        """
        job = self._make_job(manifest=Manifest(None), todo=[Path(os.fsdecode(name)) for name in portion["name"]])
        broken = []
        try:
            self._translate = self._translate or self._load()
            job.run(self._translate, proven=self._proven)
            self._proven = self._proven or bool(job.done)
        except CycleganError as error:
            broken = [f"{type(error).__name__}:{error}"]
        return {"line": [to_line(record) for record in job.manifest.records()] + broken}


def _load(model: Path, load_options: LoadOptions) -> Callable[..., Stats]:
    from ..pipeline.run import run

    translator = load_options.load(model)
    return lambda source, sink, one_by_one: run(source, translator, sink)


def _translated(job: FolderJob, todo: list[Path], model: Path, load_options: LoadOptions) -> Iterator[str]:
    """Give the lines of all workers as they come."""
    import ray
    import ray.data

    if not todo:
        return
    list_nodes: Callable[[], list[dict[str, Any]]] = ray.nodes
    make_job = partial(
        FolderJob,
        job.root.absolute(),
        job.output.absolute(),
        job.fingerprint,
        picture_format=job.picture_format,
        on_error=job.on_error,
    )
    on_gpu = load_options.device.startswith("cuda")
    nodes = [node for node in list_nodes() if node["Alive"]]
    portions = -(-len(todo) // PORTION)
    names = ray.data.from_items([{"name": os.fsencode(name)} for name in todo], override_num_blocks=portions)
    lines = names.map_batches(
        Worker,
        fn_constructor_args=(make_job, model, load_options),
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=min(len(nodes), portions)),
        num_gpus=1 if on_gpu else None,
        num_cpus=None if on_gpu else 1,
    )
    try:
        for row in lines.iter_rows():
            yield row["line"]
    except ray.exceptions.RayError as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise BackendError(f"the Ray cluster gave up: {reason}; run the same command again") from error


@contextmanager
def _cluster(address: str) -> Iterator[None]:
    """Connect to a cluster that runs, and say little."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise BackendError('Ray is not installed; install it with: pip install "cyclegan-edge[ray]"') from error
    try:
        host, _, port = address.rpartition(":")
        if host and port.isdecimal():  # Ray itself would ask for minutes
            create_connection((host, int(port)), timeout=10).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise BackendError(
            f"no Ray cluster answers at {address}; start one with: ray start --head, or name its HOST:PORT"
        ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    with redirect_stdout(sys.stderr):  # Ray's own messages, the last of them at its end; stdout is for our summary
        try:
            yield
        finally:
            ray.shutdown()


def _started(job: FolderJob, name: Path) -> bool:
    try:
        job.start(name)
    except InputError as error:
        LOGGER.error("failed: %s", error)
        job.fail(name, error)
        return False
    return True


def _adopt(job: FolderJob, line: str) -> None:
    """Take over what a worker says of a file; the error that follows accounts for what it only began."""
    record = from_line(line)
    if record is None or record.status == "started":
        return
    if record.status == "failed":
        LOGGER.error("failed: %s", record.error)
    job.manifest.add(record)
    (job.done if record.status == "done" else job.failed).add(Path(record.work.path))
