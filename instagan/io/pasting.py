"""The background of a translation replaced by the input's: every pixel that belongs to nobody, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

FEATHER = 4
"""Default width in pixels of the edge over which a translation fades into the input."""

LINES = 128
"""Looked at together: what large pictures need in memory beside themselves is that of so many lines."""


@dataclass(frozen=True)
class Seam:
    """How much a pasted picture differs from the input, in mean absolute levels of 255. 0 where there is no pixel.

    interior    within the instances, of the input and of the translation
    band        within the feathered edge around them; it fades from there to the input
    step        what the edge hides: the translation against the input, in the band (of one pixel, if there is none)
    background  the translation against the input in what was replaced: what pasting took away
    """

    interior: float
    band: float
    step: float
    background: float

    @classmethod
    def of(cls, sums: np.ndarray) -> Seam:
        """sums (4, 2), as ``paste_onto`` gives them: of differences and of values compared, in the order of fields."""
        interior, band, step, background = (float(total / max(count, 1)) for total, count in sums)
        return cls(interior, band, step, background)

    @classmethod
    def mean(cls, seams: Sequence[Seam]) -> Seam:
        """Of several pictures, each counting as much."""
        each = np.array([(seam.interior, seam.band, seam.step, seam.background) for seam in seams])
        return cls(*(float(value) for value in each.mean(0)))

    def __str__(self) -> str:
        return (
            f"seam: band {self.band:.2f} against interior {self.interior:.2f} levels "
            f"(before pasting, the background was off by {self.step:.2f} at the edge, {self.background:.2f} elsewhere)"
        )


def paste_background(
    original: np.ndarray, translated: np.ndarray, inside: Iterable[np.ndarray], feather: int = 0
) -> tuple[np.ndarray, Seam]:
    """The translation where anybody is, fading over ``feather`` pixels, and the input, bit for bit, elsewhere.

    original, translated (H, W, C): uint8, or floats in [0, 1]. inside: masks (H, W) bool, those of the input and those
    of the translation.
    """
    union = np.zeros(original.shape[:2], bool)  # (H, W)
    for mask in inside:
        union |= mask
    pasted = np.array(original)  # (H, W, C)
    sums = paste_onto(pasted, translated, union, feather)
    return pasted, Seam.of(sums)


def paste_onto(
    picture: np.ndarray, made: np.ndarray, inside: np.ndarray, feather: int = 0, most: np.ndarray | None = None
) -> np.ndarray:
    """Writes the translation into the picture where it is ``inside``, fading over ``feather`` pixels.

    picture, made (H, W, C): uint8, or floats in [0, 1]; inside (H, W) bool; most (H, W): the largest share of the
    translation at each place.
    Returns sums (4, 2) for ``Seam.of``.
    """
    sums = np.zeros((4, 2))
    reach = max(feather, 1)
    for top in range(0, len(picture), LINES):
        lines = slice(top, top + LINES)
        above = min(top, reach)
        near = inside[top - above : top + LINES + reach]  # (h, W)
        distance = distance_outside(near, reach)[above : above + LINES]
        sums += _paste_lines(picture[lines], made[lines], distance, feather, None if most is None else most[lines])
    return sums


def _paste_lines(
    picture: np.ndarray, made: np.ndarray, distance: np.ndarray, feather: int, most: np.ndarray | None
) -> np.ndarray:
    """``paste_onto`` for a few lines, given how far (h, W) each pixel is from the nearest one inside."""
    union, edge = distance == 0, (distance > 0) & (distance <= max(feather, 1))  # (h, W)
    whole = picture.dtype == np.uint8
    unit = 1 if whole else 255  # levels in a difference of 1
    apart = np.subtract(made, picture, dtype=np.int16 if whole else picture.dtype)  # (h, W, C)
    size = np.abs(apart).sum(2)  # (h, W)
    share = np.clip(1 - distance / (feather + 1), 0, 1)  # 0 beyond the feathered edge
    share = share if most is None else np.minimum(share, most)
    places = share > 0
    moved = share[places, None] * apart[places]  # (P, C)
    moved = np.rint(moved).astype(np.int16) if whole else moved
    picture[places] = (picture[places] + moved).astype(picture.dtype)
    shifted = np.zeros_like(size)
    shifted[places] = np.abs(moved).sum(1)
    regions = (shifted, union), (shifted, edge & (distance <= feather)), (size, edge), (size, ~(union | edge))
    channels = picture.shape[2]
    return np.array([(unit * values[where].sum(), channels * where.sum()) for values, where in regions], np.float64)


def distance_outside(inside: np.ndarray, most: int) -> np.ndarray:
    """How far (H, W) float32 a pixel lies from the nearest one inside: in pixels, infinite beyond ``most``."""
    distance = np.full(inside.shape, np.inf, np.float32)
    rows, columns = inside.any(1).nonzero()[0], inside.any(0).nonzero()[0]
    if len(rows) == 0:
        return distance
    window = (
        slice(max(rows[0] - most, 0), rows[-1] + most + 1),
        slice(max(columns[0] - most, 0), columns[-1] + most + 1),
    )
    along = _along_rows(inside[window]) ** 2  # (h, w)
    squared = along.copy()
    for shift in range(1, min(most, len(along) - 1) + 1):  # the nearest pixel lies at most so many lines away
        np.minimum(squared[shift:], along[:-shift] + shift**2, out=squared[shift:])
        np.minimum(squared[:-shift], along[shift:] + shift**2, out=squared[:-shift])
    distance[window] = np.where(squared <= most**2, np.sqrt(squared), np.inf)
    return distance


def _along_rows(inside: np.ndarray) -> np.ndarray:
    """How far (h, w) float32 the nearest pixel inside of the same line is; infinite in a line without any."""
    columns = np.arange(inside.shape[1], dtype=np.float32)
    left = np.maximum.accumulate(np.where(inside, columns, -np.inf), axis=1)
    right = np.minimum.accumulate(np.where(inside, columns, np.inf)[:, ::-1], axis=1)[:, ::-1]
    return np.minimum(columns - left, right - columns).astype(np.float32)
