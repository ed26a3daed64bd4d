"""Render planar scenes inside Blender: the one script that imports ``bpy``, and nothing of ours.

Run by :mod:`diar_ops.cycles` in another interpreter, as ``python blender_scene.py`` where the
``bpy`` package is installed or as ``blender --background --python blender_scene.py``. It reads one
JSON object per line from standard input and answers with JSON lines on standard output:

    <- {"device": "cpu" | "cuda" | "optix"}            first line
    -> {"event": "ready", "blender": "4.5.1", "device": "CPU"}
    <- {"document", "texture", "folder", "samples", "label_samples", "denoise", "frames", "label",
        "emission", "seed"}                             a job
    -> {"event": "frame", "name": "label" | "0" | ...}  label.exr, 0.exr, ... is complete
    -> {"event": "done"}
    -> {"event": "failed", "kind": "...", "message": "..."}   instead of any of these

``document`` is what ``scene_to_document`` returns: its world is Blender's world, number by number.
Each frame is written as an uncompressed OpenEXR file of linear radiance and light passes.
With ``emission`` the picture emits light, and there are no lights and no objects in the way.

One file, although a long one: Blender runs a script by its path, without this package, which needs
torch, and without the script's folder on ``sys.path``; it could not import parts of itself.
"""

from __future__ import annotations

import base64
import json
import math
import os
import signal
import sys
import traceback
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

SENSOR = 36.0
#: How far behind the picture the wall is, in picture units.
WALL_GAP = 2e-4
WALL_HALF_SIZE = 60.0
#: Corners of round outlines; 128 keep the chord within 0.03 % of the radius.
ROUND = 128
#: Share of a spot's cone in which it fades; ``diar_ops.scene.types`` has the same number.
SPOT_BLEND = 0.15
#: Index of refraction of panes and gloss coats; as ``GLASS_INDEX`` there.
GLASS_INDEX = 1.5

Node = Any
Vector = Sequence[float]


def main() -> None:
    """Answer jobs until standard input ends."""
    answer = protect_stdout()
    die_with_parent()
    try:
        import bpy
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "bpy"
        kind = "bpy" if missing else "library" if ".so" in str(error) else "start"
        answer(event="failed", kind=kind, message=str(error))
        return
    if bpy.app.version < (4, 5, 0):
        answer(event="failed", kind="version", message=bpy.app.version_string)
        return
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with suppress(OSError):
        # An empty folder that no render needs; it would outlive a process that is killed.
        Path(bpy.app.tempdir).rmdir()
    try:
        device = choose_device(bpy, json.loads(sys.stdin.readline() or "{}").get("device", "cpu"))
    except RuntimeError as error:
        answer(event="failed", kind="device", message=str(error))
        return
    answer(event="ready", blender=bpy.app.version_string.split()[0], device=device)
    for line in sys.stdin:
        try:
            run(bpy, json.loads(line), device, answer)
            answer(event="done")
        except Exception:
            traceback.print_exc()
            answer(event="failed", kind="render", message=traceback.format_exc(limit=-1))


def protect_stdout() -> Any:
    """Keep the real standard output for answers; what Blender prints goes to standard error."""
    sys.stdout.flush()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def answer(**event: Any) -> None:
        channel.write(json.dumps(event) + "\n")
        channel.flush()

    return answer


