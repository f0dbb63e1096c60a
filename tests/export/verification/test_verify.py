import hashlib
import io
import shutil

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from rich.console import Console

from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.verification import verify
from cyclegan_edge.export.verification.gates import FLAT, FLAT_DEVIATION, GATES, UNDETERMINED, Gate
from cyclegan_edge.export.verification.report import VerificationReport, judged, report_path
from cyclegan_edge.export.verification.table import report_table
from cyclegan_edge.export.verification.verify import record, verify_artefact
from cyclegan_edge.runtime.backends import open_backend
from cyclegan_edge.runtime.errors import ArtefactError, BackendError, UsageError
from cyclegan_edge.trainer.checkpoints.checkpoint import load_generator

FP32_ENGINES = {("onnxruntime", "fp32"), ("openvino", "fp32")}


@pytest.fixture(scope="session")
def pictures(emoji):
    return sorted((emoji / "testA").iterdir())[:5]


@pytest.fixture(scope="session")
def report(generator, exported, pictures):
    return verify_artefact(Artefact.open(exported(generator)), generator, pictures)


def save(model, path):
    onnx.save(model, path)
    return path


def test_an_fp32_artefact_is_pytorch_within_one_lsb_in_every_engine(report, pictures):
    assert report.passed
    assert report.notes == () or "bf16 was left out" in report.notes[0]
    assert report.pictures == tuple(path.name for path in pictures[:4])
    in_fp32 = [row for row in judged(report.comparisons) if row.precision == "fp32"]
    assert {(row.engine, row.precision) for row in in_fp32} == FP32_ENGINES
    assert all(row.max_lsb <= 1 and row.gate == GATES["fp32"] for row in in_fp32)
    assert all(row.psnr_db is None or row.psnr_db > 70 for row in in_fp32)
    assert all(row.ssim > 0.9999 and row.equal_share > 0.99 for row in in_fp32)


def test_every_engine_takes_every_input_at_two_sizes_in_two_batches_and_a_picture_at_a_larger_one(report):
    seen = {(row.engine, row.precision, row.input, row.size, row.batch) for row in report.comparisons}
    engines = {(row.engine, row.precision) for row in report.comparisons}
    assert engines >= FP32_ENGINES
    assert seen == {
        (*engine, kind, size, batch)
        for engine in engines
        for kind in ("noise", "gradient", "constant", "pictures")
        for size in ((32, 32), (32, 36))
        for batch in (1, 2)
    } | {(*engine, "pictures", (64, 64), 1) for engine in engines}
    assert len(report.comparisons) == len(seen)


def test_what_tanh_gives_is_compared_before_it_is_rounded_to_pixels(report):
    for row in report.comparisons:
        assert (row.tanh is None) == (row.batch == 2)  # a batch of an artefact of pixels is compared in pixels
        if row.tanh and row.gate != UNDETERMINED:
            assert 0 < row.tanh.mean <= row.tanh.p999 <= row.tanh.max
            assert row.tanh.max < (1e-4 if row.precision == "fp32" else 0.2)
            assert abs(row.tanh.max * 127.5 - row.max_lsb) <= 1


def test_bf16_is_compared_under_its_own_gate_or_said_to_be_missing(report):
    rows = [row for row in judged(report.comparisons) if row.precision == "bf16"]
    assert bool(rows) != any("openvino in bf16 was left out" in note for note in report.notes)
    assert all(row.gate == GATES["bf16"] and row.psnr_db >= 40 for row in rows)


