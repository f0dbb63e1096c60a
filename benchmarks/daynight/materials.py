"""What surfaces are made of: procedural materials that take their colour from a face's tint.

Every material holds a value `night`, 0 by day and 1 by night, which turns on what glows, and `wet`, which darkens
the ground and lays puddles on it.
"""

from typing import Any

import bpy

NAMES = (
    "plaster", "brick", "concrete", "roof", "pane", "glow", "asphalt", "paving", "paint", "grass",
    "leaf", "bark", "lacquer", "glass", "metal", "rubber", "cloth",
)  # fmt: skip


class Graph:
    """A node tree under construction."""

    def __init__(self, tree: bpy.types.NodeTree) -> None:
        self.tree = tree
        tree.nodes.clear()

    def node(self, kind: str, inputs: dict[str | int, Any] | None = None, **settings: Any) -> Any:
        """Add a node; an input is a number, a colour, or the output of another node."""
        node = self.tree.nodes.new(kind)
        for name, value in settings.items():
            setattr(node, name, value)
        for name, value in (inputs or {}).items():
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, node.inputs[name])
            else:
                node.inputs[name].default_value = value
        return node

    def math(self, operation: str, *values: Any) -> Any:
        """Return the output of a sum, a product or the like of two or three values."""
        return self.node("ShaderNodeMath", dict(enumerate(values)), operation=operation).outputs[0]

    def mix(self, share: Any, first: Any, second: Any, blend: str = "MIX") -> Any:
        """Return the colour that lies `share` of the way from the first to the second, or to their product."""
        node = self.node("ShaderNodeMix", data_type="RGBA", blend_type=blend)
        for number, value in ((0, share), (6, first), (7, second)):
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, node.inputs[number])
            else:
                node.inputs[number].default_value = value
        return node.outputs[2]

    def ramp(self, value: Any, low: float, high: float) -> Any:
        """Return a smooth step of a value from 0 at `low` to 1 at `high`."""
        inputs: dict[str | int, Any] = {"Value": value, "From Min": low, "From Max": high}
        return self.node("ShaderNodeMapRange", inputs, interpolation_type="SMOOTHSTEP", clamp=True).outputs[0]

    def noise(self, vector: Any, scale: float, detail: float = 2.0) -> Any:
        """Return fractal noise, about 0.5 in the mean."""
        inputs: dict[str | int, Any] = {"Vector": vector, "Scale": scale, "Detail": detail}
        return self.node("ShaderNodeTexNoise", inputs).outputs[0]

    def value(self, name: str) -> Any:
        """Return a number that `set_value` can change."""
        node = self.node("ShaderNodeValue", name=name)
        node.outputs[0].default_value = 0.0
        return node.outputs[0]


def set_value(name: str, value: float) -> None:
    """Set `night` or `wet` in every material."""
    for material in bpy.data.materials:
        if material.node_tree and name in material.node_tree.nodes:
            material.node_tree.nodes[name].outputs[0].default_value = value


def palette() -> list[bpy.types.Material]:
    """Return the materials in the order of NAMES, made when they are first asked for."""
    if NAMES[0] not in bpy.data.materials:
        for name in NAMES:
            _make(name)
    return [bpy.data.materials[name] for name in NAMES]


PLAIN = {  # roughness, metallic, coat
    "paint": (0.6, 0.0, 0.0),
    "leaf": (0.6, 0.0, 0.0),
    "bark": (0.9, 0.0, 0.0),
    "lacquer": (0.35, 0.1, 1.0),
    "glass": (0.05, 0.0, 0.0),
    "metal": (0.4, 0.8, 0.0),
    "rubber": (0.8, 0.0, 0.0),
    "cloth": (0.9, 0.0, 0.0),
}


def _make(name: str) -> None:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    graph = Graph(material.node_tree)
    tint = graph.node("ShaderNodeAttribute", attribute_name="tint", attribute_type="GEOMETRY")
    place = graph.node("ShaderNodeTexCoord").outputs["Object"]
    if name in PLAIN:
        roughness, metallic, coat = PLAIN[name]
        inputs = {
            "Base Color": tint.outputs["Color"],
            "Roughness": roughness,
            "Metallic": metallic,
            "Coat Weight": coat,
        }
        if name == "glass":
            inputs["Specular IOR Level"] = 0.9
    elif name in ("pane", "glow"):
        inputs = _glowing(graph, tint, place, name)
    elif name in ("asphalt", "paving"):
        inputs = _ground(graph, tint, place, name)
    else:
        inputs = _masonry(graph, tint, place, name)
    shader = graph.node("ShaderNodeBsdfPrincipled", inputs)
    surface = shader.outputs[0]
    if name == "leaf":  # light falls through
        through = graph.node("ShaderNodeBsdfTranslucent", {"Color": tint.outputs["Color"]}).outputs[0]
        surface = graph.node("ShaderNodeMixShader", {0: 0.35, 1: surface, 2: through}).outputs[0]
    graph.node("ShaderNodeOutputMaterial", {"Surface": surface})


