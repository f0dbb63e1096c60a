import math

import pytest
import torch
from torch import nn

from cyclegan_edge.trainer.data import load_held_out
from cyclegan_edge.trainer.metrics import is_paired, psnr, ssim, translate_all, validate

CPU = torch.device("cpu")


def test_psnr_by_hand():
    truth = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    result = truth.clone()
    result[0] += 16
    values = psnr(result, truth)
    assert values[0].item() == pytest.approx(20 * math.log10(255 / 16))
    assert values[1].item() == math.inf


def test_ssim_is_one_for_the_same_picture_and_less_for_another():
    pictures = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert ssim(pictures, pictures).tolist() == pytest.approx([1.0, 1.0])
    assert ssim(pictures, pictures.flip(0)).max() < 0.5


def test_translating_with_the_identity_changes_no_pixel():
    pictures = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(translate_all(nn.Identity(), pictures, CPU), pictures)


def test_translating_leaves_the_mode_of_the_network_alone():
    network = nn.Dropout(0.5).train()
    pictures = torch.full((1, 3, 8, 8), 200, dtype=torch.uint8)
    assert torch.equal(translate_all(network, pictures, CPU), pictures)
    assert network.training


def test_validation_of_the_identity_is_the_difference_of_the_domains(dataroot, make_config):
    held_out = load_held_out(make_config(data={"dataroot": str(dataroot)}))
    values = validate((nn.Identity(), nn.Identity()), held_out, CPU)
    assert values["cycle_l1"] == 0
    assert values["cycle_psnr_A"] == 100.0
    expected = psnr(held_out[0].pictures, held_out[1].pictures).mean().item()
    assert values["psnr_AtoB"] == pytest.approx(expected)
    assert values["psnr_BtoA"] == pytest.approx(expected)


def test_folders_with_other_names_are_not_paired(dataroot, make_config):
    (dataroot / "testB" / "00.png").rename(dataroot / "testB" / "other.png")
    held_out = load_held_out(make_config(data={"dataroot": str(dataroot)}))
    assert not is_paired(*held_out)
    assert "psnr_AtoB" not in validate((nn.Identity(), nn.Identity()), held_out, CPU)
