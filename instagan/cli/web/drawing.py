"""What somebody painted over a picture -> instance masks, at the picture's own resolution."""

from __future__ import annotations

import base64
import io
import math
from collections import defaultdict
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from instagan.errors import InputError

CANVAS = 512, 1280
"""Least and most pixels of the longer side of what is painted on."""
MOST_POINTS = 200_000


def canvas_picture(picture: Image.Image) -> str:
    """What is painted on, as a data address: small pictures enlarged by a whole factor, large ones shrunk."""
    longest, (least, most) = max(picture.size), CANVAS
    factor = -(-least // longest) if longest < least else min(1.0, most / longest)
    size = [max(1, round(side * factor)) for side in picture.size]
    how = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS
    shown = picture if factor == 1 else picture.resize((size[0], size[1]), how)
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=92)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def painted(strokes: Any, size: tuple[int, int], fill: bool) -> list[np.ndarray]:
    """Strokes as canvas.js has them -> a mask (H, W) bool for each instance, by number; size: (width, height).

    fill: closed outlines become areas. Raises ``InputError`` for anything else than strokes.
    """
    canvases: defaultdict[int, Image.Image] = defaultdict(lambda: Image.new("1", size))
    for instance, width, points in _checked(strokes):
        drawing = ImageDraw.Draw(canvases[instance])
        pixels = [(x * size[0] - 0.5, y * size[1] - 0.5) for x, y in points]
        thickness = max(1.0, width * max(size))
        drawing.line(pixels, fill=1, width=round(thickness))
        if thickness >= 2:
            for x, y in pixels:
                radius = thickness / 2
                drawing.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1)
        else:
            drawing.point(pixels, fill=1)
    masks = [np.asarray(canvases[instance]) for instance in sorted(canvases)]
    return [filled(mask) if fill else mask for mask in masks if mask.any()]


def _checked(strokes: Any) -> list[tuple[int, float, list[tuple[float, float]]]]:
    try:
        read = [
            (int(stroke["instance"]), float(stroke["width"]), [(float(x), float(y)) for x, y in stroke["points"]])
            for stroke in strokes or []
        ]
    except (TypeError, KeyError, ValueError, OverflowError):
        raise InputError("The drawing cannot be read; clear it and draw again") from None
    points = [share for _, width, places in read for place in places for share in (*place, width)]
    if not all(math.isfinite(share) and 0 <= share <= 1 for share in points) or len(points) > 3 * MOST_POINTS:
        raise InputError("The drawing is too large; clear it and draw with fewer strokes")
    return [stroke for stroke in read if stroke[2]]


def filled(inside: np.ndarray) -> np.ndarray:
    """(H, W) bool with its holes closed: what cannot be reached from the border, step by step, is inside."""
    rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    if len(rows) == 0:
        return inside
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    free = np.pad(~inside[box], 1, constant_values=True)
    reached = np.zeros_like(free)
    reached[0] = True
    count = 0
    while count != (count := int(reached.sum())):
        for axis in (0, 1):
            for view in (slice(None), slice(None, None, -1)):
                flip = (view, slice(None)) if axis == 0 else (slice(None), view)
                reached[flip] |= _spread(reached[flip], free[flip], axis)
    result = inside.copy()
    result[box] = ~reached[1:-1, 1:-1]
    return result


def _spread(reached: np.ndarray, free: np.ndarray, axis: int) -> np.ndarray:
    """Everything free that follows something reached along the axis, with nothing but free places between."""
    place = np.arange(free.shape[axis], dtype=np.int32)
    place = place[:, None] if axis == 0 else place[None]
    last_reached, last_wall = (
        np.maximum.accumulate(np.where(what, place, np.int32(-1)), axis=axis) for what in (reached, ~free)
    )
    spread: np.ndarray = free & (last_reached > last_wall)
    return spread
