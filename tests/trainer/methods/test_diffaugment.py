import pytest
import torch

from cyclegan_edge.trainer.methods.diffaugment import NUM_DRAWS, diff_augment, draw

# What changes nothing: the middle of brightness, saturation, contrast and both shifts. The last two place the cutout.
NEUTRAL = torch.tensor([0.5] * NUM_DRAWS)
SIDE = 16


def pictures(batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1


def changed(place: int, value: float) -> torch.Tensor:
    draws = NEUTRAL.clone()
    draws[place] = value
    return diff_augment(pictures(), draws[None])


def outside(result: torch.Tensor) -> torch.Tensor:
    """Return what the cutout in the middle does not touch: the top rows."""
    return result[..., : SIDE // 8, :]


def test_the_middle_of_every_draw_only_cuts_out_the_middle():
    result = diff_augment(pictures(), NEUTRAL[None])
    hidden = result == 0
    assert torch.allclose(result[~hidden], pictures()[~hidden], atol=1e-6)
    assert hidden[0, 0].sum() == pytest.approx((SIDE / 2) ** 2, rel=0.25)
    assert hidden[..., SIDE // 2, SIDE // 2].all()


def test_brightness_adds():
    assert torch.allclose(outside(changed(0, 0.9)), outside(pictures()) + 0.4, atol=1e-6)


def test_saturation_of_zero_is_gray():
    gray = outside(changed(1, 0.0))
    assert torch.allclose(gray, gray.mean(1, keepdim=True).expand_as(gray), atol=1e-6)


def test_contrast_stretches_around_the_mean():
    mean = pictures().mean()
    assert torch.allclose(outside(changed(2, 0.0)), mean + 0.5 * (outside(pictures()) - mean), atol=1e-5)


@pytest.mark.parametrize(("share", "down"), [(0.0, -2), (0.999, 2)])
def test_a_shift_moves_by_up_to_an_eighth_and_fills_with_zeros(share, down):
    cut_away = NEUTRAL.clone()
    cut_away[5] = 0.0  # the cutout lies at the top
    cut_away[3] = share
    result = diff_augment(pictures(), cut_away[None])
    below = slice(SIDE // 2, SIDE - 2)
    moved = slice(SIDE // 2 - down, SIDE - 2 - down)
    assert torch.allclose(result[..., below, :], pictures()[..., moved, :], atol=1e-6)
    if down < 0:
        assert (result[..., down:, :] == 0).all()


def test_every_picture_of_a_batch_is_changed_by_its_own_draws():
    draws = draw(3, torch.Generator().manual_seed(1))
    together = diff_augment(pictures(3), draws)
    for number in range(3):
        alone = diff_augment(pictures(3)[number : number + 1], draws[number : number + 1])
        assert torch.allclose(together[number : number + 1], alone, atol=1e-6)


def test_gradients_pass_where_pictures_show():
    source = pictures().requires_grad_(True)
    result = diff_augment(source, NEUTRAL[None])
    result.sum().backward()
    assert ((source.grad != 0) == (result != 0)).float().mean() > 0.99
