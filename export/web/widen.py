"""An FP16 artefact in FP32: for a page whose generator is there as an ONNX file only."""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper


def widen(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which every half is a float, and every cast to half is one to float; no weight changes."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    for tensor in wide.graph.initializer:
        _widen_tensor(tensor)
    for node in wide.graph.node:
        for attribute in node.attribute:
            _widen_tensor(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    for value in (*wide.graph.value_info, *wide.graph.input, *wide.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    onnx.checker.check_model(wide, full_check=True)
    return wide


def _widen_tensor(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
