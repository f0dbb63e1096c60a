"""State that the server's endpoints share while it runs."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from ..control import Control
from .answers import Answers
from .broadcast import Broadcast
from .budget import Budget
from .camera import open_live
from .limits import Limits, Places
from .metrics import Metrics
from .models import Models
from .uploads import Uploads
from .videos import Videos

_WORKERS = 4  # they decode, encode, and wait for the engine
_LARGE_WORKERS = 2  # as much for large pictures and the first frames of videos
LARGE = 3 * 2**20  # bytes; what takes more memory shares the budget of large work, and never delays what takes less

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


@dataclass
class Service:
    """The models, the limits, and the work under way."""

    models: Models
    metrics: Metrics
    limits: Limits = field(default_factory=Limits)
    longest: int = 256  # the side at which cameras are translated unless the page asks otherwise
    broadcast: Broadcast | None = None

    def __post_init__(self) -> None:
        self.pictures = Places(self.limits.pictures, "pictures")
        self.sockets = Places(self.limits.sockets, "viewers")
        self.videos = Videos(self.models, self.limits, self.metrics)
        self.uploads = Uploads(self.limits)
        self.answers = Answers(self.limits)
        self.large_work = Budget(3 * self.limits.picture_pixels)  # bytes: one of the largest, or several smaller ones
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="pictures")
        self._large = ThreadPoolExecutor(_LARGE_WORKERS, thread_name_prefix="large pictures")

    async def in_thread(
        self,
        memory: int,
        function: Callable[_Arguments, _Result],
        *arguments: _Arguments.args,
        **options: _Arguments.kwargs,
    ) -> _Result:
        """Run in a worker what would block the event loop; what takes much `memory` (bytes) waits until it is free."""
        work = partial(function, *arguments, **options)
        if memory <= LARGE:
            return await asyncio.wrap_future(self._workers.submit(work))
        held = await self.large_work.acquire(memory)
        loop = asyncio.get_running_loop()

        def release(_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed, and all memory is free
                loop.call_soon_threadsafe(self.large_work.release, held)

        # Released by the thread's end: a visitor who leaves does not end the work.
        running = self._large.submit(work)
        running.add_done_callback(release)
        return await asyncio.wrap_future(running)

    def gauges(self) -> dict[str, float]:
        """Return the gauges of this moment, by the metrics' names."""
        return {
            "cyclegan_sockets": self.sockets.taken,
            "cyclegan_pictures_in_work": self.pictures.taken,
            "cyclegan_videos_queued": self.videos.queued,
            "cyclegan_disk_bytes": self.videos.disk_bytes,
        }

    def close(self) -> None:
        """End the stream, the videos and the workers, then free the models."""
        if self.broadcast is not None:
            self.broadcast.close()
            self.broadcast.join()
        self.videos.close()
        for workers in (self._workers, self._large):
            workers.shutdown(cancel_futures=True)
        self.models.close()


def open_service(
    models: Sequence[Path],
    *,
    address: str | None = None,
    longest: int = 256,
    limits: Mapping[str, int] | None = None,
    backend: str = "auto",
    device: str = "auto",
) -> Service:
    """Load the models and make everything ready; `address` is a camera or stream to show.

    Raises:
        UsageError: an unknown limit, engine or device, two models of one name, or `address` is not a live source.
        InputError: `address` cannot be opened.
        ModelError: a model cannot be loaded.
    """
    usual = Limits(engine_pixels=max(Limits.engine_pixels, longest * longest))
    allowed = usual.changed(limits or {})
    if address is not None:
        open_live(address, Control())
    metrics = Metrics()
    loaded = Models(models, metrics, backend=backend, device=device)
    broadcast = Broadcast(address, loaded, loaded.find(None), longest, metrics) if address is not None else None
    return Service(loaded, metrics, allowed, longest, broadcast)
