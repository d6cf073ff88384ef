"""Trains a detector on the annotated domain of a data set, and measures it on images that it did not learn from."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from data.decoded import decode
from data.entries import Domain, Entry
from data.placement import Framing
from data.unaligned_instance_dataset import Sample, place
from instagan.errors import InputError
from instagan.io.object_detector import THRESHOLD, ObjectDetector
from instagan.metrics.detection import ClassFigures, Found, figures_of_class
from instagan.structures.directions import A_TO_B, exchanged
from options.build import domains_of, framing
from options.parse import whole_framing

WARM_UP = 50
"""Steps in which the learning rate rises."""
TOLD_EVERY = 50
"""Steps between two lines of losses."""
ONLY_CLASS = "object"
"""Name of the class of a data set that knows none."""


@dataclass(frozen=True)
class Learning:
    """steps of batch_size images each; lr is the highest learning rate of AdamW."""

    steps: int = 600
    batch_size: int = 4
    lr: float = 2e-3
    seed: int = 0


def annotated_domain(options: Namespace, phase: str) -> tuple[Domain, tuple[str, ...]]:
    """The domain that the networks call A, and the names of its classes. options: of train.py. Raises ``InputError``
    where none of its images has an instance."""
    letter = exchanged(A_TO_B, options.direction).source
    domain = domains_of(Namespace(**{**vars(options), "phase": phase}), letter)[letter]
    if not any(entry.masks for entry in domain.entries):
        raise InputError(f"{domain.title}: no image has a box or a mask, so there is nothing to learn objects from")
    named = tuple(category.name for category in domain.categories.get(letter, ()))
    return domain, named or (ONLY_CLASS,)


def placed_as(options: Namespace, training: bool) -> Framing:
    """As train.py places images, or test.py; instances are told by boxes, and as many as there are."""
    if not training:
        options = Namespace(**{**vars(options), **whole_framing(vars(options)), "original_size": False})
    return replace(framing(options, training), boxes_only=True, most=None)


def learn(
    detector: ObjectDetector, entries: list[Entry], placing: Framing, how: Learning, tell: Callable[[str], None]
) -> None:
    """Trains its weights in place; the same for the same seed. tell: takes a line of losses now and then."""
    weights = [weight for weight in detector.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, how.lr, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, how.steps))
    device = weights[0].device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.seed)
        for step, samples in zip(range(1, how.steps + 1), batches(entries, placing, how), strict=False):
            images = torch.stack([sample.image for sample in samples]).to(device)  # (B, 3, H, W)
            truth = [tuple(one.to(device) for one in true_of(sample)) for sample in samples]
            losses = detector.losses(images, [boxes for boxes, _ in truth], [labels for _, labels in truth])
            total = torch.stack(list(losses.values())).sum()
            optimizer.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(weights, 5.0, error_if_nonfinite=True)
            optimizer.step()
            schedule.step()
            if step % TOLD_EVERY == 0 or step == how.steps:
                parts = ", ".join(f"{name.removeprefix('loss_')} {loss.item():.3f}" for name, loss in losses.items())
                tell(f"step {step} of {how.steps}: loss {total.item():.3f} ({parts})")


def rate(step: int, steps: int) -> float:
    """The factor on the learning rate: rises for some steps, then falls to 0 along a cosine."""
    warm_up = min(WARM_UP, max(steps // 4, 1))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(steps - warm_up, 1)))


def batches(entries: list[Entry], placing: Framing, how: Learning) -> Iterator[list[Sample]]:
    """Batches of placed images without end, in an order that is drawn for every epoch."""
    epoch, waiting = 0, list[Sample]()
    while True:
        epoch += 1
        for index in np.random.default_rng((how.seed, epoch)).permutation(len(entries)).tolist():
            random, entry = np.random.default_rng((how.seed, epoch, index)), entries[index]
            waiting.append(place(entry, decode(entry, placing), placing, random, shuffled=False))
            if len(waiting) == how.batch_size:
                yield waiting
                waiting = []


def true_of(sample: Sample) -> tuple[Tensor, Tensor]:
    """Boxes (n, 4) and labels (n,) of the instances that the placement has left."""
    if sample.boxes is None:
        return torch.zeros(0, 4), sample.labels[:0]
    there = (sample.boxes[:, 2] > sample.boxes[:, 0]) & (sample.boxes[:, 3] > sample.boxes[:, 1])
    return sample.boxes[there], sample.labels[there]


def measure(detector: ObjectDetector, entries: list[Entry], placing: Framing) -> dict[str, ClassFigures]:
    """Class -> how well it is found, on images that are placed as for translating."""
    images, device = [], next(detector.parameters()).device
    for entry in entries:
        sample = place(entry, decode(entry, placing), placing, np.random.default_rng(0), shuffled=False)
        ((boxes, labels, scores),) = detector.detect(sample.image[None].to(device))
        images.append(Found(boxes.cpu(), labels.cpu(), scores.cpu(), *true_of(sample)))
    return {
        name: figures_of_class(images, label, THRESHOLD)
        for label, name in enumerate(detector.classes)
    }


def table(figures: dict[str, ClassFigures]) -> list[str]:
    """Lines on every class, and the mean over those that are there."""

    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.1%}"

    width = max(5, *(len(name) for name in figures))
    lines = [f"{'class':<{width}}  objects  AP at 0.5 IoU  precision  recall   (of scores above {THRESHOLD})"]
    lines += [
        f"{name:<{width}}  {one.objects:>7}  {share(one.average_precision):>13}  {share(one.precision):>9}  "
        f"{share(one.recall):>6}"
        for name, one in figures.items()
    ]
    mean = mean_average_precision(figures)
    return [*lines, f"mean average precision: {share(mean)}"]


def mean_average_precision(figures: dict[str, ClassFigures]) -> float | None:
    """Over the classes that have objects; None where there is none."""
    known = [one.average_precision for one in figures.values() if one.average_precision is not None]
    return sum(known) / len(known) if known else None
