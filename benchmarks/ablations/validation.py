"""Figures of a model that is still being trained, from the truth about the pictures, alike for all methods.

CycleGAN has no masks: whether an instance was translated is read off the picture. Of every instance those pixels are
looked at that are nearer to it than to any other, and near it: its territory. Beyond all territories is background.
What shows background in another's territory near by tells where the instance ends, too. The target's shape must fit
what is seen better than the source's own mask does, and than an ellipse. (Not than every place, size and angle of the
source's shape, as where masks are judged alone: of crowded instances so little shows that one would often fit.)
"""

from __future__ import annotations

import json
import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.ablations.methods import AT_A_TIME
from data.collate import collate_domain
from data.shapes.hard import distractors_of
from data.unaligned_instance_dataset import DomainDataset
from instagan.io.pasting import distance_outside
from instagan.metrics.agreement import overlap
from instagan.metrics.outlines import LEAST_AREA, LEAST_FIT, LEAST_OVERLAP, ellipse_like, fit, has_colour, others
from instagan.metrics.shapes import Truth
from instagan.structures.instances import InstanceBatch
from models.translation_model import TranslationModel
from options.build import domains_of, framing

PHASE = "val"
REACH = 0.09
"""How far a translated instance may reach beyond the source's mask, as a share of the picture's side: a triangle of the
largest square's size does."""
LEAST_BESIDE = 0.2
"""A shape is one by its outline: what is seen beside it must be at least this share of it. In crowded pictures painting
everything would do otherwise."""
NOBODY = -1

Counted = dict[str, float]
"""Sums over pictures: see ``TOTALS``."""
TOTALS = {
    "translated": "instances",
    "masks": "instances_with_masks",
    "colour": "instances",
    "background": "background_pixels",
    "distractors": "distractor_pixels",
    "colour_earlier": "instances_earlier",
    "colour_last": "instances_last",
}
"""What is summed -> the sum by which it is divided. Errors are absolute differences on [0, 1], means over channels.
Last are the instances that sequential inference takes last, where it takes others earlier."""


@dataclass(frozen=True)
class Scene:
    """A validation picture (H, W, 3) uint8, and masks (H, W) bool.

    near          (N, H, W) bool: what is within reach of each instance
    territory     (H, W) int: of which instance each pixel is, or ``NOBODY``
    distractors   (H, W) bool: where objects are that are nobody's
    alike         (H, W) bool: what has the target's colours already and is nobody's, so that it tells nothing
    """

    count: int
    picture: np.ndarray
    masks: list[np.ndarray]
    near: np.ndarray
    territory: np.ndarray
    distractors: np.ndarray
    alike: np.ndarray


@dataclass(frozen=True)
class Direction:
    """All that is looked at in one direction, to domain "a" or "b"."""

    to: str
    batch: InstanceBatch
    scenes: list[Scene]
    truth: Truth


@dataclass(frozen=True)
class Validation:
    directions: list[Direction]

    @classmethod
    def of(cls, options: Namespace) -> Validation:
        """options: of a training run on a set that ``make_shapes.py`` drew, in its own size."""
        dataroot = Path(options.dataroot)
        content = json.loads((dataroot / "shapes.json").read_text(encoding="utf-8"))
        told = Namespace(**vars(options) | {"phase": PHASE, "original_size": False, "dataset_mode": "unaligned_seg"})
        found = domains_of(told, "AB")
        directions = []
        for source, target in ("AB", "BA"):
            dataset = DomainDataset(found[source].entries, framing(told, False))
            batch, _ = collate_domain([dataset[index] for index in range(len(dataset))])
            truth = Truth.of(content, target)
            tells = [content["pictures"][f"{PHASE}{source}/{entry.picture.name}"] for entry in dataset.entries]
            scenes = [_scene(batch, row, told_of, truth) for row, told_of in enumerate(tells)]
            directions.append(Direction(target.lower(), batch, scenes, truth))
        return cls(directions)

    def look(self, model: TranslationModel) -> list[dict[str, Any]]:
        """Sums by direction and number of instances."""
        found: dict[tuple[str, int], Counted] = {}
        for direction in self.directions:
            fake = model.translate(direction.batch, direction.to)
            for row, scene in enumerate(direction.scenes):
                picture, masks = as_picture(fake.image[row]), (fake.masks[row] > 0).cpu().numpy()
                counted = judge(scene, picture, list(masks), direction.truth)
                total = found.setdefault((direction.to, scene.count), dict.fromkeys(counted, 0.0))
                for name, value in counted.items():
                    total[name] += value
        return [{"to": to, "count": count, **total} for (to, count), total in found.items()]

    def shown(self, model: TranslationModel) -> np.ndarray:
        """For each direction the first picture of every number of instances: (H, directions x numbers x W, 3) uint8."""
        strips = []
        for direction in self.directions:
            rows = self.first_rows(direction)
            fake = model.translate(direction.batch[rows], direction.to)
            strips += [as_picture(image) for image in fake.image]
        return np.concatenate(strips, axis=1)

    def originals(self) -> np.ndarray:
        """What ``shown`` translates."""
        chosen = [direction.scenes[row] for direction in self.directions for row in self.first_rows(direction)]
        return np.concatenate([scene.picture for scene in chosen], axis=1)

    def first_rows(self, direction: Direction) -> list[int]:
        counts = [scene.count for scene in direction.scenes]
        return [counts.index(count) for count in sorted(set(counts))]


