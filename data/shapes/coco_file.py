"""Drawn shapes in COCO's format, with their corners as keypoints."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np

from data.shapes.drawing import DOMAINS, Scene


class CornersFile:
    """The json of some pictures. Categories are square and triangle; masks are runs that need no library."""

    def __init__(self) -> None:
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(self, name: str, scene: Scene) -> None:
        """A picture by its file name within the data set."""
        side = len(scene.picture)
        self.images.append({"id": len(self.images) + 1, "file_name": name, "width": side, "height": side})
        for instance, mask, truth in zip(scene.instances, scene.masks, scene.truth["instances"], strict=True):
            left, top, right, bottom = truth["box"]
            points = [value for x, y in instance.corners() for value in (round(x, 3), round(y, 3), 2)]
            self.annotations.append(
                {
                    "id": len(self.annotations) + 1,
                    "image_id": len(self.images),
                    "category_id": DOMAINS.index(instance.domain) + 1,
                    "segmentation": {"size": [side, side], "counts": runs(mask > 0)},
                    "area": int((mask > 0).sum()),
                    "bbox": [left, top, right - left, bottom - top],
                    "iscrowd": 0,
                    "keypoints": points,
                    "num_keypoints": len(points) // 3,
                }
            )

    @property
    def content(self) -> dict[str, Any]:
        categories = [
            {"id": number, "name": domain.shape, "keypoints": list(domain.corners)}
            for number, domain in enumerate(DOMAINS, 1)
        ]
        return {"images": self.images, "annotations": self.annotations, "categories": categories}


def runs(inside: np.ndarray) -> list[int]:
    """A mask (H, W) bool -> COCO's run lengths: outside, inside, outside, ..., down the columns."""
    found = [(bool(value), len(list(run))) for value, run in groupby(inside.T.flatten().tolist())]
    return ([0] if found[0][0] else []) + [length for _, length in found]
