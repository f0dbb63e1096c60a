"""What a video is beside its frames comes through: orientation, colours, clock, subtitles, pixel shape."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cyclegan_edge.runtime.video import conversion, open_video

SHAPE = 48, 64
BT709, BT601, BT2020 = 1, 6, 9
LIMITED, FULL = 1, 2
SWS = {BT709: 1, BT601: 5, BT2020: 9}  # libswscale's numbers for H.273's
QUARTERS = np.repeat(
    np.repeat(np.array([[(220, 30, 30), (30, 220, 30)], [(30, 30, 220), (200, 200, 200)]], np.uint8), 24, 0), 32, 1
)


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
    def test_it_is_applied_once(self, degrees, mirrored, tmp_path, film, copy):
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
    def test_the_tagged_matrix_and_range_are_used_and_told(self, matrix, colour_range, tmp_path, film, copy):
        film(tmp_path / "a.mkv", matrix=matrix, colour_range=colour_range)
        assert difference(tmp_path / "a.mkv", QUARTERS) < 6
        copy(tmp_path / "a.mkv", tmp_path / "b.mkv")
        assert difference(tmp_path / "b.mkv", QUARTERS) < 8
        with av.open(str(tmp_path / "b.mkv")) as container:
            context = container.streams.video[0].codec_context
            assert (context.colorspace, context.color_range) == (matrix, LIMITED)

    @pytest.mark.parametrize(("height", "matrix"), [(48, BT601), (720, BT709)])
    def test_without_a_tag_the_height_decides(self, height, matrix, tmp_path, film):
        picture = np.repeat(QUARTERS, height // 48, 0)
        film(tmp_path / "a.mkv", picture, matrix=matrix, tagged=False, stamps=[0])
        assert difference(tmp_path / "a.mkv", picture) < 6

    def test_black_and_white_stay_so(self, tmp_path, film, copy):
        ramp = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 48, 0).repeat(3, 2)
        for colour_range in (LIMITED, FULL):
            film(tmp_path / "a.mkv", ramp, colour_range=colour_range)
            copy(tmp_path / "a.mkv", tmp_path / "b.mkv")
            levels = first(tmp_path / "b.mkv")[24, :, 0]
            assert (levels[0], levels[-1]) == (pytest.approx(0, abs=3), pytest.approx(255, abs=3))
            assert np.abs(levels - ramp[24, :, 0]).max() < 8


class TestClock:
    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm"])
    def test_a_variable_rate_is_kept(self, suffix, tmp_path, film, copy):
        stamps = [0, 3, 7, 8, 31, 33, 100, 104]
        source = film(tmp_path / "a.mkv", stamps=stamps)
        target = copy(source, tmp_path / f"b{suffix}")
        assert [frame.time for frame in open_video(target)] == pytest.approx(
            [stamp / 100 for stamp in stamps], abs=1e-3
        )

    def test_the_shape_of_pixels_is_kept(self, tmp_path, copy):
        with av.open(str(tmp_path / "a.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(QUARTERS, format="rgb24")))
            container.mux(stream.encode())
        copy(tmp_path / "a.mp4", tmp_path / "b.mkv")
        assert open_video(tmp_path / "b.mkv").format.pixel_aspect == Fraction(16, 11)


class TestShape:
    def test_a_quarter_turn_exchanges_the_sides_of_pixels(self, tmp_path, copy):
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

    def test_the_containers_word_on_the_shape_of_pixels_counts(self, tmp_path):
        with av.open(str(tmp_path / "a.3gp"), "w") as container:
            stream = container.add_stream("h263", rate=25)  # whose own size of 128x96 has pixels of 12:11
            stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
            stream.codec_context.sample_aspect_ratio = Fraction(1)
            picture = QUARTERS.repeat(2, 0).repeat(2, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        with av.open(str(tmp_path / "a.3gp")) as container:
            expected = container.streams.video[0].sample_aspect_ratio
        assert open_video(tmp_path / "a.3gp").format.pixel_aspect == expected == 1

    @pytest.mark.parametrize(("suffix", "tag"), [(".mp4", "hvc1"), (".mov", "hvc1")])
    def test_h265_bears_the_tag_that_every_player_knows(self, suffix, tag, tmp_path, film, copy):
        copy(film(tmp_path / "a.mkv"), tmp_path / f"b{suffix}", codec="h265")
        with av.open(str(tmp_path / f"b{suffix}")) as container:
            assert container.streams.video[0].codec_context.codec_tag == tag


class TestSubtitles:
    TEXTS = (b"One", "Zwei – größer".encode(), b"Three")

    @pytest.fixture
    def titled(self, tmp_path, film) -> Path:
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

    def test_they_are_copied_with_their_times_and_language(self, titled, tmp_path, copy):
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

    def test_a_container_that_cannot_hold_them_is_told(self, titled, tmp_path, caplog, copy):
        copy(titled, tmp_path / "b.avi")
        assert "srt subtitle does not go into avi and is left out; name the output .mkv" in caplog.text
        with av.open(str(tmp_path / "b.avi")) as container:
            assert [stream.type for stream in container.streams] == ["video"]

    @pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "mov_text"), (".mov", "mov_text"), (".webm", "webvtt")])
    def test_text_is_converted_where_the_container_holds_another_form(
        self, suffix, codec, titled, tmp_path, caplog, copy
    ):
        copy(titled, tmp_path / f"b{suffix}")
        assert f"srt subtitle becomes {codec}" in caplog.text
        with av.open(str(tmp_path / f"b{suffix}")) as container:
            stream = container.streams.subtitles[0]
            assert stream.codec_context.name == codec
            assert stream.language == "deu" or suffix == ".mov"  # QuickTime has codes of its own
            packets = [(float(p.pts * p.time_base), bytes(p)) for p in container.demux(stream) if p.size > 2]
        assert [time for time, _ in packets] == pytest.approx([0.0, 0.1, 0.2], abs=0.002)
        assert all(text in packet for text, (_, packet) in zip(self.TEXTS, packets, strict=True))

    def test_a_damaged_subtitle_costs_itself_only(self, titled, tmp_path, caplog, copy, monkeypatch):
        convert = av.subtitles.codeccontext.SubtitleCodecContext.decode2

        class Damaged:
            """A decoder whose second packet is broken."""

            def __init__(self, context) -> None:
                self._context, self._number = context, 0

            def __getattr__(self, name):
                return getattr(self._context, name)

            def decode2(self, packet):
                self._number += 1
                if self._number == 2:
                    raise av.InvalidDataError(1, "damaged")
                return convert(self._context, packet)

        class Stream:
            """A stream with that decoder."""

            def __init__(self, stream) -> None:
                self.codec_context, self.time_base = Damaged(stream.codec_context), stream.time_base

        plain = conversion.ConvertedText.__init__
        monkeypatch.setattr(
            conversion.ConvertedText, "__init__", lambda text, stream, *rest: plain(text, Stream(stream), *rest)
        )
        copy(titled, tmp_path / "b.mp4")
        assert "a subtitle cannot be read and is left out" in caplog.text
        with av.open(str(tmp_path / "b.mp4")) as container:
            packets = [bytes(p) for p in container.demux(container.streams.subtitles[0]) if p.size > 2]
        assert all(text in packet for text, packet in zip(self.TEXTS[::2], packets, strict=True))

    def test_a_title_in_another_encoding_comes_through(self, titled, tmp_path, copy):
        latin = "Übersetzungen.".encode("latin-1")
        titled.write_bytes(titled.read_bytes().replace(b"In other words", latin))
        assert latin in copy(titled, tmp_path / "b.mkv").read_bytes()

    def test_they_can_be_left_out(self, titled, tmp_path, copy):
        copy(titled, tmp_path / "b.mkv", copy_streams=False)
        with av.open(str(tmp_path / "b.mkv")) as container:
            assert [stream.type for stream in container.streams] == ["video"]
