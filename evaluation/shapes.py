"""The three figures of the embedded example, from the files that test.py wrote and the truth in ``shapes.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.shapes.hard import distractors_of
from instagan.io.reading import read_inside, read_picture
from instagan.metrics.outcome import Outcome
from instagan.metrics.shapes import Truth

LEAST_SHAPE, LARGEST_BACKGROUND, LEAST_COLOUR = 0.95, 0.04, 0.95


@dataclass(frozen=True)
class Figures:
    """The figures of one direction; shares in [0, 1]."""

    pictures: int
    instances: int
    shape_share: float
    background_error: float
    colour_share: float
    distractor_error: float | None = None
    """None where there are no distractors."""

    def good(self) -> bool:
        return (
            self.shape_share >= LEAST_SHAPE
            and self.background_error <= LARGEST_BACKGROUND
            and self.colour_share >= LEAST_COLOUR
        )


def measure(
    results: Path, dataroot: Path, truth: dict[str, Any], phase: str, source: str, target: str
) -> Figures | None:
    """The figures of the direction source -> target ("A" or "B"), None if the folder holds nothing of it.

    Raises ``ValueError`` when a result has not the size of the data set's picture.
    """
    outcomes = []
    for stem, picture in pictures_of(truth, phase, source).items():
        if (results / f"{stem}_fake_{target}.png").exists():
            folder = dataroot / f"{phase}{source}_seg"
            masks = [folder / f"{stem}_{slot}.png" for slot in range(len(picture["instances"]))]
            outcomes.append(_outcome(results, stem, source, target, masks, truth["size"]))
    return figures_of(outcomes, truth, phase, source, target) if outcomes else None


def pictures_of(truth: dict[str, Any], phase: str, letter: str) -> dict[str, Any]:
    """The truth about each picture of a domain, by the stem of its file."""
    folder = f"{phase}{letter}/"
    return {Path(key).stem: picture for key, picture in truth["pictures"].items() if key.startswith(folder)}


def figures_of(outcomes: Sequence[Outcome], truth: dict[str, Any], phase: str, source: str, target: str) -> Figures:
    """outcomes: at least one, named after the stem of its picture."""
    known, pictures = Truth.of(truth, source, target), pictures_of(truth, phase, source)
    shapes = [right for outcome in outcomes for right in known.shapes(outcome)]
    colours = [right for outcome in outcomes for right in known.colours(outcome)]
    background: list[np.ndarray] = []
    distractors: list[np.ndarray] = [np.empty((0, 3))]
    for outcome in outcomes:
        error = np.abs(outcome.real / 255 - outcome.fake / 255)  # (H, W, 3)
        background.append(error[~outcome.covered])
        places = distractors_of(pictures[outcome.name], truth["size"])
        distractors += [error[place & ~outcome.covered] for place in places]
    outside, distracted = np.concatenate(background), np.concatenate(distractors)
    return Figures(
        len(outcomes),
        len(shapes),
        float(np.mean(shapes)),
        float(outside.mean()) if outside.size else 1.0,  # masks everywhere: no background was kept
        float(np.mean(colours)),
        float(distracted.mean()) if distracted.size else None,
    )


def _outcome(results: Path, stem: str, source: str, target: str, masks: list[Path], side: int) -> Outcome:
    """One picture and its translation. masks: files of its instances in the data set, whose pictures have this side."""
    real, fake = f"{stem}_real_{source}", f"{stem}_fake_{target}"
    translated = np.asarray(read_picture(results / f"{fake}.png"))
    if translated.shape[:2] != (side, side):
        raise ValueError(f"{results / fake}.png has not the data set's size, run test.py with --original_size.")
    files = [results / f"{fake}_mask_{number}.png" for number in range(len(masks))]
    return Outcome(
        stem,
        np.asarray(read_picture(results / f"{real}.png")),
        translated,
        tuple(read_inside(file) for file in masks),
        tuple(read_inside(file) if file.exists() else None for file in files),
        read_inside(results / f"{real}_mask.png"),
        read_inside(results / f"{fake}_mask.png"),
    )
