"""Folder jobs: what is left to do, what becomes of each file, and what a kill leaves behind."""

import errno
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Timer

import numpy as np
import pytest

from cyclegan_edge.runtime import files
from cyclegan_edge.runtime.errors import BackendError, FileOutputError, InputError, OutputError, UsageError
from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.jobs.fingerprint import Fingerprint
from cyclegan_edge.runtime.jobs.job import FolderJob, plan, watch
from cyclegan_edge.runtime.jobs.manifest import NAME, Manifest
from cyclegan_edge.runtime.jobs.names import folds_names
from cyclegan_edge.runtime.sinks import write_picture
from cyclegan_edge.runtime.sources import read_picture
from cyclegan_edge.runtime.stats import Stats

NAMES = ["a.png", "below/a.png", "below/b.ppm", "c.png"]
FINGERPRINT = Fingerprint("model", "options")


def inverting(source, sink, one_by_one=False) -> Stats:
    """What the pipeline does, in one thread."""
    stats = Stats()
    with sink as write:
        for item in source:
            if not isinstance(item, InputError):
                write(Frame(255 - item.pixels, item.name))
    return stats


def failing_on(*poisons: str, calls: list[bool] | None = None) -> Callable[..., Stats]:
    """A pipeline whose engine fails on some files."""

    def translate(source, sink, one_by_one) -> Stats:
        if calls is not None:
            calls.append(one_by_one)
        with sink as write:
            for item in source:
                if isinstance(item, InputError):
                    continue
                if item.name.as_posix() in poisons:
                    raise BackendError(f"the engine failed on {item.name}")
                write(item)
        return Stats()

    return translate


