"""The server of one folder: strangers neither fill its log nor its threads."""

import socket
import threading
from contextlib import suppress

import httpx
import pytest

from cyclegan_edge.runtime.web import static_folder
from cyclegan_edge.runtime.web.listening import listen
from cyclegan_edge.runtime.web.static_folder import StaticServer


@pytest.fixture
def page(tmp_path):
    (tmp_path / "index.html").write_text("<!doctype html>")
    with listen("127.0.0.1", 0) as listening:
        server = StaticServer(listening, tmp_path)
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        yield listening.getsockname()
        server.shutdown()
        thread.join()
        server.server_close()


def test_connections_without_end_make_room(page, monkeypatch) -> None:
    monkeypatch.setattr(static_folder, "MAX_CONNECTIONS", 10)
    before = threading.active_count()
    lines = [socket.create_connection(page) for _ in range(40)]
    for line in lines:
        line.sendall(b"GET / HT")
    assert httpx.get(f"http://127.0.0.1:{page[1]}/", trust_env=False).text == "<!doctype html>"
    for line in lines[:20]:
        line.settimeout(10)
        with suppress(ConnectionError):
            assert line.recv(10) == b""
    assert threading.active_count() - before <= 40
    for line in lines:
        line.close()


def test_what_is_no_request_leaves_no_traceback(page, capfd) -> None:
    for sent in (b"\x16\x03\x01\x02\0\x01\0", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200, b"\0" * 100):
        with socket.create_connection(page) as line:
            line.sendall(sent)
            line.shutdown(socket.SHUT_WR)
            line.settimeout(10)
            while line.recv(1000):
                pass
    assert "Traceback" not in capfd.readouterr().err
