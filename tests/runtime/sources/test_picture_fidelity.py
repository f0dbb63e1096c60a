"""What a picture file holds beside its colours comes through: alpha, 16 bits, orientation and colour profile."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cyclegan_edge.runtime.errors import InputError
from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.sinks import picture_sink, write_picture
from cyclegan_edge.runtime.sources import PictureSource, read_picture, read_whole
from cyclegan_edge.runtime.sources.orientation import read_avif_orientation, read_orientation, turn_upright


def icc_profile(note: bytes = b"made for a test") -> bytes:
    """The smallest profile that libpng takes: a display's, RGB, with one tag."""
    tag = b"cprt", 144, 8 + len(note)
    body = struct.pack(">I4sII", 1, *tag) + b"text" + bytes(4) + note
    body += bytes(-len(body) % 4)
    size = 128 + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"test", 0x04300000, b"mntr", b"RGB ", b"XYZ ").ljust(36, b"\0") + b"acsp"
    header = header.ljust(68, b"\0") + struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    return header.ljust(128, b"\0") + body


def exif(orientation: int, order: str = ">") -> bytes:
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "I", 8)
    return head + struct.pack(order + "HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)


def with_iccp(png: bytes, profile: bytes) -> bytes:
    """Put a profile into a PNG file, behind its header."""
    content = b"test\0\0" + zlib.compress(profile)
    chunk = b"iCCP" + content
    head = 8 + 25
    return png[:head] + struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[head:]


def tiff_of(values: np.ndarray) -> bytes:
    """The smallest TIFF of uint16 [H, W, 2], gray and alpha, which Pillow does not write."""
    height, width, _ = values.shape
    body = values.astype("<u2").tobytes()
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 2, 16 | 16 << 16), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 2), (278, 3, 1, height), (279, 4, 1, len(body)), (338, 3, 1, 2)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.fixture
def picture(noise):
    return noise(12, 20, 3)


class TestProfiles:
    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".jfif", ".webp", ".tif", ".tiff"])
    def test_a_profile_goes_from_file_to_file(self, suffix, picture, tmp_path):
        profile = icc_profile()
        write_picture(tmp_path / f"a{suffix}", picture, profile)
        (frame,) = PictureSource(tmp_path, [(tmp_path / f"a{suffix}").relative_to(tmp_path)])
        assert frame.profile == profile

    @pytest.mark.parametrize("suffix", [".bmp", ".ppm"])
    def test_formats_that_hold_none(self, suffix, picture, tmp_path):
        write_picture(tmp_path / f"a{suffix}", picture, icc_profile())
        pixels, profile = read_whole(tmp_path / f"a{suffix}")
        assert profile is None
        assert np.array_equal(pixels, picture)

    @pytest.mark.parametrize("space", [b"CMYK", b"GRAY", b"Lab "])
    @pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg"])
    def test_a_profile_of_other_colours_is_left_out_and_told(self, space, suffix, picture, tmp_path, caplog):
        profile = icc_profile().replace(b"RGB ", space, 1)
        write_picture(tmp_path / f"a{suffix}", picture, icc_profile())
        data = (tmp_path / f"a{suffix}").read_bytes()
        if suffix == ".png":  # whose profile is packed
            packed = cv2.imencode(".png", picture[..., ::-1])[1]
            data = with_iccp(packed.tobytes(), profile)
        (tmp_path / f"a{suffix}").write_bytes(data.replace(icc_profile(), profile))
        assert read_whole(tmp_path / f"a{suffix}")[1] is None
        assert "profile" in caplog.text
        assert "it is left out" in caplog.text

    def test_a_damaged_profile_does_not_cost_the_picture(self, picture, tmp_path, caplog):
        write_picture(tmp_path / "a.png", picture, b"no profile" * 20)
        assert "a colour profile that .png does not take is left out" in caplog.text
        assert np.array_equal(read_picture(tmp_path / "a.png"), picture)


