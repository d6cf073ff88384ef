"""Crowded pictures: instances touch and cover each other, fills have a texture, and objects without a mask stand by.

Instances are drawn from the back to the front; a mask is what shows of its instance. Distractors are behind them, have
no mask, and belong to the background: a translation should leave them alone. On the hard level they are of neither
domain's shape and colour; on the decoys level they look exactly like instances of either domain, in both domains'
pictures alike, so that nothing but the masks tells what is to be translated.
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data.shapes.drawing import (
    BACKGROUNDS,
    DOMAINS,
    LARGEST_ANGLE,
    SQUARES,
    TRIANGLES,
    Domain,
    Instance,
    Scene,
    as_mask,
    as_pixels,
    draw_background,
    painted,
    told,
)

LARGEST_COUNT = 8
LEAST_VISIBLE = 0.65
"""Share of an instance's pixels that nothing in front of it covers on the hard level; of a distractor too."""
BESIDE = 0.5
"""Share of the instances that are put beside an earlier one, so that they touch or cover it."""
TEXTURES = ("plain", "stripes", "checks", "spots")
CONTRAST = 0.14
"""How much brighter and darker than its colour a texture is."""

ROUND = tuple((0.5 * math.cos(2 * math.pi * k / 24), 0.5 * math.sin(2 * math.pi * k / 24)) for k in range(24))
ARM, REACH = 0.17, 0.55
CROSS = (
    (-ARM, -REACH), (ARM, -REACH), (ARM, -ARM), (REACH, -ARM), (REACH, ARM), (ARM, ARM),
    (ARM, REACH), (-ARM, REACH), (-ARM, ARM), (-REACH, ARM), (-REACH, -ARM), (-ARM, -ARM),
)  # fmt: skip
DISTRACTORS = (
    Domain("", "disc", ROUND, hue=(0.25, 0.42), saturation=(0.5, 0.8), value=(0.6, 0.85)),
    Domain("", "cross", CROSS, hue=(0.76, 0.86), saturation=(0.45, 0.75), value=(0.6, 0.85)),
)


WARM = replace(SQUARES, hue=(-0.05, 0.15))
COOL = replace(TRIANGLES, hue=(0.50, 0.72))
"""The domains of the decoys level: red to yellow, cyan to violet, so that instances of a picture differ in colour."""


@dataclass(frozen=True)
class Crowd:
    """How the pictures of a level are filled. Sizes are shares of the picture's side.

    domains         whose instances its pictures show
    distractors     kinds of objects without a mask; as many of them as ``distractor_counts`` says, least and most
    least_visible   share of an object's pixels that nothing in front of it covers
    beside          how far apart the centres of two are that touch, as a share of the distance at which squares would
    swell           nothing comes near a distractor: to where it would be if it were so many times larger
    """

    sizes: tuple[float, float]
    distractors: tuple[Domain, ...]
    distractor_sizes: tuple[float, float]
    distractor_counts: tuple[int, int]
    least_visible: float
    domains: tuple[Domain, Domain] = DOMAINS
    beside: tuple[float, float] = (0.7, 1.0)
    swell: float | None = None

    def draw_scene(self, rng: np.random.Generator, domain: Domain, side: int, count: int | None = None) -> Scene:
        """A picture with ``count`` instances, by default one to ``LARGEST_COUNT``."""
        kind = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))]
        picture = draw_background(rng, kind, side)
        drawn = int(rng.integers(1, LARGEST_COUNT + 1))
        distractors, instances = self.place(rng, domain, side, drawn if count is None else count)
        objects = distractors + instances
        covers = [one.coverage(side) for one in objects]
        shown = visible([cover >= 0.5 for cover in covers])
        truth = []
        for one, cover, inside in zip(objects, covers, shown, strict=True):
            texture = TEXTURES[int(rng.integers(len(TEXTURES)))]
            picture = painted(picture, one, cover, CONTRAST * draw_texture(rng, texture, one, side))
            share = float(inside.sum() / (cover >= 0.5).sum())
            truth.append(told(one, inside) | {"texture": texture, "visible": round(share, 3)})
        first = len(distractors)
        masks = [as_mask(inside) for inside in shown[first:]]
        return Scene(
            as_pixels(picture), masks, {"background": kind, "instances": truth[first:], "distractors": truth[:first]}
        )

    def place(
        self, rng: np.random.Generator, domain: Domain, side: int, count: int
    ) -> tuple[list[Instance], list[Instance]]:
        """Distractors and ``count`` instances, wholly inside the picture, of which enough shows; from back to front."""
        least, most = self.distractor_counts
        while True:
            behind = int(rng.integers(least, most + 1))
            placed: list[Instance] = []
            masks: list[np.ndarray] = []
            kept_free = np.zeros((side, side), bool)
            for _ in range(40 * (behind + count)):
                of_domain = len(placed) >= behind
                kind = domain if of_domain else self.distractors[int(rng.integers(len(self.distractors)))]
                sizes = self.sizes if of_domain else self.distractor_sizes
                one = draw_object(rng, kind, sizes, side, placed[behind:], self.beside)
                tried = [*masks, one.coverage(side) >= 0.5]
                shown = zip(visible(tried), tried, strict=True)
                if not (kept_free & tried[-1]).any() and all(
                    seen.sum() >= self.least_visible * mask.sum() for seen, mask in shown
                ):
                    placed, masks = [*placed, one], tried
                    if self.swell and not of_domain:
                        kept_free |= replace(one, size=self.swell * one.size).coverage(side) > 0
                if len(placed) == behind + count:
                    return placed[:behind], placed[behind:]


