import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cyclegan_edge.runtime.errors import ConfigError
from cyclegan_edge.trainer.config import NetworksConfig
from cyclegan_edge.trainer.networks.build import build_discriminator, build_generator, init_weights
from cyclegan_edge.trainer.networks.layers import BatchNorm, InstanceNorm, upsampling


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("generator", "norm", "ngf", "channels", "expected"),
    [
        ("resnet_9blocks", "instance", 64, 3, 11_378_179),
        ("resnet_6blocks", "instance", 64, 3, 7_837_699),
        ("resnet_9blocks", "instance", 64, 1, 11_365_633),
        ("resnet_9blocks", "instance", 32, 3, 2_850_563),
        ("resnet_6blocks", "instance", 32, 3, 1_965_059),
        ("unet_256", "batch", 64, 3, 54_413_955),
        ("unet_256", "instance", 64, 3, 54_409_603),
        ("unet_128", "batch", 64, 3, 41_828_995),
        ("unet_128", "instance", 64, 3, 41_825_667),
    ],
)
def test_generator_has_the_official_number_of_parameters(generator, norm, ngf, channels, expected):
    with torch.device("meta"):
        network = build_generator(NetworksConfig(generator=generator, norm=norm, ngf=ngf), channels, channels)
    assert count(network) == expected


@pytest.mark.parametrize(
    ("config", "channels", "expected"),
    [
        (NetworksConfig(), 3, 2_764_737),
        (NetworksConfig(norm="batch"), 3, 2_765_633),
        (NetworksConfig(norm="batch"), 6, 2_768_705),
        (NetworksConfig(discriminator="pixel"), 3, 8_705),
        (NetworksConfig(discriminator="n_layers", n_layers_D=1), 3, 136_385),
        (NetworksConfig(discriminator="n_layers", n_layers_D=2), 3, 662_977),
        (NetworksConfig(discriminator="n_layers", n_layers_D=4), 3, 6_959_553),
        (NetworksConfig(discriminator="n_layers", n_layers_D=5), 3, 11_154_369),
    ],
)
def test_discriminator_has_the_official_number_of_parameters(config, channels, expected):
    assert count(build_discriminator(config, channels)) == expected


@pytest.mark.parametrize(("blocks", "tensors"), [(9, 48), (6, 36)])
def test_resnet_keys_are_the_official_ones(blocks, tensors):
    with torch.device("meta"):
        state = build_generator(NetworksConfig(generator=f"resnet_{blocks}blocks"), 3, 3).state_dict()
    names = ["model.1", "model.4", "model.7"]
    names += [f"model.{10 + block}.conv_block.{place}" for block in range(blocks) for place in (1, 5)]
    names += [f"model.{10 + blocks}", f"model.{13 + blocks}", f"model.{17 + blocks}"]
    assert list(state) == [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]
    assert len(state) == tensors
    assert state["model.1.weight"].shape == (64, 3, 7, 7)
    assert state["model.7.weight"].shape == (256, 128, 3, 3)
    assert state[f"model.{10 + blocks}.weight"].shape == (256, 128, 3, 3)  # transposed: in, out
    assert state[f"model.{13 + blocks}.bias"].shape == (64,)
    assert state[f"model.{17 + blocks}.weight"].shape == (3, 64, 7, 7)


def test_dropout_moves_the_second_convolution_of_a_block():
    state = build_generator(NetworksConfig(generator="resnet_1blocks", ngf=4, dropout=True), 3, 3).state_dict()
    assert "model.10.conv_block.6.weight" in state
    assert "model.10.conv_block.5.weight" not in state


def test_batch_norm_takes_the_bias_from_every_convolution_but_the_last():
    state = build_generator(NetworksConfig(generator="resnet_1blocks", ngf=4, norm="batch"), 3, 3).state_dict()
    assert {"model.2.weight", "model.2.running_mean", "model.2.num_batches_tracked"} <= state.keys()
    assert "model.1.bias" not in state
    assert "model.18.bias" in state


def test_discriminator_keys_are_the_official_ones():
    state = build_discriminator(NetworksConfig(), 3).state_dict()
    assert list(state) == [f"model.{n}.{kind}" for n in (0, 2, 5, 8, 11) for kind in ("weight", "bias")]
    assert state["model.11.weight"].shape == (1, 512, 4, 4)
    pixel = build_discriminator(NetworksConfig(discriminator="pixel"), 3).state_dict()
    assert list(pixel) == [f"net.{n}.{kind}" for n in (0, 2, 5) for kind in ("weight", "bias")]


