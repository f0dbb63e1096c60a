"""Students within a budget: which candidates are measured, which is taken, and that the one taken keeps it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cyclegan_edge.export.profiling import latency_budget as budget_module
from cyclegan_edge.export.profiling.latency_budget import (
    GENERATORS,
    MARGIN,
    WIDTHS,
    Budget,
    Timing,
    choose,
    keeps,
    measure,
    search,
)
from cyclegan_edge.runtime.errors import UsageError
from cyclegan_edge.trainer.checkpoints.checkpoint import load_generator

SQUARE = (32, 32)


@pytest.fixture(scope="module")
def teacher(make_run):
    return load_generator(make_run("wide", networks={"generator": "resnet_9blocks", "ngf": 40, "ndf": 4}), "AtoB")


@pytest.fixture
def measured(monkeypatch):
    """Let every candidate take a millisecond for each unit of width, twice that where pixels are convolved."""
    seen = []

    def pretend(candidate, budget):
        networks = candidate.config.networks
        parameters = sum(parameter.numel() for parameter in candidate.network.parameters())
        seen.append((networks.generator, networks.ngf))
        ms = networks.ngf * (1.0 if networks.generator.startswith("edge") else 2.0)
        return Timing(networks.generator, networks.ngf, parameters, 0, ms, "fp32")

    monkeypatch.setattr(budget_module, "measure", pretend)
    return seen


def test_each_architecture_is_measured_until_one_is_too_slow(teacher, measured):
    budget = Budget(20, "openvino", "auto", SQUARE)
    timings = list(search(teacher, teacher.config.networks, budget, GENERATORS, None))
    assert measured == [
        ("edge_resnet_3blocks", 8), ("edge_resnet_3blocks", 16), ("edge_resnet_3blocks", 24),
        ("edge_resnet_6blocks", 16), ("edge_resnet_6blocks", 24),  # with 8 it is smaller than the one before
        ("edge_resnet_9blocks", 16), ("edge_resnet_9blocks", 24),
        ("resnet_6blocks", 24), ("resnet_9blocks", 16),
    ]  # fmt: skip
    chosen = choose(timings, budget)
    assert (chosen.generator, chosen.ngf) == ("edge_resnet_9blocks", 16)


def test_nothing_as_large_as_the_teacher_is_measured(teacher, measured):
    timings = list(search(teacher, teacher.config.networks, Budget(1e6, "openvino", "auto", SQUARE), GENERATORS, None))
    assert max(timing.ngf for timing in timings) == 32
    measured.clear()
    resizing = teacher.config.networks.model_copy(update={"upsample": "resize"})
    list(search(teacher, resizing, Budget(1e6, "openvino", "auto", SQUARE), GENERATORS, 16))
    assert measured == [("mobile_resnet_9blocks", 16), ("resnet_6blocks", 16), ("resnet_9blocks", 16)]
    same = list(
        search(teacher, teacher.config.networks, Budget(9, "openvino", "auto", SQUARE), ("resnet_9blocks",), 40)
    )
    assert same == []
    with pytest.raises(UsageError, match="no candidate is smaller than the teacher"):
        choose(same, Budget(9, "openvino", "auto", SQUARE))


TIMINGS = st.builds(
    Timing,
    generator=st.sampled_from(GENERATORS),
    ngf=st.sampled_from(WIDTHS),
    parameters=st.integers(1, 10**7),
    macs=st.integers(0, 10**9),
    p50_ms=st.floats(0.01, 100),
    precision=st.just("fp32"),
)


@given(st.lists(TIMINGS, min_size=1), st.floats(0.01, 100))
def test_the_largest_that_keeps_the_budget_is_taken_or_a_budget_named_that_one_keeps(timings, ms):
    budget = Budget(ms, "openvino", "auto", SQUARE)
    kept = [timing for timing in timings if timing.p50_ms <= MARGIN * ms]
    if kept:
        assert choose(timings, budget).parameters == max(timing.parameters for timing in kept)
        return
    with pytest.raises(UsageError, match=r"no candidate translates 32x32 in .* ms in openvino here") as refused:
        choose(timings, budget)
    named = float(str(refused.value).split("; allow ")[1].split(" ms,")[0])
    assert any(keeps(timing, Budget(named, "openvino", "auto", SQUARE)) for timing in timings)


@pytest.mark.parametrize("precision", ["auto", "fp16", "int8"])
def test_a_candidate_is_measured_in_its_engine(generator, precision):
    timing = measure(generator, Budget(1000, "onnxruntime", precision, SQUARE))
    assert (timing.generator, timing.ngf) == ("resnet_1blocks", 4)
    assert timing.parameters == sum(parameter.numel() for parameter in generator.network.parameters())
    assert timing.p50_ms > 0
    assert timing.precision == {"auto": "fp32"}.get(precision, precision)
    # Stem and tail at 32x32, two convolutions down and two up, and the block at 8x8.
    ends = 2 * 3 * 4 * 49 * 32**2
    between = 2 * 9 * (4 * 8 * 16**2 + 8 * 16 * 8**2)
    assert timing.macs == ends + between + 2 * 9 * 16 * 16 * 8**2


@pytest.fixture(scope="module")
def dataroot(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    noise = np.random.default_rng(0)
    for name in ("trainA", "trainB"):
        (root / name).mkdir()
        for number in range(2):
            pixels = noise.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def test_the_student_that_was_chosen_is_trained_and_keeps_its_budget(
    cyclegan, run_folder, dataroot, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(budget_module, "SECONDS", 0.0)
    monkeypatch.setattr(budget_module, "WIDTHS", (1, 2, 3))
    options = ["--runs", tmp_path, "--name", "s", "--device", "cpu", "--max-steps", 1]
    limits = ["--budget-ms", 500, "--engine", "openvino", "--size", "32x32", "--generator", "resnet_1blocks"]
    assert cyclegan("distill", run_folder, dataroot, *options, *limits) == 0
    shown = capsys.readouterr().out
    assert "32x32 in openvino: candidates for 500 ms" in shown
    assert shown.count("yes") == 3
    assert cyclegan("info", tmp_path / "s", "--json") == 0
    networks = json.loads(capsys.readouterr().out)["networks"]
    assert (networks["generator"], networks["ngf"]) == ("resnet_1blocks", 3)
    assert cyclegan("export", tmp_path / "s", "--no-verify") == 0
    artefact = capsys.readouterr().out.strip()
    assert cyclegan("bench", artefact, "--backend", "openvino", "--size", "32x32", "--seconds", 0, "--json") == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["engine"]["p50_ms"] < 500


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--budget-ms", 5], "say in which engine the budget is to be kept: --engine openvino or onnxruntime"),
        (["--engine", "openvino", "--size", "32x32"], "--engine, --size without --budget-ms decides nothing"),
        (["--budget-ms", 5, "--engine", "openvino", "--resume"], "leave out --budget-ms, --engine"),
        (["--budget-ms", 5, "--engine", "openvino", "--size", "31x32"], "take 28x32 or 32x32; see --size"),
        (["--budget-ms", 0, "--engine", "openvino"], "0.0 is not in the range"),
        (["--budget-ms", 5, "--engine", "tensorrt"], "'tensorrt' is not one of"),
    ],
)
def test_a_wrong_limit_ends_in_one_sentence(cyclegan, run_folder, dataroot, tmp_path, capsys, options, message):
    limits = ["--generator", "resnet_1blocks", "--ngf", 2, "--max-steps", 1]
    assert cyclegan("distill", run_folder, dataroot, "--runs", tmp_path, *limits, *options) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_dataset_is_told_before_anything_is_measured(cyclegan, run_folder, tmp_path, capsys, measured):
    limits = ["--budget-ms", 5, "--engine", "openvino"]
    assert cyclegan("distill", run_folder, tmp_path / "none", "--runs", tmp_path / "runs", *limits) == 3
    assert "there is no folder" in capsys.readouterr().err
    assert measured == []
