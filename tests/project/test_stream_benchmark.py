"""benchmarks/stream.py runs, and its figures are those of its frames."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper


@pytest.mark.slow
def test_every_part_is_measured(root, tmp_path):
    shape = ["batch", "height", "width", 3]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["translated"])],
        "same",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("translated", TensorProto.UINT8, shape)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "m.onnx")
    report = tmp_path / "report.json"
    command = [sys.executable, str(root / "benchmarks" / "stream.py"), "m.onnx", "--frames", "24", "--long", "300"]
    done = subprocess.run(
        [*command, "--output", str(report)], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    parts = json.loads(report.read_text())["parts"]
    assert parts["test source to null"]["engine_fps"] > 0
    assert parts["mp4 to mp4, 720p"]["cpu_seconds"] > 0
    assert parts["live, slow engine"]["frames"] + parts["live, slow engine"]["dropped"] == 24
    assert parts["long run"]["frames"] == 300
    assert np.isfinite(parts["plain loop"]["ratio"])
