"""Weights in and out of the official format; the official state dicts are built from lists of keys, not by our code."""

import logging

import pytest
import torch

from cyclegan_edge.runtime.errors import CheckpointError, ConfigError, OutputError
from cyclegan_edge.trainer.checkpoints.checkpoint import load_generator, save_checkpoint
from cyclegan_edge.trainer.checkpoints.export_official import export_weights
from cyclegan_edge.trainer.checkpoints.warm_start import read_start, warm_start
from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.methods.cyclegan import CycleGAN

CPU = torch.device("cpu")


def tensors(shapes):
    generator = torch.Generator().manual_seed(0)
    return {key: torch.randn(shape, generator=generator) if shape else torch.tensor(7) for key, shape in shapes.items()}


def convolution(name, *shape, bias):
    """A convolution's keys; `bias` is its length, or 0 for none."""
    return {f"{name}.weight": shape} | ({f"{name}.bias": (bias,)} if bias else {})


def batch_norm(name, channels):
    shapes = {f"{name}.{key}": (channels,) for key in ("weight", "bias", "running_mean", "running_var")}
    return shapes | {f"{name}.num_batches_tracked": ()}


def official_resnet(blocks=2, ngf=4, norm="instance", dropout=False, channels=(3, 3)):
    """The keys and shapes of ResnetGenerator in the official models/networks.py."""
    bias = norm == "instance"
    layers = [("model.1", (ngf, channels[0], 7, 7), ngf)]
    layers += [("model.4", (2 * ngf, ngf, 3, 3), 2 * ngf), ("model.7", (4 * ngf, 2 * ngf, 3, 3), 4 * ngf)]
    for block in range(10, 10 + blocks):
        for place in (1, 6 if dropout else 5):
            layers.append((f"model.{block}.conv_block.{place}", (4 * ngf, 4 * ngf, 3, 3), 4 * ngf))
    layers += [(f"model.{10 + blocks}", (4 * ngf, 2 * ngf, 3, 3), 2 * ngf)]
    layers += [(f"model.{13 + blocks}", (2 * ngf, ngf, 3, 3), ngf)]
    shapes = {}
    for name, shape, width in layers:
        shapes |= convolution(name, *shape, bias=width if bias else 0)
        if norm == "batch":
            stem, _, place = name.rpartition(".")
            shapes |= batch_norm(f"{stem}.{int(place) + 1}", width)
    shapes |= convolution(f"model.{17 + blocks}", channels[1], ngf, 7, 7, bias=channels[1])
    return tensors(shapes)


def official_unet(downs=7, ngf=2, channels=(3, 3)):
    """The keys and shapes of UnetGenerator with instance normalisation."""
    widths = [ngf * min(2**level, 8) for level in range(downs)]
    shapes = convolution("model.model.0", widths[0], channels[0], 4, 4, bias=widths[0])
    shapes |= convolution("model.model.3", 2 * widths[0], channels[1], 4, 4, bias=channels[1])
    prefix = "model.model.1"
    for level in range(1, downs):
        outer, inner = widths[level - 1], widths[level]
        innermost = level == downs - 1
        shapes |= convolution(f"{prefix}.model.1", inner, outer, 4, 4, bias=inner)
        up = f"{prefix}.model.{3 if innermost else 5}"
        shapes |= convolution(up, inner if innermost else 2 * inner, outer, 4, 4, bias=outer)
        prefix += ".model.3"
    return tensors(shapes)


def official_discriminator(ndf=4, n_layers=3, channels=3):
    widths = [ndf * min(2**level, 8) for level in range(n_layers + 1)]
    shapes = convolution("model.0", ndf, channels, 4, 4, bias=ndf)
    for level in range(1, n_layers + 1):
        shapes |= convolution(f"model.{3 * level - 1}", widths[level], widths[level - 1], 4, 4, bias=widths[level])
    return tensors(shapes | convolution(f"model.{3 * n_layers + 2}", 1, widths[-1], 4, 4, bias=1))


@pytest.fixture
def official(tmp_path):
    """Write official files into a folder checkpoints/horse2zebra and return it."""
    folder = tmp_path / "checkpoints" / "horse2zebra"
    folder.mkdir(parents=True)

    def write(label="latest", **states):
        for name, state in states.items():
            torch.save(state, folder / f"{label}_net_{name}.pth")
        return folder

    return write


def assert_holds(network, state):
    own = network.state_dict()
    assert own.keys() == state.keys()
    assert all(torch.equal(value, own[key]) for key, value in state.items())


