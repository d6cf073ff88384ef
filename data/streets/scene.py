"""What a scene holds, drawn from random numbers. Lengths are metres: x to the right, y up from the road, z away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.streets.canvas import Colour, Point

UNITS = 64.0
"""Height of every image in the units of the canvas."""
CLASSES = ("car", "person", "sign")
COUNTS = {"car": (1, 2), "person": (1, 3), "sign": (1, 2)}
"""How many of each class a scene tries to show: fewest and most."""
LARGEST_OVERLAP = 0.2
"""Share of an object's rectangle that another one may cover."""
PAINTS: tuple[Colour, ...] = (
    (196, 42, 38), (38, 84, 178), (224, 224, 222), (58, 62, 70), (214, 166, 44), (46, 132, 92), (150, 156, 164),
)  # fmt: skip
CLOTHES: tuple[Colour, ...] = (
    (206, 58, 52), (48, 96, 190), (236, 190, 60), (60, 150, 96), (150, 70, 160), (230, 120, 50), (220, 214, 204),
)  # fmt: skip
TROUSERS: tuple[Colour, ...] = ((48, 54, 82), (70, 62, 56), (38, 40, 46), (98, 92, 84))
SKINS: tuple[Colour, ...] = ((234, 190, 160), (204, 152, 118), (146, 98, 72), (102, 68, 52))
HAIRS: tuple[Colour, ...] = ((44, 32, 26), (86, 56, 34), (30, 28, 30), (176, 136, 76))
WALLS: tuple[Colour, ...] = (
    (204, 116, 88), (222, 188, 140), (188, 148, 120), (228, 218, 200), (172, 176, 170), (206, 160, 104), (166, 104, 88),
)  # fmt: skip
ROOFS: tuple[Colour, ...] = ((128, 62, 50), (92, 72, 66), (76, 82, 94), (150, 84, 58))
LEAVES: tuple[Colour, ...] = ((74, 128, 58), (98, 144, 62), (60, 110, 66))


@dataclass(frozen=True)
class Camera:
    """Looks along the street. horizon, vanishing, width: in units of the canvas; eye: metres above the road."""

    width: float
    horizon: float
    vanishing: float
    eye: float
    focal: float

    def at(self, x: float, y: float, z: float) -> Point:
        """A point in metres -> where it is seen, in units of the canvas."""
        return self.vanishing + self.focal * x / z, self.horizon + self.focal * (self.eye - y) / z

    def size(self, metres: float, z: float) -> float:
        return self.focal * metres / z


@dataclass(frozen=True)
class House:
    """side: -1 left, 1 right; from near to far; lit: for each window in [0, 1), the smaller, the sooner it is lit."""

    side: int
    near: float
    far: float
    height: float
    gabled: bool
    wall: Colour
    roof: Colour
    lit: tuple[float, ...]


@dataclass(frozen=True)
class Beside:
    """A street lamp or a tree at the edge of the pavement."""

    kind: str
    side: int
    z: float
    size: float
    colour: Colour


