"""The three figures of the embedded example, measured on a model that is still being trained."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from data.collate import collate_domain
from data.entries import Entry
from data.unaligned_instance_dataset import DomainDataset
from evaluation.shapes import LARGEST_BACKGROUND, LEAST_COLOUR, LEAST_SHAPE, Figures, figures_of
from instagan.io.pixels import to_bytes
from instagan.metrics.outcome import Outcome
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
        return cls(json.loads((dataroot / "shapes.json").read_text(encoding="utf-8")), sources)

    def figures(self, model: TranslationModel) -> Both:
        """With the 8 bits of test.py's results, so that ``measure_shapes.py`` would find the same."""
        found = {}
        for source, target in ("AB", "BA"):
            entries, real = self.sources[source]
            fake = model.translate(real, target.lower())
            outcomes = [_outcome(entry.stem, real[[row]], fake[[row]]) for row, entry in enumerate(entries)]
            found[f"{source}_to_{target}"] = figures_of(outcomes, self.truth, PHASE, source, target)
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


def _outcome(name: str, real: InstanceBatch, fake: InstanceBatch) -> Outcome:
    """One row of a batch and of its translation, whose masks are one for each instance."""
    count = int(real.present.sum())
    before, after = (tuple((batch.masks[0, :count] > 0).cpu().numpy()) for batch in (real, fake))
    unions = ((batch.union()[0, 0] > 0).cpu().numpy() for batch in (real, fake))
    return Outcome(name, to_bytes(real.image[0]), to_bytes(fake.image[0]), before, after, *unions)
