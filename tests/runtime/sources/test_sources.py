"""Standard input, numbered pictures, cameras and the screen; what addresses say, and what is never shown of them."""

import sys
from fractions import Fraction
from io import BytesIO
from threading import Event
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclegan_edge.runtime.errors import InputError, StreamError, UsageError
from cyclegan_edge.runtime.frame import Frame, LostFramesError
from cyclegan_edge.runtime.sinks import sequence_sink, write_picture
from cyclegan_edge.runtime.sources import camera
from cyclegan_edge.runtime.sources.address import without_credentials
from cyclegan_edge.runtime.sources.raw import RawSource
from cyclegan_edge.runtime.sources.screen import open_screen
from cyclegan_edge.runtime.sources.sequence import SequenceSource, is_sequence

secrets = st.text("abc/?#@:&%=", min_size=1, max_size=20).map(lambda text: f"S3CRET{text}S3CRET")


class TestAddresses:
    @given(user=secrets, password=secrets, token=secrets)
    def test_no_user_password_or_token_is_shown(self, user, password, token):
        shown = without_credentials(f"rtsp://{user}:{password}@camera.local:554/stream?token={token}")
        assert "S3CRET" not in shown
        assert shown.startswith("rtsp://")

    def test_the_rest_is_shown(self):
        assert without_credentials("rtsp://u:p@host:554/a/b") == "rtsp://host:554/a/b"
        assert without_credentials("http://host/a.mp4") == "http://host/a.mp4"
        assert without_credentials("clip@home.mp4") == "clip@home.mp4"


class Trickle(BytesIO):
    """Gives a few bytes at a time, as a pipe may."""

    def read(self, size: int = -1, /) -> bytes:
        return super().read(min(size, 7))


class TestRawFrames:
    @given(count=st.integers(1, 5), stream=st.sampled_from([BytesIO, Trickle]))
    def test_frame_after_frame(self, count, stream):
        pixels = np.arange(count * 2 * 3 * 3, dtype=np.uint8).reshape(count, 2, 3, 3)
        source = RawSource("-?size=3x2&fps=24", stream(pixels.tobytes()))
        frames = list(source)
        assert np.array_equal([frame.pixels for frame in frames], pixels)
        assert [frame.time for frame in frames] == [Fraction(n, 24) for n in range(count)]

    def test_the_order_of_colours_can_be_told(self):
        (frame,) = RawSource("-?size=1x1&pixels=bgr24", BytesIO(bytes([1, 2, 3])))
        assert frame.pixels.tolist() == [[[3, 2, 1]]]

    def test_an_end_in_the_middle_of_a_frame_loses_it(self):
        frame, lost = RawSource("-?size=2x2", BytesIO(bytes(12 + 5)))
        assert frame.pixels.shape == (2, 2, 3)
        assert isinstance(lost, LostFramesError)
        assert lost.frames == 1

    def test_nothing_at_all(self):
        with pytest.raises(InputError, match="no frame of 640x480; check the size"):
            list(RawSource("-?size=640x480", BytesIO(b"")))

    def test_without_a_size(self):
        with pytest.raises(UsageError, match="do not say their size"):
            RawSource("-", BytesIO())


class TestSequences:
    @pytest.mark.parametrize(
        ("name", "answer"),
        [("f_%05d.png", True), ("%d.png", True), ("50%_off.png", False), ("a%sd.png", False), ("%d_%d.png", False)],
    )
    def test_what_is_one(self, name, answer):
        assert is_sequence(f"folder/{name}") == answer

    def test_pictures_come_by_their_numbers_and_keep_them(self, tmp_path):
        for number in (9, 10, 8, 11):
            write_picture(tmp_path / f"f{number}.png", np.full((4, 4, 3), number, np.uint8))
        write_picture(tmp_path / "f_other.png", np.zeros((4, 4, 3), np.uint8))
        source = SequenceSource(f"{tmp_path}/f%d.png?fps=10")
        assert (source.total, source.live, source.format.rate) == (4, False, 10)
        with sequence_sink(tmp_path / "out" / "g%03d.png") as write:
            for frame in source:
                assert frame.pixels[0, 0, 0] == frame.number
                write(frame)
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
            "g008.png",
            "g009.png",
            "g010.png",
            "g011.png",
        ]

    def test_frames_without_numbers_are_counted_from_one(self, tmp_path):
        with sequence_sink(tmp_path / "%02d.png") as write:
            for _ in range(2):
                write(Frame(np.zeros((4, 4, 3), np.uint8), tmp_path))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["01.png", "02.png"]

    def test_gaps_are_told(self, tmp_path):
        for number in (1, 2, 5, 9):
            write_picture(tmp_path / f"{number:03d}.png", np.zeros((4, 4, 3), np.uint8))
        with pytest.raises(InputError, match=r"3, 4, 6, 7, 8 of it are missing"):
            SequenceSource(f"{tmp_path}/%03d.png")
        write_picture(tmp_path / f"{10**15}.png", np.zeros((4, 4, 3), np.uint8))  # a time in microseconds
        with pytest.raises(InputError, match=r"3, 4, 6, 7, 8, … of it are missing"):
            SequenceSource(f"{tmp_path}/%03d.png")
        with pytest.raises(InputError, match=r"the first would be .*x_0001\.png"):
            SequenceSource(f"{tmp_path}/x_%04d.png")

    def test_a_damaged_picture_is_told_in_its_place(self, tmp_path):
        for number in (1, 2, 3):
            write_picture(tmp_path / f"{number}.png", np.zeros((4, 4, 3), np.uint8))
        (tmp_path / "2.png").write_text("x")
        kinds = [type(item) for item in SequenceSource(f"{tmp_path}/%d.png")]
        assert kinds == [Frame, InputError, Frame]


