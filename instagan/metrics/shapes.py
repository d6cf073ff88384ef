"""The embedded example's truth: which shape and colour an instance has, and where instances of a domain are seen.

The domains of ``shapes.json`` tell the outline and the ranges of colour that set them apart. Pictures are (H, W, 3) in
[0, 1], masks (H, W) bool.
"""

from __future__ import annotations

import colorsys
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from instagan.errors import InputError
from instagan.metrics.agreement import overlap
from instagan.metrics.outcome import Outcome
from instagan.pictures.pasting import distance_outside

LEAST_FIT = 0.8
"""A mask is a shape only if its intersection over union with the best placed one reaches this."""
LEAST_OVERLAP = 0.25
"""A translated mask is in place if its intersection over union with the source mask reaches this."""
LARGEST_COLOUR_DISTANCE = 0.25
"""A mean colour farther than this from every colour of a domain belongs to none; RGB cube with side 1."""
LEAST_AREA = 16
"""A mask of fewer pixels could be anything."""
DISC = np.array([(math.cos(2 * math.pi * k / 16), math.sin(2 * math.pi * k / 16)) for k in range(16)])

Outline = Sequence[Sequence[float]] | np.ndarray


@dataclass(frozen=True, eq=False)
class Truth:
    """What sets the target domain apart: its shape's name, all outlines by name, both domains' colours (K, 3)."""

    shape: str
    outlines: Mapping[str, Outline]
    wanted: np.ndarray
    other: np.ndarray

    @classmethod
    def of(cls, domains: Mapping[str, Any], source: str, target: str) -> Truth:
        """domains: those of ``shapes.json``, by letter."""
        outlines = {domain["shape"]: domain["outline"] for domain in domains.values()}
        return cls(domains[target]["shape"], outlines, palette(domains[target]), palette(domains[source]))

    def shapes(self, outcome: Outcome) -> list[bool]:
        """Whether each translated mask has the target's shape, where the instance was."""
        return [
            before is not None and after is not None
            and overlap(after, before) >= LEAST_OVERLAP
            and shape_of(after, dict(self.outlines)) == self.shape
            for before, after in zip(outcome.before, outcome.after, strict=True)
        ]  # fmt: skip

    def colours(self, outcome: Outcome) -> list[bool]:
        """Whether each instance has the target's colour, inside its translated mask."""
        fake = outcome.fake / 255
        return [after is not None and has_colour(fake, after, self.wanted, self.other) for after in outcome.after]

    def found(self, outcome: Outcome) -> list[np.ndarray]:
        """Where the translated picture shows each instance: what has the target's colour and is nearest to it."""
        if not outcome.count:
            return []
        pixels = np.unique(outcome.fake.reshape(-1, 3), axis=0, return_inverse=True)
        seen = looks_like(pixels[0] / 255, self.wanted, self.other)[pixels[1].ravel()].reshape(outcome.fake.shape[:2])
        reach = max(outcome.fake.shape)
        distances = [
            np.full(seen.shape, np.inf) if mask is None else distance_outside(mask, reach) for mask in outcome.before
        ]
        nearest = np.stack(distances).argmin(0)  # (H, W)
        return [seen & (nearest == number) for number in range(outcome.count)]

    def agreement(self, outcome: Outcome) -> list[float]:
        """Intersection over union of each translated mask with what is seen of its instance."""
        return [
            0.0 if after is None else overlap(after, found)
            for after, found in zip(outcome.after, self.found(outcome), strict=True)
        ]


def read_truth(dataroot: Path) -> dict[str, Any] | None:
    """The domains of a set that ``make_shapes.py`` drew, by letter; None for any other set. Raises ``InputError``."""
    path = dataroot / "shapes.json"
    if not path.is_file():
        return None
    try:
        domains = json.loads(path.read_text(encoding="utf-8"))["domains"]
        for letter, other in ("AB", "BA"):
            Truth.of(domains, letter, other)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}); write it again with make_shapes.py") from None
    return domains


