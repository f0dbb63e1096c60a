"""`cyclegan export`, `verify` and `info`, as a user calls them."""

import json
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from cyclegan_edge.export.graph import onnx_export
from cyclegan_edge.export.graph.inference import InferenceGenerator
from cyclegan_edge.runtime.errors import BackendError, training_side
from cyclegan_edge.runtime.metadata import METADATA_KEY, parse_metadata


@pytest.fixture(scope="module")
def artefact(cyclegan, run, tmp_path_factory) -> Path:
    """A verified FP32 artefact; nobody changes it."""
    folder = tmp_path_factory.mktemp("artefact")
    assert cyclegan("-q", "export", run, "--output", folder) == 0
    return folder / "t-AtoB-fp32.onnx"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def metadata_of(path: Path):
    return parse_metadata({entry.key: entry.value for entry in onnx.load(path).metadata_props}, path)


@pytest.mark.slow
def test_both_directions_are_exported_verified_and_described(cyclegan, run, capsys):
    assert cyclegan("export", run, "--direction", "both", "--precision", "fp16") == 0
    folder = run / "exports"
    artefacts = [folder / f"t-{direction}-fp16.onnx" for direction in ("AtoB", "BtoA")]
    assert names(folder) == {
        f"t-{way}-fp16{end}" for way in ("AtoB", "BtoA") for end in (".onnx", ".verify.json", ".verify.html")
    }

    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if line.endswith(".onnx")] == [str(path) for path in artefacts]
    assert shown.count("against PyTorch FP32") == 2
    assert shown.count("onnxruntime fp16") == 8  # four inputs for each artefact
    assert "missed" not in shown
    for path, domain in zip(artefacts, "AB", strict=True):
        report = json.loads(path.with_suffix(".verify.json").read_text())
        assert report["passed"]
        assert report["pictures"] == [f"{domain}0.png", f"{domain}1.png"]
        assert metadata_of(path).direction == path.stem.split("-")[1]
        assert metadata_of(path).verification.passed
        assert metadata_of(path).verification.min_psnr_db >= 40


@pytest.mark.slow
def test_names_tell_what_is_unusual_and_an_old_report_goes_with_its_file(cyclegan, run, tmp_path, capsys):
    unusual = ["--size", "32x48", "--io", "float", "--weights", "raw", "--no-verify", "--json"]
    stale = tmp_path / "t-BtoA-fp32-32x48-float-raw.verify.json"
    stale.write_text("{}")
    assert cyclegan("export", run, "--direction", "BtoA", "--output", tmp_path, *unusual) == 0
    path = tmp_path / "t-BtoA-fp32-32x48-float-raw.onnx"
    assert [*tmp_path.iterdir()] == [path]
    assert json.loads(capsys.readouterr().out) == [{"artefact": str(path), "verification": None, "quantisation": None}]
    metadata = metadata_of(path)
    assert (metadata.size, metadata.io, metadata.source.weights) == ((32, 48), "float", "raw")
    assert metadata.verification is None


@pytest.mark.slow
def test_a_checkpoint_of_swapped_folders_is_verified_with_its_own_domain(cyclegan, make_run, dataset, tmp_path, capsys):
    swapped = make_run("swapped", dataset, direction="BtoA") / "checkpoints" / "latest.pt"
    assert cyclegan("export", swapped, "--output", tmp_path, "--json") == 0
    (exported,) = json.loads(capsys.readouterr().out)
    assert exported["artefact"] == str(tmp_path / "latest-AtoB-fp32.onnx")
    assert exported["verification"]["pictures"] == ["B0.png", "B1.png"]


@pytest.mark.slow
def test_official_weights_are_exported_under_their_folders_name(cyclegan, run, tmp_path, capsys):
    networks = torch.load(run / "checkpoints" / "latest.pt", weights_only=True)["state"]["networks"]
    official = tmp_path / "flat2three"
    official.mkdir()
    torch.save(networks["G_A"], official / "latest_net_G_A.pth")
    assert cyclegan("export", official, "--no-verify", "--output", tmp_path) == 0
    path = tmp_path / "flat2three-AtoB-fp32.onnx"
    assert capsys.readouterr().out == f"{path}\n"
    assert (metadata_of(path).architecture, metadata_of(path).source.step) == ("resnet_1blocks", None)
    assert cyclegan("export", official, "--direction", "BtoA", "--output", tmp_path) == 4
    assert "no G_B" in capsys.readouterr().err


class SwappedColours(InferenceGenerator):
    """An exporter's mistake."""

    def forward(self, image):
        return super().forward(image.flip(-1))


