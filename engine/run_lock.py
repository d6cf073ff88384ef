"""Who trains in a run's folder: one process at a time, known by its host, number and start."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock

from engine.durable import ANOTHER, flush
from engine.launch import launch_name, restarted
from instagan.errors import InputError
from instagan.io.writing import not_written


@dataclass(frozen=True)
class Owner:
    """A process. birth: what tells it from a later one with its number, empty where the system does not say."""

    host: str
    pid: int
    birth: str
    since: str
    launch: str = ""

    @classmethod
    def this(cls) -> Owner:
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        return cls(socket.gethostname(), os.getpid(), _birth(os.getpid()), now, launch_name())

    def is_same(self, other: Owner) -> bool:
        return (self.host, self.pid, self.birth) == (other.host, other.pid, other.birth)

    def is_gone(self) -> bool:
        """Whether it was a process of this host, and has ended."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            pass  # somebody else's
        now = _birth(self.pid)
        return now == _ENDED or bool(now and self.birth and now != self.birth)


class RunLock:
    """``lock.json`` in a run's folder. What a killed process left is taken over; what another host left is not."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def take(self) -> str:
        """Makes this process the owner until ``release``, or its end; returns a sentence on one that was killed.

        Raises ``InputError`` if another process trains there, or may do so. A process may take it again.
        """
        me = Owner.this()
        with _alone(self.path):
            found = self.path.read_bytes() if self.path.exists() else b""
            owner = _parsed(found)
            if owner and not (owner.is_same(me) or owner.is_gone() or (restarted() and owner.launch == me.launch)):
                raise InputError(self._refusal(owner))
            self.path.write_text(json.dumps(asdict(me)))
            flush(self.path)
        atexit.register(self.release)
        if not found or (owner and owner.is_same(me)):
            return ""
        who = f"process {owner.pid} on {owner.host}, started {owner.since}," if owner else "an earlier process"
        return (
            f"{self.path.parent}: {who} exited without releasing the lock (killed or crashed); its lock is taken over"
        )

    def is_held(self) -> bool:
        """Whether this process is the owner still."""
        try:
            owner = _parsed(self.path.read_bytes())
        except OSError:
            return False
        return bool(owner and owner.is_same(Owner.this()))

    def release(self) -> None:
        """Removes the lock if it is this process's."""
        atexit.unregister(self.release)
        with contextlib.suppress(OSError):
            if self.is_held():
                self.path.unlink()

    def _refusal(self, owner: Owner) -> str:
        who = f"process {owner.pid} on {owner.host} since {owner.since}"
        if owner.host == socket.gethostname():
            return f"{self.path.parent} is being trained by {who}; wait for it, stop it, or choose another --name"
        return (
            f"{self.path.parent} is locked by {who}, another machine, which cannot be asked from here whether it still "
            f"trains; if it does not, remove {self.path}, else choose another --name"
        )


_ENDED = "ended"


def _birth(pid: int) -> str:
    """When a process of this machine began, as Linux counts; "ended" for one that only waits to be forgotten."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (OSError, ValueError):
        return ""
    return _ENDED if state in "ZX" else f"{boot}:{rest[18]}"


def _parsed(content: bytes) -> Owner | None:
    """None for what a process left that was killed while it wrote."""
    try:
        told = json.loads(content)
        return Owner(str(told["host"]), int(told["pid"]), str(told["birth"]), str(told["since"]), str(told["launch"]))
    except (ValueError, TypeError, KeyError):
        return None


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other process of this machine is between reading and writing the file. Raises ``InputError``."""
    with contextlib.ExitStack() as stack:
        try:
            with contextlib.suppress(NotImplementedError):  # a file system without locks
                stack.enter_context(FileLock(path.with_name(f".{path.name}.guard")))
            yield
        except OSError as error:
            raise not_written(path, error, ANOTHER) from None
