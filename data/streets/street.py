"""Draws what stands still: the road with its marks, pavements, houses with windows, street lamps, trees."""

from __future__ import annotations

import math

from data.streets.canvas import WINDOWS, Brush, Canvas, Emitter, Material, Point, shade
from data.streets.scene import UNITS, Beside, Camera, House, Scene

FAR, CLOSE = 90.0, 2.2
"""Metres between which the ground is drawn."""
PAVEMENT = 2.2
"""Metres from the kerb to the houses."""
ASPHALT, PAINT, SLABS, KERB = (104, 106, 112), (232, 232, 226), (168, 162, 152), (196, 192, 184)
GLASS, FRAME, DOOR = (112, 138, 164), (238, 234, 226), (92, 62, 46)
WINDOW_SPACE, FLOOR = 2.3, 2.9
"""Metres from window to window, and from floor to floor."""


def draw_street(canvas: Canvas, scene: Scene) -> None:
    """Sky is what nobody draws on."""
    camera = scene.camera
    draw_skyline(canvas, scene)
    draw_ground(canvas, scene)
    for house in sorted(scene.houses, key=lambda one: -one.near):
        draw_house(canvas, camera, house, scene.half + PAVEMENT)


def draw_skyline(canvas: Canvas, scene: Scene) -> None:
    """Hazy blocks at the end of the street, and the ground under them."""
    camera, brush = scene.camera, Brush(Material.SKYLINE, FAR)
    for house in scene.houses[:8]:
        middle = camera.vanishing + house.side * (house.lit[0] * 0.4) * camera.width
        half, height = 2 + 3 * house.lit[1], 2 + 4.5 * house.lit[2]
        corners = [(middle - half, camera.horizon - height), (middle + half, camera.horizon - height)]
        corners += [(middle + half, camera.horizon + 1), (middle - half, camera.horizon + 1)]
        canvas.polygon(corners, brush, shade((150, 146, 150), 0.85 + 0.3 * house.lit[3]))


def draw_ground(canvas: Canvas, scene: Scene) -> None:
    camera, half = scene.camera, scene.half
    edge = camera.horizon + camera.size(camera.eye, FAR)
    below = [(0.0, edge), (camera.width, edge), (camera.width, UNITS), (0.0, UNITS)]
    canvas.polygon(below, Brush(Material.PAVEMENT, FAR), SLABS)
    steps = [CLOSE * (FAR / CLOSE) ** (k / 12) for k in range(13)]
    for near, far in reversed(list(zip(steps[:-1], steps[1:], strict=True))):  # in parts: each has its own distance
        for x0, x1, material, colour in (
            (-40, 40, Material.PAVEMENT, SLABS),
            (-half - 0.15, half + 0.15, Material.PAVEMENT, KERB),
            (-half, half, Material.ROAD, ASPHALT),
        ):
            canvas.polygon(_patch(camera, x0, x1, near, far), Brush(material, math.sqrt(near * far)), colour)
    z = CLOSE
    while z < 60:
        canvas.polygon(_patch(camera, -0.08, 0.08, z, z + 1.6), Brush(Material.ROAD, z + 0.8), PAINT)
        z += 3.6
    for x in (-half + 0.25, half - 0.25):
        canvas.polygon(_patch(camera, x - 0.05, x + 0.05, CLOSE, 60), Brush(Material.ROAD, 8), PAINT)
    if scene.crossing is not None:
        stripes = int(half / 0.45)
        for k in range(-stripes, stripes + 1, 2):
            patch = _patch(camera, 0.45 * k - 0.22, 0.45 * k + 0.22, scene.crossing, scene.crossing + 2.4)
            canvas.polygon(patch, Brush(Material.ROAD, scene.crossing + 1), PAINT)


def draw_house(canvas: Canvas, camera: Camera, house: House, wall_x: float) -> None:
    """Facade along the street with windows and a door, roof, and the end that faces the camera."""
    if house.far <= CLOSE + 1:
        return
    near, x, out = max(house.near, CLOSE + 1), house.side * wall_x, house.side * 5.0
    material = Material.HOUSE_LEFT if house.side < 0 else Material.HOUSE_RIGHT
    brush = Brush(material, (near + house.far) / 2)
    ridge = house.height + (2.0 if house.gabled else 0.0)
    at = camera.at
    if house.gabled:
        slope = [at(x, house.height, near), at(x, house.height, house.far)]
        slope += [at(x + out / 2, ridge, house.far), at(x + out / 2, ridge, near)]
        canvas.polygon(slope, brush, house.roof)
    gable = [at(x, 0, near), at(x, house.height, near), at(x + out / 2, ridge, near)]
    canvas.polygon([*gable, at(x + out, house.height, near), at(x + out, 0, near)], brush, shade(house.wall, 0.8))
    canvas.polygon(_upright(camera, x, 0, house.height, near, house.far), brush, house.wall)
    canvas.polygon(_upright(camera, x, 0, 0.5, near, house.far), brush, shade(house.wall, 0.7))
    if not house.gabled:
        canvas.polygon(
            _upright(camera, x, house.height - 0.35, house.height, near, house.far), brush, shade(house.wall, 1.25)
        )
    draw_windows(canvas, camera, house, x)


