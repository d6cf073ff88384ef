"""The engine atheris: whole files are changed by themselves; what makes the code go another way is changed further."""

from __future__ import annotations

import os
import pickle
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from tests.soak.fuzzing.judging import judge
from tests.soak.fuzzing.running import MOST_FINDS, Count, Find, told_of
from tests.soak.fuzzing.target import Target

WATCHED = (
    "json.decoder",
    "json.scanner",
    "yaml.",
    "PIL.",
    "torch._weights_only_unpickler",
    "instagan.",
    "data.",
    "trackers.",
)
"""Modules whose branches are watched, by the beginnings of their names."""


def fuzz(target: Target, cases: int, seconds: float, start: int, folder: Path) -> Count:
    """As ``running.fuzz``; libFuzzer ends its process when it is done, so it gets one."""
    told = folder / "count"
    child = os.fork()
    if child == 0:
        _steer(target, cases, seconds, start, folder, told)
    _, status = os.waitpid(child, 0)
    if not told.exists():
        how = f"the process ended with exit code {os.waitstatus_to_exitcode(status)}"
        return Count(target.name, finds=[Find(target.name, how, None, "")])
    return pickle.loads(told.read_bytes())  # type: ignore[no-any-return]  # our own child wrote it


def _steer(target: Target, cases: int, seconds: float, start: int, folder: Path, told: Path) -> NoReturn:
    import atheris

    count, began = Count(target.name), time.perf_counter()
    seeds, room = folder / "seeds", folder / "cases"
    seeds.mkdir()
    room.mkdir()
    for number, content in enumerate(target.corpus):
        (seeds / f"{number}").write_bytes(content)
    for name, module in list(sys.modules.items()):
        if name.startswith(WATCHED):
            _instrument(atheris, module)

    def attempt(content: bytes) -> None:
        count.seconds = time.perf_counter() - began
        if count.cases >= cases or count.seconds > seconds or len(count.finds) >= MOST_FINDS:
            told.write_bytes(pickle.dumps(count))
            os._exit(0)
        count.cases += 1
        try:
            judge(target, content, room)
        except Exception as error:
            what = told_of(error)
            if what not in {find.told for find in count.finds}:
                trace = "".join(traceback.format_exception(error))
                count.finds.append(Find(target.name, what, content, trace))

    longest = max(map(len, target.corpus), default=0) * 2 + 4096
    words = [sys.argv[0], str(seeds), f"-seed={start + 1}", f"-max_len={longest}", "-verbosity=0", "-close_fd_mask=3"]
    atheris.Setup([*words, f"-artifact_prefix={folder}/"], attempt)
    atheris.Fuzz()
    os._exit(1)


def _instrument(atheris: Any, module: Any) -> None:
    """The functions of a module that was imported before."""
    for name, value in list(vars(module).items()):
        if hasattr(value, "__code__") and getattr(value, "__module__", "") == module.__name__:
            with suppress(Exception):  # what cannot be watched is fuzzed all the same
                setattr(module, name, atheris.instrument_func(value))
