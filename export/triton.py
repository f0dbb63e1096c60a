"""A model repository that NVIDIA's Triton Inference Server loads as it is: MODEL/config.pbtxt, MODEL/1/model.onnx.

The configuration is that of https://github.com/triton-inference-server/common, protobuf/model_config.proto.
"""

import json
import shutil
from pathlib import Path

from ..runtime.backends.engine_file import ENGINE_SUFFIX
from ..runtime.contract import Size, padded_side
from ..runtime.files import replacing
from ..runtime.metadata import ArtefactMetadata

REPOSITORY = "triton"
VERSION = "1"

# Triton knows TensorRT's plans; those of TensorRT-RTX it does not run.
FILES = {".onnx": ("onnxruntime", "model.onnx"), ENGINE_SUFFIX: ("tensorrt", "model.plan")}

TEMPLATE = """\
name: {name}
backend: "{backend}"
max_batch_size: {max_batch}
input [ {{ name: "image" data_type: {dtype} dims: {input_dims} }} ]
output [ {{ name: "translated" data_type: {dtype} dims: {output_dims} }} ]
instance_group [ {{ count: 1 kind: {kind} }} ]
{batching}model_warmup [ {{
  name: "first picture"
  batch_size: 1
  inputs {{ key: "image" value: {{ data_type: {dtype} dims: {warm} random_data: true }} }}
}} ]
"""


def model_path(artefact: Path, folder: Path) -> Path:
    """Return where an artefact lies in the repository under `folder`: `triton/NAME/1/model.onnx` or `…/model.plan`."""
    return folder / REPOSITORY / artefact.stem / VERSION / FILES[artefact.suffix][1]


def write_model(artefact: Path, folder: Path, metadata: ArtefactMetadata, *, max_batch: int, usual: Size) -> Path:
    """Copy an ONNX file, or a plan of TensorRT, into the repository under `folder`; returns where it lies there.

    `usual` is the (height, width) that the server warms up with, brought to what the network takes. A model that was
    there before is replaced, and what lies beside it stays.

    Raises:
        OutputError: a file cannot be written.
    """
    model = model_path(artefact, folder)
    with replacing(model) as partial:
        shutil.copyfile(artefact, partial)
    text = configuration(artefact, metadata, max_batch=max_batch, usual=usual)
    with replacing(model.parents[1] / "config.pbtxt") as partial:
        partial.write_text(text, encoding="utf-8")
    return model


def configuration(artefact: Path, metadata: ArtefactMetadata, *, max_batch: int, usual: Size) -> str:
    """Describe an artefact as protobuf text; its batch is free, so Triton leaves it out of the sides.

    Requests that wait are put together, but none is made to wait for others: that would cost latency.
    """
    backend, _ = FILES[artefact.suffix]
    multiple, minimum = metadata.size_multiple, metadata.size_minimum
    warm = metadata.size or tuple(padded_side(side, multiple, minimum) for side in usual)
    sides = metadata.size or (-1, -1)
    return TEMPLATE.format(
        name=json.dumps(artefact.stem, ensure_ascii=False),
        backend=backend,
        max_batch=max_batch,
        dtype="TYPE_UINT8" if metadata.io == "uint8" else "TYPE_FP32",
        input_dims=_dims(sides, metadata.input_channels, metadata),
        output_dims=_dims(sides, metadata.output_channels, metadata),
        kind="KIND_AUTO" if backend == "onnxruntime" else "KIND_GPU",
        batching="dynamic_batching { }\n" if max_batch > 1 else "",
        warm=_dims(warm, metadata.input_channels, metadata),
    )


def _dims(sides: tuple[int, ...], channels: int, metadata: ArtefactMetadata) -> str:
    return str([*sides, channels] if metadata.io == "uint8" else [channels, *sides])
