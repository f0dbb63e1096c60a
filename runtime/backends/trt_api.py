"""What is used of `tensorrt` (10.12 to 11) and `tensorrt_rtx`: the same names in both, so one code serves both.

Neither library has types of its own; tests hold these against the real TensorRT-RTX, and against the signatures of
TensorRT 10.12 and 11.4.
"""

import logging
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

from ..errors import BackendError
from .engine_file import LIBRARY_NAMES, Library

LOGGER = logging.getLogger(__name__)


class Parser(Protocol):
    """`OnnxParser`, which fills a network."""

    num_errors: int

    def parse(self, model: bytes) -> bool: ...
    def get_error(self, index: int) -> Any: ...


class Profile(Protocol):
    """`IOptimizationProfile`: the shapes that an engine is made for."""

    def set_shape(self, input: str, min: Sequence[int], opt: Sequence[int], max: Sequence[int]) -> None: ...  # noqa: A002


class BuilderConfig(Protocol):
    """`IBuilderConfig`; the compute capabilities are of TensorRT-RTX alone."""

    progress_monitor: Any
    num_compute_capabilities: int

    def add_optimization_profile(self, profile: Profile) -> int: ...
    def set_flag(self, flag: Any) -> None: ...
    def clear_flag(self, flag: Any) -> None: ...
    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None: ...
    def set_compute_capability(self, compute_capability: Any, index: int) -> bool: ...
    def create_timing_cache(self, serialized_timing_cache: bytes) -> Any: ...
    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool: ...
    def get_timing_cache(self) -> Any: ...


class Builder(Protocol):
    """`Builder`, from a network to a plan."""

    def create_network(self, flags: int) -> Any: ...
    def create_builder_config(self) -> BuilderConfig: ...
    def create_optimization_profile(self) -> Profile: ...
    def build_serialized_network(self, network: Any, config: BuilderConfig) -> Any: ...


class Context(Protocol):
    """`IExecutionContext`: an engine with the memory to run it."""

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool: ...
    def get_tensor_shape(self, name: str) -> Sequence[int]: ...
    def set_tensor_address(self, name: str, memory: int) -> bool: ...
    def execute_async_v3(self, stream_handle: int) -> bool: ...


class Engine(Protocol):
    """`ICudaEngine`: a plan on a GPU; a runtime configuration is of TensorRT-RTX alone."""

    num_io_tensors: int

    def get_tensor_name(self, index: int) -> str: ...
    def get_tensor_mode(self, name: str) -> Any: ...
    def get_tensor_dtype(self, name: str) -> Any: ...
    def get_tensor_shape(self, name: str) -> Sequence[int]: ...
    def create_execution_context(self, runtime_config: Any = ...) -> Context | None: ...
    def create_runtime_config(self) -> Any: ...


class Runtime(Protocol):
    """`Runtime`, from a plan to an engine; the validity is of TensorRT-RTX alone."""

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Engine | None: ...
    def get_engine_validity(self, buffer: bytes) -> tuple[Any, int]: ...


PROTOCOLS: dict[str, type] = {
    "OnnxParser": Parser,
    "IOptimizationProfile": Profile,
    "IBuilderConfig": BuilderConfig,
    "Builder": Builder,
    "IExecutionContext": Context,
    "ICudaEngine": Engine,
    "Runtime": Runtime,
}


def load_library(library: Library) -> ModuleType:
    """Import `tensorrt` or `tensorrt_rtx`.

    Raises:
        BackendError: it is not installed, or broken, such as one whose shared libraries are missing.
    """
    name = LIBRARY_NAMES[library]
    install = f'pip install "cyclegan-edge[{name}]"'
    try:
        trt = import_module(library)
        if not hasattr(trt, "Runtime"):  # a folder that an uninstallation left can be imported too
            raise ImportError("there is nothing in it")
    except ModuleNotFoundError as error:
        raise BackendError(f"{name} is not installed; install it with: {install}") from error
    except Exception as error:  # a broken library may raise anything when it is imported
        reason = " ".join(str(error).split())
        raise BackendError(f"{name} is installed but broken ({reason}); install it again with: {install}") from error
    return trt


def new_logger(trt: Any) -> Any:
    """Make a logger of the library that keeps its complaints and passes everything on to ours."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.complaints: list[str] = []

        def log(self, severity: Any, text: str) -> None:
            LOGGER.debug("%s", text)
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.complaints.append(" ".join(text.split()))

        def complaint(self) -> str:
            return self.complaints[-1].rstrip(".") if self.complaints else "it does not say why"

    return Logger()
