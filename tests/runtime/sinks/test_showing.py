"""Frames on their way to eyes: views, overlay, browser, the window and its keys, virtual cameras, recordings."""

import json
import sys
import threading
from contextlib import contextmanager
from fractions import Fraction
from http.client import HTTPConnection
from pathlib import Path
from socket import socket
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from cyclegan_edge.runtime.control import Control
from cyclegan_edge.runtime.errors import InputError, OutputError, UsageError
from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.sinks import views, virtual_camera, window
from cyclegan_edge.runtime.sinks.mjpeg import mjpeg_sink
from cyclegan_edge.runtime.sinks.recording import Recording
from cyclegan_edge.runtime.sinks.views import Overlay, compose, viewed
from cyclegan_edge.runtime.sinks.window import Window
from cyclegan_edge.runtime.stats import Stats
from cyclegan_edge.runtime.video import VideoFormat, open_video

FORMAT = VideoFormat(Fraction(25), time_base=Fraction(1, 25))


def frame(value: int = 200, number: int = 0) -> Frame:
    pixels = np.full((40, 60, 3), value, np.uint8)
    return Frame(pixels, Path("f"), time=Fraction(number, 25), original=np.full((40, 60, 3), 50, np.uint8))


class TestViews:
    def test_translated(self):
        assert (compose(frame(), "translated") == 200).all()

    def test_side_by_side(self):
        picture = compose(frame(), "side-by-side")
        assert picture.shape == (40, 120, 3)
        assert (picture[:, :60] == 50).all()
        assert (picture[:, 60:] == 200).all()

    @pytest.mark.parametrize("split", [-1, 0, 0.25, 0.5, 1, 2])
    def test_split(self, split):
        picture = compose(frame(), "split", split)
        border = round(min(max(split, 0), 1) * 60)
        assert (picture[:, : max(0, border - 2)] == 50).all()
        assert (picture[:, border + 2 :] == 200).all()
        at_border = picture[0, max(0, border - 2) : border + 2, 0].tolist()
        assert at_border == ([0, 255, 255, 0] if 0 < border < 60 else [200 if border == 0 else 50] * 2)

    def test_the_overlay_writes_into_a_copy(self):
        stats = Stats()
        stats.dropped["capture"] = 3
        plain = frame(100)
        drawn = Overlay(stats).draw(plain, plain.pixels)
        assert (plain.pixels == 100).all()
        assert drawn.shape == plain.pixels.shape
        assert (drawn != 100).any()

    @pytest.mark.parametrize("size", [(48, 64), (120, 160), (256, 256), (360, 640), (1080, 1920)])
    @pytest.mark.parametrize("ground", [0, 255])
    @pytest.mark.parametrize(("channels", "dtype"), [(3, np.uint8), (4, np.uint8), (3, np.uint16)])
    def test_the_overlay_is_whole_and_stands_out_at_every_size_depth_and_ground(self, size, ground, channels, dtype):
        white = np.iinfo(dtype).max
        plain = np.full((*size, channels), ground * (white // 255), dtype)
        drawn = Overlay(Stats()).draw(Frame(plain, Path("f")), plain)
        light = drawn[..., 0] > 0.8 * white
        corner = np.argwhere(drawn[..., 0] != plain[..., 0]).max(axis=0) + 1
        ink = light[: corner[0], : corner[1]]
        assert ink.any()
        assert not ink[:, -1].any()  # nothing is cut off at the right
        assert not ink[-1].any()  # nor below
        assert 0.01 < ink.mean() < 0.5
        assert corner[0] < size[0]
        if channels == 4:
            assert (drawn[light, 3] == white).all()

    def test_the_overlays_rate_is_right_for_slow_frames_too(self, monkeypatch):
        times, shown = iter([0.0, 4.0, 8.0]), []
        monkeypatch.setattr(views, "perf_counter", lambda: next(times))
        monkeypatch.setattr(views, "_write", lambda picture, parts: shown.append(parts[0]))
        overlay = Overlay(Stats())
        for _ in range(3):
            overlay.draw(frame(), frame().pixels)
        assert shown == ["0.0 fps", "0.2 fps", "0.2 fps"]

    def test_views_keep_16_bits_and_compare_like_with_like(self):
        deep, flat = np.full((40, 60, 3), 60_000, np.uint16), np.full((40, 60, 3), 200, np.uint8)
        kept = compose(Frame(deep, Path("f"), original=deep // 2), "split")
        assert (kept.dtype, kept[0, 0, 0], kept[0, 59, 0]) == (np.uint16, 30_000, 60_000)
        assert kept.max() == 65_535
        mixed = compose(Frame(flat, Path("f"), original=deep), "side-by-side")
        assert (mixed.dtype, mixed[0, 0, 0], mixed[0, 119, 0]) == (np.uint8, 233, 200)

    def test_a_sink_gets_what_is_shown(self):
        got = []

        @contextmanager
        def sink():
            yield got.append

        with viewed(sink(), "side-by-side") as write:
            write(frame())
        assert got[0].pixels.shape == (40, 120, 3)


class TestBrowser:
    @pytest.fixture
    def port(self) -> int:
        with socket() as free:
            free.bind(("127.0.0.1", 0))
            return free.getsockname()[1]

    def get(self, port: int, path: str, host: str | None = None):
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{port}"})
        return connection.getresponse()

    def test_viewers_get_the_newest_frame_and_the_counts(self, port):
        stats = Stats(frames=7)
        before = threading.active_count()
        with mjpeg_sink(f"http://127.0.0.1:{port}", stats) as write:
            write(frame(10))
            write(frame(240))
            stream = self.get(port, "/stream.mjpg")
            assert stream.getheader("Content-Type") == "multipart/x-mixed-replace; boundary=frame"
            while not (line := stream.readline()).lower().startswith(b"content-length"):
                assert line
            stream.readline()
            jpeg = stream.read(int(line.split(b":")[1]))
            assert abs(int(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[0, 0, 0]) - 240) < 4
            assert json.load(self.get(port, "/stats.json"))["frames"] == 7
            assert b"/stream.mjpg" in self.get(port, "/").read()
            assert self.get(port, "/etc/passwd").status == 404
            assert self.get(port, "/stats.json", host="evil.example:80").status == 403
        assert threading.active_count() <= before + 1  # the viewer's own thread ends with its connection

    def test_other_sites_pages_cannot_show_the_frames_and_no_version_is_told(self, port):
        with mjpeg_sink(f"http://127.0.0.1:{port}", Stats()) as write:
            write(frame(10))
            for path in ("/", "/stats.json", "/stream.mjpg", "/nothing"):
                headers = self.get(port, path).headers
                assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
                assert headers["X-Frame-Options"] == "DENY"
                assert not any(sign.isdigit() for sign in headers["Server"])

    def test_nobody_watching_costs_no_encoding(self, port, monkeypatch):
        monkeypatch.setattr(cv2, "imencode", None)
        with mjpeg_sink(f"http://127.0.0.1:{port}", Stats()) as write:
            for number in range(5):
                write(frame(number=number))

    def test_a_port_that_is_taken(self, port):
        with (
            mjpeg_sink(f"http://127.0.0.1:{port}", Stats()),
            pytest.raises(OutputError, match="name another port"),
            mjpeg_sink(f"http://127.0.0.1:{port}", Stats()),
        ):
            pass


class TestWindow:
    @pytest.fixture
    def screen(self, monkeypatch):
        """A window that was never there: what it would show, and the keys that are typed."""
        screen = SimpleNamespace(shown=[], keys=[], visible=1.0)
        monkeypatch.setattr(cv2, "imshow", lambda title, picture: screen.shown.append(picture))
        monkeypatch.setattr(cv2, "pollKey", lambda: ord(screen.keys.pop(0)) if screen.keys else -1)
        monkeypatch.setattr(cv2, "getWindowProperty", lambda title, key: screen.visible)
        monkeypatch.setattr(cv2, "resizeWindow", lambda *arguments: None)
        monkeypatch.setattr(cv2, "destroyWindow", lambda title: screen.shown.append("closed"))
        return screen

    @pytest.fixture
    def shown(self, screen, tmp_path):
        control, recording = Control(), Recording(tmp_path, FORMAT)
        return SimpleNamespace(
            control=control, recording=recording, window=Window(control, recording, "translated", overlay=False)
        )

    def type(self, shown, screen, keys: str) -> None:
        with shown.window.sink() as write:
            write(frame())
            screen.keys.extend(keys)
            for _ in keys:
                shown.window.serve_keys()

    def test_frames_are_shown_and_the_window_is_closed(self, shown, screen):
        self.type(shown, screen, "")
        assert (screen.shown[0] == 200).all()
        assert screen.shown[-1] == "closed"

    @pytest.mark.parametrize("key", ["q", "\x1b"])
    def test_quitting(self, key, shown, screen):
        self.type(shown, screen, key)
        assert shown.control.stop.is_set()

    def test_closing_the_window_quits(self, shown, screen):
        screen.visible = 0.0
        self.type(shown, screen, "")
        assert shown.control.stop.is_set()

    def test_pausing_and_going_on(self, shown, screen):
        self.type(shown, screen, " ")
        assert shown.control.paused.is_set()
        self.type(shown, screen, " ")
        assert not shown.control.paused.is_set()

    def test_views_and_the_slider(self, shown, screen):
        self.type(shown, screen, "v<>>o")
        widths = [picture.shape[1] for picture in screen.shown[:-1]]
        assert widths == [60, 120, 60, 60, 60, 60]
        moved = screen.shown[4]
        assert (moved[:, :31] == 50).all()
        assert (moved[:, 36:] == 200).all()

    def test_snapshot_and_record_keys(self, shown, screen):
        self.type(shown, screen, "sr")
        assert shown.recording.snapshot.is_set()
        assert shown.recording.wanted.is_set()

    def test_no_display_is_told_before_anything_is_opened(self, monkeypatch):
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        with pytest.raises(OutputError, match="open it in a browser"):
            window.open_window()

    @pytest.mark.skipif(sys.platform != "linux", reason="only there a display is named")
    def test_a_display_that_nobody_answers_is_told(self, monkeypatch):
        monkeypatch.setenv("DISPLAY", ":99")
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        with pytest.raises(OutputError, match=r"the display :99 does not answer; .* open it in a browser"):
            window.open_window()


def test_recordings_are_written_when_asked_for(tmp_path):
    recording = Recording(tmp_path, FORMAT)
    with recording.sink() as write:
        write(frame(number=0))
        assert list(tmp_path.iterdir()) == []
        recording.snapshot.set()
        recording.wanted.set()
        for number in range(1, 5):
            write(frame(number=number))
        recording.wanted.clear()
        write(frame(number=5))
        recording.wanted.set()
        write(frame(number=6))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name.split("-")[0] for name in names] == ["recording", "recording", "snapshot"]
    assert [len(list(open_video(tmp_path / name))) for name in names[:2]] == [4, 1]


def test_a_snapshot_that_cannot_be_written_does_not_end_the_show(tmp_path, caplog):
    (tmp_path / "file").write_text("x")
    recording = Recording(tmp_path / "file", FORMAT)
    with recording.sink() as write:
        recording.snapshot.set()
        write(frame())
        write(frame())
    assert caplog.text.count("no snapshot: cannot write") == 1


class TestVirtualCamera:
    @pytest.fixture
    def sent(self, monkeypatch):
        sent = []

        class Camera:
            def __init__(self, width, height, fps, device=None):
                if device == "none":
                    raise RuntimeError("no device")
                self.width, self.height = width, height

            def __enter__(self):
                return self

            def __exit__(self, *ending):
                sent.append("closed")

            def send(self, pixels):
                sent.append(pixels.shape)

        monkeypatch.setitem(sys.modules, "pyvirtualcam", SimpleNamespace(Camera=Camera, __spec__=1))
        return sent

    def test_frames_are_sent_and_one_size_is_kept(self, sent):
        with virtual_camera.virtual_camera_sink(None, Fraction(30)) as write:
            write(frame())
            with pytest.raises(InputError, match="keeps one"):
                write(Frame(np.zeros((8, 8, 3), np.uint8), Path("f")))
        assert sent == [(40, 60, 3), "closed"]

    def test_none_there(self, sent):
        with (
            pytest.raises(OutputError, match="load v4l2loopback"),
            virtual_camera.virtual_camera_sink("none", Fraction(30)) as write,
        ):
            write(frame())

    def test_the_extra_is_missing(self, monkeypatch):
        monkeypatch.setattr(virtual_camera, "find_spec", lambda name: None)
        with (
            pytest.raises(UsageError, match=r"pip install .cyclegan-edge\[virtual-camera\]"),
            virtual_camera.virtual_camera_sink(None, Fraction(30)),
        ):
            pass
