"""What every engine looks like to the rest of the runtime."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model; a side that is free is None."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str  # NumPy's name: "uint8", "float32", "float16"


class Backend(Protocol):
    """A loaded model on one engine and device.

    `infer` takes one array of `input`'s dtype and gives one of `output`'s; the caller owns the result. An engine that
    fails raises `BackendError`; one that was closed is not used again.
    """

    name: str  # "onnxruntime", "openvino", …
    device: str  # what it truly runs on, as the engine says it: "cpu", "cuda:0"
    precision: str  # what it truly computes in: "fp32", "bf16", …
    input: TensorSpec
    output: TensorSpec
    properties: Mapping[str, str]  # the custom metadata found in the file

    def infer(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run the model on one batch, [N, …]."""
        ...

    def close(self) -> None:
        """Free the engine's memory."""
        ...
