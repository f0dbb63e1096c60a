"""Who is let in: by host name, origin and token; and what every answer carries."""

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from cyclegan_edge.runtime.errors import UsageError
from cyclegan_edge.runtime.web.guard import Access
from cyclegan_edge.runtime.web.limits import RefusedError
from cyclegan_edge.runtime.web.listening import check_exposure, read_token

TOKEN = "correct-horse-battery-staple"


@pytest.fixture
def locked(start):
    return start(token=TOKEN)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::"])
def test_a_foreign_host_name_is_turned_away(server, host: str) -> None:
    refused = server.client.get("/v1/models", headers={"Host": host})
    assert (refused.status_code, refused.json()["reason"]) == (421, "bad_host")


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"])
def test_the_names_of_loopback_are_answered(server, host: str) -> None:
    assert server.client.get("/v1/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://127.0.0.1:1", "file://", "http://[::"])
def test_another_sites_page_cannot_post_or_open_a_socket(server, picture, origin: str) -> None:
    refused = server.client.post("/v1/translate", content=picture(), headers={"Origin": origin})
    assert (refused.status_code, refused.json()["reason"]) == (403, "bad_origin")
    with pytest.raises(InvalidStatus) as denied, connect(f"{server.socket_url}/v1/live", origin=origin, proxy=None):
        pass
    assert denied.value.response.status_code == 403


def test_the_servers_own_page_can(server, picture) -> None:
    sent = server.client.post("/v1/translate", content=picture(), headers={"Origin": server.url})
    assert sent.status_code == 200
    with connect(f"{server.socket_url}/v1/live", origin=server.url, proxy=None):
        pass


@pytest.mark.parametrize("path", ["/", "/v1/models", "/static/page.js", "/healthz", "/nowhere"])
def test_every_answer_carries_the_security_headers(server, path: str) -> None:
    headers = server.client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/openapi.json", "/v1/stream.mjpg", "/v1/videos/x"])
@pytest.mark.parametrize("header", [None, "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é"])
def test_without_the_token_nothing_is_told(locked, path: str, header: str | None) -> None:
    headers = {"Authorization": header.encode("latin-1")} if header else {}
    refused = locked.client.get(path, headers=headers)
    assert (refused.status_code, refused.json()["reason"]) == (401, "missing_token")
    assert refused.headers["www-authenticate"].startswith("Bearer")


def test_without_the_token_no_socket_opens(locked) -> None:
    with pytest.raises(InvalidStatus) as denied, connect(f"{locked.socket_url}/v1/live", proxy=None):
        pass
    assert denied.value.response.status_code == 401
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with connect(f"{locked.socket_url}/v1/live", additional_headers=headers, proxy=None):
        pass


def test_the_token_opens_the_interface(locked, picture) -> None:
    headers = {"Authorization": f"bearer {TOKEN}", "Host": "a.name.of.this.machine"}
    assert locked.client.get("/v1/models", headers=headers).status_code == 200
    assert locked.client.post("/v1/translate", content=picture(), headers=headers).status_code == 200


def test_health_needs_no_token_and_says_nothing(locked) -> None:
    assert locked.client.get("/healthz").text == "ok\n"


def test_a_person_is_asked_to_sign_in_and_then_sees_the_page(locked) -> None:
    asked = locked.client.get("/")
    assert asked.status_code == 401
    assert 'action="/login"' in asked.text

    wrong = locked.client.post("/login", data={"token": "wrong"})
    assert wrong.status_code == 401
    assert not wrong.cookies

    signed_in = locked.client.post("/login", data={"token": TOKEN})
    assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/")
    cookie = signed_in.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert TOKEN not in cookie
    assert 'id="main"' in locked.client.get("/").text
    assert locked.client.get("/v1/models").status_code == 200


def test_a_session_of_another_server_opens_nothing(locked, start) -> None:
    cookies = locked.client.post("/login", data={"token": TOKEN}).cookies
    other = start(token=TOKEN)
    assert httpx.get(f"{other.url}/v1/models", cookies=cookies, trust_env=False).status_code == 401


def test_a_long_sign_in_is_refused(locked) -> None:
    assert locked.client.post("/login", content=b"token=" + b"x" * 10_000).status_code == 413


def test_a_server_without_a_token_signs_nobody_in(server) -> None:
    assert server.client.post("/login", data={"token": ""}).status_code == 401


@pytest.mark.parametrize("path", ["/static/../guard.py", "/static/%2e%2e/guard.py", "/static/..%2fapp.py", "/static/"])
def test_static_files_are_those_of_the_page_only(server, path: str) -> None:
    assert server.client.get(path).status_code == 404


def test_wrong_tokens_from_an_address_are_refused_for_a_while_and_logged_once(locked, caplog) -> None:
    answers = [locked.client.post("/login", data={"token": f"guess {number}"}).status_code for number in range(8)]
    assert answers == [401] * 5 + [429] * 3
    assert locked.client.post("/login", data={"token": TOKEN}).status_code == 429  # or guessing would go on
    assert sum("wrong tokens came from 127.0.0.1" in record.message for record in caplog.records) == 1
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert locked.client.get("/v1/models", headers=headers).status_code == 200


def test_the_failures_of_very_many_addresses_are_not_all_remembered() -> None:
    access = Access(TOKEN)
    for number in range(3000):
        with pytest.raises(RefusedError):
            access.sign_in("wrong", f"10.0.{number // 256}.{number % 256}")
    assert len(access._failures) <= 1000


@pytest.mark.parametrize(
    "token", ["a" * 20, "passwordpassword", "abcdefghijklmnopqrst", "1234567890123456789", "abab1" * 4]
)
def test_a_token_that_is_easy_to_guess_is_refused(token: str) -> None:
    with pytest.raises(UsageError, match="easy to guess"):
        check_exposure("0.0.0.0", token)


@pytest.mark.parametrize("token", [TOKEN, "Rk3vXq9LmT2wPz7B", "5f2c9a7e1b8d4063ab12"])
def test_a_token_that_is_not_is_taken(token: str) -> None:
    check_exposure("0.0.0.0", token)


def test_a_token_is_read_from_a_file(tmp_path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert read_token(tmp_path / "token") == TOKEN
    with pytest.raises(UsageError, match="cannot be read"):
        read_token(tmp_path / "missing")


def test_wrong_tokens_in_a_header_count_like_those_of_the_page(locked, caplog) -> None:
    def ask(token: str) -> int:
        return locked.client.get("/v1/models", headers={"Authorization": f"Bearer {token}"}).status_code

    assert [ask(f"guess {number}") for number in range(8)] == [401] * 5 + [429] * 3
    assert ask(TOKEN) == 200  # or a stranger could lock out everybody behind the same address
    assert sum("wrong tokens came from 127.0.0.1" in record.message for record in caplog.records) == 1
