"""``starts.jsonl``: one line for every start of a run, with the flags that it changed."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

OF_ONE_START = ("config", "continue_train", "overwrite", "epoch", "load_iter", "epoch_count", "max_steps")
"""Flags that speak of one start of train.py only: continuing a run does not take them over."""
PLACES = ("name", "suffix", "checkpoints_dir")

Changes = dict[str, tuple[Any, Any]]
"""Name of a flag -> its value before, and now."""

Sizes = Mapping[str, tuple[int, int]]
"""Letter of a domain -> how many pictures it has, and instances."""


def changes(before: Mapping[str, Any], now: Mapping[str, Any], asked: Collection[str]) -> Changes:
    """Flags that continue a run with another value than it had. before: what was saved, ``None`` left out.

    asked: names that differ from their defaults; without them a flag that is new in this version would be a change.
    """
    names = [name for name in sorted(now) if before and name not in (*OF_ONE_START, *PLACES)]
    pairs = {name: (before.get(name), now[name]) for name in names if name in before or name in asked}
    return {name: (was, value) for name, (was, value) in pairs.items() if was != value}


def sentence(changed: Changes) -> str:
    told = ", ".join(f"--{name} {was} -> {now}" for name, (was, now) in changed.items())
    return f"going on with other flags than before: {told}" if told else ""


def data_change(path: Path, now: Sizes) -> str:
    """What to say of a data set that has grown or shrunk since the last start that the file tells of; "" if nothing."""
    before: Any = {}
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        before = json.loads(path.read_bytes().splitlines()[-1])["data"]
    if not isinstance(before, dict):
        return ""
    told = []
    for letter, size in now.items():
        was = before.get(letter)
        if isinstance(was, list) and len(was) == 2 and was != list(size):
            told.append(f"domain {letter} {was[0]} -> {size[0]} pictures, {was[1]} -> {size[1]} instances")
    return f"the data set has changed since the last start: {'; '.join(told)}" if told else ""


def log_start(
    path: Path, state: Mapping[str, Any] | None, changed: Changes, notes: Sequence[str], data: Sizes | None = None
) -> None:
    """Adds a line; a disk that takes none costs the record, not the run."""
    line = {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "process": os.getpid(),
        "from": state["file"] if state else None,
        "step": state["progress"]["steps"] if state else 0,
        "changed": {name: [str(was), str(now)] for name, (was, now) in changed.items()},
        "data": data or {},
        "notes": list(notes),
    }
    with suppress(OSError), path.open("a+b") as file:
        file.seek(max(0, file.tell() - 1))
        cut_short = file.read(1) not in (b"", b"\n")  # by a kill or a full disk
        file.write(b"\n" * cut_short + json.dumps(line).encode() + b"\n")
