import logging
import shutil

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from cyclegan_edge.runtime.errors import DatasetError
from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.data.dataset import load_domain, load_held_out, load_training
from cyclegan_edge.trainer.data.pictures import Preparation
from cyclegan_edge.trainer.data.training_pictures import whole

SQUARE = Preparation(3, "resize_and_crop", 32, 32)


def configured(dataroot, **data):
    small = {"dataroot": str(dataroot), "load_size": 36, "crop_size": 32, "batch_size": 2}
    return resolve_config({"data": small | data})


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


def test_channels_differ_between_the_domains(dataroot):
    config = resolve_config(
        {"data": {"dataroot": str(dataroot), "load_size": 32, "crop_size": 32, "input_nc": 1}},
        {"losses": {"lambda_identity": 0}},
    )
    domain_A, domain_B = load_training(config)
    assert [domain.read(0, whole).shape for domain in (domain_A, domain_B)] == [(1, 32, 32), (3, 32, 32)]


@pytest.fixture
def mixed(dataroot):
    """The dataset with one picture of domain A that is not square."""
    Image.new("RGB", (72, 48), "red").save(dataroot / "trainA" / "00.png")
    return dataroot


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
    assert (domain_A.dtype, domain_B.dtype) == (torch.float32, torch.uint8)
    assert torch.allclose(domain_A.read(3, whole), torch.tensor(32768 / 257))


def test_few_held_out_pictures_are_read_and_always_the_same(dataroot, decoded):
    for name in ("testA", "testB"):
        for number in range(3, 40):
            shutil.copy(dataroot / name / f"0{number % 3}.png", dataroot / name / f"{number:02}.png")
    every, few = load_held_out(configured(dataroot)), load_held_out(configured(dataroot), 4)
    assert every is not None
    assert few is not None
    assert len(decoded) == 80 + 8
    assert [[path.name for path in domain.files] for domain in few] == [["00.png", "10.png", "20.png", "30.png"]] * 2
    assert torch.equal(few[1].stacked, every[1].stacked[::10])
    (dataroot / "testB" / "39.png").unlink()  # no longer paired: spread over each
    few = load_held_out(configured(dataroot), 13)
    assert few is not None
    assert [domain.files[-1].name for domain in few] == ["36.png", "36.png"]
    assert [len(domain) for domain in few] == [13, 13]
