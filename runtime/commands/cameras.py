"""`cyclegan cameras`."""

import json

import click

from .options import json_option


@click.command()
@json_option
def cameras(as_json: bool) -> None:
    """List the cameras that the system knows, each with what to give to -i."""
    from dataclasses import asdict

    from ..sources.camera import list_cameras

    found = list_cameras()
    if as_json:
        click.echo(json.dumps([asdict(camera) for camera in found]))
        return
    for camera in found:
        click.echo(f"{camera.address}\t{camera.name}\t{camera.api}")
    if not found:
        click.echo("no camera was found; connect one, and on Linux see that you may read /dev/video*", err=True)
