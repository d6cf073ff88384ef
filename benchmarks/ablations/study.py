"""The runs of the ablation: each trained until it has had both the steps and the processor time, one file for each."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.ablations.methods import METHODS, MOST_TRAINED, inferring
from benchmarks.ablations.validation import Validation
from data.shapes.writing import LEVELS, write_set
from engine.parallel import ALONE
from engine.run import ReadyRun
from engine.update import Losses, Update
from instagan.errors import InputError
from instagan.io.writing import write_whole
from options.build import make_ready

CONFIG = Path(__file__).resolve().parent.parent.parent / "configs" / "shapes.yaml"
PROTOCOL = 1
"""Version of what the figures mean; runs of another one are not mixed."""
COUNTS = (1, 2, 3, 4, 6, 8)
"""Instances of the validation pictures."""
STEPS, TIME = "steps", "time"
"""The two budgets: equally many training steps, equally much processor time."""
LAST_LOSSES = 50
"""Steps before a look whose losses are averaged."""

Run = dict[str, Any]
"""``settings``, ``method``, ``seed``, ``parameters`` of a generator, version of ``torch``; ``looks``: by budget steps,
seconds, losses, and by scheme of inference the sums of ``Validation.look``."""


@dataclass(frozen=True)
class Study:
    """What all runs share.

    size in pixels, ngf in channels; train, val: pictures of each domain; steps and seconds (of one processor core, in
    training alone): the two budgets; lr: the learning rate, from beginning to end
    """

    level: str
    size: int
    ngf: int
    train: int
    val: int
    steps: int
    seconds: float
    lr: float

    def settings(self) -> dict[str, Any]:
        """What decides on the outcome of a run."""
        return {"protocol": PROTOCOL} | asdict(self)

    def draw(self, folder: Path) -> Path:
        """The data set of all runs, and where it is."""
        instances = {"train": range(1, MOST_TRAINED + 1), "val": counts_of(self.level)}
        write_set(folder / "shapes", 0, {"train": self.train, "val": self.val}, self.size, self.level, instances)
        return folder / "shapes"

    def ready(self, folder: Path, method: str, seed: int) -> ReadyRun:
        """What train.py would make of the flags, on the CPU."""
        width = METHODS[method].width(self.ngf)
        flags = {
            "config": CONFIG, "dataroot": folder / "shapes", "checkpoints_dir": folder, "name": f"{method}-{seed}",
            "ngf": width, "ndf": width, "load_size": self.size, "fine_size": self.size, "lr": self.lr, "seed": seed,
            "max_dataset_size": self.train, "device": "cpu", "cache": "ram", "lambda_idt": 1.0,
        }  # fmt: skip
        typed = [f"--{name}={value}" for name, value in flags.items()]
        return make_ready([*typed, *METHODS[method].flags, "--overwrite"], ALONE)

    def run(self, folder: Path, kept: Path, method: str, seed: int) -> Run:
        """Trains, looks when a budget is used up, and keeps the translations that the figure shows.

        Raises ``InputError`` if a loss is not finite.
        """
        ready = self.ready(folder, method, seed)
        validation, model = Validation.of(ready.resolved.values), ready.model
        looks: dict[str, Any] = {}
        pictures: dict[str, Image.Image] = {}
        reported: list[Losses] = []
        taken, seconds, ready_updates = 0, 0.0, _updates(ready)
        while len(looks) < 2:
            started = time.process_time()
            update = next(ready_updates)
            model.training_step(update)
            losses = update.losses()
            seconds += time.process_time() - started
            taken += 1
            reported = [*reported[1 - LAST_LOSSES :], losses]
            reached = {STEPS: taken >= self.steps, TIME: seconds >= self.seconds}
            due = [budget for budget, is_reached in reached.items() if is_reached and budget not in looks]
            if due:
                means = _means(reported, method)
                schemes = {scheme: inferring(model, scheme) for scheme in METHODS[method].inference}
                found = {scheme: validation.look(twin) for scheme, twin in schemes.items()}
                shown = Image.fromarray(validation.shown(schemes[METHODS[method].inference[0]]))
                for budget in due:
                    looks[budget] = {
                        "steps": taken, "seconds": round(seconds, 2), "losses": means, "inference": found,
                    }  # fmt: skip
                    pictures[budget] = shown
        for budget, shown in pictures.items():
            keep_picture(picture_file(kept, method, seed, budget), shown)
        parameters = sum(weight.numel() for weight in model.networks["G_A"].parameters())
        return {
            "settings": self.settings(), "method": method, "seed": seed, "parameters": parameters,
            "torch": torch.__version__.partition("+")[0], "looks": looks,
        }  # fmt: skip


def counts_of(level: str) -> list[int]:
    """Instances of the validation pictures, in turn: those that the level has."""
    return [count for count in COUNTS if count <= LEVELS[level].largest_count]


def run_file(kept: Path, method: str, seed: int) -> Path:
    return kept / f"{method}-seed{seed}.json"


def picture_file(kept: Path, method: str, seed: int, budget: str) -> Path:
    return kept / f"{method}-seed{seed}-{budget}.png"


def originals_file(kept: Path) -> Path:
    return kept / "originals.png"


def finished(file: Path, settings: Mapping[str, Any]) -> Run | None:
    """The run in a file, if there is one. Raises ``InputError`` if it is of another study, or none."""
    if not file.exists():
        return None
    run = read_run(file)
    theirs = run["settings"]
    different = [name for name, value in settings.items() if theirs.get(name) != value]
    if different:
        told = ", ".join(f"{name} {theirs.get(name)}" for name in different)
        raise InputError(f"{file} holds a run with {told}; pass the same flags, or choose another --runs")
    return run


def read_run(file: Path) -> Run:
    """Raises ``InputError`` for what is none."""
    try:
        run = json.loads(file.read_text(encoding="utf-8"))
        if set(run["looks"]) != {STEPS, TIME} or not isinstance(run["settings"], dict):
            raise ValueError
        return {name: run[name] for name in ("settings", "method", "seed", "parameters", "torch", "looks")}
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{file} is not a run of the ablation; remove it, or choose another --runs") from None


def read_references(file: Path) -> dict[str, list[dict[str, Any]]]:
    """The sums of known translations; none if there is no such file. Raises ``InputError`` for what is none."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}
    except (OSError, ValueError, TypeError):
        raise InputError(f"{file} is broken; remove it and a run, and start again") from None


