"""What is measured: pictures with their instances, and translations of them.

Letters: N instances of a picture, H x W picture. Pictures are (H, W, 3) uint8, masks (H, W) bool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from instagan.io.boxes import Box, box_of
from instagan.io.optional import need

MOST = 4
"""Pictures with so many instances or more are one group."""
LEAST_PIECE = 8
"""Pieces of a mask of fewer pixels are crumbs, no instances."""

Mask = np.ndarray
Masks = tuple[Mask | None, ...]
"""One mask for each instance; None where it is not known."""


@dataclass(frozen=True, eq=False)
class Real:
    """A picture of a domain, and its instances."""

    name: str
    picture: np.ndarray
    masks: tuple[Mask, ...] = ()


@dataclass(frozen=True, eq=False)
class Outcome:
    """A picture and what a translation made of it.

    before, after      the N instances, and their translated masks in the same order; None: not known, or not translated
    covered_before     what belongs to anybody in the source, (H, W) bool
    covered_after      the same in the translation; None for a method that translates no masks
    values             both pictures as floats from 0 to 255 (H, W, C), where they have other channels than those shown
    comparable         whether pixels before and after can be compared: not where their channels differ

    Raises ``ValueError`` where sizes do not fit together.
    """

    name: str
    real: np.ndarray
    fake: np.ndarray
    before: Masks
    after: Masks
    covered_before: Mask
    covered_after: Mask | None = None
    values: tuple[np.ndarray, np.ndarray] | None = None
    comparable: bool = True

    def __post_init__(self) -> None:
        if self.real.shape != self.fake.shape or self.real.ndim != 3:
            raise ValueError(f"{self.name}: {self.real.shape} was translated to {self.fake.shape}")
        if len(self.before) != len(self.after):
            raise ValueError(f"{self.name}: {len(self.before)} instances, but {len(self.after)} translated ones")
        for mask in (*self.before, *self.after, self.covered_before, self.covered_after):
            if mask is not None and mask.shape != self.real.shape[:2]:
                raise ValueError(f"{self.name}: a mask of {mask.shape} does not fit the picture {self.real.shape}")

    @classmethod
    def of(cls, name: str, real: np.ndarray, fake: np.ndarray, before: np.ndarray, after: np.ndarray | None) -> Outcome:
        """From all masks: before (N, H, W) bool, and after, the same, or (1, H, W) for all as one, or None.

        An instance whose mask shows nothing is left out: there is nobody to translate.
        """
        present = before.any((1, 2))  # (N,)
        each = after is not None and len(after) == len(before)
        translated: Masks = tuple(after[present]) if each and after is not None else (None,) * int(present.sum())
        union = None if after is None or not len(after) else np.any(after, axis=0)
        return cls(name, real, fake, tuple(before[present]), translated, np.any(before, axis=0), union)

    @property
    def count(self) -> int:
        return len(self.before)

    @property
    def group(self) -> str:
        """The number of instances in words: 0, 1, 2, 3, 4+."""
        return group_of(self.count)

    @property
    def covered(self) -> Mask:
        """What belongs to anybody, before or after."""
        return self.covered_before if self.covered_after is None else self.covered_before | self.covered_after

    def boxes(self) -> list[Box | None]:
        """Around each instance, before and after together; None where neither mask shows anything."""
        found: list[Box | None] = []
        for masks in zip(self.before, self.after, strict=True):
            boxes = [box_of(mask) for mask in masks if mask is not None and mask.any()]
            found.append(boxes[0].joined(boxes[-1]) if boxes else None)
        return found


def group_of(count: int) -> str:
    return f"{MOST}+" if count >= MOST else str(count)


def groups(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Those with 0, 1, 2, 3, 4+ instances, in this order; groups without any picture are left out."""
    found = {group_of(count): [one for one in outcomes if one.group == group_of(count)] for count in range(MOST + 1)}
    return {name: members for name, members in found.items() if members}


def pieces(inside: Mask) -> tuple[Mask, ...]:
    """The connected pieces of a mask (8 neighbours), largest first: its instances, where nobody tells them apart.

    Instances that touch come out as one; pieces of fewer than ``LEAST_PIECE`` pixels are left out.
    """
    ndimage = need("scipy.ndimage", "scipy", "telling instances apart by their pieces")
    labels, count = ndimage.label(inside, np.ones((3, 3)))  # (H, W), 0 is outside
    sizes = np.bincount(labels.ravel(), minlength=count + 1).tolist()
    largest_first = sorted(range(1, count + 1), key=lambda label: -sizes[label])
    return tuple(labels == label for label in largest_first if sizes[label] >= LEAST_PIECE)
