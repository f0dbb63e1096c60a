"""Weather and time: the sky, the sun or the moon, and whether lamps burn."""

import math
from dataclasses import dataclass
from random import Random
from typing import Literal

import bpy

from .materials import Graph, set_value

Time = Literal["day", "night"]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Sky:
    """The light of one time: radiances are linear, of a scene in which the developed white is about 1."""

    zenith: Colour
    horizon: Colour
    cloud: Colour
    sun: Colour
    sun_strength: float  # irradiance; the moon's by night
    haze: Colour


@dataclass(frozen=True)
class Weather:
    """What day and night have in common, and how each looks."""

    day: Sky
    night: Sky
    elevation: tuple[float, float]  # of the sun in degrees, from and to
    softness: float  # angle of the sun or of the brightness around it in degrees
    cover: float  # share of the sky that is cloud
    wet: float
    density: float  # of the haze, per metre


WEATHERS = {
    "clear": Weather(
        Sky((0.10, 0.20, 0.46), (0.42, 0.54, 0.72), (0.92, 0.92, 0.92), (1.0, 0.92, 0.80), 4.4, (0.58, 0.66, 0.76)),
        Sky(
            (0.010, 0.020, 0.055), (0.055, 0.065, 0.10), (0.055, 0.055, 0.07),
            (0.62, 0.74, 1.0), 0.22, (0.04, 0.05, 0.075),
        ),
        (28, 62), 0.6, 0.35, 0.0, 0.0008,
    ),
    "low sun": Weather(
        Sky((0.14, 0.24, 0.50), (0.95, 0.66, 0.42), (0.98, 0.74, 0.58), (1.0, 0.58, 0.28), 3.4, (0.85, 0.62, 0.45)),
        Sky(
            (0.020, 0.040, 0.115), (0.24, 0.13, 0.11), (0.10, 0.07, 0.09),
            (0.62, 0.70, 1.0), 0.16, (0.12, 0.085, 0.09),
        ),
        (9, 18), 1.2, 0.45, 0.0, 0.0025,
    ),
    "overcast": Weather(
        Sky((0.62, 0.66, 0.72), (0.82, 0.85, 0.88), (0.72, 0.75, 0.79), (1.0, 0.97, 0.93), 0.7, (0.76, 0.79, 0.82)),
        Sky(
            (0.040, 0.036, 0.040), (0.11, 0.085, 0.065), (0.075, 0.060, 0.052),
            (0.8, 0.8, 1.0), 0.06, (0.085, 0.07, 0.06),
        ),
        (35, 65), 35.0, 0.95, 0.0, 0.0025,
    ),
    "wet": Weather(
        Sky((0.44, 0.48, 0.54), (0.66, 0.70, 0.74), (0.52, 0.56, 0.61), (1.0, 0.97, 0.93), 0.3, (0.60, 0.64, 0.68)),
        Sky(
            (0.026, 0.026, 0.034), (0.085, 0.068, 0.060), (0.055, 0.047, 0.045),
            (0.8, 0.8, 1.0), 0.04, (0.07, 0.06, 0.058),
        ),
        (35, 65), 45.0, 0.95, 1.0, 0.006,
    ),
    "haze": Weather(
        Sky((0.58, 0.64, 0.70), (0.84, 0.84, 0.80), (0.80, 0.81, 0.80), (1.0, 0.90, 0.74), 1.1, (0.82, 0.82, 0.79)),
        Sky(
            (0.042, 0.042, 0.050), (0.13, 0.105, 0.08), (0.085, 0.072, 0.062),
            (0.8, 0.85, 1.0), 0.05, (0.13, 0.11, 0.09),
        ),
        (22, 45), 12.0, 0.8, 0.25, 0.017,
    ),
}  # fmt: skip
SHARES = {"clear": 4, "low sun": 2, "overcast": 2, "wet": 3, "haze": 1.5}