def shares(looks: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Shares and errors of a choice of ``Validation.look``'s sums; None where nothing was there to be counted."""
    totals = {name: sum(look.get(name, 0) for look in looks) for name in {*TOTALS, *TOTALS.values()}}
    return {name: totals[name] / totals[by] if totals[by] else None for name, by in TOTALS.items()}


def judge(scene: Scene, fake: np.ndarray, masks: list[np.ndarray], truth: Truth) -> Counted:
    """The sums of one translated picture (H, W, 3) uint8. masks: one for each instance, or their union, or none."""
    painted, unchanged = truth.target_and_others(fake)
    empty = ~painted & ~unchanged  # nobody is there, translated or not
    by_picture = [
        (painted, scene.near[number] & ((scene.territory == number) | empty) & ~scene.alike)
        for number in range(scene.count)
    ]
    if len(masks) == 1 != scene.count:
        by_mask = [(masks[0], scene.territory == number) for number in range(scene.count)]
    else:  # slots beyond the instances are absent
        own = masks[: scene.count]
        by_mask = [(mask, ~others(scene.masks, own, number) | mask) for number, mask in enumerate(own)]

    def taken_on(number: int, found: np.ndarray, seen: np.ndarray) -> bool:
        mine, before = found & seen, scene.masks[number]
        shows = np.count_nonzero(seen & ~found) >= LEAST_BESIDE * np.count_nonzero(mine)
        if not shows or np.count_nonzero(mine) < LEAST_AREA or overlap(mine, before) < LEAST_OVERLAP:
            return False
        unseen = ~seen & ((scene.territory != NOBODY) | scene.alike)
        fits = fit(mine, truth.outlines[truth.shape], unseen)
        rivals = overlap(mine, before & seen), fit(mine, ellipse_like(mine), unseen)
        return fits >= LEAST_FIT and fits > max(rivals)

    right = [has_colour(fake / 255, mask, truth.wanted, truth.other) for mask in scene.masks]
    last = taken_last(scene.masks)
    earlier = [number for number in range(scene.count) if number not in last] if last else []
    error = np.abs(fake / 255 - scene.picture / 255).mean(2)  # (H, W)
    outside = scene.territory == NOBODY
    return {
        "pictures": 1,
        "instances": scene.count,
        "translated": sum(taken_on(number, *place) for number, place in enumerate(by_picture)),
        "instances_with_masks": len(by_mask),
        "masks": sum(taken_on(number, *place) for number, place in enumerate(by_mask)),
        "colour": sum(right),
        "colour_earlier": sum(right[number] for number in earlier),
        "instances_earlier": len(earlier),
        "colour_last": sum(right[number] for number in last),
        "instances_last": len(last),
        "background": float(error[outside].sum()),
        "background_pixels": int(outside.sum()),
        "distractors": float(error[outside & scene.distractors].sum()),
        "distractor_pixels": int((outside & scene.distractors).sum()),
    }


def taken_last(masks: Sequence[np.ndarray]) -> list[int]:
    """The instances of the last mini-batch, largest first; none if there is one mini-batch only."""
    order = sorted(range(len(masks)), key=lambda number: -np.count_nonzero(masks[number]))
    return order[(len(order) - 1) // AT_A_TIME * AT_A_TIME :] if len(order) > AT_A_TIME else []


def territories(masks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What is within reach of each mask (H, W) bool, none empty: (N, H, W), and the nearest of those: (H, W)."""
    reach = REACH * masks[0].shape[1]
    away = np.stack([distance_outside(mask, math.ceil(reach)) for mask in masks])  # (N, H, W)
    near = away <= reach
    return near, np.where(near.any(0), away.argmin(0), NOBODY)


def as_picture(image: Tensor) -> np.ndarray:
    """(3, H, W) in [-1, 1] -> (H, W, 3) uint8."""
    return np.rint((image.detach().cpu().double().permute(1, 2, 0).numpy() + 1) / 2 * 255).astype(np.uint8)


def _scene(batch: InstanceBatch, row: int, told: dict[str, Any], truth: Truth) -> Scene:
    count, side = len(told["instances"]), batch.image.shape[-1]
    masks = list((batch.masks[row, :count] > 0).numpy())
    distractors = np.any([np.zeros((side, side), bool), *distractors_of(told, side)], axis=0)
    picture = as_picture(batch.image[row])
    alike = truth.seen(picture) & ~np.any(masks, axis=0)
    return Scene(count, picture, masks, *territories(masks), distractors, alike)
