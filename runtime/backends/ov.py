"""OpenVINO on a CPU."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openvino as ov
from numpy.typing import NDArray
from openvino.frontend import FrontEndManager

from ..errors import ArtefactError, BackendError
from .base import Precision, TensorSpec, only_one

_DTYPES = {"u8": "uint8", "f32": "float32", "f16": "float16", "f64": "float64"}
# Kernels for sizes seen before. OpenVINO's own thousands keep two megabytes for each size of picture that ever came.
KERNELS_KEPT = "512"
LARGEST_EPS = 1e-3  # of a normalisation that only keeps from dividing by zero
_PRECISIONS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}


class OpenVinoBackend:
    """A model that OpenVINO compiled for the CPU, tuned for the latency of one batch."""

    name = "openvino"

    def __init__(self, path: Path, device: str, precision: Precision, *, output: str | None = None) -> None:
        core = ov.Core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise BackendError("this CPU does not compute in bf16; leave the precision at auto")
        model = _read(path)
        self.input = only_one(_specs(model.inputs), path, "input")
        self.output = only_one(_specs(model.outputs), path, "output", output)
        self.properties = _properties(model)
        self.device = device
        compiled = _compile(core, model, path, precision)
        hint = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.precision: str = _PRECISIONS.get(hint, hint)
        self._request: Any = compiled.create_infer_request()

    def infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run the compiled model on [N, …]."""
        if self._request is None:
            raise BackendError("this openvino model was closed; load it again")
        try:
            result: NDArray[Any] = self._request.infer({0: batch}, share_inputs=True, share_outputs=False)[
                self.output.name
            ]
        except Exception as error:  # OpenVINO raises RuntimeError, TypeError, ValueError
            raise BackendError(f"openvino failed on a batch of shape {batch.shape}: {_reason(error)}") from error
        return result

    def close(self) -> None:
        """Free the compiled model."""
        self._request = None


def _read(path: Path) -> Any:
    # Core.read_model offers an unreadable file to every other format's reader too, and those print what they think.
    reader = FrontEndManager().load_by_framework("onnx")
    try:
        return reader.convert(reader.load(str(path)))
    except Exception as error:  # the readers' failures share no class of their own
        raise ArtefactError(f"openvino cannot load {path}: {_reason(error)}; export it again") from error


def _compile(core: ov.Core, model: Any, path: Path, precision: Precision) -> Any:
    config = {"PERFORMANCE_HINT": "LATENCY", "CPU_RUNTIME_CACHE_CAPACITY": KERNELS_KEPT}
    if _has_floor(model):
        config["LP_TRANSFORMS_MODE"] = "NO"
    if precision != "auto":
        config["INFERENCE_PRECISION_HINT"] = {"fp32": "f32", "bf16": "bf16"}[precision]
    try:
        return core.compile_model(model, "CPU", config)
    except RuntimeError as error:
        raise ArtefactError(f"openvino cannot compile {path}: {_reason(error)}") from error


def _has_floor(model: Any) -> bool:
    """Whether a normalisation adds much to the variance; its integers then become float first.

    OpenVINO takes MVN for blind to the scale of what it normalises, and leaves a scale of INT8 out before it.
    """
    norms = (node for node in model.get_ops() if node.get_type_name() == "MVN")
    return any(norm.get_attributes()["eps"] > LARGEST_EPS for norm in norms)


def _properties(model: Any) -> dict[str, str]:
    """Return the ONNX file's metadata_props, which OpenVINO keeps under "framework"."""
    if not model.has_rt_info(["framework"]):
        return {}
    return {key: str(value) for key, value in model.get_rt_info(["framework"]).value.items()}


def _specs(ports: Sequence[Any]) -> list[TensorSpec]:
    specs = []
    for port in ports:
        dtype = port.element_type.get_type_name()
        shape = tuple(side.get_length() if side.is_static else None for side in port.partial_shape)
        specs.append(TensorSpec(port.any_name, shape, _DTYPES.get(dtype, dtype)))
    return specs


def _reason(error: Exception) -> str:
    """Return the last line of OpenVINO's message; the others say where in its source it arose."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip().rstrip(".")