def draw_windows(canvas: Canvas, camera: Camera, house: House, x: float) -> None:
    """Rows of windows on a facade at x, and a door in the middle of the lowest."""
    material = Material.HOUSE_LEFT if house.side < 0 else Material.HOUSE_RIGHT
    columns = max(1, int((house.far - house.near - 0.6) / WINDOW_SPACE))
    margin = (house.far - house.near - columns * WINDOW_SPACE) / 2
    places = [house.near + margin + (column + 0.5) * WINDOW_SPACE for column in range(columns)]
    for floor in range(int((house.height - 0.4) / FLOOR)):
        for column, z in enumerate(places):
            if z - 0.7 < CLOSE + 1:
                continue
            brush, low = Brush(material, z), floor * FLOOR + 0.95
            if floor == 0 and column == columns // 2:
                canvas.polygon(_upright(camera, x, 0.1, 2.15, z - 0.6, z + 0.6), brush, FRAME)
                canvas.polygon(_upright(camera, x, 0.1, 2.05, z - 0.5, z + 0.5), brush, DOOR)
                continue
            lit = Emitter.WINDOW + int(house.lit[(floor * columns + column) % len(house.lit)] * WINDOWS)
            canvas.polygon(_upright(camera, x, low - 0.12, low + 1.52, z - 0.68, z + 0.68), brush, FRAME)
            canvas.polygon(_upright(camera, x, low, low + 1.4, z - 0.56, z + 0.56), brush, GLASS, lit)


def draw_beside(canvas: Canvas, scene: Scene, one: Beside) -> None:
    camera, x, z = scene.camera, one.side * (scene.half + 0.7), one.z
    foot = camera.at(x, 0, z)
    if one.kind == "lamp":
        brush, head = Brush(Material.METAL, z), camera.at(x - one.side * 0.9, one.size, z)
        width = max(0.5, camera.size(0.1, z))
        canvas.line([foot, camera.at(x, one.size, z), head], width, brush, one.colour)
        radius = max(0.7, camera.size(0.2, z))
        canvas.ellipse(head, (1.3 * radius, 0.75 * radius), brush, (226, 222, 206), Emitter.STREET_LAMP)
        return
    brush = Brush(Material.PLANT, z)
    canvas.line([foot, camera.at(x, 2.2, z)], max(0.6, camera.size(0.22, z)), brush, (92, 68, 50))
    for right, up, radius, light in (
        (-0.6, 2.5, 0.8, 0.8), (0.6, 2.5, 0.8, 0.75), (0.0, 2.9, 1.0, 0.9), (-0.3, 3.4, 0.75, 1.05),
        (0.25, 3.6, 0.6, 1.2),
    ):  # fmt: skip
        size = camera.size(radius * one.size, z)
        canvas.ellipse(camera.at(x + right * one.size, up, z), (size, size), brush, shade(one.colour, light))


def shaded_ground(scene: Scene) -> list[Point]:
    """Where the houses on the sun's side throw their shadow on the ground, as a polygon in units of the canvas."""
    x0, x1 = scene.sun * 40.0, scene.sun * 0.15 * scene.half
    return _patch(scene.camera, min(x0, x1), max(x0, x1), CLOSE, FAR)


def _patch(camera: Camera, x0: float, x1: float, near: float, far: float) -> list[Point]:
    """A rectangle on the ground."""
    return [camera.at(x0, 0, near), camera.at(x1, 0, near), camera.at(x1, 0, far), camera.at(x0, 0, far)]


def _upright(camera: Camera, x: float, low: float, high: float, near: float, far: float) -> list[Point]:
    """A rectangle that stands along the street."""
    return [camera.at(x, low, near), camera.at(x, high, near), camera.at(x, high, far), camera.at(x, low, far)]
