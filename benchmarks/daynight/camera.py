"""Where the camera stands, and how it moves through a clip."""

import math
from dataclasses import dataclass
from random import Random

import bpy

from .scene import Street

LENS, SENSOR = 26.0, 36.0  # millimetres: 69 degrees across
METRES_TO_HAZE = 150.0  # the distance at which the mist pass is 1


@dataclass(frozen=True)
class View:
    """A camera's place in metres, and where it looks: radians to the left of the street, and up."""

    x: float
    y: float
    z: float
    left: float
    up: float


def draw_view(rng: Random, street: Street) -> View:
    """Draw a view along the street: from the road, the pavement, a bus or a window."""
    kind = rng.choices(("road", "pavement", "bus", "window"), (4, 4, 2, 1.5))[0]
    half = street.half_road
    side = rng.choice((-1, 1))
    if kind == "road":
        return View(
            rng.uniform(-0.7, 0.7) * min(half, 3.5),
            0.0,
            rng.uniform(1.3, 1.8),
            rng.gauss(0, 0.09),
            rng.uniform(0.0, 0.12),
        )
    if kind == "pavement":
        x = side * (half + rng.uniform(0.3, 0.7) * street.pavement)
        return View(x, 0.0, rng.uniform(1.5, 1.8), side * rng.uniform(0.02, 0.34), rng.uniform(0.0, 0.13))
    if kind == "bus":
        return View(
            rng.uniform(-0.5, 0.5) * half, 0.0, rng.uniform(2.6, 3.6), rng.gauss(0, 0.08), rng.uniform(-0.08, 0.03)
        )
    x = side * (half + 0.5 * street.pavement)
    return View(x, 0.0, rng.uniform(5.0, 8.0), side * rng.uniform(0.1, 0.35), rng.uniform(-0.25, -0.12))


def put_camera(view: View) -> bpy.types.Object:
    """Put a camera into the scene."""
    data = bpy.data.cameras.new("camera")
    data.lens, data.sensor_width, data.clip_start, data.clip_end = LENS, SENSOR, 0.05, 1000.0
    camera = bpy.data.objects.new("camera", data)
    bpy.context.scene.collection.objects.link(camera)
    bpy.context.scene.camera = camera
    _look(camera, view)
    return camera


def _look(camera: bpy.types.Object, view: View) -> None:
    camera.location = (view.x, view.y, view.z)
    camera.rotation_euler = (math.pi / 2 + view.up, 0.0, view.left)


def animate(rng: Random, camera: bpy.types.Object, view: View, street: Street, seconds: float, rate: int) -> None:
    """Let the camera move, cars drive and people walk from frame 1 on, all evenly.

    A frame more is animated before and after, because motion is measured to both neighbours.
    """
    bpy.context.preferences.edit.keyframe_new_interpolation_type = "LINEAR"
    first, last = 0, round(seconds * rate) + 1
    speed, drift, turn = rng.uniform(1.2, 4.0), rng.uniform(-0.25, 0.25), rng.uniform(-0.06, 0.06)
    for frame in (first, last):
        time = (frame - 1) / rate
        moved = View(view.x + drift * time, view.y + speed * time, view.z, view.left + turn * time, view.up)
        _look(camera, moved)
        camera.keyframe_insert("location", frame=frame)
        camera.keyframe_insert("rotation_euler", frame=frame)
        for thing, pace in street.drivers:
            _shift(thing, pace * time, frame)
        for person in street.walkers:
            pace = -1.3 if abs(person.rotation_euler[2]) < 1 else 1.3
            _shift(person, pace * time, frame)


def _shift(thing: bpy.types.Object, distance: float, frame: int) -> None:
    """Set a key of a thing that has moved by `distance` along the street."""
    start = thing.get("start")
    if start is None:
        start = thing["start"] = thing.location[1]
    thing.location[1] = start + distance
    thing.keyframe_insert("location", frame=frame)
