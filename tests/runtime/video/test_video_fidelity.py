"""What a video is beside its frames comes through: orientation, colours, clock, subtitles, pixel shape."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cyclegan_edge.runtime.errors import CycleganError
from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.video import Encoding, open_video, video_sink

SHAPE = 48, 64
BT709, BT601, BT2020 = 1, 6, 9
LIMITED, FULL = 1, 2
SWS = {BT709: 1, BT601: 5, BT2020: 9}  # libswscale's numbers for H.273's
QUARTERS = np.repeat(
    np.repeat(np.array([[(220, 30, 30), (30, 220, 30)], [(30, 30, 220), (200, 200, 200)]], np.uint8), 24, 0), 32, 1
)


def film(path: Path, picture=QUARTERS, *, stamps=range(6), matrix=BT709, colour_range=LIMITED, tagged=True, turn=None):
    """A video of one picture, in the given colours, at time stamps of a hundredth of a second."""
    height, width = picture.shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        context = stream.codec_context
        context.time_base = Fraction(1, 100)
        context.color_range = colour_range
        if tagged:
            context.colorspace = matrix
        if turn:
            stream.set_display_rotation(*turn)
        for stamp in stamps:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format="yuv444p", src_color_range=FULL, dst_colorspace=SWS[matrix], dst_color_range=colour_range
            )
            frame.pts, frame.time_base = stamp, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def copy(source: Path, target: Path, **encoding) -> Path:
    """Write a video again as a run does whose model changes nothing."""
    video = open_video(source)
    with video_sink(target, video.format.rate, like=video.format, encoding=Encoding(crf=1, **encoding)) as write:
        for frame in video:
            assert isinstance(frame, Frame), frame
            write(frame)
    return target


def first(path: Path) -> np.ndarray:
    return next(frame.pixels for frame in open_video(path)).astype(int)


def difference(path: Path, picture: np.ndarray) -> float:
    """The largest difference from a picture in the middle of its quarters: coarser colour blurs their borders."""
    pixels = first(path)
    assert pixels.shape == picture.shape
    height, width = picture.shape[0] // 4, picture.shape[1] // 4
    return np.abs(pixels - picture)[height :: 2 * height, width :: 2 * width].max()


class TestOrientation:
    """Turned by the display matrix: counter-clockwise degrees, then mirrored left to right or upside down."""

    @pytest.mark.parametrize("degrees", [0, 90, 180, 270])
    @pytest.mark.parametrize("mirrored", [(False, False), (True, False), (False, True)])
    def test_it_is_applied_once(self, degrees, mirrored, tmp_path):
        upright = np.rot90(QUARTERS, degrees // 90)
        upright = upright[:, ::-1] if mirrored[0] else upright[::-1] if mirrored[1] else upright
        film(tmp_path / "a.mp4", turn=(degrees, *mirrored))
        assert difference(tmp_path / "a.mp4", upright) < 8
        copy(tmp_path / "a.mp4", tmp_path / "b.mp4")
        assert difference(tmp_path / "b.mp4", upright) < 12
        with av.open(str(tmp_path / "b.mp4")) as container:
            frame = next(container.decode(video=0))
            assert (frame.height, frame.width) == upright.shape[:2]
            assert "DISPLAYMATRIX" not in [side.type.name for side in frame.side_data]


class TestColours:
    @pytest.mark.parametrize("matrix", [BT709, BT601, BT2020])
    @pytest.mark.parametrize("colour_range", [LIMITED, FULL])
    def test_the_tagged_matrix_and_range_are_used_and_told(self, matrix, colour_range, tmp_path):
        film(tmp_path / "a.mkv", matrix=matrix, colour_range=colour_range)
        assert difference(tmp_path / "a.mkv", QUARTERS) < 6
        copy(tmp_path / "a.mkv", tmp_path / "b.mkv")
        assert difference(tmp_path / "b.mkv", QUARTERS) < 8
        with av.open(str(tmp_path / "b.mkv")) as container:
            context = container.streams.video[0].codec_context
            assert (context.colorspace, context.color_range) == (matrix, LIMITED)

    @pytest.mark.parametrize(("height", "matrix"), [(48, BT601), (720, BT709)])
    def test_without_a_tag_the_height_decides(self, height, matrix, tmp_path):
        picture = np.repeat(QUARTERS, height // 48, 0)
        film(tmp_path / "a.mkv", picture, matrix=matrix, tagged=False, stamps=[0])
        assert difference(tmp_path / "a.mkv", picture) < 6

    def test_black_and_white_stay_so(self, tmp_path):
        ramp = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 48, 0).repeat(3, 2)
        for colour_range in (LIMITED, FULL):
            film(tmp_path / "a.mkv", ramp, colour_range=colour_range)
            copy(tmp_path / "a.mkv", tmp_path / "b.mkv")
            levels = first(tmp_path / "b.mkv")[24, :, 0]
            assert (levels[0], levels[-1]) == (pytest.approx(0, abs=3), pytest.approx(255, abs=3))
            assert np.abs(levels - ramp[24, :, 0]).max() < 8


class TestClock:
    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm"])
    def test_a_variable_rate_is_kept(self, suffix, tmp_path):
        stamps = [0, 3, 7, 8, 31, 33, 100, 104]
        source = film(tmp_path / "a.mkv", stamps=stamps)
        target = copy(source, tmp_path / f"b{suffix}")
        assert [frame.time for frame in open_video(target)] == pytest.approx(
            [stamp / 100 for stamp in stamps], abs=1e-3
        )

    def test_the_shape_of_pixels_is_kept(self, tmp_path):
        with av.open(str(tmp_path / "a.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(QUARTERS, format="rgb24")))
            container.mux(stream.encode())
        copy(tmp_path / "a.mp4", tmp_path / "b.mkv")
        assert open_video(tmp_path / "b.mkv").format.pixel_aspect == Fraction(16, 11)


def with_sound(path: Path, codec: str = "aac", start: int = 0) -> Path:
    """A video of a second with a tone, which starts at some second."""
    with av.open(str(path), "w") as container:
        pictures, sound = container.add_stream("libx264", rate=25), container.add_stream(codec, rate=48_000)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound.codec_context.layout = "mono"
        tone = (np.sin(np.arange(48_000) * 2 * np.pi * 440 / 48_000) * 8000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 48_000 * start, Fraction(1, 48_000)
        resampler = av.AudioResampler(sound.codec_context.format, "mono", 48_000)
        for number in range(25):
            picture = av.VideoFrame.from_ndarray(QUARTERS, format="rgb24")
            picture.pts, picture.time_base = number + 25 * start, Fraction(1, 25)
            container.mux(pictures.encode(picture))
        container.mux(pictures.encode())
        for part in resampler.resample(frame):
            container.mux(sound.encode(part))
        container.mux(sound.encode())
    return path


def durations(path: Path) -> list[float]:
    """How long each stream's packets reach, from zero."""
    with av.open(str(path)) as container:
        ends = {}
        for packet in container.demux():
            if packet.pts is not None:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                ends[packet.stream_index] = max(end, ends.get(packet.stream_index, 0))
        return [ends[index] for index in sorted(ends)]