def die_with_parent() -> None:
    """Ask Linux to end this process together with the one that started it."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def choose_device(bpy: Any, name: str) -> str:
    """Switch on the devices of one kind; never fall back to the CPU in silence."""
    if name == "cpu":
        return "CPU"
    preferences = bpy.context.preferences.addons["cycles"].preferences
    kind = name.upper()
    try:
        preferences.compute_device_type = kind
    except TypeError as error:
        raise RuntimeError(f"this Blender was built without {kind}") from error
    preferences.get_devices()
    if not any(device.type == kind for device in preferences.devices):
        raise RuntimeError(f"Blender finds no {kind} device")
    for device in preferences.devices:
        device.use = device.type == kind
    return "GPU"


def run(bpy: Any, job: dict[str, Any], device: str, answer: Any) -> None:
    """Render the label and the frames of one job."""
    document, folder = job["document"], Path(job["folder"])
    tasks: list[tuple[str, dict[str, Any], bool]] = []
    if job["label"]:
        # Frame 0 sees exactly the picture, in aligned and misaligned sequences.
        tasks.append(("label", document["frames"][0], True))
    tasks += [(str(index), document["frames"][index], bool(job["emission"])) for index in job["frames"]]
    images = [decode_image(i) for i in document["environment"]["images"]] if "pane" in document else None
    for number, (name, frame, emission) in enumerate(tasks):
        remove_everything(bpy)
        scene = bpy.context.scene
        set_up_render(scene, document["size"], job, device, emission)
        scene.cycles.seed = (int(job["seed"]) + number) % 2**31
        scene.world = make_world(bpy, [0.0] * 3 if emission else frame["ambient"])
        scene.camera = add_camera(bpy, scene, frame, document["size"])
        pane = Pane(bpy, document, frame, images) if images is not None and not emission else None
        scene.view_layers[0].use_pass_emit = pane is not None
        add_picture(bpy, document, job["texture"], emission, pane)
        add_wall(bpy, document["wall"], emission, pane)
        if not emission:
            for item in frame["lights"]:
                add_light(bpy, item)
            for item in frame["objects"]:
                add_object(bpy, item)
        bpy.context.view_layer.update()
        scene.render.filepath = str(folder / f"{name}.exr")
        bpy.ops.render.render(write_still=True)
        answer(event="frame", name=name)
    remove_everything(bpy)


def remove_everything(bpy: Any) -> None:
    """Remove all data of a scene: what only leaves the scene stays in memory."""
    data = bpy.data
    for group in (
        data.objects,
        data.meshes,
        data.lights,
        data.cameras,
        data.materials,
        data.images,
        data.worlds,
        data.node_groups,
    ):
        items = [item for item in group if item.name not in ("Render Result", "Viewer Node")]
        if items:
            data.batch_remove(items)


def set_up_render(scene: Any, size: list[int], job: dict[str, Any], device: str, emission: bool) -> None:
    """Apply the settings that render best for their time: see docs/data.md."""
    render, cycles = scene.render, scene.cycles
    render.engine = "CYCLES"
    render.resolution_y, render.resolution_x = size
    render.resolution_percentage = 100
    render.use_compositing = render.use_sequencer = False
    render.film_transparent = render.use_motion_blur = False
    render.use_file_extension = render.use_persistent_data = False
    render.threads_mode, render.threads = "FIXED", 1
    render.dither_intensity = 0.0
    scene.view_settings.view_transform = "Standard"
    scene.view_settings.look = "None"
    image = render.image_settings
    image.file_format = "OPEN_EXR_MULTILAYER"
    image.color_mode, image.color_depth, image.exr_codec = "RGB", "16", "NONE"

    cycles.device = device
    cycles.samples = job["label_samples"] if emission else job["samples"]
    cycles.use_adaptive_sampling = cycles.use_light_tree = cycles.use_auto_tile = False
    cycles.pixel_filter_type, cycles.filter_width = "BOX", 1.0
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 8, 3, 4
    cycles.transmission_bounces, cycles.transparent_max_bounces = 8, 16
    cycles.sample_clamp_direct, cycles.sample_clamp_indirect = 0.0, 10.0
    cycles.use_denoising = bool(job["denoise"]) and not emission
    if cycles.use_denoising:
        cycles.denoiser = "OPENIMAGEDENOISE"
        cycles.denoising_prefilter = "NONE"
        cycles.denoising_input_passes = "RGB_ALBEDO_NORMAL"

    layer = scene.view_layers[0]
    # Only picture and wall have texture coordinates: this pass counts the samples that see them.
    layer.use_pass_uv = True
    layer.pass_alpha_threshold = 0.0
    layer.use_pass_diffuse_direct = layer.use_pass_diffuse_indirect = not emission
    layer.use_pass_glossy_direct = layer.use_pass_glossy_indirect = not emission
    layer.use_pass_diffuse_color = layer.use_pass_glossy_color = not emission


def add_camera(bpy: Any, scene: Any, frame: dict[str, Any], size: list[int]) -> Any:
    """Add a pinhole camera of intrinsics K and pose R X + t; K has pixel centres at integers."""
    from mathutils import Matrix

    height, width = size
    (fx, skew, cx), (_, fy, cy), _ = frame["K"]
    # Blender's frame reaches from corner to corner, ours from centre to centre: half a pixel.
    if abs(cx + 0.5 - width / 2) > 1e-6 or abs(cy + 0.5 - height / 2) > 1e-6 or skew != 0:
        raise ValueError("the principal point must be the centre of the frame, without skew")
    if max(fx / fy, fy / fx) > 200:
        raise ValueError("Blender's pixels are at most 200 times as long as wide")
    data = bpy.data.cameras.new("camera")
    data.sensor_fit, data.sensor_width = "HORIZONTAL", SENSOR
    data.lens = fx * SENSOR / width
    data.clip_start, data.clip_end = 1e-3, 1e3
    scene.render.pixel_aspect_x = max(1.0, fy / fx)
    scene.render.pixel_aspect_y = max(1.0, fx / fy)
    R, t = frame["R"], frame["t"]
    centre = [-sum(R[row][column] * t[row] for row in range(3)) for column in range(3)]
    # Blender's cameras look along -z with y up, ours along z with y down.
    flip = (1.0, -1.0, -1.0)
    rows = [[R[c][r] * flip[c] for c in range(3)] + [centre[r]] for r in range(3)]
    item = bpy.data.objects.new("camera", data)
    item.matrix_world = Matrix([*rows, [0.0, 0.0, 0.0, 1.0]])
    bpy.context.scene.collection.objects.link(item)
    return item


def make_world(bpy: Any, radiance: list[float]) -> Any:
    """Return surroundings of uniform radiance."""
    item = bpy.data.worlds.new("world")
    item.use_nodes = True
    background = item.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (*radiance, 1.0)
    background.inputs["Strength"].default_value = 1.0
    return item


def add_picture(bpy: Any, document: dict[str, Any], texture: str, emission: bool, pane: Pane | None) -> None:
    """Add the picture: centred at the origin, x right, y down, its front towards -z."""
    height, width = document["picture"]["size"]
    material, nodes, links = new_material(bpy, "picture")
    image = nodes.new("ShaderNodeTexImage")
    image.image = bpy.data.images.load(texture)
    image.image.colorspace_settings.name = "sRGB"
    image.interpolation, image.extension = "Linear", "EXTEND"
    if emission:
        shader = nodes.new("ShaderNodeEmission")
        links.new(image.outputs["Color"], shader.inputs["Color"])
        set_surface(nodes, links, shader)
    else:
        reflection = document["picture"]["material"]
        shader = nodes.new("ShaderNodeBsdfPrincipled")
        shader.distribution = "GGX"
        links.new(image.outputs["Color"], shader.inputs["Base Color"])
        shader.inputs["IOR"].default_value = 1.5
        shader.inputs["Roughness"].default_value = reflection["roughness"]
        shader.inputs["Specular IOR Level"].default_value = reflection["specular"]
        shader.inputs["Coat Weight"].default_value = reflection["coat"]
        shader.inputs["Coat Roughness"].default_value = reflection["coat_roughness"]
        shader.inputs["Coat IOR"].default_value = 1.5
        if pane is not None:
            shader = pane.cover(material, shader, "Base Color", "Specular Tint")
        set_surface(nodes, links, shader)
    add_plane(bpy, "picture", width / 2, height / 2, 0.0, material)


def add_wall(bpy: Any, colour: list[float], emission: bool, pane: Pane | None) -> None:
    """Add the wall behind the picture."""
    material, nodes, links = new_material(bpy, "wall")
    shader = nodes.new("ShaderNodeEmission" if emission else "ShaderNodeBsdfDiffuse")
    shader.inputs["Color"].default_value = (*colour, 1.0)
    if pane is not None:
        shader = pane.cover(material, shader, "Color")
    set_surface(nodes, links, shader)
    add_plane(bpy, "wall", WALL_HALF_SIZE, WALL_HALF_SIZE, WALL_GAP, material)


def decode_image(entry: dict[str, Any]) -> Any:
    """Return the image of a card, (h, w, 4) float32."""
    import numpy as np

    high, wide = entry["size"]
    halves = np.frombuffer(zlib.decompress(base64.b64decode(entry["half"])), "<f2")
    return np.moveaxis(halves.reshape(4, high, wide), 0, 2).astype(np.float32)


class Graph:
    """Nodes of a material that compute; operands are numbers, vectors and outputs of other nodes."""

    def __init__(self, material: Any) -> None:
        self.nodes, self.links = material.node_tree.nodes, material.node_tree.links

    def math(self, operation: str, *operands: Any) -> Any:
        """Return the output of an operation with numbers."""
        node = self.nodes.new("ShaderNodeMath")
        node.operation = operation
        self.connect(node, operands)
        return node.outputs[0]

    def vector(self, operation: str, *operands: Any) -> Any:
        """Return the output of an operation with vectors; numbers stand for vectors of equal parts."""
        node = self.nodes.new("ShaderNodeVectorMath")
        node.operation = operation
        self.connect(node, operands)
        return node.outputs["Value" if operation == "DOT_PRODUCT" else "Vector"]

    def connect(self, node: Node, operands: Sequence[Any]) -> None:
        """Give a node its operands."""
        for entry, operand in zip(node.inputs, operands):  # noqa: B905 - optional inputs come last
            if isinstance(operand, (int, float, tuple)):
                entry.default_value = operand
            else:
                self.links.new(operand, entry)

    def output(self, name: str, output: str) -> Any:
        """Return an output of a new node without operands."""
        return self.nodes.new(f"ShaderNode{name}").outputs[output]


class Pane:
    """Glass before the picture or a coat on it, and the cards that it mirrors.

    The materials of picture and wall compute what their pane adds and lets through, ray by ray: a
    surface that reflects a twentieth of the light would have to be sampled hundreds of times before
    a mirrored room stands out of the noise. Each card is intersected with the mirrored ray and looked
    up; only rays from the camera do so.
    """

    def __init__(self, bpy: Any, document: dict[str, Any], frame: dict[str, Any], images: list[Any]) -> None:
        self.pane, self.environment = document["pane"], frame["environment"]
        self.background = document["environment"]["background"]
        self.images = []
        for pixels in images:
            high, wide = pixels.shape[:2]
            image = bpy.data.images.new("card", wide, high, alpha=True, float_buffer=True)
            image.colorspace_settings.name, image.alpha_mode = "Non-Color", "CHANNEL_PACKED"
            image.pixels.foreach_set(pixels.ravel())
            image.update()
            self.images.append(image)

    def cover(self, material: Any, shader: Node, *colours: str) -> Node:
        """Return a shader of what is seen behind the pane, and of what that mirrors.

        Args:
            material: The material of what is behind.
            shader: Its shader.
            colours: The shader's inputs that the pane tints.
        """
        # What shines here must not be sampled as a lamp.
        material.cycles.emission_sampling = "NONE"
        graph, pane = Graph(material), self.pane
        position = graph.output("NewGeometry", "Position")
        incoming = graph.output("NewGeometry", "Incoming")
        front, direction = self.mirror(graph, position, incoming, (0.0, 0.0, -1.0), -pane["distance"])
        is_pane = graph.output("LightPath", "Is Camera Ray")
        for axis, half in zip(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), pane["half_size"], strict=True):
            across = graph.math("ABSOLUTE", graph.vector("DOT_PRODUCT", front, axis))
            is_pane = graph.math("MULTIPLY", is_pane, graph.math("LESS_THAN", across, half))

        fresnel = graph.nodes.new("ShaderNodeFresnel")
        fresnel.inputs["IOR"].default_value = GLASS_INDEX
        face = graph.math("MULTIPLY", fresnel.outputs[0], pane["reflectivity"])
        passed = graph.math("SUBTRACT", 1.0, face)
        tint = tuple(pane["tint"])
        shown = self.look_up(graph, front, direction)
        added = graph.vector("MULTIPLY", shown, face)
        if pane["kind"] == "pane":
            passed = graph.math("DIVIDE", passed, graph.math("ADD", 1.0, face))
            if pane["thickness"] or any(pane["wedge"]):
                normal = (*pane["wedge"], -1.0)
                length = math.hypot(*normal)
                place = pane["thickness"] - pane["distance"]
                ray = self.mirror(graph, position, incoming, tuple(v / length for v in normal), place)
                shown = self.look_up(graph, *ray)
            back = graph.vector("MULTIPLY", graph.math("MULTIPLY", face, passed), tuple(t * t for t in tint))
            added = graph.vector("MULTIPLY_ADD", shown, back, added)

        for name in colours:
            entry = shader.inputs[name]
            behind = entry.links[0].from_socket if entry.is_linked else tuple(entry.default_value[:3])
            share = graph.vector("MULTIPLY_ADD", tuple(t - 1.0 for t in tint), is_pane, (1.0, 1.0, 1.0))
            graph.links.new(graph.vector("MULTIPLY", share, behind), entry)
        covered = graph.nodes.new("ShaderNodeMixShader")  # with nothing, which is black
        graph.links.new(graph.math("MULTIPLY", is_pane, graph.math("SUBTRACT", 1.0, passed)), covered.inputs[0])
        graph.links.new(shader.outputs[0], covered.inputs[1])
        mirrored = graph.nodes.new("ShaderNodeEmission")
        graph.links.new(added, mirrored.inputs["Color"])
        mirrored.inputs["Strength"].default_value = self.environment["brightness"]
        # Where a share is 0, what it is of is not computed.
        only_there = graph.nodes.new("ShaderNodeMixShader")
        graph.links.new(is_pane, only_there.inputs[0])
        graph.links.new(mirrored.outputs[0], only_there.inputs[2])
        both = graph.nodes.new("ShaderNodeAddShader")
        graph.links.new(covered.outputs[0], both.inputs[0])
        graph.links.new(only_there.outputs[0], both.inputs[1])
        return both

    @staticmethod
    def mirror(graph: Graph, position: Any, incoming: Any, normal: tuple[float, ...], z: float) -> tuple[Any, Any]:
        """Return where the ray that ends at ``position`` met a face, and where to it is mirrored there.

        Args:
            graph: Of the material.
            position: Where the ray ends.
            incoming: The direction against it.
            normal: Of the face.
            z: Where the face is at x = y = 0.
        """
        ahead = graph.vector("DOT_PRODUCT", incoming, normal)
        height = graph.vector("DOT_PRODUCT", graph.vector("SUBTRACT", (0.0, 0.0, z), position), normal)
        start = graph.vector("MULTIPLY_ADD", incoming, graph.math("DIVIDE", height, ahead), position)
        back = graph.vector("MULTIPLY", incoming, (-1.0, -1.0, -1.0))
        return start, graph.vector("MULTIPLY_ADD", graph.math("MULTIPLY", ahead, 2.0), normal, back)

    def look_up(self, graph: Graph, start: Any, direction: Any) -> Any:
        """Return the radiance that comes back along a ray, from the farthest card to the nearest."""
        shown: Any = tuple(self.background)
        for card in self.environment["cards"]:
            centre = tuple(card["centre"])
            right, down = card["right"], card["down"]
            across = (
                right[1] * down[2] - right[2] * down[1],
                right[2] * down[0] - right[0] * down[2],
                right[0] * down[1] - right[1] * down[0],
            )
            way = graph.vector("DOT_PRODUCT", graph.vector("SUBTRACT", centre, start), across)
            far = graph.math("DIVIDE", way, graph.vector("DOT_PRODUCT", direction, across))
            at = graph.vector("SUBTRACT", graph.vector("MULTIPLY_ADD", direction, far, start), centre)
            is_on = graph.math("GREATER_THAN", far, 0.0)
            place = graph.nodes.new("ShaderNodeCombineXYZ")
            for side, entry in zip((right, down), place.inputs):  # noqa: B905 - z stays 0
                square = sum(v * v for v in side)
                share = graph.vector("DOT_PRODUCT", at, tuple(v / square for v in side))
                is_on = graph.math("MULTIPLY", is_on, graph.math("LESS_THAN", graph.math("ABSOLUTE", share), 1.0))
                # The first row, at v = 0, is the upper one here.
                graph.links.new(graph.math("MULTIPLY_ADD", share, 0.5, 0.5), entry)
            image = graph.nodes.new("ShaderNodeTexImage")
            image.image, image.interpolation, image.extension = self.images[card["image"]], "Linear", "EXTEND"
            graph.links.new(place.outputs[0], image.inputs["Vector"])
            left = graph.math("MULTIPLY_ADD", image.outputs["Alpha"], graph.math("MULTIPLY", is_on, -1.0), 1.0)
            light = graph.vector("MULTIPLY", image.outputs["Color"], is_on)
            shown = graph.vector("MULTIPLY_ADD", shown, left, light)
        return shown


def add_plane(bpy: Any, name: str, x: float, y: float, z: float, material: Any) -> None:
    """Add a rectangle that faces -z, with texture coordinates: v is 1 at its top, where y < 0."""
    corners = [(-x, -y, z), (x, -y, z), (x, y, z), (-x, y, z)]
    order = (0, 3, 2, 1)
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([corners[i] for i in order], [], [(0, 1, 2, 3)])
    coordinates = [(0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0)]
    layer = mesh.uv_layers.new(name="uv")
    for loop, i in enumerate(order):
        layer.data[loop].uv = coordinates[i]
    if mesh.polygons[0].normal.z > 0:
        mesh.flip_normals()
    add_mesh(bpy, name, mesh, material, None)


def add_light(bpy: Any, item: dict[str, Any]) -> None:
    """Add a light; Blender's watts are radiant flux as our document means it."""
    kind = item["kind"]
    data = bpy.data.lights.new("light", kind.upper())
    strongest = max(item["power"]) or 1.0
    data.energy = strongest
    data.color = [channel / strongest for channel in item["power"]]
    if kind == "area":
        data.shape, data.size = "SQUARE", item["size"]
    else:
        data.shadow_soft_size = item["size"]
        data.use_soft_falloff = False
    if kind == "spot":
        data.spot_size = item["cone"]
        data.spot_blend = SPOT_BLEND
    lamp = bpy.data.objects.new("light", data)
    lamp.matrix_world = pose_matrix(light_rotation(item["direction"]), item["position"])
    lamp.visible_camera = False
    bpy.context.scene.collection.objects.link(lamp)


