"""TensorRT and TensorRT-RTX on an NVIDIA GPU: one code for both, with CUDA's own memory and no PyTorch."""

import logging
import math
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ArtefactError, BackendError
from ..metadata import METADATA_KEY
from . import cuda_memory as cuda
from .base import Precision, TensorSpec, only_one
from .engine_file import (
    LIBRARY_NAMES,
    EngineFile,
    Library,
    OptimizationProfile,
    Shape,
    check_built_for,
    read_description,
    read_plan,
)
from .trt_api import Context, Engine, Runtime, load_library, new_logger

LOGGER = logging.getLogger(__name__)


@dataclass
class _Slot:
    """A batch on its way: the memory that it comes and goes through, and where its result shall be."""

    input: cuda.Buffer
    output: cuda.Buffer
    done: Any  # event
    result: NDArray[Any] | None = None  # the part of the caller's array that this batch fills
    graphs: dict[tuple[int, ...], Any] = field(default_factory=dict)


def _new_slot(input_bytes: int, output_bytes: int) -> _Slot:
    with ExitStack() as unless_all_fit:
        buffer_in = cuda.Buffer(input_bytes)
        unless_all_fit.callback(buffer_in.free)
        buffer_out = cuda.Buffer(output_bytes)
        unless_all_fit.callback(buffer_out.free)
        slot = _Slot(buffer_in, buffer_out, cuda.new_event())
        unless_all_fit.pop_all()
    return slot


def _parts(number: int, profile: OptimizationProfile) -> list[slice]:
    """Cut a batch into parts as large as an engine takes; the last reaches back where it would be too small."""
    (least, *_), (most, *_) = profile.min, profile.max
    starts = range(0, number, most)
    return [slice(max(0, min(start, number - least)), min(start + most, number)) for start in starts]


class TensorRtBackend:
    """An engine of TensorRT, on the kind of GPU and in the very version that built it.

    A batch larger than the engine's largest goes through in parts: while the GPU computes one, the next is copied into
    the other of two page-locked buffers.
    """

    library: ClassVar[Library] = "tensorrt"
    captures: bool = True  # a CUDA graph by itself, until that fails; TensorRT-RTX has a switch for it

    def __init__(self, path: Path, device: str, precision: Precision) -> None:
        self.name = LIBRARY_NAMES[self.library]
        self._trt = trt = load_library(self.library)
        self._description = read_description(path)
        check_built_for(self._description, path, trt.__version__)
        self.precision = _precision(self._description, precision, path)
        plan = read_plan(path, self._description)
        self._index = int(device.partition(":")[2] or 0)
        self.device = f"cuda:{self._index}"
        gpu = cuda.open_device(self._index)
        self._logger = new_logger(trt)
        runtime = self._start_runtime()
        self._check_device(runtime, plan, path, *gpu)
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise ArtefactError(f"{self.name} cannot load {path}: {self._logger.complaint()}; export it again")
        self._engine: Engine | None = engine
        self.input, self.output = _interface(trt, engine, path)
        self.properties = {METADATA_KEY: self._description.artefact.to_text()}
        self._context = self._create_context(engine)
        self._stream = cuda.new_stream()
        self._slots: list[_Slot] = []
        LOGGER.debug("%s on %s: shapes %s", path.name, gpu[0], self._description.profile)

    def infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run the engine on [N, …]."""
        if self._engine is None:
            raise BackendError(f"this {self.name} engine was closed; load the model again")
        cuda.use_device(self._index)
        self._check_shape(batch)
        parts = _parts(len(batch), self._description.profile)
        largest = (parts[0].stop, *batch.shape[1:])
        shape = self._output_shape(largest)
        result = np.empty((len(batch), *shape[1:]), self.output.dtype)
        slots = self._reserve(math.prod(largest) * batch.itemsize, math.prod(shape) * result.itemsize)
        for number, part in enumerate(parts):
            slot = slots[number % len(slots)]
            self._collect(slot)
            self._start(slot, batch[part], result[part])
        for slot in slots:
            self._collect(slot)
        return result

    def close(self) -> None:
        """Free the engine, its buffers and its stream."""
        if self._engine is None:
            return
        self._free_slots()
        cuda.release_stream(self._stream)
        del self._context
        self._engine = None

    def _start_runtime(self) -> Runtime:
        try:
            runtime: Runtime = self._trt.Runtime(self._logger)
        except Exception as error:  # pybind11 and each version of the library have their own
            raise BackendError(
                f"{self.name} cannot start here: {self._logger.complaint()}; see: cyclegan doctor"
            ) from error
        return runtime

    def _check_device(self, runtime: Runtime, plan: bytes, path: Path, name: str, capability: str) -> None:
        built = self._description
        if capability not in built.compute_capabilities:
            raise BackendError(
                f"{path} was built on {built.gpu} (compute capability {', '.join(built.compute_capabilities)}) and "
                f"this is {name} ({capability}); build it here: cyclegan export SOURCE --to {self.name}"
            )

    def _create_context(self, engine: Engine) -> Context:
        context = engine.create_execution_context()
        if context is None:
            raise BackendError(f"{self.name} cannot start the engine: {self._logger.complaint()}; see: cyclegan doctor")
        return context

    def _check_shape(self, batch: NDArray[Any]) -> None:
        """Refuse a size that the engine was not built for; the batch may be larger."""
        profile = self._description.profile
        sides = batch.shape[1:3] if self._description.artefact.io == "uint8" else batch.shape[2:4]
        shape: Shape = (min(len(batch), profile.max[0]), int(sides[0]), int(sides[1]))
        if not profile.admits(shape):
            raise BackendError(
                f"this engine takes batches of {profile} (batch x height x width), not {'x'.join(map(str, shape))}; "
                "export it with sizes that cover this"
            )

    def _output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Prepare for a batch of this shape, and return that of its result."""
        if not self._context.set_input_shape(self.input.name, shape):
            raise BackendError(f"{self.name} refuses a batch of shape {shape}: {self._logger.complaint()}")
        return tuple(self._context.get_tensor_shape(self.output.name))

    def _reserve(self, input_bytes: int, output_bytes: int) -> list[_Slot]:
        """Return the two slots, with at least so many bytes in and out."""
        if self._slots and self._slots[0].input.size >= input_bytes and self._slots[0].output.size >= output_bytes:
            return self._slots
        self._free_slots()
        with ExitStack() as unless_all_fit:
            unless_all_fit.callback(self._free_slots)
            for _ in range(2):
                self._slots.append(_new_slot(input_bytes, output_bytes))
            unless_all_fit.pop_all()
        return self._slots

    def _free_slots(self) -> None:
        slots, self._slots = self._slots, []
        cuda.finish(self._stream)
        for slot in slots:
            cuda.release_event(slot.done, list(slot.graphs.values()))
            slot.input.free()
            slot.output.free()

    def _start(self, slot: _Slot, part: NDArray[Any], result: NDArray[Any]) -> None:
        """Queue a part of a batch, from the host to the device and back."""
        shape = self._output_shape(part.shape)
        slot.input.view(part.shape, part.dtype)[...] = part
        slot.input.upload(part.nbytes, self._stream)
        self._context.set_tensor_address(self.input.name, slot.input.device)
        self._context.set_tensor_address(self.output.name, slot.output.device)
        self._enqueue(slot, part.shape)
        slot.output.download(math.prod(shape) * result.itemsize, self._stream)
        cuda.mark(slot.done, self._stream)
        slot.result = result

    def _collect(self, slot: _Slot) -> None:
        """Wait for what the slot is busy with and hand it over."""
        if slot.result is not None:
            cuda.wait(slot.done)
            slot.result[...] = slot.output.view(slot.result.shape, slot.result.dtype)
            slot.result = None

    def _enqueue(self, slot: _Slot, shape: tuple[int, ...]) -> None:
        """Queue the computation; that of one shape as a CUDA graph from the second time on, where that works."""
        if shape in slot.graphs:
            cuda.launch(slot.graphs[shape], self._stream)
            return
        self._execute()
        if self._description.profile.is_fixed and self.captures:
            try:
                slot.graphs[shape] = cuda.capture(self._execute, self._stream)
            except BackendError as error:
                self.captures = False
                LOGGER.warning("the engine runs without a CUDA graph, which takes it a little longer: %s", error)

    def _execute(self) -> None:
        if not self._context.execute_async_v3(self._stream):
            raise BackendError(f"{self.name} failed: {self._logger.complaint()}")


