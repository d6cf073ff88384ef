"""Text from anywhere (file names, options) made fit for a page: shown as text, linked as a file beside the page."""

from __future__ import annotations

import math
import os
import re
from urllib.parse import quote


def readable(text: object) -> str:
    """The text as it can be stored as UTF-8 and read on one line; what cannot be shown is replaced.

    HTML needs no more than this here: dominate escapes what it is given.
    """
    shown = str(text).encode("utf-8", "replace").decode("utf-8")
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in shown)


def link(name: str) -> str:
    """The relative address of a file ``name`` (parts separated by /), whatever letters it has."""
    return quote(os.fsencode(name))  # a colon too, so that no name reads as another scheme


def plain(name: str) -> str:
    """A name reduced to at most 100 letters, digits, - and _: safe as a part of any file name."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", name)[:100]


def duration(seconds: float) -> str:
    """42 s, 5 min 03 s, 2 h 05 min, 3 d 04 h."""
    whole = int(seconds)
    for unit, length, below, below_length in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            return f"{whole // length} {unit} {whole % length // below_length:02d} {below}"
    return f"{whole} s"


def number(value: float) -> str:
    """A measured value in few digits; a dash where it is not finite."""
    if not math.isfinite(value):
        return "\N{EN DASH}"
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 1000 else f"{value:.4g}"
