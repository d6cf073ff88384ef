"""Checkpoints that know whether they are whole: torch's zip archive with the checksum of its bytes as its comment.

The archive is what ``torch.save`` writes and any ``torch.load`` reads; ``unzip -z`` shows the comment. As it is in the
file itself it goes wherever the file goes, and no crash can part the two.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

MARK = b"instagan sha256 "
COMMENT = re.compile(re.escape(MARK) + rb"[0-9a-f]{64}")
COMMENT_SIZE = len(MARK) + 64
END = b"PK\x05\x06"
END_SIZE = 22
"""Bytes of a zip archive's last record, whose last two tell how long the comment after it is."""
LENGTH = COMMENT_SIZE.to_bytes(2, "little")
PIECE = 2**22
"""Bytes that are read at once."""


def save_sealed(content: Any, path: Path) -> None:
    """``torch.save`` with a checksum of what was to be written. Raises ``OSError`` where the disk refuses."""
    with path.open("wb", buffering=0) as file:
        hashed = _Hashed(file)
        try:
            torch.save(content, hashed)  # type: ignore[arg-type]
        except RuntimeError as error:
            if hashed.problem:  # torch tells only that something went wrong
                raise hashed.problem from error
            raise
        file.seek(-len(LENGTH), 2)
        _write_all(file, LENGTH + MARK + hashed.digest().encode())


def fault(path: Path, strict: bool = True, content: bool = True) -> str:
    """What is wrong with the file of a checkpoint, as the end of a sentence; empty if nothing is.

    Reads all of it, and unpacks nothing. strict: a file without a checksum of ours is held to the zip archive's own
    ones; those of foreign programs may have none. Without ``content`` no checksum is looked at, only that the file is
    whole and no bomb. Raises ``OSError`` if the file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - END_SIZE - 2**16))
        tail = file.read()
        end = tail.rfind(END)
        comment = tail[end + END_SIZE :]
        if end < 0 or len(comment) != int.from_bytes(tail[end + END_SIZE - 2 : end + END_SIZE], "little"):
            return "it is empty" if not size else "its end is missing, or it is no archive of torch.save"
        sealed = COMMENT.fullmatch(comment)
        if comment and not sealed:
            return "its checksum is damaged"
        if (problem := _bomb(file, size)) or not content:
            return problem
        if sealed:
            fits = _digest(file, size - COMMENT_SIZE - len(LENGTH)) == comment.removeprefix(MARK).decode()
            return "" if fits else "its checksum does not fit its content"
        return _own_checksums(file) if strict else ""


class _Hashed:
    """A file that hashes what it is given, but for the last two bytes: they tell the length of a comment to come."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.sha256, self.held = file, hashlib.sha256(), b""
        self.problem: OSError | None = None

    def write(self, content: bytes) -> int:
        view = memoryview(content).cast("B")
        try:
            _write_all(self.file, view)
        except OSError as error:
            self.problem = error
            raise
        if len(view) < len(LENGTH):
            view = memoryview(self.held + view)
        else:
            self.sha256.update(self.held)
        self.sha256.update(view[: -len(LENGTH)])
        self.held = bytes(view[-len(LENGTH) :])
        return len(content)

    def flush(self) -> None:
        self.file.flush()

    def digest(self) -> str:
        return self.sha256.hexdigest()


def _write_all(file: BinaryIO, content: bytes | memoryview) -> None:
    """A disk that is nearly full takes a part, and refuses the next one."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def _digest(file: BinaryIO, length: int) -> str:
    """Of the first ``length`` bytes."""
    sha256, piece = hashlib.sha256(), memoryview(bytearray(PIECE))
    file.seek(0)
    while length > 0 and (count := file.readinto(piece[: min(PIECE, length)])):  # type: ignore[attr-defined]
        sha256.update(piece[:count])
        length -= count
    return sha256.hexdigest()


def _bomb(file: BinaryIO, size: int) -> str:
    """torch stores tensors as they are: what would become larger than its file was made by nobody with good intent."""
    try:
        parts = zipfile.ZipFile(file).infolist()
    except Exception as error:  # a damaged table of contents can raise anything
        return f"its table of contents is damaged ({type(error).__name__})"
    unpacked = sum(part.file_size for part in parts)
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts) or unpacked > size:
        return f"it is compressed, {unpacked:,} bytes in {size:,}, which torch.save never does"
    return ""


def _own_checksums(file: BinaryIO) -> str:
    try:
        damaged = zipfile.ZipFile(file).testzip()
    except Exception as error:
        return f"its content is damaged ({type(error).__name__})"
    return f"its part {damaged} does not fit the checksum" if damaged else ""
