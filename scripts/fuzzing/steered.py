"""The engine atheris: whole files are changed by themselves, and a change that makes the code go another way is kept."""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from scripts.fuzzing.judging import judge
from scripts.fuzzing.running import MOST_FINDS, Count, Find, told_of
from scripts.fuzzing.target import Target

PACKAGES = ("json.decoder", "yaml.", "PIL.", "torch._weights_only_unpickler", "instagan.pictures", "data.preparing",
            "instagan.translation.tensor_files", "data.prepared", "trackers.loss_log")  # fmt: skip
"""Modules whose branches are watched."""


def fuzz(target: Target, cases: int, seconds: float, start: int, folder: Path) -> Count:
    """As ``running.fuzz``. Ends the process's use of libFuzzer: one target for each process."""
    import atheris

    count, began = Count(target.name), time.perf_counter()
    seeds, room = folder / "seeds", folder / "cases"
    seeds.mkdir()
    room.mkdir()
    for number, content in enumerate(target.corpus):
        (seeds / f"{number}").write_bytes(content)
    for name, module in list(sys.modules.items()):
        if module is not None and name.startswith(PACKAGES):
            _instrument(atheris, module)

    class _DoneError(BaseException):
        pass

    def attempt(content: bytes) -> None:
        if count.cases >= cases or time.perf_counter() - began > seconds or len(count.finds) >= MOST_FINDS:
            raise _DoneError
        count.cases += 1
        try:
            judge(target, content, room)
        except Exception as error:
            told = told_of(error)
            if told not in {find.told for find in count.finds}:
                trace = "".join(traceback.format_exception(error))
                count.finds.append(Find(target.name, told, content, trace))

    longest = max(map(len, target.corpus), default=0) * 2 + 4096
    words = [sys.argv[0], str(seeds), f"-seed={start + 1}", f"-max_len={longest}", "-verbosity=0", "-close_fd_mask=3"]
    os.chdir(folder)
    atheris.Setup(words, attempt)
    try:
        atheris.Fuzz()
    except _DoneError:
        pass
    count.seconds = time.perf_counter() - began
    return count


def _instrument(atheris: Any, module: Any) -> None:
    """Functions of a module that was imported before."""
    for name, value in list(vars(module).items()):
        if callable(value) and hasattr(value, "__code__") and value.__module__ == module.__name__:
            try:
                setattr(module, name, atheris.instrument_func(value))
            except Exception:  # what cannot be watched is fuzzed all the same
                continue
