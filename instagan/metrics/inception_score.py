"""IS and CIS: do outputs look like classes that a classifier knows, and do those of one input look like several?

Salimans et al., 2016, and Huang et al., 2018 (MUNIT). Published tables mix the mean divergence with its exponential;
both are given here, under their names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SMALLEST = 1e-12
"""Probabilities below count as this."""


@dataclass(frozen=True)
class InceptionScores:
    """Mean Kullback-Leibler divergence in nats: of all outputs from their mean, and per input from the mean of its own.

    cis_kl is None where no input has two outputs.
    """

    is_kl: float
    cis_kl: float | None

    @property
    def is_exp(self) -> float:
        return math.exp(self.is_kl)

    @property
    def cis_exp(self) -> float | None:
        return None if self.cis_kl is None else math.exp(self.cis_kl)


def inception_scores(probabilities: Sequence[np.ndarray]) -> InceptionScores:
    """probabilities: of each input, p(class | output) of its S outputs (S, K), rows that add up to 1; S may differ.

    Raises ``ValueError`` without any output.
    """
    if not any(len(of_input) for of_input in probabilities):
        raise ValueError("IS needs at least one output")
    everything = np.concatenate([of_input for of_input in probabilities if len(of_input)])  # (all, K)
    several = [_divergence(of_input) for of_input in probabilities if len(of_input) > 1]
    return InceptionScores(_divergence(everything), float(np.mean(several)) if several else None)


def _divergence(p: np.ndarray) -> float:
    """Mean over the rows of p (n, K) of KL(row || mean row)."""
    p = p.astype(np.float64).clip(SMALLEST)
    return max(0.0, float((p * (np.log(p) - np.log(p.mean(0)))).sum(1).mean()))
