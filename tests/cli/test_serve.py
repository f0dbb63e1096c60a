"""`cyclegan serve` as its users meet it: a process, its address, its refusals and its end."""

import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

COMMAND = [sys.executable, "-c", "from cyclegan_edge.cli import main; main()", "serve"]
TOKEN = "correct-horse-battery-staple"


@contextmanager
def serving(negative: Path, *options, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [*COMMAND, "-m", negative, "--port", "0", "--backend", "onnxruntime", *options]
    server = subprocess.Popen(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        assert server.stdout
        yield server, server.stdout.readline().strip()
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_address_serves_and_stops(negative, tmp_path, stop: signal.Signals) -> None:
    with serving(negative, TMPDIR=str(tmp_path)) as (server, url):
        assert url.startswith("http://127.0.0.1:")
        assert "CycleGAN Edge" in httpx.get(url, trust_env=False).text
        picture = cv2.imencode(".png", np.full((20, 30, 3), 40, np.uint8))[1].tobytes()
        answer = httpx.post(f"{url}v1/translate", content=picture, trust_env=False)
        translated = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
        assert translated.shape == (20, 30, 3)
        assert (translated == 215).all()
        assert list(tmp_path.glob("cyclegan-serve-*"))
        server.send_signal(stop)
        out, err = server.communicate(timeout=20)
        assert (server.returncode, out) == (0, "")
        assert "Traceback" not in err
        assert list(tmp_path.glob("cyclegan-serve-*")) == []


def test_the_token_may_come_from_the_environment(negative) -> None:
    with serving(negative, CYCLEGAN_TOKEN=TOKEN) as (_, url):
        assert httpx.get(f"{url}v1/models", trust_env=False).status_code == 401
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert httpx.get(f"{url}v1/models", headers=headers, trust_env=False).status_code == 200


@pytest.fixture
def certificate(tmp_path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    subprocess.run(
        [*request, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    return cert, key


def test_https(negative, certificate) -> None:
    cert, key = certificate
    with serving(negative, "--tls-cert", cert, "--tls-key", key, "--token", TOKEN) as (_, url):
        assert url.startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=str(cert))
        answer = httpx.post(f"{url}login", data={"token": TOKEN}, verify=trusted, trust_env=False)
        assert "Secure" in answer.headers["set-cookie"]


@pytest.fixture
def refused(cyclegan, capsys):
    def serve(*arguments) -> tuple[int, str]:
        return cyclegan("serve", *arguments), capsys.readouterr().err

    return serve


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_another_host_needs_a_token(negative, refused, host: str) -> None:
    code, told = refused("-m", negative, "--host", host)
    assert code == 2
    assert "--token" in told


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--token", "short"], 2, "16 printable ASCII characters"),
        (["--token", "é" * 20], 2, "16 printable ASCII characters"),
        (["--limit", "sokets=3"], 2, "did you mean sockets?"),
        (["--limit", "sockets=0"], 2, "must be 1 or more"),
        (["--limit", "sockets"], 2, "NAME=NUMBER"),
        (["--tls-key", __file__], 2, "--tls-cert"),
        (["--tls-cert", __file__], 2, "cannot be used"),
        (["-i", "/nowhere/video9"], 3, "there is no file or folder"),
        (["-i", "test:bars?size=64x48"], 2, "no camera or live stream"),
        (["--backend", "onnxruntme"], 2, "did you mean onnxruntime?"),
    ],
)
def test_mistakes_end_in_one_sentence(negative, refused, options, code: int, told: str) -> None:
    got, text = refused("-m", negative, "--port", "0", *options)
    assert got == code, text
    assert told in text
    assert "Traceback" not in text


def test_two_models_of_one_name_are_told_apart(negative, tmp_path, refused) -> None:
    (tmp_path / "negative.onnx").write_bytes(negative.read_bytes())
    code, told = refused("-m", negative, "-m", tmp_path / "negative.onnx", "--port", "0")
    assert code == 2
    assert "two models are called negative" in told


def test_a_missing_model(tmp_path, refused) -> None:
    code, told = refused("-m", tmp_path / "nothing.onnx", "--port", "0")
    assert code == 4
    assert "nothing.onnx" in told


def test_a_port_that_is_taken(negative, refused) -> None:
    with serving(negative) as (_, url):
        code, told = refused("-m", negative, "--port", url.rsplit(":", 1)[1].rstrip("/"))
    assert code == 2
    assert "--port" in told


def test_without_the_extra_it_says_what_to_install(negative, refused, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cyclegan_edge.runtime.web.server", None)
    code, told = refused("-m", negative)
    assert code == 2
    assert 'pip install "cyclegan-edge[web]"' in told
