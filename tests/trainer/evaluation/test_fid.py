import warnings

import pytest
import torch

from cyclegan_edge.runtime.errors import ArtefactError
from cyclegan_edge.trainer.evaluation.fid import feature_distances, load_torchscript


class Means(torch.nn.Module):
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.mean((2, 3))


class Inception(torch.nn.Module):
    """Has the switch of the published network: classes without it."""

    def forward(self, pictures: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        return pictures.mean((2, 3)) if return_features else pictures.flatten(1)


class Classes(torch.nn.Module):
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.flatten(1).argmax(1)


@pytest.fixture
def saved(tmp_path):
    def save(module):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            torch.jit.script(module).save(tmp_path / "features.pt")
        return tmp_path / "features.pt"

    return save


def pictures(number=40, shift=0):
    drawn = torch.randint(0, 200, (number, 3, 8, 8), generator=torch.Generator().manual_seed(shift))
    return (drawn + shift).byte()


@pytest.mark.parametrize("module", [Means(), Inception()])
def test_a_torchscript_extractor_sees_values_up_to_255(saved, module):
    extract = load_torchscript(saved(module))
    assert extract(pictures(2)).shape == (2, 3)
    assert extract(torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)).max() == 255


def test_sets_further_apart_have_larger_distances_and_equal_ones_none(saved):
    extract = load_torchscript(saved(Means()))
    same = feature_distances(pictures(), pictures(), extract)
    near, far = (feature_distances(pictures(shift=shift), pictures(), extract) for shift in (5, 50))
    assert same["fid"] == pytest.approx(0, abs=1e-2)
    assert same["fid"] < near["fid"] < far["fid"] == pytest.approx(3 * 50**2, rel=0.05)
    assert same["kid_low"] <= 0 <= same["kid_high"]
    assert far["kid_low"] > near["kid"]


def test_few_and_unequal_numbers_are_enough(saved):
    extract = load_torchscript(saved(Means()))
    values = feature_distances(pictures(5), pictures(9, shift=30), extract)
    assert values["kid_low"] <= values["kid"] <= values["kid_high"]


def test_measuring_leaves_the_random_numbers_of_training_alone(saved):
    extract = load_torchscript(saved(Means()))
    before = torch.get_rng_state()
    first = feature_distances(pictures(), pictures(shift=9), extract)
    assert torch.equal(before, torch.get_rng_state())
    assert first == feature_distances(pictures(), pictures(shift=9), extract)


def test_gray_pictures_are_shown_as_rgb(saved):
    extract = load_torchscript(saved(Means()))
    assert feature_distances(pictures()[:, :1], pictures()[:, :1], extract)["fid"] == pytest.approx(0, abs=1e-2)


def test_what_is_no_extractor_is_refused(saved, tmp_path):
    with pytest.raises(ArtefactError, match="is no TorchScript module"):
        load_torchscript(tmp_path / "absent.pt")
    (tmp_path / "bad.pt").write_bytes(b"nothing")
    with pytest.raises(ArtefactError, match="is no TorchScript module"):
        load_torchscript(tmp_path / "bad.pt")
    with pytest.raises(ArtefactError, match="gives no features"):
        load_torchscript(saved(Classes()))(pictures(2))
