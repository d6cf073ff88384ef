"""Both generators in one safetensors file, which ``Translator`` and ``python -m instagan`` read."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from instagan.inference.trained import Trained
from instagan.io.tensor_files import write_exported

ENDING = ".safetensors"


def export(
    directions: Mapping[str, Trained], card: dict[str, Any], output: Path, options: Namespace
) -> dict[Path, str]:
    """Writes the file, whole or not at all; the card is in its header, too. Returns it, and what to tell of it."""
    networks = [one.description.split(one.weights).items() for one in directions.values()]
    write_exported(output, dict(chain(*networks)), card)
    return {output: f"to {' and '.join(directions)}"}