def start_model(start, **changes):
    config = resolve_config(start.layer, {"data": {"load_size": 36, "crop_size": 32}}, changes)
    start.check(config)
    model = CycleGAN(config, CPU)
    warm_start(model.networks, start)
    return model


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {"generator": "resnet_2blocks", "ngf": 4, "norm": "instance", "dropout": False, "upsample": "deconv"}),
        ({"blocks": 9, "ngf": 2}, {"generator": "resnet_9blocks", "ngf": 2, "norm": "instance"}),
        ({"norm": "batch"}, {"norm": "batch"}),
        ({"norm": "none"}, {"norm": "none"}),
        ({"dropout": True}, {"dropout": True}),
    ],
)
def test_the_architecture_of_a_resnet_is_read_from_its_shapes(official, arguments, expected):
    state = official_resnet(**arguments)
    folder = official(G_A=state)
    start = read_start(folder / "latest_net_G_A.pth")
    assert expected.items() <= start.layer["networks"].items()
    model = start_model(start)
    assert_holds(model.G_A, state)
    assert_holds(model.ema_A, state)


@pytest.mark.parametrize("downs", [7, 8])
def test_the_architecture_of_a_unet_is_read_from_its_shapes(official, downs):
    state = official_unet(downs, channels=(1, 3))
    loaded = load_generator(official(G_A=state) / "latest_net_G_A.pth", "AtoB")
    assert loaded.config.networks.generator == f"unet_{2**downs}"
    assert (loaded.input_nc, loaded.output_nc) == (1, 3)
    assert_holds(loaded.network, state)


def test_a_whole_official_folder_starts_all_networks(official):
    states = {"G_A": official_resnet(), "G_B": official_resnet(), "D_A": official_discriminator()}
    folder = official(**states, D_B=official_discriminator())
    model = start_model(read_start(folder))
    for name, state in states.items():
        assert_holds(model.networks[name], state)
    assert model.config.networks.ndf == 4


@pytest.mark.parametrize("n_layers", [1, 2])
def test_discriminators_of_any_depth_are_understood(official, n_layers):
    state = official_discriminator(n_layers=n_layers)
    start = read_start(official(D_A=state) / "latest_net_D_A.pth")
    assert start.layer["networks"]["n_layers_D"] == n_layers
    model = start_model(start, networks=start.layer["networks"] | {"generator": "resnet_1blocks", "ngf": 4})
    assert_holds(model.D_A, state)


def test_pixel_discriminators_are_understood(official):
    shapes = convolution("net.0", 4, 3, 1, 1, bias=4) | convolution("net.2", 8, 4, 1, 1, bias=8)
    state = tensors(shapes | convolution("net.5", 1, 8, 1, 1, bias=1))
    start = read_start(official(D_B=state) / "latest_net_D_B.pth")
    assert start.layer["networks"] == {"discriminator": "pixel", "ndf": 4, "norm": "instance"}


def test_networks_that_are_absent_stay_fresh(official):
    state = official_resnet()
    start = read_start(official(G=state))
    model = start_model(start)
    fresh = CycleGAN(model.config, CPU)
    assert_holds(model.G_A, state)
    assert_holds(model.G_B, fresh.G_B.state_dict())
    assert_holds(model.D_A, fresh.D_A.state_dict())


def test_prefixes_and_old_running_statistics_are_dropped(official):
    state = official_resnet()
    old = {f"module._orig_mod.{key}": value for key, value in state.items()}
    for key in ("running_mean", "running_var", "num_batches_tracked"):
        old[f"module._orig_mod.model.2.{key}"] = torch.zeros(4)
    assert_holds(load_generator(official(G_B=old) / "latest_net_G_B.pth", "BtoA").network, state)


def test_the_latest_files_win_over_numbered_ones_and_those_over_older(official):
    new, old = official_resnet(ngf=4), official_resnet(ngf=2)
    folder = official("20", G_A=old)
    official("100", G_A=new)
    assert read_start(folder).layer["networks"]["ngf"] == 4
    official("latest", G_A=old)
    assert read_start(folder).layer["networks"]["ngf"] == 2


def test_an_official_generator_says_what_it_is(official):
    folder = official(G_A=official_resnet(channels=(1, 3)))
    loaded = load_generator(folder, "AtoB")
    assert (loaded.name, loaded.step, loaded.weights) == ("horse2zebra", None, "raw")
    assert (loaded.input_nc, loaded.output_nc) == (1, 3)
    assert not loaded.network.training


def test_a_published_model_serves_the_direction_asked_for(official):
    folder = official(G=official_resnet())
    assert load_generator(folder / "latest_net_G.pth", "BtoA").direction == "BtoA"


def test_the_wrong_direction_is_refused_by_name(official):
    folder = official(G_A=official_resnet())
    with pytest.raises(CheckpointError, match=r"holds latest_net_G_A\.pth and no G_B, which translates BtoA"):
        load_generator(folder / "latest_net_G_A.pth", "BtoA")


def test_weights_that_no_architecture_explains_are_refused(official):
    state = official_resnet()
    state["model.4.weight"] = torch.zeros(5, 4, 3, 3)
    folder = official(G_A=state)
    with pytest.raises(CheckpointError, match="weights for G_A that no single architecture explains"):
        start_model(read_start(folder))
    with pytest.raises(CheckpointError, match="no generator AtoB of the architecture it names or shows"):
        load_generator(folder, "AtoB")


