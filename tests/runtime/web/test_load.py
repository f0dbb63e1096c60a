"""Many at once, for long: the memory stays flat, and everybody is served."""

import asyncio
import struct
from pathlib import Path

import httpx
import pytest
import websockets

pytestmark = pytest.mark.slow

VIEWERS, PICTURES, AT_ONCE = 50, 1000, 8


def resident_megabytes() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


async def watch(url: str, jpeg: bytes, stop: asyncio.Event) -> int:
    """Send a frame for every one that comes back, as a page does; return how many came."""
    received = 0
    async with websockets.connect(f"{url}/v1/live", max_size=None, proxy=None) as line:
        while not stop.is_set():
            await line.send(struct.pack("<I", received) + jpeg)
            answer = await asyncio.wait_for(line.recv(), 30)
            assert struct.unpack_from("<I", answer)[0] == received
            assert len(answer) > 8
            received += 1
    return received


async def post_pictures(client: httpx.AsyncClient, picture: bytes, number: int) -> None:
    for _ in range(number):
        answer = await client.post("/v1/translate", content=picture)
        assert answer.status_code == 200


async def crowd(server, jpeg: bytes, picture: bytes, pictures: int) -> list[int]:
    stop = asyncio.Event()
    watching = [asyncio.create_task(watch(server.socket_url, jpeg, stop)) for _ in range(VIEWERS)]
    async with httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as client:
        await asyncio.gather(*(post_pictures(client, picture, pictures // AT_ONCE) for _ in range(AT_ONCE)))
    stop.set()
    return await asyncio.gather(*watching)


def test_fifty_viewers_and_a_thousand_pictures(start, picture, wait_until) -> None:
    server = start()
    jpeg, png = picture(64, 64, ".jpg"), picture(64, 64)
    asyncio.run(crowd(server, jpeg, png, 200))  # everything that is made once is made
    before = resident_megabytes()
    frames = asyncio.run(crowd(server, jpeg, png, PICTURES))
    grown = resident_megabytes() - before
    assert min(frames) > 0
    assert min(frames) > max(frames) / 2  # one line, first come, first served
    assert grown < 30, f"{grown:.0f} MB more after {sum(frames)} frames and {PICTURES} pictures"
    wait_until(lambda: server.service.sockets.taken == 0)
    assert server.service.pictures.taken == 0