@pytest.fixture
def root(tmp_path) -> Path:
    noise = np.random.default_rng(0)
    for name in NAMES:
        write_picture(tmp_path / "in" / name, noise.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return tmp_path / "in"


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def planned(root, output):
    """Plan as a new process would: with the manifest that lies on the disk."""
    with ExitStack() as manifests:

        def make(fingerprint=FINGERPRINT, **options) -> FolderJob:
            manifests.close()  # that process is gone
            return plan(root, output, fingerprint, manifests.enter_context(Manifest(output / NAME)), **options)

        yield make


def todo(job: FolderJob) -> list[str]:
    return [name.as_posix() for name in job.todo]


class TestWhatIsLeftToDo:
    def test_everything_at_first_and_nothing_after(self, planned, root, output):
        job = planned()
        assert todo(job) == NAMES
        stats = job.run(inverting)
        assert (stats.read, stats.frames, stats.failed) == (4, 4, 0)
        for name in NAMES:
            assert np.array_equal(read_picture(output / name), 255 - read_picture(root / name))
        again = planned()
        assert (todo(again), again.skipped) == ([], 4)

    @pytest.mark.parametrize("fingerprint", [Fingerprint("other", "options"), Fingerprint("model", "other")])
    def test_everything_with_another_model_or_option(self, fingerprint, planned):
        planned().run(inverting)
        assert todo(planned(fingerprint)) == NAMES

    def test_a_file_that_changed(self, planned, root):
        planned().run(inverting)
        os.utime(root / "below/a.png", ns=(1, 1))
        assert todo(planned()) == ["below/a.png"]

    def test_a_result_that_is_gone(self, planned, output):
        planned().run(inverting)
        (output / "c.png").unlink()
        assert todo(planned()) == ["c.png"]

    def test_a_result_that_was_under_way_when_the_job_was_killed(self, planned, output):
        job = planned()
        job.start(Path("a.png"))
        write_picture(output / "a.png", np.zeros((8, 8, 3), np.uint8))  # whole, but nobody could write that down
        assert todo(planned()) == NAMES

    def test_somebody_elses_file_is_left_alone_unless_told(self, planned, output):
        output.mkdir()
        (output / "c.png").write_text("mine")
        job = planned()
        assert (todo(job), job.skipped) == (NAMES[:-1], 1)
        job.run(inverting)
        assert (output / "c.png").read_text() == "mine"
        assert todo(planned(overwrite=True)) == NAMES

    def test_files_that_failed_are_tried_again_when_asked_or_when_they_changed(self, planned, root):
        (root / "c.png").write_bytes(b"damaged")
        assert planned().run(inverting).failed == 1
        job = planned()
        assert (todo(job), job.skipped, job.failed_before) == ([], 3, 1)
        assert todo(planned(retry_failed=True)) == ["c.png"]
        write_picture(root / "c.png", np.zeros((8, 8, 3), np.uint8))
        assert todo(planned()) == ["c.png"]

    def test_a_file_that_disappears_while_the_job_is_planned_costs_itself_only(self, planned, root, monkeypatch):
        planned().run(inverting)
        os.utime(root / "a.png", ns=(1, 1))
        work = Fingerprint.work

        def vanishing(fingerprint, folder, name):
            if name.name == "c.png":
                (folder / name).unlink(missing_ok=True)
            return work(fingerprint, folder, name)

        monkeypatch.setattr(Fingerprint, "work", vanishing)
        job = planned()
        assert todo(job) == ["a.png", "c.png"]
        stats = job.run(inverting)
        assert (stats.frames, stats.failed) == (1, 1)

    def test_a_file_that_disappears_leaves_no_verdict(self, planned, root):
        job = planned()
        (root / "c.png").rename(root / "c.away")
        assert job.run(inverting).failed == 1
        (root / "c.away").rename(root / "c.png")
        assert todo(planned()) == ["c.png"]


class TestNames:
    def test_another_format(self, planned, output):
        planned(picture_format="webp").run(inverting)
        written = sorted(path.relative_to(output).as_posix() for path in output.rglob("*.*") if path.name != NAME)
        assert written == ["a.webp", "below/a.webp", "below/b.webp", "c.webp"]
        assert todo(planned(picture_format="webp")) == []

    def test_two_pictures_in_one_file_are_refused_before_anything_is_written(self, planned, root, output):
        write_picture(root / "below/a.ppm", np.zeros((8, 8, 3), np.uint8))
        with pytest.raises(UsageError, match=r"below/a\.png and below/a\.ppm would both") as caught:
            planned(picture_format="webp")
        assert caught.value.about == ("picture_format",)
        assert not output.exists()

    def test_names_that_differ_in_case_meet_where_the_file_system_folds_them(self, planned, root, monkeypatch):
        write_picture(root / "A.png", np.zeros((8, 8, 3), np.uint8))
        assert len(todo(planned())) == 5
        monkeypatch.setattr("cyclegan_edge.runtime.jobs.names.folds_names", lambda folder: True)
        with pytest.raises(UsageError, match=r"A\.png and a\.png would both"):
            planned()

    def test_this_file_system_is_asked_through_a_folder_that_need_not_exist(self, tmp_path):
        (tmp_path / "probe").touch()
        assert folds_names(tmp_path / "not" / "there") == (tmp_path / "PROBE").exists()

    def test_a_folder_in_the_place_of_a_result_is_refused(self, planned, output):
        (output / "c.png").mkdir(parents=True)
        with pytest.raises(UsageError, match="is a folder"):
            planned()

    def test_a_result_in_the_place_of_an_input_is_refused(self, root):
        with pytest.raises(UsageError, match="one of the inputs"):
            plan(root / "below", root / "below", FINGERPRINT, Manifest(root / NAME))


class TestFailures:
    def test_stopping_at_the_first(self, planned, root, output):
        (root / "below/a.png").write_bytes(b"damaged")
        job = planned(on_error="stop")
        with pytest.raises(InputError, match="is damaged"):
            job.run(inverting)
        assert (output / "a.png").exists()
        assert not (output / "c.png").exists()
        assert (todo(planned()), planned().failed_before) == (["below/b.ppm", "c.png"], 1)

    @pytest.mark.parametrize("poison", NAMES)
    def test_an_engine_that_fails_on_one_file_is_asked_one_by_one_and_the_others_are_done(self, poison, planned):
        calls = []
        job = planned()
        stats = job.run(failing_on(poison, calls=calls))
        assert (stats.frames, stats.failed) == (3, 1)
        assert calls == [False, True, *([True] if poison != NAMES[-1] else [])]
        record = planned().manifest.get(poison)
        assert (record.status, record.error) == ("failed", f"the engine failed on {poison}")

    @pytest.mark.parametrize("poison", ["below/a.png", "c.png"])
    def test_an_engine_that_fails_on_a_picture_is_no_fault_of_the_films_before_it(self, poison, planned, root):
        for name in ("0.mp4", "b.mp4"):
            (root / name).write_bytes(b"a film")
        films = []
        job = planned()
        stats = job.run(failing_on(poison), lambda path, target: films.append(path.name))
        assert (stats.frames, stats.failed) == (5, 1)
        assert sorted(films) == ["0.mp4", "b.mp4"]  # each once
        assert planned().manifest.get(poison).status == "failed"

    def test_an_engine_that_fails_twice_in_a_row_is_broken_and_no_file_is_blamed(self, planned):
        with pytest.raises(BackendError):
            planned().run(failing_on("below/a.png", "below/b.ppm"))
        assert todo(planned()) == NAMES[1:]

    def test_an_engine_that_fails_on_the_only_file_is_broken(self, planned, root):
        for name in NAMES[1:]:
            (root / name).unlink()
        with pytest.raises(BackendError):
            planned().run(failing_on("a.png"))

    def test_an_engine_that_fails_now_and_then_loses_those_files_only(self, planned):
        stats = planned().run(failing_on("a.png", "below/b.ppm"))
        assert (stats.frames, stats.failed) == (2, 2)

    def test_with_stop_the_engines_failure_ends_the_job(self, planned):
        with pytest.raises(BackendError):
            planned(on_error="stop").run(failing_on("c.png"))

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
    def test_a_place_that_cannot_be_written_ends_the_job(self, number, planned, output, monkeypatch):
        flush = files._flush

        def fail(partial: Path) -> None:
            if partial.parent.name == "below":
                raise OSError(number, os.strerror(number))
            flush(partial)

        monkeypatch.setattr(files, "_flush", fail)
        with pytest.raises(OutputError):
            planned().run(inverting)
        assert (output / "a.png").exists()
        assert not (output / "c.png").exists()

    def test_a_result_that_cannot_be_written_costs_itself_only(self, planned, output):
        output.mkdir()
        (output / "below").write_text("a file")
        stats = planned().run(inverting)
        assert (stats.read, stats.frames, stats.failed) == (4, 2, 2)
        assert (output / "c.png").exists()
        again = planned()
        assert (todo(again), again.failed_before) == ([], 2)

    def test_with_stop_a_result_that_cannot_be_written_ends_the_job(self, planned, output):
        output.mkdir()
        (output / "below").write_text("a file")
        with pytest.raises(FileOutputError):
            planned(on_error="stop").run(inverting)
        assert not (output / "c.png").exists()

    def test_a_picture_that_its_format_cannot_hold_costs_itself_only(self, planned, root, output):
        write_picture(root / "b.png", np.zeros((2, 17_000, 3), np.uint8))
        stats = planned(picture_format="webp").run(inverting)
        assert (stats.frames, stats.failed) == (4, 1)
        assert (output / "c.webp").exists()
        assert not (output / "b.webp").exists()


class TestWatching:
    @pytest.fixture
    def rounds(self, planned):
        """Watch until nothing new came for a while; give the number of files of each round."""

        def watched(*, during: Callable[[int], None] = lambda number: None, seconds=0.6) -> list[int]:
            stop, found = Event(), []
            Timer(seconds, stop.set).start()
            for stats in watch(lambda: planned(may_be_empty=True), inverting, stop, interval=0.02):
                found.append(stats.frames)
                during(len(found))
            return found

        return watched

    def test_files_are_done_once_and_new_ones_as_they_come(self, rounds, root, output):
        def add(number: int) -> None:
            if number == 1:
                write_picture(root / "new.png", np.zeros((8, 8, 3), np.uint8))

        assert rounds(during=add) == [4, 1]
        assert (output / "new.png").exists()

    def test_an_empty_folder_is_waited_for(self, rounds, root):
        for name in NAMES:
            (root / name).unlink()
        assert rounds(seconds=0.1) == []

    def test_a_file_that_still_grows_is_not_taken(self, planned, root):
        stop = Event()
        Timer(0.5, stop.set).start()
        taken = []

        def growing() -> FolderJob:
            with (root / "c.png").open("ab") as file:
                file.write(b" ")
            return planned()

        def translate(source, sink, one_by_one) -> Stats:
            taken.extend(name.as_posix() for name in source.names)
            return inverting(source, sink)

        for _ in watch(growing, translate, stop, interval=0.02):
            pass
        assert taken == NAMES[:-1]
