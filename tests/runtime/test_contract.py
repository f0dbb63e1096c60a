"""The contract of a frame: values map exactly both ways, and sides are padded by reflection."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclegan_edge.runtime.contract import decode, encode, pad_to, padded_side, to_8_bits

EVERY_VALUE = np.arange(256, dtype=np.uint8)


def test_16_bits_become_8_as_arithmetic_says():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    for deep in (values, values.repeat(4, 2), values.repeat(4, 2)[..., :3]):
        flat = to_8_bits(deep)
        assert flat.dtype == np.uint8
        assert np.array_equal(flat, np.rint(deep / 257))


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
    padded = pad_to(picture, (4, 8))
    expected = np.pad(picture, ((0, 1), (0, 3), (0, 0)), mode="reflect")
    assert np.array_equal(padded, expected)


@given(
    sides=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    more=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    channels=st.sampled_from([1, 3]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
)
def test_padding_keeps_the_picture_in_the_corner(sides, more, channels, dtype):
    picture = np.random.default_rng(0).integers(0, 256, (*sides, channels), dtype=dtype)
    padded = pad_to(picture, (sides[0] + more[0], sides[1] + more[1]))
    assert padded.shape == (sides[0] + more[0], sides[1] + more[1], channels)
    assert np.array_equal(padded[: sides[0], : sides[1]], picture)


@given(values=st.lists(st.integers(0, 65535), min_size=3, max_size=30))
def test_sixteen_bits_go_there_and_back(values):
    picture = np.resize(np.array(values, np.uint16), (1, len(values), 1, 3))
    there = encode(picture)
    assert there.min() >= -1
    assert there.max() <= 1
    assert np.array_equal(decode(there, np.dtype(np.uint16)), picture)
