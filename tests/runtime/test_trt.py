"""The TensorRT backend over a double of the library and of CUDA, which does what is queued only when it is waited for.

A test holds the double, and what the code expects of the library, against the real TensorRT-RTX.
"""

import ctypes
import hashlib
import sys
from collections import namedtuple
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from cyclegan_edge.runtime.backends import open_backend, trt_api
from cyclegan_edge.runtime.engine_file import EngineFile, Profile, this_system, write_engine
from cyclegan_edge.runtime.errors import ArtefactError, BackendError

cuda_memory = pytest.importorskip("cyclegan_edge.runtime.backends.cuda_memory", reason="cuda-bindings is not installed")

PLAN = b"a plan"
FREE = Profile(smallest=(1, 8, 8), commonest=(1, 16, 16), largest=(2, 32, 32))
FIXED = Profile(smallest=(1, 8, 8), commonest=(1, 8, 8), largest=(1, 8, 8))
OK = cuda_memory.cudart.cudaError_t.cudaSuccess
NO_DRIVER = cuda_memory.cudart.cudaError_t.cudaErrorInsufficientDriver


class Cuda:
    """CUDA's runtime on ordinary memory: a stream is a list of what is still to be done."""

    cudaHostAllocDefault = cudaStreamNonBlocking = cudaEventDisableTiming = 0
    cudaError_t = cuda_memory.cudart.cudaError_t
    cudaStreamCaptureMode = cuda_memory.cudart.cudaStreamCaptureMode

    def __init__(self, devices=1):
        self.devices = devices
        self.memory = {}
        self.queue = []
        self.recording = None
        self.streams = 0
        self.launches = 0
        self.events = set()

    def cudaGetDeviceCount(self):
        return (OK, self.devices) if self.devices else (NO_DRIVER, None)

    def cudaSetDevice(self, index):
        return (OK,)

    def cudaGetDeviceProperties(self, index):
        return OK, SimpleNamespace(name=b"NVIDIA Double", major=8, minor=9)

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
        self.recording = []
        return (OK,)

    def cudaStreamEndCapture(self, stream):
        recorded, self.recording = self.recording, None
        return OK, recorded

    def cudaGraphInstantiate(self, graph, flags):
        return OK, graph

    def cudaGraphDestroy(self, graph):
        return (OK,)

    def cudaGraphExecDestroy(self, graph):
        return (OK,)

    def cudaGraphLaunch(self, graph, stream):
        self.launches += 1
        self.queue += graph
        return (OK,)

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
        if self.broken:
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
        self.loads = True
        self.validity = (0, 0)

    def Runtime(self, logger):
        def deserialize(plan):
            assert plan == PLAN
            logger.log(Severity.ERROR, "Wrong magic tag.")
            self.engine = Engine(self.cuda, logger) if self.loads else None
            return self.engine

        return SimpleNamespace(deserialize_cuda_engine=deserialize, get_engine_validity=lambda plan: self.validity)

    def nptype(self, dtype):
        return np.dtype(dtype)


@pytest.fixture
def cuda(monkeypatch):
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


def test_pictures_go_through_and_the_caller_owns_the_result(engine, library, noise):
    backend = open_backend(engine())
    assert (backend.name, backend.device) == (library.name.replace("_", "-"), "cuda:0")
    assert str(backend.input) == "image uint8 [?, ?, ?, 3]"
    results = []
    for shape in ((1, 8, 8, 3), (2, 32, 32, 3), (1, 16, 8, 3)):
        batch = noise(*shape)
        results.append((backend.infer(batch), batch))
    assert all(np.array_equal(result, 255 - batch) for result, batch in results)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 7])
def test_more_pictures_than_the_engine_takes_go_through_in_parts(engine, noise, number):
    batch = noise(number, 16, 24, 3)
    assert np.array_equal(open_backend(engine()).infer(batch), 255 - batch)


def test_one_shape_becomes_a_cuda_graph(engine, library, cuda, noise):
    backend = open_backend(engine(profile=FIXED))
    for _ in range(3):
        batch = noise(3, 8, 8, 3)
        assert np.array_equal(backend.infer(batch), 255 - batch)
    if library.name == "tensorrt":
        assert cuda.launches == 7  # of nine parts, each of the two slots records its first
    else:
        assert cuda.launches == 0
        assert library.engine.config.cuda_graph_strategy == "whole"


