"""`cyclegan translate` as its users meet it: files, exit codes, sentences."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from cyclegan_edge.runtime.sinks import write_picture
from cyclegan_edge.runtime.sources import Frame, read_picture
from cyclegan_edge.runtime.translator import Translator
from cyclegan_edge.runtime.video import open_video, video_sink

COMMAND = [sys.executable, "-c", "from cyclegan_edge.cli import main; main()", "translate"]
WITHOUT_PYAV = [sys.executable, "-c", "import sys; sys.modules['av'] = None; " + COMMAND[2], "translate"]


def files(folder: Path) -> list[str]:
    """The files of a folder, without a job's manifest."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.endswith(".cyclegan-manifest.jsonl"))


@pytest.fixture
def translate(cyclegan, negative):
    def run(given, output, *options) -> int:
        return cyclegan("translate", "-m", negative, "-i", given, "-o", output, *options)

    return run


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three pictures in a tree, of two sizes."""
    noise = np.random.default_rng(0)
    for name, height, width in (("a.png", 17, 30), ("below/a.png", 17, 30), ("below/deeper/c.ppm", 32, 32)):
        write_picture(tmp_path / "in" / name, noise.integers(0, 256, (height, width, 3), dtype=np.uint8))
    return tmp_path / "in"


@pytest.fixture
def clip(tmp_path) -> Path:
    path = tmp_path / "clip.mp4"
    with video_sink(path, 29.97) as write:
        for i in range(20):
            write(Frame(np.full((32, 48, 3), (200 - 5 * i, 10 * i, 60), np.uint8), path))
    return path


def assert_inverted(before: Path, after: Path) -> None:
    assert np.array_equal(read_picture(after), 255 - read_picture(before))


class TestPicturesAndFolders:
    @pytest.mark.parametrize("backend", ["auto", "openvino", "onnxruntime"])
    def test_a_picture(self, backend, translate, folder, tmp_path, capsys):
        assert translate(folder / "a.png", tmp_path / "new/out.png", "--backend", backend) == 0
        assert_inverted(folder / "a.png", tmp_path / "new/out.png")
        captured = capsys.readouterr()
        assert captured.out.startswith("translated 1, skipped 0, failed 0 · 1 frames, ")
        assert captured.out.count("\n") == 1
        assert files(tmp_path / "new") == ["out.png"]

    @pytest.mark.parametrize("batch_size", [1, 2, 8])
    def test_a_folder_keeps_its_tree(self, batch_size, translate, folder, tmp_path):
        assert translate(folder, tmp_path / "out", "--batch-size", batch_size) == 0
        assert files(tmp_path / "out") == files(folder)
        for name in files(folder):
            assert_inverted(folder / name, tmp_path / "out" / name)

    def test_a_second_run_makes_only_what_is_missing(self, translate, folder, tmp_path, capsys):
        assert translate(folder, tmp_path / "out", "--json") == 0
        (tmp_path / "out/a.png").unlink()
        kept = (tmp_path / "out/below/a.png").stat().st_mtime_ns
        capsys.readouterr()
        assert translate(folder, tmp_path / "out", "--json") == 0
        summary = json.loads(capsys.readouterr().out)
        assert (summary["translated"], summary["skipped"], summary["failed"]) == (1, 2, 0)
        assert_inverted(folder / "a.png", tmp_path / "out/a.png")
        assert (tmp_path / "out/below/a.png").stat().st_mtime_ns == kept
        assert translate(folder, tmp_path / "out", "--overwrite") == 0
        assert (tmp_path / "out/below/a.png").stat().st_mtime_ns > kept

    def test_a_damaged_picture_is_told_and_the_others_are_done(self, translate, folder, tmp_path, capsys, caplog):
        (folder / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
        assert translate(folder, tmp_path / "out", "--json") == 1
        captured = capsys.readouterr()
        summary = json.loads(captured.out)
        assert (summary["translated"], summary["failed"], summary["frames"]) == (3, 1, 3)
        assert summary["output"] == str(tmp_path / "out")
        assert "b.jpg is damaged" in caplog.text
        assert "cyclegan: 1 of 4 files failed; see above" in captured.err
        assert files(tmp_path / "out") == ["a.png", "below/a.png", "below/deeper/c.ppm"]

    def test_an_output_inside_the_input_is_not_translated_again(self, translate, folder):
        for _ in range(2):
            assert translate(folder, folder / "out", "--overwrite") == 0
        assert files(folder / "out") == ["a.png", "below/a.png", "below/deeper/c.ppm"]

    def test_stretching(self, translate, folder, tmp_path):
        assert translate(folder, tmp_path / "out", "--fit", "stretch", "--size", "16x24") == 0
        assert read_picture(tmp_path / "out/a.png").shape == (17, 30, 3)


class TestVideos:
    @pytest.mark.parametrize("batch_size", [1, 7])
    def test_count_size_and_rate_are_kept(self, batch_size, translate, clip, tmp_path, capsys):
        assert translate(clip, tmp_path / "out.mp4", "--batch-size", batch_size, "--json") == 0
        summary = json.loads(capsys.readouterr().out)
        assert (summary["translated"], summary["frames"], summary["output"]) == (1, 20, str(tmp_path / "out.mp4"))
        before, after = open_video(clip), open_video(tmp_path / "out.mp4")
        assert after.format.rate == before.format.rate
        pairs = list(zip(before, after, strict=True))
        assert len(pairs) == 20
        for one, other in pairs:
            assert one.pixels.shape == other.pixels.shape
            assert np.abs(255 - one.pixels.astype(int) - other.pixels).mean() < 6

    def test_a_finished_video_is_left_alone(self, translate, clip, tmp_path, capsys):
        (tmp_path / "out.mp4").write_text("finished")
        assert translate(clip, tmp_path / "out.mp4", "--json") == 0
        assert json.loads(capsys.readouterr().out)["skipped"] == 1
        assert (tmp_path / "out.mp4").read_text() == "finished"
        assert translate(clip, tmp_path / "out.mp4", "--overwrite") == 0
        assert open_video(tmp_path / "out.mp4").total == 20


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("given", "output", "options", "code", "message"),
        [
            ("in", "in", [], 2, "the output is the input"),
            ("clip.mp4", "clip.mp4", [], 2, "the output is the input"),
            ("in/a.png", "in", [], 2, "the output is the input"),
            ("in", "out", ["--backend", "onnx_runtime"], 2, "did you mean onnxruntime?"),
            ("in", "out", ["--device", "gpu"], 2, "no device is called 'gpu'"),
            ("in", "out", ["--fit", "stretch"], 2, "such as 256x256; see --size"),
            ("in", "out", ["--size", "64"], 2, "name one of them, or no size; see --fit, --size"),
            ("in", "out", ["--size", "64x"], 2, "is no size; write height x width"),
            ("in", "out", ["--batch-size", "0"], 2, "'--batch-size'"),
            ("in", "out", ["-m", "nothing.onnx"], 4, "there is no model file"),
            ("in", "out", ["-m", "damaged.onnx"], 4, "cannot load"),
            ("in", "out", ["-m", "latest.pt"], 4, "cyclegan export"),
            ("in", "out", ["--backend", "openvino", "--device", "cuda"], 4, "openvino does not run on cuda"),
            ("nothing", "out", [], 3, "there is no file or folder"),
            ("damaged.mp4", "out.mp4", [], 3, "is damaged or no video"),
            ("damaged.png", "out.png", [], 3, "is damaged or no picture"),
            ("in", "clip.mp4/out", [], 5, "cannot write"),
            ("in/a.png", "clip.mp4/out.png", [], 5, "cannot write"),
            ("clip.mp4", "in/a.png/out.mp4", [], 5, "cannot write"),
            ("clip.mp4", "/proc/out.mp4", [], 5, "cannot write"),
        ],
    )
    def test_in_one_sentence_and_with_nothing_written(
        self, given, output, options, code, message, translate, folder, clip, capsys, monkeypatch
    ):
        monkeypatch.chdir(clip.parent)
        for name in ("damaged.onnx", "latest.pt", "damaged.mp4", "damaged.png"):
            Path(name).write_bytes(b"damaged")
        before = {name: Path(name).read_bytes() for name in files(Path())}
        assert translate(given, output, *options) == code
        captured = capsys.readouterr()
        assert message in captured.err
        assert "Traceback" not in captured.err
        assert captured.out == ""
        assert {name: Path(name).read_bytes() for name in files(Path())} == before

    def test_a_folder_that_is_a_file_costs_what_belongs_there_only(self, translate, folder, tmp_path, caplog):
        (tmp_path / "out").mkdir()
        (tmp_path / "out/below").write_text("a file")
        assert translate(folder, tmp_path / "out") == 1
        assert "cannot write" in caplog.text
        assert files(tmp_path / "out") == ["a.png", "below"]
        assert_inverted(folder / "a.png", tmp_path / "out/a.png")


class TestInterruptions:
    @pytest.fixture
    def interrupted_at_the_third(self, monkeypatch):
        infer, calls = Translator.infer, []

        def interrupting(self, batch):
            calls.append(len(batch))
            if len(calls) == 3:
                raise KeyboardInterrupt
            return infer(self, batch)

        monkeypatch.setattr(Translator, "infer", interrupting)

    @pytest.mark.usefixtures("interrupted_at_the_third")
    def test_a_folder_keeps_what_was_written(self, translate, folder, tmp_path, capsys):
        assert translate(folder, tmp_path / "out") == 130
        captured = capsys.readouterr()
        assert (captured.out, captured.err.strip()) == ("", "cyclegan: interrupted")
        assert files(tmp_path / "out") == ["a.png", "below/a.png"]
        for name in files(tmp_path / "out"):
            assert_inverted(folder / name, tmp_path / "out" / name)

    @pytest.mark.usefixtures("interrupted_at_the_third")
    def test_a_video_leaves_the_old_one(self, translate, clip, tmp_path, partial_of):
        (tmp_path / "out.mp4").write_text("old")
        assert translate(clip, tmp_path / "out.mp4", "--overwrite") == 130
        assert (tmp_path / "out.mp4").read_text() == "old"
        assert files(tmp_path) == ["clip.mp4", "out.mp4", partial_of(tmp_path / "out.mp4").name]
        assert len(list(open_video(partial_of(tmp_path / "out.mp4")))) == 2


class TestAFullDisk:
    """A limit on the size of files stands in for it: writes beyond it fail in the same way."""

    def run(self, *arguments, command=COMMAND) -> subprocess.CompletedProcess[str]:
        limit = 20_000
        return subprocess.run(
            [*command, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".webm"])
    @pytest.mark.parametrize("library", ["pyav", "opencv"])
    def test_a_video_that_did_not_fit_is_an_error_and_keeps_what_can_be_played(
        self, library, suffix, negative, tmp_path, partial_of
    ):
        clip = tmp_path / "clip.mp4"
        noise = np.random.default_rng(0)
        with video_sink(clip, 25) as write:
            for _ in range(40):
                write(Frame(noise.integers(0, 256, (64, 64, 3), dtype=np.uint8), clip))
        command = COMMAND if library == "pyav" else WITHOUT_PYAV
        done = self.run("-m", negative, "-i", clip, "-o", tmp_path / f"out{suffix}", command=command)
        assert done.returncode == 5, done.stderr
        assert "make room on the disk" in done.stderr
        assert "Traceback" not in done.stderr
        left = files(tmp_path)
        assert left[0] == "clip.mp4"
        if len(left) > 1:
            assert left[1:] == [partial_of(tmp_path / f"out{suffix}").name]
            assert 0 < sum(isinstance(frame, Frame) for frame in open_video(tmp_path / left[1])) < 40

    def test_a_picture_that_did_not_fit(self, negative, tmp_path):
        picture = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
        write_picture(tmp_path / "in/a.png", picture)
        cv2.imwrite(str(tmp_path / "in/0.png"), picture[:16, :16])
        done = self.run("-m", negative, "-i", tmp_path / "in", "-o", tmp_path / "out")
        assert done.returncode == 5, done.stderr
        assert "File too large" in done.stderr
        assert files(tmp_path / "out") == ["0.png"]
