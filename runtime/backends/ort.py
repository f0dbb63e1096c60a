"""ONNX Runtime on a CPU or a CUDA device."""

import io
import logging
import re
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

from ..errors import ArtefactError, BackendError
from ..metadata import parse_metadata
from .base import Precision, TensorSpec, only_one
from .ort_graph import GraphRuns

LOGGER = logging.getLogger(__name__)

_DTYPES = {"float": "float32", "double": "float64"}  # where ONNX's name is not NumPy's
_FATAL = 4
_CUDA = "CUDAExecutionProvider"
_CUDA_FAILURE = re.compile(r"\b(?:CUDA|CUDNN|CUBLAS|CUFFT) failure \d+: [^;\n]+")


class OnnxRuntimeBackend:
    """A model in an ONNX Runtime session, which computes in the types that the file holds."""

    name = "onnxruntime"

    def __init__(
        self, path: Path, device: str, precision: Precision, *, live: bool = False, output: str | None = None
    ) -> None:
        if precision == "bf16":
            raise BackendError("onnxruntime computes in the types of the file; for bf16 use the backend openvino")
        ort.set_default_logger_severity(_FATAL)  # what it has to say also comes as an exception
        options = _options(live)
        captures = False
        if device == "cpu":
            self._session = _session(path, options, ["CPUExecutionProvider"])
        else:
            # CUDA computes INT8 convolutions in float, and rounding their biases would only cost accuracy.
            options.add_session_config_entry("session.disable_quant_qdq", "1")
            self._session, captures = _open_on_cuda(path, options, device, precision)
        self.device = device if device != "cuda" else "cuda:0"
        self.input = only_one(_specs(self._session.get_inputs()), path, "input")
        self.output = only_one(_specs(self._session.get_outputs()), path, "output", output)
        self.properties: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        metadata = parse_metadata(self.properties, path)
        # ONNX Runtime does not tell its types; only an artefact of ours says what it holds.
        self.precision: str = metadata.precision if metadata else "as stored"
        if device != "cpu" and self.precision == "int8":
            LOGGER.warning(
                "%s: onnxruntime computes INT8 convolutions in float on CUDA; for INT8 there: "
                "cyclegan export SOURCE --to tensorrt --precision int8",
                path.name,
            )
        fixed = all(self.input.shape[1:])
        self._graphs = (
            GraphRuns(self._session, "cuda", int(self.device[5:]), fixed=fixed) if captures and output is None else None
        )

    def infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run the session on [N, …]."""
        if self._session is None:
            raise BackendError("this onnxruntime session was closed; load the model again")
        try:
            if self._graphs is not None:
                return self._graphs.infer(batch)
            result: NDArray[Any] = self._session.run([self.output.name], {self.input.name: batch})[0]
        except Exception as error:  # ONNX Runtime's errors share no class of their own
            raise BackendError(f"onnxruntime failed on a batch of shape {batch.shape}: {_reason(error)}") from error
        return result

    def close(self) -> None:
        """Free the session."""
        self._session = self._graphs = None


def _options(live: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL
    if live:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _open_on_cuda(path: Path, options: ort.SessionOptions, device: str, precision: Precision) -> tuple[Any, bool]:
    """Return a session, and whether it may capture CUDA graphs: it may if all of the model runs on the GPU."""
    try:
        return _session_on_cuda(path, options, device, precision, enable_cuda_graph="1"), True
    except ArtefactError as error:
        LOGGER.debug("%s without CUDA graphs: %s", path.name, error)
    try:
        return _session_on_cuda(path, options, device, precision), False
    except ArtefactError as error:
        _session(path, options, ["CPUExecutionProvider"])  # raises where the file is at fault, and not the GPU
        reason = _reason(error.__cause__ or error)
        raise BackendError(f"onnxruntime cannot run {path} on {device}: {reason}; see: cyclegan doctor") from error


def _session_on_cuda(path: Path, options: ort.SessionOptions, device: str, precision: Precision, **more: str) -> Any:
    if _CUDA in ort.get_available_providers():
        if hasattr(ort, "preload_dlls"):  # from 1.21 on: the CUDA libraries that pip installed
            with redirect_stdout(io.StringIO()) as complaints:
                ort.preload_dlls()
            LOGGER.debug(complaints.getvalue())
        settings = {
            "device_id": device.partition(":")[2] or "0",
            "use_tf32": str(int(precision != "fp32")),
            "cudnn_conv_algo_search": "HEURISTIC",  # the default tries every algorithm at every new size, for seconds
        }
        session = _session(path, options, [(_CUDA, settings | more), "CPUExecutionProvider"])
        # Where CUDA cannot start, ONNX Runtime goes on with the CPU and only logs it.
        if session.get_providers()[0] == _CUDA:
            return session
    raise BackendError(
        f"onnxruntime cannot use {device} here; it needs an NVIDIA driver and, in place of onnxruntime: "
        'pip install "cyclegan-edge[cuda]"'
    )


def _session(path: Path, options: ort.SessionOptions, providers: list[Any]) -> Any:
    try:
        session = ort.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's errors share no class of their own
        raise ArtefactError(f"onnxruntime cannot load {path}: {_reason(error)}; export it again") from error
    session.disable_fallback()  # a failing device must fail, not be replaced
    return session


def _specs(arguments: Sequence[Any]) -> list[TensorSpec]:
    """Read ONNX Runtime's descriptions, whose free sides are names or None."""
    specs = []
    for argument in arguments:
        dtype = argument.type.removeprefix("tensor(").removesuffix(")")
        shape = tuple(side if isinstance(side, int) else None for side in argument.shape)
        specs.append(TensorSpec(argument.name, shape, _DTYPES.get(dtype, dtype)))
    return specs


def _reason(error: BaseException) -> str:
    """Cut "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model …" down to what follows the codes, on one line.

    Of a failure of NVIDIA's libraries only that is kept, without the place in the source where it was noticed.
    """
    if failure := _CUDA_FAILURE.search(str(error)):
        return failure[0].strip()
    return " ".join(str(error).split(" : ", 3)[-1].split()).rstrip(".")