def test_files_that_do_not_belong_together_are_refused(official):
    folder = official(G_A=official_resnet(ngf=4), G_B=official_resnet(ngf=2))
    with pytest.raises(CheckpointError, match="the files beside it of"):
        read_start(folder)


@pytest.mark.parametrize("name", ["G_A", "D_A"])
@pytest.mark.parametrize("state", [{}, {"model.1.weight": torch.zeros(3)}, {"model.0.weight": torch.zeros(3)}])
def test_weights_of_something_else_are_refused(official, name, state):
    folder = official(**{name: state})
    with pytest.raises(CheckpointError, match=r"latest_net_._A\.pth holds no .*of the official code"):
        read_start(folder)


def test_a_file_without_the_official_name_becomes_the_generator_of_a_to_b(tmp_path):
    torch.save(official_resnet(), tmp_path / "generator.pth")
    assert read_start(tmp_path / "generator.pth").states.keys() == {"G_A"}


def test_a_configuration_without_place_for_the_weights_is_refused(official):
    start = read_start(official(G_A=official_resnet()))
    with pytest.raises(ConfigError, match=r"networks of networks\.ngf=4, so it cannot start a run with 8"):
        start_model(start, networks={"ngf": 8})


@pytest.fixture
def run_folder(make_config, tmp_path):
    """A run of ours whose averaged generators differ from the raw ones, and its model."""

    def save(**networks):
        tiny = {"generator": "resnet_6blocks", "ngf": 4, "ndf": 4}
        model = CycleGAN(make_config(networks=tiny | networks), CPU)
        with torch.no_grad():
            next(model.ema_A.parameters()).add_(1.0)
        path = tmp_path / "run" / "checkpoints" / "latest.pt"
        save_checkpoint(path, model.config, {"step": 3, "epoch": 1}, model.state_dict())
        return tmp_path / "run", model

    return save


def test_a_run_starts_from_another(run_folder):
    folder, model = run_folder()
    started = start_model(read_start(folder))
    for name, network in model.networks.items():
        assert_holds(started.networks[name], network.state_dict())


@pytest.mark.parametrize(("weights", "network"), [("ema", "ema_A"), ("raw", "G_A")])
def test_exported_weights_have_the_official_keys_and_come_back(run_folder, tmp_path, weights, network):
    folder, model = run_folder()
    paths = export_weights(folder, tmp_path / "official", weights)
    assert [path.name for path in paths] == [f"latest_net_{name}.pth" for name in ("G_A", "G_B", "D_A", "D_B")]
    written = torch.load(paths[0], weights_only=True)
    expected = official_resnet(blocks=6)
    assert type(written) is dict
    assert {key: value.shape for key, value in written.items()} == {key: value.shape for key, value in expected.items()}
    written = torch.load(paths[2], weights_only=True)
    assert written.keys() == official_discriminator().keys()
    assert_holds(load_generator(tmp_path / "official", "AtoB").network, model.networks[network].state_dict())
    assert_holds(start_model(read_start(tmp_path / "official")).D_B, model.D_B.state_dict())


def test_an_exported_file_is_never_written_over(run_folder, tmp_path):
    folder, _ = run_folder()
    (tmp_path / "official").mkdir()
    (tmp_path / "official" / "latest_net_D_B.pth").write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"latest_net_D_B\.pth is there already"):
        export_weights(folder, tmp_path / "official")
    assert [path.read_bytes() for path in (tmp_path / "official").iterdir()] == [b"precious"]


@pytest.mark.parametrize(
    ("dropout", "model"), [(False, "--model cycle_gan --netG"), (True, "--model test --model_suffix _A --netG")]
)
def test_the_options_told_build_the_networks(run_folder, tmp_path, caplog, dropout, model):
    """The official cycle_gan model has no dropout, its test model has."""
    folder, _ = run_folder(dropout=dropout)
    with caplog.at_level(logging.INFO):
        export_weights(folder, tmp_path / "official")
    assert f"builds these networks with: {model}" in caplog.text
    assert ("--netD" in caplog.text) is not dropout


@pytest.mark.parametrize("networks", [{"upsample": "resize"}, {"generator": "resnet_1blocks"}])
def test_what_the_official_code_does_not_know_is_not_exported(run_folder, tmp_path, networks):
    folder, _ = run_folder(**networks)
    with pytest.raises(CheckpointError, match="the official code knows only resnet_9blocks"):
        export_weights(folder, tmp_path / "official")
    assert not (tmp_path / "official").exists()


def test_generators_that_resize_are_recognised_by_their_shapes(official, run_folder):
    _, model = run_folder(upsample="resize")
    loaded = load_generator(official(G_A=model.G_A.state_dict()), "AtoB")
    assert loaded.config.networks.upsample == "resize"
