"""`cyclegan export --to` and `--precision int8`, and the page of `cyclegan verify`, as a user calls them."""

import json
import sys
from pathlib import Path

import pytest
import torch

from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.runtime.backends.engine_file import read_description, this_system, write_engine


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_engines_are_built_and_told_to_be_unproven_where_there_is_no_gpu(cyclegan, run, tmp_path, caplog):
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU, so the engine is run")
    assert cyclegan("export", run, "--to", "tensorrt-rtx", "--size", "32:32x48:48", "--output", tmp_path) == 0
    name = f"t-AtoB-fp32-rtx{trt.__version__}-32_32x48_48-{this_system().lower().replace('-', '_')}"
    ends = ("engine", "engine.json", "verify.json", "verify.html")
    assert names(tmp_path) == {f"{name}.{end}" for end in ends}
    assert "was built and not run" in (tmp_path / f"{name}.verify.html").read_text()
    assert f"{name}.engine was built and not run, its graph was compared instead: there is no NVIDIA GPU" in caplog.text
    report = json.loads((tmp_path / f"{name}.verify.json").read_text())
    assert report["passed"]
    assert "was built and not run" in report["notes"][-1]


def test_info_describes_an_engine_without_its_library(cyclegan, run, tmp_path, capsys, monkeypatch):
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    options = ["--to", "tensorrt-rtx", "--size", "32", "--no-verify", "--output", tmp_path]
    assert cyclegan("-q", "export", run, *options) == 0
    (engine,) = tmp_path.glob("*.engine")
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    capsys.readouterr()
    assert cyclegan("info", engine, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["library"], told["profile"]["largest"]) == ("engine", "tensorrt_rtx", [1, 32, 32])
    assert told["artefact"]["architecture"] == "resnet_1blocks"


def test_an_engine_that_is_not_what_it_was_is_refused_with_the_way_out(cyclegan, run, tmp_path, capsys):
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    options = ["--to", "tensorrt-rtx", "--size", "32", "--no-verify", "--output", tmp_path]
    assert cyclegan("-q", "export", run, *options) == 0
    (engine,) = tmp_path.glob("*.engine")
    sidecar = tmp_path / f"{engine.name}.json"
    plan, told = engine.read_bytes(), sidecar.read_text()
    capsys.readouterr()

    def refused(*words):
        assert cyclegan(*words) == 4
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return error

    engine.write_bytes(plan[:-1])
    assert "was cut short" in refused("info", engine)
    engine.write_bytes(plan)
    write_engine(plan, read_description(engine).model_copy(update={"library_version": "0.9"}), engine)
    assert "was built with tensorrt-rtx 0.9" in (error := refused("verify", engine, "--reference", run))
    assert "or build it here: cyclegan export SOURCE --to tensorrt-rtx" in error
    sidecar.write_text(told.replace('"tf32": false', '"tf32": true'))
    assert "was changed after it was exported; export the engine again" in refused("info", engine)
    sidecar.write_text(told.replace('"largest": [', '"largest": ["many",'))
    assert "is damaged (profile.largest" in refused("verify", engine, "--reference", run)
    sidecar.unlink()
    assert "an engine needs it beside itself: copy both, or export again" in refused(
        "verify", engine, "--reference", run
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "tensorrt-rtx"], "an engine is built for known sizes: one such as 256x256"),
        (["--precision", "int8"], "int8 needs pictures to measure its ranges on"),
        (["--keep-float", "2"], "layers are kept in float in int8 only; see --precision, --keep-float"),
        (["--tf32"], "are for engines; leave them out, or add tensorrt-rtx; see --to"),
        (["--batch-size", "4"], "an ONNX file takes any batch, so leave it out; see --batch-size"),
        (["--to", "tensorflow"], "'tensorflow' is no target"),
        (["--size", "64:32:16"], "is not in order"),
        (["--size", "32:64"], "is no size"),
        (["--to", "tensorrt-rtx", "--size", "30:32:64"], "multiples of 4"),
        (["--compute-capability", "ada"], "is no compute capability"),
    ],
)
def test_options_that_do_not_go_together_are_refused(cyclegan, run, tmp_path, capsys, options, message):
    assert cyclegan("export", run, *options, "--output", tmp_path) == 2
    assert message in capsys.readouterr().err
    assert names(tmp_path) == set()


def test_fp16_on_a_cpu_is_said_to_be_storage(cyclegan, run, tmp_path, caplog):
    assert cyclegan("export", run, "--precision", "fp16", "--no-verify", "--output", tmp_path) == 0
    assert "on a CPU fp16 halves the file and nothing else" in caplog.text


def test_int8_tells_what_it_costs_and_gives_engines_an_fp16_chain(cyclegan, run, dataset, tmp_path, capsys):
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    options = ["--precision", "int8", "--calibration", dataset / "testA", "--keep-float", "2", "--output", tmp_path]
    options += ["--to", "onnx,tensorrt-rtx", "--size", "32:32:48", "--no-verify", "--json"]
    assert cyclegan("-q", "export", run, *options) == 0
    of_graph, of_engine = json.loads(capsys.readouterr().out)
    assert of_graph["quantisation"]["psnr_db"].keys() == {"min-max", "percentile"}
    assert len(of_graph["quantisation"]["kept_float"]) == 2
    (path,) = tmp_path.glob(f"t-AtoB-int8-fp16-rtx{trt.__version__}-32_32_48-*.engine")
    assert of_engine == of_graph | {"artefact": str(path)}
    for artefact in (of_graph, of_engine):
        assert Artefact.open(Path(artefact["artefact"])).metadata.precision == "int8"
    assert {path.suffix for path in tmp_path.iterdir()} == {".onnx", ".engine", ".json"}


def test_verify_writes_a_page(cyclegan, run, tmp_path):
    assert cyclegan("-q", "export", run, "--no-verify", "--output", tmp_path) == 0
    artefact = tmp_path / "t-AtoB-fp32.onnx"
    page = tmp_path / "report.html"
    arguments = ["verify", artefact, "--reference", run, "--backend", "onnxruntime", "--report", page]
    assert cyclegan("-q", *arguments) == 0
    assert "t-AtoB-fp32.onnx against PyTorch" in page.read_text()
