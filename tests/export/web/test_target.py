"""`cyclegan export --to web`: the folder, its comparison in a browser, and what it says where there is none."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.verification.report import fail_if_missed
from cyclegan_edge.export.web import target
from cyclegan_edge.export.web.browser import BrowserBackend
from cyclegan_edge.export.web.folder import WebModel, write_web
from cyclegan_edge.export.web.widen import widen
from cyclegan_edge.runtime.backends import open_backend
from cyclegan_edge.runtime.errors import BackendError, CycleganError

from .conftest import CHROMIUM, needs_chromium


@pytest.fixture
def reported(cyclegan, capsys, caplog):
    """Run `cyclegan export --to web --json`; returns the exit code, what it printed, and its errors and warnings."""

    def run(*arguments: object) -> tuple[int, list[dict], str]:
        code = cyclegan("export", *arguments, "--json")
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else [], err + caplog.text

    return run


@pytest.mark.slow
@needs_chromium
def test_both_directions_share_a_page_that_is_verified_in_a_browser(reported, run_folder, emoji, tmp_path) -> None:
    code, products, _ = reported(
        run_folder, "--direction", "both", "--to", "web", "--output", tmp_path, "--images", emoji / "testA"
    )
    assert code == 0
    assert [product["artefact"] for product in products] == 2 * [str(tmp_path / "run-web")]
    for product, direction in zip(products, ("AtoB", "BtoA"), strict=True):
        report = product["verification"]
        assert report["artefact"] == "run-web"
        engines = {(row["engine"], row["precision"]) for row in report["comparisons"]}
        assert engines == {("wasm", "fp16"), ("webgpu", "fp32")}
        assert all(row["passed"] for row in report["comparisons"])
        assert {row["batch"] for row in report["comparisons"]} == {1, 2}
        assert report["producer"]["onnxruntime-web"]
        assert "HeadlessChrome" in report["machine"]["wasm"]
        assert "swiftshader" in report["machine"]["webgpu"]
        saved = json.loads((tmp_path / f"run-{direction}-web.verify.json").read_text())
        assert saved["comparisons"] == report["comparisons"]
        assert "run-web against PyTorch" in (tmp_path / f"run-{direction}-web.verify.html").read_text()
    manifest = json.loads((tmp_path / "run-web" / "models.json").read_text())
    assert [model["name"] for model in manifest["models"]] == ["run-BtoA", "run-AtoB"]
    assert all(model["metadata"]["verification"]["passed"] for model in manifest["models"])
    assert {model["usual"] for model in manifest["models"]} == {32}
    assert list(tmp_path.glob("*.onnx")) == []


@pytest.fixture(scope="module")
def compared(generator, exported, emoji, tmp_path_factory):
    """Compare the page of a tiny generator, which is written once, with PyTorch."""
    files = {precision: exported(generator, precision=precision) for precision in ("fp16", "fp32")}
    model = WebModel("run-AtoB", files, Artefact.open(files["fp16"]).metadata, usual=32)
    folder = write_web([model], tmp_path_factory.mktemp("page") / "run-web")
    pictures = sorted((emoji / "testA").iterdir())[:1]
    return lambda: target.compare_page(model, folder, generator, pictures, ())


@pytest.fixture(scope="module")
def unproven(compared):
    """The report of a machine without a browser."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, "find_chromium", lambda: None)
        return compared()


def test_without_a_browser_it_is_unproven_and_its_graph_is_compared(unproven) -> None:
    assert unproven.passed
    assert unproven.artefact == "run-web"
    assert "run-web is unproven here" in unproven.notes[-1]
    assert "onnxruntime" in {row.engine for row in unproven.comparisons}


@needs_chromium
def test_webgpu_that_does_not_start_is_unproven(compared, caplog, monkeypatch) -> None:
    class WithoutWebGpu(BrowserBackend):
        def __init__(self, chromium, folder, model, engine, precision) -> None:
            if engine == "webgpu":
                raise BackendError("no adapter answers")
            super().__init__(chromium, folder, model, engine, precision)

    monkeypatch.setattr(target, "BrowserBackend", WithoutWebGpu)
    report = compared()
    assert report.passed
    assert "WebGPU is unproven here: no adapter answers" in report.notes
    assert {row.engine for row in report.comparisons} == {"wasm"}


@needs_chromium
def test_a_page_that_is_wrong_misses_its_gate(compared, monkeypatch) -> None:
    class Wrong(BrowserBackend):
        def infer(self, batch):
            return super().infer(batch)[:, ::-1]

    monkeypatch.setattr(target, "BrowserBackend", Wrong)
    report = compared()
    assert not report.passed
    assert report.divergences == ()
    assert {row.engine for row in report.comparisons if not row.passed} == {"wasm", "webgpu"}


