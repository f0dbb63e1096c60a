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


class Place:
    """One user's place in the line for a model: a `Backend` that waits its turn.

    Whoever asks stands in one line, first come, first served, and with one request at a time; so nobody waits longer
    than everybody else's one request, and a video never holds up a camera by more than a frame.
    """

    def __init__(self, backend: Backend, line: ThreadPoolExecutor, metrics: Metrics) -> None:
        self.name, self.device, self.precision = backend.name, backend.device, backend.precision
        self.input, self.output, self.properties = backend.input, backend.output, backend.properties
        self.seconds = 0.0  # that the engine itself needed for the last batch
        self._backend, self._line, self._metrics = backend, line, metrics

    def infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run the model on one batch once it is its turn.

        Raises:
            BackendError: the engine failed, or the server stops.
        """
        try:
            turn = self._line.submit(self._run, batch)
        except RuntimeError as error:  # the line is closed
            raise BackendError("the server is stopping; try again once it runs") from error
        self.seconds, translated = turn.result()
        self._metrics.observe(self.seconds)
        return translated

    def close(self) -> None:
        """Leave the line; the model stays loaded."""

    def _run(self, batch: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        start = perf_counter()
        translated = self._backend.infer(batch)
        return perf_counter() - start, translated


class Engine:
    """Models by name, the first is the default; each is called by the file's name without its suffix."""

    def __init__(self, paths: Sequence[Path], metrics: Metrics, *, backend: str = "auto", device: str = "auto") -> None:
        """Load all of them.

        Raises:
            UsageError: two have one name.
            ModelError: one cannot be loaded.
        """
        self._line = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._metrics = metrics
        self.models: dict[str, Model] = {}
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
            return next(iter(self.models.values()))
        if name not in self.models:
            raise RefusedError(404, "unknown_model", f"no model has this name; use one of: {', '.join(self.models)}")
        return self.models[name]

    def translator(
        self, model: Model, size: tuple[int, int] | None = None, longest: int | None = None
    ) -> tuple[Translator, Place]:
        """Return a translator with a place of its own in the line; one thread uses it at a time.

        Given the (height, width) of what will be translated, `longest` bounds the side at which the model works;
        the result has the full size again.
        """
        place = Place(model.backend, self._line, self._metrics)
        if model.interface.size is not None:
            return Translator(place, model.path, fit="stretch"), place
        if size is None or (working := model.working_size(size, longest)) == size:
            return Translator(place, model.path), place
        return Translator(place, model.path, fit="stretch", size=working), place

    def close(self) -> None:
        """Serve those who stand in line, refuse all others and free the models."""
        for model in self.models.values():
            self._line.submit(model.backend.close)
        self._line.shutdown()

    def _load(self, path: Path, backend: str, device: str) -> None:
        if path.stem in self.models:
            raise UsageError(f"two models are called {path.stem}; rename one of the files, or leave one out")
        # In the thread that will run it: an engine may tie a device's context to its thread.
        opened = self._line.submit(open_backend, path, backend=backend, device=device, live=True).result()
        LOGGER.info("%s runs in %s on %s, precision %s", path.name, opened.name, opened.device, opened.precision)
        metadata = parse_metadata(opened.properties, path)
        interface = read_interface(opened, metadata, path)
        self.models[path.stem] = Model(path.stem, path, opened, interface, metadata)
