from itertools import pairwise

import pytest
import torch
from PIL import Image

from cyclegan_edge.runtime.contract import normalise
from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.data.batches import UnpairedBatches
from cyclegan_edge.trainer.data.dataset import load_training
from cyclegan_edge.trainer.data.training_pictures import whole
from cyclegan_edge.trainer.distributed import World

CPU = torch.device("cpu")


def configured(dataroot, **data):
    small = {"dataroot": str(dataroot), "load_size": 36, "crop_size": 32, "batch_size": 2}
    return resolve_config({"data": small | data})


def batches(dataroot, seed=0, world=World(), **changes) -> UnpairedBatches:  # noqa: B008
    config = configured(dataroot, **changes)
    return UnpairedBatches(load_training(config), config.data, seed, CPU, world)


def test_a_batch_is_normalised_and_a_function_of_seed_and_step_alone(dataroot):
    first = [batches(dataroot).batch(step) for step in range(7)]
    again = batches(dataroot)
    for step in reversed(range(7)):
        for expected, found in zip(first[step], again.batch(step), strict=True):
            assert torch.equal(expected, found)
    other = batches(dataroot, seed=1).batch(0)
    assert not torch.equal(first[0][0], other[0])
    real_A = first[0][0]
    assert real_A.shape == (2, 3, 32, 32)
    assert real_A.dtype == torch.float32
    assert -1 <= real_A.min() < real_A.max() <= 1


def test_an_epoch_shows_every_picture_of_the_larger_domain_once(dataroot):
    data = batches(dataroot, batch_size=1, load_size=32, flip=False)
    assert data.steps_per_epoch == 6
    for epoch in range(3):
        seen = [data.batch(epoch * 6 + position)[0] for position in range(6)]
        assert len({picture.sum().item() for picture in seen}) == 6


def test_b_is_drawn_independently_of_a(dataroot):
    data = batches(dataroot, batch_size=1, load_size=32, flip=False)
    partners = {}
    for step in range(120):
        real_A, real_B = data.batch(step)
        partners.setdefault(real_A.sum().item(), set()).add(real_B.sum().item())
    assert all(len(found) == 5 for found in partners.values())


def test_crops_and_flips_vary(dataroot):
    data = batches(dataroot, batch_size=1)
    views = {}
    for step in range(60):
        real_A, _ = data.batch(step)
        views.setdefault(round(real_A.abs().sum().item(), 2), 0)
    assert len(views) > 30


def test_fewer_pictures_than_a_batch_still_fill_it(dataroot):
    data = batches(dataroot, batch_size=8)
    assert data.steps_per_epoch == 1
    assert data.batch(0)[0].shape[0] == 8
    assert [data.epoch_of(step) for step in range(3)] == [1, 2, 3]


def test_epochs_count_from_one(dataroot):
    data = batches(dataroot)
    epochs = [data.epoch_of(step) for step in range(3 * data.steps_per_epoch)]
    assert all(later - earlier in (0, 1) for earlier, later in pairwise(epochs))
    assert (epochs[0], epochs[-1]) == (1, 3)


def test_serial_batches_keep_the_order_of_the_names(dataroot):
    changes = {"serial_batches": True, "batch_size": 1, "load_size": 32, "flip": False}
    domains, data = load_training(configured(dataroot, **changes)), batches(dataroot, **changes)
    for step in range(12):
        for domain, real in zip(domains, data.batch(step), strict=True):
            picture = domain.read(step % 6 % len(domain), whole)
            assert torch.equal(normalise(picture.float()), real[0])


@pytest.fixture
def mixed(dataroot):
    """The dataset with one picture of domain A that is not square."""
    Image.new("RGB", (72, 48), "red").save(dataroot / "trainA" / "00.png")
    return dataroot


@pytest.mark.parametrize("preprocess", ["crop", "scale_width_and_crop"])
def test_pictures_of_several_sizes_are_cropped(mixed, preprocess):
    data = batches(mixed, preprocess=preprocess, batch_size=3)
    assert len(load_training(configured(mixed, preprocess=preprocess))[0].sizes()) == 2
    for step in range(8):
        assert [real.shape for real in data.batch(step)] == [(3, 3, 32, 32)] * 2


@pytest.mark.parametrize("preprocess", ["none", "scale_width"])
def test_whole_pictures_of_one_size_are_trained_on_whole(dataroot, preprocess):
    data = batches(dataroot, preprocess=preprocess, load_size=40)
    assert [real.shape for real in data.batch(0)] == [(2, 3, 40, 40)] * 2


@pytest.mark.parametrize("step", [0, 1, 4, 9])
def test_two_processes_see_together_what_one_sees(dataroot, step):
    alone = batches(dataroot, batch_size=2).batch(step)
    shares = [batches(dataroot, batch_size=1, world=World(rank, 2)).batch(step) for rank in range(2)]
    for domain in range(2):
        assert torch.equal(torch.cat([share[domain] for share in shares]), alone[domain])
