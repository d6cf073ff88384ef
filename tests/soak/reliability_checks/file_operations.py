"""Every operation on a run's files, seen from outside: a process can be killed, or refused, at any one of them."""

from __future__ import annotations

import builtins
import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGING = ("replace", "rename", "link", "unlink", "mkdir", "fsync")
"""Functions of ``os`` that change what a disk holds, or wait for it."""

Meet = Callable[[str, str, str], object]
"""Called with "before", "half" or "after", the operation's name, and the file's. It may raise, or never return."""


class Operations:
    """Watches the operations of this process on files below a folder, from the first save on.

    A save begins when a file of a checkpoint is opened to be written. Writing tells of its half as well: by then the
    first half of what was to be written is in the file.
    """

    def __init__(self, folder: Path, meet: Meet, at_once: bool = False) -> None:
        self.folder, self.meet, self.saving = str(folder), meet, at_once
        self.names: dict[int, str] = {}

    def watch(self) -> None:
        """From now on, in this process, for good."""
        for name in CHANGING:
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        os.open = self._opening(os.open)  # type: ignore[assignment]
        io.open = builtins.open = self._open(io.open)  # type: ignore[assignment]

    def _is_ours(self, path: object) -> bool:
        if not isinstance(path, str | os.PathLike):
            return isinstance(path, int) and path in self.names
        name = os.fspath(path)
        return isinstance(name, str) and os.path.abspath(name).startswith(self.folder)

    def _tell(self, moment: str, name: str, path: object) -> None:
        if self.saving:
            file = self.names.get(path, "?") if isinstance(path, int) else os.path.basename(os.fspath(path))  # type: ignore[call-overload]
            self.meet(moment, name, str(file))

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def told(path: Any, *more: Any, **named: Any) -> Any:
            if not self._is_ours(path):
                return call(path, *more, **named)
            self._tell("before", name, path)
            result = call(path, *more, **named)
            self._tell("after", name, path)
            return result

        return told

    def _opening(self, call: Callable[..., int]) -> Callable[..., int]:
        def told(path: Any, *more: Any, **named: Any) -> int:
            handle = call(path, *more, **named)
            if self._is_ours(path):
                self.names[handle] = os.path.basename(os.path.abspath(path))
            return handle

        return told

    def _open(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def told(path: Any, mode: str = "r", buffering: int = -1, *more: Any, **named: Any) -> Any:
            if isinstance(path, int) or not self._is_ours(path) or not set(mode) & set("wax+"):
                return call(path, mode, buffering, *more, **named)
            name = os.path.basename(os.fspath(path))
            self.saving = self.saving or ".pth" in name
            self._tell("before", "open", path)
            file = _Raw(self, str(path), mode) if buffering == 0 else call(path, mode, buffering, *more, **named)
            self.names[file.fileno()] = name
            self._tell("after", "open", path)
            return file

        return told


class _Raw(io.FileIO):
    """A file without a buffer whose writes are told of."""

    def __init__(self, operations: Operations, path: str, mode: str) -> None:
        super().__init__(path, mode.replace("b", ""))
        self.operations, self.path = operations, path

    def write(self, content: Any) -> int:
        view = memoryview(content)
        self.operations._tell("before", "write", self.path)
        half = super().write(view[: len(view) // 2])
        self.operations._tell("half", "write", self.path)
        rest = super().write(view[half:])
        self.operations._tell("after", "write", self.path)
        return half + rest


def killing(number: int) -> Meet:
    """Ends this process, as SIGKILL does, at the operation of that number, from 0."""
    met = [0]

    def meet(moment: str, name: str, file: str) -> None:
        if met[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        met[0] += 1

    return meet


def noting(place: Path) -> Meet:
    """Writes a line on every operation."""
    handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    return lambda moment, name, file: os.write(handle, f"{moment} {name} {file}\n".encode())
