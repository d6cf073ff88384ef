"""One picture of the embedded example: one to four shapes that do not touch, on a muted background."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

SUPERSAMPLING = 8
"""An instance is drawn this many times larger, in black and white; the shrunken drawing is its coverage in [0, 1]."""
LARGEST_COUNT = 4
SIZES = (0.22, 0.32)
"""Size of an instance as a share of the picture's side: that of a square is its side."""
LARGEST_ANGLE = 12.0
GAP = 0.03
"""Free space around the circle that holds an instance, as a share of the picture's side."""
BACKGROUNDS = ("gradient", "stripes", "checks", "clouds", "ripples")


@dataclass(frozen=True)
class Domain:
    """What the instances of a domain look like.

    outline    corners (x, y) of the upright shape at size 1, around the centre of gravity, y downwards
    hue        range in turns, below 0 for the far side of red; saturation and value: ranges in [0, 1]
    corners    names of the outline's corners, as keypoints
    """

    name: str
    shape: str
    outline: tuple[tuple[float, float], ...]
    hue: tuple[float, float]
    saturation: tuple[float, float] = (0.75, 0.95)
    value: tuple[float, float] = (0.75, 0.92)
    corners: tuple[str, ...] = ()

    def radius(self) -> float:
        """Distance from the centre of gravity to the farthest corner, at size 1."""
        return max(math.hypot(x, y) for x, y in self.outline)


SQUARES = Domain(
    "A", "square", ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)), hue=(-0.03, 0.08),
    corners=("upper left", "upper right", "lower right", "lower left"),
)  # fmt: skip
TRIANGLES = Domain(
    "B", "triangle", ((0.0, -0.8), (0.6, 0.4), (-0.6, 0.4)), hue=(0.56, 0.66),
    corners=("top", "lower right", "lower left"),
)  # fmt: skip
DOMAINS = (SQUARES, TRIANGLES)

ROUND = tuple((0.56 * math.cos(2 * math.pi * k / 24), 0.56 * math.sin(2 * math.pi * k / 24)) for k in range(24))
POINTED = tuple(
    (reach * math.sin(math.pi * k / 5), -reach * math.cos(math.pi * k / 5)) for k, reach in enumerate((0.75, 0.34) * 5)
)
CIRCLES = Domain("C", "circle", ROUND, hue=(0.30, 0.40))
STARS = Domain("D", "star", POINTED, hue=(0.80, 0.90))
MANY = tuple(replace(domain, name=domain.shape) for domain in (SQUARES, TRIANGLES, CIRCLES, STARS))
"""The domains of a set of more than two; they are called as their shapes are."""


def domains_of(count: int) -> tuple[Domain, ...]:
    """So many domains, 2 to 4: A and B, or square, triangle, circle, star."""
    return DOMAINS if count == 2 else MANY[:count]


@dataclass(frozen=True)
class Instance:
    """One shape in a picture: centre of gravity and size in pixels, angle in degrees (clockwise), colour in [0, 1]."""

    domain: Domain
    centre: tuple[float, float]
    size: float
    angle: float
    colour: tuple[float, float, float]

    def coverage(self, side: int) -> np.ndarray:
        """Share of every pixel that the instance covers: (side, side) float in [0, 1]."""
        corners = [(x * SUPERSAMPLING, y * SUPERSAMPLING) for x, y in self.corners()]
        large = Image.new("L", (side * SUPERSAMPLING, side * SUPERSAMPLING))
        ImageDraw.Draw(large).polygon(corners, fill=255)
        return np.asarray(large.reduce(SUPERSAMPLING), dtype=np.float64) / 255

    def corners(self) -> list[tuple[float, float]]:
        """x, y in pixels of the outline's corners, in its order."""
        turn = math.radians(self.angle)
        along, across = self.size * math.cos(turn), self.size * math.sin(turn)
        return [
            (self.centre[0] + along * x - across * y, self.centre[1] + across * x + along * y)
            for x, y in self.domain.outline
        ]

    def parts(self, inside: np.ndarray) -> np.ndarray:
        """Its upper part, 1, and its lower part, 2, divided at the centre of gravity as it is turned; 0 outside of the
        pixels ``inside``: (side, side) uint8."""
        y, x = np.mgrid[0 : len(inside), 0 : len(inside)] + 0.5 - np.array(self.centre)[::-1, None, None]
        turn = math.radians(self.angle)
        below = x * -math.sin(turn) + y * math.cos(turn) > 0  # (side, side)
        return np.where(inside, 1 + below, 0).astype(np.uint8)

    def radius(self) -> float:
        """Distance in pixels from the centre to the farthest corner."""
        return self.size * self.domain.radius()


