"""Fingerprints of source files: a set is not gone on with after its source has changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from instagan.errors import InputError


def digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits. Raises ``InputError`` if it cannot be read."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); pass another file") from None
    return found.hexdigest()
