"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from PIL import Image

from instagan.errors import InputError

Write = Callable[[Path], object]
"""Writes a file of the name that it is given."""
ANOTHER = "pass another place"


def write_whole(path: Path, write: Write, instead: str = ANOTHER) -> None:
    """Writes beside the place and renames. Raises ``InputError`` naming the file if it cannot be written.

    instead: what to do beside making room for it.
    """
    write_together({path: write}, instead)


def write_together(files: Mapping[Path, Write], instead: str = ANOTHER) -> None:
    """Writes all of the files beside their places and renames them once they all are complete."""
    scratches = {path: scratch_of(path) for path in files}
    path = next(iter(files), Path())
    try:
        for path, write in files.items():
            write(scratches[path])
        for path, scratch in scratches.items():
            os.replace(scratch, path)
    except (OSError, RuntimeError, ValueError) as error:
        raise not_written(path, error, instead) from None
    finally:
        for scratch in scratches.values():
            with suppress(OSError):  # what failed above is what is told
                scratch.unlink(missing_ok=True)


def replace_content(path: Path, content: bytes) -> None:
    """``write_whole`` for who has something to say where it fails: raises ``OSError``."""
    scratch = scratch_of(path)
    try:
        scratch.write_bytes(content)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def scratch_of(path: Path) -> Path:
    """Where this process writes what is to become ``path``."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def not_written(path: Path, error: Exception, instead: str = ANOTHER) -> InputError:
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return InputError(f"{path} cannot be written ({reason}); make room or {instead}")


def make_folder(path: Path, instead: str = ANOTHER) -> None:
    """Makes the folder and those above it where they are not there. Raises ``InputError`` naming it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be made ({error.strerror}); {instead}") from None


def picture_writer(picture: Image.Image, path: Path) -> Write:
    """Writes the picture in the format that the ending of ``path`` names, jpeg at a quality that is hard to see."""
    kind = format_of(path)
    quality = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    return lambda scratch: picture.save(scratch, format=kind, **quality)


def format_of(path: Path) -> str:
    """PIL's name of the format that an ending stands for. Raises ``InputError`` for an ending that nobody can write."""
    kind = Image.registered_extensions().get(path.suffix.lower(), "")
    if kind not in Image.SAVE:
        raise InputError(f"{path}: pictures cannot be written with this ending; use .png")
    return kind
