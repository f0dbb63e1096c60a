import base64
import json
import os
import re
import subprocess
import sys

import pytest

from cyclegan_edge.export.demo import steps as demo_module


@pytest.mark.slow
def test_the_demo_leaves_everything_the_report_speaks_of(tmp_path):
    command = [
        sys.executable,
        "-m",
        "cyclegan_edge.cli",
        "demo",
        "--minutes",
        "0.2",
        "--output",
        str(tmp_path / "demo"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=540, check=False)
    assert done.returncode == 0, done.stderr
    report = tmp_path / "demo" / "report.html"
    assert done.stdout.splitlines()[-1] == str(report)
    page = report.read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)  # needs nothing beside itself
    pictures = re.findall(r'<img src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == (4 + 3) * 12  # before, after and truth both ways, and the shipped student
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)
    assert page.count('<video src="data:video/webm;base64,') == 2
    assert "How far it got:" in page
    assert page.count("<td>PyTorch</td>") == 1
    engines = re.findall(r"<td>((?:onnxruntime|openvino)(?:, the shipped small one)?)</td>", page)
    assert set(engines) == {
        each + told for each in ("onnxruntime", "openvino") for told in ("", ", the shipped small one")
    }
    assert len(list((tmp_path / "demo" / "pictures" / "small").iterdir())) == 100
    for direction in ("AtoB", "BtoA"):
        artefact = tmp_path / "demo" / "runs" / "flat2three" / "exports" / f"flat2three-{direction}-fp32.onnx"
        assert json.loads(artefact.with_suffix(".verify.json").read_text())["passed"]
        assert len(list((tmp_path / "demo" / "pictures" / direction).iterdir())) == 100
    manifest = json.loads((tmp_path / "demo" / "web" / "models.json").read_text())
    assert [model["name"] for model in manifest["models"]] == ["shipped-AtoB", "demo-AtoB", "demo-BtoA"]
    assert f"cyclegan serve --static {os.path.relpath(tmp_path / 'demo' / 'web')}" in page
    assert "Traceback" not in done.stderr
    assert "imencode" not in done.stderr


def test_a_folder_that_is_not_a_demo_is_left_alone(cyclegan, tmp_path, capsys):
    (tmp_path / "precious.txt").write_text("mine")
    assert cyclegan("demo", "--output", tmp_path) == 5
    assert "is not empty and holds no earlier demo" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_a_place_that_cannot_be_written_is_named(cyclegan, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cyclegan("demo", "--output", tmp_path / "file" / "demo") == 5
    assert "name another folder; see --output" in capsys.readouterr().err


def test_without_the_emoji_the_demo_says_where_they_are(cyclegan, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo_module, "EMOJI", tmp_path / "none")
    assert cyclegan("demo", "--output", tmp_path / "demo") == 3
    assert "run the demo from a clone" in capsys.readouterr().err