def light_rotation(direction: list[float]) -> list[list[float]]:
    """Return the rotation of a lamp, which shines along its -z.

    The sides of a square lie along x and y turned by the shortest way that takes z to
    ``direction``.
    """
    x, y, z = direction
    k = 1 / (1 + z) if z > -1 + 1e-9 else 0.0
    rotation = [[1 - k * x * x, -k * x * y, x], [-k * x * y, 1 - k * y * y, y], [-x, -y, z]]
    return [[row[0], -row[1], -row[2]] for row in rotation]


def pose_matrix(rotation: list[list[float]], position: list[float]) -> Any:
    """Return the 4 x 4 matrix of a rotation and a position."""
    from mathutils import Matrix

    rows = [[*rotation[r], position[r]] for r in range(3)]
    return Matrix([*rows, [0.0, 0.0, 0.0, 1.0]])


def add_object(bpy: Any, item: dict[str, Any]) -> None:
    """Add an object between picture and camera, or beside the view."""
    # A half size of zero belongs into the vertices: a matrix with it has no normals.
    vertices, faces, smooth = SHAPES[item["kind"]](item)
    scale = item["half_size"]
    mesh = bpy.data.meshes.new("object")
    mesh.from_pydata([tuple(v[i] * scale[i] for i in range(3)) for v in vertices], [], faces)
    mesh.polygons.foreach_set("use_smooth", [face < smooth for face in range(len(faces))])
    add_mesh(bpy, "object", mesh, object_material(bpy, item), pose_matrix(item["rotation"], item["position"]))


