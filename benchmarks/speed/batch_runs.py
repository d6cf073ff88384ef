"""The runs that the study of batch sizes compares: trained until the demo's figures are good, and kept in a file."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.demo_figures import GOOD, Validation, good
from benchmarks.speed.measuring import clocked, interleave
from data.shapes.writing import write_set
from engine.optimizer import set_learning_rates
from engine.parallel import ALONE
from engine.run import ReadyRun
from engine.schedule import due
from engine.update import Update
from instagan.errors import InputError
from instagan.io.writing import write_whole
from options.build import learning_rate, make_ready

CONFIG = Path(__file__).resolve().parent.parent.parent / "configs" / "shapes.yaml"
REACHED, MISSED, DIVERGED = "good", "not good", "diverged"
"""How a run ends."""

Run = dict[str, Any]
"""``ended``; ``pictures`` and ``steps`` by then; ``looks``: pictures, steps and both directions' figures at each."""


@dataclass(frozen=True)
class Cell:
    """What one run has for itself."""

    batch_size: int
    lr: float
    seed: int
    epochs: int

    def __str__(self) -> str:
        return f"batch {self.batch_size}, lr {self.lr:.3g}, seed {self.seed}, {self.epochs} epochs"


@dataclass(frozen=True)
class Study:
    """What all runs share: sizes in pixels and channels, pictures of each domain, pictures between looks."""

    size: int
    ngf: int
    train: int
    val: int
    every: int
    device: str

    @classmethod
    def of(cls, options: Namespace) -> Study:
        return cls(**{name: getattr(options, name) for name in cls.__dataclass_fields__})

    def settings(self) -> dict[str, Any]:
        """What decides on the outcome of a run."""
        return {name: value for name, value in asdict(self).items() if name != "device"} | GOOD

    def draw(self, folder: Path) -> None:
        """The data set of all runs; its pictures are the first ones of the demo's."""
        write_set(folder / "shapes", 0, {"train": self.train, "val": self.val}, self.size)

    def ready(self, folder: Path, cell: Cell) -> ReadyRun:
        """What train.py would make of the demo's config: the rate falls linearly in the second half of the epochs."""
        flags = {
            "config": CONFIG, "dataroot": folder / "shapes", "checkpoints_dir": folder, "name": str(cell),
            "batch_size": cell.batch_size, "lr": cell.lr, "seed": cell.seed, "ngf": self.ngf, "ndf": self.ngf,
            "load_size": self.size, "fine_size": self.size, "max_dataset_size": self.train, "device": self.device,
            "niter": cell.epochs - cell.epochs // 2, "niter_decay": cell.epochs // 2,
        }  # fmt: skip
        return make_ready([*(f"--{name}={value}" for name, value in flags.items()), "--overwrite"], ALONE)

    def run(self, folder: Path, cell: Cell) -> Run:
        """Trains to the last epoch, or until the figures are good in both directions, or a loss is not finite."""
        run = self.ready(folder, cell)
        validation = Validation.of(run.resolved.values, run.device)
        progress, looks = run.start, list[dict[str, Any]]()
        while progress.epoch <= cell.epochs:
            for read in run.updates(progress):
                update = read.to(run.device)
                set_learning_rates(run.model.optimizers(), learning_rate(run.resolved.values, progress))
                run.model.training_step(update)
                losses = update.losses()
                before, progress = progress, progress.after_batch(update.pair_count)
                last = progress.pictures >= cell.epochs * run.loader.pictures
                if not (due(self.every, before, progress) or last):
                    continue
                reached = {"pictures": progress.pictures, "steps": progress.steps}
                if not torch.stack(list(losses.values())).isfinite().all():
                    return {"ended": DIVERGED, **reached, "looks": looks}
                both = validation.figures(run.model)
                looks.append(reached | {way: asdict(figures) for way, figures in both.items()})
                if good(both):
                    return {"ended": REACHED, **reached, "looks": looks}
            progress = progress.next_epoch()
        return {"ended": MISSED, **reached, "looks": looks}

    def seconds_per_step(self, folder: Path, sizes: Sequence[int], repeats: int) -> dict[int, list[float]]:
        """Batch size -> the mean of each turn. A turn is as many pictures as the largest batch holds."""
        steps = {size: max(max(sizes) // size, 1) for size in sizes}

        def turn(size: int) -> Callable[[], None]:
            run = self.ready(folder, Cell(size, 1e-4, 0, 1))
            ready = updates_of(run)

            def take() -> None:
                for _ in range(steps[size]):
                    update = next(ready)
                    run.model.training_step(update)
                    torch.stack(list(update.losses().values())).tolist()  # by then a GPU has done the step

            return take

        taken = interleave({str(size): clocked(turn(size)) for size in sizes}, repeats)
        return {size: [seconds / steps[size] for seconds in taken[str(size)]] for size in sizes}


def updates_of(run: ReadyRun) -> Iterator[Update]:
    """What train.py would make its steps on, epoch after epoch without an end."""
    progress = run.start
    while True:
        for update in run.updates(progress):
            yield update.to(run.device)
        progress = progress.next_epoch()


def finished(file: Path, settings: Mapping[str, Any]) -> dict[Cell, Run]:
    """The runs that a file holds already, none if there is no file. Raises ``InputError`` if it holds anything else."""
    if not file.exists():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        theirs = dict(found["settings"])
        runs = {Cell(*(run.pop(name) for name in ("batch_size", "lr", "seed", "epochs"))): run for run in found["runs"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"--json {file} holds something else than a study of batches; choose another file") from None
    different = [name for name, value in settings.items() if theirs.get(name) != value]
    if different:
        told = ", ".join(f"{name} {theirs.get(name)}" for name in different)
        raise InputError(f"--json {file} holds a study with {told}; pass the same, or choose another file")
    return runs


def as_list(runs: Mapping[Cell, Run]) -> list[dict[str, Any]]:
    """For --json."""
    return [asdict(cell) | run for cell, run in runs.items()]


def keep(file: Path, settings: Mapping[str, Any], runs: Mapping[Cell, Run]) -> None:
    """Writes the runs so far, the whole file or none of it. Raises ``InputError`` if it cannot."""
    figures = {"command": "batches", "settings": settings, "runs": as_list(runs)}
    write_whole(file, lambda scratch: scratch.write_text(json.dumps(figures, indent=1)), "pass another --json")
