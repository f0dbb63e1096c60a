"""What a decoder gets of a picture: all that makes its pixels, and nothing else."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclegan_edge.runtime.web.picture_chunks import MOST_PARTS, TooManyPartsError, parts_of, strip
from cyclegan_edge.runtime.web.picture_header import read_header

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 56, 4), dtype=np.uint8)
TIFF = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6


def encode(suffix: str, channels: int = 3, *options: int) -> bytes:
    return cv2.imencode(suffix, PIXELS[..., :channels].squeeze(), options)[1].tobytes()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


def decode(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_the_pixels_stay_as_they_are(suffix: str, channels: int) -> None:
    if suffix != ".png" and channels != 3:
        channels = 3 if suffix == ".jpg" else 4
    whole = encode(suffix, channels)
    assert np.array_equal(decode(strip(whole, read_header(whole).media_type)), decode(whole))


def test_a_progressive_jpeg_and_a_palette_stay_as_they_are() -> None:
    progressive = encode(".jpg", 3, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert np.array_equal(decode(strip(progressive, "image/jpeg")), decode(progressive))


def test_text_profiles_and_unknown_chunks_of_a_png_are_left_out() -> None:
    plain = encode(".png")
    extra = [png_chunk(kind, b"x\0\0" + zlib.compress(bytes(100))) for kind in (b"zTXt", b"iCCP", b"iTXt", b"quer")]
    assert strip(plain[:33] + b"".join(extra) + plain[33:], "image/png") == plain


def test_comments_and_applications_of_a_jpeg_are_left_out_but_for_the_orientation() -> None:
    plain = encode(".jpg")
    exif = segment(0xE1, b"Exif\0\0" + TIFF)
    extra = segment(0xFE, b"comment") + segment(0xE2, b"ICC_PROFILE\0") + segment(0xED, b"Photoshop")
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0")
    assert strip(plain[:2] + exif + extra + xmp + exif + plain[2:], "image/jpeg") == plain[:2] + exif + plain[2:]


def test_metadata_of_a_webp_is_left_out_and_one_frame_of_an_animation_kept() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)

    plain = encode(".webp", 4)
    extended = chunk(b"VP8X", bytes([0x34]) + bytes(3) + struct.pack("<I", 55)[:3] + struct.pack("<I", 39)[:3])
    inner = plain[plain.index(b"VP8", 12) :] if b"VP8X" in plain else plain[12:]
    body = b"WEBP" + extended + chunk(b"ICCP", bytes(999)) + inner + chunk(b"XMP ", bytes(99))
    stripped = strip(b"RIFF" + struct.pack("<I", len(body)) + body, "image/webp")
    assert b"ICCP" not in stripped
    assert b"XMP " not in stripped
    assert decode(stripped).shape[:2] == (40, 56)
    frames = body + chunk(b"ANMF", b"first") + chunk(b"ANMF", b"second")
    assert strip(b"RIFF\0\0\0\0" + frames, "image/webp").count(b"ANMF") == 1


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_file_of_very_many_parts_is_refused(suffix: str) -> None:
    plain = encode(suffix)
    kind = read_header(plain).media_type
    part = {".png": png_chunk(b"IDAT", b""), ".jpg": segment(0xDB, b""), ".webp": b"ALPH\0\0\0\0"}[suffix]
    start = {".png": 33, ".jpg": 2, ".webp": 12}[suffix]
    many = plain[:start] + part * (MOST_PARTS + 1) + plain[start:]
    with pytest.raises(TooManyPartsError):
        strip(many, kind)
    with pytest.raises(TooManyPartsError):
        list(parts_of(many, kind))


def test_tables_between_the_scans_of_a_jpeg_are_counted() -> None:
    plain = encode(".jpg")
    with pytest.raises(TooManyPartsError):
        strip(plain[:-2] + segment(0xC4, b"") * (MOST_PARTS + 1) + plain[-2:], "image/jpeg")


@settings(deadline=None)
@given(kind=st.sampled_from(["image/png", "image/jpeg", "image/webp"]), data=st.binary(max_size=400))
def test_no_bytes_raise(kind: str, data: bytes) -> None:
    strip(data, kind)


@settings(deadline=None)
@given(suffix=st.sampled_from([".png", ".jpg", ".webp"]), length=st.integers(0, 3000), seed=st.integers(0, 99))
def test_damage_is_never_a_fault(suffix: str, length: int, seed: int) -> None:
    whole = bytearray(encode(suffix))
    kind = read_header(bytes(whole)).media_type
    noise = np.random.default_rng(seed)
    for at in noise.integers(0, min(len(whole), 200), 5):
        whole[at] = noise.integers(256)
    strip(bytes(whole[:length]), kind)
