import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclegan_edge.runtime.errors import ConfigError
from cyclegan_edge.trainer.config import TrainConfig, resolve_config
from cyclegan_edge.trainer.config_text import parse_assignment, read_toml


def test_defaults_are_the_official_ones():
    config = TrainConfig()
    assert (config.data.load_size, config.data.crop_size, config.data.batch_size) == (286, 256, 1)
    assert (config.networks.generator, config.networks.discriminator, config.networks.norm) == (
        "resnet_9blocks",
        "basic",
        "instance",
    )
    assert (config.losses.lambda_A, config.losses.lambda_B, config.losses.lambda_identity) == (10, 10, 0.5)
    assert (config.optim.lr, config.optim.beta1, config.optim.beta2, config.optim.pool_size) == (2e-4, 0.5, 0.999, 50)
    assert (config.schedule.n_epochs, config.schedule.n_epochs_decay) == (100, 100)


def test_later_layers_lie_over_earlier_ones():
    config = resolve_config({"networks": {"ngf": 16, "ndf": 8}}, {"networks": {"ngf": 32}})
    assert (config.networks.ngf, config.networks.ndf) == (32, 8)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"networks": {"nfg": 3}}, r"no networks.nfg; did you mean networks.ngf\?"),
        ({"netwrks": {"ngf": 3}}, r"no netwrks; did you mean networks\?"),
        ({"losses": {"zzz": 3}}, "no losses.zzz; losses knows gan_mode, lambda_A"),
        ({"ngf": 3}, "'ngf' stands outside a part"),
        ({"networks": {"ngf": 0}}, r"networks.ngf: .*greater than or equal to 1 \(got 0\)"),
        ({"networks": {"generator": "resnet_0blocks"}}, "networks.generator"),
        ({"data": {"crop_size": 300}}, r"data\.crop_size=300 is larger than data\.load_size=286"),
        ({"data": {"crop_size": 254}}, r"data\.crop_size=254 is no multiple of 4, which resnet_9blocks needs; use 256"),
        ({"data": {"crop_size": 192}, "networks": {"generator": "unet_256"}}, "no multiple of 256"),
        ({"data": {"crop_size": 16}}, r"data\.crop_size=16 is too small for the basic discriminator, which needs 24"),
        ({"schedule": {"n_epochs": 0, "n_epochs_decay": 0}}, "nothing to train"),
        ({"run": {"device": "gpu"}}, "run.device"),
    ],
)
def test_a_wrong_configuration_is_explained(layer, message):
    with pytest.raises(ConfigError, match=message):
        resolve_config(layer)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("networks.ngf=16", 16),
        ("losses.lambda_A=1e1", 10.0),
        ("data.flip=false", False),
        ("networks.generator=resnet_6blocks", "resnet_6blocks"),
        ('networks.generator="unet_128"', "unet_128"),
        ("data.dataroot=a=b", "a=b"),
    ],
)
def test_assignments_read_as_toml_or_else_as_text(text, value):
    (part,) = parse_assignment(text).values()
    assert list(part.values()) == [value]


@given(st.text().filter(lambda text: "=" not in text))
def test_what_is_no_assignment_is_refused(text):
    with pytest.raises(ConfigError, match=r"PART\.KEY=VALUE"):
        parse_assignment(text)


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*absent\.toml"):
        read_toml(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[networks\nngf = 3")
    with pytest.raises(ConfigError, match=r"broken\.toml is not valid TOML"):
        read_toml(broken)


def test_identity_needs_domains_of_equal_channels():
    with pytest.raises(ConfigError, match=r"equal channels, not 1 and 3; set losses\.lambda_identity=0"):
        resolve_config({"data": {"input_nc": 1}})
    assert resolve_config({"data": {"input_nc": 1}, "losses": {"lambda_identity": 0}}).data.output_nc == 3


def test_a_batch_is_computed_in_equal_parts():
    with pytest.raises(ConfigError, match=r"a batch of 3 cannot be computed in optim\.accumulate=2 equal parts"):
        resolve_config({"data": {"batch_size": 3}, "optim": {"accumulate": 2}})
    assert resolve_config({"data": {"batch_size": 4}, "optim": {"accumulate": 2}}).optim.accumulate == 2


def test_statistics_would_count_recomputed_pictures_twice():
    with pytest.raises(ConfigError, match=r"checkpoint_activations would count every picture twice"):
        resolve_config({"networks": {"norm": "batch"}, "optim": {"checkpoint_activations": True}})
    assert resolve_config({"optim": {"checkpoint_activations": True}}).optim.checkpoint_activations
