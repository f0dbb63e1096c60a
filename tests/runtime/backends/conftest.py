"""Doubles of libraries that need a GPU: every name and parameter is the library's own, only the work is ours.

CUDA does what is queued when it is waited for.
"""

import ctypes
import inspect
import re
from typing import Any

import pytest

ARGUMENT = re.compile(r"(?:^|, )(\w+): ((?:[^,\[<(]|\[[^\]]*\]|<[^>]*>|\([^)]*\))*)")
KINDS = {
    bool: "bool",
    int: "int",
    str: "str",
    bytes: "Buffer|bytes",
    tuple: "Sequence|Dims|list|tuple",
    type(None): "None",
}


def overloads(function: Any) -> list[inspect.Signature]:
    """Return the signatures of a function of pybind11, without `self`, out of its docstring; annotations are text."""
    found = re.findall(rf"^(?:\d+\. )?{function.__name__}\(self: [\w.]+(?:, )?(.*)\) -> ", function.__doc__, re.M)
    return [
        inspect.Signature(
            [
                inspect.Parameter(
                    name,
                    inspect.Parameter.POSITIONAL_OR_KEYWORD,
                    annotation=text.partition(" = ")[0],
                    default=text.partition(" = ")[2] if "=" in text else inspect.Parameter.empty,
                )
                for name, text in ARGUMENT.findall(arguments)
            ]
        )
        for arguments in found
    ]


def suits(value: object, annotation: str) -> bool:
    """Whether pybind11 takes a value for a parameter of this type."""
    kind = KINDS.get(type(value), rf"\b{type(value).__name__}\b")
    return re.search(kind, annotation, re.I if type(value) in KINDS else 0) is not None


def bound(function: Any, arguments: tuple[object, ...], named: dict[str, object]) -> dict[str, object]:
    """Return the arguments of a call by the names of the overload that takes them.

    Raises:
        TypeError: none does.
    """
    for signature in overloads(function):
        try:
            taken = signature.bind(*arguments, **named).arguments
        except TypeError:
            continue
        if all(suits(value, signature.parameters[name].annotation) for name, value in taken.items()):
            return taken
    raise TypeError(f"{function.__doc__}\nInvoked with: {arguments}, {named}")


def double_of(real: type, work: type, lacking: frozenset[str] = frozenset()) -> type:
    """Make a class with the members of `real`, of which `work` does some; names that begin with _ are its own."""
    names = {name for name in dir(real) if not name.startswith("_")}
    assert {name for name in vars(work) if not name.startswith("_")} <= names

    def method(name: str) -> Any:
        def call(self: object, *arguments: object, **named: object) -> object:
            taken = bound(getattr(real, name), arguments, named)
            if not hasattr(work, name):
                raise NotImplementedError(f"the double of {real.__name__} does nothing for {name}")
            return getattr(work, name)(self, **taken)

        return call

    def absent(self: object) -> None:
        raise AttributeError(f"this library's {real.__name__} lacks it")

    def set_known(self: object, name: str, value: object) -> None:
        if not name.startswith("_") and name not in names - lacking:
            raise AttributeError(f"{real.__name__} has no attribute {name}")
        object.__setattr__(self, name, value)

    members = {name: method(name) for name in names if callable(getattr(real, name))}
    members |= {name: property(absent) for name in names & lacking}
    return type(real.__name__, (work,), members | {"__setattr__": set_known})


class Graph:
    """Work that was recorded; also what can be launched of it."""

    def __init__(self, work):
        self.work = work


