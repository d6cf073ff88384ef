"""The law for every reader: any input ends in a value or in an ``InputError`` - one line that names the file - within
bounded time and memory, with nothing written outside of the folder that it was given and no program run.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from instagan.errors import LONGEST, InputError, one_line
from tests.soak.fuzzing.target import Target

SECONDS = 10.0
"""Of the processor's time, for one case; the slowest take a tenth of a second."""

MEMORY = 600 * 2**20
"""Bytes that one case may add to what the process holds at its peak. The inputs are small."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod")
RUNS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect", "ctypes.dlopen")
"""Python's names for what a reader has no business to do."""


class BrokenLawError(AssertionError):
    """A reader did something else than the law allows."""


class _HangError(BaseException):
    """Passes every ``except Exception``."""


class _Watch:
    """What the process does to files and programs while a case is tried, told by the interpreter itself."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.acts: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self.folder is None or threading.current_thread() is not threading.main_thread():
            return
        if event == "open":
            path, mode, flags = args
            if (flags or 0) & WRITING or (isinstance(mode, str) and set(mode) & set("wax+")):
                self._changes(event, path)
        elif event in CHANGES:
            for path in args[: 2 if event in ("os.rename", "os.link") else 1]:
                self._changes(event, path)
        elif event in RUNS:
            self.acts.append(f"{event} {args[:2]!r}"[:300])

    def _changes(self, event: str, path: Any) -> None:
        if isinstance(path, int):
            return
        place = os.path.abspath(os.fsdecode(path))
        if place != os.devnull and place != self.folder and not place.startswith(f"{self.folder}{os.sep}"):
            self.acts.append(f"{event} {place!r}")


_watch: _Watch | None = None


def judge(target: Target, case: Any, folder: Path) -> None:
    """Tries one case. folder: empty, and emptied again. Raises ``BrokenLawError``, or what the reader raised."""
    global _watch
    _watch = _watch or _Watch()
    room = folder / "room"
    room.mkdir(exist_ok=True)
    place = os.getcwd()
    os.chdir(room)
    before, started = _peak(reset=True), time.process_time()
    _watch.acts, _watch.folder = [], str(room)
    try:
        with _in_time(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.run(case, room)
    except InputError as error:
        _check_sentence(str(error), target.names)
    finally:
        _watch.folder = None
        os.chdir(place)
        left = _empty(room)
    if _watch.acts:
        raise BrokenLawError(f"{target.name}: {_watch.acts[0]}")
    strangers = [name for name in os.listdir(folder) if name != "room"]
    if strangers:
        raise BrokenLawError(f"{target.name}: wrote {strangers[0]!r} beside its folder")
    if halves := [name for name in left if name.endswith(".tmp")]:
        raise BrokenLawError(f"{target.name}: left {halves[0]!r} behind")
    if (seconds := time.process_time() - started) > SECONDS:
        raise BrokenLawError(f"{target.name}: took {seconds:.0f} s")
    if (grown := _peak() - before) > MEMORY:
        raise BrokenLawError(f"{target.name}: took {grown / 2**20:.0f} MiB")


def _check_sentence(sentence: str, names: str) -> None:
    if not sentence or not sentence.isprintable():
        raise BrokenLawError(f"not one line: {sentence!r}")
    if len(sentence) > LONGEST + 10:
        raise BrokenLawError(f"{len(sentence)} letters are no sentence: {sentence[:200]!r}")
    if one_line(names) not in sentence:
        raise BrokenLawError(f"does not name {names!r}: {sentence!r}")


@contextmanager
def _in_time() -> Iterator[None]:
    """Ends what takes too long, where it runs Python at all. Only a main thread can be interrupted."""

    def ring(*_: Any) -> None:
        raise _HangError

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    except _HangError:
        raise BrokenLawError(f"did not end within {SECONDS:g} s") from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _peak(reset: bool = False) -> int:
    """Bytes that the process has held at its peak since the last reset; 0 where the system does not tell."""
    try:
        if reset:
            with open("/proc/self/clear_refs", "w") as clear:
                clear.write("5")
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0


def _empty(folder: Path) -> list[str]:
    """Removes everything in a folder; returns the names that were there, with their folders."""
    found = []
    for path in sorted(folder.rglob("*"), reverse=True):
        found.append(str(path.relative_to(folder)))
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    return found
