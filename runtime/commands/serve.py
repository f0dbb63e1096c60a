"""`cyclegan serve`: show translators in a browser."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

import click
from click.core import ParameterSource

from ..errors import UsageError
from .options import AddressType, PathType, backend_option, device_option

LOGGER = logging.getLogger(__name__)

OF_A_PAGE = ("static", "host", "port", "tls_cert", "tls_key")  # the options that --static takes


def _parse_limits(context: click.Context, parameter: click.Parameter, settings: Sequence[str]) -> dict[str, int]:
    """Read `NAME=NUMBER` settings; a callback of click's options."""
    limits = {}
    for setting in settings:
        name, _, number = setting.partition("=")
        if not (number.isdecimal() and len(number) < 19):
            raise click.BadParameter(f"{setting!r} is not NAME=NUMBER; write for example sockets=128")
        limits[name.strip()] = int(number)
    return limits


@click.command()
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    type=PathType(),
    help="An artefact. Repeat it to offer several models on the page.",
)
@click.option(
    "--static",
    type=PathType(),
    metavar="FOLDER",
    help="Serve a page of cyclegan export --to web instead, to try it; it takes --host, --port and --tls-* only.",
)
@click.option(
    "-i",
    "--input",
    "address",
    type=AddressType(),
    help="Also show a camera or stream of the server: 0 or rtsp://HOST/PATH.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; others need a token.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port; 0 takes a free one.",
)
@click.option("--token", envvar="CYCLEGAN_TOKEN", help="Secret that visitors need; also read from CYCLEGAN_TOKEN.")
@click.option(
    "--token-file",
    type=PathType(exists=True, dir_okay=False),
    help="File to read the token from, so that the list of processes does not show it.",
)
@click.option(
    "--tls-cert",
    type=PathType(exists=True, dir_okay=False),
    help="Certificate, for https.",
)
@click.option(
    "--tls-key",
    type=PathType(exists=True, dir_okay=False),
    help="Its private key.",
)
@click.option(
    "--size",
    type=click.IntRange(16, 2048),
    default=256,
    show_default=True,
    help="Longer side, in pixels, at which cameras are translated; the page can choose another.",
)
@backend_option
@device_option
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=NUMBER",
    callback=_parse_limits,
    help="Change a limit listed in docs/serve.md, for example sockets=128.",
)
def serve(
    models: Sequence[Path],
    static: Path | None,
    address: str | None,
    host: str,
    port: int,
    token: str | None,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    size: int,
    backend: str,
    device: str,
    limits: dict[str, int],
) -> None:
    """Show translators in a browser, for cameras, pictures and videos.

    Listens on this machine only, unless --host says otherwise. Ctrl-C stops the server.
    """
    from ..web.listening import check_certificate, check_exposure, listen, read_token

    if token_file is not None:
        token = read_token(token_file)
    if bool(models) == (static is not None):
        raise UsageError("name an artefact with -m, or a page of cyclegan export --to web with --static; not both")
    if tls_cert is not None:
        check_certificate(tls_cert, tls_key)
    elif tls_key is not None:
        raise UsageError("--tls-key needs --tls-cert; name the certificate too")
    if static is None:
        check_exposure(host, token)
        _need_web()
    else:
        _refuse_unused()
    with listen(host, port) as listening:
        run: Callable[[], None]
        if static is not None:
            from ..web.static_folder import check_folder, serve_folder

            check_folder(static)
            run = partial(serve_folder, static, listening, tls_cert, tls_key)
        else:
            from ..web.server import make_server
            from ..web.server import serve as run_server
            from ..web.service import open_service

            service = open_service(models, address=address, longest=size, limits=limits, backend=backend, device=device)
            run = partial(run_server, make_server(service, token, tls_cert, tls_key), listening)
        scheme, name = "https" if tls_cert else "http", f"[{host}]" if ":" in host else host
        click.echo(f"{scheme}://{name}:{listening.getsockname()[1]}/")
        LOGGER.info("open this address in a browser; Ctrl-C stops the server")
        run()


def _refuse_unused() -> None:
    """Refuse options that a page has no use for: above all, no token guards it.

    Raises:
        UsageError: one was given.
    """
    context = click.get_current_context()
    unused = {
        max(option.opts, key=len): context.get_parameter_source(str(option.name))
        for option in context.command.params
        if option.name not in OF_A_PAGE
    }
    named = [name for name, source in unused.items() if source is ParameterSource.COMMANDLINE]
    if named:
        raise UsageError(f"a page is a folder of files that anybody may fetch; leave {', '.join(named)} out")
    if unused["--token"] is ParameterSource.ENVIRONMENT:
        LOGGER.warning("CYCLEGAN_TOKEN is not used: a page is a folder of files that anybody may fetch")


def _need_web() -> None:
    """Find out whether the server's libraries are there."""
    try:
        import_module("..web.server", __package__)
    except ModuleNotFoundError as error:
        if error.name == "cv2":
            raise
        raise UsageError(
            f'serve needs {error.name}, which is not installed; install it with: pip install "cyclegan-edge[web]"'
        ) from error