def add_mesh(bpy: Any, name: str, mesh: Any, material: Any, matrix: Any) -> None:
    """Add a mesh to the scene; without a matrix its vertices are in the world."""
    mesh.materials.append(material)
    mesh.validate()
    mesh.update()
    item = bpy.data.objects.new(name, mesh)
    if matrix is not None:
        item.matrix_world = matrix
    bpy.context.scene.collection.objects.link(item)


Shape = tuple[list[tuple[float, float, float]], Sequence[tuple[int, ...]], int]


def sphere(item: dict[str, Any]) -> Shape:
    """Return vertices, faces, and how many of the faces are smooth."""
    rings = ROUND // 2
    vertices = [(0.0, 0.0, 1.0), (0.0, 0.0, -1.0)]
    for ring in range(1, rings):
        theta = math.pi * ring / rings
        radius, z = math.sin(theta), math.cos(theta)
        vertices += [(radius * x, radius * y, z) for x, y in circle()]

    def index(ring: int, k: int) -> int:
        return 2 + (ring - 1) * ROUND + k % ROUND

    faces: list[tuple[int, ...]] = []
    for k in range(ROUND):
        faces.append((0, index(1, k), index(1, k + 1)))
        faces.append((1, index(rings - 1, k + 1), index(rings - 1, k)))
        faces += [(index(r, k), index(r + 1, k), index(r + 1, k + 1), index(r, k + 1)) for r in range(1, rings - 1)]
    return vertices, faces, len(faces)


