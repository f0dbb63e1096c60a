import errno
import io
import os
import shutil
import tarfile

import pytest
import torch

from cyclegan_edge.runtime.errors import DatasetError, OutputError
from cyclegan_edge.trainer.config import DataConfig
from cyclegan_edge.trainer.data.cache.contents import list_stores, set_limit
from cyclegan_edge.trainer.data.dataset import domain_folder
from cyclegan_edge.trainer.data.origins import shards
from cyclegan_edge.trainer.data.origins.local_folder import bring_in
from cyclegan_edge.trainer.data.origins.shards import unpack_shards


def pack(folder, name, files, mode="w"):
    """Move files of a folder into a shard, each with what WebDataset puts beside it."""
    with tarfile.open(folder / name, mode) as shard:
        for number, file in enumerate(files):
            shard.add(file, f"part/{number:06}{file.suffix}")
            info = tarfile.TarInfo(f"part/{number:06}.json")
            info.size = 2
            shard.addfile(info, io.BytesIO(b"{}"))
            file.unlink()


@pytest.fixture
def sharded(dataroot):
    """The dataset with domain A in two shards, one of them compressed."""
    files = sorted((dataroot / "trainA").iterdir())
    pack(dataroot / "trainA", "horses-000.tar", files[:4])
    pack(dataroot / "trainA", "horses-001.tar.gz", files[4:], "w:gz")
    return dataroot


def test_a_run_sees_the_pictures_of_shards_as_those_of_a_folder(dataroot, place, drawn, request, caplog):
    expected = drawn(dataroot, "off")
    request.getfixturevalue("sharded")
    with caplog.at_level("INFO"):
        assert torch.equal(drawn(dataroot, place), expected)
    assert "horses-000.tar: left out 4 .json" in caplog.text
    folder = domain_folder(DataConfig(dataroot=str(dataroot), cache=str(place)), "train", "A")
    assert len(list(folder.rglob("*.png"))) == 6


def test_shards_are_unpacked_once(sharded, place, opened, monkeypatch, decoded):
    opened(sharded, place)
    monkeypatch.setattr(shards, "_unpack", lambda *arguments: pytest.fail("it was unpacked again"))
    decoded.clear()
    opened(sharded, place)
    assert decoded == []


def test_a_shard_that_changed_is_unpacked_again_and_one_that_is_gone_is_removed(sharded, place):
    folder = bring_in(str(sharded), "trainA", str(place))
    (sharded / "trainA/horses-001.tar.gz").unlink()
    shutil.copy(sharded / "trainB/00.png", sharded / "trainA/new.png")
    pack(sharded / "trainA", "horses-000.tar", [sharded / "trainA/new.png"])
    assert bring_in(str(sharded), "trainA", str(place)) == folder
    (picture,) = folder.rglob("*.png")
    assert picture.read_bytes() == (sharded / "trainB/00.png").read_bytes()


