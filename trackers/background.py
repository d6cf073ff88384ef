"""A tracker that works in a thread of its own, so that training waits for no disk and no drawing."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable

from engine.schedule import Progress
from instagan.threads import beside
from trackers import Losses, Paths, Pictures, Tracker

PENDING = 64
"""Calls that may wait for the thread; more are dropped."""

CLOSE_SECONDS = 10.0
"""How long ``close`` waits for what is pending: a disk that answers needs less than one."""


class Background:
    """Passes each call on to a tracker, in order, from a thread. ``warn`` is told once if the tracker cannot write, and
    once if it cannot keep up. A mistake in the tracker, anything but an ``OSError``, is raised by the next call."""

    def __init__(self, tracker: Tracker, warn: Callable[[str], None]) -> None:
        self._tracker, self._warn, self._warned = tracker, warn, set[str]()
        self._mistake: list[BaseException] = []
        self._work: queue.Queue[Callable[[], None] | None] = queue.Queue(PENDING)
        self._name = type(tracker).__name__
        self._thread = beside(self._do_all, self._name)
        self._thread.start()

    def losses(self, progress: Progress, losses: Losses, facts: Losses) -> None:
        self._offer(lambda: self._tracker.losses(progress, losses, facts))

    def pictures(self, progress: Progress, pictures: Pictures, paths: Paths) -> None:
        moved = {  # from their device while it is training's turn
            source: {name: batch.detach().to("cpu") for name, batch in batches.items()}
            for source, batches in pictures.items()
        }
        self._offer(lambda: self._tracker.pictures(progress, moved, paths))

    def close(self) -> None:
        with contextlib.suppress(queue.Full):
            self._work.put(self._tracker.close, timeout=CLOSE_SECONDS / 2)
            self._work.put(None, timeout=CLOSE_SECONDS / 2)
            self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive() and not self._mistake:
            self._say("did not end in time; the end of its record may be missing")
        self._raise_mistake()

    def _offer(self, work: Callable[[], None]) -> None:
        self._raise_mistake()
        try:
            self._work.put_nowait(work)
        except queue.Full:
            self._say("cannot keep up; training does not wait, its record has gaps")

    def _do_all(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except OSError as error:
                self._say(f"could not write ({error}); training goes on, its record has a gap", "write")
            except BaseException as error:
                self._mistake.append(error)
                return
            del work  # holds pictures

    def _say(self, what: str, kind: str = "late") -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            self._warn(f"warning: {self._name} {what}")

    def _raise_mistake(self) -> None:
        if self._mistake:
            raise self._mistake[0]
