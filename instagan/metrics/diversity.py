"""How different several outputs for one input are: the mean distance of pairs, by LPIPS or by built-in features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from instagan.metrics.crops import as_batch
from instagan.metrics.features import fixed_filters, responses
from instagan.metrics.perceptual import Lpips

PAIRS = 19
"""Pairs of outputs of one input, as in MUNIT (Huang et al., 2018): all of them where there are no more."""
BUILT_IN = "built-in features (LPIPS-type distance on fixed random filters), not comparable with LPIPS"
LPIPS = "LPIPS (AlexNet)"
EPSILON = 1e-5

Distance = Callable[[np.ndarray, np.ndarray], float]
"""Two images (H, W, 3) uint8 of one size -> 0 for equal ones, larger the more they differ."""


@dataclass(frozen=True)
class Diversity:
    """value: mean distance of ``pairs`` pairs, outputs of ``inputs`` inputs. by: who measured, for every table."""

    value: float
    pairs: int
    inputs: int
    by: str


def diversity(outputs: Sequence[Sequence[np.ndarray]], distance: Distance, by: str, seed: int) -> Diversity | None:
    """outputs: of each input, images (H, W, 3) uint8. None where no input has two of them.

    0 for a model that gives one output whatever the style. It does not ask whether the outputs are good: noise scores
    highest.
    """
    random = np.random.RandomState(seed)
    found, inputs = [], 0
    for of_input in outputs:
        pairs = list(combinations(range(len(of_input)), 2))
        if len(pairs) > PAIRS:
            pairs = [pairs[k] for k in random.choice(len(pairs), PAIRS, replace=False)]
        found += [distance(of_input[one], of_input[other]) for one, other in pairs]
        inputs += bool(pairs)
    return Diversity(float(np.mean(found)), len(found), inputs, by) if found else None


def built_in_distance(device: torch.device) -> Distance:
    """The form of LPIPS (Zhang et al., 2018) on the built-in filters: needs no weights.

    Per layer the answers at every place become unit vectors; their squared differences are summed over channels and
    averaged over places, and the layers are added up.
    """
    filters = fixed_filters(device)

    def distance(one: np.ndarray, other: np.ndarray) -> float:
        x = as_batch([one, other], None).to(device).float() / 127.5 - 1  # (2, 3, H, W)
        with torch.inference_mode():
            total = 0.0
            for layer in responses(x, filters):
                unit = layer / (layer.norm(dim=1, keepdim=True) + EPSILON)
                total += float((unit[0] - unit[1]).square().sum(0).mean())
        return total

    return distance


def lpips_distance(lpips: Lpips) -> Distance:
    """Of whole images."""
    return lambda one, other: lpips(one, other, np.ones(one.shape[:2], bool))