def box(item: dict[str, Any]) -> Shape:
    """Return a cube of half size 1; as :func:`sphere`."""
    ends = (-1.0, 1.0)
    vertices = [(x, y, z) for x in ends for y in ends for z in ends]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return vertices, faces, 0


def cylinder(item: dict[str, Any]) -> Shape:
    """Return a cylinder around z of radius and half height 1; as :func:`sphere`."""
    # The caps have vertices of their own, so that the smooth side does not bend their normals.
    bottom = [(x, y, -1.0) for x, y in circle()]
    top = [(x, y, 1.0) for x, y in circle()]
    sides = [(k, (k + 1) % ROUND, ROUND + (k + 1) % ROUND, ROUND + k) for k in range(ROUND)]
    caps = [tuple(range(4 * ROUND - 1, 3 * ROUND - 1, -1)), tuple(range(2 * ROUND, 3 * ROUND))]
    return [*bottom, *top, *top, *bottom], [*sides, *caps], len(sides)


def disc(item: dict[str, Any]) -> Shape:
    """Return a disc of radius 1 in z = 0, with a hole or without; as :func:`sphere`."""
    outer = [(x, y, 0.0) for x, y in circle()]
    if item["hole"] <= 0:
        return outer, [tuple(range(ROUND))], 0
    inner = [(x * item["hole"], y * item["hole"], 0.0) for x, y in circle()]
    ring = [(k, (k + 1) % ROUND, ROUND + (k + 1) % ROUND, ROUND + k) for k in range(ROUND)]
    return [*outer, *inner], ring, 0


