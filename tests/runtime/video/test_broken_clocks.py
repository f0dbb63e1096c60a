"""Films whose clock, rate or sound is not what it should be, and what becomes of them."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cyclegan_edge.runtime.errors import CycleganError
from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.video import open_video, video_sink

QUARTERS = np.repeat(
    np.repeat(np.array([[(220, 30, 30), (30, 220, 30)], [(30, 30, 220), (200, 200, 200)]], np.uint8), 24, 0), 32, 1
)


class TestBrokenClocks:
    @pytest.mark.parametrize("suffix", [".ts", ".mkv", ".mp4"])
    def test_a_film_that_starts_at_ten_hours_starts_at_zero(self, suffix, tmp_path, copy, with_sound, durations):
        late = with_sound(tmp_path / f"late{suffix}", start=36_000)
        assert min(durations(late)) > 36_000
        assert durations(copy(late, tmp_path / "out.mp4")) == pytest.approx([1, 1], abs=0.1)

    @pytest.mark.parametrize("codec", ["aac", None])
    @pytest.mark.parametrize("parts", [2, 3])
    def test_joined_parts_follow_one_another(self, codec, parts, tmp_path, caplog, film, copy, with_sound, durations):
        one = with_sound(tmp_path / "a.ts") if codec else film(tmp_path / "a.ts", stamps=range(0, 100, 4))
        (tmp_path / "joined.ts").write_bytes(one.read_bytes() * parts)
        with caplog.at_level("WARNING"):
            ends = durations(copy(tmp_path / "joined.ts", tmp_path / "out.mp4"))
        assert ends == pytest.approx([float(parts)] * len(ends), abs=0.1 * parts)
        assert len(list(open_video(tmp_path / "out.mp4"))) == 25 * parts
        assert caplog.text.count("its clock jumps") == 1
        assert "is not after the one before" not in caplog.text

    def test_a_jump_ahead_leaves_no_hole(self, tmp_path, copy, durations):
        with av.open(str(tmp_path / "gap.ts"), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.max_b_frames = 0
            for number in range(50):
                frame = av.VideoFrame.from_ndarray(QUARTERS, format="rgb24")
                frame.pts = number + (25 * 600 if number >= 25 else 0)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        assert durations(copy(tmp_path / "gap.ts", tmp_path / "out.mp4")) == pytest.approx([2], abs=0.1)

    def test_a_slide_that_stands_for_a_minute_is_no_jump(self, tmp_path, film, copy):
        source = film(tmp_path / "a.mkv", stamps=[0, 6000, 6100])
        times = [frame.time for frame in open_video(copy(source, tmp_path / "b.mp4"))]
        assert times == pytest.approx([0, 60, 61], abs=1e-3)

    @pytest.mark.parametrize("stamps", [[0, 4, 8, 20, 24], [0, 8, 12, 40, 44, 48]])
    def test_an_avi_repeats_frames_to_keep_the_time(self, stamps, tmp_path, film, copy):
        frames = list(open_video(copy(film(tmp_path / "a.mkv", stamps=stamps), tmp_path / "b.avi")))
        assert len(frames) == stamps[-1] // 4 + 1
        assert frames[-1].time - frames[0].time == pytest.approx(stamps[-1] / 100, abs=0.01)

    def test_empty_chunks_of_an_avi_are_no_loss(self, tmp_path):
        with av.open(str(tmp_path / "a.avi"), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for number in (*range(5), *range(7, 12)):
                frame = av.VideoFrame.from_ndarray(QUARTERS, format="rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        items = list(open_video(tmp_path / "a.avi"))
        assert [float(item.time) for item in items if isinstance(item, Frame)] == pytest.approx(
            [number / 25 for number in (*range(5), *range(7, 12))]
        )
        assert len(items) == 10

    def test_a_time_that_goes_back_is_an_error_of_the_length_and_told_once(self, tmp_path, caplog, film):
        video = open_video(film(tmp_path / "a.mkv", stamps=[0, 40]))
        times = (0, 1, 2, 0, Fraction(1, 25), Fraction(2, 25))

        def write_all() -> None:
            with video_sink(tmp_path / "b.mkv", 25, like=video.format) as write:
                for time in times:
                    write(Frame(QUARTERS, tmp_path, time=Fraction(time)))

        with pytest.raises(CycleganError, match="s off its source's length"):
            write_all()
        assert caplog.text.count("is not after the one before") == 1


def write_with_sound(path: Path, codec: str, layout: str) -> None:
    """Write a film of a second whose sound has some codec and layout of channels."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("wmv2" if path.suffix == ".wmv" else "libx264", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream(codec, rate=48_000)
        context = sound.codec_context
        context.layout, context.bit_rate = layout, 128_000
        context.open()
        resampler = av.AudioResampler(context.format, layout, 48_000, context.frame_size or None)
        frame = av.AudioFrame.from_ndarray(
            np.full((1, 48_000 * context.layout.nb_channels), 3000, np.int16), "s16", layout
        )
        frame.sample_rate = 48_000
        for _ in range(25):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(QUARTERS, format="rgb24")))
        container.mux(pictures.encode())
        ending = () if codec == "flac" else (None,)  # whose last packet is no sound
        for part in (*resampler.resample(frame), *resampler.resample(None), *ending):
            container.mux(sound.encode(part))


