"""The contract of a frame: values map exactly both ways, and sides are padded by reflection."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclegan_edge.runtime.contract import decode, encode, pad_to_multiple, padded_side

EVERY_VALUE = np.arange(256, dtype=np.uint8)


def test_every_value_survives_the_round_trip():
    pictures = np.stack([EVERY_VALUE, EVERY_VALUE[::-1], np.roll(EVERY_VALUE, 7)], -1).reshape(1, 16, 16, 3)
    values = encode(pictures)
    assert values.shape == (1, 3, 16, 16)
    assert values.dtype == np.float32
    assert (values.min(), values.max()) == (-1, 1)
    assert np.array_equal(decode(values), pictures)


@pytest.mark.parametrize(("value", "pixel"), [(-1.0, 0), (1.0, 255), (0.0, 128), (-2.0, 0), (2.0, 255)])
def test_decoding_worked_by_hand(value, pixel):
    assert decode(np.full((1, 1, 1, 1), value, np.float16)).item() == pixel


@pytest.mark.parametrize(
    ("side", "multiple", "minimum", "padded"),
    [
        (1, 4, 8, 8),
        (8, 4, 8, 8),
        (9, 4, 8, 12),
        (256, 256, 256, 256),
        (257, 256, 256, 512),
        (7, 1, 1, 7),
        (3, 4, 10, 12),
    ],
)
def test_padded_sides_worked_by_hand(side, multiple, minimum, padded):
    assert padded_side(side, multiple, minimum) == padded


def test_padding_reflects_at_the_right_and_bottom():
    picture = np.arange(15, dtype=np.uint8).reshape(3, 5, 1)
    padded = pad_to_multiple(picture, 4)
    expected = np.pad(picture, ((0, 1), (0, 3), (0, 0)), mode="reflect")
    assert np.array_equal(padded, expected)


@given(
    height=st.integers(1, 40), width=st.integers(1, 40), channels=st.sampled_from([1, 3]), multiple=st.integers(1, 33)
)
def test_padding_keeps_the_picture_in_the_corner(height, width, channels, multiple):
    picture = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    padded = pad_to_multiple(picture, multiple, minimum=8)
    assert padded.shape[2] == channels
    assert all(side % multiple == 0 and side >= 8 for side in padded.shape[:2])
    assert np.array_equal(padded[:height, :width], picture)