@dataclass(frozen=True)
class Thing:
    """An object: its class, the middle of its foot on the ground (x, z), its colours, and what makes it look different.

    oncoming: of cars, whether the front is seen; variant: in [0, 1), the pose of a person, the number of a sign.
    """

    kind: str
    x: float
    z: float
    colours: tuple[Colour, ...]
    variant: float
    oncoming: bool = False

    def rectangle(self, camera: Camera) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of about what is seen of it, in units of the canvas."""
        half, low, high = {"car": (0.92, 0.0, 1.5), "person": (0.3, 0.0, 1.78), "sign": (0.5, 1.95, 2.95)}[self.kind]
        left, bottom = camera.at(self.x - half, low, self.z)
        right, top = camera.at(self.x + half, high, self.z)
        return left, top, right, bottom


@dataclass(frozen=True)
class Scene:
    """half: half of the road's width; sun: the side that the sun is on; crossing: where a zebra crossing is, if any.

    weather: the seed of what differs from scene to scene in the same style: clouds, stars, rain drops, grain.
    """

    camera: Camera
    half: float
    sun: int
    crossing: float | None
    houses: tuple[House, ...]
    beside: tuple[Beside, ...]
    things: tuple[Thing, ...]
    weather: int


def draw_scene(rng: np.random.Generator, aspect: float) -> Scene:
    """A scene for images of this width / height, with at least one object."""
    width = UNITS * aspect
    camera = Camera(
        width,
        horizon=rng.uniform(27, 31),
        vanishing=width * rng.uniform(0.42, 0.58),
        eye=rng.uniform(1.75, 2.15),
        focal=80 * min(1.0, aspect / 1.5),
    )
    half, sun = rng.uniform(3.0, 3.4), int(rng.choice((-1, 1)))
    crossing = rng.uniform(7.5, 9.0) if rng.uniform() < 0.35 else None
    houses = tuple(house for side in (-1, 1) for house in draw_houses(rng, side))
    beside = draw_beside(rng)
    things: tuple[Thing, ...] = ()
    while not things:
        things = draw_things(rng, camera, half)
    return Scene(camera, half, sun, crossing, houses, beside, things, int(rng.integers(2**31)))


def draw_houses(rng: np.random.Generator, side: int) -> list[House]:
    """A row of houses along one side, from near to far."""
    houses, z = [], rng.uniform(3.0, 5.0)
    while z < 70:
        length, floors = rng.uniform(5, 9), int(rng.integers(1, 4))
        wall, roof = WALLS[int(rng.integers(len(WALLS)))], ROOFS[int(rng.integers(len(ROOFS)))]
        lit = tuple(rng.uniform(size=24).tolist())
        height = 2.9 * floors + rng.uniform(0.5, 1.1)
        houses.append(House(side, z, z + length, height, bool(rng.uniform() < 0.6), wall, roof, lit))
        z += length + (rng.uniform(1.0, 2.5) if rng.uniform() < 0.35 else 0.0)
    return houses


def draw_beside(rng: np.random.Generator) -> tuple[Beside, ...]:
    """Street lamps in a row on one side, and a few trees on the other."""
    side, first = int(rng.choice((-1, 1))), rng.uniform(8.5, 12)
    lamps = [Beside("lamp", side, first + 11 * k, 4.6, (70, 74, 80)) for k in range(4)]
    trees = [
        Beside("tree", -side, z, rng.uniform(0.8, 1.15), LEAVES[int(rng.integers(len(LEAVES)))])
        for z in rng.uniform(12, 34, int(rng.integers(1, 4))).tolist()
    ]
    return (*lamps, *trees)


def draw_things(rng: np.random.Generator, camera: Camera, half: float) -> tuple[Thing, ...]:
    """Objects that are wholly in the picture and hardly cover each other, from far to near."""
    placed: list[Thing] = []
    for kind in CLASSES:
        wanted = int(rng.integers(COUNTS[kind][0], COUNTS[kind][1] + 1))
        for _ in range(30 * wanted):
            one = draw_thing(rng, kind, half)
            if fits(one, placed, camera):
                placed.append(one)
            if sum(other.kind == kind for other in placed) == wanted:
                break
    return tuple(sorted(placed, key=lambda one: -one.z))


def draw_thing(rng: np.random.Generator, kind: str, half: float) -> Thing:
    side, variant = int(rng.choice((-1, 1))), rng.uniform()
    if kind == "car":
        x = side * half * 0.5 + rng.uniform(-0.2, 0.2)  # traffic keeps to the right: cars on the left come towards us
        return Thing("car", x, rng.uniform(6.8, 16), (_one_of(rng, PAINTS),), variant, oncoming=side < 0)
    if kind == "person":
        crosses = rng.uniform() < 0.4
        x = rng.uniform(-0.9, 0.9) * half if crosses else side * (half + rng.uniform(0.35, 1.3))
        colours = tuple(_one_of(rng, of) for of in (CLOTHES, TROUSERS, SKINS, HAIRS))
        return Thing("person", x, rng.uniform(6.3, 9.5), colours, variant)
    return Thing("sign", side * (half + 0.35), rng.uniform(6.6, 9.0), (), variant)


def fits(one: Thing, placed: list[Thing], camera: Camera) -> bool:
    """Whether an object is wholly in the picture and covers too little of others, and they of it, to matter."""
    left, top, right, bottom = one.rectangle(camera)
    if left < 1 or top < 1 or right > camera.width - 1 or bottom > UNITS - 1:
        return False
    area = (right - left) * (bottom - top)
    for other in placed:
        x0, y0, x1, y1 = other.rectangle(camera)
        common = max(0.0, min(right, x1) - max(left, x0)) * max(0.0, min(bottom, y1) - max(top, y0))
        if common > LARGEST_OVERLAP * min(area, (x1 - x0) * (y1 - y0)):
            return False
        if one.kind != "sign" and other.kind != "sign" and abs(one.z - other.z) < 2 and abs(one.x - other.x) < 1:
            return False  # two bodies in one place
    return True


def _one_of(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return colours[int(rng.integers(len(colours)))]
