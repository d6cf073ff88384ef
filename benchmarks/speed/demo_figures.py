"""The three figures of the embedded example, measured on a model that is still being trained."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from data.collate import collate_domain
from data.entries import Entry
from data.unaligned_instance_dataset import DomainDataset
from evaluation.shapes import LARGEST_BACKGROUND, LEAST_COLOUR, LEAST_SHAPE, Figures, measure
from instagan.io.pixels import to_mask_picture, to_picture
from instagan.structures.instances import InstanceBatch
from models.translation_model import TranslationModel
from options.build import domains_of, framing

PHASE = "val"
GOOD = {"shape_share": LEAST_SHAPE, "background_error": LARGEST_BACKGROUND, "colour_share": LEAST_COLOUR}
"""The limits of ``measure_shapes.py``: at least, at most, at least."""

Both = Mapping[str, Figures]
"""``A_to_B`` and ``B_to_A`` -> the figures of that direction."""


@dataclass(frozen=True)
class Validation:
    """The validation pictures of a set that ``make_shapes.py`` drew, as test.py would show them to a model."""

    dataroot: Path
    truth: dict[str, Any]
    sources: Mapping[str, tuple[list[Entry], InstanceBatch]]

    @classmethod
    def of(cls, options: Namespace, device: torch.device) -> Validation:
        """options: of a training run on the set, with the picture size that the set was drawn in."""
        dataroot = Path(options.dataroot)
        sources = {}
        told = Namespace(**vars(options) | {"phase": PHASE, "original_size": False})
        for letter, domain in domains_of(told, "AB").items():
            dataset = DomainDataset(domain.entries, framing(told, False))
            batch, _ = collate_domain([dataset[index] for index in range(len(dataset))])
            sources[letter] = domain.entries, batch.to(device)
        return cls(dataroot, json.loads((dataroot / "shapes.json").read_text(encoding="utf-8")), sources)

    def figures(self, model: TranslationModel) -> Both:
        """By way of files, like test.py's and with their 8 bits, so that ``measure_shapes.py`` would find the same."""
        found = {}
        with TemporaryDirectory(prefix="shapes-results-") as folder:
            for source, target in ("AB", "BA"):
                entries, real = self.sources[source]
                _write(Path(folder), entries, real, model.translate(real, target.lower()), source, target)
                figures = measure(Path(folder), self.dataroot, self.truth, PHASE, source, target)
                assert figures, "every validation picture was written"
                found[f"{source}_to_{target}"] = figures
        return found


def good(both: Both) -> bool:
    """What ``measure_shapes.py --require`` asks for."""
    return all(figures.good() for figures in both.values())


def worst(both: Both) -> tuple[float, float, float]:
    """Shape share, background error and colour share, each of the direction where it is worse."""
    return (
        min(figures.shape_share for figures in both.values()),
        max(figures.background_error for figures in both.values()),
        min(figures.colour_share for figures in both.values()),
    )


def _write(
    folder: Path, entries: list[Entry], real: InstanceBatch, fake: InstanceBatch, source: str, target: str
) -> None:
    """The result files that ``measure_shapes.measure`` reads. Row r of the batches belongs to entry r."""
    for row, entry in enumerate(entries):
        for name, batch in ((f"real_{source}", real), (f"fake_{target}", fake)):
            to_picture(batch.image[row]).save(folder / f"{entry.stem}_{name}.png")
            to_mask_picture(batch.union()[row, 0]).save(folder / f"{entry.stem}_{name}_mask.png")
        for slot, number in enumerate(entry.mask_numbers):
            to_mask_picture(fake.masks[row, slot]).save(folder / f"{entry.stem}_fake_{target}_mask_{number}.png")