class TestDepthAndAlpha:
    @pytest.mark.parametrize("channels", [3, 4])
    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_sixteen_bits_and_alpha_are_read_and_written(self, suffix, channels, tmp_path):
        deep = np.random.default_rng(0).integers(0, 65536, (12, 20, channels), dtype=np.uint16)
        write_picture(tmp_path / f"a{suffix}", deep)
        pixels, _ = read_whole(tmp_path / f"a{suffix}")
        assert pixels.dtype == np.uint16
        assert np.array_equal(pixels, deep)
        assert np.array_equal(read_picture(tmp_path / f"a{suffix}"), np.rint(deep[..., :3] / 257).astype(np.uint8))

    @pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".webp"])
    def test_formats_of_eight_bits_get_eight(self, suffix, tmp_path, caplog):
        deep = np.full((8, 8, 3), 200 * 257, np.uint16)
        with picture_sink(tmp_path) as write:
            for name in (f"a{suffix}", f"b{suffix}", "c.png"):
                write(Frame(deep, Path(name)))
        assert caplog.text.count("holds 8 bits a channel: what is finer is lost") == 1
        pixels, _ = read_whole(tmp_path / f"a{suffix}")
        assert pixels.dtype == np.uint8
        assert np.abs(pixels.astype(int) - 200).max() <= 1

    def test_formats_without_alpha_get_the_picture_on_white(self, tmp_path, caplog):
        half = np.full((8, 8, 4), (0, 100, 200, 51), np.uint8)
        with picture_sink(tmp_path) as write:
            for name in ("a.ppm", "b.ppm", "c.png"):
                write(Frame(half, Path(name)))
        assert read_picture(tmp_path / "a.ppm")[0, 0].tolist() == [204, 224, 244]
        assert caplog.text.count("holds no alpha: such pictures are laid on white; .png would keep it") == 1

    def test_bmp_keeps_alpha(self, tmp_path):
        half = np.full((8, 8, 4), (0, 100, 200, 51), np.uint8)
        write_picture(tmp_path / "a.bmp", half)
        assert np.array_equal(read_whole(tmp_path / "a.bmp")[0], half)

    def test_gray_with_and_without_depth(self, tmp_path):
        cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 5), 77 * 257, np.uint16))
        pixels, _ = read_whole(tmp_path / "a.png")
        assert (pixels.shape, pixels.dtype) == ((4, 5, 3), np.uint16)
        assert (pixels == 77 * 257).all()

    @pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
    @pytest.mark.parametrize("mode", ["LA", "RGBA"])
    def test_alpha_of_other_tools_is_kept_and_not_multiplied(self, mode, suffix, tmp_path, caplog):
        pixels = np.full((12, 16, len(mode)), 200, np.uint8)
        pixels[..., -1] = np.arange(16) * 17
        Image.fromarray(pixels, mode).save(tmp_path / f"a{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
        read, _ = read_whole(tmp_path / f"a{suffix}")
        assert np.array_equal(read[..., 3], pixels[..., -1])
        assert not caplog.text
        assert (read[:, 1:, :3] == 200).all()  # where nothing is to be seen, WebP may hold any colour

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("mode", ["LA", "RGBA"])
    def test_tiff_is_turned_upright_with_its_alpha(self, mode, orientation, tmp_path):
        pixels = np.arange(12 * 16 * len(mode), dtype=np.uint8).reshape(12, 16, -1)
        Image.fromarray(pixels, mode).save(tmp_path / "a.tif", tiffinfo={274: orientation})
        read, _ = read_whole(tmp_path / "a.tif")
        assert np.array_equal(read[..., 3:], turn_upright(pixels[..., -1:], orientation))
        assert np.array_equal(read[..., :1], turn_upright(pixels[..., :1], orientation))

    def test_the_alpha_of_a_deep_gray_tiff_is_kept(self, tmp_path):
        pixels = np.random.default_rng(0).integers(0, 65536, (12, 16, 2), dtype=np.uint16)
        (tmp_path / "a.tif").write_bytes(tiff_of(pixels))
        read, _ = read_whole(tmp_path / "a.tif")
        assert read.dtype == np.uint16
        assert np.array_equal(read[..., [0, 3]], pixels)
        assert np.array_equal(read[..., 0], read[..., 2])

    def test_the_alpha_of_a_gray_tiff_that_cannot_be_read_is_told(self, tmp_path, caplog, monkeypatch):
        monkeypatch.setattr("cyclegan_edge.runtime.sources.picture_file.has_pyav", lambda: False)
        Image.new("LA", (16, 12), (90, 50)).save(tmp_path / "a.tif")
        read, _ = read_whole(tmp_path / "a.tif")
        assert "the alpha of a gray TIFF is left out" in caplog.text
        assert (read == 90).all()

    def test_more_pixels_than_can_be_read_are_told(self, tmp_path):
        header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
        chunk = b"IHDR" + header
        data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
        pixels = b"IDAT" + zlib.compress(bytes(1000))
        data += struct.pack(">I", len(pixels) - 4) + pixels + struct.pack(">I", zlib.crc32(pixels))
        (tmp_path / "a.png").write_bytes(data)
        with pytest.raises(InputError, match="has more pixels than can be read; make it smaller"):
            read_whole(tmp_path / "a.png")

    def test_damage_inside_a_jpeg_is_told(self, noise, tmp_path, caplog):
        write_picture(tmp_path / "a.jpg", noise(64, 64, 3))
        whole = (tmp_path / "a.jpg").read_bytes()
        read_whole(tmp_path / "a.jpg")
        assert not caplog.text
        middle = len(whole) * 2 // 3
        broken = whole[:middle] + np.random.default_rng(0).bytes(2000) + whole[middle + 2000 :]
        (tmp_path / "a.jpg").write_bytes(broken)
        try:
            read_whole(tmp_path / "a.jpg")
        except InputError:
            return
        assert "is damaged inside" in caplog.text

    @pytest.mark.parametrize("bytes_lost", [200, 4096])
    @pytest.mark.parametrize("mode", ["RGB", "L"])
    def test_a_hole_of_zeros_in_a_jpeg_is_told(self, mode, bytes_lost, noise, tmp_path, caplog):
        Image.fromarray(noise(128, 128, 3)).convert(mode).save(tmp_path / "a.jpg", quality=95)
        whole = (tmp_path / "a.jpg").read_bytes()
        middle = len(whole) // 2
        (tmp_path / "a.jpg").write_bytes(whole[:middle] + bytes(bytes_lost) + whole[middle + bytes_lost :])
        read_whole(tmp_path / "a.jpg")
        assert "is damaged inside" in caplog.text

    @pytest.mark.parametrize("how", [{}, {"optimize": True}, {"progressive": True}, {"restart_marker_blocks": 1}])
    @pytest.mark.parametrize("flat", [True, False])
    def test_whole_jpegs_of_every_kind_are_not_reported(self, how, flat, noise, tmp_path, caplog):
        picture = Image.fromarray(np.full((256, 256, 3), 255, np.uint8) if flat else noise(128, 128, 3))
        small = BytesIO()
        picture.resize((64, 64)).save(small, "JPEG")
        block = exif(1) + bytes(100) + small.getvalue() + bytes(500) + b"\xff\xc0\xff\x42"  # a thumbnail and notes
        picture.save(tmp_path / "a.jpg", exif=b"Exif\0\0" + block, **how)
        with (tmp_path / "a.jpg").open("ab") as file:
            file.write(small.getvalue() + bytes(300))  # as telephones append a second view
        read_whole(tmp_path / "a.jpg")
        assert not caplog.text

    @pytest.mark.parametrize("tiles", [{}, {"tile": (16, 16)}])
    def test_damage_inside_a_tiff_is_told(self, tiles, noise, tmp_path, caplog):
        smooth = cv2.resize(noise(8, 8, 3), (64, 64), interpolation=cv2.INTER_CUBIC)
        Image.fromarray(smooth).save(tmp_path / "a.tif", compression="tiff_adobe_deflate", **tiles)
        whole = (tmp_path / "a.tif").read_bytes()
        assert np.array_equal(read_whole(tmp_path / "a.tif")[0], smooth)
        assert not caplog.text
        middle = len(whole) // 2
        (tmp_path / "a.tif").write_bytes(whole[:middle] + bytes(50) + whole[middle + 50 :])
        try:
            read_whole(tmp_path / "a.tif")
        except InputError:
            return
        assert "is damaged inside" in caplog.text

    def test_a_jpeg_that_is_cut_short_is_told(self, noise, tmp_path, caplog):
        write_picture(tmp_path / "a.jpg", noise(64, 64, 3))
        data = (tmp_path / "a.jpg").read_bytes()
        (tmp_path / "a.jpg").write_bytes(data[: len(data) * 2 // 3])
        try:
            read_whole(tmp_path / "a.jpg")
        except InputError:
            return
        assert "is damaged inside" in caplog.text

    def test_floating_point_is_refused_with_what_to_do(self, tmp_path):
        cv2.imwrite(str(tmp_path / "a.hdr"), np.full((4, 5, 3), 0.5, np.float32))
        (tmp_path / "a.hdr").rename(tmp_path / "a.png")  # known by its content
        with pytest.raises(InputError, match="holds float32 values; convert it to 8 or 16 bits"):
            read_whole(tmp_path / "a.png")


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_all_eight_as_opencv_turns_them(self, orientation, order, picture):
        block = np.frombuffer(exif(orientation, order), np.uint8)
        png = cv2.imencodeWithMetadata(".png", picture[..., ::-1], [cv2.IMAGE_METADATA_EXIF], [block])[1]
        expected = cv2.imdecode(png, cv2.IMREAD_COLOR_RGB)
        assert read_orientation(block.tobytes()) == orientation
        assert np.array_equal(turn_upright(picture, orientation), expected)

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("channels", ["RGB", "RGBA"])
    def test_avif_is_turned_by_its_boxes(self, orientation, channels, tmp_path):
        pixels = np.full((24, 40, len(channels)), 255, np.uint8)
        pixels[..., 3:] = 200
        pixels[:12, :20, 0] = pixels[12:, 20:, 1] = 0
        block = Image.Exif()
        block[0x112] = orientation
        Image.fromarray(pixels, channels).save(tmp_path / "a.avif", exif=block, quality=100)
        read, _ = read_whole(tmp_path / "a.avif")
        upright = turn_upright(pixels, orientation)
        assert read.shape == upright.shape
        assert np.abs(read[3::6, 3::6].astype(int) - upright[3::6, 3::6]).max() <= 8

    @given(block=st.binary(max_size=60))
    def test_any_bytes_give_an_orientation_of_avif(self, block):
        for name in (b"", b"ipco", b"\0\0\0\x30ipco\0\0\0\x09irot", b"\0\0\0\x30ipco\0\0\0\x09imir"):
            assert 1 <= read_avif_orientation(name + block) <= 8

    def test_alpha_is_turned_too(self, noise, tmp_path):
        picture = noise(12, 20, 4)
        block = np.frombuffer(exif(6), np.uint8)
        pixels = cv2.cvtColor(picture, cv2.COLOR_RGBA2BGRA)
        png = cv2.imencodeWithMetadata(".png", pixels, [cv2.IMAGE_METADATA_EXIF], [block])[1]
        (tmp_path / "a.png").write_bytes(png.tobytes())
        assert np.array_equal(read_whole(tmp_path / "a.png")[0], np.rot90(picture, -1))

    @given(block=st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(lambda tail: exif(6)[:8] + tail)))
    def test_any_bytes_give_an_orientation(self, block):
        assert 1 <= read_orientation(block) <= 8