def test_one_direction_that_misses_its_gate_is_enough(unproven) -> None:
    good = unproven
    rows = (good.comparisons[0].model_copy(update={"passed": False}), *good.comparisons[1:])
    bad = good.model_copy(update={"passed": False, "comparisons": rows})
    with pytest.raises(CycleganError, match=r"^run-web: not the same as PyTorch"):
        fail_if_missed([(Path("run-web"), bad), (Path("run-web"), good)])


@pytest.mark.slow
def test_with_an_onnx_file_beside_it(reported, run_folder, tmp_path) -> None:
    code, products, _ = reported(run_folder, "--to", "onnx,web", "--output", tmp_path, "--no-verify", "--size", "32x48")
    assert code == 0
    names = [Path(product["artefact"]).name for product in products]
    assert names == ["run-AtoB-fp32-32x48.onnx", "run-web"]
    (model,) = json.loads((tmp_path / "run-web" / "models.json").read_text())["models"]
    assert model["name"] == "run-AtoB-32x48"
    assert model["metadata"]["size"] == [32, 48]


@pytest.mark.parametrize("options", [("--io", "float"), ("--precision", "int8", "--calibration", "trainA")])
def test_options_that_no_page_takes(reported, run_folder, emoji, tmp_path, options) -> None:
    options = [emoji / option if option == "trainA" else option for option in options]
    code, products, told = reported(run_folder, "--to", "web", "--output", tmp_path, *options)
    assert (code, products) == (2, [])
    assert "a page" in told


@pytest.fixture
def page_of_run(generator, exported, tmp_path) -> Path:
    """A page of a tiny generator as an FP32 file only."""
    path = exported(generator)
    model = WebModel("run-AtoB", {"fp32": path}, Artefact.open(path).metadata, usual=32)
    return write_web([model], tmp_path / "run-web")


@needs_chromium
def test_a_page_is_verified_again(cyclegan, capsys, run_folder, page_of_run, emoji, tmp_path) -> None:
    report = tmp_path / "report.html"
    options = ("--reference", run_folder, "--images", emoji / "testA", "--json", "--report", report)
    assert cyclegan("verify", page_of_run, *options) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert {(row["engine"], row["precision"]) for row in found["comparisons"]} == {("wasm", "fp32"), ("webgpu", "fp32")}
    assert (tmp_path / "report-run-AtoB.html").is_file()


def test_an_engine_of_this_machine_is_none_of_a_page(cyclegan, capsys, run_folder, page_of_run) -> None:
    assert cyclegan("verify", page_of_run, "--reference", run_folder, "--backend", "openvino") == 2
    assert "a page brings its own" in capsys.readouterr().err


@needs_chromium
def test_a_browser_that_does_not_start(web_folder, tmp_path) -> None:
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\nexit 7\n")
    broken.chmod(0o755)
    with pytest.raises(BackendError, match="ended by itself"):
        BrowserBackend(str(broken), web_folder, "invert-AtoB", "wasm", "fp16")


@needs_chromium
def test_a_browser_whose_engine_fails(copied) -> None:
    (copied / "models" / "invert-AtoB-fp16.onnx").unlink()
    with pytest.raises(BackendError, match="missing at the host"):
        BrowserBackend(CHROMIUM, copied, "invert-AtoB", "wasm", "fp16")


def test_an_fp16_graph_in_fp32_is_the_same_network(emoji, tmp_path) -> None:
    path = emoji.parent / "flat2three" / "flat2three-small-AtoB-fp16.onnx"
    wide = widen(onnx.load(path))
    assert "FLOAT16" not in str({onnx.TensorProto.DataType.Name(each.data_type) for each in wide.graph.initializer})
    onnx.save(wide, tmp_path / "wide.onnx")
    noise = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    halves, floats = (
        open_backend(each, backend="onnxruntime", device="cpu").infer(noise).astype(int)
        for each in (path, tmp_path / "wide.onnx")
    )
    assert np.abs(halves - floats).max() <= 1


def test_channels_that_no_page_shows(reported, make_run, tmp_path) -> None:
    run = make_run(data={"input_nc": 4, "output_nc": 4})
    code, products, told = reported(run, "--to", "web", "--output", tmp_path / "out")
    assert (code, products) == (2, [])
    assert "1 or 3 channels" in told
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_else_is_refused_before_anything_is_written(reported, run_folder, tmp_path):
    (tmp_path / "run-web").mkdir()
    (tmp_path / "run-web" / "diary.txt").write_text("mine")
    code, products, shown = reported(run_folder, "--to", "onnx,web", "--output", tmp_path, "--no-verify")
    assert (code, products) == (5, [])
    assert "holds no page that this export could add to" in shown
    assert [path.name for path in tmp_path.rglob("*")] == ["run-web", "diary.txt"]
