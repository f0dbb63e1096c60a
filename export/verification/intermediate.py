"""An artefact's own graph with another of its tensors as the output, in an engine."""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import onnx

from ...runtime.backends import open_backend
from ...runtime.backends.base import Backend, Precision


@contextmanager
def open_at(model: onnx.ModelProto, output: str, *, backend: str, precision: Precision) -> Iterator[Backend]:
    """Open a model on the CPU with the tensor `output` in the place of its own output; `model` stays as it is.

    Raises:
        BackendError, ArtefactError: the engine does not take it.
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    del probe.metadata_props[:]
    inferred = onnx.shape_inference.infer_shapes(probe, data_prop=True)
    known = {value.name: value for value in inferred.graph.value_info}
    probe.graph.output.append(known.get(output, onnx.helper.make_empty_tensor_value_info(output)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.onnx"
        onnx.save(probe, path)
        with closing(open_backend(path, backend=backend, device="cpu", precision=precision)) as opened:
            yield opened


def last_tanh(model: onnx.ModelProto) -> str | None:
    """Return the name of what a generator's last layer gives, FP32 [N, C, H, W] in [-1, 1]; None without a tanh."""
    return next((node.output[0] for node in reversed(model.graph.node) if node.op_type == "Tanh"), None)
