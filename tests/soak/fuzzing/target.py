"""What is fuzzed: a reader, what it is given, and how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st


@dataclass(frozen=True)
class Target:
    """One reader.

    cases    what it is given
    run      gives one case to it; the folder is empty and its own, "input" in it is where the case belongs
    share    how often it is tried: cases of every 10,000
    names    part of every refusal, such as the name of the file; "" where there is none
    corpus   whole files to begin with, where the case is a file's bytes: these an engine may change by itself
    """

    name: str
    cases: st.SearchStrategy[Any]
    run: Callable[[Any, Path], object]
    share: int
    names: str = ""
    corpus: tuple[bytes, ...] = ()


def file_target(
    name: str, file: str, corpus: tuple[bytes, ...], read: Callable[[Path], object], cases: st.SearchStrategy[bytes],
    share: int,
) -> Target:  # fmt: skip
    """A reader of one file."""

    def run(content: bytes, folder: Path) -> None:
        path = folder / file
        path.write_bytes(content)
        read(path)

    return Target(name, cases, run, share, file, corpus)