def looks_like(colours: np.ndarray, wanted: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Which of the colours (n, 3) are near the wanted palette, and nearer to it than to the other: (n,) bool."""
    to_wanted, to_other = (_distance(colours, palette) for palette in (wanted, other))
    return (to_wanted < to_other) & (to_wanted <= LARGEST_COLOUR_DISTANCE)


def _distance(colours: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Of each colour (n, 3) to the nearest of the palette (K, 3): (n,)."""
    squared = (colours**2).sum(1)[:, None] + (palette**2).sum(1) - 2 * colours @ palette.T  # (n, K)
    return np.sqrt(squared.min(1).clip(0))


def fit(mask: np.ndarray, outline: Outline) -> float:
    """Best intersection over union of a mask (H, W) bool, not empty, with the shape at any place, size and angle.

    outline: corners of a convex shape around its centre of gravity. Starts from the mask's own centre and area with
    24 angles and three sizes, then refines the best in ever smaller steps.
    """
    lines, columns = np.nonzero(mask)
    margin = 2 + (max(np.ptp(lines), np.ptp(columns)) + 1) // 4
    top, left = max(lines.min() - margin, 0), max(columns.min() - margin, 0)
    part = mask[top : lines.max() + margin + 1, left : columns.max() + margin + 1]
    step = math.ceil(max(part.shape) / 48)  # a coarser grid is enough for a large mask
    part = part[::step, ::step]
    y, x = np.indices(part.shape, dtype=np.float32).reshape(2, -1)  # (P,) each
    inside = part.ravel()  # (P,)

    start = np.asarray(outline, dtype=np.float64)
    along = np.roll(start, -1, axis=0) - start
    normals = np.stack([along[:, 1], -along[:, 0]], axis=1) / np.hypot(along[:, 0], along[:, 1])[:, None]  # (E, 2)
    distances = (normals * start).sum(1)  # (E,)
    normals, distances = normals * np.sign(distances)[:, None], np.abs(distances)
    unit_area = np.abs(start[:, 0] * along[:, 1] - start[:, 1] * along[:, 0]).sum() / 2

    def scores(places: np.ndarray) -> np.ndarray:
        """Places (K, 4) as x, y, size, angle -> intersection over union (K,)."""
        away_x = (x - places[:, :1]) / places[:, 2:3]  # (K, P)
        away_y = (y - places[:, 1:2]) / places[:, 2:3]
        covered = np.ones(away_x.shape, dtype=bool)
        cosine, sine = np.cos(places[:, 3:]), np.sin(places[:, 3:])  # (K, 1)
        for (normal_x, normal_y), distance in zip(normals, distances, strict=True):
            turned_x, turned_y = cosine * normal_x - sine * normal_y, sine * normal_x + cosine * normal_y
            covered &= turned_x * away_x + turned_y * away_y <= distance
        both = (covered & inside).sum(1)
        return both / (covered.sum(1) + inside.sum() - both)

    size = math.sqrt(inside.sum() / unit_area)
    angles = np.radians(np.arange(0, 120, 5))
    places = np.array([(x[inside].mean(), y[inside].mean(), size * k, a) for k in (0.9, 1, 1.1) for a in angles], "f")
    moves = np.array(list(product((0, -1, 1), repeat=4)), "f") * np.array([size, size, size, 0.8], "f") / 12
    found = scores(places)
    for _ in range(5):
        places = places[found.argmax()] + moves  # (81, 4); the first is the best so far
        found = scores(places)
        moves = moves / 2
    return float(found.max())


def ellipse_like(mask: np.ndarray) -> np.ndarray:
    """Corners (16, 2) of the ellipse with the second moments of a mask (H, W) bool; the rival of every other shape."""
    lines, columns = np.nonzero(mask)
    variances, axes = np.linalg.eigh(np.cov(np.stack([columns, lines])) + np.eye(2) / 12)
    radii = np.sqrt(variances / np.sqrt(variances.prod()))
    return DISC @ (axes * radii) @ axes.T


def shape_of(mask: np.ndarray, outlines: dict[str, Outline]) -> str | None:
    """The shape of a mask (H, W) bool: the name of its best fitting outline; None if it is none of them.

    None too if an ellipse fits better than every outline, or nothing fits well: blobs, fragments, noise, an empty mask.
    """
    if np.count_nonzero(mask) < LEAST_AREA:
        return None
    fits = {name: fit(mask, outline) for name, outline in outlines.items()}
    best = max(fits, key=lambda name: fits[name])
    return best if fits[best] >= LEAST_FIT and fits[best] > fit(mask, ellipse_like(mask)) else None


def palette(domain: dict[str, Any]) -> np.ndarray:
    """Colours that fill the domain's ranges of hue, saturation and value: (K, 3) RGB in [0, 1]."""
    counts = {"hue": 25, "saturation": 5, "value": 5}
    ranges = (np.linspace(domain[key][0], domain[key][1], count) for key, count in counts.items())
    return np.array([colorsys.hsv_to_rgb(hue % 1, saturation, value) for hue, saturation, value in product(*ranges)])


def has_colour(picture: np.ndarray, mask: np.ndarray, wanted: np.ndarray, other: np.ndarray) -> bool:
    """Whether the mean colour inside a mask is near the wanted palette (K, 3), and nearer to it than to the other.

    picture (H, W, 3) in [0, 1], mask (H, W) bool; an empty mask has no colour.
    """
    if not mask.any():
        return False
    mean = picture[mask].mean(0)
    to_wanted, to_other = (np.linalg.norm(colours - mean, axis=1).min() for colours in (wanted, other))
    return bool(to_wanted < to_other and to_wanted <= LARGEST_COLOUR_DISTANCE)
