"""A live source that changes its size goes on in a new file; each part, and each recording, begins at zero."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.sinks.recording import Recording
from cyclegan_edge.runtime.video import VideoFormat, open_video, video_sink
from cyclegan_edge.runtime.video.parts import parts_sink

LIKE = VideoFormat(Fraction(25), time_base=Fraction(1, 1000))


def frames(*shapes: tuple[int, int]) -> list[Frame]:
    pictures = [np.full((*shape, 3), 90, np.uint8) for shape in shapes]
    return [Frame(pixels, Path("camera"), time=Fraction(i, 25)) for i, pixels in enumerate(pictures)]


def test_a_camera_that_changes_its_size_goes_on_in_a_new_part(tmp_path, caplog):
    (tmp_path / "a-2.mp4").write_text("somebody's")
    with parts_sink(tmp_path / "a.mp4", lambda path: video_sink(path, 25, like=LIKE)) as write:
        for frame in frames((32, 48), (32, 48), (48, 64), (32, 48)):
            write(frame)
    written = [tmp_path / name for name in ("a.mp4", "a-3.mp4", "a-4.mp4")]
    sizes = {path.name: [frame.pixels.shape[:2] for frame in open_video(path)] for path in written}
    assert sizes == {"a.mp4": [(32, 48)] * 2, "a-3.mp4": [(48, 64)], "a-4.mp4": [(32, 48)]}
    assert {path.name: next(iter(open_video(path))).time for path in written} == dict.fromkeys(sizes, 0)
    assert (tmp_path / "a-2.mp4").read_text() == "somebody's"
    assert "changes its size to 48x64; it goes on in" in caplog.text


def test_a_recording_begins_with_its_first_frame_and_has_no_sound_of_the_film(with_sound, tmp_path):
    film = open_video(with_sound(tmp_path / "film.mkv"))
    recording = Recording(tmp_path, film.format)
    with recording.sink() as write:
        for number, item in enumerate(film):
            recording.wanted.set() if 10 <= number < 15 else recording.wanted.clear()
            write(item)
    (path,) = tmp_path.glob("recording-*")
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    assert [frame.time for frame in open_video(path)] == pytest.approx([n / 25 for n in range(5)], abs=0.002)
