"""What watches a run: each tracker is told the losses and pictures of a moment and shows or keeps them in its way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from engine.schedule import Progress
from instagan.structures.instances import InstanceBatch

Losses = Mapping[str, float]
Pictures = Mapping[str, Mapping[str, InstanceBatch]]
"""Source domain -> name of the batch (real, translated, reconstructed ...) -> R pictures; in the order of showing."""

Paths = Mapping[str, tuple[str, ...]]
"""Source domain -> the R files that its pictures were read from."""


class Tracker(Protocol):
    """The contract of a tracker. It raises ``OSError`` at most, and only when it cannot write its files."""

    def losses(self, progress: Progress, losses: Losses, facts: Losses) -> None:
        """Losses by name and facts of the moment (learning rate, seconds per picture ...); any names may be missing."""

    def pictures(self, progress: Progress, pictures: Pictures, paths: Paths) -> None:
        """Pictures of the moment; a batch may have any number of rows and slots."""

    def close(self) -> None:
        """The run has ended, for whatever reason. Returns within a few seconds, whatever hangs."""


class Trackers:
    """All trackers of a run as one. A tracker that cannot write is named once on ``warn``; the run goes on."""

    def __init__(self, trackers: Sequence[Tracker], warn: Callable[[str], None]) -> None:
        self._trackers = tuple(trackers)
        self._warn = warn
        self._warned: set[int] = set()

    def losses(self, progress: Progress, losses: Losses, facts: Losses) -> None:
        for number, tracker in enumerate(self._trackers):
            self._guarded(number, tracker.losses, progress, losses, facts)

    def pictures(self, progress: Progress, pictures: Pictures, paths: Paths) -> None:
        for number, tracker in enumerate(self._trackers):
            self._guarded(number, tracker.pictures, progress, pictures, paths)

    def close(self) -> None:
        for number, tracker in enumerate(self._trackers):
            self._guarded(number, tracker.close)

    def _guarded(self, number: int, call: Callable[..., None], *told: object) -> None:
        try:
            call(*told)
        except OSError as error:
            if number not in self._warned:
                name = type(self._trackers[number]).__name__
                self._warn(f"warning: {name} could not write ({error}); training goes on, its record has a gap")
            self._warned.add(number)
