"""A method that only the checkout knows, used through its own ``translate``: a run of it, and its file in models/."""

from __future__ import annotations

import importlib
from pathlib import Path

import torch

import instagan
from instagan.errors import InputError
from instagan.inference.registry import NEEDS
from instagan.structures.one_way import OneWayTranslator


def own_translator(
    path: Path, to: str | None, epoch: str, device: torch.device, precision: str, unknown: InputError
) -> tuple[OneWayTranslator, str]:
    """The translator of a run's folder, or of a checkpoint in it, and the domain that it translates to.

    unknown: is raised where there is no checkout around this package, or its ``MODELS`` has no such method.
    Raises ``InputError`` where the run does not translate to that domain.
    """
    checkout = Path(instagan.__file__).resolve().parent.parent
    if not (checkout / "options" / "own_method.py").is_file():
        raise unknown
    try:
        methods = importlib.import_module("options.own_method")
    except ImportError:  # the package is installed, and its checkout is not where Python looks
        raise unknown from None
    folder, tag = (path, epoch) if path.is_dir() else (path.parent, path.stem)
    found = methods.trained_method(folder, tag, device, precision)
    if found is None:
        raise unknown
    targets = {target.lower(): function for target, function in found.translate.items()}
    wanted = to or ("b" if "b" in targets else next(iter(targets)))
    if wanted not in targets:
        raise InputError(f"{path} translates to {' and '.join(targets)} only; pass --to {next(iter(targets))}")
    if unusable := [need for need in found.needs if need not in NEEDS]:
        raise InputError(f"{path} needs {unusable[0]} to translate, which only test.py can give; use that")
    return OneWayTranslator(targets[wanted], found.needs), wanted
