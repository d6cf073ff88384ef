"""The folder of a run, ``checkpoints/<name>/``: what lies where, saved so that a crash never leaves half a file.

options.yaml      the options, usable as ``--config``     latest.pth, best.pth, 5.pth, iter_20000.pth   checkpoints
loss_log.jsonl    one line per logged step                latest.pth.previous                 what latest was before
web/index.html    the page                                lock.json                           who trains it now
best.json         what made best.pth the best             starts.jsonl                        what every start changed
"""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml

from engine.checkpoint_state import misfit, unfit
from engine.durable import ANOTHER, flush, keep, link, move, remove, write_durably
from engine.launch import launch_name
from engine.method import Method, described_translators, load_networks, load_state, state_of
from engine.run_lock import RunLock
from engine.schedule import Progress
from instagan.errors import InputError
from instagan.io.options_file import OPTIONS, flat_yaml, inference_options, options_of
from instagan.io.sealed import fault, save_sealed
from instagan.io.tensor_files import glance, read_checkpoint, translating_networks
from instagan.io.writing import make_folder, not_written, scratch_of

FORMAT = 1
ALWAYS = ("dataset_mode", "direction", "seed", "resize_or_crop", "fine_size_w", "fine_size_h")
"""Options without which no run was ever saved."""

LATEST, BEST = "latest", "best"


def checkpoint_tag(options: Namespace) -> str:
    """The name of the checkpoint that ``--epoch`` or ``--load_iter`` asks for."""
    return f"iter_{options.load_iter}" if options.load_iter else str(options.epoch)


class RunFolder:
    """Paths, options and checkpoints of one run."""

    def __init__(self, checkpoints_dir: Path, name: str) -> None:
        self.path = checkpoints_dir / name
        self.name = name
        self.lock = RunLock(self.path / "lock.json")

    @property
    def loss_log(self) -> Path:
        return self.path / "loss_log.jsonl"

    @property
    def best_note(self) -> Path:
        return self.path / f"{BEST}.json"

    @property
    def starts(self) -> Path:
        return self.path / "starts.jsonl"

    def checkpoint(self, tag: str) -> Path:
        return self.path / f"{tag}.pth"

    @property
    def previous(self) -> Path:
        """What ``latest`` was before, for the case that it is damaged; another name of a file of the same size."""
        return self.path / f"{LATEST}.pth.previous"

    @property
    def refused(self) -> Path:
        """A ``latest`` that could not be used, put aside."""
        return self.path / f"{LATEST}.pth.refused"

    def tags(self) -> list[str]:
        """Names of the checkpoints that there are."""
        return sorted(found.stem for found in self.path.glob("*.pth"))

    def numbered(self) -> list[str]:
        """Names of those that tell when they were saved: 5, iter_20000."""
        return [tag for tag in self.tags() if tag.removeprefix("iter_").isdecimal()]

    def is_begun(self) -> bool:
        """Whether there is a checkpoint of any name."""
        return bool(self.tags()) or self.previous.exists()

    def is_bare(self) -> bool:
        """Whether its first start was killed before it had told its options: there is nothing to go on from."""
        return self.path.is_dir() and not self.is_begun() and not (self.path / OPTIONS).exists()

    def steps_told(self, path: Path) -> int:
        """How far a checkpoint says that its run had come, after a glance at it; -1 if it does not say."""
        try:
            return int(glance(path)["progress"]["steps"])
        except (InputError, OSError, KeyError, TypeError, ValueError, RecursionError):
            return -1

    def clear(self) -> None:
        """Removes what an earlier run of this name left: checkpoints, logs, page, TensorBoard's events, dumps."""
        for path in (*self.path.glob("*.pth"), self.previous, self.refused, self.loss_log, self.starts, self.best_note):
            path.unlink(missing_ok=True)
        for folder in ("web", "tensorboard", "nonfinite"):
            shutil.rmtree(self.path / folder, ignore_errors=True)

    def create(self) -> None:
        make_folder(self.path, "pass another --checkpoints_dir")

    def save_options(self, options: Namespace) -> None:
        """Everything but where the options came from, as a file that ``--config`` reads back."""
        kept = {name: value for name, value in sorted(vars(options).items()) if value is not None}
        text = yaml.safe_dump(
            {name: value for name, value in kept.items() if name not in ("config", "continue_train", "overwrite")}
        )
        write_durably(self.path / OPTIONS, lambda path: path.write_text(text))

    def saved_options(self) -> dict[str, Any]:
        """What ``save_options`` wrote; nothing where it cannot be read."""
        return options_of(self.path)

    def read_options(self) -> dict[str, Any]:
        """What ``save_options`` wrote. Raises ``InputError`` naming the runs there are, if there is no such run."""
        try:
            saved = flat_yaml((self.path / OPTIONS).read_text(encoding="utf-8"))
        except FileNotFoundError:
            folder = self.path.parent
            runs = sorted(path.parent.name for path in folder.glob(f"*/{OPTIONS}"))
            there = f"there are: {', '.join(runs)}" if runs else f"there is none in {folder}"
            raise InputError(f"--name {self.name}: no such run; {there}") from None
        except OSError as error:
            raise InputError(f"{self.path / OPTIONS} cannot be read ({error.strerror})") from None
        except ValueError:
            saved = {}
        if not {"model", *ALWAYS} <= saved.keys():
            raise InputError(
                f"{self.path / OPTIONS} is damaged; write it again by starting train.py on this run"
            )
        return saved

    def save(self, tags: list[str], model: Method, progress: Progress) -> None:
        """Writes one checkpoint under all of its names, ``latest`` last, each complete or not there at all.

        It says what translates in each direction, so that the file alone suffices for that. Raises ``InputError`` where
        it cannot be written; what was there before is there still.
        """
        options = inference_options(self.path / OPTIONS)
        state = {
            "format": FORMAT,
            "options": options,
            "translators": described_translators(model, options.get("direction", "AtoB")),
            "progress": asdict(progress),
            "launch": launch_name(),
            "random": {"torch": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()},
            **state_of(model),
        }
        latest = self.checkpoint(LATEST)
        scratch = scratch_of(latest)
        try:
            save_sealed(state, scratch)
            flush(scratch)
            for tag in tags:
                if tag != LATEST:
                    link(scratch, self.checkpoint(tag))
            if LATEST in tags:
                keep(latest, self.previous)
                move(scratch, latest)
        except (OSError, RuntimeError) as error:
            raise not_written(self.checkpoint(tags[0]), error, ANOTHER) from error
        finally:
            remove(scratch)

    def repair(self, options: Namespace) -> None:
        """Makes the folder again if it has vanished since the start. Raises ``InputError`` if another run is in it."""
        if not self.lock.is_held():
            self.create()
            self.lock.take()
            self.save_options(options)

    def make_room(self) -> None:
        """Lets go of what ``latest`` was before, if ``latest`` is whole."""
        try:
            if not fault(self.checkpoint(LATEST)):
                remove(self.previous)
        except OSError:
            return

    def keep_newest(self, count: int) -> None:
        """Removes all but so many of the numbered checkpoints, by when they were written."""
        numbered = map(self.checkpoint, self.numbered())
        for path in sorted(numbered, key=lambda path: (path.stat().st_mtime_ns, len(path.stem), path.stem))[:-count]:
            remove(path)

    def save_best(self, note: Mapping[str, Any]) -> None:
        """What made the checkpoint ``best`` the best: metric, value, step ..."""
        write_durably(self.best_note, lambda path: path.write_text(json.dumps(note, indent=1) + "\n"))

    def read_best(self, metric: str) -> dict[str, Any] | None:
        """The same, if there is a best checkpoint and it was chosen by this metric."""
        try:
            note = json.loads(self.best_note.read_text())
        except (OSError, ValueError):
            return None
        chosen = isinstance(note, dict) and note.get("metric") == metric and isinstance(note.get("value"), float)
        return note if chosen and self.checkpoint(BEST).exists() else None

    def load(self, tag: str) -> dict[str, Any]:
        """A checkpoint's state on the CPU; never runs code from the file. Raises ``InputError`` naming the file."""
        return self.load_file(self.checkpoint(tag))

    def load_file(self, path: Path) -> dict[str, Any]:
        """As ``load``; ``file`` in the state tells where it is from."""
        try:
            state = read_checkpoint(path)
            wrong = unfit(state, FORMAT)
        except FileNotFoundError:
            there = f"there are: {', '.join(self.tags())}" if self.tags() else f"{self.path} holds none"
            raise InputError(f"{path}: no such checkpoint; {there}") from None
        except RecursionError:
            wrong = "is not a checkpoint of a run"
        if wrong:
            raise InputError(f"{path} {wrong}; load another with --epoch")
        if "batches" in state["progress"]:  # of a single process, before there were several
            size = self.saved_options().get("batch_size", 1)
            state["progress"]["in_epoch"] = state["progress"].pop("batches") * size
        return {**state, "file": str(path)}


