"""`cyclegan serve --static` as its users meet it: a page of `cyclegan export --to web`, tried on this machine."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cyclegan_edge.runtime.web.static_folder import HEADERS

COMMAND = [sys.executable, "-c", "from cyclegan_edge.cli import main; main()", "serve", "--static"]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    folder = tmp_path / "mine-web"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>A page</title>")
    return folder


@pytest.fixture
def server(page: Path) -> Iterator[subprocess.Popen[str]]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*COMMAND, str(page), "--port", "0"], text=True, **pipes) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_the_page_with_the_headers_that_threads_need(server, stop: signal.Signals) -> None:
    answer = httpx.get(server.stdout.readline().strip(), trust_env=False)
    assert "A page" in answer.text
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    server.send_signal(stop)
    _, errors = server.communicate(timeout=20)
    assert server.returncode == 0
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (("--static", "{empty}"), 3, "there is no page in"),
        (("--static", "{page}", "-m", "model.onnx"), 2, "not both"),
        (("--static", "{page}", "--token", "secret", "--size", "128"), 2, "leave --token, --size out"),
        (("--static", "{page}", "--tls-key", "{page}/index.html"), 2, "--tls-key needs --tls-cert"),
    ],
)
def test_what_a_page_cannot_be_served_with(cyclegan, capsys, page, tmp_path, options, code: int, sentence: str) -> None:
    assert cyclegan("serve", *[each.format(page=page, empty=tmp_path) for each in options], "--port", "0") == code
    assert sentence in capsys.readouterr().err
