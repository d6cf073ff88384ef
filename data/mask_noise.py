"""Damage to masks, such as detectors and annotators do: in training (--mask_noise), and to measure what it costs.

A strength is a share, from 0 to 1. Lengths are in shares of an instance's own size, the square root of its area:

    erode   the outline moves inwards by up to this share; the innermost pixels always stay
    dilate  the outline moves outwards by up to this share
    shift   the mask moves in any direction by up to this share; one that would leave the picture stays
    drop    the share of instances that are left out, although the picture shows them
    merge   the share of instances that share one mask with the nearest other one
"""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage

from data.unaligned_instance_dataset import Sample
from instagan.flag_types import share
from instagan.io.pixels import mask_to_tensor
from instagan.structures.boxes import boxes_of_masks

KINDS = ("erode", "dilate", "shift", "drop", "merge")
STRENGTH = 0.2
"""Of a kind that is named without one."""


@dataclass(frozen=True)
class MaskNoise:
    """strengths: of each kind that there is. full: lengths are not drawn up to their strength, but have it."""

    strengths: Mapping[str, float]
    full: bool = False

    @classmethod
    def of(cls, text: str | None, full: bool = False) -> MaskNoise | None:
        """What ``mask_noise`` has checked; None for None."""
        if text is None:
            return None
        told = (part.partition(":") for part in text.split(","))
        return cls({kind: float(strength) if strength else STRENGTH for kind, _, strength in told}, full)

    def on(self, sample: Sample, random: np.random.Generator) -> Sample:
        """The sample with damaged masks; of one that is dropped, or part of another, nothing is inside. Boxes fit the
        masks again. One that has boxes alone stays as it is."""
        if sample.masks is None:
            return sample
        damaged = self.damaged(sample.masks.numpy() > 0, random)  # (n, H, W)
        boxes = None if sample.boxes is None else boxes_of_masks(torch.from_numpy(damaged))  # (n, 4)
        return replace(sample, masks=mask_to_tensor(damaged), boxes=boxes)

    def damaged(self, inside: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Masks (n, H, W) bool -> as many. Draws as many numbers whatever the masks show."""
        drawn = random.random((len(inside), 5))  # (n, 5)
        masks = [mask.copy() for mask in inside]
        self._merge(masks, drawn[:, 0])
        for number, (mask, (_, dropped, longer, angle, grown)) in enumerate(zip(masks, drawn, strict=True)):
            if dropped < self.strengths.get("drop", 0):
                masks[number] = np.zeros_like(mask)
            elif mask.any():
                side = math.sqrt(mask.sum())
                moved = self.strengths.get("shift", 0) * side * (1 if self.full else longer)
                masks[number] = grown_by(shifted(mask, moved, 2 * math.pi * angle), self._growth(grown) * side)
        return np.stack(masks) if masks else inside

    def _growth(self, drawn: float) -> float:
        """By which share of its size an instance grows, or shrinks. drawn: from 0 to 1, inwards below a half."""
        kinds = [kind for kind in ("erode", "dilate") if kind in self.strengths]
        if not kinds:
            return 0.0
        place = drawn * len(kinds)
        kind, amount = kinds[min(int(place), len(kinds) - 1)], place % 1
        return self.strengths[kind] * (1 if self.full else amount) * (-1 if kind == "erode" else 1)

    def _merge(self, masks: list[np.ndarray], drawn: np.ndarray) -> None:
        """Changes the masks in place; drawn: a number from 0 to 1 for each."""
        for number in np.flatnonzero(drawn < self.strengths.get("merge", 0)):
            others = [other for other, mask in enumerate(masks) if other != number and mask.any()]
            if masks[number].any() and others:
                middles = {one: ndimage.center_of_mass(masks[one]) for one in (*others, number)}
                nearest = min(others, key=lambda other: math.dist(middles[other], middles[number]))
                masks[number] |= masks[nearest]
                masks[nearest] = np.zeros_like(masks[nearest])


def shifted(mask: np.ndarray, length: float, angle: float) -> np.ndarray:
    """A mask (H, W) bool moved by so many pixels, rounded; as it was, if nothing of it would be left."""
    moved = ndimage.shift(mask, (round(length * math.sin(angle)), round(length * math.cos(angle))), order=0, cval=0)
    return moved if moved.any() else mask


def grown_by(mask: np.ndarray, pixels: float) -> np.ndarray:
    """A mask (H, W) bool, not empty, with its outline moved outwards by so many pixels, or inwards if below 0."""
    if abs(pixels) < 1 or mask.all():
        return mask
    if pixels > 0:
        return ndimage.distance_transform_edt(~mask) <= pixels
    depth = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]  # the picture's edge is none
    return depth > min(-pixels, depth.max() - 1e-6)


def mask_noise(text: str) -> str:
    """``erode:0.2,drop`` as the value of a flag; it stays text, which can be saved."""
    kinds = []
    for part in text.split(","):
        kind, colon, strength = part.partition(":")
        if kind not in KINDS or kind in kinds:
            raise ArgumentTypeError(f"{text!r} is not a list of {', '.join(KINDS)} such as erode:0.1,drop:0.2")
        kinds.append(kind)
        if (share(strength) if colon else STRENGTH) == 1 and kind == "drop":
            raise ArgumentTypeError(f"{text!r} leaves no instance to learn from; drop less than 1")
    return text
