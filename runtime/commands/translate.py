"""`cyclegan translate`: pictures, folders, videos, cameras and streams through an exported model."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import CycleganError, UsageError
from .options import backend_option, device_option, json_option, parse_size, together

if TYPE_CHECKING:
    from ..pipeline.endpoints import Show


Values = dict[str, Any]  # of a command's options, by name

_FIT = (
    click.option(
        "--fit",
        type=click.Choice(["native", "stretch", "letterbox", "crop"]),
        default="native",
        show_default=True,
        help="native: at each picture's own size; stretch: resized to --size and back; letterbox: so with its shape "
        "kept; crop: its middle of the shape of --size, which is what comes out.",
    ),
    click.option(
        "--size", metavar="HxW", callback=parse_size, help="Size of a fit; by default the artefact's pinned one."
    ),
    click.option(
        "--scale",
        type=float,
        help="Translate a copy shrunk by this factor, such as 0.5, and bring it back along the picture's edges.",
    ),
    click.option("--tile", type=click.IntRange(8), metavar="N", help="Translate in blended tiles of NxN pixels."),
)
_FLOW = (
    click.option("--batch-size", type=click.IntRange(1), default=1, show_default=True, help="Pictures run together."),
    click.option(
        "--policy",
        type=click.Choice(["auto", "lossless", "latest"]),
        default="auto",
        show_default=True,
        help="lossless: no frame is lost; latest: none waits, the newest overtakes; auto: latest for live sources.",
    ),
    click.option(
        "--smooth",
        type=click.Choice(["ema", "gated", "flow"]),
        help="Of a video: blend with the frames before; everywhere, where the input stands still, or along its motion.",
    ),
    click.option(
        "--smooth-strength",
        type=click.FloatRange(0, 1, max_open=True),
        default=0.7,
        show_default=True,
        help="The largest weight of the past.",
    ),
    click.option(
        "--skip-similar",
        metavar="DB",
        type=click.FloatRange(min=0),
        help="Of a video: frames so similar, in dB PSNR, to the last translated are given its translation; "
        "40 is noise.",
    ),
)
_ENCODING = (
    click.option(
        "--codec", default="auto", show_default=True, help="Of a video: h264, h265, av1, vp9 or FFmpeg's name."
    ),
    click.option(
        "--crf", type=click.IntRange(0, 63), help="Of a video: constant quality, lower is better; by default 18."
    ),
    click.option(
        "--preset", help="Of a video: the encoder's speed, for h264 ultrafast to veryslow; by default veryfast."
    ),
    click.option(
        "--no-audio",
        "companions",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Of a video: leave out sound and subtitles.",
    ),
)
_SHOWN = (
    click.option(
        "--view",
        type=click.Choice(["translated", "side-by-side", "split"]),
        default="translated",
        show_default=True,
        help="What is shown and written of each frame.",
    ),
    click.option("--overlay", is_flag=True, help="Write rate, latency and drops into each frame of a video."),
)
_FOLDER = (
    click.option(
        "--on-error",
        type=click.Choice(["skip", "stop"]),
        default="skip",
        show_default=True,
        help="Of a folder: whether a file that fails is passed over or ends the job.",
    ),
    click.option("--retry-failed", is_flag=True, help="Of a folder: try those again that failed in an earlier run."),
    click.option("--watch", is_flag=True, help="Of a folder: go on with new files as they come, until Ctrl-C."),
    click.option(
        "--format",
        "picture_format",
        type=click.Choice(["png", "jpg", "webp", "tif", "bmp"]),
        help="Of a folder: write all pictures in this format; by default each keeps its own.",
    ),
    click.option("--ray", metavar="auto|ADDRESS", help="Of a folder: work on the Ray cluster at this address."),
)


@click.command()
@click.option(
    "-m",
    "--model",
    required=True,
    type=click.Path(path_type=Path),
    help="The artefact, an ONNX file or a TensorRT engine.",
)
@click.option(
    "-i",
    "--input",
    "given",
    required=True,
    help="A picture, folder, video, quoted glob, frames_%05d.png, camera (0, /dev/video0, 0?size=1280x720&fps=30), "
    "rtsp:// rtmp:// http(s)://, screen:, - (raw frames: -?size=640x480&fps=30) or test:bars?size=1280x720&frames=300.",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    required=True,
    multiple=True,
    help="A folder for a folder (the tree is mirrored); else a file, frames_%05d.png, window, http://127.0.0.1:PORT, "
    "virtual-camera, - (raw frames) or null. May be given several times.",
)
@together("settings", backend_option, device_option, *_FIT)
@together("flow", *_FLOW)
@together("encoding", *_ENCODING)
@together("shown", *_SHOWN)
@click.option("--overwrite", is_flag=True, help="Make files anew that were finished before.")
@together("folder", *_FOLDER)
@json_option
def translate(
    model: Path,
    given: str,
    outputs: tuple[str, ...],
    settings: Values,
    flow: Values,
    encoding: Values,
    shown: Values,
    overwrite: bool,
    folder: Values,
    as_json: bool,
) -> None:
    """Translate a picture, a folder, a video or a camera; everything comes out at the size it came in.

    Files that were finished by an earlier run are left alone. What became of each file of a folder is kept in a
    manifest in the output folder, so that a job that was killed goes on where it was. A video keeps its time
    stamps, sound and subtitles; while it is written it is called NAME.partial-XXXXXXXX.SUFFIX and can be played up to
    there.
    """
    is_folder = Path(given).is_dir()
    if is_folder:
        summary = _translate_folder(model, given, outputs, settings, flow, folder | {"overwrite": overwrite})
        interrupted = False
    else:
        from ..pipeline.endpoints import Show
        from ..video import Encoding

        show = Show(Encoding(**encoding), **shown, overwrite=overwrite)
        summary, interrupted = _translate_stream(model, given, outputs, settings, flow, show, folder)
    click.echo(json.dumps(summary) if as_json else _sentence(summary), err="-" in outputs)  # stdout is the frames'
    if interrupted:
        raise click.Abort
    if summary["failed"]:
        raise CycleganError(
            f"{summary['failed']} of {summary['read']} {'pictures' if is_folder else 'frames'} failed; see above"
        )


def _translate_folder(
    model: Path, given: str, outputs: tuple[str, ...], settings: Values, flow: Values, folder: Values
) -> Values:
    from ..jobs.folder import FolderOptions, translate_folder
    from .console import status_line

    if len(outputs) > 1:
        raise UsageError(f"{given} is a folder, which goes to one other; name one output")
    if flow["smooth"] or flow["skip_similar"] is not None:
        raise UsageError("--smooth and --skip-similar need frames that follow one another, as frames_%05d.png do")
    return translate_folder(
        Path(given),
        Path(outputs[0]),
        model,
        settings,
        FolderOptions(**folder),
        batch_size=flow["batch_size"],
        progress=status_line,
    ).summary()


def _translate_stream(
    model: Path, given: str, outputs: tuple[str, ...], settings: Values, flow: Values, show: "Show", folder: Values
) -> tuple[Values, bool]:
    from ..jobs.folder import FolderOptions
    from ..jobs.stream import Flow, translate_stream
    from ..temporal.smoothing import SimilarFrames, Smoother
    from .console import print_stages, status_line

    if FolderOptions(**folder) != FolderOptions():
        raise UsageError(f"{given} is no folder: leave out --on-error, --retry-failed, --watch, --format and --ray")
    smooth, skip_similar = flow["smooth"], flow["skip_similar"]
    stages = Flow(
        flow["policy"],
        flow["batch_size"],
        smooth=Smoother(smooth, flow["smooth_strength"]) if smooth else None,
        skip=SimilarFrames(skip_similar).skips if skip_similar is not None else None,
    )
    return translate_stream(given, outputs, model, settings, show, stages, progress=status_line, report=print_stages)


def _sentence(summary: Values) -> str:
    return (
        "translated {translated}, skipped {skipped}, failed {failed} · {frames} frames, {fps} a second · "
        "{engine} on {device}, precision {precision} · {output}"
    ).format_map(summary)
