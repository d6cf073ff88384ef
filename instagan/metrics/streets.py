"""What only street scenes can tell: their truth holds every right translation. Images are (H, W, 3) uint8.

A direction has several right outputs for one input, one for each style of the target domain; the nearest one counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LUMA = np.array((0.299, 0.587, 0.114)) / 255
"""Brightness in [0, 1] of RGB in 8 bits."""
LEAST_GAP = 0.05
"""Where day and night of an object differ by less than this, nobody can tell which one it looks like."""
DARKEST = 0.02
"""Brightness that counts for everything darker where two are divided, so that the ratio exists."""
LEAST_LIKENESS, LEAST_OVERLAP = 0.7, 0.5
"""Correlation that an object must reach to be found, and intersection over union of where it is with its box."""
RIM = 1
"""Pixels around a mask that belong to the pattern that is looked for."""


@dataclass(frozen=True, eq=False)
class StreetObject:
    """kind: car, person or sign; box: left, top, right, bottom; mask (H, W) bool; lamps: x, y, radius of a car's."""

    kind: str
    box: tuple[int, int, int, int]
    mask: np.ndarray
    lamps: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True, eq=False)
class StreetTruth:
    """One input: its objects, and its scene in every style of the target's domain and of its own, by name of style."""

    objects: tuple[StreetObject, ...]
    targets: Mapping[str, np.ndarray]
    sources: Mapping[str, np.ndarray]

    @property
    def background(self) -> np.ndarray:
        """What belongs to no object: (H, W) bool."""
        free = np.ones(next(iter(self.targets.values())).shape[:2], bool)
        for one in self.objects:
            free &= ~one.mask
        return free


@dataclass(frozen=True)
class JudgedObject:
    """error: mean absolute difference on [0, 1] from the nearest true rendering, inside the mask.

    look: whether it has the look of the target's domain, None where its truth cannot tell; found: its box is right.
    """

    kind: str
    error: float
    look: bool | None
    found: bool


@dataclass(frozen=True)
class JudgedOutput:
    """Errors are mean absolute differences on [0, 1] from the nearest rendering; style is the nearest to the whole."""

    style: str
    error: float
    background_error: float
    objects: tuple[JudgedObject, ...]


def judge(output: np.ndarray, truth: StreetTruth) -> JudgedOutput:
    """One output for one input. Raises ``ValueError`` where its size is not that of the truth."""
    wanted = next(iter(truth.targets.values())).shape
    if output.shape != wanted:
        raise ValueError(f"the output has {output.shape[1]} x {output.shape[0]} pixels, not {wanted[1]} x {wanted[0]}")
    style, error = nearest(output, truth.targets, np.ones(wanted[:2], bool))
    _, background_error = nearest(output, truth.targets, truth.background)
    brightness = output @ LUMA  # (H, W)
    renderings = [image @ LUMA for image in (*truth.targets.values(), *truth.sources.values())]
    objects = tuple(
        JudgedObject(
            one.kind,
            nearest(output, truth.targets, one.mask)[1],
            has_look(output, one, truth),
            is_found(brightness, one, renderings),
        )
        for one in truth.objects
    )
    return JudgedOutput(style, error, background_error, objects)


def nearest(output: np.ndarray, targets: Mapping[str, np.ndarray], where: np.ndarray) -> tuple[str, float]:
    """Name of the nearest rendering in the pixels ``where`` (H, W) bool, and its mean absolute error on [0, 1]."""
    shown = output[where].astype(np.float64)
    errors = {name: float(np.abs(shown - image[where]).mean() / 255) for name, image in targets.items()}
    name = min(errors, key=lambda style: errors[style])
    return name, errors[name]


def look(image: np.ndarray, one: StreetObject, background: np.ndarray) -> float:
    """One number that tells an object by night from itself by day. background: what belongs to no object, (H, W) bool.

    car     how much brighter its lamps are than the background, by the brightest channel: tail lights are red
    sign    how much brighter it is than the background: by night it shines back
    person  how bright it is, in [0, 1]: by night it is nearly dark
    Brighter is told as a logarithm to base 2.
    """
    if one.kind == "car":
        return _ratio(image.max(2) / 255, lamps_of(one), background)
    brightness = image @ LUMA  # (H, W)
    return _ratio(brightness, one.mask, background) if one.kind == "sign" else float(brightness[one.mask].mean())


