"""A run of any method of ``MODELS``, ready to translate: what instagan.Translator uses where it finds this checkout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from instagan.io.options_file import options_of
from instagan.structures.directions import asked_for
from instagan.structures.instances import InstanceBatch
from models import MODELS
from options.build import trained_model
from options.parse import parse_testing


@dataclass(frozen=True)
class TrainedMethod:
    """needs: as of ``TranslationModel``. translate: letter of the folder translated to -> batch -> its translation."""

    needs: tuple[str, ...]
    translate: Mapping[str, Callable[[InstanceBatch], InstanceBatch]]


def trained_method(run: Path, tag: str, device: torch.device, precision: str) -> TrainedMethod | None:
    """None where the run is of a method that is not in ``MODELS``, or no run. Raises ``InputError``."""
    if options_of(run).get("model") not in tuple(MODELS):
        return None
    where = ["--checkpoints_dir", str(run.resolve().parent), "--name", run.resolve().name]
    which = ["--load_iter", tag.removeprefix("iter_")] if tag.startswith("iter_") else ["--epoch", tag]
    no_data = ["--dataset_mode", "unaligned", "--dataroot", "."]
    options = parse_testing([*where, *which, *no_data, "--precision", precision]).values
    model, _ = trained_model(options, device)
    directions = asked_for("both", model.directions, options.trained_direction)
    ways = {way.target: partial(model.translate, to=way.networks.target.lower()) for way in directions}
    return TrainedMethod(model.needs, ways)
