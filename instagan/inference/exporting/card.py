"""The model card: what a model is, how it was trained, and how good it is, as plain json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import instagan
from instagan.errors import InputError
from instagan.inference.published import run_options
from instagan.inference.trained import Trained

FORMAT = 1


def model_card(
    name: str,
    directions: Mapping[str, Trained],
    data: Mapping[str, Any],
    last_losses: Mapping[str, float],
    figures: Sequence[Path],
) -> dict[str, Any]:
    """directions: "a" or "b", the domain translated to -> its generator. data: what it learned from, without paths.

    Where a model has a style of its own for translations that ask for none, it is told, too: it is an input of exported
    functions. figures: json files of measured figures to keep along. Raises ``InputError``.
    """
    trained = next(iter(directions.values()))
    options, config = dict(trained.options), trained.description.config
    styles = {to: own for to, one in directions.items() if (own := one.build().own_style) is not None}
    return {
        "format": FORMAT,
        "name": name,
        "made_by": f"instagan {instagan.__version__}",
        "options": {**run_options(trained.description), **options},
        "directions": {to: ", ".join(one.description.parts.values()) for to, one in directions.items()},
        "translators": [one.description.as_entry() for one in directions.values()],
        "sizes": {
            "ngf": config["ngf"],
            "blocks": config.get("blocks"),
            "parameters": sum(tensor.numel() for tensor in trained.weights.values()),
            "trained_at": [options[side] for side in ("fine_size_w", "fine_size_h") if side in options],
        },
        **({"own_styles": {to: own.tolist() for to, own in styles.items()}} if styles else {}),
        "data": dict(data),
        "figures": {
            "progress": dict(trained.card.get("progress", {})),
            "last_losses": dict(last_losses),
            "measured": {path.stem: _json(path) for path in figures},
        },
    }


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"--figures {path} cannot be read ({error}); pass a json file") from None
