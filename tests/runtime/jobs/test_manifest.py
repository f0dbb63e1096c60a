"""The manifest of a folder job: nothing that was written is lost, whatever happened to its end."""

import errno
import fcntl
import os
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclegan_edge.runtime.errors import OutputError
from cyclegan_edge.runtime.jobs.manifest import Manifest, Record, Work

WORK = Work("below/Bäume 1.png", 1234, 1700000000123456789, "a" * 64, "b" * 64)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "out" / "manifest.jsonl"


def write(path: Path, *records: Record) -> None:
    with Manifest(path) as manifest:
        for record in records:
            manifest.add(record)


def test_what_was_added_is_read(path):
    record = Record(WORK, "failed", 0.25, "below/a.png is damaged")
    write(path, record)
    assert Manifest(path).get(WORK.path) == record
    assert Manifest(path).get("other.png") is None


def test_the_last_word_about_a_file_counts(path):
    write(path, Record(WORK, "started"))
    write(path, Record(WORK, "done", 0.5))
    assert Manifest(path).get(WORK.path).status == "done"
    assert len(path.read_text().splitlines()) == 2


def test_reading_writes_nothing(path):
    Manifest(path).close()
    assert not path.parent.exists()


@given(st.integers(0, 400))
def test_a_line_that_was_cut_short_costs_that_line_only(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "manifest.jsonl"
    first, second = replace(WORK, path="first.png"), replace(WORK, path="second.png")
    write(path, Record(first, "done"), Record(second, "done"))
    whole = path.read_bytes()
    start = whole.index(b"\n") + 1
    path.write_bytes(whole[: start + cut])
    third = replace(WORK, path="third.png")
    write(path, Record(third, "done"))
    read = Manifest(path)
    assert read.get("first.png") == Record(first, "done")
    assert read.get("third.png") == Record(third, "done")
    assert (read.get("second.png") is not None) == (start + cut >= len(whole) - 1)


@given(st.lists(st.text(max_size=40) | st.sampled_from(["null", "[]", "{}", '{"path": "a"}', "1"]), max_size=5))
def test_foreign_lines_are_passed_by(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("foreign") / "manifest.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    write(path, Record(WORK, "done"))
    assert Manifest(path).get(WORK.path) == Record(WORK, "done")


def test_threads_do_not_mix_their_lines(path):
    def add(thread: int) -> None:
        for i in range(50):
            manifest.add(Record(replace(WORK, path=f"{thread}-{i}.png"), "done"))

    with Manifest(path) as manifest:
        threads = [Thread(target=add, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    read = Manifest(path)
    assert all(read.get(f"{thread}-{i}.png") for thread in range(4) for i in range(50))


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="choose a place that can be written"):
        Manifest(tmp_path / "out" / "manifest.jsonl").add(Record(WORK, "done"))


class TestClaims:
    def test_two_jobs_never_meet(self, path):
        write(path, Record(WORK, "done"))
        with Manifest(path) as first, Manifest(path) as second:
            first.claim()
            for attempt in (second.claim, lambda: second.add(Record(WORK, "done"))):
                with pytest.raises(OutputError, match=r"another job is writing into .*out; wait for its end"):
                    attempt()
            first.close()
            second.claim()

    def test_a_child_process_that_starts_meanwhile_does_not_keep_the_claim(self, path):
        write(path, Record(WORK, "done"))
        with Manifest(path) as first, Manifest(path) as second:
            first.claim()
            copied = os.dup(first._file.fileno())  # as a fork copies it
            first.close()
            second.claim()
            os.close(copied)

    def test_the_first_record_of_a_new_one_claims_it(self, path):
        with Manifest(path) as first, Manifest(path) as second:
            first.claim()
            assert not path.parent.exists()
            first.add(Record(WORK, "started"))
            with pytest.raises(OutputError, match="another job"):
                second.add(Record(WORK, "started"))

    def test_what_was_added_meanwhile_is_known(self, path):
        write(path, Record(WORK, "started"))
        with Manifest(path) as manifest:
            write(path, Record(WORK, "done"))
            manifest.claim()
            assert manifest.get(WORK.path).status == "done"

    def test_where_there_are_no_locks_the_work_goes_on(self, path, monkeypatch):
        def flock(file, operation):
            raise OSError(errno.ENOTSUP, "Operation not supported")

        write(path, Record(WORK, "done"))
        monkeypatch.setattr(fcntl, "flock", flock)
        with Manifest(path) as manifest:
            manifest.claim()
            manifest.add(Record(WORK, "done"))
