"""Batch norms by each picture's own statistics, and in evaluation, are what PyTorch makes of both modes."""

import json

import pytest
import torch
from torch import nn

from cyclegan_edge.export.artefact import Artefact
from cyclegan_edge.export.graph.onnx_export import export_onnx
from cyclegan_edge.export.graph.picture_norm import norm_by_picture
from cyclegan_edge.export.verification.verify import verify_artefact
from cyclegan_edge.runtime.errors import UsageError
from cyclegan_edge.trainer.checkpoints.checkpoint import load_generator


@pytest.fixture(scope="module")
def run(make_run):
    return make_run("batch", networks={"generator": "resnet_1blocks", "ngf": 4, "ndf": 4, "norm": "batch"})


@pytest.fixture(scope="module")
def batch_normed(run):
    generator = load_generator(run, "AtoB")
    draw = torch.Generator().manual_seed(0)
    for module in generator.network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean):
                tensor.copy_(torch.rand(tensor.shape, generator=draw) + 0.5)
    return generator


def test_each_picture_is_normalised_as_a_batch_of_one_in_training_mode(batch_normed):
    pictures = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    made = norm_by_picture(batch_normed)
    alone = [made.network(picture) for picture in pictures.split(1)]
    torch.testing.assert_close(made.network(pictures), torch.cat(alone), atol=1e-4, rtol=1e-3)
    expected = batch_normed.network(pictures[:1])
    assert not torch.allclose(alone[0], expected, atol=0.01)  # evaluation mode is another picture
    batch_normed.network.train()
    try:
        torch.testing.assert_close(alone[0], batch_normed.network(pictures[:1]), atol=1e-4, rtol=1e-3)
    finally:
        batch_normed.network.eval()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_engines_agree_and_the_file_says_which_mode_it_is(batch_normed, emoji, tmp_path, precision):
    pictures = sorted((emoji / "testA").iterdir())[:2]
    for generator, mode in ((norm_by_picture(batch_normed), "picture"), (batch_normed, "evaluation")):
        path = tmp_path / f"{mode}.onnx"
        export_onnx(generator, path, precision=precision)
        assert Artefact.open(path).metadata.batch_norm == mode
        assert verify_artefact(Artefact.open(path), generator, pictures, backend="onnxruntime").passed


def test_a_network_without_batch_norms_is_refused(generator):
    with pytest.raises(UsageError, match="normalises nothing by batch"):
        norm_by_picture(generator)


def test_the_commands_keep_to_the_mode(cyclegan, run, emoji, tmp_path, capsys):
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted((emoji / "testA").iterdir())[:2]:
        (few / path.name).symlink_to(path)
    assert cyclegan("export", run, "--batch-norm", "picture", "--images", few, "--output", tmp_path, "--json") == 0
    (product,) = json.loads(capsys.readouterr().out)
    assert product["artefact"].endswith("batch-AtoB-fp32-picture.onnx")
    assert cyclegan("verify", product["artefact"], "--reference", run, "--images", few, "--json") == 0
    assert json.loads(capsys.readouterr().out)["passed"]
