import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.graph.freeze_norm import freeze_norms
from cyclegan_edge.export.graph.inference import InferenceGenerator
from cyclegan_edge.export.graph.norm_floor import floor_generator
from cyclegan_edge.export.verification.gates import FLAT, GATES, UNDETERMINED
from cyclegan_edge.export.verification.verify import verify_artefact
from cyclegan_edge.runtime.contract import encode
from cyclegan_edge.runtime.errors import UsageError
from cyclegan_edge.trainer.checkpoints.checkpoint import load_generator
from cyclegan_edge.trainer.networks.norm_floor import FlooredInstanceNorm

ARCHITECTURES = [
    {"generator": "resnet_1blocks"},
    {"generator": "resnet_1blocks", "upsample": "resize"},
    {"generator": "resnet_1blocks", "antialias": True},
    {"generator": "mobile_resnet_1blocks"},
    {"generator": "edge_resnet_1blocks"},
    {"generator": "edge_resnet_1blocks", "tail": "smooth"},
    {"generator": "unet_128"},
]


@pytest.mark.parametrize("networks", ARCHITECTURES, ids=str)
@pytest.mark.parametrize("floor", [0.3, 3.0])
def test_what_is_traced_is_the_floored_network(networks, floor, make_run, pictures):
    side = 128 if networks["generator"] == "unet_128" else 32
    data = {"load_size": side, "crop_size": side}
    generator = load_generator(make_run(networks=networks | {"ngf": 4, "ndf": 4}, data=data), "AtoB")
    frames = np.stack([np.asarray(Image.fromarray(picture).resize((side, side))) for picture in pictures])
    floored = floor_generator(generator, frames, floor)
    assert floored.config.networks.norm_floor == floor
    assert generator.config.networks.norm_floor == 0
    traced = InferenceGenerator(floored.network, io="float")
    assert not [module for module in traced.modules() if isinstance(module, FlooredInstanceNorm)]
    with torch.inference_mode():
        expected = floored.network(torch.from_numpy(encode(frames)))
    assert np.abs(traced.translate(encode(frames)) - expected.numpy()).max() < 1e-3


def test_the_lower_the_floor_the_nearer_to_the_network_that_was_trained(generator, pictures):
    given = torch.from_numpy(encode(pictures))
    with torch.inference_mode():
        plain = generator.network(given)
        far, near = (
            float((floor_generator(generator, pictures, floor).network(given) - plain).abs().mean())
            for floor in (1.0, 1e-4)
        )
    assert near < 0.01 * far


def test_the_usual_variance_is_that_of_the_calibration_pictures(generator, pictures):
    norm = floor_generator(generator, pictures, 0.5).network.model[2]
    planes = generator.network.model[1](generator.network.model[0](torch.from_numpy(encode(pictures))))
    assert torch.allclose(norm.plane_variance, planes.var((2, 3), correction=0).mean(0), rtol=1e-4)


def test_norms_with_a_floor_can_still_be_frozen(generator, pictures):
    frozen = freeze_norms(floor_generator(generator, pictures, 1.0), pictures)
    assert (frozen.frozen_norm, frozen.config.networks.norm_floor) == (True, 0)
    given = torch.from_numpy(encode(pictures))
    assert torch.allclose(frozen.network(given), freeze_norms(generator, pictures).network(given), atol=1e-5)


def test_a_floor_is_refused_where_there_are_no_norms_or_it_was_trained(make_run, pictures):
    plain = load_generator(make_run("plain", networks={"norm": "batch"}), "AtoB")
    with pytest.raises(UsageError, match="plain normalises nothing by instance; it has no norms to put a floor under"):
        floor_generator(plain, pictures, 1.0)
    floored = load_generator(make_run("floored", networks={"norm_floor": 2.0}), "AtoB")
    with pytest.raises(UsageError, match="floored was trained with norm_floor=2, which its file has anyway"):
        floor_generator(floored, pictures, 1.0)


def test_constant_pictures_are_judged_where_they_stay_flat_and_reported_where_they_do_not(
    generator, exported, pictures
):
    report = verify_artefact(Artefact.open(exported(generator)), generator)
    assert report.flat_deviation > 4
    assert "A floor under the variance, or a higher one, keeps it flat" in report.advice
    constant = [row for row in report.comparisons if row.input == "constant"]
    assert {row.gate for row in constant} == {UNDETERMINED}

    floored = floor_generator(generator, pictures, 10.0)
    report = verify_artefact(Artefact.open(exported(floored)), floored)
    assert report.flat_deviation <= 4
    assert report.advice is None
    constant = [row for row in report.comparisons if row.input == "constant"]
    assert {row.gate for row in constant if row.precision != "bf16"} == {FLAT}
    assert all(row.passed and (row.max_lsb <= 3 or row.gate == GATES["bf16"]) for row in constant)


class TestCommand:
    @pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
    def test_a_file_with_a_floor_says_so_and_is_compared_with_the_floored_network(
        self, precision, run_folder, folder, tmp_path, cyclegan, capsys
    ):
        arguments = ["--norm-floor", 1.5, "--calibration", folder, "--images", folder, "--precision", precision]
        assert cyclegan("export", run_folder, *arguments, "--output", tmp_path) == 0
        path = tmp_path / f"run-AtoB-{precision}-floor1.5.onnx"
        metadata = Artefact.open(path).metadata
        assert (metadata.norm_floor, metadata.precision, metadata.verification.passed) == (1.5, precision, True)
        norms = [node for node in onnx.load(path).graph.node if node.op_type == "InstanceNormalization"]
        assert {node.attribute[0].f for node in norms} == {1.0}
        if precision == "fp32":
            assert cyclegan("verify", path, "--reference", run_folder, "--calibration", folder) == 0
            capsys.readouterr()
            assert cyclegan("verify", path, "--reference", run_folder) == 2
            shown = capsys.readouterr().err
            assert "have a floor of 1.5, and those of run one of 0; name the pictures" in shown

    def test_what_does_not_go_together_is_refused_in_one_sentence(self, run_folder, folder, tmp_path, cyclegan, capsys):
        refused = [
            ("norms with a floor need pictures", ["--norm-floor", 1]),
            ("leave one of the two out; see", ["--norm-floor", 1, "--freeze-norm", "--calibration", folder]),
        ]
        for sentence, arguments in refused:
            assert cyclegan("export", run_folder, *arguments, "--output", tmp_path) == 2
            shown = capsys.readouterr().err.strip()
            assert sentence in shown
            assert "\n" not in shown
        assert not [*tmp_path.iterdir()]
