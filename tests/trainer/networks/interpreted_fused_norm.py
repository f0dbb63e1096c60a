"""The fused normalisation beside the plain one, computed by Triton's interpreter; test_fused_norm.py runs this file."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from cyclegan_edge.trainer.config import NetworksConfig
from cyclegan_edge.trainer.networks import fused_norm
from cyclegan_edge.trainer.networks.build import build_discriminator, build_generator, init_weights
from cyclegan_edge.trainer.networks.layers import Chain, InstanceNorm

CPU = torch.device("cpu")


def plain(x, slope):
    return F.leaky_relu(InstanceNorm()(x), slope)


def results(layer, x, upstream):
    """Return what a layer makes of `x`, and the gradient that it passes."""
    x = x.clone().requires_grad_()
    made = layer(x)
    (gradient,) = torch.autograd.grad(made, x, upstream.to(made.dtype))
    assert made.dtype == gradient.dtype == x.dtype
    return made.float(), gradient.float()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("shape", [(2, 3, 16, 12), (1, 2, 70, 71), (1, 1, 1, 5), (1, 1, 64, 64)])
def test_it_is_the_plain_form_and_its_activation_within_the_bound(dtype, slope, shape):
    generator = torch.Generator().manual_seed(0)
    x = (2 * torch.randn(shape, generator=generator) + 1).to(dtype)
    upstream = torch.randn(shape, generator=generator)
    found = results(lambda x: fused_norm.normalise_and_activate(x, 1e-5, slope), x, upstream)
    expected = results(lambda x: plain(x, slope), x, upstream)
    bound = 1e-5 if dtype == torch.float32 else 4 * torch.finfo(dtype).eps  # two roundings of values up to 4
    for ours, reference in zip(found, expected, strict=True):
        assert torch.allclose(ours, reference, rtol=bound, atol=bound)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(2, 20), width=st.integers(1, 20), planes=st.integers(1, 3),
    mean=st.floats(-100, 100, width=32), deviation=st.floats(1 / 64, 100, width=32), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_planes_of_any_size_and_range_are_normalised(height, width, planes, mean, deviation, seed):
    noise = torch.randn(1, planes, height, width, generator=torch.Generator().manual_seed(seed))
    x = (mean + deviation * noise).double()
    # Where the mean is many deviations away, FP32 has rounded the input already: the bound is in its steps.
    found = fused_norm.normalise_and_activate(x.float(), 1e-5, 1.0).double()
    deviations, means = torch.std_mean(x.float().double(), dim=(2, 3), correction=0, keepdim=True)
    expected = (x.float().double() - means) / (deviations**2 + 1e-5).sqrt()
    steps = 1 + means.abs() / deviations
    assert ((found - expected).abs() <= 2e-6 * steps).all()


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of an infinity, in the interpreter's NumPy
@pytest.mark.parametrize("value", [0.0, 0.3, -1.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_flat_plane_becomes_zeros_that_pass_no_gradient(dtype, value):
    x = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(0)).to(dtype)
    x[0, 1] = value
    upstream = torch.ones_like(x)
    upstream[0, 1, 5, 5] = torch.inf
    made, gradient = results(lambda x: fused_norm.normalise_and_activate(x, 1e-5, 0.0), x, upstream)
    assert not made[0, 1].any()
    assert not gradient[0, 1].any()
    assert made.isfinite().all()
    assert gradient.isfinite().all()
    assert (made[0, 0] > 0).float().mean() > 0.4


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_value_that_is_not_finite_breaks_its_plane_alone():
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    x[0, 1, 2, 3] = torch.nan
    made = fused_norm.normalise_and_activate(x, 1e-5, 0.0)
    assert made[0, 1].isnan().all()
    assert made[0, ::2].isfinite().all()


def networks(channels=4):
    config = NetworksConfig(generator="resnet_2blocks", ngf=channels, ndf=channels)
    others = NetworksConfig(generator="edge_resnet_2blocks", ngf=channels, ndf=channels, discriminator="pixel")
    return {
        "resnet": build_generator(config, 3, 3),
        "edge": build_generator(others, 3, 3),
        "unet": build_generator(NetworksConfig(generator="unet_128", ngf=channels, norm="instance"), 3, 3),
        "patch": build_discriminator(config, 3),
        "pixel": build_discriminator(others, 3),
    }


@pytest.mark.parametrize("name", ["resnet", "edge", "unet", "patch", "pixel"])
def test_a_network_trains_as_before_with_its_activations_fused(name):
    torch.manual_seed(0)
    network = networks()[name]
    init_weights(network, "normal", 0.02)
    side = 128 if name == "unet" else 32
    picture, names = torch.rand(1, 3, side, side) * 2 - 1, list(network.state_dict())

    def gradients():
        network.zero_grad()
        made = network(picture)
        (made.float() * torch.linspace(-1, 1, made.shape[-1])).sum().backward()
        return [made, *(weight.grad for weight in network.parameters() if weight.ndim > 1)]

    expected, calls = gradients(), []
    for module in network.modules():
        if isinstance(module, InstanceNorm):
            module.kernel = lambda *arguments: (
                calls.append(arguments[2]),
                fused_norm.normalise_and_activate(*arguments),
            )[1]
    found = gradients()
    assert list(network.state_dict()) == names
    norms = sum(isinstance(module, InstanceNorm) for module in network.modules())
    assert len(calls) == norms
    behind = {"resnet": 0.0, "edge": 0.0, "patch": 0.2, "pixel": 0.2}.get(name, 1.0)
    assert calls.count(behind) >= norms - 2  # the second norm of a residual block has no activation
    for ours, reference in zip(found, expected, strict=True):
        assert (ours - reference).abs().max() <= 1e-4 * reference.abs().max()


def with_kernel(kernel):
    chain = Chain(nn.Conv2d(3, 4, 3), InstanceNorm(), nn.ReLU(True))
    chain[1].kernel = kernel
    return chain


def test_it_cannot_be_differentiated_twice_in_silence():
    x = torch.randn(1, 1, 4, 4, requires_grad=True)
    made = fused_norm.normalise_and_activate(x, 1e-5, 0.2)
    (gradient,) = torch.autograd.grad(made.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()


def test_fusing_changes_no_random_draw_and_lasts():
    chain, state = with_kernel(None), torch.get_rng_state()
    fused_norm.fuse([chain], CPU, torch.bfloat16)
    assert torch.equal(torch.get_rng_state(), state)
    assert chain[1].kernel is fused_norm.normalise_and_activate


@pytest.mark.parametrize("fault", ["fails", "differs", "is not finite"])
def test_a_kernel_that_does_not_work_here_is_not_used(monkeypatch, caplog, fault):
    def broken(x, eps, slope):
        if fault == "fails":
            raise RuntimeError("no C compiler\nand more")
        return plain(x, slope) * (2.0 if fault == "differs" else torch.nan)

    monkeypatch.setattr(fused_norm, "normalise_and_activate", broken)
    fused_norm._works.cache_clear()
    chain = with_kernel(None)
    fused_norm.fuse([chain], CPU, torch.float32)
    fused_norm._works.cache_clear()
    assert chain[1].kernel is None
    reason = {
        "fails": "fails here: RuntimeError: no C compiler",
        "differs": "differ by",
        "is not finite": "differ by nan",
    }[fault]
    assert reason in caplog.text
