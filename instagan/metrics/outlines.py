"""What a mask shows and which colour a region has, judged against the outlines and colours that were drawn."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

LEAST_FIT = 0.8
"""A mask is a shape only if its intersection over union with the best placed one reaches this."""
LEAST_OVERLAP = 0.25
"""A translated mask is in place if its intersection over union with the source mask reaches this."""
LARGEST_COLOUR_DISTANCE = 0.25
"""A mean colour farther than this from every colour of a domain belongs to none; RGB cube with side 1."""
LEAST_AREA = 16
"""A mask of fewer pixels could be anything."""
ROUND = 16
"""An outline of so many corners or more is round."""
DISC = np.array([(math.cos(2 * math.pi * k / 16), math.sin(2 * math.pi * k / 16)) for k in range(16)])

Outline = Sequence[Sequence[float]] | np.ndarray


def fit(mask: np.ndarray, outline: Outline, unseen: np.ndarray | None = None) -> float:
    """Best intersection over union of a mask (H, W) bool, not empty, with the shape at any place, size and angle.

    outline: corners of a shape all of which its centre of gravity sees, such as a convex one or a star.
    Starts from the mask's own centre and area with 24 angles and three sizes, then refines the best in ever smaller
    steps.
    unseen (H, W) bool: pixels that tell nothing, because something else may cover the shape there: they count neither
    for nor against. As the shape may go on there, larger ones with other centres are tried as well. 0 where no pixel of
    the mask is left.
    """
    lines, columns = np.nonzero(mask)
    margin = 2 + (max(np.ptp(lines), np.ptp(columns)) + 1) // 4
    top, left = max(lines.min() - margin, 0), max(columns.min() - margin, 0)
    part = mask[top : lines.max() + margin + 1, left : columns.max() + margin + 1]
    step = math.ceil(max(part.shape) / 48)  # a coarser grid is enough for a large mask
    part = part[::step, ::step]
    seen = np.ones_like(part)
    if unseen is not None:
        seen = ~unseen[top : lines.max() + margin + 1, left : columns.max() + margin + 1][::step, ::step]
    y, x = np.indices(part.shape, dtype=np.float32)[:, seen]  # (P,) each
    inside = part[seen]  # (P,)
    if not inside.any():
        return 0.0

    start = np.asarray(outline, dtype=np.float64)
    edges = np.roll(start, -1, axis=0) - start
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1) / np.hypot(edges[:, 0], edges[:, 1])[:, None]  # (E, 2)
    distances = (normals * start).sum(1)  # (E,)
    normals, distances = normals * np.sign(distances)[:, None], np.abs(distances)
    unit_area = np.abs(start[:, 0] * edges[:, 1] - start[:, 1] * edges[:, 0]).sum() / 2
    rays = None if is_convex(start) else np.stack([-start[:, 1], start[:, 0]], axis=1)  # (E, 2), across the corners

    def scores(places: np.ndarray) -> np.ndarray:
        """Places (K, 4) as x, y, size, angle -> intersection over union (K,)."""
        away_x = (x - places[:, :1]) / places[:, 2:3]  # (K, P)
        away_y = (y - places[:, 1:2]) / places[:, 2:3]
        cosine, sine = np.cos(places[:, 3:]), np.sin(places[:, 3:])  # (K, 1)

        def along(line: np.ndarray) -> np.ndarray:
            """How far each pixel is in the direction (2,) of the upright shape: (K, P)."""
            return (cosine * line[0] - sine * line[1]) * away_x + (sine * line[0] + cosine * line[1]) * away_y

        within = (along(normal) <= distance for normal, distance in zip(normals, distances, strict=True))
        if rays is None:
            covered = np.ones(away_x.shape, dtype=bool)
            for of_edge in within:
                covered &= of_edge
        else:  # one triangle for each edge, from the centre
            covered = np.zeros(away_x.shape, dtype=bool)
            sides = [along(ray) >= 0 for ray in rays]
            for number, of_edge in enumerate(within):
                covered |= of_edge & sides[number] & ~sides[(number + 1) % len(sides)]
        both = (covered & inside).sum(1)
        return both / (covered.sum(1) + inside.sum() - both)

    size = math.sqrt(inside.sum() / unit_area)
    angles, sizes = np.radians(np.arange(0, 120, 5)), (0.9, 1.0, 1.1)
    shifts: list[tuple[float, ...]] = [(0.0, 0.0)]
    if not seen.all():
        angles, sizes = np.radians(np.arange(0, 120, 10)), (0.95, 1.1, 1.3)
        shifts = list(product((-0.2, 0.0, 0.2), repeat=2))
    middle_x, middle_y = x[inside].mean(), y[inside].mean()
    places = np.array(
        [
            (middle_x + right * size, middle_y + down * size, size * k, a)
            for right, down in shifts
            for k in sizes
            for a in angles
        ],
        "f",
    )
    moves = np.array(list(product((0, -1, 1), repeat=4)), "f") * np.array([size, size, size, 0.8], "f") / 12
    found = scores(places)
    for _ in range(5):
        places = places[found.argmax()] + moves  # (81, 4); the first is the best so far
        found = scores(places)
        moves = moves / 2
    return float(found.max())


def is_convex(outline: Outline) -> bool:
    """Whether corners (E, 2) turn the same way all round."""
    corners = np.asarray(outline, dtype=np.float64)
    edges = np.roll(corners, -1, axis=0) - corners
    after = np.roll(edges, -1, axis=0)
    turns = edges[:, 0] * after[:, 1] - edges[:, 1] * after[:, 0]
    return bool((turns >= 0).all() or (turns <= 0).all())


def ellipse_like(mask: np.ndarray) -> np.ndarray:
    """Corners (16, 2) of the ellipse with the second moments of a mask (H, W) bool; the rival of every other shape."""
    lines, columns = np.nonzero(mask)
    variances, axes = np.linalg.eigh(np.cov(np.stack([columns, lines])) + np.eye(2) / 12)
    radii = np.sqrt(variances / np.sqrt(variances.prod()))
    return DISC @ (axes * radii) @ axes.T


def shape_of(mask: np.ndarray, outlines: dict[str, Outline], unseen: np.ndarray | None = None) -> str | None:
    """The shape of a mask (H, W) bool: the name of its best fitting outline; None if it is none of them.

    None too if an ellipse fits better than every outline, or nothing fits well: blobs, fragments, noise, an empty mask.
    unseen: as in ``fit``.
    """
    return next((name for name in outlines if is_shape(mask, name, outlines, unseen)), None)


def is_shape(mask: np.ndarray, name: str, outlines: dict[str, Outline], unseen: np.ndarray | None = None) -> bool:
    """Whether ``shape_of`` would give this name; quick where it does not fit.

    An ellipse is no rival of a round shape, which is one itself.
    """
    mask = mask if unseen is None else mask & ~unseen
    if np.count_nonzero(mask) < LEAST_AREA:
        return False
    found = fit(mask, outlines[name], unseen)
    rivals = [outline for other, outline in outlines.items() if other != name]
    rivals += [] if len(outlines[name]) >= ROUND else [ellipse_like(mask)]
    return found >= LEAST_FIT and all(fit(mask, rival, unseen) < found for rival in rivals)


def palette(domain: dict[str, Any], counts: tuple[int, int, int] = (25, 5, 5)) -> np.ndarray:
    """So many colours that fill the domain's ranges of hue, saturation and value: (K, 3) RGB in [0, 1]."""
    spans = (domain[key] for key in ("hue", "saturation", "value"))
    ranges = (np.linspace(low, high, count) for (low, high), count in zip(spans, counts, strict=True))
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


def others(before: Sequence[np.ndarray], after: Sequence[np.ndarray], slot: int) -> np.ndarray:
    """Where all instances but one are, before or after: (H, W) bool. before, after: their masks, at least one."""
    found = np.zeros_like(before[0])
    for number, (was, mask) in enumerate(zip(before, after, strict=True)):
        if number != slot:
            found |= was | mask
    return found
