import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from cyclegan_edge.trainer.evaluation.paired import gmsd, mean_of, psnr, ssim
from cyclegan_edge.trainer.evaluation.unpaired import (
    _sort_rows,
    checkerboard,
    colour_distance,
    sliced_wasserstein,
)


def textures(seed: int, blur: int = 1, number: int = 24) -> torch.Tensor:
    noise = torch.rand(number, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
    smooth = F.avg_pool2d(noise, blur, 1, blur // 2)[..., :64, :64]
    return (255 * (smooth - smooth.min()) / (smooth.max() - smooth.min())).round().byte()


def test_two_draws_of_one_texture_are_nearer_than_two_textures():
    same = sliced_wasserstein(textures(0, 3), textures(1, 3))
    other = sliced_wasserstein(textures(0, 3), textures(1, 7))
    assert 0 < same < 0.6 * other


def test_the_sliced_distance_does_not_see_colour_and_repeats_itself():
    pictures = textures(0, 3)
    shifted = (pictures.float() * 0.5 + 60).round().byte()
    assert sliced_wasserstein(pictures, shifted) < sliced_wasserstein(pictures, textures(0, 7)) / 2
    assert sliced_wasserstein(pictures, shifted) == sliced_wasserstein(pictures, shifted)


def test_sets_of_different_sizes_can_be_compared():
    assert sliced_wasserstein(textures(0, 3, 8), textures(1, 3, 3)) < sliced_wasserstein(textures(0, 3), textures(1, 7))
    assert colour_distance(textures(0, 3, 8), textures(0, 3, 8)[:3]) < 10


@pytest.mark.parametrize("shift", [1, 40])
def test_the_colour_distance_is_the_shift_in_steps(shift):
    pictures = torch.randint(0, 200, (3, 3, 16, 16), dtype=torch.uint8)
    assert colour_distance(pictures, pictures + shift) == pytest.approx(shift, rel=1e-4)


@pytest.mark.parametrize("period", [2, 4])
def test_a_grid_raises_the_checkerboard_score(period):
    clean = textures(0, 5)
    grid = clean.float()
    grid[..., ::period, ::period] += 8
    assert checkerboard(grid.clamp(0, 255)) > checkerboard(clean) + 6


def test_flat_pictures_have_no_checkerboard():
    assert checkerboard(torch.full((2, 3, 32, 32), 90, dtype=torch.uint8)) == pytest.approx(0, abs=1)


@given(st.integers(1, 40), st.integers(1, 9))
def test_rows_are_sorted_as_torch_sorts_them(rows, columns):
    values = torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows))
    assert torch.equal(_sort_rows(values.clone()), values.sort(dim=1).values)


def test_the_figures_stay_those_of_the_first_release():
    one, other = textures(0, 3), textures(1, 7)
    assert sliced_wasserstein(one, other) == pytest.approx(113.34716, rel=1e-5)
    assert colour_distance(one, other) == pytest.approx(34.859909, rel=1e-5)
    assert checkerboard(one) == pytest.approx(1.0112600, rel=1e-4)
    assert mean_of(psnr(one, other)) == pytest.approx(13.688987, rel=1e-5)
    assert mean_of(ssim(one, other)) == pytest.approx(0.14740653, rel=1e-4)
    assert mean_of(gmsd(one, other)) == pytest.approx(0.19206995, rel=1e-4)
