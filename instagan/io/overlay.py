"""Drawing instances over their picture.

Letters: N instance slots, H x W picture.
"""

from __future__ import annotations

import colorsys

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

from instagan.io.pixels import to_bytes

HUES = (0.56, 0.05, 0.36, 0.86, 0.14, 0.70, 0.47, 0.96, 0.26, 0.78)
"""Hues on the colour circle, in an order that keeps neighbours far apart; used up, they come again lighter."""

TINT = 0.2
"""Share of the instance's colour in its tint, for pictures whose own colours matter less than who is who."""


def colour(slot: int) -> tuple[int, int, int]:
    """The RGB colour of an instance slot: the same in every picture, so that an instance keeps it when translated."""
    turn, hue = divmod(slot, len(HUES))
    red, green, blue = colorsys.hls_to_rgb(HUES[hue], (0.52, 0.74, 0.36)[turn % 3], 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def overlay(
    image: Tensor, masks: Tensor, present: Tensor, tint: float = 0.0, points: Tensor | None = None
) -> Image.Image:
    """The picture with each present instance outlined in the colour of its slot, its own colours left as they are.

    image (3, H, W) in [-1, 1], masks (N, H, W), present (N,) bool. An outline runs along the instance's inner edge.
    tint: share of the slot's colour that is mixed into the instance, such as ``TINT``. points (N, K, 3): keypoints, of
    which those whose visibility is not 0 are drawn as discs, each in the colour of its number with a white rim.
    """
    canvas = torch.from_numpy(to_bytes(image).astype(np.float32))  # (H, W, 3)
    inside = masks.detach().float().cpu() > 0  # (N, H, W)
    slots = [slot for slot, exists in enumerate(present.tolist()) if exists]
    colours = {slot: torch.tensor(colour(slot), dtype=torch.float32) for slot in slots}
    for slot in slots if tint else ():
        canvas[inside[slot]] = torch.lerp(canvas[inside[slot]], colours[slot], tint)
    for slot in slots:
        canvas[_outline(inside[slot])] = colours[slot]
    drawn = Image.fromarray(canvas.round().to(torch.uint8).numpy())
    if points is not None:
        for slot in slots:
            _draw_points(drawn, points[slot].tolist())
    return drawn


def _draw_points(canvas: Image.Image, points: list[list[float]]) -> None:
    radius = max(1.5, min(canvas.size) / 60)
    for number, (x, y, visibility) in enumerate(points):
        if visibility:
            within = (x - 0.5 - radius, y - 0.5 - radius, x - 0.5 + radius, y - 0.5 + radius)
            ImageDraw.Draw(canvas).ellipse(within, fill=colour(number), outline=(255, 255, 255))


def _outline(inside: Tensor) -> Tensor:
    """The pixels (H, W) bool of an instance that lie near its outside; the picture's border counts as outside."""
    thickness = max(1, round(min(inside.shape) / 150))
    outside = functional.pad((~inside).float()[None, None], [thickness] * 4, value=1.0)
    near_outside = functional.max_pool2d(outside, 2 * thickness + 1, stride=1)[0, 0] > 0  # (H, W)
    return inside & near_outside
