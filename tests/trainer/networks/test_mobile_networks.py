"""The small generators: mobile_resnet and edge_resnet."""

import pytest
import torch
from torch import nn

from cyclegan_edge.runtime.errors import CheckpointError, ConfigError
from cyclegan_edge.trainer.checkpoints.checkpoint import load_generator
from cyclegan_edge.trainer.config import NetworksConfig, resolve_config
from cyclegan_edge.trainer.networks.build import build_generator, init_weights
from cyclegan_edge.trainer.networks.edge_resnet import averaging
from cyclegan_edge.trainer.networks.layers import PixelSkip, Tanh


def separable(channels: int) -> int:
    """Parameters of a depthwise 3x3 and a pointwise convolution, both with biases."""
    return (9 + 1) * channels + (channels + 1) * channels


def around_the_blocks(ngf: int) -> int:
    """Parameters of the official stem, strided and transposed convolutions and tail, three channels in and out."""
    halving = (9 * ngf + 1) * 2 * ngf + (9 * 2 * ngf + 1) * 4 * ngf
    doubling = (9 * 4 * ngf + 1) * 2 * ngf + (9 * 2 * ngf + 1) * ngf
    return (49 * 3 + 1) * ngf + halving + doubling + (49 * ngf + 1) * 3


def edge(blocks: int, channels: int) -> int:
    return (64 * 3 + 1) * channels + 2 * blocks * (9 * channels + 1) * channels + (9 * channels + 1) * 48 + 16 * 3 * 48


@pytest.mark.parametrize(
    ("generator", "ngf", "worked_out", "expected"),
    [
        ("mobile_resnet_9blocks", 64, 18 * separable(256) + around_the_blocks(64), 1_987_075),
        ("mobile_resnet_6blocks", 64, 12 * separable(256) + around_the_blocks(64), 1_576_963),
        ("mobile_resnet_9blocks", 8, 18 * separable(32) + around_the_blocks(8), 38_723),
        ("edge_resnet_6blocks", 16, edge(6, 64), 485_488),
        ("edge_resnet_9blocks", 32, edge(9, 128), 2_738_864),
        ("edge_resnet_3blocks", 8, edge(3, 32), 77_840),
    ],
)
def test_parameters_are_those_worked_out_by_hand(generator, ngf, worked_out, expected):
    with torch.device("meta"):
        network = build_generator(NetworksConfig(generator=generator, ngf=ngf), 3, 3)
    assert sum(parameter.numel() for parameter in network.parameters()) == worked_out == expected


@pytest.mark.parametrize("generator", ["mobile_resnet_2blocks", "edge_resnet_2blocks"])
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_any_multiple_of_four_goes_through_and_every_parameter_learns(generator, norm):
    network = build_generator(NetworksConfig(generator=generator, ngf=4, norm=norm, dropout=True), 1, 3)
    for size in [(8, 8), (12, 32)]:
        made = network(torch.randn(2, 1, *size))
        assert made.shape == (2, 3, *size)
        assert made.dtype == torch.float32
        assert made.abs().max() <= 1
    network(torch.randn(2, 1, 16, 16)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())
    weights = [parameter for parameter in network.parameters() if parameter.ndim == 4]
    assert all(weight.grad.abs().max() > 0 for weight in weights)


def test_edge_resnet_convolves_and_normalises_at_a_quarter_of_the_size_only():
    network = build_generator(NetworksConfig(generator="edge_resnet_2blocks", ngf=4), 3, 3)
    shapes = []
    for module in network.modules():
        if not [*module.children()] and not isinstance(module, nn.PixelShuffle | Tanh):
            module.register_forward_hook(lambda module, taken, given: shapes.append(given.shape[2:]))
    network(torch.zeros(1, 3, 32, 48))
    assert set(shapes) == {(8, 12)}
    assert not any(isinstance(module, nn.ReflectionPad2d) for module in network.modules())


@pytest.mark.parametrize(("input_nc", "output_nc"), [(3, 3), (1, 3), (4, 1)])
def test_edge_resnet_begins_with_the_picture_itself_or_its_mean_channel(input_nc, output_nc):
    network = build_generator(NetworksConfig(generator="edge_resnet_1blocks", ngf=2), input_nc, output_nc)
    init_weights(network, "normal", 0.02)
    nn.init.zeros_(network.model[-1].weight)
    picture = torch.rand(2, input_nc, 8, 12) * 2 - 1
    expected = picture if input_nc == output_nc else picture.mean(1, keepdim=True).expand(-1, output_nc, -1, -1)
    torch.testing.assert_close(network(picture), torch.tanh(expected))


