import logging
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from cyclegan_edge.runtime.contract import normalise
from cyclegan_edge.runtime.errors import DatasetError
from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.data import UnpairedBatches, load_domain, load_held_out, load_training
from cyclegan_edge.trainer.pictures import Preparation

CPU = torch.device("cpu")
SQUARE = Preparation(3, "resize_and_crop", 32, 32)


def configured(dataroot, **data):
    small = {"dataroot": str(dataroot), "load_size": 36, "crop_size": 32, "batch_size": 2}
    return resolve_config({"data": small | data})


def batches(dataroot, seed=0, **changes) -> UnpairedBatches:
    config = configured(dataroot, **changes)
    return UnpairedBatches(*load_training(config), config.data, seed)


def test_a_corrupt_file_is_named_skipped_and_counted(dataroot, caplog):
    (dataroot / "trainA" / "00.png").write_bytes(b"\x89PNG no picture")
    whole = (dataroot / "trainA" / "01.png").read_bytes()
    (dataroot / "trainA" / "01.png").write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.WARNING):
        domain = load_domain(dataroot / "trainA", SQUARE)
    assert (len(domain), domain.num_skipped) == (4, 2)
    assert domain.pictures.shape == (4, 3, 32, 32)
    assert domain.pictures.dtype == torch.uint8
    assert "00.png" in caplog.text
    assert "01.png" in caplog.text


def test_a_missing_empty_or_useless_folder_shows_the_layout(dataroot, tmp_path):
    with pytest.raises(DatasetError, match=r"(?s)there is no folder .*trainA.*pictures of domain A"):
        load_domain(tmp_path / "nothing" / "trainA", SQUARE)
    (tmp_path / "trainA").mkdir()
    with pytest.raises(DatasetError, match=r"(?s)holds no picture.*trainB/"):
        load_domain(tmp_path / "trainA", SQUARE)
    (tmp_path / "trainA" / "a.png").write_bytes(b"")
    with pytest.raises(DatasetError, match="none of the 1 pictures"):
        load_domain(tmp_path / "trainA", SQUARE)


def test_held_out_pictures_are_optional(dataroot, tmp_path):
    held_out = load_held_out(configured(dataroot))
    assert held_out is not None
    assert [domain.pictures.shape for domain in held_out] == [(3, 3, 32, 32)] * 2
    assert load_held_out(configured(tmp_path)) is None


def test_direction_b_to_a_swaps_the_folders(dataroot):
    forward, backward = (load_training(configured(dataroot, direction=way)) for way in ("AtoB", "BtoA"))
    assert [len(domain) for domain in forward] == [6, 5]
    assert [len(domain) for domain in backward] == [5, 6]
    held_out = load_held_out(configured(dataroot, direction="BtoA"))
    assert held_out is not None
    assert held_out[0].files[0].parent.name == "testB"


def test_a_limit_takes_the_first_pictures_by_name(dataroot):
    domain_A, domain_B = load_training(configured(dataroot, max_dataset_size=2))
    assert [path.name for path in domain_A.files] == ["00.png", "01.png"]
    assert len(domain_B) == 2


def test_serial_batches_keep_the_order_of_the_names(dataroot):
    data = batches(dataroot, serial_batches=True, batch_size=1, load_size=32, flip=False)
    for step in range(12):
        for domain, real in zip(data.domains, data.batch(step, CPU), strict=True):
            assert torch.equal(normalise(domain.pictures[step % 6 % len(domain)].float()), real[0])


def test_channels_differ_between_the_domains(dataroot):
    config = resolve_config(
        {"data": {"dataroot": str(dataroot), "load_size": 32, "crop_size": 32, "input_nc": 1}},
        {"losses": {"lambda_identity": 0}},
    )
    domain_A, domain_B = load_training(config)
    assert (domain_A.pictures.shape[1], domain_B.pictures.shape[1]) == (1, 3)


@pytest.fixture
def mixed(dataroot):
    """The dataset with one picture of domain A that is not square."""
    Image.new("RGB", (72, 48), "red").save(dataroot / "trainA" / "00.png")
    return dataroot


@pytest.mark.parametrize("preprocess", ["crop", "scale_width_and_crop"])
def test_pictures_of_several_sizes_are_cropped(mixed, preprocess):
    data = batches(mixed, preprocess=preprocess, batch_size=3)
    assert isinstance(data.domains[0].pictures, list)
    for step in range(8):
        assert [real.shape for real in data.batch(step, CPU)] == [(3, 3, 32, 32)] * 2


