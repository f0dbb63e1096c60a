"""Doubles of TensorRT and of CUDA: every name and parameter is the library's own, only the work behind some is ours.

What is queued is done when it is waited for.
"""

import ctypes
import hashlib
import inspect
import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cyclegan_edge.runtime.backends.engine_file import EngineFile, OptimizationProfile, this_system, write_engine

PLAN = b"a plan"
FREE = OptimizationProfile(min=(1, 8, 8), opt=(1, 16, 16), max=(2, 32, 32))
OF_RTX_ALONE = {"get_engine_validity", "create_runtime_config", "EngineValidity", "EngineInvalidityDiagnostics"}
OF_RTX_ALONE |= {"IRuntimeConfig", "CudaGraphStrategy"}

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


class ContextWork:
    """An engine that inverts uint8 [N, H, W, 3]."""

    def __init__(self, library):
        self._library = library
        self._addresses = {}
        self._broken = False

    def set_input_shape(self, name, shape):
        self._shape = tuple(shape)
        least, most = self._library.batches
        return least <= self._shape[0] <= most

    def get_tensor_shape(self, name):
        return self._shape

    def set_tensor_address(self, name, memory):
        assert memory in self._library.cuda.memory
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle):
        cuda = self._library.cuda
        if self._broken or (cuda.recording is not None and cuda.failure("execute")):
            self._library.complain("Something is\n on fire.")
            return False
        size = int(np.prod(self._shape))
        image, translated = (
            np.frombuffer((ctypes.c_uint8 * size).from_address(self._addresses[name]), np.uint8)
            for name in ("image", "translated")
        )
        cuda.do(lambda: np.subtract(255, image, out=translated))
        return True


class RuntimeConfigWork:
    """How an engine of TensorRT-RTX is run."""


class EngineWork:
    num_io_tensors = 2

    def __init__(self, library):
        self._library = library
        self._context = library.double("IExecutionContext", ContextWork)(library)

    def get_tensor_name(self, index):
        return ("image", "translated")[index]

    def get_tensor_mode(self, name):
        return getattr(self._library.TensorIOMode, "INPUT" if name == "image" else "OUTPUT")

    def get_tensor_dtype(self, name):
        return self._library.DataType.UINT8

    def get_tensor_shape(self, name):
        return (-1, -1, -1, 3)

    def create_runtime_config(self):
        self._config = self._library.double("IRuntimeConfig", RuntimeConfigWork)()
        return self._config

    def create_execution_context(self, strategy=None, runtime_config=None):
        return self._context


class RuntimeWork:
    """What loads PLAN, if the library lets it."""

    def __init__(self, library):
        self._library = library

    def deserialize_cuda_engine(self, serialized_engine):
        assert serialized_engine == PLAN
        self._library.complain("Wrong magic tag.")
        library = self._library
        library.engine = library.double("ICudaEngine", EngineWork)(library) if library.loads else None
        return library.engine

    def get_engine_validity(self, buffer):
        validity, bits = self._library.validity
        return getattr(self._library.EngineValidity, validity), bits


class Library(ModuleType):
    """`tensorrt_rtx`, or what `tensorrt` has of it: its own enumerations and loggers; doubles of what needs a GPU."""

    __version__ = "1.0"

    def __init__(self, real, name, cuda):
        super().__init__(name)
        self.real, self.cuda = real, cuda
        self.lacking = frozenset(OF_RTX_ALONE if name == "tensorrt" else ())
        self.starts = self.loads = True
        self.validity = ("VALID", 0)
        self.batches = (1, 1 << 30)  # that a context takes

    def __getattr__(self, name):
        if name in self.lacking:
            raise AttributeError(f"{self.__name__} has no attribute {name}")
        return getattr(self.real, name)

    def double(self, name, work):
        """Return the class that stands for one of the library's."""
        if name in self.lacking:
            raise AttributeError(f"{self.__name__} has no attribute {name}")
        return double_of(getattr(self.real, name), work, self.lacking)

    def complain(self, text):
        self.logger.log(self.real.ILogger.Severity.ERROR, text)

    def Runtime(self, logger):
        assert isinstance(logger, self.real.ILogger)
        self.logger = logger
        if not self.starts:
            self.complain("CUDA initialization failure with error: 35.")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return self.double("Runtime", RuntimeWork)(self)


@pytest.fixture(name="overloads")
def overloads_fixture():
    """Return the function that reads a signature of pybind11."""
    return overloads


@pytest.fixture
def rtx():
    """The library itself."""
    return pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")


@pytest.fixture
def cuda(monkeypatch):
    real = pytest.importorskip(
        "cuda.bindings.runtime", reason="cuda-bindings is not installed; it comes with the extra tensorrt"
    )
    from cyclegan_edge.runtime.backends import cuda_memory

    cuda = Cuda(real)
    monkeypatch.setattr(cuda_memory, "cudart", CudaRuntime(real, cuda))
    return cuda


@pytest.fixture(params=["tensorrt", "tensorrt_rtx"])
def library(request, cuda, rtx, monkeypatch):
    library = Library(rtx, request.param, cuda)
    library.__spec__ = SimpleNamespace()
    monkeypatch.setitem(sys.modules, request.param, library)
    return library


@pytest.fixture
def engine(library, metadata, tmp_path):
    """Return a function that writes an engine of the double, with changes to its description."""

    def make(**changes):
        values = {
            "library": library.__name__,
            "library_version": "1.0",
            "gpu": "NVIDIA Double",
            "compute_capabilities": ("8.9",),
            "system": this_system(),
            "plan_bytes": len(PLAN),
            "plan_sha256": hashlib.sha256(PLAN).hexdigest(),
            "onnx_sha256": "0" * 64,
            "tf32": False,
            "profile": FREE,
            "artefact": metadata(),
        }
        write_engine(PLAN, EngineFile(**(values | changes)), tmp_path / "a.engine")
        return tmp_path / "a.engine"

    return make
