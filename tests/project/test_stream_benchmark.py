"""benchmarks/stream.py runs, and its figures are those of its frames."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper


@pytest.mark.slow
def test_each_kind_of_part_is_measured(root, tmp_path):
    shape = ["batch", "height", "width", 3]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["translated"])],
        "same",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("translated", TensorProto.UINT8, shape)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "m.onnx")
    chosen = ["test source to null", "mp4 to mp4, 720p", "live, slow engine", "long run", "plain loop, OpenVINO"]
    command = [sys.executable, str(root / "benchmarks" / "stream.py"), "m.onnx", "--quick", "--output", str(tmp_path)]
    command += [word for part in chosen for word in ("--part", part)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "stream-quick.json").read_text())
    parts = report["parts"]
    assert parts["test source to null"]["engine_fps"] > 0
    assert parts["mp4 to mp4, 720p"]["cpu_seconds"] > 0
    assert parts["live, slow engine"]["frames"] + parts["live, slow engine"]["dropped"] == 200
    assert parts["long run"]["frames"] == 300
    assert all(np.isfinite(part["ratio"]) and part["ratio"] > 0 for part in parts.values())
    assert done.stdout == (tmp_path / "stream-quick.md").read_text()
    assert report["machine"]["processor"] in done.stdout
    assert list(parts) == chosen
    rows = [line.split(" | ")[0].removeprefix("| ") for line in done.stdout.splitlines() if line.startswith("| ")]
    assert rows == ["part", *chosen]
