"""Diversity, IS and CIS of results with several outputs for each input, of whatever data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.folders import list_domain
from evaluation.outputs import outputs_of
from instagan.io.reading import read_picture
from instagan.metrics.diversity import (
    BUILT_IN,
    LPIPS,
    Distance,
    Diversity,
    built_in_distance,
    diversity,
    lpips_distance,
)
from instagan.metrics.inception_score import InceptionScores, inception_scores
from instagan.metrics.look_classifier import NAME, LookClassifier, train_look_classifier
from instagan.metrics.perceptual import lpips

MOST_IMAGES = 200
"""Images of each class that the classifier learns from, at most."""


@dataclass(frozen=True)
class StyleJudges:
    """distance: for the diversity; by: who measures it. classifier: None where none could be trained."""

    distance: Distance
    by: str
    classifier: LookClassifier | None

    @classmethod
    def of(cls, weights: Path | None, classifier: LookClassifier | None) -> StyleJudges:
        """weights: of AlexNet, for LPIPS; without them built-in features measure. Raises ``InputError``."""
        cpu = torch.device("cpu")
        if weights is None:
            return cls(built_in_distance(cpu), BUILT_IN, classifier)
        return cls(lpips_distance(lpips(weights, cpu)), LPIPS, classifier)


@dataclass(frozen=True)
class StyleFigures:
    """Of one direction. diversity: None with one output for each input; scores: None without a classifier."""

    inputs: int
    outputs: int
    diversity: Diversity | None
    scores: InceptionScores | None

    @classmethod
    def of(cls, outputs: Sequence[Sequence[np.ndarray]], judges: StyleJudges, seed: int) -> StyleFigures:
        """outputs: of each input, images (H, W, 3) uint8; at least one in all."""
        classifier = judges.classifier
        scores = inception_scores([classifier.probabilities(of) for of in outputs]) if classifier else None
        found = diversity(outputs, judges.distance, judges.by, seed)
        return cls(len(outputs), sum(map(len, outputs)), found, scores)

    def lines(self, classifier: LookClassifier | None) -> list[str]:
        """In words, each with who judged."""
        lines = []
        if self.diversity:
            lines.append(f"diversity {self.diversity.value:.4f} ({self.diversity.by}; {self.diversity.pairs} pairs)")
        if self.scores and classifier:
            scores = self.scores
            lines.append(f"IS   mean KL {scores.is_kl:.4f}, exponentiated {scores.is_exp:.4f}")
            if scores.cis_kl is not None and scores.cis_exp is not None:
                lines.append(f"CIS  mean KL {scores.cis_kl:.4f}, exponentiated {scores.cis_exp:.4f}")
            right = f"right on {classifier.accuracy:.0%} of {classifier.judged} real images"
            lines.append(f"     ({NAME}; {len(classifier.classes)} classes, {right})")
        return lines

    def as_json(self) -> dict[str, Any]:
        content = asdict(self)
        if self.scores:
            content["scores"] |= {"is_exp": self.scores.is_exp, "cis_exp": self.scores.cis_exp}
        return content


def measure_styles(results: Path, target: str, judges: StyleJudges, seed: int) -> StyleFigures | None:
    """The figures of the direction to ``target``, A or B; None if the folder holds nothing of it."""
    outputs = [[np.asarray(read_picture(path)) for path in paths] for paths in outputs_of(results, target).values()]
    return StyleFigures.of(outputs, judges, seed) if outputs else None


def domain_classifier(dataroot: Path, phase: str, seed: int) -> LookClassifier:
    """Learns to tell A from B from the training images, held to those of ``phase``. Raises ``InputError``."""
    learned, held_out = (
        {
            letter: [
                np.asarray(entry.read_picture()) for entry in list_domain(dataroot, one, letter, False)[:MOST_IMAGES]
            ]
            for letter in "AB"
        }
        for one in ("train", phase)
    )
    return train_look_classifier(learned, held_out, seed)