def draw_weather(rng: Random) -> str:
    """Draw the name of a weather."""
    return rng.choices(tuple(SHARES), tuple(SHARES.values()))[0]


class Light:
    """The sky and the sun or moon of a scene, which can be turned from day to night and back."""

    def __init__(self, weather: str, rng: Random) -> None:
        """Put the sky into the scene; the clouds and where the sun stands are drawn."""
        self.weather = WEATHERS[weather]
        self._elevation = math.radians(rng.uniform(*self.weather.elevation))
        self._azimuth = rng.uniform(-2.6, 2.6)  # radians from behind the camera
        self._moon = math.radians(rng.uniform(35, 60)), rng.uniform(-2.2, 2.2)
        self._sun = bpy.data.lights.new("sun", "SUN")
        self._thing = bpy.data.objects.new("sun", self._sun)
        bpy.context.scene.collection.objects.link(self._thing)
        self._world = bpy.data.worlds.new("sky")
        self._world.use_nodes = True
        # The map that light is drawn from; of 1024, Blender's own choice, it takes longer than the picture.
        self._world.cycles.sampling_method, self._world.cycles.sample_map_resolution = "MANUAL", 128
        self._clouds = (rng.uniform(0, 50), rng.uniform(0, 50), rng.uniform(0, 50))
        bpy.context.scene.world = self._world

    def set_time(self, time: Time) -> Sky:
        """Make it day or night, and return the sky that the camera develops for."""
        night = time == "night"
        sky = self.weather.night if night else self.weather.day
        elevation, azimuth = self._moon if night else (self._elevation, self._azimuth)
        self._sun.color, self._sun.energy = sky.sun, sky.sun_strength
        self._sun.angle = math.radians(max(self.weather.softness, 3.0 if night else 0.0))
        # A sun's light goes along its -Z: tilted from the vertical, then turned.
        self._thing.rotation_euler = (math.pi / 2 - elevation, 0.0, azimuth)
        self._paint(sky)
        set_value("night", 1.0 if night else 0.0)
        set_value("wet", self.weather.wet)
        for light in bpy.data.lights:
            if "watts" in light:
                light.energy = light["watts"] if night else 0.0
        return sky

    def _paint(self, sky: Sky) -> None:
        """Paint the sky: from the horizon's colour to the zenith's, with clouds on a plane above."""
        graph = Graph(self._world.node_tree)
        direction = graph.node("ShaderNodeTexCoord").outputs["Generated"]
        part = graph.node("ShaderNodeSeparateXYZ", {0: direction}).outputs
        up = graph.math("MAXIMUM", part[2], 0.0)
        height = graph.math("POWER", up, 0.55)
        colour = graph.mix(height, (*sky.horizon, 1), (*sky.zenith, 1))
        far = graph.math("ADD", up, 0.12)
        plane = graph.node(
            "ShaderNodeCombineXYZ", {0: graph.math("DIVIDE", part[0], far), 1: graph.math("DIVIDE", part[1], far)}
        )
        moved = graph.node("ShaderNodeVectorMath", {0: plane.outputs[0], 1: self._clouds}, operation="ADD")
        shape = graph.noise(moved.outputs[0], 0.75, 7.0)
        edge = 0.70 - 0.42 * self.weather.cover
        cover = graph.math("MULTIPLY", graph.ramp(shape, edge, edge + 0.22), graph.ramp(up, 0.0, 0.14))
        shaded = tuple(0.62 * value for value in sky.cloud)
        cloud = graph.mix(graph.ramp(shape, edge + 0.05, edge + 0.40), (*sky.cloud, 1), (*shaded, 1))
        colour = graph.mix(graph.math("MULTIPLY", cover, 0.9), colour, cloud)
        background = graph.node("ShaderNodeBackground", {"Color": colour, "Strength": 1.0}).outputs[0]
        graph.node("ShaderNodeOutputWorld", {"Surface": background})
