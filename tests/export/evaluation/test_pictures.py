import json
import warnings

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from cyclegan_edge.export.evaluation.pictures import run_evaluation
from cyclegan_edge.runtime.errors import ArtefactError, CheckpointError, DatasetError, UsageError
from cyclegan_edge.trainer.checkpoints.checkpoint import load_generator
from cyclegan_edge.trainer.checkpoints.export_official import export_weights


@pytest.fixture(scope="module")
def dataroot(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name in ("testA", "testB"):
        (root / name).mkdir()
        for number in range(4):
            pixels = np.kron(rng.integers(0, 256, (5, 5, 3)), np.ones((8, 8, 1))).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def extractors(tmp_path_factory):
    """The mean of every channel as a feature extractor, in both formats."""
    folder = tmp_path_factory.mktemp("extractors")

    class Means(torch.nn.Module):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return pictures.mean((2, 3))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.script(Means()).save(folder / "means.pt")
    picture = onnx.helper.make_tensor_value_info("pictures", onnx.TensorProto.FLOAT, ["n", 3, "h", "w"])
    means = onnx.helper.make_tensor_value_info("means", onnx.TensorProto.FLOAT, ["n", 3, 1, 1])
    node = onnx.helper.make_node("GlobalAveragePool", ["pictures"], ["means"])
    graph = onnx.helper.make_graph([node], "means", [picture], [means])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, folder / "means.onnx")
    return folder


def test_a_run_is_measured_both_ways(run_folder, dataroot):
    found = run_evaluation(run_folder, dataroot, device="cpu")
    assert (found.directions, found.pictures, found.paired, found.size) == (
        ("AtoB", "BtoA"),
        {"A": 4, "B": 4},
        True,
        32,
    )
    assert {"psnr_AtoB", "gmsd_BtoA", "swd_AtoB", "cycle_psnr_B", "identity_psnr_A"} <= found.metrics.keys()
    assert found.untranslated.keys() <= found.metrics.keys()
    assert found.untranslated["psnr_AtoB"] != found.metrics["psnr_AtoB"]


def test_an_artefact_measures_as_its_checkpoint_does(run_folder, exported, dataroot):
    artefact = exported(load_generator(run_folder, "BtoA"))
    found = run_evaluation(artefact, dataroot, size=32, device="cpu", backend="onnxruntime")
    expected = run_evaluation(run_folder, dataroot, device="cpu")
    assert found.directions == ("BtoA",)
    for name, value in found.metrics.items():
        assert value == pytest.approx(expected.metrics[name], rel=0.02, abs=0.05), name
    assert found.untranslated == {name: v for name, v in expected.untranslated.items() if name.endswith("BtoA")}


@pytest.mark.parametrize(
    "data", [{"direction": "BtoA"}, {"input_nc": 1, "output_nc": 3}, {"input_nc": 1, "output_nc": 1}], ids=str
)
@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_an_artefact_reads_the_folders_and_channels_that_it_was_trained_on(
    make_run, exported, dataroot, data, direction
):
    run = make_run("other", data=data, losses={"lambda_identity": 0})
    artefact = exported(load_generator(run, direction))
    found = run_evaluation(artefact, dataroot, size=32, device="cpu", backend="onnxruntime")
    expected = run_evaluation(run, dataroot, device="cpu")
    assert found.metrics["psnr_" + direction] == pytest.approx(expected.metrics["psnr_" + direction], abs=0.05)
    assert found.metrics["colour_" + direction] == pytest.approx(expected.metrics["colour_" + direction], rel=0.02)


def test_extractors_of_both_formats_agree(run_folder, dataroot, extractors):
    script, graph = (
        run_evaluation(run_folder, dataroot, features=extractors / name, device="cpu")
        for name in ("means.pt", "means.onnx")
    )
    assert script.metrics["fid_AtoB"] == pytest.approx(graph.metrics["fid_AtoB"], rel=1e-3)
    assert script.metrics["kid_low_BtoA"] <= script.metrics["kid_BtoA"]


def test_a_published_model_is_measured_one_way(make_run, dataroot, tmp_path):
    run = make_run("six", networks={"generator": "resnet_6blocks", "ngf": 4, "ndf": 4})
    path = export_weights(run, tmp_path)[0]
    path.rename(tmp_path / "latest_net_G.pth")
    found = run_evaluation(tmp_path / "latest_net_G.pth", dataroot, size=32, device="cpu")
    assert found.directions == ("AtoB",)
    assert "cycle_l1" not in found.metrics


def test_what_cannot_be_evaluated_is_refused(run_folder, exported, dataroot, extractors, tmp_path):
    with pytest.raises(DatasetError, match=r"has no pictures in testA and testB"):
        run_evaluation(run_folder, tmp_path)
    with pytest.raises(UsageError, match="pictures of 30x30 cannot be compared; 32x32 can"):
        run_evaluation(run_folder, dataroot, size=30)
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        run_evaluation(tmp_path / "absent", dataroot)
    pinned = exported(load_generator(run_folder, "AtoB"), size=(32, 48))
    with pytest.raises(UsageError, match="translates 32x48 only"):
        run_evaluation(pinned, dataroot)
    generator = exported(load_generator(run_folder, "AtoB"))
    with pytest.raises(ArtefactError, match="a feature extractor takes float32"):
        run_evaluation(run_folder, dataroot, features=generator, device="cpu")


def test_the_command_prints_a_table_and_says_what_it_is_worth(cyclegan, run_folder, dataroot, capsys):
    assert cyclegan("evaluate", run_folder, dataroot, "--device", "cpu", "--limit", 3) == 0
    shown = capsys.readouterr().out
    assert "3 + 3 pictures, paired at 32x32" in shown
    assert "never with a published FID" in shown
    assert "psnr" in shown


def test_the_command_gives_json_and_fails_for_a_file_left_out(cyclegan, run_folder, dataroot, tmp_path, capsys):
    for name in ("testA", "testB"):
        (tmp_path / name).mkdir()
        for path in (dataroot / name).iterdir():
            (tmp_path / name / path.name).write_bytes(path.read_bytes())
    (tmp_path / "testA" / "3.png").write_bytes(b"no picture")
    assert cyclegan("evaluate", run_folder, tmp_path, "--device", "cpu", "--json") == 1
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (found["pictures"], found["skipped"], found["paired"]) == ({"A": 3, "B": 4}, 1, True)
    (tmp_path / "testB" / "3.png").unlink()  # so that the rest are pairs anyway
    assert cyclegan("evaluate", run_folder, tmp_path, "--device", "cpu", "--json") == 1
    expected = json.loads(capsys.readouterr().out)["metrics"]
    assert all(found["metrics"][name] == pytest.approx(expected[name]) for name in ("psnr_AtoB", "ssim_BtoA"))
    assert "1 files could not be read" in captured.err
