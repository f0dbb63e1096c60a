"""The attacks that server_attacks.py measures: what is sent, and what the attacker sees of it."""

import select
import socket
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from http.client import HTTPConnection, HTTPException
from io import BytesIO
from itertools import count
from json import loads

import av
import cv2
import numpy as np

MIB = 2**20
SECONDS = 30.0  # that a connection may say nothing
SMALL_BUFFER = 4096  # bytes that the system receives for an attacker who does not read
HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
STREAM = b"GET /v1/stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
WEBSOCKET = (
    b"GET /v1/live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PING = b"\x89\xfd" + bytes(4) + b"p" * 125
MESSAGE = b"\x02\x80" + bytes(4)  # the first part, empty, of a message that goes on
FRAGMENT = b"\x00\x80" + bytes(4)  # another, and not the last

_held: list[socket.socket] = []  # every connection of this process, open until it ends


@dataclass(frozen=True)
class Target:
    """A server on a port of loopback, and until when it is attacked."""

    port: int
    end: float  # of `time.monotonic`, which all processes of Linux share

    def left(self) -> float:
        """Return the seconds that are left."""
        return max(0.0, self.end - time.monotonic())

    def connect(self, sent: bytes = b"", receive_buffer: int | None = None) -> socket.socket:
        """Open a connection and send what it begins with."""
        line = socket.socket()
        _held.append(line)
        line.settimeout(SECONDS)
        if receive_buffer is not None:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        line.connect(("127.0.0.1", self.port))
        line.sendall(sent)
        return line


def request(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Send a request on a connection of its own; return the status and the body of the answer."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as line:
        line.request(method, path, body)
        answer = line.getresponse()
        return answer.status, answer.read()


def picture(height: int, width: int, suffix: str, noise: bool = False) -> bytes:
    """Encode a picture of smooth colours, or of noise."""
    if noise:
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    else:
        pixels = np.full((height, width, 3), 60, np.uint8)
        pixels[..., 0] = np.linspace(0, 255, width)
        pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    return cv2.imencode(suffix, pixels)[1].tobytes()


def closed_of(lines: Iterable[socket.socket]) -> str:
    """Say how many connections the server has closed; a byte that is sent finds those out whose end is unread."""
    lines = list(lines)
    watch = select.poll()
    for line in lines:
        with suppress(OSError):
            line.settimeout(0)
            line.send(b"\n")
        watch.register(line, select.POLLRDHUP)
    time.sleep(0.2)
    return f"{len(watch.poll(0))} of {len(lines)} connections closed"


def nobody(target: Target, payload: bytes) -> str:
    """Leave the server alone."""
    time.sleep(target.left())
    return ""


def growing_video() -> bytes:
    """Encode 30 frames of 64x64 and three of 15000x15000, as MJPEG in Matroska whose header names the small size."""
    small, large = (picture(side, side, ".jpg") for side in (64, 15_000))
    file = BytesIO()
    with av.open(file, "w", format="matroska") as out:
        stream = out.add_stream("mjpeg", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuvj420p"
        for number, frame in enumerate([small] * 30 + [large] * 3):
            packet = av.Packet(frame)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 25)
            out.mux(packet)
    return file.getvalue()


def post_video(target: Target, video: bytes) -> str:
    """Have a video translated, and wait for its end."""
    status, answer = request(target.port, "POST", "/v1/videos", video)
    if status != 202:
        return f"refused with {status}"
    job = loads(answer)
    while job["state"] in ("queued", "running") and target.left():
        time.sleep(0.05)
        job = loads(request(target.port, "GET", f"/v1/videos/{job['id']}")[1])
    return f"{job['state']}, {job['frames']} frames"


def text_bomb() -> bytes:
    """Put 250 `zTXt` chunks, which unpack to 8 MiB each, into a PNG picture of 1.9 MiB."""
    data = b"zTXtComment\0\0" + zlib.compress(bytes(8 * MIB), 9)
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    plain = picture(64, 64, ".png")
    return plain[:33] + chunk * 250 + plain[33:]


def post_pictures(target: Target, body: bytes, at_once: int, query: str = "", most: int | None = None) -> str:
    """Post a picture on several connections at once, again and again."""
    numbers: Iterator[int] = count() if most is None else iter(range(most))

    def post_on(_: int) -> Counter[str]:
        answers: Counter[str] = Counter()
        while target.left() and next(numbers, None) is not None:
            try:
                answers[str(request(target.port, "POST", f"/v1/translate{query}", body)[0])] += 1
            except (OSError, HTTPException):
                answers["cut off"] += 1
        return answers

    with ThreadPoolExecutor(at_once) as pool:
        answers = sum(pool.map(post_on, range(at_once)), Counter[str]())
    return ", ".join(f"{number} × {answer}" for answer, number in sorted(answers.items()))


def flood(target: Target, payload: bytes, opening: bytes, block: bytes, message: bytes | None = None) -> str:
    """Send a block without end, on one connection after another: WebSockets where a message is begun first."""
    blocks = block * (64 * 1024 // len(block))
    connections = sent = 0
    while target.left():
        connections += 1
        with suppress(OSError), closing(target.connect(opening)) as line:
            if message is not None and b" 101 " in line.recv(2000):
                line.sendall(message)
            while left := target.left():
                line.settimeout(left)
                line.sendall(blocks)
                sent += len(blocks)
    return f"{connections} connections took {sent / connections / MIB:.1f} MiB each"


def idle(target: Target, payload: bytes, connections: int) -> str:
    """Open connections and say nothing."""
    lines = [target.connect() for _ in range(connections)]
    time.sleep(target.left())
    return closed_of(lines)


def slow_bodies(target: Target, payload: bytes) -> str:
    """Begin 16 pictures and four videos, and send a byte of each in a second."""
    heads = [POST % (b"/v1/translate", 3_000_000)] * 16 + [POST % (b"/v1/videos", 512 * MIB)] * 4
    lines = [target.connect(head + b"x") for head in heads]
    while left := target.left():
        time.sleep(min(1.0, left))
        for line in lines:
            with suppress(OSError):
                line.send(b"x")
    return closed_of(lines)


def unread_answers(target: Target, body: bytes) -> str:
    """Have 40 pictures of noise translated to PNG, and read of each answer only that it comes."""
    head = POST % (b"/v1/translate?size=256&format=png", len(body))

    def ask(_: int) -> socket.socket | None:
        while target.left():
            with suppress(OSError):
                line = target.connect(head + body, SMALL_BUFFER)
                if line.recv(12, socket.MSG_WAITALL).endswith(b"200"):
                    return line
                line.close()
            time.sleep(0.2)
        return None

    with ThreadPoolExecutor(8) as pool:
        lines = [line for line in pool.map(ask, range(40)) if line is not None]
    time.sleep(target.left())
    return closed_of(lines)


def viewers(target: Target, payload: bytes) -> str:
    """Watch the server's stream 50 times, six of them without reading."""
    received = {target.connect(STREAM): 0 for _ in range(44)}
    stuck = [target.connect(STREAM, SMALL_BUFFER) for _ in range(6)]
    watching = set(received)
    while left := target.left():
        for line in select.select(list(watching), [], [], min(0.5, left))[0]:
            with suppress(OSError):
                if piece := line.recv(MIB):
                    received[line] += len(piece)
                    continue
            watching.discard(line)
    least, most = (each / MIB for each in (min(received.values()), max(received.values())))
    return f"readers: {least:.1f} to {most:.1f} MiB, {closed_of(received)}; stuck: {closed_of(stuck)}"


@dataclass(frozen=True)
class Attack:
    """An attack: `run` sends what `payload` has made, and returns what the attacker saw."""

    label: str
    run: Callable[[Target, bytes], str]
    payload: Callable[[], bytes] = bytes
    before: str = "not recorded"  # the figures of the server without limits, before the attacks were answered
    seconds: float = 12.0  # at most
    options: tuple[str, ...] = ()  # of cyclegan serve


ATTACKS = {
    "nobody": Attack("nobody attacks", nobody, before="", seconds=5),
    "video": Attack(
        "a video of 64x64 that becomes 15000x15000", post_video, growing_video, "RSS from 149 MB to 9.2 GB", seconds=30
    ),
    "png-text": Attack(
        "a PNG of 250 text chunks, four at once", partial(post_pictures, at_once=4), text_bomb,
        "others wait 69 s, SIGTERM 32 s",
    ),
    "head-field": Attack(
        "a head without end, one field", partial(flood, opening=HEAD + b"X: ", block=b"a"), before="frozen for 2.2 s"
    ),
    "head-fields": Attack(
        "a head without end, many fields", partial(flood, opening=HEAD, block=b"a:b\r\n"), before="376 MB"
    ),
    "idle-500": Attack("500 idle connections", partial(idle, connections=500)),
    "idle-530": Attack("530 idle connections", partial(idle, connections=530), before="503 for ever"),
    "idle-1100": Attack(
        "1,100 idle connections", partial(idle, connections=1100),
        before="out of descriptors, every connection dropped",
    ),
    "slow-bodies": Attack(
        "20 uploads of a byte a second", slow_bodies, before="all places taken for 300 s", seconds=15
    ),
    "unread": Attack(
        "40 answers of 6 MB that nobody reads", unread_answers, partial(picture, 2500, 2500, ".jpg", noise=True),
        "20 MB each stay in memory", seconds=35,
    ),
    "pings": Attack(
        "WebSocket pings without end", partial(flood, opening=WEBSOCKET, block=PING, message=b""), before="274 MB"
    ),
    "fragments": Attack(
        "empty WebSocket fragments without end",
        partial(flood, opening=WEBSOCKET, block=FRAGMENT, message=MESSAGE), before="frozen for 3 s",
    ),
    "large-jpegs": Attack(
        "JPEG pictures of 40 megapixels, eight at once", partial(post_pictures, at_once=8, query="?size=64"),
        partial(picture, 5000, 8000, ".jpg"),
    ),
    "pictures": Attack(
        "2,000 ordinary pictures, eight at once", partial(post_pictures, at_once=8, most=2000),
        partial(picture, 256, 256, ".png"), seconds=38,
    ),
    "viewers": Attack(
        "50 viewers of the stream, six of them stuck", viewers, before="the stuck ones keep their descriptors",
        seconds=38, options=("--input", "test:bars?live=yes"),
    ),
}  # fmt: skip
