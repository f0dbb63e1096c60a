"""The server's temporary folder: its own alone, and gone with its server, however that ends."""

import os
import tempfile

from cyclegan_edge.runtime.web.temporary_folder import TemporaryFolder


def test_the_folder_of_a_killed_server_is_removed_at_the_next_start(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    living, killed, young = TemporaryFolder(), tmp_path / "cyclegan-serve-killed", tmp_path / "cyclegan-serve-young"
    for folder in (killed, young):
        folder.mkdir()
        (folder / "lock").touch()
    (killed / "upload.mp4").write_bytes(b"a stranger's video")
    os.utime(killed / "lock", (0, 0))
    os.utime(living.path / "lock", (0, 0))
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "lock").touch()
    os.utime(tmp_path / "victim" / "lock", (0, 0))
    (tmp_path / "cyclegan-serve-link").symlink_to(tmp_path / "victim")
    another = TemporaryFolder()
    assert not killed.exists()
    assert young.exists()
    assert living.path.exists()
    assert (tmp_path / "victim" / "lock").exists()
    for folder in (living, another):
        folder.remove()
        assert not folder.path.exists()