NEITHER = Crowd((0.20, 0.30), DISTRACTORS, (0.14, 0.22), (1, 3), LEAST_VISIBLE)
"""The hard level."""
ALIKE = Crowd((0.17, 0.23), (WARM, COOL), (0.17, 0.23), (2, 4), 0.85, (WARM, COOL), (0.95, 1.1), 1.4)
"""The decoys level."""


def distractors_of(picture: dict[str, Any], side: int) -> list[np.ndarray]:
    """Where the distractors of a picture are, also under instances: each (side, side) bool. picture: its truth."""
    kinds = {kind.shape: kind for kind in (*DISTRACTORS, *DOMAINS)}
    return [
        Instance(kinds[one["shape"]], tuple(one["centre"]), one["size"], one["angle"], one["colour"]).coverage(side)
        >= 0.5
        for one in picture.get("distractors", ())
    ]


def draw_object(
    rng: np.random.Generator,
    kind: Domain,
    sizes: tuple[float, float],
    side: int,
    others: list[Instance],
    distances: tuple[float, float],
) -> Instance:
    """One object, wholly inside the picture: anywhere, or where it touches or covers one of the others."""
    size = rng.uniform(*sizes) * side
    radius = size * kind.radius()
    centre = rng.uniform(radius, side - radius, 2)
    if others and rng.uniform() < BESIDE:
        other = others[int(rng.integers(len(others)))]
        away, direction = rng.uniform(*distances) * (size + other.size) / 2, rng.uniform(0, 2 * math.pi)
        beside = other.centre[0] + away * math.cos(direction), other.centre[1] + away * math.sin(direction)
        centre = np.clip(beside, radius, side - radius)
    hue, saturation, value = (rng.uniform(*limits) for limits in (kind.hue, kind.saturation, kind.value))
    angle = rng.uniform(-LARGEST_ANGLE, LARGEST_ANGLE)
    return Instance(kind, (centre[0], centre[1]), size, angle, colorsys.hsv_to_rgb(hue % 1, saturation, value))


def visible(masks: list[np.ndarray]) -> list[np.ndarray]:
    """What shows of each mask (side, side) bool, given from back to front."""
    shown: list[np.ndarray] = []
    covered = np.zeros_like(masks[0])
    for mask in reversed(masks):
        shown.append(mask & ~covered)
        covered = covered | mask
    return shown[::-1]


def draw_texture(rng: np.random.Generator, kind: str, one: Instance, side: int) -> np.ndarray:
    """A pattern in the object's own coordinates: (side, side) float in [-1, 1], 0 on average."""
    y, x = np.mgrid[0:side, 0:side] + 0.5
    turn = math.radians(one.angle) + rng.uniform(0, math.pi)
    along = ((x - one.centre[0]) * math.cos(turn) + (y - one.centre[1]) * math.sin(turn)) / one.size
    across = ((y - one.centre[1]) * math.cos(turn) - (x - one.centre[0]) * math.sin(turn)) / one.size
    waves = 2 * math.pi * rng.uniform(1.5, 2.5)
    if kind == "plain":
        return np.zeros((side, side))
    if kind == "stripes":
        return np.sin(waves * along)
    if kind == "checks":
        return np.tanh(4 * np.sin(waves * along) * np.sin(waves * across))
    if kind == "spots":
        return np.clip(2 * np.cos(waves * along) * np.cos(waves * across), -1, 1)
    raise ValueError(f"kind must be one of {', '.join(TEXTURES)}, not {kind}")
