"""Uploaded videos: translated in their turn, cancelled, refused, and never left behind."""

import shutil
import subprocess
from pathlib import Path
from time import sleep

import cv2
import httpx
import numpy as np
import pytest

from cyclegan_edge.runtime.web import videos
from cyclegan_edge.runtime.web.limits import RefusedError


def upload(server, path: Path, **query) -> httpx.Response:
    return server.client.post("/v1/videos", params=query, content=path.read_bytes())


def state(server, name: str) -> dict:
    return server.client.get(f"/v1/videos/{name}").json()


def finished(server, name: str, wait_until) -> dict:
    wait_until(lambda: state(server, name)["state"] not in ("queued", "running"))
    return state(server, name)


def folders(server) -> list[Path]:
    return [path for path in server.service.videos._root.path.iterdir() if path.is_dir()]


def frames(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    found = []
    while (read := capture.read())[0]:
        found.append(read[1])
    return found


@pytest.fixture
def held(start, monkeypatch):
    """A server whose engine waits between frames until it is let go."""
    one = start(limits={"queue": 6})
    backend = one.service.models.find(None).backend
    infer, open_gate = backend.infer, []

    def wait(batch):
        while not open_gate:
            sleep(0.01)
        return infer(batch)

    monkeypatch.setattr(backend, "infer", wait)
    one.service.let_go = lambda: open_gate.append(True)
    yield one
    one.service.let_go()


def test_a_video_comes_back_inverted_and_can_be_deleted(server, clip, tmp_path, wait_until) -> None:
    queued = upload(server, clip(12))
    assert queued.status_code == 202
    told = queued.json()
    assert queued.headers["location"] == f"/v1/videos/{told['id']}"
    assert (told["total"], told["model"]) == (12, "invert")

    done = finished(server, told["id"], wait_until)
    assert (done["state"], done["frames"], done["detail"]) == ("done", 12, None)
    answer = server.client.get(f"/v1/videos/{told['id']}/result")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4")
    assert len(answer.content) == done["bytes"]
    result = tmp_path / "result.mp4"
    result.write_bytes(answer.content)
    for before, after in zip(frames(clip(12)), frames(result), strict=True):
        assert before.shape == after.shape
        assert abs(255 - before.mean() - after.mean()) < 8

    part = server.client.get(f"/v1/videos/{told['id']}/result", headers={"Range": "bytes=0-9"})
    assert (part.status_code, len(part.content)) == (206, 10)

    assert server.client.delete(f"/v1/videos/{told['id']}").status_code == 204
    assert server.client.get(f"/v1/videos/{told['id']}").status_code == 404
    assert folders(server) == []


def test_the_upload_is_gone_as_soon_as_it_is_translated(server, clip, wait_until) -> None:
    name = upload(server, clip(3)).json()["id"]
    finished(server, name, wait_until)
    (folder,) = folders(server)
    assert [path.name for path in folder.iterdir()] == ["translated.mp4"]
    server.client.delete(f"/v1/videos/{name}")


def test_a_size_bounds_the_work_and_not_the_result(server, clip, tmp_path, wait_until) -> None:
    name = upload(server, clip(3, 96, 128), size=32).json()["id"]
    assert finished(server, name, wait_until)["state"] == "done"
    (tmp_path / "small.mp4").write_bytes(server.client.get(f"/v1/videos/{name}/result").content)
    assert frames(tmp_path / "small.mp4")[0].shape == (96, 128, 3)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg to make a video with sound")
def test_sound_is_kept(server, tmp_path, wait_until) -> None:
    pytest.importorskip("av", reason="sound needs the extra `video`")
    path, result = tmp_path / "with-sound.mp4", tmp_path / "result.mp4"
    picture = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=1"]
    sound = ["-f", "lavfi", "-i", "sine=frequency=440:duration=1", "-c:v", "mpeg4", "-c:a", "aac"]
    subprocess.run(["ffmpeg", "-v", "error", *picture, *sound, path], check=True)
    name = upload(server, path).json()["id"]
    assert finished(server, name, wait_until)["state"] == "done"
    result.write_bytes(server.client.get(f"/v1/videos/{name}/result").content)
    import av

    with av.open(str(result)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]


def test_videos_wait_for_one_another_and_a_full_queue_says_so(held, clip, wait_until) -> None:
    first, second, third = (upload(held, clip(3)).json()["id"] for _ in range(3))
    wait_until(lambda: state(held, first)["state"] == "running")
    assert [state(held, name)["ahead"] for name in (first, second, third)] == [0, 1, 2]
    assert held.client.get(f"/v1/videos/{second}/result").status_code == 409

    refused = upload(held, clip(3))
    assert (refused.status_code, refused.json()["reason"]) == (429, "queue_full")
    assert "retry-after" in refused.headers

    held.service.let_go()
    assert [finished(held, name, wait_until)["state"] for name in (first, second, third)] == ["done"] * 3


def test_a_waiting_and_a_running_video_can_be_cancelled(held, clip, wait_until) -> None:
    running, waiting = (upload(held, clip(3)).json()["id"] for _ in range(2))
    wait_until(lambda: state(held, running)["state"] == "running")
    assert held.client.delete(f"/v1/videos/{waiting}").status_code == 204
    assert held.client.delete(f"/v1/videos/{running}").status_code == 204
    held.service.let_go()
    wait_until(lambda: folders(held) == [])
    assert held.service.videos.queued == 0
    name = upload(held, clip(3)).json()["id"]
    assert finished(held, name, wait_until)["state"] == "done"


def test_a_camera_is_served_between_the_frames_of_a_video(server, clip, picture, wait_until) -> None:
    name = upload(server, clip(150)).json()["id"]
    wait_until(lambda: state(server, name)["frames"] > 0)
    assert server.client.post("/v1/translate", content=picture()).status_code == 200
    assert finished(server, name, wait_until)["frames"] == 150


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (b"", (415, "no_video")),
        (b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\nfile:///etc/passwd\n", (415, "no_video")),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", (415, "no_video")),
        (b"RIFF\0\0\0\0AVI LIST" + bytes(100), (415, "no_video")),
        (bytes(4) + b"ftypisom" + bytes(100), (422, "damaged")),
        (b"\x1a\x45\xdf\xa3" + bytes(100), (422, "damaged")),
    ],
)
def test_what_is_no_video_is_refused_and_leaves_nothing(server, data: bytes, refusal) -> None:
    before = folders(server)
    refused = server.client.post("/v1/videos", content=data)
    assert (refused.status_code, refused.json()["reason"]) == refusal
    assert folders(server) == before


