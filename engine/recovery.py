"""What a run does about a step that was not finite: it keeps the step in files, or goes back to its last checkpoint.

Going back puts weights, moments, pools and random state of ``latest`` into the model, and saves them at once as those
of the place where the run stands: it goes on with the pictures that come next, the steps between are lost, and no
batch is taken twice. So what follows differs from what led there, and a run that is killed and continued stays the
same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from engine import step_dump
from engine.finite import Aftermath, Finding, FiniteCheck
from engine.method import is_finite
from engine.run import ReadyRun
from engine.run_folder import LATEST, restore
from engine.saving import Saver
from engine.schedule import Progress
from engine.step_dump import StepDump
from instagan.errors import InputError


def finite_check(run: ReadyRun, saver: Saver, warn: Callable[[str], None] | None) -> FiniteCheck:
    """The look at every step of a run, with ``--on_nan`` and all that follows from it. Every rank calls it."""
    options = run.resolved.values
    recovery = Recovery(run, saver)
    recovery.prepare()
    return FiniteCheck(run.model, run.world, options.on_nan, warn, options.on_nan_limit, recovery)


Mark = tuple[int, int, int] | None
"""Of a file: changes whenever another takes its place."""


class Recovery(Aftermath):
    """Of one start of a run. Keeps the first steps only, ``step_dump.MOST`` of them."""

    def __init__(self, run: ReadyRun, saver: Saver) -> None:
        self.run, self.saver, self.kept = run, saver, 0
        self._latest_then = _mark(self._latest)

    def prepare(self) -> None:
        """So that there is a checkpoint to go back to from the first step on."""
        if self.run.resolved.values.on_nan == "rollback":
            self.saver.save_latest(self.run.start)

    def keep(self, finding: Finding) -> str:
        """Rank 0 writes what all ranks were given. A full disk must not hide what was found."""
        pairs = self.run.world.all_gather_object(list(finding.pairs))
        self.kept += 1
        if not self.run.world.is_main or self.kept > step_dump.MOST:
            return ""
        folder = self.run.folder.path / "nonfinite" / f"step_{finding.before.steps + 1}"
        try:
            checkpoint, start = self._origin()
            dump = StepDump(start, finding.before, finding.losses, finding.refused, pairs, torch.get_rng_state())
            step_dump.write(folder, dump, self.run.folder.path / "options.yaml", checkpoint)
        except (OSError, InputError) as error:
            return f" (it could not be kept: {error})"
        return f" (make it again: scripts/replay_step.py {folder})"

    def go_back(self, now: Progress) -> str:
        run = self.run
        state = run.world.from_main(lambda: run.folder.load(LATEST))
        rates = {name: [group["lr"] for group in one.param_groups] for name, one in run.model.optimizers().items()}
        then = restore(state, run.model)
        for name, optimizer in run.model.optimizers().items():
            for group, rate in zip(optimizer.param_groups, rates[name], strict=True):
                group["lr"] = rate
        if is_finite(run.model):
            self.saver.save_latest(now)
        return f"the weights are again those of step {then.steps}, and the next pictures follow"

    @property
    def _latest(self) -> Path:
        return self.run.folder.checkpoint(LATEST)

    def _origin(self) -> tuple[Path | None, Progress]:
        """From what checkpoint, and from which place on, the steps until now can be made again."""
        if _mark(self._latest) == self._latest_then:  # nothing was saved since the start
            return self.run.origin, self.run.start
        return self._latest, Progress(**self.run.folder.load(LATEST)["progress"])


def _mark(path: Path) -> Mark:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