class TestBrokenClocks:
    @pytest.mark.parametrize("suffix", [".ts", ".mkv", ".mp4"])
    def test_a_film_that_starts_at_ten_hours_starts_at_zero(self, suffix, tmp_path):
        late = with_sound(tmp_path / f"late{suffix}", start=36_000)
        assert min(durations(late)) > 36_000
        assert durations(copy(late, tmp_path / "out.mp4")) == pytest.approx([1, 1], abs=0.1)

    @pytest.mark.parametrize("codec", ["aac", None])
    @pytest.mark.parametrize("parts", [2, 3])
    def test_joined_parts_follow_one_another(self, codec, parts, tmp_path, caplog):
        one = with_sound(tmp_path / "a.ts") if codec else film(tmp_path / "a.ts", stamps=range(0, 100, 4))
        (tmp_path / "joined.ts").write_bytes(one.read_bytes() * parts)
        with caplog.at_level("WARNING"):
            ends = durations(copy(tmp_path / "joined.ts", tmp_path / "out.mp4"))
        assert ends == pytest.approx([float(parts)] * len(ends), abs=0.1 * parts)
        assert len(list(open_video(tmp_path / "out.mp4"))) == 25 * parts
        assert caplog.text.count("its clock jumps") == 1
        assert "is not after the one before" not in caplog.text

    def test_a_jump_ahead_leaves_no_hole(self, tmp_path):
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

    def test_a_slide_that_stands_for_a_minute_is_no_jump(self, tmp_path):
        source = film(tmp_path / "a.mkv", stamps=[0, 6000, 6100])
        times = [frame.time for frame in open_video(copy(source, tmp_path / "b.mp4"))]
        assert times == pytest.approx([0, 60, 61], abs=1e-3)

    @pytest.mark.parametrize("stamps", [[0, 4, 8, 20, 24], [0, 8, 12, 40, 44, 48]])
    def test_an_avi_repeats_frames_to_keep_the_time(self, stamps, tmp_path):
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

    def test_a_time_that_goes_back_is_an_error_of_the_length_and_told_once(self, tmp_path, caplog):
        video = open_video(film(tmp_path / "a.mkv", stamps=[0, 40]))
        times = (0, 1, 2, 0, Fraction(1, 25), Fraction(2, 25))

        def write_all() -> None:
            with video_sink(tmp_path / "b.mkv", 25, like=video.format) as write:
                for time in times:
                    write(Frame(QUARTERS, tmp_path, time=Fraction(time)))

        with pytest.raises(CycleganError, match="s off its source's length"):
            write_all()
        assert caplog.text.count("is not after the one before") == 1


