"""Ids, numbers and flags as annotation programs write them: as a number, as text, as 1.0, as null."""

from __future__ import annotations

import math
import re
from typing import Any

Id = int | str
"""How a picture, an annotation or a category is told apart from others of its file."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}(\.0*)?")
_YES, _NO = ("1", "1.0", "true", "yes"), ("", "0", "0.0", "false", "no")


def identity(value: Any) -> Id:
    """An id: 7, 7.0, "7" and "7.0" are all 7; other text is itself, without blanks around. Raises ``ValueError``."""
    if isinstance(value, bool) or value is None or value == "":
        raise ValueError(f"{value!r} is no id")
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        text = value.strip()
        return int(text.partition(".")[0]) if _WHOLE.fullmatch(text) else text
    raise ValueError(f"{str(value)[:40]!r} is no id")


def flag(value: Any) -> bool:
    """A flag: 1, 1.0, "1" and true are on; 0, 0.0, "0", false, null and nothing are off. Raises ``ValueError``."""
    if value is None or value in (0, 1):
        return bool(value)
    text = value.strip().lower() if isinstance(value, str) else None
    if text in _YES or text in _NO:
        return text in _YES
    raise ValueError(f"{str(value)[:40]!r} is neither 0 nor 1")


def number(value: Any) -> float:
    """A finite number, also as text. Raises ``ValueError``."""
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        except ValueError:
            found = math.nan
        if math.isfinite(found):
            return found
    raise ValueError(f"{str(value)[:40]!r} is not a number")


def side(value: Any, name: str) -> int | None:
    """Width or height in pixels; None where it is not told: null, 0 or -1. Raises ``ValueError``."""
    if value is None or value == "":
        return None
    found = number(value)
    if found in (0, -1):
        return None
    if found < 1 or found > 1e6 or not found.is_integer():
        raise ValueError(f"{name} is {str(value)[:40]}, which is no number of pixels")
    return int(found)