def _glowing(graph: Graph, tint: Any, place: Any, name: str) -> dict[Any, Any]:
    """A window pane, dark by day and lit by night; or a lamp, a sign, a headlight."""
    strength = graph.math("MULTIPLY", tint.outputs["Alpha"], graph.value("night"))
    inputs = {"Emission Color": tint.outputs["Color"]}
    if name == "glow":
        return inputs | {"Base Color": tint.outputs["Color"], "Roughness": 0.3, "Emission Strength": strength}
    # A room is not of one brightness: furniture and shades are hinted at by coarse noise.
    uneven = graph.ramp(graph.noise(place, 1.7, 3.0), 0.25, 0.65)
    strength = graph.math("MULTIPLY", strength, graph.math("MULTIPLY_ADD", uneven, 0.75, 0.25))
    inside = graph.mix(uneven, (0.012, 0.014, 0.016, 1), (0.05, 0.05, 0.048, 1))
    dark = {"Base Color": inside, "Roughness": 0.04, "Specular IOR Level": 0.8}
    return inputs | dark | {"Emission Strength": strength}


def _ground(graph: Graph, tint: Any, place: Any, name: str) -> dict[Any, Any]:
    """Asphalt or paving stones, with patches and, where it is wet, puddles that mirror the lights."""
    patches = graph.ramp(graph.noise(place, 0.35, 4.0), 0.35, 0.7)
    colour = graph.mix(graph.math("MULTIPLY", patches, 0.35), tint.outputs["Color"], (0.03, 0.03, 0.032, 1))
    if name == "paving":
        stones = graph.node(
            "ShaderNodeTexBrick", {"Vector": place, "Scale": 1.0, "Brick Width": 0.6, "Row Height": 0.6}
        )
        stones.inputs["Mortar Size"].default_value = 0.025
        colour = graph.mix(graph.math("MULTIPLY", stones.outputs[1], 0.55), colour, (0.04, 0.04, 0.04, 1))
    else:
        fine = graph.noise(place, 28.0, 2.0)
        colour = graph.mix(graph.math("MULTIPLY", fine, 0.35), colour, (0.16, 0.16, 0.165, 1))
    wet = graph.value("wet")
    puddles = graph.math("MULTIPLY", graph.ramp(graph.noise(place, 0.22, 3.0), 0.42, 0.56), wet)
    dampness = graph.math("MULTIPLY_ADD", puddles, 0.45, graph.math("MULTIPLY", wet, 0.4))
    dry = graph.math("MULTIPLY_ADD", wet, -0.55, 0.9)
    roughness = graph.math("MULTIPLY_ADD", puddles, graph.math("SUBTRACT", 0.06, dry), dry)
    return {"Base Color": graph.mix(dampness, colour, (0.012, 0.012, 0.014, 1)), "Roughness": roughness}


def _masonry(graph: Graph, tint: Any, place: Any, name: str) -> dict[Any, Any]:
    """Walls, roofs and grass: the tint, broken up by courses, stains and noise."""
    stains = graph.ramp(graph.noise(place, 0.5, 5.0), 0.3, 0.8)
    colour = graph.mix(graph.math("MULTIPLY", stains, 0.6), tint.outputs["Color"], (0.62, 0.6, 0.58, 1), "MULTIPLY")
    if name in ("brick", "roof"):
        part = graph.node("ShaderNodeSeparateXYZ", {0: place}).outputs
        across = graph.math("ADD", part[0], part[1])
        flat = graph.node("ShaderNodeCombineXYZ", {0: across, 1: part[2]}).outputs[0]
        width, height = (0.5, 0.16) if name == "brick" else (0.5, 0.3)
        inputs: dict[str | int, Any] = {"Vector": flat, "Scale": 1.0, "Brick Width": width, "Row Height": height}
        courses = graph.node("ShaderNodeTexBrick", inputs)
        courses.inputs["Mortar Size"].default_value = 0.018
        mortar = (0.42, 0.39, 0.36, 1) if name == "brick" else (0.05, 0.04, 0.04, 1)
        colour = graph.mix(graph.math("MULTIPLY", courses.outputs[1], 0.5), colour, mortar)
    if name == "grass":
        blades = graph.noise(place, 9.0, 4.0)
        colour = graph.mix(graph.ramp(blades, 0.3, 0.7), colour, (0.03, 0.07, 0.012, 1))
    return {"Base Color": colour, "Roughness": 0.85}
