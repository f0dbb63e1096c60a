"""The loaded models, and one thread that runs them for everybody."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from numpy.typing import NDArray

from ..backends import open_backend
from ..backends.base import Backend
from ..backends.interface import Interface, read_interface
from ..contract import padded_side
from ..errors import BackendError, UsageError
from ..metadata import ArtefactMetadata, parse_metadata
from ..translator import Translator
from .limits import RefusedError
from .metrics import Metrics

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """One artefact, loaded."""

    name: str
    path: Path
    backend: Backend
    interface: Interface
    metadata: ArtefactMetadata | None

    def working_size(self, size: tuple[int, int], longest: int | None) -> tuple[int, int]:
        """Return the (height, width) at which a picture of `size` is translated, no side above `longest`."""
        if self.interface.size is not None:
            return self.interface.size
        if longest is None or longest >= max(size):
            return size
        multiple, minimum = self.interface.size_multiple, self.interface.size_minimum
        height, width = (side * longest // max(size) // multiple * multiple for side in size)
        return padded_side(height, multiple, minimum), padded_side(width, multiple, minimum)


class QueuedBackend:
    """A `Backend` whose calls wait in the queue of all users; each user has one.

    All users join one queue, first come, first served, with one request at a time. So nobody waits longer than for one
    request of each other user, and a video never delays a camera by more than a frame.
    """

    def __init__(self, backend: Backend, queue: ThreadPoolExecutor, metrics: Metrics) -> None:
        self.name, self.device, self.precision = backend.name, backend.device, backend.precision
        self.input, self.output, self.properties = backend.input, backend.output, backend.properties
        self.seconds = 0.0  # that the engine needed for the last batch
        self._backend, self._queue, self._metrics = backend, queue, metrics

    def infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run the model on one batch when its turn comes.

        Raises:
            BackendError: the engine failed, or the server stops.
        """
        try:
            turn = self._queue.submit(self._run, batch)
        except RuntimeError as error:  # the queue is closed
            raise BackendError("the server is stopping; try again once it runs") from error
        self.seconds, translated = turn.result()
        self._metrics.observe(self.seconds)
        return translated

    def close(self) -> None:
        """Do nothing: the model stays loaded for the others."""

    def _run(self, batch: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        start = perf_counter()
        translated = self._backend.infer(batch)
        return perf_counter() - start, translated


class Models:
    """The loaded models by name, and the one thread that runs them; the first is the default.

    A model is named by its file without the suffix.
    """

    def __init__(self, paths: Sequence[Path], metrics: Metrics, *, backend: str = "auto", device: str = "auto") -> None:
        """Load the artefacts.

        Raises:
            UsageError: two have one name.
            ModelError: one cannot be loaded.
        """
        self._queue = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._metrics = metrics
        self.by_name: dict[str, Model] = {}
        try:
            for path in paths:
                self._load(path, backend, device)
        except BaseException:
            self.close()
            raise

    def find(self, name: str | None) -> Model:
        """Return the model of that name, or the first one.

        Raises:
            RefusedError: 404, there is none.
        """
        if name is None:
            return next(iter(self.by_name.values()))
        if name not in self.by_name:
            raise RefusedError(404, "unknown_model", f"no model has this name; use one of: {', '.join(self.by_name)}")
        return self.by_name[name]

    def translator(
        self, model: Model, size: tuple[int, int] | None = None, longest: int | None = None
    ) -> tuple[Translator, QueuedBackend]:
        """Return a translator with its own queued backend; one thread uses it at a time.

        Given the (height, width) of what will be translated, `longest` bounds the side at which the model works;
        the result has the full size again.
        """
        queued = QueuedBackend(model.backend, self._queue, self._metrics)
        if model.interface.size is not None:
            return Translator(queued, model.path, fit="stretch"), queued
        if size is None or (working := model.working_size(size, longest)) == size:
            return Translator(queued, model.path), queued
        return Translator(queued, model.path, fit="stretch", size=working), queued

    def close(self) -> None:
        """Finish what is queued, refuse the rest and free the models."""
        for model in self.by_name.values():
            self._queue.submit(model.backend.close)
        self._queue.shutdown()

    def _load(self, path: Path, backend: str, device: str) -> None:
        if path.stem in self.by_name:
            raise UsageError(f"two models are called {path.stem}; rename one of the files, or leave one out")
        # In the thread that will run it: an engine may tie a device's context to its thread.
        opened = self._queue.submit(open_backend, path, backend=backend, device=device, live=True).result()
        LOGGER.info("%s runs in %s on %s, precision %s", path.name, opened.name, opened.device, opened.precision)
        metadata = parse_metadata(opened.properties, path)
        interface = read_interface(opened, metadata, path)
        self.by_name[path.stem] = Model(path.stem, path, opened, interface, metadata)
