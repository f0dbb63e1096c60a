"""`cyclegan doctor` and `cyclegan bench` as their users meet them."""

import json
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from cyclegan_edge.runtime.machine import doctor

WITHOUT_OPENCV = """
import sys

ERRORS = {
    "missing": ModuleNotFoundError("No module named 'cv2'", name="cv2"),
    "broken": ImportError("libGL.so.1: cannot open shared object file", name="cv2", path="cv2.abi3.so"),
}

class Without:
    def find_spec(self, name, path=None, target=None):
        if name == "cv2":
            raise ERRORS[sys.argv[1]]

sys.meta_path.insert(0, Without())
from cyclegan_edge.cli import main
main(sys.argv[2:])
"""

EACH_COMMAND = [
    ["translate", "-m", "model.onnx", "-i", "photos", "-o", "translated"],
    ["serve", "-m", "model.onnx"],
    ["bench", "model.onnx"],
    ["dataset", "check", "photos"],
    ["evaluate", "model.onnx", "photos"],
    ["train", "photos"],
]


def run_without_opencv(state: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_OPENCV, state, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


@pytest.fixture(scope="module")
def artefact(tmp_path_factory) -> Path:
    """A foreign model that gives back its picture."""
    path = tmp_path_factory.mktemp("model") / "same.onnx"
    shape = ["batch", "height", "width", 3]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["translated"])],
        "same",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("translated", TensorProto.UINT8, shape)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


class TestDoctor:
    def test_the_page_names_each_part_and_what_to_do(self, cyclegan, capsys):
        assert cyclegan("doctor") == 0
        page = capsys.readouterr().out
        for line in ("engines", "  + openvino: ", "  + onnxruntime: ", "cuda", "opencv", "cameras"):
            assert f"\n{line}" in page
        assert "  → " in page

    def test_a_program_can_read_it(self, cyclegan, capsys):
        assert cyclegan("doctor", "--json") == 0
        report = json.loads(capsys.readouterr().out)
        assert report["can_run"] is True
        assert report["machine"]["cores"] >= 1
        assert {"part", "name", "status", "detail", "remedy"} == report["findings"][0].keys()

    def test_without_an_engine_it_ends_with_1(self, cyclegan, capsys, monkeypatch):
        monkeypatch.setattr(doctor, "ENGINES", ())
        assert cyclegan("doctor") == 1
        assert (
            capsys.readouterr().err
            == "cyclegan: nothing can be translated here; mend an engine and OpenCV as said above\n"
        )

    @pytest.mark.parametrize(
        ("state", "line"),
        [
            ("missing", "  - opencv: No module named 'cv2'  → pip install \"cyclegan-edge[window]\""),
            ("broken", "  ! opencv: libGL.so.1: cannot open shared object file  → apt install libgl1"),
        ],
    )
    def test_an_opencv_that_does_not_load_is_told_without_a_traceback(self, state, line, tmp_path):
        done = run_without_opencv(state, "doctor", cwd=tmp_path)
        assert done.returncode == 1, done.stderr
        assert line in done.stdout
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("state", "remedy"),
    [("missing", 'pip install "cyclegan-edge[window]"'), ("broken", "apt install libgl1 libglib2.0-0")],
)
@pytest.mark.parametrize("arguments", EACH_COMMAND, ids=lambda arguments: arguments[0])
def test_without_opencv_a_command_says_what_to_install(arguments, state, remedy, tmp_path):
    done = run_without_opencv(state, *arguments, cwd=tmp_path)
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith("cyclegan: OpenCV ")
    assert remedy in done.stderr
    assert len(done.stderr.splitlines()) == 1


class TestBench:
    def test_a_row_for_each_engine(self, cyclegan, artefact, capsys):
        assert cyclegan("bench", artefact, "--size", "16x24", "--seconds", "0", "--device", "cpu") == 0
        machine, _, head, *rows = capsys.readouterr().out.splitlines()
        assert "cores" in machine
        assert head.split()[:7] == ["artefact", "engine", "device", "precision", "size", "batch", "cold"]
        assert [row.split()[1] for row in rows] == ["openvino", "onnxruntime"]
        assert all("16x24" in row for row in rows)

    def test_a_program_can_read_it(self, cyclegan, artefact, capsys):
        arguments = ["--size", "16", "--seconds", "0", "--backend", "onnxruntime", "--device", "cpu", "--json"]
        assert cyclegan("bench", artefact, *arguments) == 0
        [result] = json.loads(capsys.readouterr().out)["results"]
        assert (result["backend"], result["size"], result["error"]) == ("onnxruntime", [16, 16], "")
        assert result["engine"]["runs"] >= 10
        assert result["end_to_end"]["p99_ms"] > 0

    def test_a_case_that_fails_is_told_and_the_others_are_measured(self, cyclegan, artefact, tmp_path, capsys):
        (tmp_path / "damaged.onnx").write_bytes(b"damaged")
        arguments = ["--size", "16", "--seconds", "0", "--backend", "onnxruntime", "--device", "cpu"]
        assert cyclegan("bench", tmp_path / "damaged.onnx", artefact, *arguments) == 1
        captured = capsys.readouterr()
        assert "damaged.onnx in onnxruntime on cpu: onnxruntime cannot load" in captured.out
        assert ["same.onnx", "onnxruntime", "cpu"] in [line.split()[:3] for line in captured.out.splitlines()]
        assert "cyclegan: 1 of 2 cases failed" in captured.err

    def test_a_missing_artefact_ends_with_4_before_anything_is_measured(self, cyclegan, artefact, tmp_path, capsys):
        assert cyclegan("bench", artefact, tmp_path / "nothing.onnx") == 4
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "there is no model file" in captured.err
