"""What became of the pixels that belong to nobody: error, PSNR, SSIM.

Pictures are (H, W, 3) uint8, masks (H, W) bool.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from instagan.io.optional import need

LEVELS = 255.0
LARGEST_PSNR = 100.0
"""Decibels of pictures that do not differ; so that a mean over pictures exists."""
SIGMA, RADIUS = 1.5, 5
"""Gaussian window of SSIM, 11 x 11 pixels: Wang, Bovik, Sheikh, Simoncelli, 2004."""
C1, C2 = (0.01 * LEVELS) ** 2, (0.03 * LEVELS) ** 2


@dataclass(frozen=True)
class Background:
    """mae: mean absolute error on [0, 1]; psnr in dB; ssim at most 1."""

    mae: float
    psnr: float
    ssim: float


LOST_FROM = 0.1
"""Mean absolute error from which on a background is as good as lost."""
LOST = Background(1.0, 0.0, 0.0)
"""Of a translation that claims all of the background for its instances."""


def background(real: np.ndarray, fake: np.ndarray, before: np.ndarray, after: np.ndarray | None) -> Background | None:
    """How the translation differs from the picture where nobody is, before or after; None if nothing was background.

    before, after: what belongs to anybody; after may be unknown. SSIM looks at windows; what lies in a window but
    belongs to somebody counts as unchanged, so that instances do not disturb it.
    """
    free = ~(before if after is None else before | after)  # (H, W)
    if not free.any():
        return None if before.all() else LOST
    composite = np.where(free[..., None], fake, real)
    return Background(
        mean_absolute_error(real, fake, free), psnr(real, fake, free), float(ssim_map(real, composite)[free].mean())
    )


def kept(mae: float) -> float:
    """Share of the background that stayed, from its error: 1 without any, falling to 0 at ``LOST_FROM``.

    SSIM would not do: of a smooth background that was painted over with one colour it may find half.
    """
    return max(0.0, 1 - mae / LOST_FROM)


def mean_absolute_error(one: np.ndarray, other: np.ndarray, where: np.ndarray) -> float:
    """Of the pixels ``where`` (H, W) bool, some of which are True; on [0, 1]."""
    return float(np.abs(one[where].astype(np.float64) - other[where]).mean() / LEVELS)


def psnr(one: np.ndarray, other: np.ndarray, where: np.ndarray) -> float:
    """Peak signal-to-noise ratio of the pixels ``where`` (H, W) bool in dB, at most ``LARGEST_PSNR``."""
    squared = float(((one[where].astype(np.float64) - other[where]) ** 2).mean())
    return LARGEST_PSNR if squared == 0 else min(LARGEST_PSNR, float(10 * np.log10(LEVELS**2 / squared)))


def ssim_map(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Structural similarity at every pixel (H, W), mean of the channels. Beyond the edge pictures are mirrored."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    mean_a, mean_b = _blurred(a), _blurred(b)
    variance_a = _blurred(a * a) - mean_a**2
    variance_b = _blurred(b * b) - mean_b**2
    covariance = _blurred(a * b) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    similarity /= (mean_a**2 + mean_b**2 + C1) * (variance_a + variance_b + C2)
    return similarity.mean(2)


def claimed(before: np.ndarray, after: np.ndarray | None) -> float | None:
    """Share of the background that the translated masks take; None without any, or without translated masks."""
    free = ~before
    if after is None or not free.any():
        return None
    return float(after[free].mean())


def _blurred(values: np.ndarray) -> np.ndarray:
    """(H, W, C) smoothed by the window, along lines and columns."""
    ndimage = need("scipy.ndimage", "scipy", "SSIM")
    return ndimage.gaussian_filter(values, SIGMA, mode="reflect", radius=RADIUS, axes=(0, 1))