def test_a_video_cut_off_in_the_middle_is_refused(server, clip, tmp_path) -> None:
    cut = tmp_path / "cut.mp4"
    whole = clip(12).read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    assert upload(server, cut).status_code == 422


def test_too_many_bytes_pixels_or_frames(start, clip) -> None:
    small = start(limits={"video_bytes": 3000, "video_frames": 2, "video_pixels": 4000, "engine_pixels": 2000})
    refused = small.client.post("/v1/videos", content=bytes(3001))
    assert (refused.status_code, refused.json()["reason"]) == (413, "too_many_bytes")
    refused = small.client.post("/v1/videos", content=(bytes(1000) for _ in range(10)))
    assert (refused.status_code, refused.json()["reason"]) == (413, "too_many_bytes")
    assert upload(small, clip(1, 80, 80)).json()["reason"] == "too_many_pixels"
    assert upload(small, clip(3, 32, 32)).json()["reason"] == "too_many_frames"
    assert upload(small, clip(1, 60, 60)).json()["reason"] == "too_large_for_the_engine"
    assert folders(small) == []


def test_a_full_disk_is_told_before_it_is_full(held, clip) -> None:
    object.__setattr__(held.service.limits, "disk_bytes", 2 * clip(3).stat().st_size)
    assert upload(held, clip(3)).status_code == 202
    assert upload(held, clip(3)).status_code == 202
    refused = upload(held, clip(3))
    assert (refused.status_code, refused.json()["reason"]) == (429, "disk_full")


def test_a_result_that_grows_above_the_disk_ends_its_job(start, clip, wait_until) -> None:
    one = start(limits={"disk_bytes": clip(150).stat().st_size + 100})
    name = upload(one, clip(150)).json()["id"]
    told = finished(one, name, wait_until)
    assert told["state"] == "failed"
    assert "disk" in told["detail"]


def test_an_upload_that_breaks_off_leaves_nothing(server, clip, wait_until) -> None:
    def broken():
        yield clip(12).read_bytes()[:500]
        raise ConnectionError

    before = folders(server)
    with pytest.raises(ConnectionError):
        server.client.post("/v1/videos", content=broken())
    wait_until(lambda: folders(server) == before)
    assert server.service.videos.queued == 0


def test_old_results_are_removed(start, clip, wait_until) -> None:
    one = start(limits={"keep_seconds": 1})
    name = upload(one, clip(3)).json()["id"]
    assert finished(one, name, wait_until)["state"] == "done"
    wait_until(lambda: one.client.get(f"/v1/videos/{name}").status_code == 404)
    assert folders(one) == []


