"""The HTTP interface: pictures in and out, and every refusal that the document promises."""

import asyncio
import socket
import threading

import cv2
import httpx
import numpy as np
import pytest


def translated(server, data: bytes, **query) -> httpx.Response:
    return server.client.post("/v1/translate", params=query, content=data)


def reason(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    return answer.status_code, answer.json()["reason"]


def test_the_models_are_told_with_the_first_as_default(server) -> None:
    told = server.client.get("/v1/models").json()
    assert [model["name"] for model in told["models"]] == ["invert", "identity", "pinned"]
    assert told["models"][0]["engine"] == "onnxruntime"
    assert told["models"][0]["direction"] == "AtoB"
    assert told["models"][2]["size"] == [32, 48]
    assert told["limits"]["sockets"] == 64
    assert told["stream"] is False


@pytest.mark.parametrize(("height", "width"), [(48, 64), (1, 1), (17, 31), (200, 9)])
def test_a_picture_comes_back_inverted_at_its_own_size(server, picture, pixels, height: int, width: int) -> None:
    sent = picture(height, width)
    answer = translated(server, sent)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert float(answer.headers["x-engine-milliseconds"]) > 0
    assert np.array_equal(pixels(answer.content), 255 - pixels(sent))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("wanted", [None, "png", "jpeg", "webp"])
def test_formats(server, picture, pixels, suffix: str, wanted: str | None) -> None:
    sent = picture(suffix=suffix)
    answer = translated(server, sent, **({"format": wanted} if wanted else {}))
    own = {".png": "png", ".jpg": "jpeg", ".webp": "webp"}[suffix]
    assert answer.headers["content-type"] == f"image/{wanted or own}"
    difference = pixels(answer.content).astype(int) - (255 - pixels(sent).astype(int))
    assert np.abs(difference).mean() < 4


def test_another_model_is_chosen_by_name(server, picture, pixels) -> None:
    sent = picture()
    assert np.array_equal(pixels(translated(server, sent, model="identity").content), pixels(sent))


@pytest.mark.parametrize("query", [{"size": 32}, {"model": "pinned"}, {"model": "pinned", "size": 500}, {"size": 9999}])
def test_a_size_bounds_the_work_and_not_the_result(server, picture, pixels, query) -> None:
    sent = picture(96, 128)
    answer = translated(server, sent, **query)
    assert pixels(answer.content).shape == (96, 128, 3)
    difference = pixels(answer.content).astype(int) - (255 - pixels(sent).astype(int))
    assert np.abs(difference).mean() < 6


def test_a_picture_is_turned_upright(server, pixels) -> None:
    plain = cv2.imencode(".jpg", np.zeros((16, 40, 3), np.uint8))[1].tobytes()
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6
    exif = b"Exif\0\0" + tiff
    rotated = plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + plain[2:]
    assert pixels(translated(server, rotated, format="png").content).shape[:2] == (40, 16)


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ({"model": "../../etc/passwd"}, (404, "unknown_model")),
        ({"model": ""}, (404, "unknown_model")),
        ({"size": "0"}, (400, "bad_parameter")),
        ({"size": "-5"}, (400, "bad_parameter")),
        ({"size": "9" * 5000}, (400, "bad_parameter")),
        ({"size": "٣٢"}, (400, "bad_parameter")),
        ({"size": "1e3"}, (400, "bad_parameter")),
        ({"format": "gif"}, (400, "bad_parameter")),
    ],
)
def test_bad_parameters(server, picture, query, refusal) -> None:
    assert reason(translated(server, picture(), **query)) == refusal


def png_claiming(height: int, width: int, picture: bytes) -> bytes:
    return picture[:16] + width.to_bytes(4) + height.to_bytes(4) + picture[24:]


