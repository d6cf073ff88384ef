"""Where a scene is drawn: colours, and for each pixel what it belongs to, four times as large as the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from PIL import Image, ImageDraw

SUPERSAMPLING = 4
"""Everything is drawn this many times larger and reduced by averaging: soft edges."""
NEAREST = 4.0
"""Metres from the camera that the depth channel calls nearest (255); farther is that share of it."""

Point = tuple[float, float]
Colour = tuple[int, int, int]


class Material(IntEnum):
    """What a pixel shows. Styles light each material in its own way."""

    SKY = 0
    HOUSE_LEFT = 1
    HOUSE_RIGHT = 2
    ROAD = 3
    PAVEMENT = 4
    PLANT = 5
    METAL = 6
    CAR = 7
    PERSON = 8
    SIGN = 9
    SKYLINE = 10


class Emitter(IntEnum):
    """What shines by night."""

    NOTHING = 0
    HEADLIGHT = 1
    TAIL_LIGHT = 2
    STREET_LAMP = 3
    WINDOW = 4
    """The first of ``WINDOWS`` kinds: styles light the first few of them."""


WINDOWS = 6


@dataclass(frozen=True, eq=False)
class Layers:
    """A drawn scene, before any light. H x W image, K objects.

    colour    (H, W, 3) float in [0, 1]: surfaces as they look in white light
    shares    (materials, H, W) float in [0, 1]: how much of each pixel is of which material
    emitters  (4 H, 4 W) uint8 of ``Emitter``, not yet reduced
    distance  (H, W) float, metres from the camera
    owners    (K, H, W) float in [0, 1]: how much of each pixel shows which object
    """

    colour: np.ndarray
    shares: np.ndarray
    emitters: np.ndarray
    distance: np.ndarray
    owners: np.ndarray


class Canvas:
    """Takes polygons and ellipses in units of 1/64 of the image's height, from back to front."""

    def __init__(self, width: int, height: int) -> None:
        self.scale = SUPERSAMPLING * height / 64
        size = (width * SUPERSAMPLING, height * SUPERSAMPLING)
        self._images = Image.new("RGB", size), Image.new("RGB", size), Image.new("L", size)
        self._pens = [ImageDraw.Draw(image) for image in self._images]

    def polygon(self, points: Sequence[Point], brush: Brush, colour: Colour, emitter: int = Emitter.NOTHING) -> None:
        corners = [(u * self.scale, v * self.scale) for u, v in points]
        for pen, fill in zip(self._pens, brush.fills(colour, emitter), strict=True):
            pen.polygon(corners, fill=fill)

    def ellipse(
        self, centre: Point, radii: Point, brush: Brush, colour: Colour, emitter: int = Emitter.NOTHING
    ) -> None:
        box = [(centre[k] + sign * radii[k]) * self.scale for sign in (-1, 1) for k in (0, 1)]
        for pen, fill in zip(self._pens, brush.fills(colour, emitter), strict=True):
            pen.ellipse(box, fill=fill)

    def line(self, points: Sequence[Point], width: float, brush: Brush, colour: Colour) -> None:
        """width: in the same units."""
        corners = [(u * self.scale, v * self.scale) for u, v in points]
        for pen, fill in zip(self._pens, brush.fills(colour, Emitter.NOTHING), strict=True):
            pen.line(corners, fill=fill, width=max(1, round(width * self.scale)), joint="curve")

    def layers(self, objects: int) -> Layers:
        """objects: how many there are; their brushes have the owners 1, 2, ..."""
        colour, codes, depth = self._images
        material, emitters, owner = np.moveaxis(np.asarray(codes), 2, 0)
        near = np.asarray(depth.reduce(SUPERSAMPLING), dtype=np.float64) / 255
        return Layers(
            np.asarray(colour.reduce(SUPERSAMPLING), dtype=np.float64) / 255,
            np.stack([reduced(material == kind) for kind in Material]),
            emitters,
            NEAREST / near.clip(1 / 255),
            np.stack([reduced(owner == number + 1) for number in range(objects)]),
        )


@dataclass(frozen=True)
class Brush:
    """What is drawn with it: its material, its distance in metres, and the object it belongs to (0: none)."""

    material: Material
    distance: float
    owner: int = 0

    def fills(self, colour: Colour, emitter: int) -> tuple[Colour, tuple[int, int, int], int]:
        nearness = round(255 * min(1.0, NEAREST / self.distance))
        return colour, (int(self.material), int(emitter), self.owner), nearness


def reduced(inside: np.ndarray) -> np.ndarray:
    """(4 H, 4 W) bool or float -> (H, W) float: the mean of each pixel's parts."""
    height, width = inside.shape[0] // SUPERSAMPLING, inside.shape[1] // SUPERSAMPLING
    return inside.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING).mean((1, 3))


def shade(colour: Colour, factor: float) -> Colour:
    """The same colour, brighter or darker."""
    red, green, blue = (min(255, max(0, round(channel * factor))) for channel in colour)
    return red, green, blue