def test_unet_keys_nest_as_the_official_ones():
    with torch.device("meta"):
        state = build_generator(NetworksConfig(generator="unet_256", norm="batch"), 3, 3).state_dict()
    assert state["model.model.0.weight"].shape == (64, 3, 4, 4)
    assert state["model.model.3.weight"].shape == (128, 3, 4, 4)
    assert state["model.model.3.bias"].shape == (3,)
    assert state["model.model.1.model.1.weight"].shape == (128, 64, 4, 4)
    innermost = "model.model.1" + ".model.3" * 6
    assert state[f"{innermost}.model.1.weight"].shape == (512, 512, 4, 4)
    assert state[f"{innermost}.model.3.weight"].shape == (512, 512, 4, 4)
    assert f"{innermost}.model.2.weight" not in state  # the innermost convolution down has no norm


@pytest.mark.parametrize("size", [(8, 8), (32, 48), (64, 12)])
def test_resnet_keeps_any_size_that_is_a_multiple_of_four(size):
    network = build_generator(NetworksConfig(generator="resnet_2blocks", ngf=4), 3, 3)
    assert network(torch.zeros(2, 3, *size)).shape == (2, 3, *size)


def test_unet_keeps_the_size_and_stays_in_range():
    network = build_generator(NetworksConfig(generator="unet_128", ngf=4), 1, 3)
    result = network(torch.randn(1, 1, 128, 256))
    assert result.shape == (1, 3, 128, 256)
    assert result.abs().max() <= 1


@pytest.mark.parametrize(("n_layers", "side", "field"), [(1, 126, 16), (3, 30, 70)])
def test_patch_discriminator_judges_patches_of_the_known_size(n_layers, side, field):
    network = build_discriminator(NetworksConfig(discriminator="n_layers", n_layers_D=n_layers, ndf=4, norm="none"), 3)
    x = torch.zeros(1, 3, 256, 256, requires_grad=True)
    judgement = network(x)
    assert judgement.shape == (1, 1, side, side)
    judgement[0, 0, side // 2, side // 2].backward()
    touched = x.grad[0].abs().sum(0).nonzero()
    assert (touched.max(0).values - touched.min(0).values + 1).tolist() == [field, field]


def test_instance_norm_matches_torch_and_stays_right_in_half_precision():
    x = torch.randn(2, 5, 16, 16) * 300 + 100
    assert torch.equal(InstanceNorm()(x), nn.InstanceNorm2d(5)(x))
    half = InstanceNorm()(x.half())
    assert half.dtype == torch.float16
    assert torch.allclose(half.float(), nn.InstanceNorm2d(5)(x), atol=4e-3)


def test_the_last_tanh_gives_fp32_under_autocast():
    network = build_generator(NetworksConfig(generator="resnet_1blocks", ngf=4), 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.zeros(1, 3, 8, 8)).dtype == torch.float32


@pytest.mark.parametrize(
    ("init_type", "std"),
    [
        ("normal", 0.02),
        ("xavier", 0.02 * (2 / (9 * 64 + 9 * 64)) ** 0.5),
        ("kaiming", (2 / (9 * 64)) ** 0.5),
        ("orthogonal", 0.02 / (9 * 64) ** 0.5),
    ],
)
def test_initial_weights_have_the_official_spread(init_type, std):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(64, 64, 3), nn.BatchNorm2d(64))
    init_weights(network, init_type, 0.02)
    assert network[0].weight.std().item() == pytest.approx(std, rel=0.05)
    assert network[0].bias.abs().max() == 0
    assert network[1].weight.mean().item() == pytest.approx(1, abs=0.01)
    assert network[1].weight.std().item() == pytest.approx(0.02, rel=0.3)


def test_an_unknown_architecture_is_refused():
    config = NetworksConfig().model_copy(update={"generator": "stylegan"})
    with pytest.raises(ConfigError, match="no generator is called 'stylegan'"):
        build_generator(config, 3, 3)


@pytest.mark.parametrize(("generator", "size"), [("resnet_1blocks", (32, 48)), ("unet_128", (128, 256))])
def test_resizing_generators_keep_the_size(generator, size):
    network = build_generator(NetworksConfig(generator=generator, ngf=4, upsample="resize"), 3, 1)
    assert network(torch.randn(1, 3, *size)).shape == (1, 1, *size)


def transposed_unevenness(network: nn.Module) -> float:
    """How differently a constant input comes out at even and odd places of an upsampling layer."""
    nn.init.uniform_(network.weight)
    result = network(torch.ones(1, 4, 16, 16))[..., 2:-2, 2:-2]
    return (result[..., ::2, ::2] - result[..., 1::2, 1::2]).abs().max().item()


def test_resizing_leaves_no_checkerboard_where_the_transposed_convolution_does():
    assert transposed_unevenness(upsampling("deconv", 4, 4, 3, bias=False)) > 0.1
    assert transposed_unevenness(upsampling("resize", 4, 4, 3, bias=False)) < 1e-5


