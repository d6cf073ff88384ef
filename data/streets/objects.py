"""Draws the objects: cars from the front or from behind, persons who walk, speed signs on poles."""

from __future__ import annotations

import math
from dataclasses import dataclass

from data.streets.canvas import Brush, Canvas, Emitter, Material, Point, shade
from data.streets.scene import Camera, Thing

GLASS, TYRE, DARK, PLATE = (74, 92, 112), (28, 28, 30), (44, 46, 50), (236, 236, 226)
HEAD_GLASS, TAIL_GLASS = (190, 194, 196), (150, 30, 30)
RED, WHITE, POLE = (206, 30, 36), (246, 246, 242), (120, 124, 130)
LENGTH = 3.9
SIGN_HEIGHT, SIGN_RADIUS = 2.45, 0.5
"""Metres, of a car and of a sign's plate."""
DIGITS = {"3": "abgcd", "5": "afgcd", "7": "abc", "0": "abcdef"}
"""The strokes of a number of seven strokes: a top, then clockwise b to f, g middle."""
STROKES = {
    "a": ((0, 0), (1, 0)), "b": ((1, 0), (1, 1)), "c": ((1, 1), (1, 2)), "d": ((0, 2), (1, 2)),
    "e": ((0, 1), (0, 2)), "f": ((0, 0), (0, 1)), "g": ((0, 1), (1, 1)),
}  # fmt: skip


@dataclass(frozen=True)
class Light:
    """A lamp of a car: its centre and radius in units of the canvas."""

    centre: Point
    radius: float


def draw_thing(canvas: Canvas, camera: Camera, thing: Thing, owner: int) -> list[Light]:
    """Returns the lamps, which only cars have."""
    if thing.kind == "car":
        return draw_car(canvas, camera, thing, owner)
    (draw_person if thing.kind == "person" else draw_sign)(canvas, camera, thing, owner)
    return []


def draw_car(canvas: Canvas, camera: Camera, car: Thing, owner: int) -> list[Light]:
    """A body with bonnet or boot, a cabin that narrows towards the roof, wheels, lights, a number plate."""
    brush = Brush(Material.CAR, car.z, owner)
    inner = -1 if car.x > 0 else 1  # the side that faces the middle of the street, and us
    x0, x1, z0, z1 = car.x - 1.0, car.x + 1.0, car.z - 0.15, car.z + LENGTH
    shadow = [camera.at(x0, 0, z0), camera.at(x1, 0, z0), camera.at(x1, 0, z1), camera.at(x0, 0, z1)]
    canvas.polygon(shadow, Brush(Material.ROAD, car.z), (50, 50, 54))
    _draw_body(canvas, camera, car, brush, inner)
    _draw_cabin(canvas, camera, car, brush, inner)
    _draw_face(canvas, camera, car, brush)
    return [_draw_light(canvas, camera, car, brush, right) for right in (-0.68, 0.68)]


def _draw_body(canvas: Canvas, camera: Camera, car: Thing, brush: Brush, inner: int) -> None:
    """Wheels, the side that is seen, and the top of bonnet and boot."""
    at, x, z, paint = camera.at, car.x, car.z, car.colours[0]
    for place in (z + 3.1, z + 0.75):
        turns = [turn / 8 * math.pi for turn in range(16)]
        wheel = [at(x + inner * 0.88, 0.32 + 0.32 * math.sin(turn), place + 0.32 * math.cos(turn)) for turn in turns]
        canvas.polygon(wheel, brush, TYRE)
    side, end = x + inner * 0.9, z + LENGTH
    door = [at(side, 0.3, z), at(side, 0.86, z), at(side, 0.86, end), at(side, 0.3, end)]
    canvas.polygon(door, brush, shade(paint, 0.72))
    for wheel_x in (x - 0.68, x + 0.68):
        canvas.polygon(_box(camera, wheel_x, 0.17, 0.0, 0.5, z), brush, TYRE)
    top = [at(x - 0.9, 0.84, z), at(x + 0.9, 0.84, z), at(x + 0.86, 0.9, end), at(x - 0.86, 0.9, end)]
    canvas.polygon(top, brush, shade(paint, 1.12))


def _draw_cabin(canvas: Canvas, camera: Camera, car: Thing, brush: Brush, inner: int) -> None:
    """Side window, roof, and the window that faces us in its frame."""
    at, x, z, paint = camera.at, car.x, car.z, car.colours[0]
    low, up = (z + 1.3, z + 2.0) if car.oncoming else (z + 0.5, z + 1.1)  # where the window begins, and the roof
    end, back = z + LENGTH - 0.9, z + LENGTH - 0.3
    near, far = [at(x + inner * 0.82, 0.88, low), at(x + inner * 0.64, 1.46, up)], at(x + inner * 0.64, 1.46, end)
    canvas.polygon([*near, far, at(x + inner * 0.82, 0.88, back)], brush, shade(GLASS, 0.7))
    roof = [at(x - 0.68, 1.5, up), at(x + 0.68, 1.5, up), at(x + 0.64, 1.5, end), at(x - 0.64, 1.5, end)]
    canvas.polygon(roof, brush, shade(paint, 1.2))
    frame = [at(x - 0.86, 0.86, low), at(x + 0.86, 0.86, low), at(x + 0.7, 1.5, up), at(x - 0.7, 1.5, up)]
    canvas.polygon(frame, brush, paint)
    glass = [at(x - 0.74, 0.9, low), at(x + 0.74, 0.9, low), at(x + 0.6, 1.41, up), at(x - 0.6, 1.41, up)]
    canvas.polygon(glass, brush, GLASS)


