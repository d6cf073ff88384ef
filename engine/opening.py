"""A run's folder is opened for training: it is locked, and what is to be gone on from is found in it."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.durable import link, not_written, remove_scratches
from engine.launch import launch_name, restarted
from engine.run_folder import BEST, LATEST, RunFolder, checkpoint_tag
from engine.starts import Sizes, changes, data_change, log_start, sentence
from instagan.errors import InputError

State = dict[str, Any]
Fits = Callable[[State], object]
"""Tries a state out. Raises ``InputError`` if the model that is to be trained is another."""


@dataclass(frozen=True)
class Opened:
    """state: to go on from, None for a beginning. notes: what the user should know of how it was found."""

    state: State | None
    notes: tuple[str, ...] = ()

    @property
    def origin(self) -> Path | None:
        """The checkpoint from which; None at a run's beginning."""
        return Path(self.state["file"]) if self.state else None


def open_run(
    run: RunFolder, options: Namespace, changed: Collection[str], fits: Fits, data: Sizes | None = None
) -> Opened:
    """Makes or continues a run's folder, which is this process's until ``run.lock`` is released.

    changed: the names of the options that differ from their defaults. data: the size of each domain, which is logged
    and compared. A process that torchrun started again goes on from what it saved before, whatever else the flags say.
    Raises ``InputError`` rather than overwrite the checkpoints of an earlier run, unless ``--overwrite``.
    """
    run.create()
    notes = [run.lock.take()]
    remove_scratches(run.path)
    opened = _after_restart(run, fits) or _as_asked(run, options, changed, fits)
    if opened.state is None:
        run.clear()
    earlier = run.saved_options() if opened.state else {}
    different = changes(earlier, vars(options), changed)
    run.save_options(options)
    notes += [*opened.notes, sentence(different), data_change(run.starts, data or {}) if opened.state else ""]
    notes = [note for note in notes if note]
    log_start(run.starts, opened.state, different, notes, data)
    return Opened(opened.state, tuple(notes))


def _after_restart(run: RunFolder, fits: Fits) -> Opened | None:
    if not restarted() or not run.is_begun():
        return None
    opened = _newest(run, fits)
    return opened if opened.state and opened.state.get("launch") == launch_name() else None


def _as_asked(run: RunFolder, options: Namespace, changed: Collection[str], fits: Fits) -> Opened:
    tag = checkpoint_tag(options)
    if options.continue_train and (run.is_begun() or tag != LATEST):
        opened = _newest(run, fits) if tag == LATEST else Opened(_tried(run.load(tag), fits))
        assert opened.state is not None
        if "epoch_count" in changed:
            opened.state["progress"] |= {"epoch": options.epoch_count, "in_epoch": 0}
        return opened
    if run.is_begun() and not options.overwrite:
        raise InputError(
            f"{run.path} holds a run already (checkpoints: {', '.join(run.tags())}); go on with --continue_train, "
            "choose another --name, or delete it with --overwrite"
        )
    return Opened(None)


def _newest(run: RunFolder, fits: Fits) -> Opened:
    """``latest``, or else the newest checkpoint that is whole and fits. ``latest`` is then another name of that."""
    try:
        return Opened(_tried(run.load(LATEST), fits))
    except InputError as error:
        refused = error
    tried = 0
    for path in _others(run):
        tried += 1
        try:
            state = _tried(run.load_file(path), fits)
        except InputError:
            continue
        aside = _put_aside(run, path)
        why = str(refused).removesuffix("; load another with --epoch")
        return Opened(state, (f"warning: {why}; going on from {path}, step {state['progress']['steps']}{aside}",))
    more = f"; nor can one of the {tried} others there be used" if tried else ""
    raise InputError(f"{refused}{more}")


def _tried(state: State, fits: Fits) -> State:
    fits(state)
    return state


def _others(run: RunFolder) -> Iterator[Path]:
    """Checkpoints beside ``latest``, those of more steps first."""
    paths = [*map(run.checkpoint, (*run.numbered(), BEST)), run.previous]
    yield from sorted((path for path in paths if path.exists()), key=run.steps_told, reverse=True)


def _put_aside(run: RunFolder, chosen: Path) -> str:
    """Were a refused file left as ``latest``, the next save would keep it instead of one that is whole."""
    latest, aside = run.checkpoint(LATEST), ""
    try:
        if latest.exists():
            os.replace(latest, run.refused)
            aside = f"; the file that was refused is now {run.refused.name}"
        link(chosen, latest)
    except OSError as error:
        raise not_written(latest, error) from None
    return aside
