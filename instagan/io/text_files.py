"""Text and json as any editor saves it -> strings and values: byte order marks, UTF-16 and CRLF are read away."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from instagan.errors import InputError
from instagan.io.categories import clean
from instagan.io.optional import need
from instagan.io.values import identity

MOST_CLASSES = 100_000


def read_text(path: Path) -> str:
    """UTF-8 with or without a byte order mark, or UTF-16 with one; lines end in ``\\n``.

    Raises ``OSError`` for a file that cannot be read, ``ValueError`` for bytes that are no text.
    """
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path, advice: str, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """The value in a json file. advice: what to do instead. Raises ``InputError`` naming the file."""
    try:
        return json.loads(read_text(path), object_hook=hook)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {advice}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {advice}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a json file ({error}); {advice}") from None


def read_class_names(path: Path, flag: str = "--names") -> tuple[str, ...]:
    """Class names by number: one a line, or ``names`` of a YOLO yaml file. Raises ``InputError``.

    A blank line between others is the number of a class without a name: those after it keep their numbers.
    """
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{flag} {path} cannot be read ({error}); pass a text file with one name a line") from None
    if path.suffix.lower() in (".yaml", ".yml"):
        return _names_in_yaml(text, f"{flag} {path}")
    names = [clean(line) for line in text.split("\n")]
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def _names_in_yaml(text: str, where: str) -> tuple[str, ...]:
    """Every value is taken as it is written: yaml itself would read the name ``no`` as false."""
    yaml = need("yaml", "PyYAML", where)
    try:
        found = yaml.load(text, Loader=yaml.BaseLoader)["names"]
        pairs = found.items() if isinstance(found, dict) else enumerate(found)
        by_number = {int(identity(number)): clean(name) for number, name in pairs}
        if not isinstance(found, (dict, list)) or not set(by_number) <= set(range(MOST_CLASSES)):
            raise ValueError
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        raise InputError(f"{where} has no list 'names', numbered from 0; pass YOLO's data.yaml") from None
    return tuple(by_number.get(number, "") for number in range(max(by_number, default=-1) + 1))