def card(item: dict[str, Any]) -> Shape:
    """Return the fan of triangles within max(|x|, |y|) <= 1 + sum a_k cos(k phi) + b_k sin.

    As :func:`sphere`.
    """
    a, b = item["outline"]
    vertices = [(0.0, 0.0, 0.0)]
    corners = 3 * ROUND
    for step in range(corners):
        phi = 2 * math.pi * step / corners
        reach = 1.0
        for k in range(len(a)):
            reach += a[k] * math.cos((k + 1) * phi) + b[k] * math.sin((k + 1) * phi)
        reach = max(reach, 0.0) / max(abs(math.cos(phi)), abs(math.sin(phi)))
        vertices.append((reach * math.cos(phi), reach * math.sin(phi), 0.0))
    return vertices, [(0, 1 + k, 1 + (k + 1) % corners) for k in range(corners)], 0


SHAPES = {"sphere": sphere, "box": box, "cylinder": cylinder, "disc": disc, "card": card}


def circle() -> list[tuple[float, float]]:
    """Return the corners of round outlines."""
    angles = [2 * math.pi * k / ROUND for k in range(ROUND)]
    return [(math.cos(angle), math.sin(angle)) for angle in angles]


def new_material(bpy: Any, name: str) -> tuple[Any, Any, Any]:
    """Return an empty material, its nodes and its links."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    material.node_tree.nodes.clear()
    return material, material.node_tree.nodes, material.node_tree.links


def set_surface(nodes: Any, links: Any, shader: Node) -> None:
    """Use a shader for the surface."""
    output = nodes.new("ShaderNodeOutputMaterial")
    links.new(shader.outputs[0], output.inputs["Surface"])


def object_material(bpy: Any, item: dict[str, Any]) -> Any:
    """Return the material of an object."""
    material, nodes, links = new_material(bpy, "object")
    kind, colour = item["finish"], item["colour"]

    def shader(name: str, tint: list[float]) -> Node:
        node = nodes.new(f"ShaderNode{name}")
        entry = "Base Color" if name == "BsdfPrincipled" else "Color"
        node.inputs[entry].default_value = (*tint, 1.0)
        if "Roughness" in node.inputs and name != "BsdfDiffuse":
            node.inputs["Roughness"].default_value = item["roughness"]
            node.distribution = "GGX"
        return node

    def mix(share: Any, first: Node, second: Node) -> Node:
        node = nodes.new("ShaderNodeMixShader")
        if isinstance(share, float):
            node.inputs[0].default_value = share
        else:
            links.new(share, node.inputs[0])
        links.new(first.outputs[0], node.inputs[1])
        links.new(second.outputs[0], node.inputs[2])
        return node

    # Light enters and leaves a solid: each of its two surfaces takes half, on a logarithmic scale.
    power = 1.0 if item["kind"] in ("disc", "card") else 0.5
    if kind == "diffuse":
        result = shader("BsdfDiffuse", colour)
    elif kind == "glossy":
        result = shader("BsdfPrincipled", colour)
        result.inputs["IOR"].default_value = 1.5
    elif kind == "mirror":
        result = shader("BsdfGlossy", colour)
    elif kind == "glass":
        clear = [channel**power for channel in colour]
        glass = shader("BsdfGlass", clear)
        glass.inputs["IOR"].default_value = 1.45
        # Without caustics glass would cast black shadows: let light pass straight instead.
        path = nodes.new("ShaderNodeLightPath")
        either = nodes.new("ShaderNodeMath")
        either.operation = "MAXIMUM"
        links.new(path.outputs["Is Shadow Ray"], either.inputs[0])
        links.new(path.outputs["Is Diffuse Ray"], either.inputs[1])
        result = mix(either.outputs[0], glass, shader("BsdfTransparent", clear))
    else:
        through = (1.0 - item["opacity"]) ** power
        clear = [channel**power for channel in colour]
        result = mix(through, shader("BsdfDiffuse", colour), shader("BsdfTransparent", clear))
    set_surface(nodes, links, result)
    return material


if __name__ == "__main__":
    main()
