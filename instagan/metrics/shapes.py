"""The embedded example's truth: which shape and colour an instance has, and where instances of a domain are seen.

The domains of ``shapes.json`` tell the outline and the ranges of colour that set them apart. Pictures are (H, W, 3) in
[0, 1], masks (H, W) bool.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from instagan.errors import InputError
from instagan.io.pasting import distance_outside
from instagan.metrics.agreement import overlap
from instagan.metrics.outcome import Outcome
from instagan.metrics.outlines import (
    LARGEST_COLOUR_DISTANCE,
    LEAST_OVERLAP,
    Outline,
    has_colour,
    is_shape,
    others,
    palette,
)


@dataclass(frozen=True, eq=False)
class Truth:
    """What sets the target domain apart: its shape's name, all outlines by name, its and all others' colours (K, 3).

    covering: instances may cover each other, so that a shape may go on unseen where others are.
    """

    shape: str
    outlines: dict[str, Outline]
    wanted: np.ndarray
    other: np.ndarray
    covering: bool = False

    @classmethod
    def of(cls, content: Mapping[str, Any], target: str) -> Truth:
        """content: of ``shapes.json``; target: the name of one of its domains."""
        domains = content["domains"]
        outlines = {domain["shape"]: domain["outline"] for domain in domains.values()}
        other = np.concatenate([palette(domain) for name, domain in domains.items() if name != target])
        return cls(domains[target]["shape"], outlines, palette(domains[target]), other, covering="level" in content)

    @classmethod
    def known(cls, content: Mapping[str, Any] | None, target: str) -> Truth | None:
        """The same; None of a set that nobody drew, or that has no such domain."""
        return cls.of(content, target) if content and target in content["domains"] else None

    def shapes(self, outcome: Outcome) -> list[bool]:
        """Whether each translated mask has the target's shape, where the instance was."""
        return [self.has_shape(outcome, place) for place in range(outcome.count)]

    def has_shape(self, outcome: Outcome, place: int) -> bool:
        """The same of one instance."""
        nothing = np.zeros(outcome.fake.shape[:2], bool)
        before, after = ([nothing if mask is None else mask for mask in of] for of in (outcome.before, outcome.after))
        was, mask = before[place], after[place]
        unseen = others(before, after, place) & ~mask if self.covering else None
        return overlap(mask, was) >= LEAST_OVERLAP and is_shape(mask, self.shape, self.outlines, unseen)

    def colours(self, outcome: Outcome) -> list[bool]:
        """Whether each instance has the target's colour, inside its translated mask."""
        return [self.has_colour(outcome, place) for place in range(outcome.count)]

    def has_colour(self, outcome: Outcome, place: int) -> bool:
        """The same of one instance."""
        after = outcome.after[place]
        return after is not None and has_colour(outcome.fake / 255, after, self.wanted, self.other)

    def seen(self, picture: np.ndarray) -> np.ndarray:
        """Where a picture (H, W, 3) uint8 has the target's colours: (H, W) bool."""
        return self.target_and_others(picture)[0]

    def target_and_others(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where a picture (H, W, 3) uint8 has the colours of the target, and of other domains: (H, W) bool each."""
        colours, places = np.unique(picture.reshape(-1, 3), axis=0, return_inverse=True)
        to_wanted, to_other = (_distance(colours / 255, palette) for palette in (self.wanted, self.other))
        found = (
            (one < another) & (one <= LARGEST_COLOUR_DISTANCE)
            for one, another in ((to_wanted, to_other), (to_other, to_wanted))
        )
        target, source = (of_colour[places.ravel()].reshape(picture.shape[:2]) for of_colour in found)
        return target, source

    def found(self, outcome: Outcome) -> list[np.ndarray]:
        """Where the translated picture shows each instance: what has the target's colour and is nearest to it.

        Objects that had it before, and that are nobody's, are none.
        """
        if not outcome.count:
            return []
        seen = self.seen(outcome.fake) & ~(self.seen(outcome.real) & ~outcome.covered_before)
        reach = max(outcome.fake.shape)
        distances = [
            np.full(seen.shape, np.inf) if mask is None else distance_outside(mask, reach) for mask in outcome.before
        ]
        nearest = np.stack(distances).argmin(0)  # (H, W)
        return [seen & (nearest == number) for number in range(outcome.count)]

    def agreement(self, outcome: Outcome) -> list[float]:
        """Intersection over union of each translated mask with what is seen of its instance."""
        return [
            0.0 if after is None else overlap(after, found)
            for after, found in zip(outcome.after, self.found(outcome), strict=True)
        ]


def read_truth(dataroot: Path) -> dict[str, Any] | None:
    """What is told of a set that ``make_shapes.py`` drew; None for any other set. Raises ``InputError``."""
    path = dataroot / "shapes.json"
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for name in content["domains"]:
            Truth.of(content, name)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}); write it again with make_shapes.py") from None
    return content


def _distance(colours: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Of each colour (n, 3) to the nearest of the palette (K, 3): (n,)."""
    squared = (colours**2).sum(1)[:, None] + (palette**2).sum(1) - 2 * colours @ palette.T  # (n, K)
    return np.sqrt(squared.min(1).clip(0))
