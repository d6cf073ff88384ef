"""One program of torch.export for each direction, for torch without this project: torch.export.load(FILE).module()."""

from __future__ import annotations

import io
import json
import warnings
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from instagan.inference.exporting.mini_batch import MiniBatch, traced
from instagan.inference.exporting.per_direction import Made, export_each
from instagan.inference.trained import Trained
from instagan.io.tensor_files import CARD

ENDING = ".pt2"


def export(
    directions: Mapping[str, Trained], card: dict[str, Any], output: Path, options: Namespace
) -> dict[Path, str]:
    """Writes the files, whole or not at all, with the card in each. Returns them, and what to tell of each."""
    return export_each(directions, card, output, _make, "torch.export")


def _make(function: MiniBatch, card: dict[str, Any]) -> Made:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch tells about its own insides
        torch.export.save(traced(function), file, extra_files={CARD: json.dumps(card)})
        file.seek(0)
        program = torch.export.load(file).module()  # what will be run: the file, not what it was made of

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(program(*inputs))

    return Made(file.getvalue(), run, {"torch": torch.__version__.partition("+")[0]})
