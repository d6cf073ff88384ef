"""Between the training loop and the trackers: what is due when, and the only place where a step waits for numbers."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor

from engine.schedule import Progress, due
from engine.update import Update
from instagan.errors import InputError
from instagan.structures.instances import UnpairedBatch
from trackers import Pictures, Tracker, Trackers, loss_log
from trackers.background import Background
from trackers.console import Console
from trackers.empty_masks import EmptyMasks
from trackers.tensorboard import TensorBoard
from trackers.visdom_window import VisdomWindow
from trackers.web_page import WebPage


class Loggers:
    """Tells a run's trackers of the steps that are due: losses every ``print_freq`` pictures, pictures by tracker.

    What is due at an update that is not whole is told at the next one that is. Losses stay on their device until they
    are told. A context: leaving it closes every tracker.
    """

    def __init__(
        self, console: Console, trackers: list[tuple[Tracker, int]], print_freq: int, start: Progress, owed: bool
    ) -> None:
        """trackers: each with its frequency of pictures, 0 for none. owed: losses were due before the start."""
        self.console, self.print_freq = console, print_freq
        self.all = Trackers([console, *(tracker for tracker, _ in trackers)], console.message)
        self.keeping = Trackers([tracker for tracker, _ in trackers], console.message)
        self.showing = [
            (Trackers([tracker], console.message), frequency) for tracker, frequency in trackers if frequency
        ]
        self.since, self.pictures_then, self.waited = time.perf_counter(), start.pictures, 0.0
        self.owed = {"losses": owed} | dict.fromkeys(map(str, range(len(self.showing))), False)
        self.newest: tuple[Progress, UnpairedBatch, Mapping[str, Tensor], Pictures] | None = None
        self.empty_masks = EmptyMasks()

    @classmethod
    def from_options(
        cls, options: Namespace, changed: Collection[str], folder: Path, start: Progress, size: int, ranks: int = 1,
        titles: Mapping[str, str] | None = None,
    ) -> Loggers:  # fmt: skip
        """Opens the trackers that the options ask for. size: pairs of an epoch; titles: of validation metrics, by name.

        Raises ``InputError``.
        """
        epochs = options.niter + options.niter_decay
        total = start.pictures + size * (epochs - start.epoch + 1) - start.in_epoch
        if options.max_steps:
            steps = options.max_steps - start.steps
            total = min(total, start.pictures + steps * ranks * options.accumulate * options.batch_size)
        log, history = _continued(folder / "loss_log.jsonl", start)
        console = Console(max(total, 0), start.pictures, epochs)
        trackers: list[tuple[Tracker, int]] = [(log, 0)]

        def add(name: str, frequency: int, make: Callable[[], Tracker]) -> None:
            try:
                trackers.append((Background(make(), console.message), frequency))
            except OSError as error:
                console.message(f"warning: {name} cannot be opened ({error}); training goes on without")

        if not options.no_html:
            about = options.name, vars(options), changed, start, history, options.display_winsize, titles
            add("the web page", options.update_html_freq, lambda: WebPage(folder / "web", *about))
        if options.display_id > 0:
            window = VisdomWindow(
                options.display_server, options.display_port, options.display_env, options.display_id,
                options.display_ncols, options.name, history=history, warn=console.message,
            )  # fmt: skip
            trackers.append((window, options.display_freq))
        if options.tensorboard:
            add("TensorBoard", options.display_freq, lambda: TensorBoard(folder / "tensorboard", start))
        told = Progress(pictures=history[-1]["pictures"] if history else start.pictures)
        return cls(console, trackers, options.print_freq, start, due(options.print_freq, told, start))

    def step(
        self, before: Progress, now: Progress, pair: UnpairedBatch, losses: Mapping[str, Tensor], update: Update,
        rates: dict[str, float], data_wait: float,
    ) -> None:  # fmt: skip
        """One training step is done: ``before`` -> ``now``. data_wait: seconds for which it waited for its batch."""
        self.waited += data_wait
        self.console.advance(now)
        frequencies = {"losses": self.print_freq} | {str(n): often for n, (_, often) in enumerate(self.showing)}
        self.owed = {what: self.owed[what] or due(often, before, now) for what, often in frequencies.items()}
        if not update.whole:
            self.newest = self.newest or (now, pair, losses, {})
            return
        self.newest = now, pair, losses, update.pictures
        if self.owed["losses"]:
            count, moment = now.pictures - self.pictures_then, time.perf_counter()
            values = {name: loss.item() for name, loss in losses.items()}
            facts = {"seconds_per_picture": (moment - self.since) / count, "data_wait": self.waited / count}
            self.all.losses(now, values, rates | facts)
            for warning in self.empty_masks.look(now, update.pictures):
                self.message(warning)
            self.since, self.pictures_then, self.waited = time.perf_counter(), now.pictures, 0.0
        for number, (trackers, _) in enumerate(self.showing):
            if self.owed[str(number)]:
                trackers.pictures(now, update.pictures, dict(pair.paths))
        self.owed = dict.fromkeys(self.owed, False)

    def evaluated(self, now: Progress, figures: dict[str, float], remark: str, seconds: float) -> None:
        """Figures of validation pictures, which took so long that training did not go on meanwhile."""
        self.keeping.losses(now, {f"{loss_log.VALIDATION}{name}": value for name, value in figures.items()}, {})
        self.since += seconds
        values = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        self.message(f"validation at step {now.steps}: {values} ({remark}; {seconds:.1f} s)")

    def message(self, text: str) -> None:
        self.console.message(text)

    def newest_losses(self) -> str:
        """The losses of the last step in words, for the end of a run that was too short to have logged any."""
        losses = self.newest[2] if self.newest else {}
        return ", ".join(f"{name} {loss.item():.3g}" for name, loss in losses.items())

    def __enter__(self) -> Loggers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Shows the last step's pictures, so that the page of a short run is not empty, and closes the trackers."""
        if self.newest and self.newest[3]:
            now, pair, _, pictures = self.newest
            for trackers, _ in self.showing:
                trackers.pictures(now, pictures, dict(pair.paths))
        self.all.close()


def _continued(path: Path, start: Progress) -> tuple[loss_log.LossLog, list[dict[str, Any]]]:
    """The loss log, open, and its lines up to where the run goes on. Raises ``InputError``: no run does without it."""
    try:
        loss_log.drop_after(path, start.steps)
        return loss_log.LossLog(path), loss_log.read(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); check its permissions, or pass another --checkpoints_dir"
        ) from None