class Cuda:
    """CUDA's runtime on ordinary memory: a stream is a list of what is still to be done."""

    def __init__(self, real, devices=1):
        self.real = real
        self.ok = real.cudaError_t.cudaSuccess
        self.no_capture = real.cudaError_t.cudaErrorStreamCaptureUnsupported
        self.devices = devices
        self.memory = {}
        self.queue = []
        self.recording = None
        self.streams = 0
        self.launches = 0
        self.events = set()
        self.graphs = set()
        self.fails = None  # the name of the step of a capture that goes wrong
        self.bytes_free = 1 << 30
        self.last_error = self.ok

    def cudaGetDeviceCount(self):
        return (self.ok, self.devices) if self.devices else (self.real.cudaError_t.cudaErrorInsufficientDriver, None)

    def cudaSetDevice(self, device):
        return (self.ok,)

    def cudaGetDeviceProperties(self, device):
        properties = self.real.cudaDeviceProp()
        properties.name = b"NVIDIA Double".ljust(256, b"\0")
        properties.major, properties.minor = 8, 9
        return self.ok, properties

    def cudaGetLastError(self):
        error, self.last_error = self.last_error, self.ok
        return (error,)

    def failure(self, step):
        """Return the error of a step that shall fail; CUDA keeps it until it is asked for."""
        if self.fails == step:
            self.last_error = self.no_capture
        return self.fails == step

    def cudaMalloc(self, size):
        if size > self.bytes_free:
            return self.real.cudaError_t.cudaErrorMemoryAllocation, None
        self.bytes_free -= size
        memory = (ctypes.c_uint8 * size)()
        ctypes.memset(memory, 0xAA, size)
        self.memory[ctypes.addressof(memory)] = memory
        return self.ok, ctypes.addressof(memory)

    def cudaHostAlloc(self, size, flags):
        return self.cudaMalloc(size)

    def cudaFree(self, devPtr):
        self.bytes_free += len(self.memory.pop(devPtr))
        return (self.ok,)

    def cudaFreeHost(self, ptr):
        return self.cudaFree(ptr)

    def cudaMemcpyAsync(self, dst, src, count, kind, stream):
        assert {dst, src} <= self.memory.keys()
        self.do(lambda: ctypes.memmove(dst, src, count))
        return (self.ok,)

    def cudaStreamCreateWithFlags(self, flags):
        self.streams += 1
        return self.ok, self.real.cudaStream_t(7)

    def cudaStreamSynchronize(self, stream):
        self.drain()
        return (self.ok,)

    def cudaStreamDestroy(self, stream):
        self.streams -= 1
        return (self.ok,)

    def cudaEventCreateWithFlags(self, flags):
        event = object()
        self.events.add(event)
        return self.ok, event

    def cudaEventRecord(self, event, stream):
        return (self.ok,)

    def cudaEventSynchronize(self, event):
        self.drain()
        return (self.ok,)

    def cudaEventDestroy(self, event):
        self.events.remove(event)
        return (self.ok,)

    def cudaStreamBeginCapture(self, stream, mode):
        if self.failure("begin"):
            return (self.no_capture,)
        self.recording = []
        return (self.ok,)

    def cudaStreamEndCapture(self, stream):
        recorded, self.recording = self.recording, None
        if self.failure("end"):
            return self.no_capture, None
        return self.ok, self.graph(recorded)

    def cudaGraphInstantiate(self, graph, flags):
        if self.failure("instantiate"):
            return self.no_capture, None
        return self.ok, self.graph(graph.work)

    def cudaGraphDestroy(self, graph):
        self.graphs.remove(graph)
        return (self.ok,)

    def cudaGraphExecDestroy(self, graphExec):
        return self.cudaGraphDestroy(graphExec)

    def cudaGraphLaunch(self, graphExec, stream):
        assert graphExec in self.graphs
        self.launches += 1
        self.queue += graphExec.work
        return (self.ok,)

    def graph(self, work):
        graph = Graph(work)
        self.graphs.add(graph)
        return graph

    def do(self, work):
        (self.queue if self.recording is None else self.recording).append(work)

    def drain(self):
        queue, self.queue = self.queue, []
        for work in queue:
            work()


class CudaRuntime:
    """The module `cuda.bindings.runtime`: its own names and parameters, and a `Cuda` that does the work."""

    def __init__(self, real, cuda):
        self._real = real
        self._cuda = cuda

    def __getattr__(self, name):
        real = getattr(self._real, name)
        if isinstance(real, type) or not callable(real):
            return real  # an enumeration, a structure, a constant

        def call(*arguments, **named):
            return getattr(self._cuda, name)(**inspect.signature(real).bind(*arguments, **named).arguments)

        return call


@pytest.fixture(name="overloads")
def overloads_fixture():
    """Return the function that reads a signature of pybind11."""
    return overloads


@pytest.fixture(name="double_of")
def double_of_fixture():
    """Return the function that makes a class like that of a library."""
    return double_of


@pytest.fixture
def cuda(monkeypatch):
    real = pytest.importorskip(
        "cuda.bindings.runtime", reason="cuda-bindings is not installed; it comes with the extra tensorrt"
    )
    from cyclegan_edge.runtime.backends import cuda_memory

    cuda = Cuda(real)
    monkeypatch.setattr(cuda_memory, "cudart", CudaRuntime(real, cuda))
    return cuda
