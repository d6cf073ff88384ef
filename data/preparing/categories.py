"""Category names as they are typed: ``cow,sheep`` -> the source's categories, or the nearest names there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from instagan.errors import InputError


def split_names(text: str, flag: str) -> list[str]:
    """The names in a comma-separated list, in order, each once."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise InputError(f"{flag} is empty; name a category, or several separated by commas")
    return names


def check_names(names: Iterable[str], known: Sequence[str], flag: str, where: str) -> None:
    """Raises ``InputError`` with the nearest names for the first that is not known."""
    for name in names:
        if name not in known:
            raise InputError(f"{flag}: {where} has no category {name!r}; {_advice(name, known)}")


def check_apart(first: Iterable[str], second: Iterable[str]) -> None:
    common = [name for name in first if name in set(second)]
    if common:
        raise InputError(f"--cat1 and --cat2 both name {common[0]!r}; the two domains need different categories")


def _advice(name: str, known: Sequence[str]) -> str:
    by_lower = {other.lower(): other for other in known}
    near = [by_lower[match] for match in difflib.get_close_matches(name.lower(), by_lower, n=5, cutoff=0.5)]
    near += [other for other in known if name.lower() in other.lower() and other not in near]
    if near:
        return f"the nearest are: {', '.join(near[:5])}"
    return f"there are: {', '.join(known[:80])}" if known else "it has none at all"
