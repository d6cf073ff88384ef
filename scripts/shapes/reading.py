"""Pictures and masks as measures want them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def background_differences(real: np.ndarray, fake: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Absolute differences of the pixels outside ``covered`` (H, W) bool: (P, 3) for pictures (H, W, 3) in [0, 1]."""
    return np.abs(real - fake)[~covered]


def read_picture(path: Path) -> np.ndarray:
    """(H, W, 3) float in [0, 1]."""
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float64) / 255


def read_mask(path: Path) -> np.ndarray:
    """(H, W) bool."""
    return np.asarray(Image.open(path).convert("L")) > 127
