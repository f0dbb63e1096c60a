"""ONNX Runtime on memory of the GPU that stays where it is, so that CUDA replays a run as one graph.

A graph belongs to one shape and to the addresses that it was captured with: each shape has its own input, output and
number (`gpu_graph_id`). See "Using CUDA Graphs" in
https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html.
"""

import logging
import threading
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

LOGGER = logging.getLogger(__name__)

_NO_GRAPH = "-1"
MOST_GRAPHS = 16  # each holds memory of its own on the GPU; threads and shapes beyond them run without


class BoundRun:
    """Runs of a session on batches of one shape."""

    def __init__(
        self, session: Any, batch: NDArray[Any], result: NDArray[Any], device: str, index: int, graph: str
    ) -> None:
        """Reserve memory on a device, "cuda" or "cpu", for what `batch` and `result` are examples of."""
        self._session = session
        self._input = ort.OrtValue.ortvalue_from_shape_and_type(batch.shape, batch.dtype, device, index)
        self._output = ort.OrtValue.ortvalue_from_shape_and_type(result.shape, result.dtype, device, index)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(session.get_inputs()[0].name, self._input)
        self._binding.bind_ortvalue_output(session.get_outputs()[0].name, self._output)
        self._options = _options(graph)

    def __call__(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Copy a batch in, run, and copy the result out."""
        self._input.update_inplace(batch)
        self._session.run_with_iobinding(self._binding, self._options)
        return np.array(self._output.numpy())  # on a CPU that is the very memory which the next run writes


class GraphRuns:
    """A session that may capture graphs; a graph is used once its results are those of the plain run.

    ONNX Runtime keeps what it captured for the thread that ran it, so each thread proves graphs of its own.
    """

    def __init__(self, session: Any, device: str, index: int, *, fixed: bool = True) -> None:
        """Capture graphs if the sizes of pictures are fixed; where every batch may differ, none would be used twice."""
        self._session, self._device, self._index, self._fixed = session, device, index, fixed
        self._of_thread = threading.local()
        self._count = 0

    def infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run the session on [N, …]; raises what ONNX Runtime raises."""
        bound = self._runs.get(batch.shape)
        if bound is not None:
            return bound(batch)
        name = self._session.get_inputs()[0].name
        result: NDArray[Any] = self._session.run(None, {name: batch}, _options(_NO_GRAPH))[0]
        if self._fixed and batch.shape not in self._runs and self._count < MOST_GRAPHS:
            self._runs[batch.shape] = self._proven(batch, result)
        return result

    @property
    def _runs(self) -> dict[tuple[int, ...], BoundRun | None]:
        """The calling thread's runs by the batch's shape; None: without a graph."""
        runs: dict[tuple[int, ...], BoundRun | None] = vars(self._of_thread).setdefault("runs", {})
        return runs

    def _proven(self, batch: NDArray[Any], result: NDArray[Any]) -> BoundRun | None:
        """Capture a graph, and return it if its replays tell pictures apart and equal the plain run."""
        self._count += 1
        number = str(self._count)
        try:
            bound = BoundRun(self._session, batch, result, self._device, self._index, number)
            bound(np.zeros_like(batch))
            replays = [bound(batch) for _ in range(2)]
        except Exception:  # ONNX Runtime's errors share no class of their own
            LOGGER.debug("no graph of %s", batch.shape, exc_info=True)
            return None
        # As near as runs of one picture are to one another: some kernels add in no fixed order.
        step = 1 if result.dtype == np.uint8 else 2 / 255
        if all(np.allclose(replay.astype(np.float32), result, rtol=0, atol=step) for replay in replays):
            return bound
        LOGGER.debug("the graph of %s differs from a plain run and is not used", batch.shape)
        return None


def _options(graph: str) -> Any:
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", graph)
    return options