class TestSound:
    @pytest.mark.parametrize(
        ("suffix", "codec"), [(".webm", "opus"), (".mp4", "aac"), (".mkv", "aac"), (".mov", "aac")]
    )
    def test_it_is_copied_or_converted(self, suffix, codec, tmp_path, caplog):
        target = copy(with_sound(tmp_path / "a.mkv"), tmp_path / f"b{suffix}")
        with av.open(str(target)) as container:
            assert container.streams.audio[0].codec_context.name == codec
            samples = [frame.to_ndarray() for frame in container.decode(audio=0)]
        seconds = sum(part.shape[-1] for part in samples) / 48_000
        assert seconds == pytest.approx(1, abs=0.05)
        assert max(np.abs(part).max() for part in samples) == pytest.approx(8000 / 2**15, rel=0.4)
        assert ("aac audio becomes opus in webm" in caplog.text) == (codec == "opus")


class TestShape:
    def test_a_quarter_turn_exchanges_the_sides_of_pixels(self, tmp_path):
        with av.open(str(tmp_path / "a.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
            stream.set_display_rotation(90, False, False)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(QUARTERS, format="rgb24")))
            container.mux(stream.encode())
        copy(tmp_path / "a.mp4", tmp_path / "b.mkv")
        written = open_video(tmp_path / "b.mkv")
        assert written.format.pixel_aspect == Fraction(11, 16)
        assert next(iter(written)).pixels.shape == (64, 48, 3)

    @pytest.mark.parametrize(("suffix", "tag"), [(".mp4", "hvc1"), (".mov", "hvc1")])
    def test_h265_bears_the_tag_that_every_player_knows(self, suffix, tag, tmp_path):
        copy(film(tmp_path / "a.mkv"), tmp_path / f"b{suffix}", codec="h265")
        with av.open(str(tmp_path / f"b{suffix}")) as container:
            assert container.streams.video[0].codec_context.codec_tag == tag


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
        assert "--deinterlace" in caplog.text
        caplog.clear()
        whole = list(open_video(interlaced, deinterlace=True))
        assert not caplog.text
        assert [frame.time for frame in whole] == [frame.time for frame in combed]
        assert self.combing(combed) > 15
        assert self.combing(whole) < 3


