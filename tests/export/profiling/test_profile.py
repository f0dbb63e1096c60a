import json
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.profiling.chart import WIDTH, make_bars, save_chart
from cyclegan_edge.export.profiling.costs import count_costs
from cyclegan_edge.export.profiling.layers import ALL_KINDS, profile
from cyclegan_edge.export.quantization.int8 import quantise
from cyclegan_edge.runtime.errors import ArtefactError, BackendError, UsageError
from cyclegan_edge.trainer.checkpoints.checkpoint import load_generator

SIZE = (32, 48)
PARTS = ["pixels in", "stem", "down 1", "down 2", "block 1", "up 1", "up 2", "tail", "pixels out"]


@pytest.fixture(scope="module")
def edge_path(make_run, exported):
    run = make_run("edge", networks={"generator": "edge_resnet_2blocks", "ngf": 4, "ndf": 4})
    return exported(load_generator(run, "AtoB"))


@pytest.fixture(scope="module")
def int8_path(generator, exported, tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "run-int8.onnx"
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    quantise(exported(generator), path, Artefact.open(exported(generator)).metadata, pictures)
    return path


def chain(folder, *steps, shape=(1, 4, 6, 8)):
    """Save a graph that applies operators one after the other, each with weights of the given shapes."""
    nodes, weights, given = [], [], "image"
    for number, (operator, shapes, attributes) in enumerate(steps):
        names = [f"w{number}_{place}" for place in range(len(shapes))]
        weights += [
            numpy_helper.from_array(np.ones(sides, np.float32), name) for name, sides in zip(names, shapes, strict=True)
        ]
        nodes.append(helper.make_node(operator, [given, *names], [f"t{number}"], name=f"n{number}", **attributes))
        given = f"t{number}"
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *shape[1:]])],
        [helper.make_tensor_value_info(given, TensorProto.FLOAT, [None] * len(shape))],
        weights,
    )
    path = folder / "chain.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def test_macs_parameters_and_bytes_are_those_worked_out_by_hand(tmp_path):
    path = chain(
        tmp_path,
        ("Conv", [(10, 4, 3, 3), (10,)], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),  # 6x8 to 3x4
        ("Conv", [(10, 1, 3, 3)], {"group": 10, "pads": [1, 1, 1, 1]}),
        ("ConvTranspose", [(10, 5, 4, 4)], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),  # 3x4 to 6x8
        ("MatMul", [(8, 7)], {}),
    )
    strided, depthwise, transposed, product = count_costs(path, (2, 4, 6, 8))
    assert strided.macs == 2 * (3 * 4) * 10 * 4 * 9
    assert depthwise.macs == 2 * (3 * 4) * 10 * 9
    assert transposed.macs == 2 * (3 * 4) * 10 * 5 * 16
    assert product.macs == 2 * (5 * 6 * 7) * 8
    assert [cost.parameters for cost in (strided, depthwise, transposed, product)] == [370, 90, 800, 56]
    assert strided.traffic == 4 * (2 * 4 * 6 * 8 + 370 + 2 * 10 * 3 * 4)
    assert strided.layer == "conv 3x3 4→10 /2"
    assert depthwise.layer == "depthwise 3x3 10"
    assert transposed.layer == "deconv 4x4 10→5 ×2"


