"""The terminal: a tqdm bar over the run's pictures with the losses, and messages that do not break it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TextIO

from tqdm import tqdm

from engine.schedule import Progress
from instagan.errors import one_line
from trackers import Losses, Paths, Pictures

LAYOUT = "{desc}{percentage:3.0f}%|{bar:12}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]{postfix}"
QUIET_SECONDS = 30.0
"""Seconds between two lines where nobody watches a terminal: a log file gets a line now and then, not a flood."""


class Console:
    """A bar from ``done`` to ``total`` pictures over all epochs: share, speed, time left, and the newest losses.

    On anything but a terminal the bar becomes a plain line every half minute.
    """

    def __init__(self, total: int, done: int = 0, epochs: int | None = None, stream: TextIO | None = None) -> None:
        self._stream = _Surviving(sys.stderr if stream is None else stream)
        watched = self._stream.isatty()
        self._of_epochs = "" if epochs is None else f"/{epochs}"
        self._bar: tqdm = tqdm(
            total=total,
            initial=done,
            unit=" pictures",
            bar_format=LAYOUT,
            dynamic_ncols=watched,
            ncols=None if watched else 0,
            mininterval=0.2 if watched else QUIET_SECONDS,
            maxinterval=10.0 if watched else QUIET_SECONDS,
            file=self._stream if watched else _Lines(self._stream),
        )

    def advance(self, progress: Progress) -> None:
        """Moves the bar; called after every step and cheap enough for it."""
        self._bar.set_description_str(f"epoch {progress.epoch}{self._of_epochs}: ", refresh=False)
        self._bar.update(progress.pictures - self._bar.n)

    def losses(self, progress: Progress, losses: Losses, facts: Losses) -> None:
        values = " ".join(f"{name} {value:.3g}" for name, value in losses.items())
        self._bar.set_postfix_str(values, refresh=False)
        self.advance(progress)

    def pictures(self, progress: Progress, pictures: Pictures, paths: Paths) -> None:
        """A terminal shows no pictures."""

    def message(self, text: str) -> None:
        """Prints a line above the bar; callable from any thread."""
        tqdm.write(one_line(text), file=self._stream)
        self._stream.flush()

    def close(self) -> None:
        self._bar.close()


class _Surviving:
    """A stream that may go away with its terminal or reader, or have no room: it is written to until then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lost = stream, False

    def write(self, text: str) -> None:
        self._attempt(lambda: self._stream.write(text))

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def isatty(self) -> bool:
        return not self._stream.closed and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)  # tqdm asks for its encoding and number

    def _attempt(self, call: Callable[[], object]) -> None:
        try:
            if not self._lost:
                call()
        except (OSError, ValueError):  # the second from one that is closed
            self._lost = True


class _Lines:
    """A stream for tqdm that ends each state of the bar with a newline instead of returning to the line's start."""

    def __init__(self, stream: _Surviving) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        state = text.strip("\r\n ")
        if state:
            self._stream.write(state + "\n")

    def flush(self) -> None:
        self._stream.flush()
