"""Who judges translations of one direction: features, classifiers, detectors, the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from instagan.metrics.classifier import Classifier, Kind, small, trained
from instagan.metrics.crops import real_crops
from instagan.metrics.features import Features, built_in
from instagan.metrics.outcome import Outcome, Real
from instagan.metrics.perceptual import Lpips
from instagan.metrics.shapes import Truth

Agreement = Callable[[Outcome], list[float]]
"""Intersection over union of each translated mask with the instance found in the translated picture."""


@dataclass(frozen=True)
class Judges:
    """features and classifier always; lpips, and an agreement with the name of who finds instances, if asked for."""

    device: torch.device
    features: Features
    classifier: Kind
    lpips: Lpips | None = None
    finder: tuple[str, Agreement] | None = None

    @classmethod
    def offline(cls, device: torch.device) -> Judges:
        """Those that need no weights."""
        return cls(device, built_in(device), small())

    def knowing(self, truth: Truth | None) -> Judges:
        """Where nobody else was asked to find instances, the truth of the embedded example does."""
        if self.finder or truth is None:
            return self
        return replace(self, finder=("the set's truth", truth.agreement))


@dataclass(frozen=True, eq=False)
class References:
    """Real pictures of one direction: of validation, and of training for what must learn, if there are any.

    truth: of the embedded example.
    """

    source: Sequence[Real]
    target: Sequence[Real]
    training_source: Sequence[Real] = field(default=())
    training_target: Sequence[Real] = field(default=())
    truth: Truth | None = None

    def pictures_classifier(self, judges: Judges, seed: int) -> Classifier | None:
        return self._classifier(judges, seed, lambda reals: [real.picture for real in reals])

    def instances_classifier(self, judges: Judges, seed: int) -> Classifier | None:
        return self._classifier(judges, seed, real_crops)

    def _classifier(
        self, judges: Judges, seed: int, taken: Callable[[Sequence[Real]], list[np.ndarray]]
    ) -> Classifier | None:
        """Learns from training pictures and is held to validation ones, or does both on halves of the latter."""
        source, target = taken(self.source), taken(self.target)
        if not (self.training_source and self.training_target):
            return trained(judges.classifier, source, target, None, seed, judges.device)
        learning = taken(self.training_source), taken(self.training_target)
        return trained(judges.classifier, *learning, (source, target), seed, judges.device)