def test_hostile_pictures_are_refused_and_the_server_serves_on(server, picture) -> None:
    whole = picture(200, 300)
    progressive = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    hostile = {
        b"": (415, "no_picture"),
        b"not a picture": (415, "no_picture"),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>": (415, "no_picture"),
        whole[:30]: (422, "damaged"),
        whole[: len(whole) // 2]: (422, "damaged"),
        picture(200, 300, ".jpg")[:700]: (422, "damaged"),
        picture(200, 300, ".webp")[:100]: (422, "damaged"),
        png_claiming(0, 0, whole): (422, "damaged"),
        png_claiming(60_000, 60_000, whole): (413, "too_many_pixels"),
        png_claiming(2**31, 2**31, whole): (413, "too_many_pixels"),
        progressive[:-2] + b"\xff\xda" * 200: (413, "too_many_scans"),
        picture(1, 1) + bytes(33 * 2**20): (413, "too_many_bytes"),
    }
    for data, refusal in hostile.items():
        assert reason(translated(server, data)) == refusal, data[:40]
    assert translated(server, whole).status_code == 200


def test_what_is_too_large_for_the_engine_is_told_the_size_that_would_do(start, picture) -> None:
    small = start(limits={"engine_pixels": 2000})
    refused = translated(small, picture(60, 80))
    assert reason(refused) == (413, "too_large_for_the_engine")
    size = refused.json()["detail"].partition("size=")[2].split()[0]
    assert translated(small, picture(60, 80), size=size).status_code == 200


def test_a_picture_too_large_for_its_format_says_so(server, picture) -> None:
    refused = translated(server, picture(8, 20_000), format="webp")
    assert reason(refused) == (413, "too_large_for_the_format")


def test_a_body_that_lies_about_its_length_is_cut_off(start, picture) -> None:
    small = start(limits={"picture_bytes": 1000})
    assert reason(translated(small, bytes(1001))) == (413, "too_many_bytes")
    pieces = small.client.post("/v1/translate", content=(bytes(100) for _ in range(100)))  # chunked: no length told
    assert reason(pieces) == (413, "too_many_bytes")


def test_a_slow_upload_ends(start) -> None:
    slow = start(limits={"upload_seconds": 1})
    host, port = slow.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(f"POST /v1/translate HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\nabc".encode())
        answer = line.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"too_slow" in answer


def test_more_pictures_at_once_than_there_are_places(start, picture, monkeypatch, wait_until) -> None:
    narrow = start(limits={"pictures": 1})
    backend, go_on = narrow.service.models.find(None).backend, threading.Event()
    infer = backend.infer
    monkeypatch.setattr(backend, "infer", lambda batch: go_on.wait(20) and infer(batch))
    host, port = narrow.url.removeprefix("http://").split(":")
    sent = picture()
    with socket.create_connection((host, int(port)), timeout=10) as line:
        head = f"POST /v1/translate HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(sent)}\r\n\r\n".encode()
        line.sendall(head + sent)
        wait_until(lambda: narrow.service.pictures.taken == 1)
        refused = translated(narrow, sent)
        assert reason(refused) == (429, "busy")
        assert int(refused.headers["retry-after"]) > 0
        go_on.set()
        assert line.recv(12) == b"HTTP/1.1 200"
    assert translated(narrow, sent).status_code == 200


def test_a_client_that_goes_away_frees_its_place(start, picture, wait_until) -> None:
    one = start(limits={"pictures": 1})
    uploads = one.service.uploads
    host, port = one.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(f"POST /v1/translate HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\nabc".encode())
        wait_until(lambda: uploads.in_memory == 3)
    wait_until(lambda: uploads.in_memory == 0)
    assert translated(one, picture()).status_code == 200


def test_a_failing_engine_is_a_500_with_a_sentence(start, picture, monkeypatch) -> None:
    from cyclegan_edge.runtime.errors import BackendError

    broken = start()
    backend = broken.service.models.find(None).backend

    def fail(batch: object) -> None:
        raise BackendError("the device is gone")

    monkeypatch.setattr(backend, "infer", fail)
    refused = translated(broken, picture())
    assert reason(refused) == (500, "engine_failed")
    assert "the device is gone" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/translate", 405), ("DELETE", "/v1/models", 405), ("GET", "/v1/nothing", 404), ("PUT", "/", 405)],
)
def test_unknown_endpoints_and_methods(server, method: str, path: str, status: int) -> None:
    refused = server.client.request(method, path)
    assert reason(refused) == (status, "no_such_endpoint")
    assert ("allow" in refused.headers) == (status == 405)


def test_pictures_at_the_same_time_come_back_to_their_senders(server, picture, pixels) -> None:
    sizes = [(8 + 3 * i, 40 - i) for i in range(12)]

    async def all_at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30) as client:
            return await asyncio.gather(
                *(client.post("/v1/translate", content=picture(height, width)) for height, width in sizes)
            )

    answers = asyncio.run(all_at_once())
    for (height, width), answer in zip(sizes, answers, strict=True):
        assert np.array_equal(pixels(answer.content), 255 - pixels(picture(height, width)))


def test_the_engine_runs_in_one_thread_only(server, picture, monkeypatch) -> None:
    backend = server.service.models.find(None).backend
    infer, seen = backend.infer, set()

    def watched(batch):
        seen.add(threading.current_thread().name)
        return infer(batch)

    monkeypatch.setattr(backend, "infer", watched)
    for _ in range(5):
        translated(server, picture())
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("channels", "kind", "taken"), [(3, np.uint8, 200), (4, np.uint8, 413), (3, np.uint16, 413), (4, np.uint16, 413)]
)
def test_depth_and_alpha_count_as_pixels(start, channels: int, kind: type, taken: int) -> None:
    narrow = start(limits={"picture_pixels": 1000})
    sent = cv2.imencode(".png", np.full((30, 33, channels), 99, kind))[1].tobytes()
    assert translated(narrow, sent).status_code == taken


@pytest.mark.parametrize(("suffix", "channels"), [(".jpg", 3), (".png", 3), (".png", 4), (".webp", 4)])
@pytest.mark.parametrize("orientation", [1, 6, 7])
def test_a_large_picture_comes_back_as_a_small_one_does(server, suffix: str, channels: int, orientation: int) -> None:
    """Large ones are decoded in another way: a JPEG at a part of its size, others straight into our memory."""
    rows, columns = np.mgrid[0:1200, 0:1000]
    smooth = np.stack([columns // 4, rows // 5, (rows + columns) // 9, columns // 5 + 40], -1)[..., :channels]
    encoded = cv2.imencode(suffix, smooth.astype(np.uint8), [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation]) + bytes(7)
    if suffix == ".jpg":
        encoded = encoded[:2] + b"\xff\xe1" + (len(tiff) + 8).to_bytes(2) + b"Exif\0\0" + tiff + encoded[2:]
    elif orientation != 1:
        pytest.skip("OpenCV writes EXIF into JPEG alone")
    answer = translated(server, encoded, size=250, format="png")
    result = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    upright = smooth if orientation == 1 else np.rot90(smooth[:, ::-1] if orientation == 7 else smooth, 3)
    assert result.shape == upright.shape
    difference = np.abs(result[..., :3].astype(int) - (255 - upright[..., :3]))
    assert difference.mean() < 2
    if channels == 4:
        assert np.array_equal(result[..., 3], upright[..., 3])


def test_a_large_picture_that_ends_early_is_refused(server, noise) -> None:
    whole = cv2.imencode(".png", noise(1100, 1000, 3))[1].tobytes()
    assert translated(server, whole[: len(whole) // 2], size=64).json()["reason"] == "damaged"
