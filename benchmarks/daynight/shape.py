"""Faces with a material and a tint each, collected before they become one Blender mesh."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import bpy
import numpy as np

from .materials import NAMES, palette

Point = tuple[float, float, float]
Tint = tuple[float, float, float, float]  # linear red, green and blue; the fourth is how strongly it glows by night


def tint(red: float, green: float, blue: float, glow: float = 0.0) -> Tint:
    """Return a tint from sRGB values in [0, 1], as one thinks of colours."""
    return red**2.2, green**2.2, blue**2.2, glow


@dataclass(frozen=True)
class Wall:
    """A vertical plane: (u, v, z) is u metres along it, v in front of it and z above the ground."""

    origin: tuple[float, float]
    along: tuple[float, float]
    out: tuple[float, float]

    def point(self, u: float, v: float, z: float) -> Point:
        """Return a place beside the wall in the coordinates of the world."""
        (x, y), along, out = self.origin, self.along, self.out
        return x + u * along[0] + v * out[0], y + u * along[1] + v * out[1], z


GROUND = Wall((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))  # the world's own axes


class Shape:
    """A growing mesh."""

    def __init__(self) -> None:
        self.vertices: list[Point] = []
        self.faces: list[tuple[int, ...]] = []
        self._materials: list[int] = []
        self._tints: list[Tint] = []

    def face(self, points: Sequence[Point], material: str, colour: Tint) -> None:
        """Add a flat polygon."""
        first = len(self.vertices)
        self.vertices.extend(points)
        self._add(range(first, first + len(points)), material, colour)

    def panel(
        self, wall: Wall, u: tuple[float, float], z: tuple[float, float], v: float, material: str, colour: Tint
    ) -> None:
        """Add an upright rectangle, `v` in front of a wall."""
        corners = ((u[0], z[0]), (u[1], z[0]), (u[1], z[1]), (u[0], z[1]))
        self.face([wall.point(across, v, up) for across, up in corners], material, colour)

    def box(
        self,
        wall: Wall,
        u: tuple[float, float],
        v: tuple[float, float],
        z: tuple[float, float],
        material: str,
        colour: Tint,
    ) -> None:
        """Add a box between two places beside a wall."""
        first = len(self.vertices)
        self.vertices.extend(wall.point(across, before, up) for up in z for before in v for across in u)
        for corners in ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)):
            self._add([first + corner for corner in corners], material, colour)

    def tube(
        self, start: Point, end: Point, radii: tuple[float, float], material: str, colour: Tint, sides: int = 8
    ) -> None:
        """Add a cone or cylinder with caps between two points."""
        low, high = np.array(start), np.array(end)
        axis = (high - low) / max(float(np.linalg.norm(high - low)), 1e-9)
        across = np.cross(axis, (1.0, 0.0, 0.0) if abs(axis[0]) < 0.8 else (0.0, 1.0, 0.0))
        across /= np.linalg.norm(across)
        other = np.cross(axis, across)
        first = len(self.vertices)
        for centre, radius in ((low, radii[0]), (high, radii[1])):
            for number in range(sides):
                angle = 2 * math.pi * number / sides
                place = centre + radius * (math.cos(angle) * across + math.sin(angle) * other)
                self.vertices.append((float(place[0]), float(place[1]), float(place[2])))
        bottom, top = [[first + ring * sides + number for number in range(sides)] for ring in (0, 1)]
        self._add(bottom[::-1], material, colour)
        self._add(top, material, colour)
        for number in range(sides):
            after = (number + 1) % sides
            self._add((bottom[number], bottom[after], top[after], top[number]), material, colour)

    def ball(self, centre: Point, radii: Point, material: str, colour: Tint, sides: int = 8) -> None:
        """Add an ellipsoid."""
        rings = sides // 2
        first = len(self.vertices)
        for ring in range(rings + 1):
            polar = math.pi * ring / rings
            for number in range(sides):
                angle = 2 * math.pi * number / sides
                unit = (math.sin(polar) * math.cos(angle), math.sin(polar) * math.sin(angle), math.cos(polar))
                x, y, z = (middle + radius * part for middle, radius, part in zip(centre, radii, unit, strict=True))
                self.vertices.append((x, y, z))
        for ring in range(rings):
            for number in range(sides):
                after = (number + 1) % sides
                above, below = first + ring * sides, first + (ring + 1) * sides
                self._add((above + number, below + number, below + after, above + after), material, colour)

    def _add(self, corners: Sequence[int], material: str, colour: Tint) -> None:
        self.faces.append(tuple(corners))
        self._materials.append(NAMES.index(material))
        self._tints.append(colour)

    def mesh(self, name: str) -> bpy.types.Mesh:
        """Return everything as one mesh, whose faces carry their tint in the attribute `tint`."""
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata(self.vertices, [], self.faces)
        for material in palette():
            mesh.materials.append(material)
        mesh.polygons.foreach_set("material_index", np.array(self._materials, np.int32))
        colours = mesh.attributes.new("tint", "FLOAT_COLOR", "FACE")
        colours.data.foreach_set("color", np.array(self._tints, np.float32).ravel())
        mesh.update()
        return mesh

    def put(self, name: str) -> bpy.types.Object:
        """Put everything into the scene as one object."""
        return put(self.mesh(name), name)


def put(
    mesh: bpy.types.Mesh, name: str, place: Point = (0, 0, 0), turn: float = 0.0, scale: float = 1.0
) -> bpy.types.Object:
    """Put a mesh into the scene, turned by `turn` radians about the vertical; meshes can be put many times."""
    thing = bpy.data.objects.new(name, mesh)
    thing.location, thing.rotation_euler, thing.scale = place, (0.0, 0.0, turn), (scale,) * 3
    bpy.context.scene.collection.objects.link(thing)
    return thing
