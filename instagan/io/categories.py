"""Category names as they are typed -> the nearest names that there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from instagan.errors import InputError


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
        return f"the nearest are: {', '.join(near[:5])}"
    return f"there are: {', '.join(known[:80])}" if known else "it has none at all"
