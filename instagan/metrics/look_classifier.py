"""A small classifier of several classes of images, trained here: which domain, or which style, an image looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from instagan.metrics.classifier import BATCH, RATE, SIDE, STEPS, WIDTHS, Pooled, varied
from instagan.metrics.crops import as_batch

NAME = "small network trained on this data set, not the fine-tuned Inception of published tables"


@dataclass(frozen=True)
class LookClassifier:
    """classes: their names, in the order of the logits. accuracy: on ``judged`` images it did not learn from."""

    network: nn.Module
    classes: tuple[str, ...]
    accuracy: float
    judged: int

    def probabilities(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Images (H, W, 3) uint8 -> (n, K)."""
        if not images:
            return np.zeros((0, len(self.classes)))
        with torch.inference_mode():
            found = [self.network(part).softmax(1) for part in _prepared(images).split(BATCH)]
        return torch.cat(found).double().numpy()


def train_look_classifier(
    images: Mapping[str, Sequence[np.ndarray]], held_out: Mapping[str, Sequence[np.ndarray]], seed: int
) -> LookClassifier:
    """images: class -> what is learned from, held_out: class -> what the accuracy is of; (H, W, 3) uint8 each.

    Accuracy is the mean over the classes that were held out. Draws nothing from torch's global random state. Raises
    ``ValueError`` for fewer than two classes with images.
    """
    classes = tuple(name for name, of in images.items() if len(of))
    if len(classes) < 2:
        raise ValueError(f"a classifier needs images of two classes, not of {len(classes)}")
    random = np.random.RandomState(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(len(classes))
        _learn(network, [_prepared(images[name]) for name in classes], random)
    network.eval().requires_grad_(False)
    unproven = LookClassifier(network, classes, 0.0, 0)
    right = [
        float((unproven.probabilities(held_out[name]).argmax(1) == number).mean())
        for number, name in enumerate(classes)
        if len(held_out.get(name, ()))
    ]
    judged = sum(len(held_out.get(name, ())) for name in classes)
    return LookClassifier(network, classes, float(np.mean(right)) if right else 0.0, judged)


def _network(classes: int) -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs in zip((3, *WIDTHS[:-1]), WIDTHS, strict=True):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.GroupNorm(4, outputs), nn.ReLU()]
    return nn.Sequential(*layers, Pooled(), nn.Linear(2 * WIDTHS[-1], classes))


def _learn(network: nn.Module, of: Sequence[Tensor], random: np.random.RandomState) -> None:
    """Batches hold equally many images of each class, however many there are. of: (n, 3, side, side) of each."""
    each = max(1, BATCH // len(of))
    truth = torch.arange(len(of)).repeat_interleave(each)  # (classes * each,)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    network.train()
    for _ in range(STEPS):
        x = torch.cat([seen[torch.from_numpy(random.randint(len(seen), size=each))] for seen in of])
        loss = functional.cross_entropy(network(varied(x, random)), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _prepared(images: Sequence[np.ndarray]) -> Tensor:
    """(n, 3, side, side) in [-1, 1]."""
    return as_batch(images, SIDE).float() / 127.5 - 1
