"""Models of somebody else's: their weights never come from outside their own folder."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from cyclegan_edge.runtime.backends import open_backend
from cyclegan_edge.runtime.errors import ModelError

SHAPE = ["batch", "height", "width", 3]


def model_with_weights_at(location: str, path: Path) -> None:
    """Write a model whose one weight, a large one, is said to lie in another file."""
    weight = numpy_helper.from_array(np.ones((1, 64, 64, 3), np.float32), "weight")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(64 * 64 * 12))):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["pixels", "weight"], ["product"]),
            helper.make_node("Cast", ["product"], ["translated"], to=TensorProto.UINT8),
        ],
        "external",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, SHAPE)],
        [helper.make_tensor_value_info("translated", TensorProto.UINT8, SHAPE)],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("way", ["parent", "absolute", "link"])
def test_weights_outside_a_models_folder_are_not_read(backend: str, way: str, tmp_path: Path) -> None:
    pytest.importorskip(backend)
    folder, secret = tmp_path / "model", tmp_path / "secret.bin"
    folder.mkdir()
    secret.write_bytes(np.full((1, 64, 64, 3), 7, np.float32).tobytes())
    location = {"parent": "../secret.bin", "absolute": str(secret), "link": "weights.bin"}[way]
    if way == "link":
        (folder / "weights.bin").symlink_to(secret)
    model_with_weights_at(location, folder / "a.onnx")
    with pytest.raises(ModelError):
        open_backend(folder / "a.onnx", backend=backend, device="cpu")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_weights_beside_a_model_are_read(backend: str, tmp_path: Path) -> None:
    pytest.importorskip(backend)
    (tmp_path / "weights.bin").write_bytes(np.full((1, 64, 64, 3), 2, np.float32).tobytes())
    model_with_weights_at("weights.bin", tmp_path / "a.onnx")
    opened = open_backend(tmp_path / "a.onnx", backend=backend, device="cpu")
    try:
        assert opened.infer(np.full((1, 64, 64, 3), 5, np.uint8)).mean() == 10
    finally:
        opened.close()
