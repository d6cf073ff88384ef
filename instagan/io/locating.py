"""File names in annotations, as any machine wrote them -> files in a folder of pictures, never outside of it."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

_DRIVE = re.compile(r"[A-Za-z]:(?=/)")


def locate(folder: Path, name: str) -> Path | None:
    """The file of this name in ``folder``; None where there is none.

    Where the name as a whole leads nowhere, or out of the folder, its end is looked for: ``/data/set/1.png`` may be
    ``set/1.png`` there, or ``1.png``.
    """
    spellings = dict.fromkeys((name, name.strip(), unquote(name).strip()))  # %20 is a blank in a web address
    for candidate in (found for spelling in spellings for found in _candidates(spelling)):
        path = folder / candidate
        if os.path.isfile(path):
            return path
    return None


def place_of(folder: Path, name: str) -> Path:
    """Where a file that is not there would be expected; in the folder, whatever the name."""
    return folder / "/".join(_parts(name) or ["_"])


def leads_out(name: str) -> bool:
    """Whether a name, taken literally, is of a file outside of the folder, or of none at all."""
    path = posixpath.normpath(name.replace("\\", "/"))
    return not _parts(name) or path.split("/")[0] in ("", "..") or bool(_DRIVE.match(path))


def _candidates(name: str) -> Iterator[str]:
    """Paths within a folder that may be meant, the likeliest first."""
    parts = _parts(name)
    if parts and name != "/".join(parts) and name.replace("\\", "/") == "/".join(parts):
        yield name  # elsewhere than on Windows a name may hold a backslash
    for first in range(len(parts)):
        yield "/".join(parts[first:])


def _parts(name: str) -> list[str]:
    """The path without what leads out of a folder: a root, a drive, "..". None for a name that can be of no file."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return []
    path = _DRIVE.sub("", posixpath.normpath(name.replace("\\", "/")))
    parts = [part for part in path.split("/") if part not in ("", ".")]
    while ".." in parts:
        parts.pop(0)
    return [] if "\0" in name else parts
