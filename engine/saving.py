"""When a run is saved; a save that fails is tried again, then reported, and training goes on."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path

from engine.method import is_finite
from engine.run import ReadyRun
from engine.run_folder import LATEST
from engine.schedule import Progress, due
from engine.stop_request import OTHER_WISHES
from instagan.errors import InputError

PAUSES = (0.0, 0.2, 1.0)
"""Seconds before each try; a disk that is full for a moment is a matter of seconds."""
LATER = 60.0
"""Seconds of training before it is tried again."""
SAVE = OTHER_WISHES
"""Rank 0's wish for a save, beside the number of a signal in what the ranks tell each other before a step."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Saver:
    """The checkpoints of one start of a run, written by rank 0; all ranks agree on the step after which it is done.

    A save in between that fails costs a warning. Only the last one (``finish``) must succeed.
    """

    def __init__(self, run: ReadyRun, warn: Callable[[str], None] | None) -> None:
        """warn: tells the user something, on rank 0."""
        self.run, self.options, self.warn = run, run.resolved.values, warn or _ignore
        self._saved_at = time.monotonic()
        self._retry_at: float | None = None
        self._newest = run.start if run.origin else None
        self._saved: Progress | None = None

    @classmethod
    def of(cls, run: ReadyRun, warn: Callable[[str], None] | None) -> Saver:
        """Also tells what was found when the run was opened."""
        saver = cls(run, warn)
        for note in run.notes:
            saver.warn(note)
        return saver

    def wish(self) -> int:
        """``SAVE`` where it is time for ``--save_minutes``, or to try again; else 0. Rank 0's clock decides for all."""
        now, minutes = time.monotonic(), self.options.save_minutes
        often = minutes > 0 and now - self._saved_at >= 60 * minutes
        again = self._retry_at is not None and now >= self._retry_at
        return SAVE if self.run.world.is_main and (often or again) else 0

    def due(self, before: Progress, now: Progress, wishes: int) -> bool:
        """Whether to save after a step, the same on all ranks. wishes: what they told each other before it."""
        return due(self.options.save_latest_freq, before, now) or bool(wishes & SAVE)

    def save(self, now: Progress) -> None:
        self._attempt(now, LATEST, *([f"iter_{now.pictures}"] if self.options.save_by_iter else []))

    def epoch_done(self, now: Progress) -> None:
        """now: where the next epoch begins."""
        epoch = now.epoch - 1
        if self.options.save_epoch_freq and epoch % self.options.save_epoch_freq == 0:
            self._attempt(now, LATEST, str(epoch))

    def finish(self, now: Progress) -> Path:
        """The run ends here: its checkpoint. Raises ``InputError`` on all ranks if that cannot be saved."""
        latest = self.run.folder.checkpoint(LATEST)
        with self.run.world.raising_together():
            if self._saved == now and latest.exists():
                return latest
            if problem := self._tries(now, LATEST):
                raise InputError(f"{problem}; {self._left()}")
        return latest

    def rescue(self, now: Progress) -> None:
        """The run ends with an error, which is what the user must read: finite weights are saved if possible."""
        if is_finite(self.run.model):
            self.save_latest(now)

    def save_latest(self, now: Progress) -> None:
        """``latest`` alone, when it is not due but what follows relies on it."""
        self._attempt(now, LATEST)

    def _attempt(self, now: Progress, *tags: str) -> None:
        if problem := self._tries(now, *tags):
            self._retry_at = time.monotonic() + LATER
            again = f"{len(PAUSES)} tries at step {now.steps}, the next in {LATER:.0f} s"
            self.warn(f"warning: {problem}; {again}; training goes on, {self._left()}")

    def _tries(self, now: Progress, *tags: str) -> InputError | None:
        """Saves, on rank 0; what was wrong with the last try if none succeeded."""
        problem: InputError | None = None
        for pause in PAUSES if self.run.world.is_main else ():
            time.sleep(pause)
            try:
                if problem and _no_room(problem):
                    self.run.folder.make_room()
                self.run.folder.repair(self.options)
                self.run.folder.save(list(tags), self.run.model, now)
            except InputError as error:
                problem = error
                continue
            if self.options.keep_last:
                self.run.folder.keep_newest(self.options.keep_last)
            self._newest, self._saved, self._retry_at, problem = now, now, None, None
            break
        self._saved_at = time.monotonic()
        return problem

    def _left(self) -> str:
        return f"the newest checkpoint is of step {self._newest.steps}" if self._newest else "there is no checkpoint"


def _no_room(problem: InputError) -> bool:
    return isinstance(problem.__cause__, OSError) and problem.__cause__.errno in NO_ROOM


def _ignore(text: str) -> None:
    """Other ranks than 0 say nothing."""
