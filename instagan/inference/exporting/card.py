"""The model card: what a model is, how it was trained, and how good it is, as plain json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import instagan
from data.prepared import Prepared
from instagan.errors import InputError
from instagan.inference.architecture import Architecture
from instagan.inference.trained import OPTIONS, Trained, source_of
from trackers.loss_log import FACTS, PLACE, VALIDATION

FORMAT = 1
DATA_OPTIONS = ("dataset_mode", "phase", "resize_or_crop", "load_size_w", "load_size_h", "fine_size_w", "fine_size_h")


def model_card(name: str, folder: Path, directions: Mapping[str, Trained], figures: list[Path]) -> dict[str, Any]:
    """directions: "a" or "b", the domain translated to -> its generator. folder: of the run, where there is one.

    figures: json files of measured figures to keep along. Raises ``InputError``.
    """
    trained = next(iter(directions.values()))
    options = dict(trained.options)
    seen = Architecture.of(trained.weights, str(options.get("norm", "instance")), trained.where)
    run = _run_options(folder)
    return {
        "format": FORMAT,
        "name": name,
        "made_by": f"instagan {instagan.__version__}",
        "options": {**options, **seen.options()},
        "directions": {to: network_of(to, one) for to, one in directions.items()},
        "sizes": {
            "ngf": seen.ngf,
            "blocks": seen.blocks,
            "parameters": sum(tensor.numel() for tensor in trained.weights.values()),
            "trained_at": [options[side] for side in ("fine_size_w", "fine_size_h") if side in options],
        },
        "data": _data(run),
        "figures": {
            "progress": dict(trained.card.get("progress", {})),
            "last_losses": _last_losses(folder / "loss_log.jsonl"),
            "measured": {path.stem: _json(path) for path in figures},
        },
    }


def network_of(to: str, trained: Trained) -> str:
    """The name of the generator, such as "G_A", by which ``Translator`` finds it again."""
    return f"G_{source_of(to, trained.options)}"


def _run_options(folder: Path) -> dict[str, Any]:
    import yaml

    try:
        options = yaml.safe_load((folder / OPTIONS).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return options if isinstance(options, dict) else {}


def _data(run: dict[str, Any]) -> dict[str, Any]:
    """What the model learned from: names, no paths; categories and counts where the data set is at hand and tells."""
    if not run:
        return {}
    told: dict[str, Any] = {name: run[name] for name in DATA_OPTIONS if name in run}
    if run.get("dataroot"):
        root = Path(run["dataroot"])
        told["name"] = root.resolve().name
        prepared = Prepared.read(root)
        if prepared.pictures:
            told["categories"] = {
                domain: [category.name for category in found] for domain, found in prepared.categories.items()
            }
            folders = [key.partition("/")[0] for key in prepared.pictures]
            told["pictures"] = {folder: folders.count(folder) for folder in sorted(set(folders))}
    return told


def _last_losses(log: Path) -> dict[str, float]:
    """The losses of the last whole line of a run's loss log."""
    try:
        lines = log.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    for line in reversed(lines):
        try:
            told = {name: value for name, value in json.loads(line).items() if name not in (*PLACE, *FACTS)}
        except ValueError:
            continue
        if losses := {name: value for name, value in told.items() if not name.startswith(VALIDATION)}:
            return losses
    return {}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"--figures {path} cannot be read ({error}); pass a json file") from None
