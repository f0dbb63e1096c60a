"""Picture files: read upright as RGB, written whole, found in folders."""

import struct

import cv2
import numpy as np
import pytest

from cyclegan_edge.runtime.contract import PICTURE_SUFFIXES
from cyclegan_edge.runtime.errors import InputError, OutputError
from cyclegan_edge.runtime.sinks import picture_sink, write_picture
from cyclegan_edge.runtime.sources import Frame, PictureSource, find_pictures, read_picture


@pytest.fixture
def smooth():
    """A picture that lossy formats hardly change: red grows to the right, green to the bottom, blue is still."""
    y, x = np.mgrid[0:24, 0:40]
    return np.stack([x * 6, y * 10, np.full_like(x, 90)], -1).astype(np.uint8)


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Put an EXIF segment of the one tag Orientation after the JPEG's start marker."""
    directory = struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + b"MM\0*" + struct.pack(">I", 8) + directory
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


class TestReading:
    def test_colours_are_rgb(self, tmp_path):
        cv2.imwrite(str(tmp_path / "blue.png"), np.full((2, 3, 3), (255, 0, 10), np.uint8))  # BGR
        picture = read_picture(tmp_path / "blue.png")
        assert picture.shape == (2, 3, 3)
        assert (picture == (10, 0, 255)).all()

    @pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, -1), (3, 2), (8, 1)])
    def test_exif_orientation_is_applied(self, orientation, turns, smooth, tmp_path):
        jpeg = cv2.imencode(".jpg", smooth[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
        (tmp_path / "a.jpg").write_bytes(with_orientation(jpeg, orientation))
        expected = np.rot90(smooth, turns)
        picture = read_picture(tmp_path / "a.jpg")
        assert picture.shape == expected.shape
        assert np.abs(picture.astype(int) - expected).mean() < 3

    def test_gray_deep_and_transparent_pictures_become_rgb_of_8_bits(self, tmp_path):
        pictures = {
            "gray.png": np.full((4, 5), 77, np.uint8),
            "deep.png": np.full((4, 5, 3), 77 * 257, np.uint16),
            "deep.tiff": np.full((4, 5), 77 * 257, np.uint16),
            "transparent.png": np.full((4, 5, 4), (77, 77, 77, 0), np.uint8),
        }
        for name, pixels in pictures.items():
            cv2.imwrite(str(tmp_path / name), pixels)
            picture = read_picture(tmp_path / name)
            assert (picture.dtype, picture.shape) == (np.uint8, (4, 5, 3)), name
            assert (picture == 77).all(), name

    def test_names_in_any_script(self, smooth, tmp_path):
        path = tmp_path / "мой 写真 é.png"
        write_picture(path, smooth)
        assert np.array_equal(read_picture(path), smooth)

    @pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9])
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".ppm"])
    def test_a_file_that_was_cut_short(self, suffix, share, smooth, tmp_path):
        path = tmp_path / f"cut{suffix}"
        write_picture(path, smooth)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        with pytest.raises(InputError, match=rf"cut{suffix} is damaged or no picture"):
            read_picture(path)

    def test_what_is_no_picture_or_not_there(self, tmp_path):
        (tmp_path / "text.png").write_text("not a picture")
        with pytest.raises(InputError, match="damaged or no picture"):
            read_picture(tmp_path / "text.png")
        with pytest.raises(InputError, match=r"cannot read .*nothing\.png: No such file"):
            read_picture(tmp_path / "nothing.png")
        with pytest.raises(InputError, match="Is a directory"):
            read_picture(tmp_path)


class TestWriting:
    @pytest.mark.parametrize("suffix", sorted(PICTURE_SUFFIXES))
    def test_every_format_that_is_read_can_be_written(self, suffix, smooth, tmp_path):
        path = tmp_path / f"a{suffix}"
        write_picture(path, smooth)
        expected = smooth if suffix != ".pgm" else cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY)[..., None]
        error = np.abs(read_picture(path).astype(int) - expected).mean()
        lossy = (".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif")
        assert error < (2 if suffix in lossy else 6 if suffix == ".gif" else 0.01)  # 256 colours

    def test_upper_case_suffixes(self, smooth, tmp_path):
        for name in ("A.PNG", "B.PGM"):
            write_picture(tmp_path / name, smooth)
            assert read_picture(tmp_path / name).shape == smooth.shape

    def test_a_format_that_is_unknown_or_too_small_for_the_picture(self, smooth, tmp_path):
        with pytest.raises(OutputError, match=r"cannot write .*a\.xyz as \.xyz"):
            write_picture(tmp_path / "a.xyz", smooth)
        with pytest.raises(OutputError):
            write_picture(tmp_path / "wide.webp", np.zeros((1, 20_000, 3), np.uint8))
        assert list(tmp_path.iterdir()) == []

    def test_the_sink_mirrors_names(self, smooth, tmp_path):
        with picture_sink(tmp_path / "out") as write:
            write(Frame(smooth, tmp_path.relative_to(tmp_path) / "below" / "a.png"))
            assert np.array_equal(read_picture(tmp_path / "out" / "below" / "a.png"), smooth)


class TestFolders:
    @pytest.fixture
    def folder(self, smooth, tmp_path):
        for name in ("b.png", "a.JPG", "below/c.webp", ".hidden.png", ".cache/d.png", "out/e.png"):
            write_picture(tmp_path / name, smooth)
        (tmp_path / "notes.txt").write_text("x")
        (tmp_path / "folder.png").mkdir()
        return tmp_path

    def test_pictures_are_found_sorted_and_what_is_hidden_or_written_is_not(self, folder):
        found = find_pictures(folder, outside=folder / "out")
        assert [name.as_posix() for name in found] == ["a.JPG", "b.png", "below/c.webp"]

    def test_an_output_around_the_input_hides_nothing(self, folder):
        assert [name.name for name in find_pictures(folder / "below", outside=folder)] == ["c.webp"]

    def test_a_folder_without_pictures(self, tmp_path):
        (tmp_path / "notes.txt").write_text("x")
        with pytest.raises(InputError, match=r"there is no picture in .*; it should hold \.avif, \.bmp, "):
            find_pictures(tmp_path, outside=tmp_path / "out")

    def test_a_damaged_file_is_given_as_its_error_among_the_others(self, folder):
        (folder / "b.png").write_bytes(b"")
        names = find_pictures(folder, outside=folder / "out")
        source = PictureSource(folder, names)
        assert source.total == 3
        first, second, third = source
        assert (first.name, third.name) == (names[0], names[2])
        assert isinstance(second, InputError)
