"""Figures of translated street scenes, from the files that test.py wrote and the truth in ``streets.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.outputs import outputs_of
from evaluation.styles import MOST_IMAGES, StyleFigures, StyleJudges
from instagan.errors import InputError
from instagan.io.reading import read_inside, read_picture
from instagan.metrics.look_classifier import LookClassifier, train_look_classifier
from instagan.metrics.streets import JudgedOutput, StreetObject, StreetTruth, judge

ONE_OUTPUT = 1e-4
"""Diversity below which the style makes no difference."""
HARDLY, NEARLY = 0.1, 0.9


@dataclass(frozen=True)
class ClassFigures:
    """Means over the objects of a class in all outputs. error: lower is better; shares in [0, 1].

    look: None where the truth can tell of no object; decided: objects of which it can.
    """

    objects: int
    error: float
    look: float | None
    decided: int
    found: float


@dataclass(frozen=True)
class StreetFigures:
    """Of one direction. styles_reached: how many of the target's ``styles`` are the nearest to an output of one input,
    on average. of_styles: what the outputs alone tell."""

    of_styles: StyleFigures
    error: float
    background_error: float
    styles: int
    styles_reached: float
    classes: dict[str, ClassFigures]

    def share(self, what: str) -> float:
        """Mean over the classes of ``look`` or ``found``; classes that nobody can tell of do not count."""
        known = [share for one in self.classes.values() if (share := getattr(one, what)) is not None]
        return float(np.mean(known)) if known else 0.0

    def verdicts(self) -> list[str]:
        """What the figures come to, worst first."""
        look, found, told = self.share("look"), self.share("found"), []
        diversity = self.of_styles.diversity
        if found < 0.5:
            told.append("Degenerate: most objects are nowhere to be found, the outputs do not show the scene.")
        elif look <= HARDLY:
            told.append("Degenerate: hardly any object looks as in the target's domain; nothing was translated.")
        if diversity is not None and diversity.value < ONE_OUTPUT:
            told.append("Degenerate: one output for all styles.")
        if not told and look >= NEARLY and found >= NEARLY:
            told.append("Objects have the look of the target's domain and are where they were.")
        return told or ["Neither degenerate nor done."]


def read_streets(dataroot: Path) -> dict[str, Any]:
    """The content of ``streets.json``. Raises ``InputError`` where it is missing or damaged."""
    path = dataroot / "streets.json"
    if not path.is_file():
        raise InputError(f"{path} is missing; pass the folder that make_streets.py wrote")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for key in ("pictures", "domains", "size", "classes"):
            content[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}); draw the set again with make_streets.py") from None
    return content


def truth_of(dataroot: Path, content: dict[str, Any], key: str) -> StreetTruth:
    """Of an input such as valA/street_0000.png. Raises ``InputError`` where its scene has no renderings."""
    source = key.partition("/")[0][-1]
    target = "B" if source == "A" else "A"
    picture = content["pictures"][key]
    if not picture["renderings"]:
        raise InputError(f"{key} has no counterpart in the other domain; measure the phases val and test alone")
    images = {
        letter: {style: np.asarray(read_picture(dataroot / file)) for style, file in files.items()}
        for letter, files in picture["renderings"].items()
    }
    folder, stem = dataroot / f"{key.partition('/')[0]}_seg", Path(key).stem
    objects = tuple(
        StreetObject(
            one["class"],
            tuple(one["box"]),
            read_inside(folder / f"{stem}_{number}.png"),
            tuple((x, y, radius) for x, y, radius in one.get("lamps", ())),
        )
        for number, one in enumerate(picture["objects"])
    )
    return StreetTruth(objects, images[target], images[source])


def measure_streets(
    results: Path,
    dataroot: Path,
    content: dict[str, Any],
    phase: str,
    letters: str,
    judges: StyleJudges,
    seed: int,
) -> StreetFigures | None:
    """The figures of the direction ``letters``, AB or BA; None if the folder holds nothing of it.

    Raises ``InputError`` naming a file of another size.
    """
    source, target = letters
    judged: list[list[JudgedOutput]] = []
    images: list[list[np.ndarray]] = []
    for name, paths in outputs_of(results, target).items():
        key = f"{phase}{source}/{name}.png"
        if key not in content["pictures"]:
            continue
        truth = truth_of(dataroot, content, key)
        images.append([np.asarray(read_picture(path)) for path in paths])
        try:
            judged.append([judge(image, truth) for image in images[-1]])
        except ValueError as error:
            raise InputError(f"{paths[0]}: {error}; run test.py with --original_size") from None
    if not judged:
        return None
    everything = [one for of_input in judged for one in of_input]
    reached = [len({one.style for one in of_input}) for of_input in judged]
    return StreetFigures(
        StyleFigures.of(images, judges, seed),
        float(np.mean([one.error for one in everything])),
        float(np.mean([one.background_error for one in everything])),
        len(content["domains"][target]),
        float(np.mean(reached)),
        {kind: figures for kind in content["classes"] if (figures := _of_class(everything, kind))},
    )


def _of_class(outputs: Iterable[JudgedOutput], kind: str) -> ClassFigures | None:
    found = [one for output in outputs for one in output.objects if one.kind == kind]
    if not found:
        return None
    looks = [one.look for one in found if one.look is not None]
    return ClassFigures(
        len(found),
        float(np.mean([one.error for one in found])),
        float(np.mean(looks)) if looks else None,
        len(looks),
        float(np.mean([one.found for one in found])),
    )


def style_classifier(dataroot: Path, content: dict[str, Any], phase: str, seed: int) -> LookClassifier | None:
    """Learns the styles of both domains from training images, held to those of ``phase``; None without training images.

    Every style is a class, as the four kinds of weather are in published tables.
    """
    learned, held_out = (_by_style(dataroot, content, one) for one in ("train", phase))
    if sum(bool(images) for images in learned.values()) < 2:
        return None
    return train_look_classifier(learned, held_out, seed)


def _by_style(dataroot: Path, content: dict[str, Any], phase: str) -> dict[str, list[np.ndarray]]:
    """Images of a phase, by style."""
    found: dict[str, list[np.ndarray]] = {style: [] for styles in content["domains"].values() for style in styles}
    for key, picture in content["pictures"].items():
        of_style: list[np.ndarray] = found[picture["style"]]
        if key.startswith((f"{phase}A/", f"{phase}B/")) and len(of_style) < MOST_IMAGES:
            of_style.append(np.asarray(read_picture(dataroot / key)))
    return found
