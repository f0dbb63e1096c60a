"""Formats and sizes read from first bytes: as OpenCV decodes them, and never an exception."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclegan_edge.runtime.web.picture_header import PictureHeader, count_scans, read_header

MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}

suffixes = pytest.mark.parametrize("suffix", MEDIA_TYPES)


def encoded(suffix: str, height: int, width: int, *options: int) -> bytes:
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.imencode(suffix, pixels, options)[1].tobytes()


@suffixes
@settings(deadline=None)
@given(height=st.integers(1, 300), width=st.integers(1, 300))
def test_the_size_is_that_of_the_decoder(suffix: str, height: int, width: int) -> None:
    header = read_header(encoded(suffix, height, width))
    assert header == PictureHeader(MEDIA_TYPES[suffix], height, width)


def test_lossless_and_animated_webp_are_known() -> None:
    assert read_header(encoded(".webp", 30, 70, cv2.IMWRITE_WEBP_QUALITY, 101)) == PictureHeader("image/webp", 30, 70)
    canvas = struct.pack("<I", 69)[:3] + struct.pack("<I", 29)[:3]
    extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0" + canvas + bytes(20)
    assert read_header(extended) == PictureHeader("image/webp", 30, 70)


def test_an_embedded_thumbnail_is_passed_by() -> None:
    thumbnail = encoded(".jpg", 8, 8)
    exif = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    plain = encoded(".jpg", 40, 60)
    assert read_header(plain[:2] + exif + plain[2:]) == PictureHeader("image/jpeg", 40, 60)


def test_fill_bytes_before_a_marker_are_passed_by() -> None:
    plain = encoded(".jpg", 40, 60)
    assert read_header(plain[:2] + b"\xff\xff" + plain[2:]) == PictureHeader("image/jpeg", 40, 60)


def test_the_scans_of_a_progressive_picture_are_counted() -> None:
    assert count_scans(encoded(".jpg", 64, 64)) == 1
    assert 2 <= count_scans(encoded(".jpg", 64, 64, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)) <= 20


@suffixes
@settings(deadline=None)
@given(length=st.integers(0, 200))
def test_a_file_that_was_cut_off_is_known_or_not_but_never_raises(suffix: str, length: int) -> None:
    whole = encoded(suffix, 31, 17)
    assert read_header(whole[:length]) in (None, read_header(whole))


@settings(deadline=None)
@given(
    start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFFaaaaWEBPVP8 ", b"RIFFaaaaWEBPVP8L"]),
    rest=st.binary(max_size=300),
)
def test_no_bytes_raise(start: bytes, rest: bytes) -> None:
    header = read_header(start + rest)
    assert header is None or (header.height >= 0 and header.width >= 0)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<svg/>", b"BM" + bytes(60), b"II*\0" + bytes(60), b"%PDF-1.7"])
def test_other_formats_are_not_let_through(data: bytes) -> None:
    assert read_header(data) is None
