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


def log_start(path: Path, state: Mapping[str, Any] | None, changed: Changes, notes: Sequence[str]) -> None:
    """Adds a line; a disk that takes none costs the record, not the run."""
    line = {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "process": os.getpid(),
        "from": state["file"] if state else None,
        "step": state["progress"]["steps"] if state else 0,
        "changed": {name: [str(was), str(now)] for name, (was, now) in changed.items()},
        "notes": list(notes),
    }
    with suppress(OSError), path.open("a+b") as file:
        file.seek(max(0, file.tell() - 1))
        cut_short = file.read(1) not in (b"", b"\n")  # by a kill or a full disk
        file.write(b"\n" * cut_short + json.dumps(line).encode() + b"\n")