def test_a_cpu_without_bf16_is_noted_and_no_failure(generator, exported, monkeypatch):
    def no_bf16(path, *, precision="auto", **options):
        if precision == "bf16":
            raise BackendError("this CPU does not compute in bf16")
        return open_backend(path, precision=precision, **options)

    monkeypatch.setattr(verify, "open_backend", no_bf16)
    report = verify_artefact(Artefact.open(exported(generator)), generator)
    assert report.passed
    assert "openvino in bf16 was left out: this CPU does not compute in bf16" in report.notes
    assert {(row.engine, row.precision) for row in report.comparisons} == FP32_ENGINES


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "fp16"},
        {"io": "float"},
        pytest.param({"precision": "fp16", "io": "float"}, marks=pytest.mark.slow),
        {"size": (32, 48)},
    ],
    ids=str,
)
def test_every_kind_of_artefact_passes(generator, exported, pictures, options):
    report = verify_artefact(Artefact.open(exported(generator, **options)), generator, pictures)
    assert report.passed
    gate = GATES[options.get("precision", "fp32")]
    assert {row.gate for row in judged(report.comparisons) if row.precision != "bf16"} == {gate}
    sizes = {options["size"]} if "size" in options else {(32, 32), (32, 36), (64, 64)}
    assert {row.size for row in report.comparisons} == sizes
    assert {row.batch for row in report.comparisons} == {1, 2}
    if options.get("io") == "float":
        assert all(row.tanh for row in report.comparisons)


UNET = {"generator": "unet_128", "ngf": 4}
SIDE_128 = {"load_size": 128, "crop_size": 128}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "precision"),
    [
        ({"networks": UNET, "data": SIDE_128}, "fp16"),
        ({"networks": UNET | {"norm": "batch", "dropout": True, "init_gain": 0.1}, "data": SIDE_128}, "fp32"),
        ({"networks": {"norm": "batch", "init_gain": 0.1}}, "fp16"),
        ({"networks": {"generator": "resnet_2blocks", "norm": "none", "init_gain": 0.1}}, "fp32"),
        ({"networks": {"upsample": "resize"}, "data": {"output_nc": 1}, "losses": {"lambda_identity": 0.0}}, "fp16"),
    ],
    ids=["unet", "unet-batch-dropout", "resnet-batch", "resnet-none", "gray-to-colour-resize"],
)
def test_every_architecture_passes(make_run, exported, pictures, changes, precision):
    generator = load_generator(make_run(**changes), "BtoA")
    report = verify_artefact(Artefact.open(exported(generator, precision=precision)), generator, pictures)
    assert report.passed
    assert {row.input for row in report.comparisons} == {"noise", "gradient", "constant", "pictures"}
    constant = {row.gate for row in report.comparisons if row.input == "constant" and row.precision == "fp32"}
    if generator.config.networks.norm != "instance":
        assert (constant, report.flat_deviation) == ({GATES[precision]}, None)
    else:
        assert constant <= {FLAT, UNDETERMINED}
        assert (UNDETERMINED in constant) is (report.flat_deviation > FLAT_DEVIATION) is (report.advice is not None)


def changed(model, name, change):
    """Rewrite one initialiser."""
    tensors = [tensor for tensor in model.graph.initializer if tensor.name == name]
    assert len(tensors) == 1
    tensors[0].CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensors[0]).copy()), name))


def test_a_change_too_small_to_see_is_caught(generator, exported, tmp_path):
    """By six steps of a pixel where tanh is steepest; greater faults are planted in test_divergence.py."""
    model = onnx.load(exported(generator))
    changed(model, "generator.model.18.bias", lambda bias: bias + np.float32(0.05))
    report = verify_artefact(Artefact.open(save(model, tmp_path / "damaged.onnx")), generator)
    assert not report.passed
    assert {(row.engine, row.precision) for row in report.comparisons if not row.passed} >= FP32_ENGINES
    assert all(row.max_lsb > 1 for row in report.comparisons if not row.passed and row.precision == "fp32")
    assert not report.summary().passed


def test_weights_of_another_network_are_caught_and_the_other_source_is_noted(make_run, generator, exported):
    other = load_generator(make_run("other", run={"seed": 1}), "AtoB")
    report = verify_artefact(Artefact.open(exported(generator)), other)
    assert not report.passed
    assert "run.onnx was made from another checkpoint than this other" in report.notes