def restore(state: dict[str, Any], model: Method) -> Progress:
    """Puts a loaded checkpoint into a model that is on its device, restores torch's random state, returns progress."""
    _fit(load_state, state, model)
    try:
        torch.set_rng_state(state["random"]["torch"])
        if len(state["random"]["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["random"]["cuda"])
        return Progress(**state["progress"])
    except (RuntimeError, KeyError, TypeError) as error:
        raise InputError(
            f"{_file(state)} is damaged (it does not tell where the run stood: {error}); load another with --epoch"
        ) from None


def restore_networks(state: dict[str, Any], model: Method) -> None:
    """Puts the weights of a loaded checkpoint that translate, and nothing else, into a model.

    Discriminators may be missing: published weights often come without, and translating needs none.
    """
    own = {name: network.state_dict() for name, network in model.networks.items() if name.startswith("D")}
    given = translating_networks(state)
    if missing := [name for name in model.networks if name not in {**own, **given}]:
        raise InputError(
            f"the weights of {missing[0]} are missing; put the file *_net_{missing[0]}.pth beside the other"
        )
    whole = {**state, "networks": {**own, **given}}
    _fit(load_networks, whole, model)


def _fit(load: Callable[[Method, dict[str, Any]], None], state: dict[str, Any], model: Method) -> None:
    try:
        difference = misfit(state, model)
        if not difference:
            load(model, state)
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        difference = str(error).partition("\n")[0]
    if difference:
        raise InputError(f"{_file(state)} does not fit the networks ({difference})")


def _file(state: dict[str, Any]) -> str:
    return str(state.get("file", "the checkpoint"))
