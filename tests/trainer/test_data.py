import logging
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as transforms

from cyclegan_edge.runtime.errors import DatasetError
from cyclegan_edge.trainer.config import DataConfig
from cyclegan_edge.trainer.data import UnpairedBatches, decode_picture, load_domain, load_held_out

CPU = torch.device("cpu")


def batches(dataroot, seed=0, **changes) -> UnpairedBatches:
    config = DataConfig(**{"load_size": 36, "crop_size": 32, "batch_size": 2} | changes)
    domains = [load_domain(dataroot / f"train{name}", config.load_size) for name in "AB"]
    return UnpairedBatches(*domains, config, seed)


def test_pictures_are_resized_bicubically_with_antialiasing_as_pil_does(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    expected = np.asarray(transforms.resize(Image.fromarray(pixels), [32, 32], transforms.InterpolationMode.BICUBIC))
    assert np.array_equal(decode_picture(path, 32), expected)


def test_exif_orientation_is_applied(tmp_path):
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:16] = 255
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    image.save(tmp_path / "a.png", exif=exif)
    upright = decode_picture(tmp_path / "a.png", 32)
    assert upright[:, 16:].min() == 255
    assert upright[:, :16].max() == 0


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    image = Image.new("I;16", (8, 8)) if mode == "I;16" else Image.new("RGB", (8, 8), "white").convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    assert decode_picture(path, 8).shape == (8, 8, 3)


def test_transparent_pixels_are_seen_on_white(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert decode_picture(tmp_path / "a.png", 8).min() == 255


def test_a_corrupt_file_is_named_skipped_and_counted(dataroot, caplog):
    (dataroot / "trainA" / "00.png").write_bytes(b"\x89PNG no picture")
    whole = (dataroot / "trainA" / "01.png").read_bytes()
    (dataroot / "trainA" / "01.png").write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.WARNING):
        domain = load_domain(dataroot / "trainA", 32)
    assert (len(domain), domain.num_skipped) == (4, 2)
    assert domain.pictures.shape == (4, 3, 32, 32)
    assert domain.pictures.dtype == torch.uint8
    assert "00.png" in caplog.text
    assert "01.png" in caplog.text


def test_a_missing_empty_or_useless_folder_shows_the_layout(dataroot, tmp_path):
    with pytest.raises(DatasetError, match=r"(?s)there is no folder .*trainA.*pictures of domain A"):
        load_domain(tmp_path / "nothing" / "trainA", 32)
    (tmp_path / "trainA").mkdir()
    with pytest.raises(DatasetError, match=r"(?s)holds no picture.*trainB/"):
        load_domain(tmp_path / "trainA", 32)
    (tmp_path / "trainA" / "a.png").write_bytes(b"")
    with pytest.raises(DatasetError, match="none of the 1 pictures"):
        load_domain(tmp_path / "trainA", 32)


def test_held_out_pictures_are_optional(dataroot, tmp_path):
    held_out = load_held_out(dataroot, 32)
    assert held_out is not None
    assert [len(domain) for domain in held_out] == [3, 3]
    assert load_held_out(tmp_path, 32) is None


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
