"""Whatever the user brings: official weights, gray and many channels, raw weights, the bare generator."""

import pytest
import torch

from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.verification.verify import verify_artefact
from cyclegan_edge.trainer.checkpoints.checkpoint import load_generator
from cyclegan_edge.trainer.networks.resnet import ResnetGenerator


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """A file as the official implementation writes it; nothing in it names the architecture."""
    torch.manual_seed(0)
    network = ResnetGenerator(3, 3, ngf=8, n_blocks=2)
    path = tmp_path_factory.mktemp("official") / "latest_net_G_A.pth"
    torch.save(network.state_dict(), path)
    return path


def test_an_official_generator_is_exported_and_verified_without_a_question(official, exported):
    generator = load_generator(official, "AtoB")
    path = exported(generator)
    metadata = Artefact.open(path).metadata
    assert (metadata.architecture, metadata.source.weights, metadata.source.step) == ("resnet_2blocks", "raw", None)
    report = verify_artefact(Artefact.open(path), generator, backend="onnxruntime")
    assert report.passed


@pytest.mark.parametrize("channels", [{"input_nc": 1, "output_nc": 1}, {"input_nc": 5, "output_nc": 2}], ids=str)
@pytest.mark.parametrize("io", ["uint8", "float"])
def test_gray_and_many_channels_pass(make_run, exported, channels, io):
    changes = {"data": channels, "losses": {"lambda_identity": 0.0}}
    generator = load_generator(make_run("channels", **changes), "AtoB")
    path = exported(generator, io=io)
    metadata = Artefact.open(path).metadata
    assert (metadata.input_channels, metadata.output_channels) == (channels["input_nc"], channels["output_nc"])
    report = verify_artefact(Artefact.open(path), generator, backend="onnxruntime")
    assert report.passed
    assert report.worst is not None


def test_raw_weights_are_held_against_raw_weights(run_folder, exported):
    raw, averaged = load_generator(run_folder, "AtoB", "raw"), load_generator(run_folder, "AtoB")
    assert verify_artefact(Artefact.open(exported(raw)), raw, backend="onnxruntime").passed
    assert not verify_artefact(Artefact.open(exported(raw)), averaged, backend="onnxruntime").passed
