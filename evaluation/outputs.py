"""Results with one or several outputs for each input: which files those are."""

from __future__ import annotations

import re
from pathlib import Path


def outputs_of(results: Path, target: str) -> dict[str, list[Path]]:
    """Name of the input -> files of its outputs, in the order of their styles, in the direction to ``target``.

    NAME_fake_B.png is one output; beside NAME_fake_B_style0.png, NAME_fake_B_style1.png ... it does not count.
    """
    form = re.compile(rf"(?P<name>.+)_fake_{target}(_style(?P<style>\d+))?\.png")
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(results.iterdir()):
        if match := form.fullmatch(path.name):
            found.setdefault(match["name"], {})[int(match["style"] or -1)] = path
    return {
        name: [path for style, path in sorted(files.items()) if style >= 0] or list(files.values())
        for name, files in found.items()
    }
