"""The real images of a study, as the networks see them: what is translated, and what translations are compared with."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.studies.plan import Plan
from data.entries import Entry
from data.unaligned_instance_dataset import DomainDataset
from instagan.io.pixels import to_bytes
from options.build import domains_of, framing
from options.parse import parse_training

TRAINING, VALIDATION = "train", "val"


def entries_of(options: Namespace, phase: str, letter: str, most: int | None) -> DomainDataset:
    """The first images of a domain, cut as for translating. options: of train.py."""
    told = Namespace(**vars(options) | {"phase": phase, "original_size": False})
    return DomainDataset(domains_of(told, letter)[letter].entries[:most], framing(told, False))


class RealImages:
    """Of the data set and sizes that the first method of a study has; all of them should have the same."""

    def __init__(self, plan: Plan, runs: Path) -> None:
        self.plan = plan
        self.options = parse_training(plan.flags(next(iter(plan.methods)), 0, runs)).values

    def validation(self, letter: str) -> Iterator[tuple[Entry, np.ndarray]]:
        """Those that are translated: image (H, W, 3) uint8."""
        dataset = entries_of(self.options, VALIDATION, letter, self.plan.images)
        for number, entry in enumerate(dataset.entries):
            yield entry, to_bytes(dataset[number].image)

    def training(self, letter: str, most: int) -> Sequence[np.ndarray]:
        """The first of those that are learnt from, (H, W, 3) uint8."""
        dataset = entries_of(self.options, TRAINING, letter, most)
        return [to_bytes(dataset[number].image) for number in range(len(dataset))]
