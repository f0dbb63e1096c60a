"""A camera's WebSocket: frames come back to their numbers, the newest one counts, and nobody waits for the slow."""

import socket
import struct
from contextlib import contextmanager
from time import monotonic, sleep

import cv2
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect


@contextmanager
def camera(server, query: str = "", **options):
    with connect(f"{server.socket_url}/v1/live{query}", proxy=None, max_size=None, **options) as line:
        yield line


def frame(number: int, jpeg: bytes) -> bytes:
    return struct.pack("<I", number) + jpeg


def answer(line) -> tuple[int, float, bytes]:
    data = line.recv(timeout=20)
    return *struct.unpack_from("<If", data), data[8:]


@pytest.fixture
def slow(start, monkeypatch):
    """A server whose engine takes 0.2 seconds for a frame."""
    one = start()
    backend = one.service.models.find(None).backend
    infer = backend.infer

    def slowly(batch):
        sleep(0.2)
        return infer(batch)

    monkeypatch.setattr(backend, "infer", slowly)
    return one


def test_every_frame_comes_back_inverted_under_its_number(server, picture, pixels) -> None:
    with camera(server) as line:
        for number in (0, 1, 7, 2**32 - 1):
            sent = picture(40 + number % 9, 60, ".jpg")
            line.send(frame(number, sent))
            got, milliseconds, jpeg = answer(line)
            assert got == number
            assert 0 < milliseconds < 10_000
            difference = pixels(jpeg).astype(int) - (255 - pixels(sent).astype(int))
            assert np.abs(difference).mean() < 4


@pytest.mark.parametrize(("name", "inverted"), [("identity", False), ("pinned", True)])
def test_the_model_is_chosen_with_the_address(server, picture, pixels, name: str, inverted: bool) -> None:
    sent = picture(48, 64, ".jpg")
    with camera(server, f"?model={name}") as line:
        line.send(frame(1, sent))
        received = pixels(answer(line)[2]).astype(int)
    wanted = pixels(sent).astype(int)
    assert np.abs(received - (255 - wanted if inverted else wanted)).mean() < 6


def test_an_unknown_model_is_denied_before_the_socket_opens(server) -> None:
    with pytest.raises(InvalidStatus) as denied, camera(server, "?model=nothing"):
        pass
    assert denied.value.response.status_code == 404


def test_the_newest_frame_overtakes_and_every_frame_is_answered(slow, picture) -> None:
    jpeg = picture(16, 16, ".jpg")
    with camera(slow) as line:
        line.send(frame(0, jpeg))
        sleep(0.1)  # it is with the engine
        for number in range(1, 10):
            line.send(frame(number, jpeg))
        answers = [answer(line) for _ in range(10)]
    assert sorted(number for number, _, _ in answers) == list(range(10))
    assert [number for number, _, jpeg in answers if jpeg] == [0, 9]


def test_latency_stays_within_two_turns_of_the_engine(slow, picture) -> None:
    jpeg = picture(16, 16, ".jpg")
    sent, latencies, number = {}, [], 0
    with camera(slow) as line:
        end = monotonic() + 3
        while monotonic() < end:
            sent[number] = monotonic()
            line.send(frame(number, jpeg))
            number += 1
            try:
                data = line.recv(timeout=0.02)
            except TimeoutError:
                continue
            if len(data) > 8:
                latencies.append(monotonic() - sent[struct.unpack_from("<I", data)[0]])
    assert len(latencies) >= 8
    assert max(latencies) < 2 * 0.2 + 0.25


@pytest.mark.parametrize(
    "message", ["text", b"", b"\0\0\0\0", frame(1, b"no picture"), frame(1, b"\xff\xd8\xff\xe0" + bytes(60))]
)
def test_a_bad_frame_closes_its_own_socket_only(server, picture, message) -> None:
    with camera(server) as other, camera(server) as line:
        line.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            line.recv(timeout=10)
        assert closed.value.rcvd.code == 1008
        assert closed.value.rcvd.reason
        other.send(frame(3, picture(16, 16, ".jpg")))
        assert answer(other)[0] == 3


def test_too_many_bytes_or_pixels_close_the_socket(start, picture) -> None:
    small = start(limits={"frame_bytes": 20_000, "engine_pixels": 2000})
    with camera(small) as line:
        line.send(frame(1, bytes(30_000)))
        with pytest.raises(ConnectionClosed) as closed:
            line.recv(timeout=10)
        assert closed.value.rcvd.code == 1009
    with camera(small) as line:
        line.send(frame(1, picture(60, 60, ".jpg")))
        with pytest.raises(ConnectionClosed) as closed:
            line.recv(timeout=10)
        assert closed.value.rcvd.code == 1008
        assert "pixels" in closed.value.rcvd.reason


def test_more_viewers_than_sockets_are_denied_and_a_place_comes_back(start, picture, wait_until) -> None:
    narrow = start(limits={"sockets": 2})
    with camera(narrow), camera(narrow):
        with pytest.raises(InvalidStatus) as denied, camera(narrow):
            pass
        assert denied.value.response.status_code == 429
        assert int(denied.value.response.headers["Retry-After"]) > 0
    wait_until(lambda: narrow.service.sockets.taken == 0)
    with camera(narrow) as line:
        line.send(frame(1, picture(16, 16, ".jpg")))
        assert answer(line)[0] == 1


def test_a_viewer_who_does_not_read_holds_up_nobody_and_loses_the_socket(start, wait_until) -> None:
    one = start(limits={"send_seconds": 1})
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    jpeg = cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    host, port = one.url.removeprefix("http://").split(":")
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((host, int(port)))
        deaf.settimeout(0.5)
        opening = (
            "GET /v1/live HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            "",
            "",
        )
        deaf.sendall("\r\n".join(opening).encode())
        assert deaf.recv(12) == b"HTTP/1.1 101"
        message = frame(0, jpeg)
        masked = b"\x82\xff" + struct.pack(">Q", len(message)) + bytes(4) + message
        end = monotonic() + 30
        while monotonic() < end:
            try:
                deaf.sendall(masked)
            except (TimeoutError, ConnectionError):  # the server reads no more from who does not read
                break
        assert monotonic() < end
        with camera(one) as line:
            began = monotonic()
            line.send(frame(1, jpeg))
            assert answer(line)[0] == 1
            assert monotonic() - began < 5
        wait_until(lambda: one.service.sockets.taken == 0)


def test_a_failing_engine_closes_the_socket_with_the_reason(start, picture, monkeypatch) -> None:
    from cyclegan_edge.runtime.errors import BackendError

    broken = start()

    def fail(batch: object) -> None:
        raise BackendError("the device is gone")

    monkeypatch.setattr(broken.service.models.find(None).backend, "infer", fail)
    with camera(broken) as line:
        line.send(frame(1, picture(16, 16, ".jpg")))
        with pytest.raises(ConnectionClosed) as closed:
            line.recv(timeout=10)
    assert closed.value.rcvd.code == 1011
    assert "the device is gone" in closed.value.rcvd.reason
