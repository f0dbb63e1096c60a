"""An artefact of ours, opened once: its kind, its metadata, and the checks that these are true."""

import hashlib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import onnx

from ..runtime.backends import open_backend
from ..runtime.backends.base import Backend
from ..runtime.backends.engine_file import (
    ENGINE_SUFFIX,
    EngineFile,
    OptimizationProfile,
    read_description,
    write_engine,
)
from ..runtime.errors import ArtefactError
from ..runtime.metadata import ArtefactMetadata, Verification, parse_metadata
from .graph.onnx_export import write_onnx


@dataclass(frozen=True)
class Artefact:
    """A file that `cyclegan export` wrote: an ONNX file with its `model`, or an engine with its `description`."""

    path: Path
    metadata: ArtefactMetadata
    model: onnx.ModelProto | None = None
    description: EngineFile | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read an artefact and make sure that it is what it says.

        Raises:
            ArtefactError: the file is missing, damaged, changed, or was not written by `cyclegan export`.
            BackendError: no engine is installed.
        """
        if path.suffix.lower() == ENGINE_SUFFIX:
            description = read_description(path)
            return cls(path, description.artefact, description=description)
        with closing(open_backend(path, device="cpu")) as backend:
            metadata = _own_metadata(backend.properties, path)
            _check_tensors(metadata, backend, path)
        model = onnx.load(path)
        _check_precision(metadata, model, path)
        return cls(path, metadata, model=model)

    @property
    def profile(self) -> OptimizationProfile | None:
        """The shapes that an engine takes; None for an ONNX file."""
        return self.description.profile if self.description else None

    @property
    def tf32(self) -> bool:
        """Whether an engine may round FP32 factors to 10 bits."""
        return self.description is not None and self.description.tf32

    def sha256(self) -> str:
        """Return the digest of the file as it is now."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def store(self, verification: Verification) -> None:
        """Write the summary of a verification into the file, or beside an engine.

        Raises:
            OutputError: it cannot be written.
        """
        metadata = self.metadata.model_copy(update={"verification": verification})
        if self.description:
            write_engine(self.path.read_bytes(), self.description.model_copy(update={"artefact": metadata}), self.path)
        elif self.model:
            write_onnx(self.model, metadata, self.path)


def _own_metadata(properties: Mapping[str, str], path: Path) -> ArtefactMetadata:
    metadata = parse_metadata(properties, path)
    if metadata is None:
        raise ArtefactError(f"{path} does not say which checkpoint it came from; only files of cyclegan export do")
    return metadata


def _check_tensors(metadata: ArtefactMetadata, backend: Backend, path: Path) -> None:
    """Make sure that the metadata agrees with the tensors: it may have been changed by hand."""
    sides = metadata.size or (None, None)
    for channels, tensor in ((metadata.input_channels, backend.input), (metadata.output_channels, backend.output)):
        pixels = metadata.io == "uint8"
        expected = ("uint8", (None, *sides, channels)) if pixels else ("float32", (None, channels, *sides))
        if expected != (tensor.dtype, tensor.shape):
            raise ArtefactError(f"{path} is not what its metadata says: it has {tensor}; export the checkpoint again")


def _check_precision(metadata: ArtefactMetadata, model: onnx.ModelProto, path: Path) -> None:
    """Make sure that no gate is looser than what the graph computes in, which its convolutions show."""
    weights = {node.input[1] for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")}
    types = {tensor.data_type for tensor in model.graph.initializer if tensor.name in weights}
    if any(node.op_type == "DequantizeLinear" for node in model.graph.node):
        precision = "int8"
    else:
        precision = "fp16" if onnx.TensorProto.FLOAT16 in types else "fp32"
    if precision != metadata.precision:
        raise ArtefactError(
            f"{path} is not what its metadata says: it computes in {precision}, not {metadata.precision}; "
            "export the checkpoint again"
        )
