"""A double of TensorRT and of CUDA, which does what is queued only when it is waited for."""

import ctypes
import hashlib
import sys
from collections import namedtuple
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from cyclegan_edge.runtime.backends.engine_file import EngineFile, OptimizationProfile, this_system, write_engine

PLAN = b"a plan"
FREE = OptimizationProfile(min=(1, 8, 8), opt=(1, 16, 16), max=(2, 32, 32))
OK = SimpleNamespace(name="cudaSuccess")
NO_CAPTURE = SimpleNamespace(name="cudaErrorStreamCaptureUnsupported")
NO_DRIVER = SimpleNamespace(name="cudaErrorInsufficientDriver")


class Graph:
    """Work that was recorded; also what can be launched of it."""

    def __init__(self, work):
        self.work = work


class Cuda:
    """CUDA's runtime on ordinary memory: a stream is a list of what is still to be done."""

    cudaHostAllocDefault = cudaStreamNonBlocking = cudaEventDisableTiming = 0
    cudaError_t = SimpleNamespace(cudaSuccess=OK)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self, devices=1):
        self.devices = devices
        self.memory = {}
        self.queue = []
        self.recording = None
        self.streams = 0
        self.launches = 0
        self.events = set()
        self.graphs = set()
        self.fails = None  # the name of the step of a capture that goes wrong
        self.last_error = OK

    def cudaGetDeviceCount(self):
        return (OK, self.devices) if self.devices else (NO_DRIVER, None)

    def cudaSetDevice(self, index):
        return (OK,)

    def cudaGetDeviceProperties(self, index):
        return OK, SimpleNamespace(name=b"NVIDIA Double", major=8, minor=9)

    def cudaGetLastError(self):
        error, self.last_error = self.last_error, OK
        return (error,)

    def failure(self, step):
        """Return the error of a step that shall fail; CUDA keeps it until it is asked for."""
        if self.fails == step:
            self.last_error = NO_CAPTURE
        return self.fails == step

    def cudaMalloc(self, size):
        memory = (ctypes.c_uint8 * size)()
        ctypes.memset(memory, 0xAA, size)
        self.memory[ctypes.addressof(memory)] = memory
        return OK, ctypes.addressof(memory)

    def cudaHostAlloc(self, size, flags):
        return self.cudaMalloc(size)

    def cudaFree(self, address):
        del self.memory[address]
        return (OK,)

    cudaFreeHost = cudaFree

    def cudaMemcpyAsync(self, target, source, size, kind, stream):
        assert {target, source} <= self.memory.keys()
        self.do(lambda: ctypes.memmove(target, source, size))
        return (OK,)

    def cudaStreamCreateWithFlags(self, flags):
        self.streams += 1
        return OK, 7

    def cudaStreamSynchronize(self, stream):
        self.drain()
        return (OK,)

    def cudaStreamDestroy(self, stream):
        self.streams -= 1
        return (OK,)

    def cudaEventCreateWithFlags(self, flags):
        event = object()
        self.events.add(event)
        return OK, event

    def cudaEventRecord(self, event, stream):
        return (OK,)

    def cudaEventSynchronize(self, event):
        self.drain()
        return (OK,)

    def cudaEventDestroy(self, event):
        self.events.remove(event)
        return (OK,)

    def cudaStreamBeginCapture(self, stream, mode):
        if self.failure("begin"):
            return (NO_CAPTURE,)
        self.recording = []
        return (OK,)

    def cudaStreamEndCapture(self, stream):
        recorded, self.recording = self.recording, None
        if self.failure("end"):
            return NO_CAPTURE, None
        return OK, self.graph(recorded)

    def cudaGraphInstantiate(self, graph, flags):
        if self.failure("instantiate"):
            return NO_CAPTURE, None
        return OK, self.graph(graph.work)

    def cudaGraphDestroy(self, graph):
        self.graphs.remove(graph)
        return (OK,)

    cudaGraphExecDestroy = cudaGraphDestroy

    def cudaGraphLaunch(self, graph, stream):
        assert graph in self.graphs
        self.launches += 1
        self.queue += graph.work
        return (OK,)

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


Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1)
TensorIOMode = namedtuple("TensorIOMode", "INPUT OUTPUT")("in", "out")