class TestSubtitles:
    TEXTS = (b"One", "Zwei – größer".encode(), b"Three")

    @pytest.fixture
    def titled(self, tmp_path) -> Path:
        """A video with three subtitles."""
        lines = [f"{i + 1}\n00:00:00,{i}00 --> 00:00:00,{i}80\n{text.decode()}\n" for i, text in enumerate(self.TEXTS)]
        (tmp_path / "a.srt").write_text("\n".join(lines), encoding="utf-8")
        film(tmp_path / "silent.mkv", stamps=range(0, 40, 4))
        with (
            av.open(str(tmp_path / "a.mkv"), "w") as container,
            av.open(str(tmp_path / "silent.mkv")) as silent,
            av.open(str(tmp_path / "a.srt")) as titles,
        ):
            pairs = [(part, container.add_stream_from_template(part.streams[0])) for part in (silent, titles)]
            pairs[1][1].metadata.update(language="deu", title="In other words")
            packets = [(packet, stream) for part, stream in pairs for packet in part.demux() if packet.dts is not None]
            for packet, stream in sorted(packets, key=lambda pair: pair[0].dts * pair[0].time_base):
                packet.stream = stream
                container.mux(packet)
        return tmp_path / "a.mkv"

    def test_they_are_copied_with_their_times_and_language(self, titled, tmp_path):
        copy(titled, tmp_path / "b.mkv")
        seen = []
        for path in (titled, tmp_path / "b.mkv"):
            with av.open(str(path)) as container:
                stream = container.streams.subtitles[0]
                packets = [(float(p.pts * p.time_base), bytes(p)) for p in container.demux(stream) if p.size]
                seen.append((stream.language, packets))
        assert seen[0] == seen[1]
        assert tuple(text for _, text in seen[1][1]) == self.TEXTS
        assert seen[1][0] == "deu"

    def test_a_container_that_cannot_hold_them_is_told(self, titled, tmp_path, caplog):
        copy(titled, tmp_path / "b.avi")
        assert "srt subtitle does not go into avi and is left out; name the output .mkv" in caplog.text
        with av.open(str(tmp_path / "b.avi")) as container:
            assert [stream.type for stream in container.streams] == ["video"]

    @pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "mov_text"), (".mov", "mov_text"), (".webm", "webvtt")])
    def test_text_is_converted_where_the_container_holds_another_form(self, suffix, codec, titled, tmp_path, caplog):
        copy(titled, tmp_path / f"b{suffix}")
        assert f"srt subtitle becomes {codec}" in caplog.text
        with av.open(str(tmp_path / f"b{suffix}")) as container:
            stream = container.streams.subtitles[0]
            assert stream.codec_context.name == codec
            assert stream.language == "deu" or suffix == ".mov"  # QuickTime has codes of its own
            packets = [(float(p.pts * p.time_base), bytes(p)) for p in container.demux(stream) if p.size > 2]
        assert [time for time, _ in packets] == pytest.approx([0.0, 0.1, 0.2], abs=0.002)
        assert all(text in packet for text, (_, packet) in zip(self.TEXTS, packets, strict=True))

    def test_a_title_in_another_encoding_comes_through(self, titled, tmp_path):
        latin = "Übersetzungen.".encode("latin-1")
        titled.write_bytes(titled.read_bytes().replace(b"In other words", latin))
        assert latin in copy(titled, tmp_path / "b.mkv").read_bytes()

    def test_they_can_be_left_out(self, titled, tmp_path):
        copy(titled, tmp_path / "b.mkv", copy_streams=False)
        with av.open(str(tmp_path / "b.mkv")) as container:
            assert [stream.type for stream in container.streams] == ["video"]
