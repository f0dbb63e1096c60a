"""Damaged, truncated and inconsistent videos: what can be seen is translated, and what cannot is counted."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cyclegan_edge.runtime.errors import InputError
from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.sources.bars import Barcode, write_barcode
from cyclegan_edge.runtime.video import open_video, video_sink

COUNT = 60
GOP = 10  # frames from one keyframe to the next


def film(path: Path, sizes=((64, 96),), options=None, **stream_options) -> Path:
    """Barcoded noise, COUNT frames for each size in one stream; MPEG-TS is the container that lets a size change."""
    noise = np.random.default_rng(0)
    with av.open(str(path), "w", container_options=options or {}) as container:
        number = 0
        stream = None
        for height, width in sizes:
            codec = av.CodecContext.create("libx264", "w")
            codec.width, codec.height, codec.pix_fmt, codec.gop_size = width, height, "yuv420p", GOP
            codec.time_base, codec.framerate = Fraction(1, 25), Fraction(25)
            codec.options = {"crf": "20", "preset": "ultrafast", "bf": "0", **stream_options}
            if stream is None:
                stream = container.add_stream("libx264", rate=25, options=codec.options)
                stream.width, stream.height, stream.pix_fmt, stream.gop_size = width, height, "yuv420p", GOP
            encode = stream.encode if len(sizes) == 1 else codec.encode
            for _ in range(COUNT):
                pixels = noise.integers(60, 180, (height, width, 3), dtype=np.uint8)
                write_barcode(pixels, Barcode(number, number / 25))
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                for packet in encode(frame):
                    packet.stream = stream
                    container.mux(packet)
                number += 1
            for packet in encode(None):
                packet.stream = stream
                container.mux(packet)
    return path


def played(path: Path) -> int:
    return sum(isinstance(item, Frame) for item in open_video(path))


def packets(path: Path) -> list[tuple[int, int, bool]]:
    """Where each frame lies in a file, how long it is, and whether it is a keyframe."""
    with av.open(str(path)) as container:
        return [(p.pos, p.size, p.is_keyframe) for p in container.demux(video=0) if p.size]


class TestTruncated:
    @pytest.mark.parametrize(
        ("name", "movflags", "promised"),
        [
            ("a.mp4", "faststart", COUNT),
            ("a.mp4", "frag_keyframe+empty_moov", 40),
            ("a.mkv", "", COUNT),
            ("a.avi", "", COUNT),
        ],
    )
    def test_what_is_there_is_translated_and_the_rest_is_missed(
        self, name, movflags, promised, translate, numbers, tmp_path
    ):
        data = film(tmp_path / name, options={"movflags": movflags} if movflags else {}).read_bytes()
        (tmp_path / name).write_bytes(data[: int(len(data) * 0.6)])
        done = translate(tmp_path / name, tmp_path / "out.mkv")
        summary = done.summary
        assert done.code == 1
        assert summary["read"] == summary["frames"] + summary["failed"] == promised  # by its header, or last fragment's
        assert 20 < summary["frames"] < COUNT
        seen = numbers(tmp_path / "out.mkv")
        assert len(seen) == summary["frames"]
        assert seen[:-1] == list(range(len(seen) - 1))  # the last may be half a frame

    def test_an_mpeg_ts_promises_nothing(self, translate, numbers, tmp_path):
        data = film(tmp_path / "a.ts").read_bytes()
        (tmp_path / "a.ts").write_bytes(data[: int(len(data) * 0.6)])
        done = translate(tmp_path / "a.ts", tmp_path / "out.mkv")
        assert (done.code, done.summary["failed"]) == (0, 0)
        assert len(numbers(tmp_path / "out.mkv")) == done.summary["frames"] > 20

    def test_an_mp4_whose_index_is_gone_is_no_video(self, translate, tmp_path):
        data = film(tmp_path / "a.mp4").read_bytes()
        assert data.index(b"moov") > len(data) * 0.8
        (tmp_path / "a.mp4").write_bytes(data[: int(len(data) * 0.6)])
        done = translate(tmp_path / "a.mp4", tmp_path / "out.mp4")
        assert (done.code, done.summary) == (3, {})
        assert "a.mp4 is damaged or no video" in done.said
        assert not (tmp_path / "out.mp4").exists()


class TestDamaged:
    """Every frame that cannot be decoded is counted, those too that a decoder passes over in silence."""

    @pytest.mark.parametrize("fill", [b"\0", b"\xff"])
    @pytest.mark.parametrize("damaged", [range(20, 21), range(20, 30), range(50, 60), range(59, 60), range(1)])
    @pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
    def test_a_damaged_group_of_pictures_costs_itself_only(self, name, damaged, fill, tmp_path):
        path = film(tmp_path / name)
        data, frames = bytearray(path.read_bytes()), packets(path)
        for position, size, _ in frames[damaged.start : damaged.stop]:
            data[position + 8 : position + size] = fill * (size - 8)
        path.write_bytes(data)
        items = list(open_video(path))
        seen = sum(isinstance(item, Frame) for item in items)
        lost = sum(getattr(item, "frames", 1) for item in items if isinstance(item, InputError))
        assert seen + lost == COUNT
        assert lost <= GOP

    def test_the_command_counts_them_and_keeps_the_others_in_time(self, translate, tmp_path):
        path = film(tmp_path / "a.mp4")
        data, frames = bytearray(path.read_bytes()), packets(path)
        position, size, is_key = frames[20]
        data[position : position + size] = b"\xff" * size
        path.write_bytes(data)
        done = translate(path, tmp_path / "out.mp4")
        assert is_key
        assert (done.code, done.summary["read"], done.summary["frames"]) == (1, COUNT, COUNT - GOP + 1)
        assert f"{GOP - 1} of {COUNT} frames failed" in done.said
        times = [item.time for item in open_video(tmp_path / "out.mp4") if isinstance(item, Frame)]
        assert times[-1] == Fraction(COUNT - 1, 25)


class TestSizes:
    def test_a_video_that_changes_its_size_is_kept_up_to_there(self, translate, tmp_path, partial_of):
        path = film(tmp_path / "a.ts", sizes=((64, 96), (96, 128)))
        done = translate(path, tmp_path / "out.mp4")
        assert (done.code, done.summary) == (3, {})
        assert f"changes its size at frame {COUNT}" in done.said
        assert played(partial_of(tmp_path / "out.mp4")) == COUNT
        assert not (tmp_path / "out.mp4").exists()

    def test_pictures_may_be_of_any_size(self, translate, tmp_path):
        path = film(tmp_path / "a.ts", sizes=((64, 96), (96, 128)))
        done = translate(path, tmp_path / "%03d.png")
        assert (done.code, done.summary["frames"]) == (0, 2 * COUNT)


def test_a_codec_that_nobody_knows(translate, tmp_path):
    path = film(tmp_path / "a.mkv")
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_NOBODY/ISO/9X"))
    done = translate(path, tmp_path / "out.mp4")
    assert (done.code, done.summary) == (3, {})
    assert "a.mkv is coded in a way that is not known here; convert it to H.264 first" in done.said
    assert [left.name for left in tmp_path.iterdir()] == ["a.mkv"]


def test_a_video_without_a_frame_leaves_nothing(translate, tmp_path):
    with video_sink(tmp_path / "a.mp4", 25) as write:
        write(Frame(np.zeros((16, 16, 3), np.uint8), Path("a")))
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    ((position, size, _),) = packets(tmp_path / "a.mp4")
    data[position : position + size] = b"\xff" * size
    (tmp_path / "a.mp4").write_bytes(data)
    done = translate(tmp_path / "a.mp4", tmp_path / "out.mp4")
    assert done.code == 3
    assert "holds no frame that can be decoded" in done.said
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
