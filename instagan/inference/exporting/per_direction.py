"""One file for each direction: made, checked against torch, timed, and only then written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from instagan.inference.exporting.checking import COUNTS, SIZES, Run, largest_difference, latency
from instagan.inference.exporting.mini_batch import MiniBatch, mini_batch_of
from instagan.inference.trained import Trained
from instagan.io.writing import write_together
from instagan.kernels import accelerate
from instagan.networks.blocks import SIZE_MULTIPLE

USUAL_SIZE = (256, 256)
"""Where latency is measured if nothing tells at what size a model was trained."""


@dataclass(frozen=True, eq=False)
class Made:
    """A file's content, how it is run, and what the card and the user are told about it."""

    content: bytes
    run: Run
    facts: Mapping[str, Any]


Make = Callable[[MiniBatch, "dict[str, Any]"], Made]
"""Exported function and model card -> file."""


def export_each(
    directions: Mapping[str, Trained], card: dict[str, Any], output: Path, make: Make, runtime: str
) -> dict[Path, str]:
    """Writes all files or none, and adds what was found to the card. Returns the files, and a few words on each.

    With one direction the file is ``output``; with both, NAME_to_a and NAME_to_b with its ending.
    """
    files: dict[Path, bytes] = {}
    told: dict[Path, str] = {}
    card["exported"] = {}
    for to, trained in directions.items():
        file = output if len(directions) == 1 else output.with_name(f"{output.stem}_to_{to}{output.suffix}")
        translator = trained.build()
        generator: nn.Module = translator.generator  # type: ignore[assignment]
        function = mini_batch_of(generator)
        made = make(function, {**card, "to": to})
        accelerate(generator)  # what is compared and timed in torch is what Translator runs
        difference = largest_difference(made.run, function, generator, runtime)
        times = latency(made.run, function, generator, _size(card), translator.ins_per or 1)
        files[file] = made.content
        facts = ", ".join(f"{name} {value}" for name, value in made.facts.items())
        sizes = ", ".join(f"{width}x{height}" for height, width in SIZES)
        told[file] = (
            f"to {to}, {facts}; within {difference:.1g} of torch in {runtime} "
            f"({', '.join(map(str, COUNTS))} instances, {sizes}); {times}"
        )
        card["exported"][to] = {
            "file": file.name,
            **made.facts,
            "largest_difference": difference,
            "milliseconds": round(times.milliseconds, 2),
            "milliseconds_in_torch": round(times.in_torch, 2),
        }
    write_together({file: _writer(content) for file, content in files.items()})
    return told


def _size(card: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width that the model was trained at, as the networks take them."""
    trained_at = card["sizes"]["trained_at"]
    if len(trained_at) != 2:
        return USUAL_SIZE
    width, height = (max(8, int(side) // SIZE_MULTIPLE * SIZE_MULTIPLE) for side in trained_at)
    return height, width


def _writer(content: bytes) -> Callable[[Path], object]:
    return lambda scratch: scratch.write_bytes(content)