class TensorRtRtxBackend(TensorRtBackend):
    """An engine of TensorRT-RTX: built for many GPUs, finished for the one at hand when it is loaded."""

    library = "tensorrt_rtx"
    captures = False

    def _check_device(self, runtime: Runtime, plan: bytes, path: Path, name: str, capability: str) -> None:
        trt = self._trt
        validity, bits = runtime.get_engine_validity(plan)
        if validity == trt.EngineValidity.INVALID:
            flags = trt.EngineInvalidityDiagnostics.__members__
            reasons = [text for flag, text in _DIAGNOSTICS.items() if bits & int(flags[flag])]
            raise BackendError(
                f"{path} cannot run on {name} (compute capability {capability}): "
                f"{', '.join(reasons) or self._logger.complaint()}; export it again here"
            )
        if validity == trt.EngineValidity.SUBOPTIMAL:
            LOGGER.warning("%s would run faster if it were built for %s", path.name, name)

    def _create_context(self, engine: Engine) -> Context:
        config = engine.create_runtime_config()
        if self._description.profile.is_fixed:
            config.cuda_graph_strategy = self._trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        context = engine.create_execution_context(config)
        if context is None:
            raise BackendError(f"{self.name} cannot start the engine: {self._logger.complaint()}; see: cyclegan doctor")
        return context


_DIAGNOSTICS = {
    "VERSION_MISMATCH": "it was built with another version",
    "UNSUPPORTED_CC": "it was not built for this GPU",
    "OLD_CUDA_DRIVER": "the NVIDIA driver is too old",
    "OLD_CUDA_RUNTIME": "the CUDA runtime is too old",
    "INSUFFICIENT_GPU_MEMORY": "the GPU has too little memory",
    "MALFORMED_ENGINE": "the file is damaged",
    "CUDA_ERROR": "CUDA failed",
}


def _precision(description: EngineFile, asked: Precision, path: Path) -> str:
    """Return what an engine computes in, which was decided when it was built."""
    stored = description.artefact.precision
    precision = "tf32" if stored == "fp32" and description.tf32 else stored
    if asked != "auto" and asked != precision:
        raise BackendError(f"{path} computes in {precision}, as it was built; leave the precision at auto")
    return precision


def _interface(trt: Any, engine: Engine, path: Path) -> tuple[TensorSpec, TensorSpec]:
    specs: dict[Any, list[TensorSpec]] = {trt.TensorIOMode.INPUT: [], trt.TensorIOMode.OUTPUT: []}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        shape = tuple(side if side >= 0 else None for side in engine.get_tensor_shape(name))
        dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name))).name
        specs[engine.get_tensor_mode(name)].append(TensorSpec(name, shape, dtype))
    inputs, outputs = specs.values()
    return only_one(inputs, path, "input"), only_one(outputs, path, "output")
