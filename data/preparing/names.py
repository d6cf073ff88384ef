"""What the pictures of a set are called: the stems of their sources, made safe and told apart."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

LONGEST = 120
"""Bytes of a name. File systems take 255; masks and translations append to it."""

_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|\ud800-\udfff]')


def safe_name(source: str) -> str:
    """The stem of a source file as a file name on any system; too long ones end in a short hash of the whole."""
    stem = PurePosixPath(source).stem
    name = _UNSAFE.sub("_", unicodedata.normalize("NFC", stem)).rstrip(" .")
    if not name or name.startswith("."):
        name = "_" + name.lstrip(".")
    if len(name.encode()) > LONGEST:
        mark = "-" + hashlib.sha256(stem.encode("utf-8", "surrogatepass")).hexdigest()[:10]
        name = name.encode()[: LONGEST - len(mark)].decode("utf-8", "ignore") + mark
    return name


def distinct_names(sources: Iterable[str]) -> list[str]:
    """A name for each source, in order. Where two agree, also in all but case, later ones get -2, -3, ..."""
    taken: set[str] = set()
    names = []
    for source in sources:
        base = name = safe_name(source)
        copy = 1
        while name.casefold() in taken:
            copy += 1
            name = f"{base}-{copy}"
        taken.add(name.casefold())
        names.append(name)
    return names
