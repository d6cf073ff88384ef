"""The figures of the embedded example, from the files that test.py wrote and the truth in ``shapes.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.folders import folder_name
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
            masks = _mask_files(dataroot, phase, source, stem, picture)
            outcomes.append(_outcome(results, stem, source, target, masks, truth["size"]))
    return figures_of(outcomes, truth, phase, source, target) if outcomes else None


def pictures_of(truth: dict[str, Any], phase: str, letter: str) -> dict[str, Any]:
    """The truth about each picture of a domain, by the stem of its file."""
    folder = f"{folder_name(phase, letter)}/"
    return {Path(key).stem: picture for key, picture in truth["pictures"].items() if key.startswith(folder)}


def figures_of(outcomes: Sequence[Outcome], truth: dict[str, Any], phase: str, source: str, target: str) -> Figures:
    """outcomes: at least one, named after the stem of its picture."""
    known, pictures = Truth.of(truth, target), pictures_of(truth, phase, source)
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


@dataclass(frozen=True)
class Became:
    """One instance of a set of many domains. source, target: names of what it was and was to become; together: how many
    different targets its picture has; right: whether it has the shape and the colour that was asked for."""

    source: str
    target: str
    together: int
    shape: bool
    colour: bool

    @property
    def right(self) -> bool:
        return self.shape and self.colour


def measure_targets(
    results: Path, dataroot: Path, truth: dict[str, Any], phase: str, asked: list[str]
) -> tuple[list[Became], float]:
    """Every translated instance of a set of many domains, and the background error of their pictures.

    asked: what mask 0, 1, ... was to become, further ones were to stay; a single name: all of them. Raises
    ``ValueError`` for a name that is no domain, and where the folder holds no translation.
    """
    known = {name: Truth.of(truth, name) for name in truth["domains"]}
    if unknown := [name for name in asked if name not in known]:
        raise ValueError(f"{unknown[0]} is no domain of {dataroot}; it has {', '.join(known)}.")
    found, background = [], []
    for source in known:
        for stem, picture in pictures_of(truth, phase, source).items():
            if not (results / f"{stem}_fake_B.png").exists():
                continue
            masks = _mask_files(dataroot, phase, source, stem, picture)
            outcome = _outcome(results, stem, "A", "B", masks, truth["size"])
            by_place = asked * outcome.count if len(asked) == 1 else asked
            targets = [*by_place, *[source] * outcome.count][: outcome.count]
            background.append(np.abs(outcome.real / 255 - outcome.fake / 255)[~outcome.covered])
            for place, target in enumerate(targets):
                shape, colour = known[target].has_shape(outcome, place), known[target].has_colour(outcome, place)
                found.append(Became(source, target, len(set(targets)), shape, colour))
    if not found:
        raise ValueError(f"{results} has no translation of a {phase} picture of {dataroot}, run test.py first.")
    outside = np.concatenate(background)
    return found, float(outside.mean()) if outside.size else 1.0  # masks everywhere: no background was kept


def _mask_files(dataroot: Path, phase: str, domain: str, stem: str, picture: dict[str, Any]) -> list[Path]:
    folder = dataroot / f"{folder_name(phase, domain)}_seg"
    return [folder / f"{stem}_{slot}.png" for slot in range(len(picture["instances"]))]


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
