"""Category names as people and programs write them -> names to compare, and the nearest ones that there are."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from instagan.errors import InputError

_UNSEEN = "\ufeff\u200b\u200e\u200f \t\r\n\f\v\xa0"
"""Letters at the ends of a label that nobody sees: blanks of all kinds, byte order marks."""


def clean(name: Any) -> str:
    """A label without blanks at its ends, accents composed: what is compared. Raises ``ValueError`` for no label."""
    if isinstance(name, bool) or not isinstance(name, (str, int, float)):
        raise ValueError(f"{str(name)[:40]!r} is no label")
    if isinstance(name, float) and name.is_integer():
        name = int(name)
    return unicodedata.normalize("NFC", str(name).strip(_UNSEEN).strip())


def split_names(text: str) -> list[str]:
    r"""``cow,sheep`` -> the names, in order, each once; ``\,`` is a comma within a name."""
    return list(dict.fromkeys(name for name in names_by_place(text) if name))


def names_by_place(text: str) -> list[str]:
    r"""``star,star,circle`` -> a name for each place, repeated ones too; "" where nothing stands between two commas."""
    return [clean(re.sub(r"\\,", ",", part)) for part in re.split(r"(?<!\\),", text)]


def typed(name: str) -> str:
    r"""A name as it has to be typed: with ``\,`` for a comma."""
    return name.replace(",", r"\,")


def check_names(names: Iterable[str], known: Sequence[str], flag: str, where: str) -> None:
    """Raises ``InputError`` with the nearest names for the first that is not known."""
    for name in names:
        if name not in known:
            raise InputError(f"{flag}: {where} has no category {name!r}; {_advice(name, known)}")


def _advice(name: str, known: Sequence[str]) -> str:
    by_lower = {other.lower(): other for other in known}
    near = [by_lower[match] for match in difflib.get_close_matches(name.lower(), by_lower, n=5, cutoff=0.5)]
    near += [other for other in known if name.lower() in other.lower() and other not in near]
    if near:
        return f"the nearest are: {_listed(near[:5])}"
    return f"there are: {_listed(known[:80])}" if known else "it has none at all"


def _listed(names: Sequence[str]) -> str:
    """As they have to be typed."""
    comma = r" (type \, for a comma)" if any("," in name for name in names) else ""
    return ", ".join(map(typed, names)) + comma