def _draw_face(canvas: Canvas, camera: Camera, car: Thing, brush: Brush) -> None:
    """The front, or the back: painted metal, bumper, grille, number plate."""
    corners = [(-0.9, 0.28), (-0.92, 0.68), (-0.84, 0.88), (0.84, 0.88), (0.92, 0.68), (0.9, 0.28)]
    canvas.polygon([camera.at(car.x + right, height, car.z) for right, height in corners], brush, car.colours[0])
    canvas.polygon(_box(camera, car.x, 0.9, 0.25, 0.4, car.z), brush, DARK)
    if car.oncoming:
        canvas.polygon(_box(camera, car.x, 0.42, 0.5, 0.68, car.z), brush, DARK)
    canvas.polygon(_box(camera, car.x, 0.26, 0.36, 0.48, car.z), brush, PLATE)


def _draw_light(canvas: Canvas, camera: Camera, car: Thing, brush: Brush, right: float) -> Light:
    centre = camera.at(car.x + right, 0.66, car.z)
    radius = max(0.75, camera.size(0.16, car.z))
    if car.oncoming:
        canvas.ellipse(centre, (radius, radius), brush, HEAD_GLASS, Emitter.HEADLIGHT)
    else:
        across, tall = radius * 1.15, radius * 0.85
        corners = [(centre[0] + i * across, centre[1] + j * tall) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        canvas.polygon(corners, brush, TAIL_GLASS, Emitter.TAIL_LIGHT)
    return Light(centre, radius)


def draw_person(canvas: Canvas, camera: Camera, person: Thing, owner: int) -> None:
    """Shoes, two legs in a step, coat, arms, head with hair."""
    coat, trousers, skin, hair = person.colours
    brush, metre = Brush(Material.PERSON, person.z, owner), camera.size(1.0, person.z)
    step = 0.1 + 0.16 * abs(math.sin(math.pi * (0.15 + person.variant)))
    facing = 1 if person.variant < 0.5 else -1

    def at(right: float, up: float) -> Point:
        return camera.at(person.x + facing * right, up, person.z)

    for foot, light in ((-step, 0.8), (step, 1.0)):
        canvas.line([at(0, 0.88), at(foot * 0.7, 0.45), at(foot, 0.04)], 0.17 * metre, brush, shade(trousers, light))
        canvas.ellipse(at(foot + 0.05, 0.05), (0.13 * metre, 0.06 * metre), brush, (34, 30, 30))
    canvas.line([at(-0.17, 1.36), at(-0.3 - step * 0.3, 0.98)], 0.12 * metre, brush, shade(coat, 0.75))
    body = [(-0.16, 1.46), (0.16, 1.46), (0.23, 1.36), (0.21, 0.78), (-0.21, 0.78), (-0.23, 1.36)]
    canvas.polygon([at(right, up) for right, up in body], brush, coat)
    canvas.line([at(0.17, 1.36), at(0.28 + step * 0.3, 0.98)], 0.12 * metre, brush, shade(coat, 0.88))
    canvas.polygon([at(-0.06, 1.52), at(0.06, 1.52), at(0.06, 1.42), at(-0.06, 1.42)], brush, shade(skin, 0.85))
    canvas.ellipse(at(0, 1.62), (0.155 * metre, 0.175 * metre), brush, hair)
    canvas.ellipse(at(0.03, 1.59), (0.13 * metre, 0.14 * metre), brush, skin)


def draw_sign(canvas: Canvas, camera: Camera, sign: Thing, owner: int) -> None:
    """A round white plate with a red rim and a number, which is the object, on a grey pole, which is not."""
    pole, plate = Brush(Material.METAL, sign.z), Brush(Material.SIGN, sign.z, owner)
    canvas.line([camera.at(sign.x, 0, sign.z), camera.at(sign.x, SIGN_HEIGHT, sign.z)], 0.8, pole, POLE)
    centre, radius = camera.at(sign.x, SIGN_HEIGHT, sign.z), camera.size(SIGN_RADIUS, sign.z)
    canvas.ellipse(centre, (radius, radius), plate, RED)
    canvas.ellipse(centre, (0.72 * radius, 0.72 * radius), plate, WHITE)
    number = ("30", "50", "70")[int(sign.variant * 3)]
    for place, digit in ((-0.26, number[0]), (0.26, number[1])):
        for stroke in DIGITS[digit]:
            ends = [
                (centre[0] + (place + 0.16 * (2 * i - 1)) * radius, centre[1] + 0.3 * (j - 1) * radius)
                for i, j in STROKES[stroke]
            ]
            canvas.line(ends, 0.13 * radius, plate, (24, 24, 28))


def _box(camera: Camera, x: float, half: float, low: float, high: float, z: float) -> list[Point]:
    """A rectangle that faces the camera."""
    return [camera.at(x + right, up, z) for right, up in ((-half, low), (half, low), (half, high), (-half, high))]