@pytest.mark.slow
def test_an_artefact_that_misses_its_gate_is_kept_and_the_command_exits_1(cyclegan, run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(onnx_export, "InferenceGenerator", SwappedColours)
    assert cyclegan("export", run, "--output", tmp_path) == 1
    assert names(tmp_path) == {"t-AtoB-fp32.onnx", "t-AtoB-fp32.verify.json", "t-AtoB-fp32.verify.html"}
    captured = capsys.readouterr()
    assert captured.out.count("missed") >= 4  # noise and pictures in both engines
    assert "t-AtoB-fp32.onnx: not the same as PyTorch within the gate; the file is kept" in captured.err
    assert not json.loads((tmp_path / "t-AtoB-fp32.verify.json").read_text())["passed"]
    assert not metadata_of(tmp_path / "t-AtoB-fp32.onnx").verification.passed


def test_verify_passes_with_the_checkpoint_of_the_artefact_and_writes_nothing(cyclegan, artefact, run, capsys):
    before = {path: path.read_bytes() for path in artefact.parent.iterdir()}
    assert cyclegan("verify", artefact, "--reference", run, "--backend", "onnxruntime", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"]
    assert {row["engine"] for row in report["comparisons"]} == {"onnxruntime"}
    assert report["pictures"] == ["A0.png", "A1.png"]
    assert {path: path.read_bytes() for path in artefact.parent.iterdir()} == before


def test_verify_misses_with_other_weights_and_keeps_the_file(cyclegan, artefact, make_run, dataset, capsys, caplog):
    before = artefact.read_bytes()
    other = make_run("other")
    state = torch.load(other / "checkpoints" / "latest.pt", weights_only=True)
    state["state"]["networks"]["ema_A"]["model.1.weight"].mul_(-1)
    torch.save(state, other / "checkpoints" / "latest.pt")
    assert cyclegan("verify", artefact, "--reference", other, "--images", dataset / "testB") == 1
    captured = capsys.readouterr()
    assert "missed" in captured.out
    assert "not the same as PyTorch within the gate; the file is kept" in captured.err
    assert "t-AtoB-fp32.onnx was made from another checkpoint than this other" in caplog.messages
    assert artefact.read_bytes() == before


@pytest.fixture
def bad(tmp_path, artefact, run):
    """A folder of things that are not what they should be; `out` is to stay empty."""
    checkpoint = (run / "checkpoints" / "latest.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(checkpoint[: len(checkpoint) // 2])
    (tmp_path / "noise.pt").write_bytes(np.random.default_rng(0).bytes(2000))
    content = torch.load(run / "checkpoints" / "latest.pt", weights_only=True)
    torch.save(content | {"schema_version": 99}, tmp_path / "newer.pt")
    torch.save({"weights": torch.zeros(3)}, tmp_path / "foreign.pt")
    model = onnx.load(artefact)
    (entry,) = model.metadata_props
    told = entry.value
    entry.value = told.replace('"schema_version":1', '"schema_version":99')
    onnx.save(model, tmp_path / "newer.onnx")
    entry.value = told.replace('"io":"uint8"', '"io":"float"')
    onnx.save(model, tmp_path / "edited.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    (tmp_path / "cut.onnx").write_bytes(artefact.read_bytes()[:-3000])
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("export {run} --size 30x32", 2, "multiples of 4, from 8 on, not 30x32; take 28x32 or 32x32; see --size"),
        ("export {run} --size 4", 2, "take 8x8; see --size"),
        ("export {run} --size 32x", 2, "'32x' is no size"),
        ("export {run} --precision int4", 2, "'int4' is not one of"),
        ("export {run} --no-verify --images {bad}", 2, "leave one of them out"),
        ("export {run} --images {bad}/empty", 3, "there is no picture in"),
        ("export {bad}/absent.pt", 4, "there is no checkpoint"),
        ("export {bad}/empty", 4, "there is no checkpoint"),
        ("export {bad}/cut.pt", 4, "cut short"),
        ("export {bad}/noise.pt", 4, "noise.pt"),
        ("export {bad}/newer.pt", 4, "written by a newer cyclegan-edge"),
        ("export {run} --no-verify --output {bad}/file/below", 5, "cannot write"),
        ("verify {bad}/foreign.onnx --reference {run}", 4, "only files of cyclegan export do"),
        ("verify {bad}/newer.onnx --reference {run}", 4, "written by a newer cyclegan-edge"),
        (
            "verify {bad}/edited.onnx --reference {run}",
            4,
            "edited.onnx is not what its metadata says: it has image uint8",
        ),
        ("verify {bad}/cut.onnx --reference {run}", 4, "cut.onnx"),
        ("verify {bad}/absent.onnx --reference {run}", 4, "absent.onnx"),
        ("verify {artefact} --reference {bad}/cut.pt", 4, "cut short"),
        ("verify {artefact} --reference {run} --backend openvin", 2, "did you mean openvino?"),
        ("verify {artefact} --reference {run} --images {bad}/empty", 3, "there is no picture in"),
        ("verify {artefact}", 2, "Missing option '--reference'"),
        (
            "verify {bad}/absent.onnx --reference {run} --report page.png",
            2,
            "give one that ends in .html; see --report",
        ),
        ("info {bad}/absent", 4, "there is no checkpoint"),
        ("info {bad}/absent.onnx", 4, "absent.onnx"),
        ("info {bad}/cut.onnx", 4, "cut.onnx"),
        ("info {bad}/newer.onnx", 4, "written by a newer cyclegan-edge"),
        ("info {bad}/cut.pt", 4, "cut short"),
        ("info {bad}/file", 4, "file cannot be read as a checkpoint"),
    ],
)
def test_bad_input_ends_in_one_sentence_and_writes_nothing(
    cyclegan, bad, run, artefact, command, code, message, capsys
):
    words = command.format(run=run, bad=bad, artefact=artefact).split()
    if words[0] == "export" and "--output" not in words:
        words += ["--output", str(bad / "out")]
    before = sorted(bad.rglob("*"))
    assert cyclegan(*words) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert sorted(bad.rglob("*")) == before


def test_info_of_an_artefact(cyclegan, artefact, capsys):
    assert cyclegan("info", artefact) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["kind"] == "artefact"
    assert lines["direction"] == "AtoB"
    assert lines["input"] == "image uint8 [?, ?, ?, 3]"
    assert lines["source.name"] == "t"
    assert lines["verification.passed"] == "True"
    assert lines["bytes"] == str(artefact.stat().st_size)

    assert cyclegan("info", artefact, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["producer"]["torch"] == torch.__version__.partition("+")[0]
    assert METADATA_KEY not in facts


def test_info_of_an_onnx_model_of_another_tool(cyclegan, bad, capsys):
    assert cyclegan("info", bad / "foreign.onnx") == 0
    shown = capsys.readouterr().out
    assert "ONNX model of another tool" in shown
    assert "image uint8 [?, ?, ?, 3]" in shown


@pytest.mark.parametrize("part", [".", "checkpoints/latest.pt"])
def test_info_of_a_run_and_of_its_checkpoint(cyclegan, run, part, capsys):
    assert cyclegan("info", run / part, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "checkpoint"
    assert (facts["step"], facts["epoch"], facts["crop_size"]) == (7, 1, 32)
    assert facts["networks"]["generator"] == "resnet_1blocks"
    assert facts["averaged_weights"] is True


EDGE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "onnx", "torchmetrics", "PIL"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from cyclegan_edge.cli import main
main(sys.argv[1:])
"""


def process(*arguments, program=EDGE, cwd):
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def test_without_torch_info_reads_artefacts_and_says_what_checkpoints_need(artefact, run, tmp_path):
    advice = r'needs (torch|onnx), which is not installed; install it with: pip install "cyclegan-edge\[train\]"'
    described = process("info", artefact, cwd=tmp_path)
    assert described.returncode == 0, described.stderr
    assert "resnet_1blocks" in described.stdout
    for words in (("info", run), ("export", run), ("verify", artefact, "--reference", run)):
        refused = process(*words, cwd=tmp_path)
        assert refused.returncode == 4
        assert re.search(advice, refused.stderr)
        assert "Traceback" not in refused.stderr


@pytest.mark.slow
def test_a_real_process_prints_data_and_nothing_else_on_stdout(make_run, tmp_path):
    shutil.copyfile(make_run("u") / "checkpoints" / "latest.pt", tmp_path / "u.pt")
    program = "import sys; from cyclegan_edge.cli import main; main(sys.argv[1:])"
    done = process("export", "u.pt", "--json", program=program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == {"u.pt"} | {f"u-AtoB-fp32.{end}" for end in ("onnx", "verify.json", "verify.html")}
    (exported,) = json.loads(done.stdout)
    assert exported["artefact"] == "u-AtoB-fp32.onnx"
    assert exported["verification"]["passed"]
    assert "there was no real picture" in done.stderr
    assert "torch.onnx" not in done.stderr


def test_a_module_of_ours_that_is_missing_is_no_advice_to_install_something():
    with pytest.raises(ModuleNotFoundError, match=r"cyclegan_edge\.trainer\.nowhere"), training_side():
        import_module("cyclegan_edge.trainer.nowhere")
    with pytest.raises(BackendError, match="needs nowhere, which is not installed"), training_side():
        import_module("nowhere")


def test_a_file_of_another_checkpoint_is_not_replaced_in_silence(cyclegan, make_run, tmp_path, caplog):
    out = ["--output", tmp_path, "--no-verify"]
    older, newer = make_run("mine"), make_run("mine", load_size=40)
    assert cyclegan("export", older, *out) == 0
    assert cyclegan("export", older, *out) == 0
    assert "is replaced" not in caplog.text
    assert cyclegan("export", newer, *out) == 0
    assert "mine-AtoB-fp32.onnx is replaced, which was made from another checkpoint: mine, step 7" in caplog.text
    (tmp_path / "mine-AtoB-fp32.onnx").write_bytes(b"something else")
    assert cyclegan("export", newer, *out) == 0
    assert "mine-AtoB-fp32.onnx is replaced, which was no export of a checkpoint" in caplog.text
