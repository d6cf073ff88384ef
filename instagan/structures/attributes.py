"""The kinds of attributes that instances have; InstaGAN's a_i is any of them."""

from __future__ import annotations

MASKS, BOXES, KEYPOINTS, PARTS = "masks", "boxes", "keypoints", "parts"
ATTRIBUTES = (MASKS, BOXES, KEYPOINTS, PARTS)


def planes_of(attribute: str, channels: int | None) -> int:
    """A, the planes beside an instance's mask: one for each keypoint or part; none for the others."""
    return (channels or 0) if attribute in (KEYPOINTS, PARTS) else 0


def needs_of(attribute: str) -> tuple[str, ...]:
    """What a generator of such instances needs beside the image. Boxes reach it as rectangles, which are masks."""
    return (MASKS, attribute) if attribute in (KEYPOINTS, PARTS) else (MASKS,)
