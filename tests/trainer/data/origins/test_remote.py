import http.server
import os
import re
import shutil
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch

from cyclegan_edge.runtime.errors import DatasetError, OutputError, UsageError
from cyclegan_edge.trainer.data.cache.contents import list_stores
from cyclegan_edge.trainer.data.origins import remote
from cyclegan_edge.trainer.data.origins.local_folder import bring_in

fsspec = pytest.importorskip("fsspec")
NAMES = ("trainA", "trainB", "testA", "testB")


@pytest.fixture
def memory(dataroot):
    """The dataset behind memory://horses."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    for path in dataroot.rglob("*.png"):
        files.pipe_file(f"/horses/{path.relative_to(dataroot).as_posix()}", path.read_bytes())
    yield files
    files.store.clear()


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


def test_a_run_sees_the_pictures_behind_an_address_as_those_of_a_folder(dataroot, memory, place, drawn):
    expected = drawn(dataroot, "off")
    assert torch.equal(drawn("memory://horses", place), expected)
    assert torch.equal(drawn("memory://horses", place), expected)


def test_files_are_copied_once_and_follow_what_changes(dataroot, memory, place, monkeypatch):
    folder = bring_in("memory://horses", "trainA", str(place))
    assert content(folder) == content(dataroot / "trainA")
    copied = []
    real = remote.RemoteFolder._copy
    monkeypatch.setattr(
        remote.RemoteFolder, "_copy", lambda self, file, path: copied.append(file.name) or real(self, file, path)
    )
    bring_in("memory://horses", "trainA", str(place))
    assert copied == []
    time.sleep(0.01)
    memory.pipe_file("/horses/trainA/00.png", (dataroot / "trainA/01.png").read_bytes())
    memory.pipe_file("/horses/trainA/sub/new.png", b"new")
    memory.rm_file("/horses/trainA/05.png")
    bring_in("memory://horses", "trainA", str(place))
    assert sorted(copied) == ["trainA/00.png", "trainA/sub/new.png"]
    found = content(folder)
    assert found["00.png"] == found["01.png"]
    assert "05.png" not in found


def test_a_copy_that_was_cut_off_later_is_copied_again(memory, dataroot, place):
    folder = bring_in("memory://horses", "trainA", str(place))
    os.truncate(folder / "00.png", 10)
    (folder / ".0123456789abcdef-old.partial").write_bytes(b"of an older version")
    bring_in("memory://horses", "trainA", str(place))
    assert content(folder) == content(dataroot / "trainA")
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("mark", ["ETag", "md5Hash", "blob_id"])  # of s3, gs and hf
def test_a_file_of_the_same_size_is_told_by_the_mark_of_its_store(memory, place, monkeypatch, mark):
    versions = []
    for value in ("one", "one", "two"):
        info = {"size": 3, mark: value}
        monkeypatch.setattr(type(memory), "find", lambda *_, detail, info=info: {"/horses/trainA/00.png": info})
        (file,) = remote.RemoteFolder("memory://horses").list("trainA")
        versions.append(file.version)
    assert versions[0] == versions[1] != versions[2]


def test_a_list_that_this_process_read_before_is_read_again(memory, monkeypatch):
    listed, real = {}, type(memory).find
    monkeypatch.setattr(
        type(memory), "find", lambda self, path, detail: listed.setdefault(path, real(self, path, detail=detail))
    )
    monkeypatch.setattr(type(memory), "invalidate_cache", lambda self, path=None: listed.clear())
    folder = remote.RemoteFolder("memory://horses")
    assert len(folder.list("trainA")) == 6
    memory.pipe_file("/horses/trainA/new.png", b"new")
    assert len(folder.list("trainA")) == 7


@pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8")
def test_a_name_that_is_no_utf_8_is_copied(dataroot, place):
    (dataroot / "trainA/03.png").rename(os.fsdecode(os.fsencode(dataroot / "trainA") + b"/03\xe9.png"))
    for _ in range(2):
        folder = bring_in(f"file://{dataroot}", "trainA", str(place))
    assert content(folder) == content(dataroot / "trainA")


def test_shards_behind_an_address_are_unpacked(dataroot, memory, place, tmp_path):
    shutil.make_archive(str(tmp_path / "all"), "tar", dataroot / "trainB")
    memory.pipe_file("/more/trainB/all.tar", (tmp_path / "all.tar").read_bytes())
    folder = bring_in("memory://more", "trainB", str(place))
    assert sorted(path.name for path in folder.rglob("*.png")) == [f"0{number}.png" for number in range(5)]


def test_all_that_came_of_an_address_is_cleared(dataroot, memory, place, tmp_path, opened, cyclegan):
    shutil.make_archive(str(tmp_path / "all"), "tar", dataroot / "trainB")
    memory.pipe_file("/horses/trainB/all.tar", (tmp_path / "all.tar").read_bytes())
    for name in memory.find("/horses/trainB"):
        if name.endswith(".png"):
            memory.rm_file(name)
    opened("memory://horses", place)
    opened(dataroot, place)
    assert len(list(place.iterdir())) == 2 + 1 + 1 + 2  # ready to train on, the copy, its shards, and the folder's own
    assert cyclegan("dataset", "cache", "memory://horses", "--cache", place, "--clear") == 0
    assert len(list_stores(place)) == len(list(place.iterdir())) == 2


def test_a_domain_that_is_not_there_is_told(memory, place):
    memory.rm("/horses/trainB", recursive=True)
    with pytest.raises(DatasetError, match=r"there is no file in memory://horses/trainB; a dataset has"):
        bring_in("memory://horses", "trainB", str(place))
    assert not list(bring_in("memory://horses", "testC", str(place)).iterdir())


def test_an_address_that_nothing_reads_names_what_to_install(place):
    with pytest.raises(UsageError, match=r"nothing://here cannot be read here: .*; pip install"):
        bring_in("nothing://here", "trainA", str(place))


def test_a_copy_is_used_where_the_address_does_not_answer(memory, place, monkeypatch, caplog):
    bring_in("memory://horses", "trainA", str(place))

    def silent(*arguments, **options):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(type(memory), "find", silent)
    assert len(content(bring_in("memory://horses", "trainA", str(place)))) == 6
    assert "cannot list memory://horses/trainA: no route to host; taking what was copied before" in caplog.text
    with pytest.raises(DatasetError, match="cannot list memory://horses/trainB: no route to host"):
        bring_in("memory://horses", "trainB", str(place))


def test_a_full_disk_is_no_trouble_of_the_network(memory, place, monkeypatch):
    attempts = []

    def full(block, local):
        attempts.append(block)
        raise remote._DiskError(OSError(28, "No space left on device"))

    monkeypatch.setattr(remote, "_write", full)
    with pytest.raises(OutputError, match=r"cannot bring memory://horses into the cache .*: No space left on device"):
        bring_in("memory://horses", "trainA", str(place))
    assert len(attempts) <= 12


def test_the_command_takes_addresses(memory, dataroot, cyclegan, capsys, place):
    assert cyclegan("dataset", "check", "memory://horses") == 0
    assert "trainA       6 pictures" in capsys.readouterr().out
    bring_in("memory://horses", "trainA", str(place))
    assert [store.source for store in list_stores(place)] == ["memory://horses"]
    assert cyclegan("dataset", "cache", "memory://horses", "--cache", place, "--clear") == 0
    assert list(place.iterdir()) == []


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Serves ranges, and cuts off what the server's `cut` says as often as it says."""

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return super().do_GET()
        body = path.read_bytes()
        self.server.asked.append((path.name, self.headers.get("Range")))
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        start, stop = 0, len(body)
        if match:
            start, stop = int(match[1]), min(int(match[2] or len(body)) + 1, len(body))
        self.send_response(206 if match else 200)
        if match:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(body)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        if self.server.cuts and start <= self.server.cut < stop:
            self.server.cuts -= 1
            self.wfile.write(body[start : self.server.cut])
            self.close_connection = True
            return None
        self.wfile.write(body[start:stop])
        return None


