"""The endpoints of `cyclegan serve`; `openapi.json` describes them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from ..errors import CycleganError
from .answers import PictureAnswer
from .broadcast import STREAM_TYPE, Broadcast, MotionJpeg, show
from .guard import COOKIE, Access, Guard, problem
from .limits import RefusedError
from .live import Viewer
from .metrics import CONTENT_TYPE
from .models import Model
from .parameters import Parameters
from .picture_header import read_header
from .pictures import translate_picture
from .service import Service
from .uploads import declared_bytes
from .videos import Job

LOGGER = logging.getLogger(__name__)

HERE = Path(__file__).parent
STATIC = HERE / "static"
_LONGEST_LOGIN = 4096  # bytes
_PROBE_BYTES = 6  # that a look at a video takes for each pixel of a frame: as it is coded, and in RGB


def create_app(service: Service, token: str | None = None) -> Starlette:
    """Return the application; it closes `service` when it shuts down."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(service.videos.sweep_regularly())
        yield
        sweeping.cancel()
        service.close()

    access = Access(token)
    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(Guard, access=access, metrics=service.metrics)],
        exception_handlers={
            RefusedError: _refused,
            HTTPException: _no_such_endpoint,
            CycleganError: _failed,
            ClientDisconnect: _left,
        },
        lifespan=lifespan,
    )
    app.state.service, app.state.access = service, access
    return app


async def page(request: Request) -> Response:
    """Send the page."""
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


