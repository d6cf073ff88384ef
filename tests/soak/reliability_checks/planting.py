"""Faults that are planted in a forked training before it starts: what ``children.start`` is given as ``first``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from data.loading import TrainingLoader
from instagan.structures.instances import UnpairedBatch

Plant = Callable[[], object]


def spoilt_picture(stem: str, value: float) -> Plant:
    """The picture of A of that name is read as pixels of this value."""

    def spoil(pair: UnpairedBatch) -> UnpairedBatch:
        if stem not in {Path(path).stem for path in pair.paths["A"]}:
            return pair
        spoilt = pair["A"].with_image(torch.full_like(pair["A"].image, value))
        return replace(pair, domains={**pair.domains, "A": spoilt})

    def plant() -> None:
        steps = TrainingLoader.steps
        TrainingLoader.steps = lambda loader, epoch, done: (  # type: ignore[method-assign]
            [spoil(pair) for pair in pairs] for pairs in steps(loader, epoch, done)
        )

    return plant


def refuse(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")