class Faulty:
    """A backend whose results are tampered with."""

    def __init__(self, backend, tamper):
        self._backend = backend
        self._tamper = tamper

    def __getattr__(self, name):
        return getattr(self._backend, name)

    def infer(self, batch):
        return self._tamper(self._backend.infer(batch))


def tamper_with(monkeypatch, tamper):
    monkeypatch.setattr(verify, "open_backend", lambda *args, **options: Faulty(open_backend(*args, **options), tamper))


def test_a_number_that_is_none_is_seen_behind_pixels(generator, exported, tmp_path):
    """An engine casts NaN to any pixel it likes."""
    model = onnx.load(exported(generator))
    changed(model, "generator.model.18.bias", lambda bias: bias * np.float32("nan"))
    report = verify_artefact(Artefact.open(save(model, tmp_path / "nan.onnx")), generator, backend="onnxruntime")
    singles = [row for row in report.comparisons if row.batch == 1]
    assert {(row.size, row.blank_frames) for row in singles} == {((32, 32), 2), ((32, 36), 2), ((64, 64), 1)}


def black(result):
    result[-1] = 0 if result.dtype == np.uint8 else -1
    return result


def not_a_number(result):
    if result.dtype == np.uint8:
        return black(result)  # what a NaN becomes there
    result[0, 0, 0, 0] = np.nan
    return result


@pytest.mark.parametrize(("io", "tamper"), [("uint8", black), ("float", black), ("float", not_a_number)])
def test_a_frame_that_is_black_or_not_finite_fails_even_where_no_number_is_gated(
    generator, exported, monkeypatch, io, tamper
):
    tamper_with(monkeypatch, tamper)
    report = verify_artefact(Artefact.open(exported(generator, io=io)), generator, backend="onnxruntime")
    assert [row.passed for row in report.comparisons] == [False] * 13
    small = [row for row in report.comparisons if row.size != (64, 64)]
    assert {(row.batch, row.blank_frames) for row in small} == {(1, 2), (2, 1)}


def test_a_batch_that_mixes_its_pictures_is_caught(generator, exported, monkeypatch):
    monkeypatch.setattr(
        verify,
        "open_backend",
        lambda *args, **options: Faulty(open_backend(*args, **options), lambda batch: batch[::-1]),
    )
    report = verify_artefact(Artefact.open(exported(generator)), generator, backend="onnxruntime")
    assert {row.batch for row in judged(report.comparisons) if row.passed} == {1}
    assert {row.batch for row in judged(report.comparisons) if not row.passed} == {2}
    assert {row.alone_lsb > 1 for row in judged(report.comparisons) if row.batch == 2} == {True}
    (divergence,) = report.divergences
    assert "single pictures pass and batches of 2 miss" in str(divergence)


@pytest.mark.parametrize(
    ("precision", "max_lsb", "psnr_db", "admitted"),
    [
        ("fp32", 0, None, True),
        ("fp32", 1, 48.1, True),
        ("fp32", 2, 90.0, False),
        ("fp16", 9, 40.0, True),
        ("fp16", 1, 39.99, False),
        ("bf16", 255, 40.0, True),
        ("bf16", 2, 39.99, False),
        ("bf16", 0, None, True),
    ],
)
def test_the_gates(precision, max_lsb, psnr_db, admitted):
    assert GATES[precision].admits(max_lsb, psnr_db) is admitted


def test_the_gates_in_words():
    assert {name: str(gate) for name, gate in GATES.items()} == {
        "fp32": "≤ 1 LSB",
        "fp32 large": "≥ 45 dB",
        "fp16": "≥ 40 dB",
        "bf16": "≥ 40 dB",
        "tf32": "≥ 45 dB",
        "int8": "≥ 28 dB",
    }
    assert str(UNDETERMINED) == "not blank"
    assert Gate(max_lsb=1).admits(1, 3.0)