@pytest.mark.parametrize("name", ["..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "x" * 3000, "%00", "é"])
def test_a_video_is_never_found_by_a_path(server, name: str) -> None:
    for address in (f"/v1/videos/{name}", f"/v1/videos/{name}/result"):
        assert server.client.get(address).status_code == 404


def test_the_clients_name_for_a_file_is_not_used(server, clip, wait_until) -> None:
    headers = {"Content-Disposition": 'attachment; filename="../../evil.mp4"'}
    name = server.client.post("/v1/videos", content=clip(3).read_bytes(), headers=headers).json()["id"]
    finished(server, name, wait_until)
    answer = server.client.get(f"/v1/videos/{name}/result")
    assert "content-disposition" not in answer.headers
    assert not list(server.service.videos._root.path.rglob("*evil*"))


def test_stopping_the_server_removes_every_file(held, clip, wait_until) -> None:
    root = held.service.videos._root.path
    assert root.stat().st_mode & 0o777 == 0o700
    upload(held, clip(3))
    upload(held, clip(3))
    held.service.let_go()
    held.service.videos.close()
    assert not root.exists()


def test_results_are_removed_though_nobody_asks(start, clip, wait_until) -> None:
    one = start(limits={"keep_seconds": 1})
    name = upload(one, clip(3)).json()["id"]
    assert finished(one, name, wait_until)["state"] == "done"
    wait_until(lambda: folders(one) == [])


def test_visitors_take_turns(held, clip, wait_until) -> None:
    videos = held.service.videos
    running = upload(held, clip(3)).json()["id"]
    wait_until(lambda: state(held, running)["state"] == "running")
    jobs = []
    object.__setattr__(held.service.limits, "queue", 9)
    for visitor in ("10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2"):
        job = videos.admit(held.service.models.find(None), None, 0, visitor)
        shutil.copy(clip(3), job.folder / "upload")
        videos.start(job)
        jobs.append(job)
    assert [videos.ahead(job) for job in jobs] == [1, 3, 4, 2]
    held.service.let_go()
    wait_until(lambda: all(job.state == "done" for job in jobs))


def test_a_video_that_takes_too_long_is_ended(start, clip, wait_until) -> None:
    one = start()
    object.__setattr__(one.service.limits, "video_seconds", 0)
    told = finished(one, upload(one, clip(12)).json()["id"], wait_until)
    assert (told["state"], "takes longer than" in told["detail"]) == ("failed", True)


@pytest.mark.parametrize(("codec", "suffix"), [("ffv1", ".mkv"), ("rawvideo", ".mov")])
def test_a_codec_that_cameras_do_not_write_is_refused(server, tmp_path, codec: str, suffix: str) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / f"rare{suffix}"
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for packet in stream.encode(av.VideoFrame(64, 64, stream.pix_fmt)):
            out.mux(packet)
        out.mux(stream.encode(None))
    refused = upload(server, path)
    assert (refused.status_code, refused.json()["reason"]) == (422, "damaged")


@pytest.mark.parametrize("container", ["mpegts", "nut", "avi"])
@pytest.mark.parametrize("start", [bytes(4) + b"ftypisom", b"\x1a\x45\xdf\xa3"])
def test_another_container_behind_a_videos_first_bytes_is_refused(server, tmp_path, container: str, start) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "other"
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        out.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        out.mux(stream.encode(None))
    for data in (start + path.read_bytes(), start + path.read_bytes()[len(start) :]):
        refused = server.client.post("/v1/videos", content=data)
        assert (refused.status_code, refused.json()["reason"]) == (422, "damaged")


def test_one_visitor_cannot_fill_the_queue(held, clip) -> None:
    jobs, model = held.service.videos, held.service.models.find(None)
    accepted = []
    for visitor in ("10.0.0.1",) * 4 + ("10.0.0.2",) * 2:
        if len(accepted) == 3 and visitor == "10.0.0.1":  # of six places
            with pytest.raises(RefusedError, match="3 videos of yours"):
                jobs.admit(model, None, 0, visitor)
            continue
        job = jobs.admit(model, None, 0, visitor)
        shutil.copy(clip(3), job.folder / "upload")
        jobs.start(job)
        accepted.append(visitor)
    assert accepted == ["10.0.0.1"] * 3 + ["10.0.0.2"] * 2


def test_without_pyav_videos_are_refused_in_a_sentence(server, clip, monkeypatch) -> None:
    monkeypatch.setattr(videos, "has_pyav", lambda: False)
    refused = upload(server, clip(3))
    assert (refused.status_code, refused.json()["reason"]) == (501, "no_videos")
    assert "PyAV is not installed" in refused.json()["detail"]
    assert server.client.get("/v1/models").json()["videos"] is False


def test_a_disk_that_is_full_refuses_the_upload(server, clip, monkeypatch) -> None:
    def fail(job, received) -> None:
        raise OSError(28, "No space left on device")

    before = folders(server)
    monkeypatch.setattr(server.service.videos, "grow", fail)
    refused = upload(server, clip(3))
    assert (refused.status_code, refused.json()["reason"]) == (429, "disk_full")
    assert folders(server) == before


def test_a_request_for_a_thousand_ranges_does_not_multiply_the_answer(server, clip, wait_until) -> None:
    name = upload(server, clip(12)).json()["id"]
    size = finished(server, name, wait_until)["bytes"]
    for ranges in (",".join(["0-"] * 1000), ",".join(f"{start}-{start}" for start in range(0, 4000, 2))):
        answer = server.client.get(f"/v1/videos/{name}/result", headers={"Range": f"bytes={ranges}"})
        assert answer.status_code in (200, 206, 400, 416)
        assert len(answer.content) <= 2 * size + 1000
