"""What the figures say of translations that are known: the best one, none at all, and paint over all or everything."""

from __future__ import annotations

import colorsys
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.ablations.validation import PHASE, Validation, as_picture
from data.shapes.drawing import Domain, Instance, painted
from data.shapes.hard import visible
from instagan.structures.instances import INSIDE, OUTSIDE, InstanceBatch

PERFECT, NOTHING, COLOUR, PAINT = "perfect", "identity", "recoloured", "painted"
TITLES = {
    PERFECT: "*drawn from the truth*",
    NOTHING: "*nothing translated*",
    COLOUR: "*instances painted*",
    PAINT: "*everything painted*",
}
GREY = 0.55


class Known:
    """Stands where a trained model does. translation: (pictures, target's domain) -> what it makes of them."""

    def __init__(
        self, translation: Callable[[InstanceBatch, Domain], InstanceBatch], domains: Mapping[str, Domain]
    ) -> None:
        self.translation, self.domains = translation, domains

    def translate(self, source: InstanceBatch, to: str) -> InstanceBatch:
        return self.translation(source, self.domains[to.upper()])


def look_at_references(validation: Validation, dataroot: Path) -> dict[str, list[dict[str, Any]]]:
    """Name -> the sums of ``Validation.look``."""
    return {name: validation.look(model) for name, model in known_translations(dataroot).items()}


def known_translations(dataroot: Path) -> dict[str, Known]:
    """By name, for a set that ``make_shapes.py`` drew, in its own size."""
    content = json.loads((dataroot / "shapes.json").read_text(encoding="utf-8"))
    domains = {name: Domain(name, **told) for name, told in content["domains"].items()}

    def drawn(source: InstanceBatch, target: Domain) -> InstanceBatch:
        start = f"{PHASE}{'BA'['AB'.index(target.name)]}/"
        told = [picture for key, picture in sorted(content["pictures"].items()) if key.startswith(start)]
        return draw_translations(source, target, told)

    translations = {PERFECT: drawn, NOTHING: lambda source, _: source, COLOUR: recolour, PAINT: paint}
    return {name: Known(translation, domains) for name, translation in translations.items()}


def paint(source: InstanceBatch, target: Domain) -> InstanceBatch:
    """The target's colour everywhere; masks as they were."""
    colour = torch.tensor(middle_colour(target)) * 2 - 1
    return source.with_image(colour.to(source.image)[None, :, None, None].expand_as(source.image).clone())


def recolour(source: InstanceBatch, target: Domain) -> InstanceBatch:
    """The target's colour where instances are, whose shapes stay as they were."""
    return source.with_image(torch.where(source.union() > 0, paint(source, target).image, source.image))


def draw_translations(source: InstanceBatch, target: Domain, told: list[dict[str, Any]]) -> InstanceBatch:
    """Where the source's instances were, grey; over it the target's shapes in their places. told: the truth, by row."""
    image, masks = source.image.clone(), torch.full_like(source.masks, OUTSIDE)
    side = image.shape[-1]
    for row, truth in enumerate(told):
        places = [(tuple(one["centre"]), one["size"], one["angle"]) for one in truth["instances"]]
        instances = [Instance(target, *place, middle_colour(target)) for place in places]
        covers = [one.coverage(side) for one in instances]
        picture = as_picture(image[row]) / 255
        picture[(source.masks[row] > 0).any(0).numpy()] = GREY
        for one, cover in zip(instances, covers, strict=True):
            picture = painted(picture, one, cover)
        image[row] = torch.from_numpy(picture * 2 - 1).permute(2, 0, 1)
        for slot, shown in enumerate(visible([cover >= 0.5 for cover in covers])):
            masks[row, slot] = torch.from_numpy(np.where(shown, INSIDE, OUTSIDE))
    return InstanceBatch(image, masks, source.present, source.labels)


def middle_colour(domain: Domain) -> tuple[float, float, float]:
    hue, saturation, value = (sum(limits) / 2 for limits in (domain.hue, domain.saturation, domain.value))
    return colorsys.hsv_to_rgb(hue % 1, saturation, value)
