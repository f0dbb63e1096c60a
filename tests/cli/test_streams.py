"""`cyclegan translate` on moving sources, through the real command: fidelity, policies, signals and faults."""

import json
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.sources.bars import read_barcode
from cyclegan_edge.runtime.video import open_video

COMMAND = [sys.executable, "-c", "from cyclegan_edge.cli import main; main()", "translate"]


@pytest.fixture
def translate(negative):
    def run(given, *outputs, options=(), **settings) -> subprocess.CompletedProcess[bytes]:
        arguments = [*COMMAND, "-m", negative, "-i", given, "--json", *options]
        for output in outputs:
            arguments += ["-o", output]
        return subprocess.run([str(argument) for argument in arguments], capture_output=True, timeout=120, **settings)

    return run


def numbers(path: Path) -> list[int]:
    return [read_barcode(frame.pixels).number for frame in open_video(path) if isinstance(frame, Frame)]


def film(path: Path, stamps: list[int]) -> None:
    """A video of variable frame rate, in BT.709, with a tone beside it."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=30, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = 128, 80, "yuv420p"
        context = video.codec_context
        context.time_base = Fraction(1, 90_000)
        context.colorspace = context.color_primaries = context.color_trc = 1
        context.color_range = 1
        sound = container.add_stream("aac", rate=48_000, layout="mono")
        tone = (np.sin(np.arange(48_000 * 2) / 20) * 0.3).astype(np.float32)
        for start in range(0, len(tone), 1024):
            piece = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = 48_000, start, Fraction(1, 48_000)
            container.mux(sound.encode(piece))
        container.mux(sound.encode())
        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(np.full((80, 128, 3), 20 + 4 * number, np.uint8), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=1, dst_color_range=1)
            frame.pts, frame.time_base = stamp, Fraction(1, 90_000)
            container.mux(video.encode(frame))
        container.mux(video.encode())


class TestFidelity:
    def test_stamps_sound_and_colour_tags_are_those_of_the_source(self, translate, tmp_path):
        stamps = [0, 3003, 6006, 12_000, 15_003, 40_000, 43_003, 46_006, 90_000, 93_003]
        film(tmp_path / "in.mp4", stamps)
        done = translate(tmp_path / "in.mp4", tmp_path / "out.mp4")
        assert done.returncode == 0, done.stderr.decode()
        with av.open(str(tmp_path / "in.mp4")) as before, av.open(str(tmp_path / "out.mp4")) as after:
            seen = [float(frame.time) for frame in after.decode(video=0)]
            assert seen == pytest.approx([stamp / 90_000 for stamp in stamps], abs=1e-4)
            context = after.streams.video[0].codec_context
            assert (context.name, context.colorspace, context.color_range, context.color_primaries) == ("h264", 1, 1, 1)
            after.seek(0)
            sounds = [
                [bytes(packet) for packet in container.demux(audio=0) if packet.size] for container in (before, after)
            ]
            assert sounds[0] == sounds[1]
            assert len(sounds[0]) > 50

    def test_sound_can_be_left_out(self, translate, tmp_path):
        film(tmp_path / "in.mp4", [0, 3000, 6000])
        assert translate(tmp_path / "in.mp4", tmp_path / "out.mp4", options=["--no-audio"]).returncode == 0
        with av.open(str(tmp_path / "out.mp4")) as container:
            assert [stream.type for stream in container.streams] == ["video"]


class TestPolicies:
    def test_every_frame_of_a_finite_source(self, translate, tmp_path):
        done = translate("test:bars?size=64x48&frames=90", tmp_path / "a.mp4", "null")
        summary = json.loads(done.stdout)
        assert (done.returncode, summary["read"], summary["frames"], summary["dropped"]) == (0, 90, 90, {})
        assert numbers(tmp_path / "a.mp4") == list(range(90))

    def test_the_newest_of_a_live_one_with_counts_that_add_up(self, translate, tmp_path):
        done = translate("test:bars?size=64x48&frames=60&fps=200&live=yes", tmp_path / "a.mp4")
        summary = json.loads(done.stdout)
        seen = numbers(tmp_path / "a.mp4")
        assert done.returncode == 0
        assert summary["read"] == 60 == len(seen) + sum(summary["dropped"].values())
        assert seen == sorted(set(seen))

    def test_a_live_one_whole_when_told(self, translate, tmp_path):
        given = "test:bars?size=64x48&frames=40&fps=200&live=yes"
        done = translate(given, tmp_path / "a.mp4", options=["--policy", "lossless"])
        assert json.loads(done.stdout)["dropped"] == {}
        assert numbers(tmp_path / "a.mp4") == list(range(40))


class TestRawFrames:
    def test_from_standard_input_to_standard_output(self, translate):
        pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 8, 3), dtype=np.uint8)
        done = translate("-?size=8x6", "-", input=pixels.tobytes())
        assert done.returncode == 0, done.stderr.decode()
        assert done.stdout == (255 - pixels).tobytes()
        assert b'"frames": 5' in done.stderr

    def test_an_end_in_mid_frame_is_a_failure(self, translate):
        done = translate("-?size=8x6", "null", input=bytes(8 * 6 * 3 + 5))
        assert done.returncode == 1
        assert json.loads(done.stdout)["failed"] == 1


class TestFaults:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_a_file_with_what_can_be_played(self, number, negative, tmp_path, partial_of):
        done = self.signalled("test:bars?size=128x80", number, negative, tmp_path / "a.mp4")
        assert done == 130
        assert list(tmp_path.iterdir()) == [partial_of(tmp_path / "a.mp4")]
        seen = numbers(partial_of(tmp_path / "a.mp4"))
        assert seen == list(range(len(seen)))
        assert seen

    def test_a_signal_ends_a_recording_well(self, negative, tmp_path):
        done = self.signalled("test:bars?size=128x80&fps=240&live=yes", signal.SIGINT, negative, tmp_path / "a.mp4")
        assert done == 130
        assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
        assert numbers(tmp_path / "a.mp4")

    def test_a_kill_leaves_what_can_be_played(self, negative, tmp_path, partial_of):
        done = self.signalled("test:bars?size=128x80", signal.SIGKILL, negative, tmp_path / "a.mp4", size=100_000)
        assert done == -signal.SIGKILL
        assert list(tmp_path.iterdir()) == [partial_of(tmp_path / "a.mp4")]
        assert len(numbers(partial_of(tmp_path / "a.mp4"))) > 30

    def signalled(self, given: str, number: int, negative: Path, output: Path, size: int = 1000) -> int:
        """Send a signal once so many bytes were written; give the exit code."""
        plenty = ["--crf", "1", "--preset", "ultrafast"]  # of bytes, which reach the disk in blocks of 256 KiB
        arguments = [*COMMAND, "-m", str(negative), "-i", given, "-o", str(output), *plenty]
        with subprocess.Popen(arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 60
            while not any(path.stat().st_size > size for path in output.parent.glob("a.partial-*.mp4")):
                assert time.monotonic() < deadline, "nothing was written"
                time.sleep(0.02)
            process.send_signal(number)
            return process.wait(60)

    def test_standard_output_on_a_full_disk(self, negative):
        with Path("/dev/full").open("wb") as full:
            arguments = [*COMMAND, "-m", str(negative), "-i", "test:bars?size=64x48&frames=500", "-o", "-"]
            done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, timeout=120)
        assert done.returncode == 5
        assert b"No space left on device" in done.stderr