async def login(request: Request) -> Response:
    """Show the sign-in form; exchange the token that it posts for a session cookie."""
    if request.method != "POST":
        return FileResponse(STATIC / "login.html", status_code=401)
    try:
        async with _service(request).uploads.whole(request, _LONGEST_LOGIN) as body:
            form = parse_qs(body.decode(errors="replace"))
        session = request.app.state.access.sign_in(form.get("token", [""])[0], _visitor(request))
    except RefusedError as refusal:
        if refusal.status not in (401, 429):
            raise
        _count(request, refusal)
        form_with_error = (STATIC / "login.html").read_text().replace(" hidden>", ">")
        return HTMLResponse(form_with_error, status_code=refusal.status)
    answer = RedirectResponse("/", status_code=303)
    answer.set_cookie(COOKIE, session, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return answer


async def models(request: Request) -> Response:
    """List the loaded models and the limits."""
    service = _service(request)
    return JSONResponse(
        {
            "models": [_describe_model(model) for model in service.models.by_name.values()],
            "size": service.longest,
            "videos": service.videos.possible,
            "stream": service.broadcast is not None,
            "limits": asdict(service.limits),
        }
    )


async def translate(request: Request) -> Response:
    """Translate one picture, the body of the request."""
    service = _service(request)
    asked = Parameters.parse(request.query_params, service.models)
    async with service.uploads.whole(request, service.limits.picture_bytes) as data:
        header = read_header(data)
        with service.pictures.one():
            translated, media_type, seconds = await service.in_thread(
                header.working_bytes if header else 0,
                translate_picture,
                service.models,
                asked.model,
                data,
                service.limits,
                asked.longest,
                asked.media_type,
            )
    service.metrics.count("cyclegan_translated_total", source="picture")
    return PictureAnswer(translated, media_type, {"X-Engine-Milliseconds": f"{seconds * 1000:.3f}"}, service.answers)


async def upload_video(request: Request) -> Response:
    """Receive a video, the body of the request, and queue it."""
    service = _service(request)
    asked = Parameters.parse(request.query_params, service.models)
    job = service.videos.admit(asked.model, asked.longest, declared_bytes(request), _visitor(request))
    try:
        await _receive_video(request, job)
        await service.in_thread(_PROBE_BYTES * service.limits.video_pixels, service.videos.start, job)
    except BaseException:  # cancelled too, as when the server stops
        service.videos.delete(job)
        raise
    return JSONResponse(_describe_job(request, job), status_code=202, headers={"Location": f"/v1/videos/{job.id}"})


async def _receive_video(request: Request, job: Job) -> None:
    service = _service(request)
    try:
        with (job.folder / "upload").open("wb") as file:
            async for piece in service.uploads.receive(request, service.limits.video_bytes):
                service.videos.grow(job, len(piece))
                await asyncio.to_thread(file.write, piece)  # not in the queue of those who wait for the engine
    except OSError as error:
        LOGGER.error("an upload cannot be written: %s", error.strerror or error)
        raise RefusedError(429, "disk_full", "the server cannot store the upload; try again later") from error


async def video(request: Request) -> Response:
    """Report the progress of a video, or cancel and delete it."""
    job = _service(request).videos.find(request.path_params["id"])
    if request.method != "DELETE":
        return JSONResponse(_describe_job(request, job))
    _service(request).videos.delete(job)
    return Response(status_code=204)


async def video_result(request: Request) -> Response:
    """Send the translated video, or the range of bytes that the request names, so that a browser can seek."""
    job = _service(request).videos.find(request.path_params["id"])
    if job.state != "done":
        raise RefusedError(409, "not_done", f"this video is {job.state}; fetch it once it is done")
    return FileResponse(job.result, media_type="video/mp4")


async def motion_jpeg(request: Request) -> Response:
    """Show the server's own camera as MJPEG."""
    service = _service(request)
    if request.method == "HEAD":
        return Response(media_type=STREAM_TYPE)  # the stream itself would never end
    return MotionJpeg(_broadcast(service), service.sockets, service.limits.send_seconds)


async def health(request: Request) -> Response:
    """Answer that the server is up, without a token and without any detail."""
    return PlainTextResponse("ok\n")


async def metrics(request: Request) -> Response:
    """Report the counters in the format of Prometheus."""
    service = _service(request)
    return Response(service.metrics.text(service.gauges()), headers={"Content-Type": CONTENT_TYPE})


async def openapi(request: Request) -> Response:
    """Send the OpenAPI description of these endpoints."""
    return FileResponse(HERE / "openapi.json", media_type="application/json")


def socket(serve: Callable[[WebSocket, Service], Any]) -> Callable[[WebSocket], Any]:
    """Wrap the endpoint of a WebSocket: it takes one of the sockets' places, or is refused before it opens."""

    async def endpoint(socket: WebSocket) -> None:
        service = _service(socket)
        try:
            with service.sockets.one():
                await serve(socket, service)
        except RefusedError as refusal:
            _count(socket, refusal)
            await socket.send_denial_response(problem(refusal))

    return endpoint


async def live(socket: WebSocket, service: Service) -> None:
    """Translate a browser's camera, see `live`."""
    await Viewer(socket, service, socket.query_params.get("model")).serve()


async def stream(socket: WebSocket, service: Service) -> None:
    """Show the server's own camera, see `broadcast`."""
    await show(socket, _broadcast(service), service.limits.send_seconds)


ROUTES = [
    Route("/", page),
    Route("/login", login, methods=["GET", "POST"]),
    Route("/v1/models", models),
    Route("/v1/translate", translate, methods=["POST"]),
    Route("/v1/videos", upload_video, methods=["POST"]),
    Route("/v1/videos/{id}", video, methods=["GET", "DELETE"]),
    Route("/v1/videos/{id}/result", video_result),
    Route("/v1/stream.mjpg", motion_jpeg),
    WebSocketRoute("/v1/live", socket(live)),
    WebSocketRoute("/v1/stream", socket(stream)),
    Route("/healthz", health),
    Route("/metrics", metrics),
    Route("/openapi.json", openapi),
    Mount("/static", StaticFiles(directory=STATIC)),
]


def _service(connection: HTTPConnection) -> Service:
    service = connection.app.state.service
    assert isinstance(service, Service)
    return service


def _visitor(request: Request) -> str:
    return request.client.host if request.client else ""


def _broadcast(service: Service) -> Broadcast:
    if service.broadcast is None:
        raise RefusedError(404, "no_stream", "this server was started without a camera; use yours")
    return service.broadcast


def _describe_model(model: Model) -> dict[str, Any]:
    metadata = model.metadata
    return {
        "name": model.name,
        "architecture": metadata.architecture if metadata else None,
        "direction": metadata.direction if metadata else None,
        "size": model.interface.size,
        "engine": model.backend.name,
        "device": model.backend.device,
        "precision": model.backend.precision,
    }


def _describe_job(request: Request, job: Job) -> dict[str, Any]:
    return job.describe(_service(request).videos.ahead(job))


def _count(connection: HTTPConnection, refusal: RefusedError) -> None:
    _service(connection).metrics.count("cyclegan_refused_total", reason=refusal.reason)


async def _refused(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, RefusedError)
    _count(request, refusal)
    return problem(refusal)


async def _no_such_endpoint(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(RefusedError(error.status_code, "no_such_endpoint", error.detail, error.headers))


async def _failed(request: Request, error: Exception) -> Response:
    return problem(RefusedError(500, "engine_failed", f"the engine failed: {error}"))


async def _left(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it