def lamps_of(one: StreetObject) -> np.ndarray:
    """Where the lamps of a car show: (H, W) bool; all of it where something covers them."""
    rows, columns = np.mgrid[0 : one.mask.shape[0], 0 : one.mask.shape[1]] + 0.5
    lamps = np.zeros_like(one.mask)
    for x, y, radius in one.lamps:
        lamps |= np.hypot(columns - x, rows - y) <= max(radius, 0.75)
    lamps &= one.mask
    return lamps if lamps.any() else one.mask


def _ratio(brightness: np.ndarray, inside: np.ndarray, background: np.ndarray) -> float:
    """Base-2 logarithm of how much brighter the pixels inside are than the background, on average."""
    part, rest = (max(DARKEST, float(brightness[where].mean())) for where in (inside, background))
    return float(np.log2(part / rest))


def has_look(output: np.ndarray, one: StreetObject, truth: StreetTruth) -> bool | None:
    """Whether its number is nearer to one of the target's renderings than to all of its own domain's.

    None where day and night of it are too near each other to tell.
    """
    free = truth.background
    value = look(output, one, free)
    right = [look(image, one, free) for image in truth.targets.values()]
    wrong = [look(image, one, free) for image in truth.sources.values()]
    if min(abs(a - b) for a in right for b in wrong) < LEAST_GAP:
        return None
    return min(abs(value - a) for a in right) < min(abs(value - b) for b in wrong)


def is_found(brightness: np.ndarray, one: StreetObject, renderings: Sequence[np.ndarray]) -> bool:
    """Whether an object still is where its box is, whatever it looks like.

    Its pattern in each rendering of the scene, by day and by night, is looked for around the box by normalised
    correlation, which no change of brightness or contrast disturbs. The pattern is what the mask holds and a rim around
    it, in which its outline shows. Found is the best place if it correlates enough and covers the box well enough.
    brightness and renderings: (H, W) in [0, 1].
    """
    height, width = brightness.shape
    left, top, right, bottom = one.box
    x0, y0, x1, y1 = max(0, left - RIM), max(0, top - RIM), min(width, right + RIM), min(height, bottom + RIM)
    reach = max(2, min(right - left, bottom - top) // 2 + 1)
    first_x, first_y = max(0, x0 - reach), max(0, y0 - reach)
    around = brightness[first_y : min(height, y1 + reach), first_x : min(width, x1 + reach)]
    windows = np.lib.stride_tricks.sliding_window_view(around, (y1 - y0, x1 - x0))  # (down, across, h, w)
    part = _widened(one.mask, RIM)[y0:y1, x0:x1]  # (h, w)
    seen = _normal(windows[:, :, part].reshape(-1, int(part.sum())))  # (places, pixels)
    patterns = _normal(np.stack([image[y0:y1, x0:x1][part] for image in renderings]))  # (renderings, pixels)
    likeness = (seen @ patterns.T).max(1)  # (places,)
    best = int(likeness.argmax())
    down, across = divmod(best, windows.shape[1])
    overlap = _shifted_overlap(one.box, across + first_x - x0, down + first_y - y0)
    return bool(likeness[best] >= LEAST_LIKENESS and overlap >= LEAST_OVERLAP)


def _widened(mask: np.ndarray, reach: int) -> np.ndarray:
    """What is no farther than ``reach`` pixels from a mask (H, W) bool, along lines and columns."""
    height, width = mask.shape
    padded, wide = np.pad(mask, reach), np.zeros_like(mask)
    for down in range(2 * reach + 1):
        for across in range(2 * reach + 1):
            wide |= padded[down : down + height, across : across + width]
    return wide


def _normal(patches: np.ndarray) -> np.ndarray:
    """Rows without their mean, of length 1; flat ones become 0."""
    patches = patches - patches.mean(1, keepdims=True)
    lengths = np.linalg.norm(patches, axis=1, keepdims=True)
    return np.where(lengths > 1e-6, patches / np.maximum(lengths, 1e-6), 0.0)


def _shifted_overlap(box: tuple[int, int, int, int], dx: int, dy: int) -> float:
    """Intersection over union of a box with itself elsewhere."""
    width, height = box[2] - box[0], box[3] - box[1]
    common = max(0, width - abs(dx)) * max(0, height - abs(dy))
    return common / (2 * width * height - common)