class TestSound:
    @pytest.mark.parametrize(
        ("suffix", "codec"), [(".webm", "opus"), (".mp4", "aac"), (".mkv", "aac"), (".mov", "aac")]
    )
    def test_it_is_copied_or_converted(self, suffix, codec, tmp_path, caplog, copy, with_sound):
        target = copy(with_sound(tmp_path / "a.mkv"), tmp_path / f"b{suffix}")
        with av.open(str(target)) as container:
            assert container.streams.audio[0].codec_context.name == codec
            samples = [frame.to_ndarray() for frame in container.decode(audio=0)]
        seconds = sum(part.shape[-1] for part in samples) / 48_000
        assert seconds == pytest.approx(1, abs=0.05)
        assert max(np.abs(part).max() for part in samples) == pytest.approx(8000 / 2**15, rel=0.4)
        assert ("aac audio becomes opus in webm" in caplog.text) == (codec == "opus")

    @pytest.mark.parametrize(
        ("codec", "layout", "suffix", "target", "written"),
        [
            ("ac3", "5.1(side)", ".mkv", ".webm", "opus"),  # Opus has its surround speakers elsewhere
            ("pcm_s16le", "hexadecagonal", ".mkv", ".webm", "opus"),  # no usual layout has 16
            ("wmav2", "mono", ".wmv", ".mp4", "aac"),  # says how many channels there are, not which
            ("flac", "mono", ".mkv", ".mov", "aac"),  # listed by the muxer, and refused
        ],
    )
    def test_sound_of_any_channels_is_converted(self, codec, layout, suffix, target, written, tmp_path, copy):
        write_with_sound(tmp_path / f"a{suffix}", codec, layout)
        with av.open(str(copy(tmp_path / f"a{suffix}", tmp_path / f"b{target}"))) as container:
            assert container.streams.audio[0].codec_context.name == written
            assert sum(part.samples for part in container.decode(audio=0)) == pytest.approx(48_000, rel=0.07)
        assert not [item for item in open_video(tmp_path / f"a{suffix}") if not isinstance(item, Frame)]

    def test_sound_that_changes_its_channels_is_converted_to_the_end(self, tmp_path, copy):
        parts = []
        for layout in ("mono", "stereo"):
            with av.open(str(tmp_path / f"{layout}.ts"), "w") as container:
                pictures, sound = container.add_stream("libx264", rate=25), container.add_stream("aac", rate=48_000)
                pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
                sound.codec_context.layout = layout
                for number in range(25):
                    container.mux(pictures.encode(av.VideoFrame.from_ndarray(QUARTERS, format="rgb24")))
                    channels = 1 if layout == "mono" else 2
                    tone = np.full((channels, 1920), 0.1, np.float32)
                    frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout=layout)
                    frame.sample_rate, frame.pts, frame.time_base = 48_000, 1920 * number, Fraction(1, 48_000)
                    for packet in sound.encode(frame):
                        container.mux(packet)
                container.mux(pictures.encode())
                container.mux(sound.encode())
            parts.append((tmp_path / f"{layout}.ts").read_bytes())
        (tmp_path / "joined.ts").write_bytes(b"".join(parts))
        with av.open(str(copy(tmp_path / "joined.ts", tmp_path / "out.webm"))) as container:
            seconds = sum(frame.samples for frame in container.decode(audio=0)) / 48_000
        assert seconds == pytest.approx(2, abs=0.2)


class TestInterlaced:
    @pytest.fixture
    def interlaced(self, tmp_path) -> Path:
        """A bright bar that moves, each frame of two times in its even and odd rows."""
        with av.open(str(tmp_path / "a.mkv"), "w") as container:
            stream = container.add_stream("mpeg2video", rate=25, options={"flags": "+ildct+ilme"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.bit_rate = 4_000_000
            graph = av.filter.Graph()
            source = graph.add_buffer(width=64, height=48, format="yuv420p", time_base=Fraction(1, 25))
            graph.link_nodes(source, graph.add("setfield", "tff"), graph.add("buffersink")).configure()
            for number in range(10):
                picture = np.full((48, 64, 3), 40, np.uint8)
                for field in (0, 1):
                    left = 4 * (2 * number + field) % 48
                    picture[field::2, left : left + 16] = 220
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                graph.push(frame)
                container.mux(stream.encode(graph.vpull()))
            container.mux(stream.encode())
        return tmp_path / "a.mkv"

    def combing(self, frames) -> float:
        """How much more the rows differ from their neighbours than from the next but one."""
        inner = [frame.pixels[8:40].astype(int) for frame in frames[2:8]]
        near = np.mean([np.abs(pixels[1:] - pixels[:-1]).mean() for pixels in inner])
        far = np.mean([np.abs(pixels[2:] - pixels[:-2]).mean() for pixels in inner])
        return near - far

    def test_it_is_told_and_deinterlaced_on_request(self, interlaced, caplog):
        combed = list(open_video(interlaced))
        assert "is interlaced" in caplog.text
        assert "deinterlacing makes whole frames" in caplog.text
        caplog.clear()
        whole = list(open_video(interlaced, deinterlace=True))
        assert not caplog.text
        assert [frame.time for frame in whole] == [frame.time for frame in combed]
        assert self.combing(combed) > 15
        assert self.combing(whole) < 3