def test_closing_gives_everything_back_and_ends_it(engine, cuda, noise):
    backend = open_backend(engine())
    backend.infer(noise(1, 8, 8, 3))
    backend.infer(noise(2, 32, 32, 3))  # needs larger buffers
    assert len(cuda.memory) == 8
    backend.close()
    backend.close()
    assert (cuda.memory, cuda.events, cuda.streams) == ({}, set(), 0)
    with pytest.raises(BackendError, match="was closed"):
        backend.infer(noise(1, 8, 8, 3))


def test_a_size_outside_the_profile_is_refused(engine, noise):
    with pytest.raises(BackendError, match=r"takes batches of 1x8x8 to 2x32x32 .*, not 1x64x32"):
        open_backend(engine()).infer(noise(1, 64, 32, 3))


def test_a_failing_engine_says_what_it_says(engine, library, noise):
    backend = open_backend(engine())
    library.engine.context.broken = True
    with pytest.raises(BackendError, match=r"failed: Something is on fire$"):
        backend.infer(noise(1, 8, 8, 3))


def test_a_plan_that_does_not_load_is_told(engine, library):
    library.loads = False
    with pytest.raises(ArtefactError, match=r"cannot load .*: Wrong magic tag; export it again"):
        open_backend(engine())


def test_another_gpu_version_or_none_is_one_sentence(engine, library, cuda):
    with pytest.raises(BackendError, match=r"built with .* 0\.9 and this machine has 1\.0"):
        open_backend(engine(library_version="0.9"))
    with pytest.raises(BackendError, match=r"there is no cuda:3 here; use cuda:0$"):
        open_backend(engine(), device="cuda:3")
    cuda.devices = 0
    with pytest.raises(BackendError, match=r"there is no NVIDIA GPU to run this on \(cudaErrorInsufficientDriver\)"):
        open_backend(engine())


def test_what_it_was_built_for_is_checked_before_it_is_loaded(engine, library, caplog):
    if library.name == "tensorrt":
        with pytest.raises(BackendError, match=r"built on NVIDIA Old \(compute capability 7\.5\) and this is NVIDIA D"):
            open_backend(engine(gpu="NVIDIA Old", compute_capabilities=("7.5",)))
        return
    library.validity = (2, 2 | 4)
    with pytest.raises(BackendError, match="not built for this GPU, the NVIDIA driver is too old; export it again"):
        open_backend(engine())
    library.validity = (1, 0)
    open_backend(engine())
    assert "would run faster if it were built for NVIDIA Double" in caplog.text


def test_the_precision_is_what_was_built(engine, metadata):
    assert open_backend(engine()).precision == "fp32"
    assert open_backend(engine(tf32=True)).precision == "tf32"
    assert open_backend(engine(artefact=metadata(precision="fp16"))).precision == "fp16"
    with pytest.raises(BackendError, match="computes in tf32, as it was built"):
        open_backend(engine(tf32=True), precision="fp32")


def test_the_other_tensorrt_does_not_take_it(engine, library):
    other = {"tensorrt": "tensorrt-rtx", "tensorrt_rtx": "tensorrt"}[library.name]
    with pytest.raises(BackendError, match=f"was built with .*, not for {other}; leave --backend at auto"):
        open_backend(engine(), backend=other)
    with pytest.raises(BackendError, match="does not run on cpu but on cuda"):
        open_backend(engine(), device="cpu")


def members(kind):
    return {name for name in (*vars(kind), *vars(kind).get("__annotations__", ())) if not name.startswith("_")}


@pytest.mark.parametrize("name", trt_api.PROTOCOLS)
def test_what_is_expected_of_the_library_is_there(name):
    rtx = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    real, expected = getattr(rtx, name), trt_api.PROTOCOLS[name]
    for member in members(expected):
        found = getattr(real, member)
        if callable(found):
            (*parameters,) = getattr(expected, member).__code__.co_varnames[1:]
            assert all(f"{parameter}: " in found.__doc__ for parameter in parameters), found.__doc__


@pytest.mark.parametrize(("double", "name"), [(Context, "IExecutionContext"), (Engine, "ICudaEngine"), (Library, "")])
def test_the_double_offers_nothing_that_the_library_does_not(double, name):
    rtx = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    real = getattr(rtx, name) if name else rtx
    assert members(double) <= set(dir(real))


def test_the_double_of_the_diagnostics_is_complete():
    rtx = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    real = {name: int(value) for name, value in rtx.EngineInvalidityDiagnostics.__members__.items()}
    assert Library.EngineInvalidityDiagnostics.__members__ == real


def test_the_double_of_cuda_offers_nothing_that_cuda_does_not():
    calls = {name for name in members(Cuda) if name.startswith("cuda")}
    from cuda.bindings import runtime

    assert calls <= set(dir(runtime))
