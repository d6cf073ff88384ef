"""From a command line to a run that is ready to train, on every rank."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch

from data.loading import TrainingLoader
from engine.device import choose_device, prepare, workers
from engine.execution import build_model
from engine.global_batch import GlobalBatch, rounds
from engine.opening import Fits, Opened, open_run
from engine.parallel import World
from engine.run_folder import RunFolder, restore
from engine.schedule import Progress, due
from engine.trial import Tell, Trial
from instagan.errors import InputError
from instagan.kernels.processor import read_cpuinfo, slow_bf16
from instagan.structures.instances import UnpairedBatch
from models.translation_model import TranslationModel
from options.build import training_dataset
from options.parse import Resolved, parse_training


@dataclass(frozen=True)
class ReadyRun:
    """What the training loop works with. ``summaries``: a line on each domain. ``start``: where the run goes on,
    ``origin``: the checkpoint from which, None at a run's beginning. ``notes``: what was found when it was opened.
    ``trial``: what rank 0 evaluates on the way.

    A context, at the end of which the run's folder is free for others."""

    world: World
    resolved: Resolved
    device: torch.device
    model: TranslationModel
    loader: TrainingLoader
    folder: RunFolder
    summaries: list[str]
    start: Progress
    origin: Path | None
    notes: tuple[str, ...]
    unread: Unread
    trial: Trial | None

    def __enter__(self) -> ReadyRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.folder.lock.release()

    @property
    def about(self) -> tuple[frozenset[str], Path, Progress, int, int]:
        """What trackers want to know: changed options, folder, where the run starts, pairs of an epoch, ranks."""
        return self.resolved.changed, self.folder.path, self.start, self.loader.pictures, self.world.size

    def rounds(
        self, progress: Progress, wish: Callable[[], int], warn: Callable[[str], None] | None = None
    ) -> Iterator[tuple[Sequence[UnpairedBatch], GlobalBatch]]:
        """What the steps still to come in an epoch work on, see ``engine.global_batch.rounds``.

        warn: is told once of each picture that ``--skip_bad`` leaves out. Raises ``InputError`` where they are many.
        """
        options, steps = self.resolved.values, self.loader.steps(progress.epoch, progress.in_epoch)
        return rounds(
            self.world, steps, options.accumulate, options.batch_size, wish, lambda new: self.unread.tell(new, warn)
        )

    def evaluate(self, before: Progress, now: Progress, tell: Tell | None) -> None:
        """The evaluation that is due between two moments, if any: by rank 0, which tells; the others wait for it."""
        if due(self.resolved.values.eval_freq, before, now):
            with self.world.unison():
                if self.trial and tell:
                    self.trial.run(self.model, self.device, self.folder, now, tell)


class Unread:
    """Pictures that ``--skip_bad`` has left out since the start: each is told of once, and there may be so many."""

    def __init__(self, limit: int) -> None:
        self.limit, self.known = limit, set[str]()

    def tell(self, sentences: Sequence[str], warn: Callable[[str], None] | None) -> None:
        """The same on all ranks. Raises ``InputError`` with the sentence that is one too many."""
        for sentence in sentences:
            if sentence not in self.known:
                self.known.add(sentence)
                if len(self.known) > self.limit:
                    raise InputError(
                        f"{sentence}; these are more than the {self.limit} pictures that --skip_bad_limit allows to "
                        "leave out: mend them, then go on with --continue_train"
                    )
                if warn:
                    warn(f"{sentence}; left out, {len(self.known)} of at most {self.limit}")


def make_ready(argv: Sequence[str] | None, world: World) -> ReadyRun:
    """Rank 0 reads the command line, the run's folder and its checkpoint for all; pictures are read by every rank.

    Raises ``InputError`` on all ranks where one of them cannot go on.
    """
    return ready(world.from_leader(lambda: parse_training(argv)), world, open_run)


def ready(resolved: Resolved, world: World, opened: Callable[[RunFolder, Resolved, Fits], Opened]) -> ReadyRun:
    """A run with these options. opened: called by rank 0 alone, once all else is there. Raises as ``make_ready``."""
    options = resolved.values
    with world.unison():
        device = choose_device(options)
        prepare(device, options)
        dataset, summaries = training_dataset(options)
        trial = Trial.of(options, device) if options.eval_freq and world.leads else None
        model = build_model(options, device)
    slow = slow_bf16(options.precision, device.type, read_cpuinfo())
    summaries += [f"warning: {slow}"] if slow else []
    loader = TrainingLoader(
        dataset,
        options.batch_size,
        workers(options),
        pin_memory=device.type == "cuda",
        accumulate=options.accumulate,
        rank=world.rank,
        ranks=world.size,
    )
    folder = RunFolder(Path(options.checkpoints_dir), options.name)
    try:
        found = world.from_leader(lambda: opened(folder, resolved, lambda state: restore(state, model)))
        start = restore(found.state, model) if found.state else Progress(epoch=options.epoch_count)
        world.share(model)
    except BaseException:
        folder.lock.release()
        raise
    unread = Unread(options.skip_bad_limit)
    return ReadyRun(
        world, resolved, device, model, loader, folder, summaries, start, found.origin, found.notes, unread, trial
    )
