"""An artefact that is to be verified: what it says of itself, and whether that is true."""

from contextlib import closing
from pathlib import Path

import onnx

from ..runtime.backends import open_backend
from ..runtime.backends.base import Backend
from ..runtime.backends.engine_file import ENGINE_SUFFIX, read_description
from ..runtime.errors import ArtefactError
from ..runtime.metadata import ArtefactMetadata, parse_metadata


def read_metadata(path: Path) -> ArtefactMetadata:
    """Read what an artefact of ours says of itself.

    Raises:
        ArtefactError: the file is missing, damaged, changed, or not written by `cyclegan export`.
        BackendError: no engine is installed.
    """
    if path.suffix.lower() == ENGINE_SUFFIX:
        return read_description(path).artefact
    with closing(open_backend(path, device="cpu")) as backend:
        metadata = parse_metadata(backend.properties, path)
        if metadata is None:
            raise ArtefactError(f"{path} does not say which checkpoint it came from; only files of cyclegan export do")
        _check_tensors(metadata, backend, path)
    _check_precision(metadata, path)
    return metadata


def _check_tensors(metadata: ArtefactMetadata, backend: Backend, path: Path) -> None:
    """Make sure that the metadata was not changed by hand, as far as the tensors tell."""
    sides = metadata.size or (None, None)
    for channels, found in ((metadata.input_channels, backend.input), (metadata.output_channels, backend.output)):
        told = ("uint8", (None, *sides, channels)) if metadata.io == "uint8" else ("float32", (None, channels, *sides))
        if told != (found.dtype, found.shape):
            raise ArtefactError(f"{path} is not what its metadata says: it has {found}; export the checkpoint again")


def _check_precision(metadata: ArtefactMetadata, path: Path) -> None:
    """Make sure that no gate is looser than what the graph computes in: its convolutions tell."""
    graph = onnx.load(path).graph
    weights = {node.input[1] for node in graph.node if node.op_type in ("Conv", "ConvTranspose")}
    types = {tensor.data_type for tensor in graph.initializer if tensor.name in weights}
    if any(node.op_type == "DequantizeLinear" for node in graph.node):
        found = "int8"
    else:
        found = "fp16" if onnx.TensorProto.FLOAT16 in types else "fp32"
    if found != metadata.precision:
        raise ArtefactError(
            f"{path} is not what its metadata says: it computes in {found}, not {metadata.precision}; "
            "export the checkpoint again"
        )