def test_the_resizing_layers_take_the_place_of_the_transposed_ones():
    state = build_generator(NetworksConfig(generator="resnet_1blocks", ngf=4, upsample="resize"), 3, 3).state_dict()
    assert state["model.11.weight"].shape == (8, 16, 3, 3)
    official = build_generator(NetworksConfig(generator="resnet_1blocks", ngf=4), 3, 3).state_dict()
    assert list(state) == list(official)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("value", [0.0, 0.3, -1.0, 1000.0])
def test_a_flat_plane_becomes_zeros_that_pass_no_gradient_while_training(dtype, value):
    x = torch.randn(2, 3, 64, 48).to(dtype)
    x[0, 1] = value
    found, expected = x.clone().requires_grad_(), x.clone().requires_grad_()
    upstream = torch.randn(x.shape)
    normal, reference = InstanceNorm()(found), F.instance_norm(expected.float()).to(dtype)
    (normal.float() * upstream).sum().backward()
    (reference.float() * upstream).sum().backward()
    assert not normal[0, 1].any()
    assert not found.grad[0, 1].any()
    others = [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)]
    for plane in others:  # bit for bit
        assert torch.equal(normal[plane], reference[plane])
        assert torch.equal(found.grad[plane], expected.grad[plane])


@pytest.mark.parametrize("deviation", [1e-5, 1e-4, 1e-2])
def test_a_faint_plane_is_not_flat(deviation):
    x = 0.3 + deviation * torch.randn(1, 1, 64, 64)
    assert torch.equal(InstanceNorm()(x), F.instance_norm(x))


def test_in_evaluation_a_flat_plane_is_what_the_exported_graph_makes_of_it():
    x = torch.full((1, 1, 33, 47), 0.3)
    assert torch.equal(InstanceNorm().eval()(x), F.instance_norm(x))


def test_a_flat_channel_of_a_batch_norm_becomes_its_bias_and_breaks_no_statistics():
    x = torch.randn(2, 3, 16, 16)
    x[:, 1] = 0.3
    norm, reference = BatchNorm(3), nn.BatchNorm2d(3)
    for each in (norm, reference):
        nn.init.constant_(each.bias, 0.7)
    found = x.clone().requires_grad_()
    normal, expected = norm(found), reference(x)
    (normal * torch.randn(x.shape)).sum().backward()
    assert torch.equal(normal[:, 1], torch.full((2, 16, 16), 0.7))
    assert not found.grad[:, 1].any()
    assert torch.equal(normal[:, ::2], expected[:, ::2])
    assert torch.equal(norm.running_var, reference.running_var)
    norm(x * float("nan"))
    assert norm.running_mean.isfinite().all()
    assert norm.running_var.isfinite().all()
    assert torch.equal(norm.eval()(x), F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias))


@pytest.mark.parametrize("generator", ["resnet_6blocks", "edge_resnet_6blocks", "mobile_resnet_6blocks", "unet_128"])
@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_picture_of_one_colour_gives_a_gradient_like_any_other(generator, norm, dtype):
    torch.manual_seed(0)
    network = build_generator(NetworksConfig(generator=generator, ngf=8, norm=norm), 3, 3)
    init_weights(network, "normal", 0.02)
    side = network.size_minimum if generator == "unet_128" else 64

    def largest_gradient(picture):
        network.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            made = network(picture)
        (made.float() * torch.linspace(-1, 1, side)).mean().backward()
        return max(
            parameter.grad.abs().max().item() for parameter in network.parameters() if parameter.grad is not None
        )

    usual = largest_gradient(torch.rand(1, 3, side, side) * 2 - 1)
    for colour in (1.0, -1.0, 0.0, 0.3):
        assert largest_gradient(torch.full((1, 3, side, side), colour)) < 100 * usual


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_on_a_gpu_a_lower_precision_is_normalised_in_fp32_without_a_copy(dtype):
    x = (300 * torch.randn(1, 2, 256, 256) + 1000).to(dtype)  # squares of it overflow FP16
    found, expected = x.cuda().requires_grad_(), x.clone().requires_grad_()
    upstream = torch.randn(x.shape).to(dtype)
    normal, reference = InstanceNorm()(found), InstanceNorm()(expected)
    (normal * upstream.cuda()).sum().backward()
    (reference * upstream).sum().backward()
    step = torch.finfo(dtype).eps  # the bound: two roundings of values up to 8
    assert torch.allclose(normal.cpu().float(), reference.float(), rtol=0, atol=8 * step)
    assert torch.allclose(found.grad.cpu().float(), expected.grad.float(), rtol=4 * step, atol=1e-4)
