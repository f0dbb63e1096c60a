"""The server reads and writes pictures as the command does: alpha and colour profile come through."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from cyclegan_edge.runtime.sinks.pictures import encode_picture
from cyclegan_edge.runtime.sources.picture_file import decode_picture
from cyclegan_edge.runtime.web.picture_profile import MOST_BYTES, read_profile

TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}


def profile(space: bytes = b"RGB ", size: int = 164) -> bytes:
    """A profile of a display, as large as it is wanted."""
    body = struct.pack(">I4sII", 1, b"cprt", 144, size - 144) + b"text" + bytes(4) + bytes(range(1, size - 151))
    head = struct.pack(">I4sI4s4s4s", 128 + len(body), b"test", 0x04300000, b"mntr", space, b"XYZ ")
    head = (head.ljust(36, b"\0") + b"acsp").ljust(68, b"\0") + struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    return head.ljust(128, b"\0") + body


@pytest.mark.parametrize("suffix", TYPES)
def test_a_profile_comes_back(suffix, server) -> None:
    sent = encode_picture(np.full((16, 16, 3), 100, np.uint8), suffix, "a", profile())
    answer = server.client.post("/v1/translate", content=sent)
    assert decode_picture(answer.content, "b").profile == profile()


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_alpha_comes_back(suffix, server) -> None:
    pixels = np.full((16, 16, 4), 100, np.uint8)
    pixels[..., 3] = np.arange(16) * 10 + 50
    answer = server.client.post("/v1/translate", content=encode_picture(pixels, suffix, "a"))
    returned = decode_picture(answer.content, "b").pixels
    assert np.array_equal(returned[..., 3], pixels[..., 3])
    assert np.abs(returned[..., :3].astype(int) - 155).max() <= 3


@pytest.mark.parametrize("suffix", TYPES)
def test_what_is_no_profile_of_rgb_or_too_large_is_left_out(suffix) -> None:
    plain = cv2.imencode(suffix, np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    assert read_profile(plain, TYPES[suffix]) is None
    assert read_profile(plain[:20], TYPES[suffix]) is None
    packed = zlib.compress(bytes(2 * MOST_BYTES))
    large = plain[:33] + struct.pack(">I", len(packed) + 3) + b"iCCPx\0\0" + packed + bytes(4) + plain[33:]
    assert read_profile(large, "image/png") is None
