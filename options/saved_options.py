"""Options from yaml files: ``--config``, and whether the flags would take what a run has saved."""

from __future__ import annotations

from argparse import Action, ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import configargparse

from instagan.errors import InputError
from instagan.io.options_file import flat_yaml


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
