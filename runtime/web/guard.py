"""Decide who may talk to the server, before anything else; add the security headers to every answer.

* Without a token the server listens on loopback only, and answers only to loopback's names: a foreign page that
  points its own domain at 127.0.0.1 (DNS rebinding) is turned away by its Host header.
* With a token every request needs it, as `Authorization: Bearer` or as the cookie that the sign-in sets.
* What changes anything, and every WebSocket, is refused where a browser says that another site's page sent it.
"""

import hmac
import logging
import secrets
from collections import deque
from time import monotonic
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from .limits import RefusedError
from .metrics import Metrics

LOGGER = logging.getLogger(__name__)

COOKIE = "cyclegan_session"
_FAILURES, _FAILURES_SECONDS = 5, 60.0  # wrong tokens from one address before its sign-ins are refused for a while
_MOST_ADDRESSES = 1000  # whose failures are remembered

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_WITHOUT_TOKEN = ("/static/", "/healthz", "/login")

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=()",
    "Referrer-Policy": "same-origin",  # with no-referrer a browser sends its own form with the origin "null"
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def problem(refusal: RefusedError) -> Response:
    """Return a refusal as RFC 9457 problem details."""
    return JSONResponse(
        {"status": refusal.status, "reason": refusal.reason, "detail": refusal.detail},
        status_code=refusal.status,
        headers=refusal.headers,
        media_type="application/problem+json",
    )


class Access:
    """The server's token, if it has one, and the session that it opens."""

    def __init__(self, token: str | None) -> None:
        self.token = token
        self._session = secrets.token_urlsafe(32)  # new with every start; the token itself is never in a cookie
        self._failures: dict[str, deque[float]] = {}

    def sign_in(self, token: str, address: str = "") -> str:
        """Return the value of the session's cookie to a visitor at `address`.

        Raises:
            RefusedError: 401, this is not the token; 429, too many wrong ones came from there in the last minute.
        """
        self._refuse_guesses(address)
        if self.token is None or not _equal(token, self.token):
            self._note_failure(address)
            raise RefusedError(401, "wrong_token", "this is not the server's token; ask whoever started the server")
        return self._session

    def _refuse_guesses(self, address: str) -> None:
        if len(self._recent_failures(address)) >= _FAILURES:
            raise RefusedError(
                429,
                "too_many_attempts",
                "too many wrong tokens came from your address; try again in a minute",
                {"Retry-After": f"{_FAILURES_SECONDS:.0f}"},
            )

    def _recent_failures(self, address: str) -> deque[float]:
        failures = self._failures.get(address, deque())
        while failures and monotonic() - failures[0] > _FAILURES_SECONDS:
            failures.popleft()
        return failures

    def _note_failure(self, address: str) -> None:
        failures = self._recent_failures(address)
        failures.append(monotonic())
        if len(failures) == _FAILURES:
            LOGGER.warning("%d wrong tokens came from %s; its sign-ins are refused for a minute", _FAILURES, address)
        self._failures.pop(address, None)
        self._failures[address] = failures
        if len(self._failures) > _MOST_ADDRESSES:
            self._failures.pop(next(iter(self._failures)))

    def check(self, connection: HTTPConnection) -> None:
        """Admit who brings the token or the session's cookie.

        Wrong tokens count as those of the sign-in do. The right one is let in even so, or a stranger could lock out
        everybody behind the same address.

        Raises:
            RefusedError: 401, neither is there; 429, too many wrong tokens came from there in the last minute.
        """
        if self.token is None:
            return
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if _equal(token.strip(), self.token):
                return
            address = connection.client.host if connection.client else ""
            self._refuse_guesses(address)
            self._note_failure(address)
        if not _equal(connection.cookies.get(COOKIE, ""), self._session):
            raise RefusedError(
                401,
                "missing_token",
                "this server needs its token: send the header Authorization: Bearer TOKEN, or sign in on the page",
                {"WWW-Authenticate": 'Bearer realm="cyclegan"'},
            )


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, access: Access, metrics: Metrics) -> None:
        self._app = app
        self._access = access
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let through to the application."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        sent = _with_headers(send)
        try:
            self._check(HTTPConnection(scope))
        except RefusedError as refusal:
            self._metrics.count("cyclegan_refused_total", reason=refusal.reason)
            if scope["type"] == "websocket":
                await WebSocket(scope, receive, sent).send_denial_response(problem(refusal))
                return
            if scope["path"] != "/" or refusal.status != 401:
                await problem(refusal)(scope, receive, sent)
                return
            scope["path"] = "/login"  # a person, who is shown where to sign in
        await self._app(scope, receive, sent)

    def _check(self, connection: HTTPConnection) -> None:
        if self._access.token is None:
            _check_host(connection.headers.get("host", ""))
        if connection.scope["type"] == "websocket" or connection.scope["method"] not in _SAFE_METHODS:
            _check_origin(connection.headers)
        if not connection.scope["path"].startswith(_WITHOUT_TOKEN):
            self._access.check(connection)


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return send_with_headers


def _check_host(host: str) -> None:
    if _hostname(host) not in _LOOPBACK_NAMES:
        raise RefusedError(
            421, "bad_host", "this server answers to 127.0.0.1 and localhost only; use one of these names"
        )


def _check_origin(headers: Headers) -> None:
    """Refuse a page of another site. Programs that are no browsers send no Origin."""
    origin = headers.get("origin")
    if origin is None:
        return
    place = _host_and_port(origin)
    if not place or place != headers.get("host", "").lower():
        raise RefusedError(403, "bad_origin", "this request comes from another site's page; open the server's own page")


def _host_and_port(url: str) -> str:
    """Return the host and port of a URL; empty where it has none, as the origin `null`."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _equal(candidate: str, secret: str) -> bool:
    """Compare in constant time, so that timing does not reveal where the two differ."""
    return hmac.compare_digest(candidate.encode(), secret.encode())
