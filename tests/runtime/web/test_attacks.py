"""Attacks on the server's resources, small and quick: `docs/security.md` has a row for each."""

import socket
import struct
import subprocess
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction
from types import SimpleNamespace

import cv2
import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from cyclegan_edge.runtime.web import connections, crowd, uploads
from cyclegan_edge.runtime.web.crowd import make_room
from cyclegan_edge.runtime.web.limits import RefusedError
from cyclegan_edge.runtime.web.parameters import SIZES, Parameters
from cyclegan_edge.runtime.web.service import open_service

MIB = 2**20
POST = b"POST /v1/translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n"
HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="reads /proc")


@pytest.fixture
def victim(attacked):
    with attacked() as one:
        yield one


@pytest.fixture
def brief(monkeypatch):
    """Deadlines of a second, for servers in this process."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(uploads, "PATIENCE", 1.0)


def fill(line: socket.socket, block: bytes, most: int) -> int:
    """Send a block again and again until the other side has had enough; return how many bytes went."""
    sent = 0
    try:
        while sent < most:
            line.sendall(block)
            sent += len(block)
    except OSError:
        pass
    return sent


def ended(line: socket.socket, seconds: float) -> bool:
    """Whether the other side closes a connection in time; what it says before is passed over."""
    line.settimeout(seconds)
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            if not line.recv(65536):
                return True
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


def address(server) -> tuple[str, int]:
    host, port = server.url.removeprefix("http://").split(":")
    return host, int(port)


def test_a_request_head_without_end_is_cut_off(victim) -> None:
    with victim.connect(HEAD + b"X: ") as line:
        assert fill(line, bytes(b"a" * MIB), 64 * MIB) < 32 * MIB
    with victim.connect(HEAD) as line:
        assert fill(line, b"a:b\r\n" * 10_000, 64 * MIB) < 32 * MIB
    with victim.connect(b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n") as line:
        assert fill(line, b"a:b\r\n" * 10_000, 64 * MIB) < 32 * MIB  # trailers
    assert victim.grown < 50


def test_requests_behind_one_another_do_not_pile_up(victim) -> None:
    with victim.connect() as line:
        line.settimeout(3)
        fill(line, (HEAD.replace(b"/ ", b"/healthz ") + b"\r\n") * 5000, 64 * MIB)
    assert victim.grown < 50


def test_idle_connections_make_room(victim) -> None:
    lines = [victim.connect() for _ in range(700)]
    assert victim.serves()
    assert victim.most_descriptors < 600
    assert victim.log.read_text().count("the most there may be") == 1
    for line in lines:
        line.close()


def test_bodies_that_do_not_come_make_room_too(victim) -> None:
    head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx"
    lines = [victim.connect(head) for _ in range(600)]
    assert victim.serves()
    for line in lines:
        line.close()


def test_a_connection_that_says_nothing_is_closed(start, brief) -> None:
    silent = start()
    for sent in (b"", b"GET / HT", b"\r\n", HEAD):
        with socket.create_connection(address(silent)) as line:
            line.sendall(sent)
            assert ended(line, 10), sent


def test_slow_uploads_hold_no_place_and_end(start, brief, picture, clip) -> None:
    one = start(limits={"pictures": 1, "queue": 1})
    lines = []
    for path in (b"/v1/translate", b"/v1/videos"):
        for _ in range(8):
            lines.append(socket.create_connection(address(one)))
            head = b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
            lines[-1].sendall(head)
    assert one.client.post("/v1/translate", content=picture()).status_code == 200
    assert one.client.post("/v1/videos", content=clip(3).read_bytes()).status_code == 202
    assert all(ended(line, 10) for line in lines)
    assert one.service.uploads.in_memory == 0
    for line in lines:
        line.close()


def test_the_slowest_of_too_many_uploads_is_refused(start, picture) -> None:
    one = start(limits={"upload_memory": 3 * MIB})
    with socket.create_connection(address(one)) as slow:
        slow.sendall(POST + bytes(2 * MIB))
        time.sleep(0.5)
        noise = np.random.default_rng(0).integers(0, 256, (800, 900, 3), dtype=np.uint8)
        sent = cv2.imencode(".png", noise)[1].tobytes()
        assert len(sent) > MIB
        assert one.client.post("/v1/translate", content=sent).status_code == 200
        assert slow.recv(12) == b"HTTP/1.1 429"


def test_answers_that_nobody_reads_are_cut_off(attacked) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    sent = cv2.imencode(".jpg", noise)[1].tobytes()
    request = b"POST /v1/translate?format=png HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(sent)
    with attacked("--limit", "send_seconds=2", token=None) as victim:
        before = victim.most_descriptors
        lines = []
        for _ in range(8):
            lines.append(socket.socket())
            lines[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lines[-1].connect(("127.0.0.1", int(victim.url.rpartition(":")[2])))
            lines[-1].sendall(request + sent)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and victim.log:
            time.sleep(0.2)
            if all(_is_reset(line) for line in lines):
                break
        else:
            raise AssertionError("the answers are still kept")
        assert victim.grown < 200
        assert before <= victim.most_descriptors < before + 30
        for line in lines:
            line.close()


def _is_reset(line: socket.socket) -> bool:
    try:
        line.send(b"\r\n")
    except OSError:
        return True
    return False


@pytest.mark.parametrize(
    "block",
    [b"\x89\xfd" + bytes(4) + b"p" * 125, b"\x8a\x80" + bytes(4), b"\x00\x80" + bytes(4)],
    ids=["pings", "pongs", "fragments"],
)
def test_a_flood_of_small_websocket_frames_is_cut_off(attacked, block: bytes) -> None:
    with attacked(token=None) as victim, victim.open_websocket() as line:
        line.sendall(b"\x02\x80" + bytes(4) if block[0] == 0 else b"")
        assert fill(line, block * (MIB // len(block)), 64 * MIB) < 16 * MIB
        assert victim.serves()
        assert victim.grown < 50


def test_a_websocket_opened_with_too_many_fields_leaves_no_traceback(attacked) -> None:
    with attacked(token=None) as victim:
        fields = b"".join(b"X-%d: y\r\n" % number for number in range(500))
        key = b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        head = b"GET /v1/live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n" + key + fields + b"\r\n"
        with victim.connect(head) as line:
            assert ended(line, 10)


def test_stopping_while_bodies_are_awaited_leaves_no_traceback(attacked) -> None:
    with attacked(token=None) as victim:
        head = b"POST /v1/translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx"
        lines = [victim.connect(head) for _ in range(4)]
    for line in lines:
        line.close()


def test_stopping_while_the_stream_is_watched_leaves_no_traceback(attacked) -> None:
    with attacked("-i", "test:bars?live=yes", token=None) as victim:
        lines = [victim.connect(HEAD.replace(b"/ ", b"/v1/stream.mjpg ") + b"\r\n") for _ in range(3)]
        assert all(b"200" in line.recv(100) for line in lines)
    for line in lines:
        line.close()


@pytest.mark.slow
def test_viewers_who_do_not_read_are_let_go(attacked) -> None:
    options = ("-i", "test:bars?live=yes&size=1280x960", "--size", "1024", "--limit", "send_seconds=1")
    with attacked(*options, token=None) as victim:
        lines = []
        for _ in range(3):
            lines.append(socket.socket())
            lines[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lines[-1].connect(("127.0.0.1", int(victim.url.rpartition(":")[2])))
            lines[-1].sendall(HEAD.replace(b"/ ", b"/v1/stream.mjpg ") + b"\r\n")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.5)
            if all(_is_reset(line) for line in lines):
                break
        else:
            raise AssertionError("the viewers are still connected")
        for line in lines:
            line.close()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_text_that_unpacks_to_gigabytes_is_never_unpacked(victim, picture) -> None:
    plain = picture(64, 64)
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(8 * MIB), 9))
    profile = chunk(b"iCCP", b"Profile\0\0" + zlib.compress(bytes(8 * MIB), 9))
    bomb = plain[:33] + profile * 250 + text * 250 + plain[33:]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(victim.post, [bomb] * 4))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert victim.grown < 100


def test_large_pictures_are_worked_on_one_at_a_time(victim) -> None:
    large = cv2.imencode(".jpg", np.zeros((3000, 3300, 3), np.uint8))[1].tobytes()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(victim.post, [large] * 6, ["/v1/translate?size=64"] * 6))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert victim.grown < 200


def test_a_video_that_grows_takes_no_memory(attacked, tmp_path) -> None:
    import av  # its frames, which the header promises to be small

    path = tmp_path / "grows.mkv"
    frames = [cv2.imencode(".jpg", np.full((side, side, 3), 99, np.uint8))[1].tobytes() for side in (64, 6000)]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuvj420p"
        for number in range(8):
            packet = av.Packet(frames[number >= 5])
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 25)
            out.mux(packet)
    with attacked(token=None) as victim:
        job = victim.post(path.read_bytes(), "/v1/videos").json()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and job["state"] in ("queued", "running"):
            job = httpx.get(f"{victim.url}/v1/videos/{job['id']}", trust_env=False).json()
        assert (job["state"], job["frames"]) == ("done", 5)
        assert victim.grown < 150


def test_the_head_of_the_endless_stream_ends(start, wait_until) -> None:
    one = start(address="test:bars?live=yes")
    answer = one.client.head("/v1/stream.mjpg", timeout=5)
    assert answer.headers["content-type"].startswith("multipart/x-mixed-replace")
    wait_until(lambda: one.service.sockets.taken == 0)


@settings(deadline=None)
@given(
    size=st.one_of(st.text(max_size=30), st.integers().map(str), st.just("0" * 9 + "9" * 5000)),
    kind=st.one_of(st.none(), st.text(max_size=10), st.sampled_from(["png", "jpeg", "webp"])),
    model=st.one_of(st.none(), st.text(max_size=300), st.just("invert")),
)
def test_no_parameter_is_a_fault(size: str, kind: str | None, model: str | None) -> None:

    def find(name):
        if name not in (None, "invert"):
            raise RefusedError(404, "unknown_model", "")

    query = {"size": size} | ({"format": kind} if kind is not None else {}) | ({"model": model} if model else {})
    with suppress(RefusedError):
        assert Parameters.parse(QueryParams(query), SimpleNamespace(find=find)).longest in SIZES


def test_a_blank_line_after_an_answer_does_not_hold_a_connection(start, brief) -> None:
    one = start()
    with socket.create_connection(address(one)) as line:
        line.sendall(HEAD.replace(b"/ ", b"/healthz ") + b"\r\n")
        assert b"200" in line.recv(4096)
        line.sendall(b"\r\n")
        assert ended(line, 10)


def test_who_opens_most_connections_makes_room() -> None:
    class One(SimpleNamespace):
        __hash__ = object.__hash__

        def is_idle(self) -> bool:
            return self.heard != 1.0

    def one(host: str, heard: float) -> One:
        return One(client=(host, 1), heard=heard, evicted=False, transport=SimpleNamespace(abort=lambda: None))

    everybody = {one("10.0.0.2", 0.0), *(one("10.0.0.1", float(number + 1)) for number in range(600))}
    make_room(next(iter(everybody)), everybody)
    assert [who.heard for who in everybody if who.evicted] == [2.0]  # the first of the crowd is at work


def test_handshakes_that_do_not_end_count_and_are_closed(model, run_server, brief, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(crowd, "MAX_CONNECTIONS", 20)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*request, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    service = open_service([model("invert")], backend="onnxruntime", device="cpu")
    with run_server(service, certificate=certificate, key=key) as one:
        host, port = one.url.removeprefix("https://").split(":")
        lines = [socket.create_connection((host, int(port))) for _ in range(40)]
        for _ in range(10):  # a request may come together with the end of the handshake, or later
            assert httpx.get(f"{one.url}/healthz", verify=False, trust_env=False, timeout=20).text == "ok\n"
        assert all(ended(line, 10) for line in lines)
        lines.append(socket.create_connection((host, int(port))))
        lines[-1].sendall(HEAD + b"\r\n")  # no TLS at all
        assert ended(lines[-1], 10)
        lines.append(socket.create_connection((host, int(port))))  # and the server ends in the midst of one
    for line in lines:
        line.close()
