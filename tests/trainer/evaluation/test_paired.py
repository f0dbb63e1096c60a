import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from cyclegan_edge.trainer.data.dataset import Domain, evenly, load_held_out, pairs
from cyclegan_edge.trainer.evaluation.evaluate import translate_all
from cyclegan_edge.trainer.evaluation.paired import gmsd, psnr, ssim

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


def test_gmsd_is_zero_for_the_same_picture_and_grows_with_lost_edges():
    pictures = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert gmsd(pictures, pictures).tolist() == pytest.approx([0, 0])
    edge = torch.zeros(1, 3, 32, 32)
    edge[..., 16:] = 255
    flat = torch.full_like(edge, 127)
    softened = (edge + flat) / 2
    assert 0 < gmsd(softened, edge).item() < gmsd(flat, edge).item()


def test_gmsd_by_hand():
    step = torch.zeros(1, 1, 8, 8)
    step[..., 4:] = 255  # after halving, columns 0 0 255 255: the gradient is 255 in the two middle columns
    similarity = torch.tensor([170.0, 170, 170, 170]) / torch.tensor([170.0, 255**2 + 170, 255**2 + 170, 255**2 + 170])
    found = gmsd(torch.zeros_like(step), step).item()
    assert found > 0.3
    assert similarity.std(correction=0).item() == pytest.approx(found, abs=0.15)  # zero padding adds an outer edge


def test_a_subset_is_spread_evenly_and_keeps_the_pairs(dataroot, make_config):
    held_out = load_held_out(make_config(data={"dataroot": str(dataroot)}))
    assert evenly(held_out[0], 3) is held_out[0]
    subset = [evenly(domain, 2) for domain in held_out]
    assert [path.name for path in subset[0].files] == ["00.png", "01.png"]
    assert pairs(*subset) == ([0, 1], [0, 1])
    assert torch.equal(subset[1].stacked, held_out[1].stacked[:2])


@pytest.mark.parametrize(
    ("names", "skipped", "expected"),
    [
        (("abc", "abc"), (0, 0), ([0, 1, 2], [0, 1, 2])),
        (("ac", "abc"), (1, 0), ([0, 1], [0, 2])),  # b could not be read
        (("ac", "bc"), (1, 1), ([1], [1])),
        (("ac", "abc"), (0, 0), None),
        (("abc", "def"), (0, 0), None),
        (("a", "b"), (1, 1), None),
    ],
)
def test_folders_are_paired_by_their_names_but_for_what_could_not_be_read(names, skipped, expected):
    domains = [
        Domain(torch.zeros(len(each), 3, 2, 2), tuple(Path(f"{name}.png") for name in each), number)
        for each, number in zip(names, skipped, strict=True)
    ]
    assert pairs(*domains) == expected


@pytest.mark.parametrize("shape", [(1, 1, 6, 9), (3, 3, 32, 48), (40, 3, 16, 16)])
def test_ssim_is_that_of_torchmetrics(shape):
    from torchmetrics.functional.image import structural_similarity_index_measure

    truth = torch.randint(0, 256, shape, dtype=torch.uint8)
    result = (truth.float() * 0.8 + torch.rand(shape) * 40).byte()
    result[0] = truth[0]
    expected = structural_similarity_index_measure(result.double(), truth.double(), data_range=255.0, reduction="none")
    assert torch.allclose(ssim(result, truth), expected.float(), atol=1e-5)


def test_measuring_pictures_imports_no_torchmetrics():
    """Its import takes longer than measuring 200 pictures."""
    code = "import cyclegan_edge.export.evaluation.pictures, sys; print('torchmetrics' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
