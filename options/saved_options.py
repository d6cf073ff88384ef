"""yaml files of options: one flat list of names and plain values, and nothing that yaml can do beyond."""

from __future__ import annotations

from argparse import Action, ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import configargparse
import yaml

from instagan.errors import InputError

PLAIN = (str, int, float, bool, type(None))


def flat_yaml(text: str) -> dict[str, Any]:
    """Name -> plain value, or list of plain values. Raises ``ValueError``, whatever else the text is.

    Lists within lists are refused: a few lines of yaml can stand for any number of them.
    """
    try:
        content = yaml.safe_load(text)
    except Exception as error:  # values of a kind that they are not (2001-99-99) raise what their kind raises
        raise ValueError(f"it is no yaml ({' '.join(str(error).split())[:200]})") from None
    if not isinstance(content, dict):
        raise ValueError("it is no list of names and values, such as niter: 100")
    for name, value in content.items():
        many = isinstance(value, list) and all(isinstance(one, PLAIN) for one in value)
        if not isinstance(name, str) or not (isinstance(value, PLAIN) or many):
            raise ValueError(f"what it holds under {str(name)[:60]!r} is no plain value")
    return content


class FlatYaml(configargparse.YAMLConfigFileParser):
    """Reads ``--config`` files."""

    def parse(self, stream: Any) -> dict[str, Any]:
        try:
            content = flat_yaml(stream.read())
        except ValueError as error:
            raise configargparse.ConfigFileParserException(f"{stream.name} cannot be used: {error}") from None
        told = {name: value for name, value in content.items() if value is not None}
        return {name: value if isinstance(value, list) else str(value) for name, value in told.items()}


def check_saved(saved: Mapping[str, Any], parser: ArgumentParser, where: Path) -> None:
    """Raises ``InputError`` for a saved value that its flag would not take. Names without a flag are of no use."""
    for action in parser._actions:
        if action.dest in saved and not _takes(action, saved[action.dest]):
            value = str(saved[action.dest])[:60]
            raise InputError(
                f"{where} is damaged (--{action.dest} cannot be {value!r}); "
                "write it again by starting train.py on this run"
            )


def _takes(action: Action, value: Any) -> bool:
    if value is None:
        return True
    if action.nargs == 0:
        return isinstance(value, bool)
    if action.nargs in ("+", "*"):
        return isinstance(value, list) and all(_takes_one(action, one) for one in value)
    return _takes_one(action, value)


def _takes_one(action: Action, value: Any) -> bool:
    if action.choices is not None:
        return value in list(action.choices)
    if action.type is None:
        return isinstance(value, str)
    try:
        return bool(action.type(str(value)) == value)  # type: ignore[operator]
    except (ArgumentTypeError, TypeError, ValueError):
        return False
