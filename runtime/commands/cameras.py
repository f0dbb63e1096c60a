"""`cyclegan cameras`."""

import json

import click

from ..errors import printable
from .options import json_option


@click.command()
@json_option
def cameras(as_json: bool) -> None:
    """List the cameras of this machine, each with its address for `cyclegan translate -i`."""
    from dataclasses import asdict

    from ..sources.camera import list_cameras

    listed = list_cameras()
    if as_json:
        click.echo(json.dumps([asdict(camera) for camera in listed]))
        return
    for camera in listed:
        click.echo(printable(f"{camera.address}\t{camera.name}\t{camera.api}"))  # a device may call itself anything
    if not listed:
        click.echo("there is no camera; connect one, and on Linux see that you may read /dev/video*", err=True)