def draw_instances(
    rng: np.random.Generator, domain: Domain, side: int, count: int | None, sizes: tuple[float, float] = SIZES
) -> list[Instance]:
    """``count`` instances, or one to ``LARGEST_COUNT``: wholly inside a picture of ``side`` pixels, and apart.

    sizes: between which theirs lie, as shares of the side.
    """
    drawn = int(rng.integers(1, LARGEST_COUNT + 1))
    count = drawn if count is None else count
    placed: list[Instance] = []
    tries = 0
    while len(placed) < count:
        size = rng.uniform(*sizes) * side
        radius = size * domain.radius()
        centre = (rng.uniform(radius, side - radius), rng.uniform(radius, side - radius))
        if all(math.dist(centre, old.centre) >= radius + old.radius() + GAP * side for old in placed):
            hue, saturation, value = (rng.uniform(*limits) for limits in (domain.hue, domain.saturation, domain.value))
            angle = rng.uniform(-LARGEST_ANGLE, LARGEST_ANGLE)
            placed.append(Instance(domain, centre, size, angle, colorsys.hsv_to_rgb(hue % 1, saturation, value)))
        tries += 1
        if tries % 100 == 0:  # no room left: begin again with the same count
            placed.clear()
    return placed


def draw_background(rng: np.random.Generator, kind: str, side: int) -> np.ndarray:
    """A muted texture of one of ``BACKGROUNDS``: (side, side, 3) float in [0, 1]."""
    y, x = np.mgrid[0:side, 0:side] / side  # (side, side) in [0, 1)
    angle, phase, waves = rng.uniform(0, 2 * math.pi), rng.uniform(0, 2 * math.pi), rng.uniform(2, 4)
    slope = (x - 0.5) * math.cos(angle) + (y - 0.5) * math.sin(angle)
    if kind == "gradient":
        pattern = slope * 1.6
    elif kind == "stripes":
        pattern = np.sin(2 * math.pi * waves * slope + phase)
    elif kind == "checks":
        pattern = np.tanh(3 * np.sin(math.pi * waves * x + phase) * np.sin(math.pi * waves * y + phase))
    elif kind == "clouds":
        coarse = Image.fromarray(rng.uniform(-1, 1, (7, 7)).astype(np.float32))
        pattern = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
    elif kind == "ripples":
        away = np.hypot(x - rng.uniform(0, 1), y - rng.uniform(0, 1))
        pattern = np.sin(2 * math.pi * waves * away + phase)
    else:
        raise ValueError(f"kind must be one of {', '.join(BACKGROUNDS)}, not {kind}")
    dark, light = rng.uniform(0.40, 0.47), rng.uniform(0.63, 0.70)
    tints = rng.uniform(-0.03, 0.03, (2, 3))
    mix = np.clip(pattern / 2 + 0.5, 0, 1)[..., None]  # (side, side, 1)
    grain = rng.normal(0, 0.012, (side, side, 1))
    return np.clip((dark + tints[0]) * (1 - mix) + (light + tints[1]) * mix + grain, 0, 1)  # (side, side, 3)


@dataclass(frozen=True)
class Scene:
    """A picture (side, side, 3) uint8, its masks, each (side, side) uint8 of 0 and 255, and the truth about it.

    instances: in the order of the masks, where they are plain, whole shapes.
    """

    picture: np.ndarray
    masks: list[np.ndarray]
    truth: dict[str, Any]
    instances: list[Instance] = field(default_factory=list)


def draw_scene(
    rng: np.random.Generator,
    domain: Domain,
    side: int,
    count: int | None = None,
    sizes: tuple[float, float] = SIZES,
) -> Scene:
    """A picture with ``count`` instances, by default one to ``LARGEST_COUNT``, of ``sizes`` as shares of the side."""
    kind = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))]
    picture = draw_background(rng, kind, side)
    masks, truth = [], []
    instances = draw_instances(rng, domain, side, count, sizes)
    for instance in instances:
        cover = instance.coverage(side)
        picture = painted(picture, instance, cover)
        inside = cover >= 0.5
        masks.append(as_mask(inside))
        truth.append(told(instance, inside))
    return Scene(as_pixels(picture), masks, {"background": kind, "instances": truth}, instances)


def painted(
    picture: np.ndarray, instance: Instance, cover: np.ndarray, pattern: np.ndarray | float = 0.0
) -> np.ndarray:
    """The picture (side, side, 3) with an instance over it, lit from above; pattern (side, side) makes it brighter."""
    y = np.mgrid[0 : len(cover), 0 : len(cover)][0] + 0.5
    light = 1 - 0.12 * (y - instance.centre[1]) / instance.size + pattern  # 1 on average
    lit = np.clip(np.multiply.outer(light, instance.colour), 0, 1)  # (side, side, 3)
    return picture * (1 - cover[..., None]) + lit * cover[..., None]


def told(instance: Instance, inside: np.ndarray) -> dict[str, Any]:
    """The truth about an instance that shows in the pixels ``inside`` (side, side) bool."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return {
        "shape": instance.domain.shape,
        "colour": [round(channel, 4) for channel in instance.colour],
        "box": [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1],
        "centre": [round(position, 3) for position in instance.centre],
        "size": round(instance.size, 3),
        "angle": round(instance.angle, 3),
    }


def as_mask(inside: np.ndarray) -> np.ndarray:
    return np.where(inside, 255, 0).astype(np.uint8)


def as_pixels(picture: np.ndarray) -> np.ndarray:
    """[0, 1] -> uint8."""
    return np.rint(picture * 255).astype(np.uint8)
