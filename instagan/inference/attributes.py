"""What is told of instances beside their masks, keypoints or parts: as users hand it over, and what becomes of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from instagan.errors import InputError
from instagan.io.reading import read_parts
from instagan.structures.attributes import KEYPOINTS, PARTS, label_maps_of
from instagan.structures.instances import InstanceBatch

if TYPE_CHECKING:
    from instagan.inference.inputs import Source
    from instagan.inference.large import TranslateConfig
    from instagan.inference.network import Network


def points_for(keypoints: Sequence[Any] | None) -> np.ndarray | None:
    """(N, K, 3) float32; an instance that has fewer than others is filled with unknown ones, 0, 0, 0."""
    if keypoints is None:
        return None
    try:
        each = [np.asarray(of_one, np.float32).reshape(-1, 3) for of_one in keypoints]
    except (TypeError, ValueError):
        raise InputError("keypoints must be numbers, x, y and visibility of each; pass those of every mask") from None
    if not all(np.isfinite(of_one).all() for of_one in each):
        raise InputError("keypoints hold values that are not numbers; pass 0, 0, 0 for unknown ones")
    found = np.zeros((len(each), max(map(len, each), default=0), 3), np.float32)
    for row, of_one in zip(found, each, strict=True):
        row[: len(of_one)] = of_one
    return found


def label_maps(parts: Sequence[Any], size: tuple[int, ...]) -> np.ndarray:
    """(N, H, W) whole numbers. size: H, W."""
    found = np.zeros((len(parts), *size), np.int64)
    for number, one in enumerate(parts):
        labels = read_parts(Path(one)) if isinstance(one, str | os.PathLike) else np.asarray(one)
        if labels.shape != size or labels.dtype.kind not in "bui":
            raise InputError(
                f"the parts of mask {number} are {labels.dtype} {labels.shape}; pass a label map of whole numbers, "
                f"{size[1]}x{size[0]} pixels"
            )
        found[number] = labels
    return found


def planes_of_labels(labels: np.ndarray, inside: np.ndarray, count: int) -> np.ndarray:
    """Label maps and masks (N, H, W) -> which pixels are in part 1, 2, ... ``count``: (N, L, H, W) bool."""
    numbers = np.arange(1, count + 1)[:, None, None]  # (L, 1, 1)
    return (labels[:, None] == numbers) & inside[:, None]


def count(network: Network) -> int:
    """How many keypoints or parts of an instance a model knows; 0 of one that knows neither."""
    return int(getattr(network.generator, "attributes", 0))


def fitting(network: Network, source: Source, config: TranslateConfig | None) -> Source:
    """The source with as many keypoints as the model knows. Raises ``InputError`` where what it needs is missing, or
    more is handed over than it knows."""
    for name, told in ((KEYPOINTS, source.keypoints), (PARTS, source.parts)):
        if name not in network.translator.needs:
            if told is not None:
                raise InputError(f"this model was trained without {name}; drop them")
            continue
        if told is None and source.inside.any():
            raise InputError(
                f"this model needs {name} of every mask: pass {name}= to Translator, or use translate or test.py"
            )
        if config and config.needed_for(source):
            raise InputError(f"max_side and crop_instances are for models of masks, this one knows {name}; drop them")
        most = 0 if told is None or not told.size else told.shape[1] if name == KEYPOINTS else int(told.max())
        if most > count(network):
            raise InputError(f"this model knows {count(network)} {name}, not {most}; pass at most so many")
        if name == KEYPOINTS:
            filled = np.zeros((len(source.inside), count(network), 3), np.float32)
            if told is not None:
                filled[:, :most] = told
            source = replace(source, keypoints=filled)
    return source


def points_made(network: Network, made: InstanceBatch, slots: int) -> np.ndarray | None:
    """(N, K, 3) of the only row, 0 where nothing was translated; None of a model without keypoints."""
    if KEYPOINTS not in network.translator.needs:
        return None
    if made.points is None:
        return np.zeros((slots, count(network), 3), np.float32)
    return made.points[0, :slots].numpy()


def labels_made(
    network: Network, made: InstanceBatch, slots: int, cut: Callable[[Tensor], Tensor]
) -> np.ndarray | None:
    """(N, H, W) uint8 of the only row, 0 where nothing was translated; None of a model without parts."""
    if PARTS not in network.translator.needs:
        return None
    if made.attributes is None:
        return np.zeros((slots, *cut(made.image).shape[2:]), np.uint8)
    return cut(label_maps_of(made.attributes[0, :slots])).numpy()
