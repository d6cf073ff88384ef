"""Who measures the translations of a study: from files named as test.py names them, whoever wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from benchmarks.studies.images import VALIDATION, RealImages
from benchmarks.studies.shapes import Shapes
from evaluation.outputs import outputs_of
from evaluation.streets import StreetFigures, measure_streets, read_streets, style_classifier
from evaluation.styles import MOST_IMAGES, StyleFigures, StyleJudges
from instagan.io.reading import read_picture
from instagan.metrics.distribution import LEAST, frechet_distance, kernel_distance
from instagan.metrics.features import Features, built_in
from instagan.metrics.look_classifier import NAME, train_look_classifier

SEED = 0
"""Of the classifier and of what is drawn to measure: the same for every method and seed."""
DIRECTIONS = ("AB", "BA")
Figures = dict[str, Any]
"""Name -> number, None where it cannot be told; ``classes`` -> class -> the same."""


class Judge(Protocol):
    by: dict[str, Any]
    """Who measures what, for the tables."""

    def figures(self, folder: Path) -> dict[str, Figures]: ...


class Pictures:
    """Any data set of two domains: FID, KID, diversity, IS and CIS with the domains as classes."""

    def __init__(self, dataroot: Path, real: RealImages) -> None:
        learned = {letter: real.training(letter, MOST_IMAGES) for letter in "AB"}
        held_out = {letter: [image for _, image in real.validation(letter)] for letter in "AB"}
        self.judges = StyleJudges.of(None, train_look_classifier(learned, held_out, SEED))
        self.sets = Sets(real)
        self.by = _named(self.judges, self.sets)

    def figures(self, folder: Path) -> dict[str, Figures]:
        found = {}
        for source, target in DIRECTIONS:
            if outputs := images_of(folder, target):
                of_styles = StyleFigures.of(outputs, self.judges, SEED)
                found[f"{source}_to_{target}"] = {**_of_styles(of_styles), **self.sets.distances(outputs, target)}
        return found


class Streets:
    """The set of make_streets.py, whose truth is known."""

    def __init__(self, dataroot: Path, real: RealImages) -> None:
        self.dataroot, self.content = dataroot, read_streets(dataroot)
        self.judges = StyleJudges.of(None, style_classifier(dataroot, self.content, VALIDATION, SEED))
        self.sets = Sets(real)
        self.by = _named(self.judges, self.sets)

    def figures(self, folder: Path) -> dict[str, Figures]:
        found = {}
        for way in DIRECTIONS:
            measured = measure_streets(folder, self.dataroot, self.content, VALIDATION, way, self.judges, SEED)
            if measured:
                sets = self.sets.distances(images_of(folder, way[1]), way[1])
                found["_to_".join(way)] = {**_of_streets(measured), **_of_styles(measured.of_styles), **sets}
        return found


class Sets:
    """FID and KID of translations from the training images of their domain, which show other scenes."""

    def __init__(self, real: RealImages) -> None:
        self.features: Features = built_in(torch.device("cpu"))
        self.real = {letter: self.features.of(real.training(letter, MOST_IMAGES)) for letter in "AB"}

    def distances(self, outputs: Sequence[Sequence[np.ndarray]], target: str) -> Figures:
        made = self.features.of([image for of_input in outputs for image in of_input])
        if min(len(made), len(self.real[target])) < LEAST:
            return {"fid": None, "kid": None}
        kid = kernel_distance(made, self.real[target], SEED)
        return {"fid": frechet_distance(made, self.real[target]), "kid": kid.mean, "kid_std": kid.std}


JUDGES = {"streets": Streets, "pictures": Pictures, "shapes": Shapes}
"""``judge`` of a study's yaml -> who measures, made of the data set's folder and its images."""


def images_of(folder: Path, target: str) -> list[list[np.ndarray]]:
    """The outputs of every input, (H, W, 3) uint8."""
    return [[np.asarray(read_picture(path)) for path in paths] for paths in outputs_of(folder, target).values()]


def _named(judges: StyleJudges, sets: Sets) -> dict[str, Any]:
    classifier = judges.classifier
    told = {"diversity": judges.by, "features": sets.features.name, "real": {k: len(v) for k, v in sets.real.items()}}
    if classifier:
        about = {"classes": list(classifier.classes), "accuracy": classifier.accuracy, "judged": classifier.judged}
        told["classifier"] = {"name": NAME, **about}
    return told


def _of_styles(found: StyleFigures) -> Figures:
    scores = found.scores
    return {
        "inputs": found.inputs,
        "outputs": found.outputs,
        "diversity": found.diversity.value if found.diversity else None,
        "is_kl": scores.is_kl if scores else None,
        "cis_kl": scores.cis_kl if scores else None,
    }


def _of_streets(found: StreetFigures) -> Figures:
    classes = {
        kind: {"objects": one.objects, "error": one.error, "look": one.look, "found": one.found}
        for kind, one in found.classes.items()
    }
    return {
        "error": found.error,
        "background_error": found.background_error,
        "styles": found.styles,
        "styles_reached": found.styles_reached,
        "look": found.share("look"),
        "found": found.share("found"),
        "classes": classes,
        "verdicts": found.verdicts(),
    }