def test_what_was_unpacked_half_is_unpacked_anew(sharded, place, monkeypatch):
    real = shards._unpack

    def killed(shard, target):
        real(shard, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(shards, "_unpack", killed)
    with pytest.raises(KeyboardInterrupt):
        bring_in(str(sharded), "trainA", str(place))
    monkeypatch.setattr(shards, "_unpack", real)
    folder = bring_in(str(sharded), "trainA", str(place))
    assert len(list(folder.rglob("*.png"))) == 6
    assert not any(path.name.startswith(".partial") for path in folder.iterdir())


def test_nothing_leaves_the_folder(tmp_path):
    with tarfile.open(tmp_path / "bad.tar", "w") as shard:
        for name in ("/../../outside.png", "../outside.png", "a/../../outside.png"):
            info = tarfile.TarInfo(name)
            info.size = 4
            shard.addfile(info, io.BytesIO(b"data"))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
            info = tarfile.TarInfo("link.png")
            info.type, info.linkname = kind, "/etc/passwd"
            shard.addfile(info)
    unpack_shards([tmp_path / "bad.tar"], tmp_path / "deep" / "target")
    assert not list(tmp_path.rglob("link.png"))
    assert not (tmp_path / "outside.png").exists()
    assert not (tmp_path / "deep" / "outside.png").exists()
    assert len(list((tmp_path / "deep" / "target").rglob("outside.png"))) >= 1


@pytest.mark.parametrize("content", [b"", b"no tar" * 1000, None])
def test_a_damaged_shard_is_named(sharded, place, content):
    shard = sharded / "trainA/horses-000.tar"
    shard.write_bytes(shard.read_bytes()[:700] if content is None else content)
    with pytest.raises(DatasetError, match=r"horses-000\.tar is no tar file that can be read"):
        bring_in(str(sharded), "trainA", str(place))


def test_a_place_that_cannot_be_written_is_told(sharded, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot bring .*trainA into the cache"):
        bring_in(str(sharded), "trainA", str(tmp_path / "file"))


def test_unpacked_shards_are_shown_and_cleared(sharded, place, opened, cyclegan):
    opened(sharded, place)
    (unpacked,) = [store for store in list_stores(place) if store.preparation == "files"]
    assert (unpacked.source, unpacked.num_pictures) == (str(sharded / "trainA"), 6)
    assert unpacked.num_bytes == sum(path.stat().st_size for path in unpacked.folder.rglob("*.png"))
    assert cyclegan("dataset", "cache", sharded, "--cache", place, "--clear") == 0
    assert list(place.iterdir()) == []


def test_times_are_those_of_the_shard(sharded, place, decoded, opened):
    opened(sharded, place)
    decoded.clear()
    (unpacked,) = [store for store in list_stores(place) if store.preparation == "files"]
    shutil.rmtree(unpacked.folder)
    opened(sharded, place)
    assert decoded == []  # what was prepared of them is still true


def test_a_dataset_of_shards_is_checked(sharded, cyclegan, capsys):
    assert cyclegan("dataset", "check", sharded) == 0
    assert "trainA       6 pictures" in capsys.readouterr().out


def test_shards_whose_names_differ_behind_a_dot_are_all_unpacked(dataroot, tmp_path):
    shards_of = tmp_path / "all" / "trainA"
    shards_of.mkdir(parents=True)
    for number, file in enumerate(sorted((dataroot / "trainA").iterdir())[:2]):
        with tarfile.open(shards_of / f"part.{number:03}.tar", "w") as shard:
            info = tarfile.TarInfo(f"{number}.png")
            info.size = 500
            shard.addfile(info, io.BytesIO(file.read_bytes()[:500].ljust(500)))
        os.utime(shards_of / f"part.{number:03}.tar", (10**9, 10**9))
    assert len({shard.stat().st_size for shard in shards_of.iterdir()}) == 1
    folder = bring_in(str(tmp_path / "all"), "trainA", str(tmp_path / "cache"))
    assert {path.name for path in folder.rglob("*.png")} == {"0.png", "1.png"}


def test_what_is_only_called_a_shard_is_none(dataroot):
    (dataroot / "trainA" / "folder.tar").mkdir()
    (dataroot / "trainA" / "gone.tar").symlink_to("nowhere")
    assert shards.find_shards(dataroot / "trainA") == []


def test_pictures_beside_shards_are_told(sharded, place, caplog):
    shutil.copy(sharded / "trainB/00.png", sharded / "trainA/loose.png")
    bring_in(str(sharded), "trainA", str(place))
    assert "holds shards and 1 pictures; the shards are taken, the pictures are left out" in caplog.text


def test_links_in_a_shard_are_counted(tmp_path, caplog):
    with tarfile.open(tmp_path / "linked.tar", "w") as shard:
        info = tarfile.TarInfo("link.png")
        info.type, info.linkname = tarfile.LNKTYPE, "other.png"
        shard.addfile(info)
        shard.addfile(tarfile.TarInfo("README"))
    with caplog.at_level("INFO"):
        unpack_shards([tmp_path / "linked.tar"], tmp_path / "cache" / "target")
    assert "linked.tar: left out 1 links or devices, 1 without a suffix" in caplog.text


@pytest.mark.parametrize("mtime", [-1, 2**62, float("nan"), 1e300])
def test_a_time_that_no_disk_takes_is_none(tmp_path, mtime):
    info = tarfile.TarInfo("a.png")
    with tarfile.open(tmp_path / "odd.tar", "w", format=tarfile.PAX_FORMAT) as shard:
        info.pax_headers = {"mtime": str(mtime)}
        shard.addfile(info)
    unpack_shards([tmp_path / "odd.tar"], tmp_path / "cache" / "target")
    assert len(list(tmp_path.rglob("a.png"))) == 1


def test_shards_are_not_unpacked_beyond_the_limit_and_leave_nothing_half(sharded, place, monkeypatch):
    place.mkdir()
    set_limit(place, 100)
    with pytest.raises(
        OutputError, match=r"cannot bring .*trainA into the cache .*: about .* are needed, and its limit"
    ):
        bring_in(str(sharded), "trainA", str(place))
    set_limit(place, None)

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shards.shutil, "copyfileobj", full)
    with pytest.raises(OutputError, match="No space left on device; make room, or name another place"):
        bring_in(str(sharded), "trainA", str(place))
    assert not list(place.glob("*/trainA/*"))