class FakeCapture:
    """A camera of three frames, which remembers what was asked of it."""

    def __init__(self, device, opened=True):
        self.device, self.opened, self.asked, self.left = device, opened, {}, 3

    def isOpened(self):
        return self.opened

    def set(self, key, value):
        self.asked[key] = value

    def read(self):
        self.left -= 1
        return (True, np.full((4, 6, 3), (255, 0, 10), np.uint8)) if self.left >= 0 else (False, None)

    def release(self):
        self.opened = False


class TestCameras:
    @pytest.fixture
    def captures(self, monkeypatch):
        made = []

        def make(device):
            made.append(FakeCapture(device, opened=device != 9))
            return made[-1]

        monkeypatch.setattr(cv2, "VideoCapture", make)
        return made

    @pytest.mark.parametrize(("text", "device"), [("0", 0), ("/dev/video2", 2), ("1?fps=15", 1)])
    def test_frames_are_rgb_and_the_camera_is_let_go(self, text, device, captures):
        source = camera.open_camera(text, Event())
        assert captures == []  # nothing is opened before frames are wanted
        frames = iter(source)
        first = next(frames)
        assert first.pixels[0, 0].tolist() == [10, 0, 255]
        frames.close()
        assert captures[0].device == device
        assert not captures[0].opened

    def test_what_is_asked_of_it(self, captures):
        frames = iter(camera.open_camera("0?size=1280x720&fps=30", Event()))
        next(frames)
        frames.close()
        asked = captures[0].asked
        assert (asked[cv2.CAP_PROP_FRAME_WIDTH], asked[cv2.CAP_PROP_FRAME_HEIGHT]) == (1280, 720)
        assert asked[cv2.CAP_PROP_FPS] == 30

    def test_one_that_is_not_there(self, captures):
        with pytest.raises(StreamError, match="the camera 9 cannot be opened; see which there are") as failure:
            next(iter(camera.open_camera("9", Event())))
        assert failure.value.kind == "unreachable"

    def test_those_of_linux_are_listed_without_the_extra(self, tmp_path, monkeypatch):
        (tmp_path / "video0").mkdir()
        (tmp_path / "video0" / "name").write_text("Integrated Camera\n")
        monkeypatch.setattr(camera, "_LINUX_DEVICES", tmp_path)
        monkeypatch.setattr(camera, "find_spec", lambda name: None)
        assert camera.list_cameras() == [camera.Camera("/dev/video0", "Integrated Camera", "V4L2")]

    def test_those_that_the_extra_knows(self, monkeypatch):
        def enumerate_cameras(api):
            if api == cv2.CAP_V4L2:
                return [SimpleNamespace(index=0, name="USB", path="/dev/video0")]
            raise NotImplementedError

        monkeypatch.setitem(
            sys.modules, "cv2_enumerate_cameras", SimpleNamespace(enumerate_cameras=enumerate_cameras, __spec__=1)
        )
        monkeypatch.setattr(cv2.videoio_registry, "getCameraBackends", lambda: [cv2.CAP_V4L2, cv2.CAP_ANY])
        assert camera.list_cameras() == [camera.Camera("/dev/video0", "USB", "V4L2")]


class FakeScreen:
    monitors = ({"left": 0, "top": 0, "width": 20, "height": 10}, {"left": 5, "top": 0, "width": 10, "height": 10})

    def __enter__(self):
        return self

    def __exit__(self, *ending):
        return None

    def grab(self, area):
        return np.full((area["height"], area["width"], 4), (1, 2, 3, 255), np.uint8)  # BGRA


class TestScreens:
    @pytest.fixture(autouse=True)
    def screen(self, monkeypatch):
        import mss

        monkeypatch.setattr(mss, "MSS", FakeScreen)

    @pytest.mark.parametrize(
        ("text", "shape"), [("screen:", (10, 20, 3)), ("screen:1", (10, 10, 3)), ("screen:1?region=1,2,4,6", (6, 4, 3))]
    )
    def test_a_monitor_or_a_part_of_it(self, text, shape):
        frames = iter(open_screen(text, Event()))
        first = next(frames)
        frames.close()
        assert first.pixels.shape == shape
        assert first.pixels[0, 0].tolist() == [3, 2, 1]

    def test_one_that_is_not_there(self):
        with pytest.raises(UsageError, match="there is no monitor 7"):
            next(iter(open_screen("screen:7", Event())))
        with pytest.raises(UsageError, match="names no monitor"):
            open_screen("screen:left", Event())