def test_the_official_generator_costs_what_its_shapes_say(generator, exported):
    costs = count_costs(exported(generator), (1, *SIZE, 3))
    assert sum(cost.parameters for cost in costs) == sum(each.numel() for each in generator.network.parameters())
    pixels, c = SIZE[0] * SIZE[1], 4
    around = pixels * 2 * 49 * 3 * c + 2 * (pixels // 4 * 9 * c * 2 * c) + 2 * (pixels // 16 * 9 * 2 * c * 4 * c)
    assert sum(cost.macs for cost in costs) == around + 2 * pixels // 16 * 9 * (4 * c) ** 2
    assert list(dict.fromkeys(cost.part for cost in costs)) == PARTS


def test_resizing_layers_are_ups_too(make_run, exported):
    networks = {"generator": "resnet_1blocks", "ngf": 4, "ndf": 4, "upsample": "resize"}
    path = exported(load_generator(make_run("resize", networks=networks), "AtoB"))
    assert list(dict.fromkeys(cost.part for cost in count_costs(path, (1, *SIZE, 3)))) == PARTS


def test_int8_is_counted_as_the_same_network_that_moves_fewer_bytes(generator, exported, int8_path):
    full, integer = (count_costs(path, (1, *SIZE, 3)) for path in (exported(generator), int8_path))
    for total in ("macs", "parameters"):
        assert sum(getattr(cost, total) for cost in integer) == sum(getattr(cost, total) for cost in full)
    traffic = [{cost.part: cost.traffic for cost in costs if cost.operator == "Conv"} for costs in (full, integer)]
    assert traffic[1]["block 1"] < traffic[0]["block 1"]
    assert traffic[1]["stem"] == traffic[0]["stem"]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("kind", ["fp32", "int8", "edge"])
def test_every_convolution_is_found_among_the_layers_that_an_engine_runs(
    backend, kind, generator, exported, int8_path, edge_path
):
    path = {"fp32": exported(generator), "int8": int8_path, "edge": edge_path}[kind]
    found = profile(path, backend=backend, precision="auto", size=SIZE, seconds=0)
    assert (found.backend, found.size, found.runs) == (backend, SIZE, 5)
    assert sum(layer.macs for layer in found.layers) == found.macs > 0
    assert sum(layer.parameters for layer in found.layers) == found.parameters
    order = [part for part in dict.fromkeys(layer.part for layer in found.layers) if part != "pixels in"]
    blocks = ["block 1", "block 2"] if kind == "edge" else ["down 1", "down 2", "block 1", "up 1", "up 2"]
    assert [part for part in order if part not in ("pixels out", "skip")] == ["stem", *blocks, "tail"]
    assert ("skip" in order) == (kind == "edge")
    assert sum(found.by_kind().values()) == pytest.approx(found.layers_ms)
    assert sum(sum(kinds.values()) for kinds in found.by_part().values()) == pytest.approx(found.layers_ms)
    norms = [layer for layer in found.layers if layer.kind == "normalisation"]
    assert len(norms) == {"edge": 5}.get(kind, 7)
    assert all(layer.kind in ALL_KINDS for layer in found.layers)


def test_the_size_is_rounded_to_what_the_artefact_takes(generator, exported):
    assert profile(exported(generator), backend="onnxruntime", size=(30, 5), seconds=0).size == (32, 8)


def test_the_chart_stands_alone_and_its_bars_are_as_long_as_the_times(generator, exported, tmp_path):
    found = profile(exported(generator), backend="onnxruntime", size=SIZE, seconds=0)
    bars = make_bars(found)
    assert [bar.part for bar in bars] == PARTS
    assert max(bar.end for bar in bars) == pytest.approx(WIDTH)
    assert sum(bar.share for bar in bars) == pytest.approx(1)
    for bar in bars:
        assert bar.end * max(bar.ms for bar in bars) == pytest.approx(bar.ms * WIDTH)
        assert all(
            before.left + before.width == after.left
            for before, after in zip(bar.segments, bar.segments[1:], strict=False)
        )
    save_chart(found, tmp_path / "a.svg")
    picture = ElementTree.parse(tmp_path / "a.svg").getroot()
    said = " ".join("".join(text.itertext()) for text in picture.iter("{http://www.w3.org/2000/svg}text"))
    assert all(part in said for part in PARTS)
    assert "32x48" in said


class TestCommand:
    def test_the_table_names_blocks_and_sums(self, generator, exported, cyclegan, capsys):
        assert (
            cyclegan("profile", exported(generator), "--size", "32x48", "--backend", "onnxruntime", "--seconds", 0) == 0
        )
        page = capsys.readouterr().out
        assert "run.onnx in onnxruntime, fp32, 32x48" in page
        for word in ("block 1", "conv 3x3 16→16", "tail", "by kind: convolution"):
            assert word in page

    def test_a_program_reads_the_same_from_stdout_and_the_file(self, generator, exported, tmp_path, cyclegan, capsys):
        arguments = [
            "--seconds",
            0,
            "--size",
            "32",
            "--backend",
            "openvino",
            "--precision",
            "fp32",
            "-o",
            tmp_path / "out",
            "--json",
        ]
        assert cyclegan("profile", exported(generator), *arguments) == 0
        told = json.loads(capsys.readouterr().out)
        assert told == json.loads((tmp_path / "out" / "run.profile.json").read_text())
        assert told["precision"] == "fp32"
        assert told["ms_by_part"].keys() <= set(PARTS)
        assert {path.name for path in (tmp_path / "out").iterdir()} == {"run.profile.json", "run.profile.svg"}

    def test_what_cannot_be_profiled_ends_in_one_sentence(self, generator, exported, tmp_path, cyclegan, capsys):
        (tmp_path / "a.engine").write_bytes(b"plan")
        (tmp_path / "file").touch()
        path = exported(generator)
        pinned = exported(generator, size=(32, 48))
        refused = [
            (2, "profile the ONNX file that it was built from", [tmp_path / "a.engine"]),
            (2, "takes 32x48 only; take that size; see --size", [pinned, "--size", "64"]),
            (4, "there is no model file", [tmp_path / "nothing.onnx"]),
            (4, "for bf16 use the backend openvino", [path, "--backend", "onnxruntime", "--precision", "bf16"]),
            (5, "cannot write", [path, "--size", "32", "--seconds", 0, "-o", tmp_path / "file" / "out"]),
        ]
        for code, sentence, arguments in refused:
            assert cyclegan("profile", *arguments) == code
            shown = capsys.readouterr().err.strip()
            assert sentence in shown
            assert "\n" not in shown


def test_what_no_layer_times_can_be_had_of_is_refused(tmp_path, monkeypatch, generator, exported):
    from cyclegan_edge.runtime.backends.layer_times import layer_times

    with pytest.raises(BackendError, match="tensorrt does not measure its layers"):
        layer_times(tmp_path, np.zeros(1), backend="tensorrt", precision="auto", seconds=0)
    with pytest.raises(UsageError, match=r"does not tell its layers' times"):
        profile(tmp_path / "a.ENGINE")
    idle = SimpleNamespace(layers=(), ms=1.0, runs=5)
    monkeypatch.setattr("cyclegan_edge.export.profiling.layers.layer_times", lambda *given, **options: idle)
    with pytest.raises(ArtefactError, match="computes nothing that takes onnxruntime time"):
        profile(exported(generator), backend="onnxruntime", size=SIZE)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_model_of_others_whose_channels_come_last_is_profiled(backend, tmp_path):
    weight = numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "weight")
    shape = ["n", "h", "w", 3]
    nodes = [
        helper.make_node("Transpose", ["image"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["first", "weight"], ["second"]),
        helper.make_node("Transpose", ["second"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Tanh", ["last"], ["translated"]),
    ]
    value = helper.make_tensor_value_info
    taken, given = value("image", TensorProto.FLOAT, shape), value("translated", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "foreign", [taken], [given], [weight])
    path = tmp_path / "foreign.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    found = profile(path, backend=backend, size=(16, 24), seconds=0)
    assert (found.size, found.macs) == ((16, 24), 16 * 24 * 9)
