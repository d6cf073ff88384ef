"""Who measures drawn shapes: the judge of the ablation, whose truth is that of the set, on files as of test.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.ablations.validation import Validation, shares
from benchmarks.studies.images import RealImages
from data.entries import Entry
from data.results import file_name
from instagan.io.pixels import mask_to_tensor, pixels_to_tensor
from instagan.io.reading import read_inside, read_picture
from instagan.structures.instances import InstanceBatch


class Shapes:
    """The set of make_shapes.py: how many instances were translated, and what became of all else."""

    by: dict[str, Any] = {"shapes": "the truth of the set, as in docs/ablation.md"}

    def __init__(self, dataroot: Path, real: RealImages) -> None:
        self.validation = Validation.of(real.options)
        self.entries = {letter: [entry for entry, _ in real.validation(letter)] for letter in "AB"}

    def figures(self, folder: Path) -> dict[str, dict[str, Any]]:
        found = {}
        for source, target in ("AB", "BA"):
            if (folder / file_name(self.entries[source][0], f"fake_{target}")).exists():
                sums = self.validation.look(Written(folder, self.entries))
                found[f"{source}_to_{target}"] = dict(shares([one for one in sums if one["to"] == target.lower()]))
        return found


class Written:
    """Stands where a trained model does, and reads what it has translated."""

    def __init__(self, folder: Path, entries: dict[str, Sequence[Entry]]) -> None:
        self.folder, self.entries = folder, entries

    def translate(self, source: InstanceBatch, to: str) -> InstanceBatch:
        """The translations of all validation images; the images themselves where there are none."""
        letters = {"b": "AB", "a": "BA"}[to]
        entries = self.entries[letters[0]]
        if not (self.folder / file_name(entries[0], f"fake_{letters[1]}")).exists():
            return source
        return InstanceBatch.cat([self.row(entry, f"fake_{letters[1]}") for entry in entries])

    def row(self, entry: Entry, fake: str) -> InstanceBatch:
        """The masks of all instances, else their union, else none."""
        image = pixels_to_tensor(np.asarray(read_picture(self.folder / file_name(entry, fake))))[None]  # (1, 3, H, W)
        own = [self.folder / file_name(entry, f"{fake}_mask_{number}") for number in entry.mask_numbers]
        union = self.folder / file_name(entry, f"{fake}_mask")
        files = own if own and own[0].exists() else [union] if union.exists() else []
        if not files:
            return InstanceBatch.from_images(image)
        masks = mask_to_tensor(np.stack([read_inside(file) for file in files]))[None]  # (1, n, H, W)
        return InstanceBatch(
            image, masks, torch.ones(masks.shape[:2], dtype=torch.bool), torch.zeros(masks.shape[:2]).long()
        )
