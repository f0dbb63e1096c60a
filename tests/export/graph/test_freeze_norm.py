import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.graph.freeze_norm import freeze_norms
from cyclegan_edge.export.graph.inference import InferenceGenerator
from cyclegan_edge.runtime.contract import encode
from cyclegan_edge.runtime.errors import UsageError
from cyclegan_edge.trainer.checkpoints.checkpoint import load_generator
from cyclegan_edge.trainer.networks.layers import InstanceNorm


@pytest.mark.parametrize("network", ["resnet_1blocks", "mobile_resnet_1blocks", "edge_resnet_1blocks", "unet_128"])
def test_on_its_calibration_picture_alone_nothing_changes(network, make_run, pictures):
    size = 128 if network == "unet_128" else 64
    data = {"load_size": size, "crop_size": size}
    generator = load_generator(make_run(networks={"generator": network, "ngf": 4, "ndf": 4}, data=data), "AtoB")
    picture = np.asarray(Image.fromarray(pictures[1]).resize((size, size)))[None]
    frozen = freeze_norms(generator, picture)
    kinds = {type(module) for module in frozen.network.modules()}
    assert not kinds & {InstanceNorm, nn.BatchNorm2d}
    given = torch.from_numpy(encode(picture))
    # Unbiased and biased variances differ by 1/(n - 1), which is most where planes are smallest.
    tolerance = 0.3 if network == "unet_128" else 0.03
    assert torch.allclose(frozen.network(given), generator.network(given), atol=tolerance)
    assert any(isinstance(module, InstanceNorm) for module in generator.network.modules())
    assert (frozen.frozen_norm, frozen.config.networks.norm) == (True, "none")


def test_statistics_are_those_of_all_pictures_together(generator, pictures):
    frozen = freeze_norms(generator, pictures)
    before, after = generator.network.model[1], frozen.network.model[1]
    planes = before(generator.network.model[0](torch.from_numpy(encode(pictures))))
    mean, deviation = planes.mean((0, 2, 3)), (planes.var((0, 2, 3)) + InstanceNorm.eps).sqrt()
    assert torch.allclose(after.weight, before.weight / deviation[:, None, None, None], rtol=1e-4)
    assert torch.allclose(after.bias, (before.bias - mean) / deviation, rtol=1e-3, atol=1e-5)


def test_what_stands_far_away_changes_nothing_any_more(generator, pictures):
    """InstanceNorm looks at the whole picture; without it a pixel depends on its surroundings alone."""
    tall = np.concatenate([pictures[:1]] * 6, axis=1)
    painted = tall.copy()
    painted[:, -16:] = (255, 0, 0)
    for each, alone in ((generator, False), (freeze_norms(generator, pictures), True)):
        translate = InferenceGenerator(each.network).translate
        assert np.array_equal(translate(tall)[:, :64], translate(painted)[:, :64]) is alone


def test_a_network_without_instance_norm_is_refused(make_run, pictures):
    generator = load_generator(
        make_run("plain", networks={"generator": "resnet_1blocks", "ngf": 4, "norm": "batch"}), "AtoB"
    )
    with pytest.raises(UsageError, match="plain normalises nothing by instance; it has no norms to freeze"):
        freeze_norms(generator, pictures)


class TestCommand:
    @pytest.mark.parametrize("precision", ["fp32", "int8"])
    def test_the_norms_are_gone_and_every_engine_agrees_with_the_frozen_network(
        self, precision, run_folder, folder, tmp_path, cyclegan, capsys
    ):
        arguments = ["--freeze-norm", "--calibration", folder, "--images", folder, "--precision", precision]
        assert cyclegan("export", run_folder, *arguments, "--output", tmp_path) == 0
        path = tmp_path / f"run-AtoB-{precision}-frozen.onnx"
        told = Artefact.open(path).metadata
        assert (told.frozen_norm, told.precision, told.verification.passed) == (True, precision, True)
        assert not {node.op_type for node in onnx.load(path).graph.node} & {
            "InstanceNormalization",
            "BatchNormalization",
        }
        if precision == "fp32":
            assert cyclegan("verify", path, "--reference", run_folder, "--calibration", folder) == 0
            capsys.readouterr()
            assert cyclegan("verify", path, "--reference", run_folder) == 2
            assert "name the pictures that it was calibrated on; see --calibration" in capsys.readouterr().err

    def test_what_does_not_go_together_is_refused_in_one_sentence(
        self, run_folder, folder, generator, exported, tmp_path, cyclegan, capsys
    ):
        refused = [
            ("frozen norms need pictures", ["export", run_folder, "--freeze-norm", "--output", tmp_path]),
            (
                "leave them out, or ask for one of these; see --precision, --freeze-norm, --norm-floor, --calibration",
                ["export", run_folder, "--calibration", folder],
            ),
            (
                "are not frozen; leave the pictures of a calibration out; see --calibration",
                ["verify", exported(generator), "--reference", run_folder, "--calibration", folder],
            ),
        ]
        for sentence, arguments in refused:
            assert cyclegan(*arguments) == 2
            shown = capsys.readouterr().err.strip()
            assert sentence in shown
            assert "\n" not in shown
        assert not [*tmp_path.iterdir()]
