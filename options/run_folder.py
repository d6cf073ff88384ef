"""The folder of a run, ``checkpoints/<name>/``: what lies where, saved so that a crash never leaves half a file.

options.yaml      the options, usable as ``--config``     latest.pth, best.pth, 5.pth, iter_20000.pth   checkpoints
loss_log.jsonl    one line per logged step                web/index.html                      the page
best.json         what made best.pth the best

For translating, a folder may hold published weights instead: latest_net_G_A.pth, latest_net_G_B.pth.
"""

from __future__ import annotations

import json
import os
import shutil
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml

from instagan.errors import InputError
from instagan.translation.trained import published_networks, published_options, read_options
from models.base_model import TranslationModel
from models.schedule import Progress
from options.launch import launch_name
from options.saved_options import flat_yaml

FORMAT = 1
ALWAYS = ("dataset_mode", "direction", "seed", "resize_or_crop", "fine_size_w", "fine_size_h")
"""Options without which no run was ever saved."""

LATEST, BEST = "latest", "best"


class RunFolder:
    """Paths, options and checkpoints of one run."""

    def __init__(self, checkpoints_dir: Path, name: str) -> None:
        self.path = checkpoints_dir / name
        self.name = name

    @property
    def loss_log(self) -> Path:
        return self.path / "loss_log.jsonl"

    @property
    def best_note(self) -> Path:
        return self.path / f"{BEST}.json"

    def checkpoint(self, tag: str) -> Path:
        return self.path / f"{tag}.pth"

    def tags(self) -> list[str]:
        """Names of the checkpoints that there are."""
        return sorted(found.stem for found in self.path.glob("*.pth"))

    def clear(self) -> None:
        """Removes what an earlier run of this name left: checkpoints, what made one the best, logs, page, dumps."""
        for path in (*self.path.glob("*.pth"), self.loss_log, self.best_note):
            path.unlink(missing_ok=True)
        for folder in ("web", "tensorboard", "nonfinite"):
            shutil.rmtree(self.path / folder, ignore_errors=True)

    def create(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path} cannot be made ({error.strerror}); pass another --checkpoints_dir") from None

    def save_options(self, options: Namespace) -> None:
        """Everything but where the options came from, as a file that ``--config`` reads back."""
        kept = {name: value for name, value in sorted(vars(options).items()) if value is not None}
        text = yaml.safe_dump(
            {name: value for name, value in kept.items() if name not in ("config", "continue_train", "overwrite")}
        )
        _write(self.path / "options.yaml", lambda path: path.write_text(text))

    def read_options(self) -> dict[str, Any]:
        """What ``save_options`` wrote, or what can be seen of published weights: less than all options.

        Raises ``InputError`` naming the runs there are, if there is no such run.
        """
        try:
            saved = flat_yaml((self.path / "options.yaml").read_text(encoding="utf-8"))
        except FileNotFoundError:
            if published := published_options(self.path):
                return published
            folder = self.path.parent
            runs = sorted(path.parent.name for path in folder.glob("*/options.yaml"))
            there = f"there are: {', '.join(runs)}" if runs else f"there is none in {folder}"
            raise InputError(f"--name {self.name}: no such run; {there}") from None
        except OSError as error:
            raise InputError(f"{self.path / 'options.yaml'} cannot be read ({error.strerror})") from None
        except ValueError:
            saved = {}
        if not {"model", *ALWAYS} <= saved.keys():
            raise InputError(
                f"{self.path / 'options.yaml'} is damaged; write it again by starting train.py on this run"
            )
        return saved

    def save(self, tags: list[str], model: TranslationModel, progress: Progress) -> None:
        """Writes one checkpoint under all of its names, each complete or not there at all.

        It keeps those of the run's options that say how to translate, so that the file alone suffices for that.
        """
        state = {
            "format": FORMAT,
            "options": read_options(self.path / "options.yaml"),
            "progress": asdict(progress),
            "launch": launch_name(),
            "random": {"torch": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()},
            **model.state(),
        }
        first, *others = tags
        _write(self.checkpoint(first), lambda path: torch.save(state, path))
        for tag in others:
            _write(self.checkpoint(tag), lambda path: _link(self.checkpoint(first), path))

    def save_best(self, note: Mapping[str, Any]) -> None:
        """What made the checkpoint ``best`` the best: metric, value, step ..."""
        _write(self.best_note, lambda path: path.write_text(json.dumps(note, indent=1) + "\n"))

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
        path = self.checkpoint(tag)
        if not path.exists() and (published := published_networks(self.path, tag)):
            return {"format": FORMAT, "networks": published, "progress": {"steps": "not told"}}
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            there = f"there are: {', '.join(self.tags())}" if self.tags() else f"{self.path} holds none"
            raise InputError(f"{path}: no such checkpoint; {there}") from None
        except Exception as error:  # reading a damaged pickle can raise anything
            reason = str(error).strip().partition("\n")[0][:100]
            raise InputError(f"{path} is damaged or not a checkpoint ({reason}); load another with --epoch") from None
        if not isinstance(state, dict) or "networks" not in state:
            raise InputError(f"{path} is not a checkpoint of a run; load another with --epoch")
        if state.get("format") != FORMAT:
            raise InputError(
                f"{path} has format {state.get('format')}, this version reads {FORMAT}; use the matching one"
            )
        return state


def restore(state: dict[str, Any], model: TranslationModel) -> Progress:
    """Puts a loaded checkpoint into a model that is on its device, restores torch's random state, returns progress."""
    if "optimizers" not in state:
        raise InputError(
            "published weights alone cannot be trained on; make a run of them first with scripts/convert_checkpoint.py"
        )
    _fit(model.load_state, state)
    torch.set_rng_state(state["random"]["torch"])
    if len(state["random"]["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["random"]["cuda"])
    return Progress(**state["progress"])


def restore_networks(state: dict[str, Any], model: TranslationModel) -> None:
    """Puts the weights of a loaded checkpoint, and nothing else, into a model: what translating needs.

    Discriminators may be missing: published weights often come without, and translating needs none.
    """
    own = {name: network.state_dict() for name, network in model.networks.items() if name.startswith("D")}
    given = state["networks"]
    if missing := [name for name in model.networks if name not in {**own, **given}]:
        raise InputError(
            f"the weights of {missing[0]} are missing; put the file *_net_{missing[0]}.pth beside the other"
        )
    _fit(model.load_networks, {**state, "networks": {**own, **given}})


def _fit(load: Callable[[dict[str, Any]], None], state: dict[str, Any]) -> None:
    try:
        load(state)
    except (RuntimeError, KeyError, ValueError) as error:
        raise InputError(f"the checkpoint does not fit the networks ({str(error).partition(chr(10))[0]})") from None


def _write(path: Path, write: Any) -> None:
    """Writes beside the path, waits for the disk, then renames: readers see the old file or the new one."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(scratch)
        _flush(scratch)
        os.replace(scratch, path)
        _flush(path.parent)
    except (OSError, RuntimeError) as error:  # torch.save raises the second where the disk is full
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise InputError(f"{path} cannot be written ({reason}); make room or pass another folder") from None
    finally:
        scratch.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _link(source: Path, path: Path) -> None:
    """A second name for the same bytes; a copy where the file system has no links."""
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)
