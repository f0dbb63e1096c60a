"""Which encoder a video gets, and what is said where there is none."""

from pathlib import Path

import numpy as np
import pytest

from cyclegan_edge.runtime.errors import OutputError, UsageError
from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.video import Encoding, VideoFormat, video_sink
from cyclegan_edge.runtime.video.encoders import choose_encoder, fit_pixels


@pytest.mark.parametrize(
    ("encoding", "message", "about"),
    [
        (Encoding(codec="nosuch"), "no video encoder is called 'nosuch' here; use h264, h265, av1, vp9", "codec"),
        (Encoding(codec="aac"), "no video encoder is called 'aac' here", "codec"),  # one of sound
        (Encoding(codec="mjpeg", crf=20), "mjpeg has no constant quality", "crf"),
        (Encoding(codec="vp9", preset="fast"), "libvpx-vp9 has no presets", "preset"),
    ],
)
def test_what_no_encoder_does_is_refused(encoding, message, about):
    with pytest.raises(UsageError, match=message) as caught:
        choose_encoder(encoding, Path("a.mkv"))
    assert caught.value.about == (about,)


def test_a_preset_that_the_encoder_does_not_know_is_named(tmp_path):
    with (
        pytest.raises(OutputError, match="name another codec, preset or container") as caught,
        video_sink(tmp_path / "a.mp4", 25, encoding=Encoding(preset="nosuch")) as write,
    ):
        write(Frame(np.zeros((32, 48, 3), np.uint8), Path("a")))
    assert caught.value.about == ("codec", "preset")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "codec", "channels", "dtype", "pixels"),
    [
        ("a.mp4", "auto", 3, np.uint8, "yuv420p"),
        ("a.mp4", "auto", 3, np.uint16, "yuv420p"),
        ("a.mp4", "h265", 3, np.uint16, "yuv420p10le"),
        ("a.mkv", "h265", 4, np.uint16, "yuv420p10le"),
        ("a.webm", "auto", 4, np.uint16, "yuva420p"),
        ("a.mov", "auto", 4, np.uint8, "yuva444p10le"),
        ("a.mov", "auto", 3, np.uint8, "yuv420p"),
        ("a.mov", "prores_ks", 3, np.uint16, "yuv422p10le"),
    ],
)
def test_pixels_keep_what_the_encoder_can(name, codec, channels, dtype, pixels):
    encoding, first = Encoding(codec=codec), np.zeros((32, 48, channels), dtype)
    fitted = fit_pixels(choose_encoder(encoding, Path(name)), first, Path(name), encoding, VideoFormat(25))
    assert fitted.pixels == pixels
    assert fitted.bits == (10 if "10" in pixels else 8)
    assert fitted.keeps_alpha == pixels.startswith("yuva")
