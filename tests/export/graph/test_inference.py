import copy

import numpy as np
import pytest
import torch
from torch import nn

from cyclegan_edge.export.graph.inference import InferenceGenerator
from cyclegan_edge.runtime.contract import decode, encode
from cyclegan_edge.trainer.config import NetworksConfig
from cyclegan_edge.trainer.evaluation.paired import psnr
from cyclegan_edge.trainer.networks.build import build_generator, init_weights


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (2, 32, 36, 3), dtype=np.uint8)


def test_the_graph_is_the_contract_around_the_generator(generator, noise):
    translated = InferenceGenerator(generator.network)(torch.from_numpy(noise))
    bare = generator.network(torch.from_numpy(encode(noise)))
    assert translated.dtype == torch.uint8
    assert np.array_equal(translated.numpy(), decode(bare.numpy()))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_io_float_is_the_bare_generator_in_fp32_outside(generator, noise, precision):
    values = torch.from_numpy(encode(noise))
    translated = InferenceGenerator(generator.network, precision, "float")(values)
    assert translated.dtype == torch.float32
    assert translated.shape == (2, 3, 32, 36)
    torch.testing.assert_close(translated, generator.network(values), atol={"fp32": 0, "fp16": 0.02}[precision], rtol=0)


class Painter(nn.Module):
    """Gives the values that denormalise to given pixels."""

    def __init__(self, pixels):
        super().__init__()
        self.values = torch.tensor(pixels).reshape(1, 1, 1, -1) / 127.5 - 1

    def forward(self, x):
        return self.values.expand(1, 3, 1, -1)


def test_pixels_are_rounded_half_to_even_and_clipped():
    painted = InferenceGenerator(Painter([0.4, 63.75, 127.5, 254.4, -3.0, 300.0]))(torch.zeros(1, 1, 6, 3).byte())
    assert painted[0, 0, :, 0].tolist() == [0, 64, 128, 254, 0, 255]


def test_fp16_halves_the_convolutions_and_leaves_the_callers_generator_alone(generator, noise):
    before = copy.deepcopy(generator.network.state_dict())
    half = InferenceGenerator(generator.network, "fp16")
    assert {parameter.dtype for parameter in half.parameters()} == {torch.float16}
    after = generator.network.state_dict()
    assert all(after[name].dtype == torch.float32 and torch.equal(after[name], before[name]) for name in before)

    frames = torch.from_numpy(noise)
    full = InferenceGenerator(generator.network)(frames)
    assert psnr(half(frames).permute(0, 3, 1, 2), full.permute(0, 3, 1, 2)).min() > 50


def test_batch_norm_is_folded_before_its_statistics_would_overflow(noise):
    config = NetworksConfig(generator="resnet_1blocks", ngf=4, norm="batch")
    network = build_generator(config, 3, 3)
    torch.manual_seed(0)
    init_weights(network, "normal", 200.0)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.ones_(norm.weight)
        norm.momentum = None  # the plain average over all batches
    with torch.no_grad():
        network(torch.from_numpy(encode(noise)))
        [*network.modules()][-2].weight.mul_(1e-4)  # the last convolution has no norm behind it
    network.eval()
    assert max(norm.running_var.max() for norm in norms) > torch.finfo(torch.half).max

    full, half = InferenceGenerator(network), InferenceGenerator(network, "fp16")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in half.modules())
    frames = torch.from_numpy(noise)
    expected, folded = (module(frames).permute(0, 3, 1, 2) for module in (full, half))
    assert expected.float().std() > 5
    assert psnr(folded, expected).min() > 50
