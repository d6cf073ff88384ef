"""Files that outlive a crash: written beside their place, flushed, renamed, and the folder flushed, too."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from instagan.io.writing import Write, not_written, scratch_of

ANOTHER = "pass another folder"


def write_durably(path: Path, write: Write) -> None:
    """Readers see the old file or the new one, also after a crash of the machine. Raises ``InputError``."""
    scratch = scratch_of(path)
    try:
        write(scratch)
        flush(scratch)
        move(scratch, path)
    except (OSError, RuntimeError) as error:
        raise not_written(path, error, ANOTHER) from None
    finally:
        remove(scratch)


def remove_scratches(folder: Path) -> None:
    """Removes what killed processes left of files that they were writing. No other process may be writing there."""
    for scratch in folder.glob(".*.tmp"):
        remove(scratch)


def remove(path: Path) -> None:
    """Removes a file that nobody misses; where that is not possible it stays."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def move(scratch: Path, path: Path) -> None:
    """Renames, and waits until the disk knows of it."""
    os.replace(scratch, path)
    flush(path.parent)


def flush(path: Path) -> None:
    """Waits until a file, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def link(source: Path, path: Path) -> None:
    """A second name for the same bytes; a copy where the file system has no links."""
    scratch = scratch_of(path)
    try:
        try:
            os.link(source, scratch)
        except OSError:
            shutil.copyfile(source, scratch)
            flush(scratch)
        move(scratch, path)
    finally:
        remove(scratch)


def keep(path: Path, other: Path) -> None:
    """Another name for a file that is about to be replaced, if it is there; it is moved where there are no links."""
    scratch = scratch_of(other)
    try:
        if path.exists():
            os.link(path, scratch)
            move(scratch, other)
    except OSError:
        move(path, other)
    finally:
        remove(scratch)
