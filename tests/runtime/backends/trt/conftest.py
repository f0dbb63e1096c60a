"""Doubles of TensorRT and TensorRT-RTX, made of the library's own signatures."""

import ctypes
import hashlib
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from cyclegan_edge.runtime.backends.engine_file import EngineFile, OptimizationProfile, this_system, write_engine

PLAN = b"a plan"
FREE = OptimizationProfile(min=(1, 8, 8), opt=(1, 16, 16), max=(2, 32, 32))
# What TensorRT 10.12 and 11.4 lack.
OF_RTX_ALONE = {"get_engine_validity", "num_compute_capabilities", "set_compute_capability", "cuda_graph_strategy"}
OF_RTX_ALONE |= {"EngineValidity", "EngineInvalidityDiagnostics", "CudaGraphStrategy", "ComputeCapability"}


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

    def __init__(self, real, name, cuda, double_of):
        super().__init__(name)
        self.real, self.cuda, self.double_of = real, cuda, double_of
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
        return self.double_of(getattr(self.real, name), work, self.lacking)

    def complain(self, text):
        self.logger.log(self.real.ILogger.Severity.ERROR, text)

    def Runtime(self, logger):
        assert isinstance(logger, self.real.ILogger)
        self.logger = logger
        if not self.starts:
            self.complain("CUDA initialization failure with error: 35.")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return self.double("Runtime", RuntimeWork)(self)


@pytest.fixture
def of_rtx_alone():
    """The names that TensorRT lacks."""
    return OF_RTX_ALONE


@pytest.fixture
def rtx():
    """The library itself."""
    return pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")


@pytest.fixture(params=["tensorrt", "tensorrt_rtx"])
def library(request, cuda, rtx, double_of, monkeypatch):
    library = Library(rtx, request.param, cuda, double_of)
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