def test_pictures_that_cannot_be_read_are_named_and_none_at_all_is_said(generator, exported, pictures, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    artefact = Artefact.open(exported(generator))
    report = verify_artefact(artefact, generator, [broken, pictures[0]], backend="onnxruntime")
    assert report.pictures == (pictures[0].name,)
    assert [str(broken) in note for note in report.notes] == [True]
    assert {row.input for row in report.comparisons} == {"noise", "gradient", "constant", "pictures"}

    report = verify_artefact(Artefact.open(exported(generator)), generator, [broken], backend="onnxruntime")
    assert report.passed
    assert {row.input for row in report.comparisons} == {"noise", "gradient", "constant"}
    assert "there was no real picture: compared on synthetic pictures only" in report.notes


def test_ssim_is_left_out_where_its_window_does_not_fit(generator, exported):
    path = exported(generator, size=(8, 8))
    report = verify_artefact(Artefact.open(path), generator, backend="onnxruntime")
    assert {(row.size, row.ssim) for row in report.comparisons} == {((8, 8), None)}


def test_a_generator_of_another_kind_is_refused(run_folder, generator, exported):
    with pytest.raises(UsageError, match="is resnet_1blocks AtoB and run is resnet_1blocks BtoA"):
        verify_artefact(Artefact.open(exported(generator)), load_generator(run_folder, "BtoA"))


def test_files_that_are_not_ours_are_refused(generator, exported, tmp_path):
    whole = exported(generator)
    model = onnx.load(whole)
    del model.metadata_props[:]
    with pytest.raises(ArtefactError, match="does not say which checkpoint it came from"):
        Artefact.open(save(model, tmp_path / "foreign.onnx"))
    (tmp_path / "cut.onnx").write_bytes(whole.read_bytes()[:-2000])
    (tmp_path / "noise.onnx").write_bytes(np.random.default_rng(0).bytes(999))
    for name in ("cut", "noise", "absent"):
        with pytest.raises(ArtefactError, match=name):
            Artefact.open(tmp_path / f"{name}.onnx")


def test_an_unknown_engine_is_refused(generator, exported):
    with pytest.raises(UsageError, match="no backend is called 'openvin'"):
        verify_artefact(Artefact.open(exported(generator)), generator, backend="openvin")


def test_the_report_is_stored_beside_the_artefact_and_its_summary_inside(generator, exported, report, tmp_path):
    path = tmp_path / "run-AtoB-fp32.onnx"
    shutil.copyfile(exported(generator), path)
    compared = hashlib.sha256(path.read_bytes()).hexdigest()
    record(report, Artefact.open(path))

    assert {file.name for file in tmp_path.iterdir()} == {
        "run-AtoB-fp32.onnx",
        "run-AtoB-fp32.verify.json",
        "run-AtoB-fp32.verify.html",
    }
    assert VerificationReport.model_validate_json(report_path(path).read_text()) == report.model_copy(
        update={"worst": None}
    )
    assert report.artefact_sha256 == compared
    assert report.producer.keys() == {"cyclegan_edge", "torch", "onnxruntime", "openvino"}
    assert report.reference == Artefact.open(path).metadata.source
    summary = Artefact.open(path).metadata.verification
    assert summary.passed
    assert {"onnxruntime fp32", "openvino fp32"} <= set(summary.engines)
    assert summary.max_lsb == max(row.max_lsb for row in judged(report.comparisons))
    before, after = onnx.load(exported(generator)), onnx.load(path)
    assert before.graph == after.graph


def test_the_table_shows_the_worst_of_each_input_and_where_it_missed(report):
    first = report.comparisons[0]
    worse = first.model_copy(update={"max_lsb": 77, "psnr_db": 12.34, "passed": False, "batch": 2, "size": (32, 36)})
    shown = io.StringIO()
    Console(width=160, file=shown).print(report_table(report.model_copy(update={"comparisons": (first, worse)})))
    (line,) = [line for line in shown.getvalue().splitlines() if "noise" in line]
    cells = [cell.strip() for cell in line.strip("│ ").split("│")]
    assert cells[:3] == [f"{first.engine} {first.precision}", "noise", "77"]
    assert cells[7] == "12.3"
    assert cells[10] == "missed at 2x32x36"
