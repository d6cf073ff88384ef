"""Categories as they are typed: ``cow,sheep`` -> names; both domains have their own."""

from __future__ import annotations

from collections.abc import Iterable

from instagan.errors import InputError
from instagan.io import categories


def split_names(text: str, flag: str) -> list[str]:
    r"""The names in a comma-separated list, in order, each once; ``\,`` is a comma within a name."""
    names = categories.split_names(text)
    if not names:
        raise InputError(f"{flag} is empty; name a category, or several separated by commas")
    return names


def check_apart(first: Iterable[str], second: Iterable[str]) -> None:
    common = [name for name in first if name in set(second)]
    if common:
        raise InputError(f"--cat1 and --cat2 both name {common[0]!r}; the two domains need different categories")
