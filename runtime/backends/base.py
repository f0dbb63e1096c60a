"""What every engine looks like to the rest of the runtime."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from ..errors import ArtefactError, UsageError

# What an engine may compute in: "auto" is its own choice, "fp32" forbids shortcuts below the types in the file (bf16 on
# a CPU with AMX, TF32 on CUDA), "bf16" asks for bfloat16.
Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model; a side that is free is None."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str  # NumPy's name: "uint8", "float32", "float16"

    def __str__(self) -> str:
        sides = ", ".join("?" if side is None else str(side) for side in self.shape)
        return f"{self.name} {self.dtype} [{sides}]"


class Backend(Protocol):
    """A loaded model on one engine and device.

    `infer` takes one array of `input`'s dtype and gives one of `output`'s; the caller owns the result. One thread calls
    it at a time. An engine that fails, or was closed, raises `BackendError`.
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
        """Free the engine's memory; closing twice is allowed."""
        ...


def only_one(
    specs: Sequence[TensorSpec], path: Path, side: Literal["input", "output"], name: str | None = None
) -> TensorSpec:
    """Return the one input or output of a model, or the one that is named.

    Raises:
        ArtefactError: the model has none, or several of which none is named.
        UsageError: it has none of that name.
    """
    listed = ", ".join(map(str, specs)) or "none"
    if name is not None:
        named = [spec for spec in specs if spec.name == name]
        if not named:
            raise UsageError(f"{path} has no {side} called {name!r}; it has {listed}")
        return named[0]
    if len(specs) != 1:
        several = side == "output" and len(specs) > 1
        raise ArtefactError(
            f"{path} is no image-to-image model: it must have one {side}, and has {listed}"
            + ("; name the one to use" if several else ""),
            about=("output_name",) if several else (),
        )
    return specs[0]
