import pytest

from cyclegan_edge.trainer.data.dataset import load_held_out
from cyclegan_edge.trainer.evaluation.evaluate import evaluate, untranslated
from cyclegan_edge.trainer.evaluation.paired import psnr

IDENTITIES = {"AtoB": lambda pictures: pictures, "BtoA": lambda pictures: pictures}


@pytest.fixture
def held_out(dataroot, make_config):
    return load_held_out(make_config(data={"dataroot": str(dataroot)}))


def test_validation_of_the_identity_is_the_difference_of_the_domains(held_out):
    values = evaluate(IDENTITIES, held_out)
    assert values["cycle_l1"] == 0
    assert values["cycle_psnr_A"] == values["identity_psnr_B"] == 100.0
    expected = psnr(held_out[0].pictures, held_out[1].pictures).mean().item()
    assert values["psnr_AtoB"] == pytest.approx(expected)
    assert values["psnr_BtoA"] == pytest.approx(expected)
    assert values["colour_AtoB"] == values["colour_BtoA"] > 0
    assert values["checkerboard_AtoB"] == pytest.approx(-values["checkerboard_BtoA"])


def test_a_perfect_translator_is_at_distance_zero(held_out):
    truth = held_out[1].stacked
    values = evaluate({"AtoB": lambda _: truth}, held_out)
    assert (values["psnr_AtoB"], values["gmsd_AtoB"], values["colour_AtoB"]) == (100.0, 0.0, 0.0)
    assert values["ssim_AtoB"] == pytest.approx(1)
    assert values["checkerboard_AtoB"] == 0
    assert "cycle_psnr_A" not in values
    assert not any(name.endswith("BtoA") for name in values)


def test_folders_with_other_names_are_not_paired(dataroot, make_config):
    (dataroot / "testB" / "00.png").rename(dataroot / "testB" / "other.png")
    held_out = load_held_out(make_config(data={"dataroot": str(dataroot)}))
    values = evaluate(IDENTITIES, held_out)
    assert "psnr_AtoB" not in values
    assert values["swd_AtoB"] > 0


def test_doing_nothing_is_the_identity_without_what_it_does_trivially(held_out):
    nothing, values = untranslated(held_out), evaluate(IDENTITIES, held_out)
    assert nothing == {name: value for name, value in values.items() if not name.startswith(("cycle", "identity"))}
    assert untranslated(held_out, directions=["BtoA"]) == {
        name: value for name, value in nothing.items() if name.endswith("BtoA")
    }


def test_fid_and_kid_are_measured_with_an_extractor(held_out):
    values = evaluate(IDENTITIES, held_out, lambda pictures: pictures.float().mean((2, 3)))
    assert values["kid_low_AtoB"] <= values["kid_AtoB"] <= values["kid_high_AtoB"]
    assert values["fid_AtoB"] > 0
