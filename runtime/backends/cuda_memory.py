"""CUDA's memory, streams and graphs through cuda-bindings, which needs NVIDIA's driver and nothing else."""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from cuda.bindings import runtime as cudart
from numpy.typing import NDArray

from ..errors import BackendError

_TO_DEVICE = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
_TO_HOST = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost


def call(function: Any, *arguments: Any) -> Any:
    """Call a function of CUDA's runtime; returns what it gives besides its error code.

    Raises:
        BackendError: CUDA answers with an error; the message names it.
    """
    code, *values = function(*arguments)
    if code == cudart.cudaError_t.cudaErrorMemoryAllocation:
        raise BackendError("the memory of the GPU is too small for this; take smaller pictures or batches")
    if code != cudart.cudaError_t.cudaSuccess:
        raise BackendError(f"CUDA failed: {code.name}; see: cyclegan doctor")
    return values[0] if values else None


def open_device(index: int) -> tuple[str, str]:
    """Take a GPU for the calling thread; returns its name and compute capability, such as "8.9".

    Raises:
        BackendError: there is none, or none with that number.
    """
    code, count = cudart.cudaGetDeviceCount()
    if code != cudart.cudaError_t.cudaSuccess or not count:
        raise BackendError(f"there is no NVIDIA GPU to run this on ({code.name}); see: cyclegan doctor")
    if index >= count:
        raise BackendError(f"there is no cuda:{index} here; use cuda:0{f' to cuda:{count - 1}' if count > 1 else ''}")
    call(cudart.cudaSetDevice, index)
    properties = call(cudart.cudaGetDeviceProperties, index)
    return properties.name.decode(), f"{properties.major}.{properties.minor}"


def use_device(index: int) -> None:
    """Make a device the calling thread's own."""
    call(cudart.cudaSetDevice, index)


class Buffer:
    """Page-locked memory of the host and as much of the device, which copies can run between while others compute."""

    def __init__(self, size: int) -> None:
        """Reserve `size` bytes on either side."""
        self.size = size
        self.device: int = call(cudart.cudaMalloc, size)
        try:
            self._host: int = call(cudart.cudaHostAlloc, size, cudart.cudaHostAllocDefault)
        except BackendError:
            cudart.cudaFree(self.device)
            raise

    def view(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the host's side, as an array over the memory itself."""
        return np.ndarray(shape, dtype, buffer=memoryview((ctypes.c_uint8 * self.size).from_address(self._host)))

    def upload(self, size: int, stream: int) -> None:
        """Queue the copy of the first `size` bytes to the device."""
        call(cudart.cudaMemcpyAsync, self.device, self._host, size, _TO_DEVICE, stream)

    def download(self, size: int, stream: int) -> None:
        """Queue the copy of the first `size` bytes back."""
        call(cudart.cudaMemcpyAsync, self._host, self.device, size, _TO_HOST, stream)

    def free(self) -> None:
        """Give both sides back; what CUDA says then can no longer be helped."""
        cudart.cudaFree(self.device)
        cudart.cudaFreeHost(self._host)


def new_stream() -> int:
    """Make a stream that does not wait for the default one."""
    return int(call(cudart.cudaStreamCreateWithFlags, cudart.cudaStreamNonBlocking))


def new_event() -> Any:
    """Make an event without a clock."""
    return call(cudart.cudaEventCreateWithFlags, cudart.cudaEventDisableTiming)


def mark(event: Any, stream: int) -> None:
    """Let the event happen once all that is queued is done."""
    call(cudart.cudaEventRecord, event, stream)


def wait(event: Any) -> None:
    """Wait until the event has happened."""
    call(cudart.cudaEventSynchronize, event)


def capture(run: Callable[[], None], stream: int) -> Any:
    """Record what `run()` queues on the stream as a graph that can be launched again and again.

    Raises:
        BackendError: something in it cannot be recorded; the stream goes on as before.
    """
    graph = None
    try:
        call(cudart.cudaStreamBeginCapture, stream, cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
        try:
            run()
        finally:
            graph = call(cudart.cudaStreamEndCapture, stream)
        return call(cudart.cudaGraphInstantiate, graph, 0)
    except BackendError:
        cudart.cudaGetLastError()  # takes the error away, or whoever asks next holds it for his own
        raise
    finally:
        if graph is not None:
            cudart.cudaGraphDestroy(graph)


def launch(graph: Any, stream: int) -> None:
    """Queue a recorded graph."""
    call(cudart.cudaGraphLaunch, graph, stream)


def finish(stream: int) -> None:
    """Wait for all that is queued, whatever came of it."""
    cudart.cudaStreamSynchronize(stream)


def release_event(event: Any, graphs: list[Any]) -> None:
    """Give back an event, and the graphs that were recorded beside it."""
    for graph in graphs:
        cudart.cudaGraphExecDestroy(graph)
    cudart.cudaEventDestroy(event)


def release_stream(stream: int) -> None:
    """Give back a stream."""
    cudart.cudaStreamDestroy(stream)