class Context:
    """An engine that inverts uint8 [N, H, W, 3]."""

    def __init__(self, cuda, logger):
        self.cuda = cuda
        self.logger = logger
        self.addresses = {}
        self.broken = False

    def set_input_shape(self, name, shape):
        self.shape = tuple(shape)
        return True

    def get_tensor_shape(self, name):
        return self.shape

    def set_tensor_address(self, name, memory):
        assert memory in self.cuda.memory
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle):
        if self.broken or (self.cuda.recording is not None and self.cuda.failure("execute")):
            self.logger.log(Severity.ERROR, "Something is\n on fire.")
            return False
        size = int(np.prod(self.shape))
        taken, given = (
            np.frombuffer((ctypes.c_uint8 * size).from_address(self.addresses[name]), np.uint8)
            for name in ("image", "translated")
        )
        self.cuda.do(lambda: np.subtract(255, taken, out=given))
        return True


class Engine:
    num_io_tensors = 2

    def __init__(self, cuda, logger):
        self.context = Context(cuda, logger)

    def get_tensor_name(self, index):
        return ("image", "translated")[index]

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if name == "image" else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return "uint8"

    def get_tensor_shape(self, name):
        return (-1, -1, -1, 3)

    def create_runtime_config(self):
        self.config = SimpleNamespace(cuda_graph_strategy="disabled")
        return self.config

    def create_execution_context(self, runtime_config=None):
        return self.context


class Runtime:
    """What loads PLAN, if the library lets it."""

    def __init__(self, library, logger):
        self.library = library
        self.logger = logger

    def deserialize_cuda_engine(self, serialized_engine):
        assert serialized_engine == PLAN
        self.logger.log(Severity.ERROR, "Wrong magic tag.")
        self.library.engine = Engine(self.library.cuda, self.logger) if self.library.loads else None
        return self.library.engine

    def get_engine_validity(self, buffer):
        assert buffer == PLAN
        return self.library.validity


class Logger:
    Severity: ClassVar = Severity


class Library(ModuleType):
    """`tensorrt` and `tensorrt_rtx` in one; the tests put it in the place of either."""

    ILogger = Logger
    TensorIOMode = TensorIOMode
    EngineValidity = namedtuple("EngineValidity", "VALID SUBOPTIMAL INVALID")(0, 1, 2)
    CudaGraphStrategy = SimpleNamespace(WHOLE_GRAPH_CAPTURE="whole")
    EngineInvalidityDiagnostics = SimpleNamespace(
        __members__={
            "VERSION_MISMATCH": 1,
            "UNSUPPORTED_CC": 2,
            "OLD_CUDA_DRIVER": 4,
            "OLD_CUDA_RUNTIME": 8,
            "INSUFFICIENT_GPU_MEMORY": 16,
            "MALFORMED_ENGINE": 32,
            "CUDA_ERROR": 64,
        }
    )
    __version__ = "1.0"

    def __init__(self, cuda):
        super().__init__("double")
        self.cuda = cuda
        self.starts = self.loads = True
        self.validity = (0, 0)

    def Runtime(self, logger):
        if not self.starts:
            logger.log(Severity.ERROR, "CUDA initialization failure with error: 35.")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return Runtime(self, logger)

    def nptype(self, dtype):
        return np.dtype(dtype)


@pytest.fixture
def cuda(monkeypatch):
    pytest.importorskip("cuda.bindings", reason="cuda-bindings is not installed; it comes with the extra tensorrt")
    from cyclegan_edge.runtime.backends import cuda_memory

    cuda = Cuda()
    monkeypatch.setattr(cuda_memory, "cudart", cuda)
    return cuda


@pytest.fixture(params=["tensorrt", "tensorrt_rtx"])
def library(request, cuda, monkeypatch):
    library = Library(cuda)
    library.name = request.param
    library.__spec__ = SimpleNamespace()
    monkeypatch.setitem(sys.modules, request.param, library)
    return library


@pytest.fixture
def engine(library, metadata, tmp_path):
    """Return a function that writes an engine of the double, with changes to its description."""

    def make(**changes):
        values = {
            "library": library.name,
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


@pytest.fixture
def doubles():
    """The doubles by the name of the class that each stands for; that of the library itself has none."""
    return {"IExecutionContext": Context, "ICudaEngine": Engine, "Runtime": Runtime, "": Library, "cuda": Cuda}
