import sqlite3
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclegan_edge.trainer.data.cache import store
from cyclegan_edge.trainer.data.cache.store import DamagedStoreError, StoreReader, StoreWriter, piece_path, read_index

ABOUT = {"source": "somewhere", "preparation": "none"}


def picture(seed, height=8, width=6, channels=3, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(dtype)


def write(folder, **pictures):
    with closing(StoreWriter(folder, ABOUT)) as writer:
        for name, pixels in pictures.items():
            writer.add(name, len(name), 7, pixels)
        writer.commit()


def read(folder, name, rows=None):
    index = read_index(folder)
    row = index.rows[index.places[name]]
    return StoreReader(folder, [int(row[store.PIECE])]).read(row, rows or slice(0, int(row[store.HEIGHT])))


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 40), st.integers(1, 30), st.integers(1, 5), st.sampled_from([np.uint8, np.float32]),
    st.integers(1, 400), st.data(),
)  # fmt: skip
def test_any_rows_of_any_picture_come_back(tmp_path_factory, height, width, channels, dtype, strip, data):
    folder = tmp_path_factory.mktemp("store")
    first = data.draw(st.integers(0, height - 1))
    last = data.draw(st.integers(first + 1, height))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "STRIP_BYTES", strip)
        pixels = picture(1, height, width, channels, dtype)
        write(folder, other=picture(2), wanted=pixels)
        found = read(folder, "wanted", slice(first, last))
        expected_bytes = store.stored_bytes(8, 6, 3, 8) + store.stored_bytes(
            height, width, channels, 8 * pixels.itemsize
        )
    assert found.dtype == dtype
    assert np.array_equal(found, pixels[first:last])
    assert piece_path(folder, 0).stat().st_size == expected_bytes


def test_only_the_strips_of_the_rows_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "STRIP_BYTES", 1 << 12)
    write(tmp_path, large=picture(0, 4000, 1000))
    read_bytes = []
    real = store._Piece.read
    monkeypatch.setattr(store._Piece, "read", lambda self, *at: read_bytes.append(at[1]) or real(self, *at))
    assert np.array_equal(read(tmp_path, "large", slice(2000, 2256)), picture(0, 4000, 1000)[2000:2256])
    assert sum(read_bytes) <= 258 * 3000 + 4 * 258


def test_what_was_not_committed_is_not_there_and_in_nobodys_way(tmp_path):
    write(tmp_path, a=picture(1))
    with closing(StoreWriter(tmp_path, ABOUT)) as writer:
        writer.add("lost", 1, 1, picture(2))
    write(tmp_path, b=picture(3))
    assert set(read_index(tmp_path).places) == {"a", "b"}
    assert piece_path(tmp_path, 0).stat().st_size == 2 * store.stored_bytes(8, 6, 3, 8)
    assert np.array_equal(read(tmp_path, "a"), picture(1))
    assert np.array_equal(read(tmp_path, "b"), picture(3))


def test_what_was_added_can_be_undone_though_it_was_committed(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "FILE_BYTES", 200)
    write(tmp_path, a=picture(1))
    before = sorted(path.name for path in tmp_path.iterdir())
    with closing(StoreWriter(tmp_path, ABOUT)) as writer:
        for number in range(5):
            writer.add(f"more{number}", 1, 1, picture(number))
            writer.commit()
        writer.add_unreadable("bad", 1, 1, "it is no picture")
        assert len(list(tmp_path.glob("*.pixels"))) > 2
        writer.undo()
    assert set(read_index(tmp_path).places) == {"a"}
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    write(tmp_path, b=picture(3))
    assert np.array_equal(read(tmp_path, "a"), picture(1))
    assert np.array_equal(read(tmp_path, "b"), picture(3))


def test_compacting_gives_room_back_and_keeps_what_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "FILE_BYTES", 500)
    write(tmp_path, **{f"p{number}": picture(number) for number in range(20)})
    used = sum(path.stat().st_size for path in tmp_path.glob("*.pixels"))
    index = read_index(tmp_path)
    still_open = StoreReader(tmp_path, np.unique(index.rows[:, store.PIECE]).tolist())
    with closing(StoreWriter(tmp_path, ABOUT)) as writer:
        writer.remove([f"p{number}" for number in range(20) if number % 4])
        writer.commit()
        writer.compact()
    assert set(read_index(tmp_path).places) == {"p0", "p4", "p8", "p12", "p16"}
    for number in (0, 4, 8, 12, 16):
        assert np.array_equal(read(tmp_path, f"p{number}"), picture(number))
    assert sum(path.stat().st_size for path in tmp_path.glob("*.pixels")) < used / 2
    for name, place in index.places.items():  # another process that still trains on all of it
        assert np.array_equal(still_open.read(index.rows[place], slice(0, 8)), picture(int(name[1:])))


@pytest.mark.parametrize("where", [0, 100, 143, 145])
def test_changed_bytes_are_found(tmp_path, where):
    write(tmp_path, a=picture(1))
    with piece_path(tmp_path, 0).open("r+b") as file:
        file.seek(where)
        byte = file.read(1)
        file.seek(where)
        file.write(bytes([byte[0] ^ 4]))
    with pytest.raises(DamagedStoreError, match="a checksum is wrong"):
        read(tmp_path, "a")


def test_a_store_that_cannot_be_used_says_why(tmp_path):
    write(tmp_path, a=picture(1))
    piece = piece_path(tmp_path, 0)
    whole = piece.read_bytes()
    piece.write_bytes(whole[:-1])
    with pytest.raises(DamagedStoreError, match=r"0000\.pixels was cut off"):
        read_index(tmp_path)
    piece.unlink()
    with pytest.raises(DamagedStoreError, match=r"0000\.pixels is missing"):
        read_index(tmp_path)
    piece.write_bytes(whole)
    with closing(sqlite3.connect(tmp_path / store.INDEX)) as database:
        database.execute("PRAGMA user_version = 9")
    with pytest.raises(DamagedStoreError, match=f"it is of version 9, and this is {store.VERSION}"):
        read_index(tmp_path)
    (tmp_path / store.INDEX).write_bytes(b"no database, but long enough to be read as one" * 10)
    with pytest.raises(DamagedStoreError, match="its index cannot be read"):
        read_index(tmp_path)
