"""Tables in MATLAB's .mat files of version 5: numbers, words, and cells of words. Everything else is refused.

A header of 128 bytes, then elements: a type and a length in 4 bytes each, or in 2 where the content fits into 4 bytes;
the content; zeros up to the next multiple of 8. Nothing is believed that the file's own length does not bear out.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

HEADER = 128
MOST = 2**28
"""Bytes that a packed variable may unpack to; an annotation of a photo has a hundredth of that."""

NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
MATRIX, PACKED = 14, 15
LETTERS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
"""Kinds of elements; numpy's and Python's names of what is in them."""

CELL, WORDS, NUMERIC = 1, 4, range(6, 16)
"""Kinds of variables."""

Table = np.ndarray
"""(rows, columns, ...) of numbers, or of strings as objects."""


def read_table(path: Path, name: str) -> Table:
    """The variable of that name. Raises ``OSError``, ``KeyError`` if there is none, or ``ValueError``."""
    content = path.read_bytes()
    if len(content) < HEADER or content[126:128] not in (b"IM", b"MI"):
        raise ValueError("it is no .mat file of version 5")
    order = "<" if content[126:128] == b"IM" else ">"
    for kind, element in _elements(content[HEADER:], order):
        if kind == PACKED:
            kind, element = next(_elements(_unpacked(element), order), (0, b""))
        if kind == MATRIX:
            found, table = _variable(element, order, name)
            if found == name and table is not None:
                return table
    raise KeyError(name)


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each element."""
    endian = "little" if order == "<" else "big"
    place = 0
    while place + 8 <= len(content):
        kind = int.from_bytes(content[place : place + 4], endian)
        length, begin = int.from_bytes(content[place + 4 : place + 8], endian), place + 8
        if kind >> 16:  # a short one
            length, begin, kind = kind >> 16, place + 4, kind & 0xFFFF
        end = begin + length
        if end > len(content) or (begin == place + 4 and length > 4):
            raise ValueError("it ends too early, or is damaged")
        yield kind, content[begin:end]
        place = end if kind == PACKED else -(-end // 8) * 8


def _unpacked(content: bytes) -> bytes:
    packer = zlib.decompressobj()
    try:
        whole = packer.decompress(content, MOST)
    except zlib.error as error:
        raise ValueError(f"what is packed in it is damaged: {error}") from None
    if not packer.eof:
        raise ValueError("what is packed in it is cut off, or absurdly large")
    return whole


def _variable(content: bytes, order: str, wanted: str | None) -> tuple[str, Table | None]:
    """Name and values; without the values where another name is wanted (None: any)."""
    parts = _elements(content, order)
    head = [next(parts, (0, b""))[1] for _ in range(3)]
    name = head[2].decode("latin-1")
    if wanted is not None and name != wanted:
        return name, None
    shape = tuple(np.frombuffer(head[1][: len(head[1]) // 4 * 4], f"{order}i4").tolist())
    if len(head[0]) != 8 or len(shape) != 2 or min(shape) < 0:
        raise ValueError(f"{name or 'a cell'} is no table")
    kind = np.frombuffer(head[0], f"{order}u4")[0] & 0xFF
    if kind == CELL:
        cells = [_word(element, order) for found, element in parts if found == MATRIX]
        values = np.array(cells, dtype=object)
    elif kind in NUMERIC:
        values = _numbers(*next(parts, (0, b"")), order)
    else:
        raise ValueError(f"{name} holds neither numbers nor words")
    if len(values) != math.prod(shape):
        raise ValueError(f"{name} is cut off")
    return name, values.reshape(shape[::-1]).T  # columns come first


def _numbers(kind: int, content: bytes, order: str) -> np.ndarray:
    """(n,)"""
    if kind not in NUMBERS or len(content) % np.dtype(NUMBERS[kind]).itemsize:
        raise ValueError("its numbers are damaged")
    return np.frombuffer(content, order + NUMBERS[kind])


def _word(content: bytes, order: str) -> str:
    parts = list(_elements(content, order))
    if len(parts) < 4 or parts[3][0] not in LETTERS:
        raise ValueError("a cell holds no word")
    kind, letters = parts[3]
    coding = LETTERS[kind]
    return letters.decode(coding if kind in (1, 2, 16) else f"{coding}-{'le' if order == '<' else 'be'}")
