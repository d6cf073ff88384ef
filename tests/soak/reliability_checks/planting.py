"""Faults that are planted in a forked training before it starts: what ``children.start`` is given as ``first``."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from data.loading import TrainingLoader
from instagan.structures.instances import UnpairedBatch
from trackers.watch import Watch

Plant = Callable[[], object]


def spoilt_picture(stem: str, value: float) -> Plant:
    """The picture of A of that name is read as pixels of this value."""

    def spoil(pair: UnpairedBatch) -> UnpairedBatch:
        if stem not in {Path(path).stem for path in pair.a_paths}:
            return pair
        return replace(pair, a=pair.a.with_image(torch.full_like(pair.a.image, value)))

    def plant() -> None:
        steps = TrainingLoader.steps
        TrainingLoader.steps = lambda loader, epoch, done: (  # type: ignore[method-assign]
            [spoil(pair) for pair in pairs] for pairs in steps(loader, epoch, done)
        )

    return plant


def after_step(number: int, fault: Callable[[], object]) -> Plant:
    """Happens once so many steps are done."""

    def plant() -> None:
        told = Watch.step

        def step(watch: Watch, before: Any, now: Any, *more: Any) -> None:
            told(watch, before, now, *more)
            if now.steps == number:
                fault()

        Watch.step = step  # type: ignore[method-assign, assignment]

    return plant


def vanish(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def grow(path: Path) -> None:
    """Another size in pixels."""
    with Image.open(path) as picture:
        larger = picture.resize((picture.width + 3, picture.height + 5))
    larger.save(path)


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


FILE_FAULTS = (vanish, cut, empty, grow, become_a_folder)


def refuse(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")
