"""Notices a direction whose translated masks have all become empty, which losses hardly tell."""

from __future__ import annotations

from dataclasses import dataclass

from engine.schedule import Progress
from trackers import Pictures

STEPS = 200
"""So long all masks that are looked at must have been empty: at the beginning they often are for a while."""
LOOKS = 5
"""And so often, where few steps are looked at."""


class EmptyMasks:
    """Looks at the pictures of some steps. A method that gives back the masks that it got never has empty ones."""

    def __init__(self) -> None:
        self._streaks: dict[str, _Streak] = {}  # by translated batch

    def look(self, now: Progress, pictures: Pictures) -> list[str]:
        """A sentence for each direction whose masks have now been empty for so long: once each time it happens.

        Waits for the device.
        """
        found = []
        for source, shown in pictures.items():
            for name, batch in shown.items():
                if not name.startswith("fake_") or batch.given_masks is None or not batch.present.any():
                    continue
                if (batch.given_masks > 0).any():
                    self._streaks.pop(name, None)
                    continue
                streak = self._streaks.setdefault(name, _Streak(now.steps))
                streak.looks += 1
                if not streak.told and streak.looks >= LOOKS and now.steps - streak.since >= STEPS:
                    streak.told = True
                    found.append(
                        f"warning: since step {streak.since} all masks translated from domain {source} are empty; such "
                        "a training seldom recovers: look at its images, and start again with another --seed"
                    )
        return found


@dataclass
class _Streak:
    since: int
    looks: int = 0
    told: bool = False
