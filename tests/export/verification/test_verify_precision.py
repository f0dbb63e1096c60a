"""What an artefact is judged on: the precision that its graph shows, and pictures that INT8 was calibrated for."""

import onnx
import pytest

from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.verification.report import VerificationReport, judged, report_path
from cyclegan_edge.export.verification.verify import verify_artefact
from cyclegan_edge.runtime.errors import ArtefactError


@pytest.fixture(scope="module")
def moved(make_run):
    """A run whose pictures are no longer where it learnt from them."""
    return make_run("moved", data={"dataroot": "/absent"})


@pytest.fixture(scope="module")
def int8(cyclegan, moved, emoji, tmp_path_factory):
    folder = tmp_path_factory.mktemp("int8")
    options = ["--precision", "int8", "--calibration", emoji / "trainA", "--output", folder]
    assert cyclegan("-q", "export", moved, *options) == 0
    return folder / "moved-AtoB-int8.onnx"


def test_int8_is_judged_on_its_calibration_pictures_where_there_are_no_others(int8, emoji):
    report = VerificationReport.model_validate_json(report_path(int8).read_text())
    assert report.passed
    assert {row.input for row in judged(report.comparisons)} == {"pictures"}
    assert set(report.pictures) <= {path.name for path in (emoji / "trainA").iterdir()}
    assert any("compared on those of the calibration" in note for note in report.notes)
    assert Artefact.open(int8).metadata.verification.passed


def test_what_nothing_was_judged_of_does_not_pass(cyclegan, moved, int8, emoji, capsys):
    verify_it = ["-q", "verify", int8, "--reference", moved, "--backend", "onnxruntime", "--json"]
    assert cyclegan(*verify_it) == 1
    captured = capsys.readouterr()
    assert (
        "moved-AtoB-int8.onnx: no real picture to judge it on; the file is kept, verify it with some; see --images"
        in captured.err
    )
    report = VerificationReport.model_validate_json(captured.out)
    assert not report.passed
    assert not report.summary().passed
    assert all(row.passed for row in report.comparisons)
    assert any("INT8 is judged on real pictures, and there was none" in note for note in report.notes)
    assert cyclegan(*verify_it, "--images", emoji / "testA") == 0


def edited(path, folder, told, instead):
    """Change the metadata by hand."""
    model = onnx.load(path)
    (entry,) = model.metadata_props
    assert told in entry.value
    entry.value = entry.value.replace(told, instead)
    path = folder / "edited.onnx"
    onnx.save(model, path)
    return path


def test_an_int8_file_that_says_to_be_fp32_is_refused(generator, int8, tmp_path):
    path = edited(int8, tmp_path, '"precision":"int8"', '"precision":"fp32"')
    with pytest.raises(ArtefactError, match="it computes in int8, not fp32"):
        verify_artefact(Artefact.open(path), generator)


@pytest.mark.parametrize(("found", "told"), [("fp32", "int8"), ("fp32", "fp16"), ("fp16", "int8"), ("fp16", "fp32")])
def test_a_precision_that_the_graph_belies_is_refused(generator, exported, tmp_path, found, told):
    path = edited(exported(generator, precision=found), tmp_path, f'"precision":"{found}"', f'"precision":"{told}"')
    with pytest.raises(ArtefactError, match=f"not what its metadata says: it computes in {found}, not {told}; export"):
        verify_artefact(Artefact.open(path), generator)
