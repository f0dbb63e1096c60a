"""From a scene to arrays: Cycles on the CPU, with the passes that developing and flow need."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
import OpenEXR
from numpy.typing import NDArray

from .camera import METRES_TO_HAZE

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Rendering:
    """One rendered frame."""

    light: Floats  # [H, W, 3] linear radiance
    distance: Floats  # [H, W] metres from the camera, at most METRES_TO_HAZE
    motion: Floats  # [H, W, 4]: see flow.py


def new_scene(side: int, samples: int, seed: int, threads: int) -> None:
    """Empty Blender and set up Cycles for square pictures of `side` pixels."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.resolution_x = scene.render.resolution_y = side
    scene.render.resolution_percentage = 100
    scene.render.threads_mode, scene.render.threads = "FIXED", threads
    scene.render.use_motion_blur = False
    cycles = scene.cycles
    cycles.device, cycles.samples, cycles.seed = "CPU", samples, seed
    cycles.use_adaptive_sampling = False
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.denoising_input_passes, cycles.denoising_prefilter = "RGB_ALBEDO_NORMAL", "FAST"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 4, 2, 2
    cycles.transmission_bounces = cycles.transparent_max_bounces = 2
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 4.0
    cycles.use_light_tree = True
    layer = scene.view_layers[0]
    layer.use_pass_mist = layer.use_pass_vector = True


def render(frame: int = 1) -> Rendering:
    """Render a frame of the scene."""
    scene = bpy.context.scene
    scene.world.mist_settings.start = 0.0
    scene.world.mist_settings.depth = METRES_TO_HAZE
    scene.world.mist_settings.falloff = "LINEAR"
    scene.frame_set(frame)
    with tempfile.TemporaryDirectory() as folder:
        settings = scene.render.image_settings
        if hasattr(settings, "media_type"):  # since Blender 5
            settings.media_type = "MULTI_LAYER_IMAGE"
        settings.file_format, settings.color_depth, settings.exr_codec = "OPEN_EXR_MULTILAYER", "32", "NONE"
        scene.render.filepath = str(Path(folder) / "frame.exr")
        scene.render.use_file_extension = False
        with _silence():
            bpy.ops.render.render(write_still=True)
        return _read(Path(scene.render.filepath))


def _read(path: Path) -> Rendering:
    with OpenEXR.File(str(path), separate_channels=True) as file:
        parts = range(len(file.parts))  # Blender 5 gives every pass a part of its own
        channels = {name: one.pixels for part in parts for name, one in file.channels(part).items()}
    found = {name.split(".", 1)[1]: pixels for name, pixels in channels.items()}

    def stack(layer: str, parts: str) -> Floats:
        return np.stack([found[f"{layer}.{part}"] for part in parts], axis=-1).astype(np.float32)

    mist = next(pixels for name, pixels in found.items() if name.startswith("Mist"))
    return Rendering(stack("Combined", "RGB"), mist.astype(np.float32) * METRES_TO_HAZE, stack("Vector", "XYZW"))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep Blender's own lines off the terminal."""
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)