def keep(file: Path, content: Mapping[str, Any]) -> None:
    """As json, the whole file or none of it. Raises ``InputError`` if it cannot."""
    keep_text(file, json.dumps(content) + "\n")


def keep_text(file: Path, text: str) -> None:
    """Writes the whole file or none of it. Raises ``InputError`` if it cannot."""
    write_whole(file, lambda scratch: scratch.write_text(text, encoding="utf-8"))


def keep_picture(file: Path, picture: Image.Image) -> None:
    """Writes the whole png file or none of it. Raises ``InputError`` if it cannot."""
    write_whole(file, lambda scratch: picture.save(scratch, "PNG", optimize=True))


def _means(reported: Sequence[Losses], method: str) -> dict[str, float]:
    """Of each loss over the steps. Raises ``InputError`` if one is not finite."""
    names = dict.fromkeys(name for losses in reported for name in losses)
    means = {name: torch.stack([losses[name] for losses in reported if name in losses]).mean().item() for name in names}
    for name, mean in means.items():
        if not np.isfinite(mean):
            raise InputError(f"the loss {name} of {method} is not finite; lower --lr")
    return {name: round(mean, 4) for name, mean in means.items()}


def cells(methods: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[str, int]]:
    """Seed by seed, so that a study that is stopped early has something on every method."""
    for seed in seeds:
        for method in methods:
            yield method, seed


def _updates(run: ReadyRun) -> Iterator[Update]:
    """What train.py would make its steps on, epoch after epoch without an end."""
    progress = run.start
    while True:
        for update in run.updates(progress):
            yield update.to(run.device)
        progress = progress.next_epoch()