@contextmanager
def serving(folder, cut=0, cuts=0):
    handler = partial(RangeHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.asked, server.cut, server.cuts = [], cut, cuts
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def quick(monkeypatch):
    pytest.importorskip("aiohttp", reason="the extra remote is not installed")
    monkeypatch.setattr(remote, "PAUSE", 0.01)
    monkeypatch.setattr(remote, "BLOCK", 1 << 16)


def test_pictures_come_from_a_web_server(dataroot, place, drawn, quick):
    expected = drawn(dataroot, "off")
    with serving(dataroot) as (_, address):
        assert torch.equal(drawn(address, place), expected)


def test_a_copy_that_breaks_off_goes_on_where_it_was(dataroot, place, quick):
    shard = os.urandom(1_000_000)
    (dataroot / "trainA" / "large.png").write_bytes(shard)
    with serving(dataroot, cut=600_000, cuts=2) as (server, address):
        folder = bring_in(address, "trainA", str(place))
        ranges = [asked for name, asked in server.asked if name == "large.png"]
    assert (folder / "large.png").read_bytes() == shard
    assert sum(asked is None or asked.startswith("bytes=0-") for asked in ranges) == 1


def test_a_copy_that_keeps_breaking_off_goes_on_at_the_next_start(dataroot, place, quick):
    shard = os.urandom(1_000_000)
    (dataroot / "trainA" / "large.png").write_bytes(shard)
    with serving(dataroot, cut=600_000, cuts=100) as (server, address):
        with pytest.raises(DatasetError, match=r"cannot copy .*large\.png from .*; start again to go on from there"):
            bring_in(address, "trainA", str(place))
        partials = [path.stat().st_size for path in place.rglob("*.partial")]
        assert max(partials) > 400_000
        server.cuts = 0
        server.asked.clear()
        folder = bring_in(address, "trainA", str(place))
        assert all(asked and not asked.startswith("bytes=0-") for name, asked in server.asked if name == "large.png")
    assert (folder / "large.png").read_bytes() == shard
    assert not list(place.rglob("*.partial"))
