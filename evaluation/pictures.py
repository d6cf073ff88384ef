"""Pictures of a data set translated by a model, as what is measured: for evaluate.py, and now and then in training."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from data import DATASETS
from data.collate import collate_domain
from data.entries import Entry
from data.unaligned_instance_dataset import DomainDataset
from engine.device import wait_for
from instagan.errors import InputError
from instagan.io.pixels import to_bytes, to_pixels
from instagan.metrics.judges import References
from instagan.metrics.outcome import Outcome, Real
from instagan.metrics.shapes import Truth, read_truth
from instagan.structures.instances import InstanceBatch
from models.translation_model import TranslationModel
from options.build import domains_of, framing

WITH_MASKS = "unaligned_seg"
STYLE_SEED = 0
"""Of the styles that images are translated in: the same in every run, so that figures can be compared."""
WARM_UP = 1
"""Pictures that are translated before seconds count."""


@dataclass(frozen=True, eq=False)
class Set:
    """The pictures of both domains, by letter, at the size at which the networks see them; a domain may have none."""

    samples: dict[str, list[tuple[Entry, InstanceBatch]]]

    @classmethod
    def read(cls, options: Namespace, phase: str, letters: Iterable[str], most: int | None) -> Set:
        """The first ``most`` pictures of each domain with their masks. Raises ``InputError``, also without any mask."""
        told = Namespace(**{**vars(options), "phase": phase, "original_size": False})
        if told.dataset_mode == "unaligned":  # of a method that needs no masks; what is measured needs them
            told.dataset_mode = WITH_MASKS
        samples: dict[str, list[tuple[Entry, InstanceBatch]]] = {}
        for letter in letters:
            domain = domains_of(told, letter)[letter]
            if not any(entry.masks for entry in domain.entries):
                raise InputError(
                    f"{domain.title}: no image has a mask, and background metrics need masks; "
                    f"{DATASETS[told.dataset_mode].instances_advice(told)}"
                )
            dataset = DomainDataset(domain.entries[:most], framing(told, False))
            samples[letter] = [(entry, collate_domain([dataset[k]])[0]) for k, entry in enumerate(dataset.entries)]
        return cls(samples)

    def reals(self, letter: str) -> list[Real]:
        return [real_of(entry.stem, batch) for entry, batch in self.samples.get(letter, ())]


@dataclass(frozen=True)
class Cost:
    """What translating took. seconds: of one picture; peak_memory: bytes, and of what."""

    seconds: float
    peak_memory: int
    memory_of: str
    parameters: int
    threads: int


def translated(
    model: TranslationModel, samples: Sequence[tuple[Entry, InstanceBatch]], to: str, device: torch.device
) -> tuple[list[Outcome], float]:
    """Each picture translated by itself, in the 8 bits of result files; and seconds of one, without the first ones.

    A method that draws styles translates each in another one, which depends on its place alone.
    """
    outcomes, seconds = [], []
    for (entry, batch), style in zip(samples, _styles(model, to, len(samples), device), strict=True):
        real = batch.to(device)
        started = time.perf_counter()
        fake = model.translate(real, to, style)
        wait_for(device)
        seconds.append(time.perf_counter() - started)
        outcomes.append(outcome_of(entry.stem, batch, fake))
    counted = seconds[WARM_UP:] or seconds
    return outcomes, sum(counted) / max(len(counted), 1)


def _styles(model: TranslationModel, to: str, count: int, device: torch.device) -> Sequence[torch.Tensor | None]:
    """Codes (1, S) for each of so many pictures; None for each where the method draws none."""
    (translator,) = (one for way, one in model.translators().items() if way.target == to.upper())
    if not (translator.draws_styles and count):
        return [None] * count
    codes = translator.draw_styles(count, torch.Generator().manual_seed(STYLE_SEED))  # (count, S)
    return codes.to(device).split(1)


def outcome_of(name: str, real: InstanceBatch, fake: InstanceBatch) -> Outcome:
    """One row of a batch and of its translation, the slots of which belong together or are one for all, or none."""
    before = (real.masks[0] > 0).numpy()  # (N, H, W)
    after = (fake.masks[0] > 0).cpu().numpy()
    known = len(after) == len(before) or len(after) == 1
    made = Outcome.of(name, to_bytes(real.image[0]), to_bytes(fake.image[0]), before, after if known else None)
    channels = real.image.shape[1], fake.image.shape[1]
    if channels == (3, 3):
        return made
    if channels[0] != channels[1]:
        return replace(made, comparable=False)
    return replace(made, values=(255 * to_pixels(real.image[0], False), 255 * to_pixels(fake.image[0], False)))


def real_of(name: str, batch: InstanceBatch) -> Real:
    return Real(name, to_bytes(batch.image[0]), tuple((batch.masks[0][batch.present[0]] > 0).numpy()))


def references(validation: Set, training: Set | None, source: str, target: str, truth: dict | None) -> References:
    """Real pictures of a direction, by the letters of the folders."""
    return References(
        validation.reals(source),
        validation.reals(target),
        training.reals(source) if training else (),
        training.reals(target) if training else (),
        Truth.known(truth, target),
    )


def truth_of(options: Namespace) -> dict | None:
    """The embedded example's truth, if the data set is one."""
    root = getattr(options, "dataroot", None)
    return read_truth(Path(root)) if root else None
