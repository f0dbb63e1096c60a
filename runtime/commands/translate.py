"""`cyclegan translate`: pictures, folders, videos, cameras and streams through an exported model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import CycleganError, UsageError, printable
from .options import (
    MAX_BATCH,
    MAX_SIDE,
    AddressType,
    NumberRange,
    PathType,
    backend_option,
    device_option,
    json_option,
    parse_size,
    together,
)

if TYPE_CHECKING:
    from ..jobs.folder import FolderOptions
    from ..jobs.stream import StreamOptions
    from ..pipeline.outputs import OutputOptions
    from ..translator import LoadOptions


def _load_options(**values: Any) -> "LoadOptions":
    from ..translator import LoadOptions

    return LoadOptions(**values)


def _stream_options(**values: Any) -> "StreamOptions":
    from ..jobs.stream import StreamOptions

    return StreamOptions(**values)


def _output_options(view: Any, overlay: bool, overwrite: bool, **encoding: Any) -> "OutputOptions":
    from ..pipeline.outputs import OutputOptions
    from ..video import Encoding

    return OutputOptions(Encoding(**encoding), view, overlay, overwrite)


def _folder_options(**values: Any) -> "FolderOptions":
    from ..jobs.folder import FolderOptions

    return FolderOptions(**values)


_LOAD = (
    backend_option,
    device_option,
    click.option(
        "--fit",
        type=click.Choice(["native", "stretch", "letterbox", "crop"]),
        default="native",
        show_default=True,
        help="native: translate each picture at its own size; stretch: resize it to --size and back; letterbox: the "
        "same, but keep its shape; crop: translate the middle that has the shape of --size, the rest is cut off.",
    ),
    click.option(
        "--size",
        metavar="HxW",
        callback=parse_size,
        help="Height and width for stretch, letterbox and crop.  [default: the size that the model is pinned to]",
    ),
    click.option(
        "--scale",
        type=NumberRange(0, 1),
        help="Translate a smaller copy, such as 0.5, and bring the result back along the edges of the picture.",
    ),
    click.option(
        "--tile", type=click.IntRange(8, MAX_SIDE), metavar="N", help="Translate in blended tiles of NxN pixels."
    ),
    click.option(
        "--range",
        "value_range",
        type=click.Choice(["-1..1", "0..1", "0..255"]),
        help="Float model of somebody else: the values that it takes and gives.  [default: what its graph says]",
    ),
    click.option(
        "--layout",
        type=click.Choice(["NCHW", "NHWC"]),
        help="Model of somebody else: where its channels are.  [default: where the size is 1 or 3]",
    ),
    click.option("--output-name", metavar="NAME", help="Model of somebody else with several outputs: the one to use."),
)
_STREAM = (
    click.option(
        "--batch-size",
        type=click.IntRange(1, MAX_BATCH),
        default=1,
        show_default=True,
        help="Pictures translated together.",
    ),
    click.option(
        "--policy",
        type=click.Choice(["auto", "lossless", "latest"]),
        default="auto",
        show_default=True,
        help="lossless: translate every frame; latest: only the newest, so that latency stays low; auto: latest for "
        "cameras and live streams, lossless for files.",
    ),
    click.option(
        "--smooth",
        type=click.Choice(["ema", "gated", "flow"]),
        help="Video: reduce flicker by blending with earlier frames; ema: everywhere, gated: where the input does not "
        "move, flow: along the motion.",
    ),
    click.option(
        "--smooth-strength",
        type=NumberRange(0, 1, max_open=True),
        default=0.7,
        show_default=True,
        help="Largest weight of the earlier frames.",
    ),
    click.option(
        "--skip-similar",
        metavar="DB",
        type=NumberRange(0, 1000),
        help="Video: reuse the last translation for frames this similar to its input, in dB PSNR; 40 is noise.",
    ),
    click.option("--deinterlace", is_flag=True, help="Video file: make whole frames of interlaced ones."),
)
_OUTPUT = (
    click.option(
        "--codec",
        default="auto",
        show_default=True,
        help="Video: h264, h265, av1, vp9 or the name of an FFmpeg encoder.",
    ),
    click.option(
        "--crf", type=click.IntRange(0, 63), help="Video: constant quality; lower is better and larger.  [default: 18]"
    ),
    click.option("--preset", help="Video: speed of the encoder, for h264 ultrafast to veryslow.  [default: veryfast]"),
    click.option(
        "--no-audio",
        "copy_streams",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Video: leave out sound and subtitles.",
    ),
    click.option(
        "--view",
        type=click.Choice(["translated", "side-by-side", "split"]),
        default="translated",
        show_default=True,
        help="What to show and write of each frame.",
    ),
    click.option("--overlay", is_flag=True, help="Video: write rate, latency and dropped frames into each frame."),
    click.option("--overwrite", is_flag=True, help="Replace files that exist."),
)
_FOLDER = (
    click.option(
        "--on-error",
        type=click.Choice(["skip", "stop"]),
        default="skip",
        show_default=True,
        help="Folder: skip a file that fails, or stop at it.",
    ),
    click.option("--retry-failed", is_flag=True, help="Folder: try files again that failed in an earlier run."),
    click.option("--watch", is_flag=True, help="Folder: keep translating new files until Ctrl-C."),
    click.option(
        "--format",
        "picture_format",
        type=click.Choice(["png", "jpg", "webp", "tif", "bmp"]),
        help="Folder: write all pictures in this format.  [default: the format of each picture]",
    ),
    click.option("--ray", metavar="auto|ADDRESS", help="Folder: work on the Ray cluster at this address."),
)


@click.command()
@click.option(
    "-m",
    "--model",
    required=True,
    type=PathType(),
    help="The exported model: an ONNX file or a TensorRT engine.",
)
@click.option(
    "-i",
    "--input",
    "address",
    required=True,
    type=AddressType(),
    help="A picture, folder, video, quoted glob, frames_%05d.png, camera (0, /dev/video0, 0?size=1280x720&fps=30), "
    "rtsp:// rtmp:// http(s)://, screen:, - (raw frames: -?size=640x480&fps=30) or test:bars?size=1280x720&frames=300.",
)
@click.option(
    "-o",
    "--output",
    "targets",
    required=True,
    type=AddressType(),
    multiple=True,
    help="For a folder: a folder, which mirrors its tree. Else a file, frames_%05d.png, window, "
    "http://127.0.0.1:PORT, virtual-camera, - (raw frames) or null. Can be given several times.",
)
@together("load_options", *_LOAD, make=_load_options)
@together("stream_options", *_STREAM, make=_stream_options)
@together("output_options", *_OUTPUT, make=_output_options)
@together("folder_options", *_FOLDER, make=_folder_options)
@json_option
def translate(
    model: Path,
    address: str,
    targets: tuple[str, ...],
    load_options: "LoadOptions",
    stream_options: "StreamOptions",
    output_options: "OutputOptions",
    folder_options: "FolderOptions",
    as_json: bool,
) -> None:
    """Translate a picture, a folder, a video or a camera. Every picture comes out at the size it came in.

    Files that an earlier run finished are not translated again. For a folder, a manifest in the output folder records
    what became of each file, so a job that was killed continues where it stopped. A video keeps its time stamps,
    sound and subtitles; while it is written its name is NAME.partial-XXXXXXXX.SUFFIX and it can be played up to there.
    """
    is_folder = Path(address).is_dir()
    if is_folder:
        folder_options = replace(folder_options, overwrite=output_options.overwrite)
        summary = _translate_folder(
            model, address, targets, load_options, stream_options, output_options, folder_options
        )
        interrupted = False
    else:
        from ..jobs.folder import FolderOptions
        from ..jobs.stream import translate_stream
        from .console import print_stages, status_line

        if folder_options != FolderOptions():
            raise UsageError(
                f"{address} is no folder: leave out --on-error, --retry-failed, --watch, --format and --ray"
            )
        summary, interrupted = translate_stream(
            address,
            targets,
            model,
            load_options,
            output_options,
            stream_options,
            progress=status_line,
            report=print_stages,
        )
    told = json.dumps(summary) if as_json else printable(_sentence(summary))
    click.echo(told, err="-" in targets)  # where stdout is the frames'
    if interrupted:
        raise click.Abort
    if summary["failed"]:
        raise CycleganError(
            f"{summary['failed']} of {summary['read']} {'files' if is_folder else 'frames'} failed; see above"
        )


def _translate_folder(
    model: Path,
    folder: str,
    targets: tuple[str, ...],
    load_options: "LoadOptions",
    stream_options: "StreamOptions",
    output_options: "OutputOptions",
    folder_options: "FolderOptions",
) -> dict[str, Any]:
    from ..jobs.films import FilmOptions
    from ..jobs.folder import translate_folder
    from ..pipeline.outputs import OutputOptions
    from .console import status_line

    if len(targets) > 1:
        raise UsageError(f"{folder} is a folder, which goes to one other; name one output")
    if stream_options.needs_video:
        raise UsageError("--smooth and --skip-similar need frames that follow one another, as frames_%05d.png do")
    encoding, overwrite = output_options.encoding, output_options.overwrite
    if output_options != OutputOptions(encoding, overwrite=overwrite) or stream_options.policy != "auto":
        raise UsageError(f"{folder} is a folder: leave out --view, --overlay and --policy")
    return translate_folder(
        Path(folder),
        Path(targets[0]),
        model,
        load_options,
        folder_options,
        batch_size=stream_options.batch_size,
        film_options=FilmOptions(encoding, stream_options.deinterlace),
        progress=status_line,
    ).summary()


def _sentence(summary: dict[str, Any]) -> str:
    return (
        "translated {translated}, skipped {skipped}, failed {failed} · {frames} frames, {fps} a second · "
        "{engine} on {device}, precision {precision} · {output}"
    ).format_map(summary)