@pytest.mark.parametrize("preprocess", ["none", "scale_width"])
def test_whole_pictures_of_one_size_are_trained_on_whole(dataroot, preprocess):
    data = batches(dataroot, preprocess=preprocess, load_size=40)
    assert [real.shape for real in data.batch(0, CPU)] == [(2, 3, 40, 40)] * 2


def test_whole_pictures_of_several_sizes_are_refused_by_name(mixed):
    with pytest.raises(DatasetError, match=r"whole pictures of one size, and .* becomes 40x40 but .*00\.png 72x48"):
        load_training(configured(mixed, preprocess="none"))


def test_a_picture_smaller_than_the_crop_is_refused_by_name(dataroot):
    Image.new("RGB", (80, 30)).save(dataroot / "trainB" / "02.png")
    with pytest.raises(DatasetError, match=r"02\.png is 80x30, smaller than the crop of 32; take .*resize_and_crop"):
        load_training(configured(dataroot, preprocess="crop"))


def test_whole_pictures_too_small_for_the_discriminator_are_refused(dataroot):
    for path in dataroot.glob("train*/*.png"):
        Image.new("RGB", (20, 20)).save(path)
    with pytest.raises(DatasetError, match="becomes 20x20, too small for the basic discriminator, which needs 24"):
        load_training(configured(dataroot, preprocess="none"))


def test_one_16_bit_picture_makes_its_domain_fine_grained(dataroot):
    fine = np.full((40, 40, 3), 32768, np.uint16)
    cv2.imwrite(str(dataroot / "trainA" / "03.png"), fine)
    domain_A, domain_B = load_training(configured(dataroot))
    assert (domain_A.pictures.dtype, domain_B.pictures.dtype) == (torch.float32, torch.uint8)
    assert torch.allclose(domain_A.pictures[3], torch.tensor(32768 / 257))


def test_a_batch_is_normalised_and_a_function_of_seed_and_step_alone(dataroot):
    first = [batches(dataroot).batch(step, CPU) for step in range(7)]
    again = batches(dataroot)
    for step in reversed(range(7)):
        for expected, found in zip(first[step], again.batch(step, CPU), strict=True):
            assert torch.equal(expected, found)
    other = batches(dataroot, seed=1).batch(0, CPU)
    assert not torch.equal(first[0][0], other[0])
    real_A = first[0][0]
    assert real_A.shape == (2, 3, 32, 32)
    assert real_A.dtype == torch.float32
    assert -1 <= real_A.min() < real_A.max() <= 1


def test_an_epoch_shows_every_picture_of_the_larger_domain_once(dataroot):
    data = batches(dataroot, batch_size=1, load_size=32, flip=False)
    assert data.steps_per_epoch == 6
    for epoch in range(3):
        seen = [data.batch(epoch * 6 + position, CPU)[0] for position in range(6)]
        assert len({picture.sum().item() for picture in seen}) == 6


def test_b_is_drawn_independently_of_a(dataroot):
    data = batches(dataroot, batch_size=1, load_size=32, flip=False)
    partners = {}
    for step in range(120):
        real_A, real_B = data.batch(step, CPU)
        partners.setdefault(real_A.sum().item(), set()).add(real_B.sum().item())
    assert all(len(found) == 5 for found in partners.values())


def test_crops_and_flips_vary(dataroot):
    data = batches(dataroot, batch_size=1)
    views = {}
    for step in range(60):
        real_A, _ = data.batch(step, CPU)
        views.setdefault(round(real_A.abs().sum().item(), 2), 0)
    assert len(views) > 30


def test_fewer_pictures_than_a_batch_still_fill_it(dataroot):
    data = batches(dataroot, batch_size=8)
    assert data.steps_per_epoch == 1
    assert data.batch(0, CPU)[0].shape[0] == 8
    assert [data.epoch_of(step) for step in range(3)] == [1, 2, 3]


def test_epochs_count_from_one(dataroot):
    data = batches(dataroot)
    epochs = [data.epoch_of(step) for step in range(3 * data.steps_per_epoch)]
    assert all(later - earlier in (0, 1) for earlier, later in pairwise(epochs))
    assert (epochs[0], epochs[-1]) == (1, 3)