def test_a_pixel_skip_carries_tiles_as_pixel_shuffle_brings_them_back():
    picture = torch.rand(1, 3, 8, 16)
    made = PixelSkip(3, 3, 4)(picture)
    assert made.shape == (1, 48, 2, 4)
    torch.testing.assert_close(nn.functional.pixel_shuffle(made, 4), picture)


def test_separable_blocks_are_depthwise_then_pointwise():
    network = build_generator(NetworksConfig(generator="mobile_resnet_1blocks", ngf=4), 3, 3)
    convolutions = [module for module in network.model[10].conv_block if isinstance(module, nn.Conv2d)]
    assert [(each.groups, each.kernel_size) for each in convolutions] == [(16, (3, 3)), (1, (1, 1))] * 2


@pytest.mark.parametrize("generator", ["mobile_resnet_2blocks", "edge_resnet_2blocks"])
def test_their_weights_are_never_taken_for_official_ones(generator, tmp_path):
    path = tmp_path / "latest_net_G_A.pth"
    torch.save(build_generator(NetworksConfig(generator=generator, ngf=4), 3, 3).state_dict(), path)
    with pytest.raises(CheckpointError, match="holds no"):
        load_generator(path, "AtoB")


def test_what_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="edge_resnet_6blocks has no layer that upsample=resize could replace"):
        resolve_config({"networks": {"generator": "edge_resnet_6blocks", "upsample": "resize"}})
    with pytest.raises(ConfigError, match="edge_resnet_0blocks"):
        resolve_config({"networks": {"generator": "edge_resnet_0blocks"}})
    assert resolve_config({"networks": {"generator": "mobile_resnet_6blocks", "upsample": "resize"}})


def test_the_smooth_tail_has_fewer_weights_and_begins_as_the_picture():
    tiles, smooth = (
        build_generator(NetworksConfig(generator="edge_resnet_3blocks", ngf=8, tail=tail), 3, 3)
        for tail in ("tiles", "smooth")
    )
    count = [sum(parameter.numel() for parameter in network.parameters()) for network in (tiles, smooth)]
    assert count == [77_840, 77_840 - 16 * 3 * 48 + 3 * 3 * 9]
    picture = torch.rand(1, 3, 16, 24) * 2 - 1
    for network in (tiles, smooth):
        init_weights(network, "normal", 0.02)
        last = [layer for layer in network.model if isinstance(layer, nn.Conv2d)][-1]
        nn.init.zeros_(last.weight)  # so the blocks add nothing
        nn.init.zeros_(last.bias)
        assert torch.allclose(network(picture), torch.tanh(picture), atol=1e-6)


def test_averaging_leaves_nothing_of_a_grid_and_all_of_a_constant():
    kept = torch.full((1, 1, 12, 16), 0.7)
    grid = torch.randn(1, 1, 4, 4)
    made = nn.Sequential(*averaging())(kept + (grid - grid.mean()).repeat(1, 1, 3, 4))
    assert made.shape == kept.shape
    assert torch.allclose(made[..., 2:-2, 2:-2], kept[..., 2:-2, 2:-2], atol=1e-6)
    assert torch.allclose(nn.Sequential(*averaging())(kept), kept)  # the border too


def test_a_smooth_tail_leaves_no_grid_whatever_its_weights():
    def spectrum(tail: str) -> torch.Tensor:
        torch.manual_seed(0)
        network = build_generator(NetworksConfig(generator="edge_resnet_1blocks", ngf=4, tail=tail, norm="none"), 3, 3)
        with torch.no_grad():
            made = torch.atanh(network.eval()(torch.full((1, 3, 64, 64), 0.3)))[0, 0, 24:40, 24:40]
        return torch.fft.fft2(made - made.mean()).abs()

    assert spectrum("tiles")[4::4, 4::4].max() > 0.1
    assert spectrum("smooth").max() < 1e-3


def test_a_tail_of_another_generator_is_refused():
    with pytest.raises(
        ConfigError, match=r"resnet_9blocks has no tail to choose, an edge_resnet has; set networks\.tail=tiles"
    ):
        resolve_config({"networks": {"tail": "smooth"}})
