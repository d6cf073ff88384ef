"""The runs of the ablation: each trained until it has had both the steps and the processor time, one file for each.

A run is looked at along the way, after once, twice, four times ... each budget, and goes on where it was stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks.ablations.measured import MeasuredTraining
from benchmarks.ablations.methods import METHODS, MOST_TRAINED, inferring
from benchmarks.ablations.validation import Validation
from data.shapes.writing import LEVELS, write_set
from engine.averaging import averaged
from engine.parallel import ALONE
from engine.run import ReadyRun
from instagan.errors import InputError
from instagan.io.writing import make_folder, write_whole
from options.build import make_ready

CONFIG = Path(__file__).resolve().parent.parent.parent / "configs" / "shapes.yaml"
PROTOCOL = 2
"""Version of what the figures mean; runs of another one are not mixed."""
COUNTS = (1, 2, 3, 4, 6, 8)
"""Instances of the validation pictures."""
STEPS, TIME = "steps", "time"
"""The two budgets: equally many training steps, equally much processor time."""
UNFINISHED = "training"
"""Folder beside the runs: their trainings, to go on from."""
KEEP_EVERY = 120.0
"""Seconds of training after which it is kept."""

LOOK = ("budget", "times", "steps", "seconds", "losses", "inference")
Look = dict[str, Any]
"""``budget``, ``times``: how many times the budget was spent; steps, seconds, losses, and by scheme of inference the
sums of ``Validation.look``."""
Run = dict[str, Any]
"""``settings``, ``method``, ``seed``, ``parameters`` of a generator, version of ``torch``; ``curve``: its looks. Once
it is read also ``times``: how often both budgets were spent, and ``looks``: those at that moment, by budget."""


@dataclass(frozen=True)
class Study:
    """What all runs share.

    size in pixels, ngf in channels; train, val: pictures of each domain; steps and seconds (of one processor core, in
    training alone): the two budgets; lr: the learning rate, from beginning to end; ema: of the generators' weights,
    whose averages are looked at, 0: the newest weights are
    """

    level: str
    size: int
    ngf: int
    train: int
    val: int
    steps: int
    seconds: float
    lr: float
    ema: float = 0.0

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
            "ngf": width, "ndf": width, "load_size": self.size, "fine_size": self.size, "seed": seed,
            "lr": self.lr, "lr_D": self.lr * METHODS[method].discriminator_rate,
            "max_dataset_size": self.train, "device": "cpu", "cache": "ram", "lambda_idt": 1.0, "ema": self.ema,
        }  # fmt: skip
        typed = [f"--{name}={value}" for name, value in flags.items()]
        return make_ready([*typed, *METHODS[method].flags, "--overwrite"], ALONE)

    def run(
        self,
        folder: Path,
        kept: Path,
        method: str,
        seed: int,
        times: int = 1,
        stop: Callable[[], object] = lambda: False,
    ) -> Run | None:
        """Trains until both budgets are spent so many times, and keeps what is found on the way; None once ``stop``.

        times: a power of two. Raises ``InputError`` if a loss is not finite.
        """
        ready = self.ready(folder, method, seed)
        validation, model = Validation.of(ready.resolved.values), ready.model
        make_folder(kept / UNFINISHED, "pass another --runs")
        training = MeasuredTraining(ready, kept / UNFINISHED / f"{method}-seed{seed}.pth")
        if _settings(training.notes.setdefault("settings", self.settings())) != self.settings():
            raise InputError(f"{training.file} is of a run with other settings; remove it, or choose another --runs")
        curve: list[Look] = training.notes.setdefault("curve", [])
        parameters = sum(weight.numel() for weight in model.networks["G_A"].parameters())
        run = {
            "settings": self.settings(), "method": method, "seed": seed, "parameters": parameters,
            "torch": torch.__version__.partition("+")[0], "curve": curve,
        }  # fmt: skip
        kept_at = training.seconds
        while True:
            due = self.due(training, curve)
            if due:
                schemes = {scheme: inferring(model, scheme) for scheme in METHODS[method].inference}
                with averaged(model):
                    found = {scheme: validation.look(twin) for scheme, twin in schemes.items()}
                    shown = Image.fromarray(validation.shown(schemes[METHODS[method].inference[0]]))
                for budget, spent in due:
                    curve.append({
                        "budget": budget, "times": spent, "steps": training.steps,
                        "seconds": round(training.seconds, 2), "losses": training.mean_losses(), "inference": found,
                    })  # fmt: skip
                    keep_picture(picture_file(kept, method, seed, budget), shown)
            done, stopping = times_of(curve) >= times, bool(stop())
            if due or stopping or training.seconds >= kept_at + KEEP_EVERY:
                training.keep()
                kept_at = training.seconds
            if (due or done) and times_of(curve):
                keep(run_file(kept, method, seed), run)
            if done or stopping:
                return at(run, times) if done else None
            training.step()

    def due(self, training: MeasuredTraining, curve: Sequence[Look]) -> list[tuple[str, int]]:
        """Budgets that are spent, and how many times, where nobody has looked yet."""
        spent = {STEPS: training.steps / self.steps, TIME: training.seconds / self.seconds}
        seen = {budget: [look["times"] for look in curve if look["budget"] == budget] for budget in spent}
        upcoming = {budget: 2 * max(times) if times else 1 for budget, times in seen.items()}
        return [(budget, times) for budget, times in upcoming.items() if spent[budget] >= times]


def times_of(curve: Sequence[Look]) -> int:
    """How many times both budgets were spent; 0 if one was not even once."""
    spent = [{look["times"] for look in curve if look["budget"] == budget} for budget in (STEPS, TIME)]
    return max(spent[0] & spent[1], default=0)


def at(run: Run, times: int) -> Run:
    """The run as it was when both budgets had been spent so many times."""
    looks = {look["budget"]: look for look in run["curve"] if look["times"] == times}
    return run | {"times": times, "looks": looks}


def counts_of(level: str) -> list[int]:
    """Instances of the validation pictures, in turn: those that the level has."""
    return [count for count in COUNTS if count <= LEVELS[level].largest_count]


def run_file(kept: Path, method: str, seed: int) -> Path:
    return kept / f"{method}-seed{seed}.json"


def picture_file(kept: Path, method: str, seed: int, budget: str) -> Path:
    return kept / f"{method}-seed{seed}-{budget}.png"


def originals_file(kept: Path) -> Path:
    return kept / "originals.png"


def finished(file: Path, settings: Mapping[str, Any], times: int) -> Run | None:
    """The run in a file, if it has spent its budgets so many times. Raises ``InputError`` if it is of another study."""
    if not file.exists():
        return None
    run = read_run(file)
    theirs = run["settings"]
    different = [name for name, value in settings.items() if theirs.get(name) != value]
    if different:
        told = ", ".join(f"{name} {theirs.get(name)}" for name in different)
        raise InputError(f"{file} holds a run with {told}; pass the same flags, or choose another --runs")
    return run if run["times"] >= times else None


def _settings(known: Mapping[str, Any]) -> dict[str, Any]:
    """Also those of a version without averages."""
    return {"ema": 0.0, **known}


def read_run(file: Path) -> Run:
    """As it was last. Raises ``InputError`` for what is none."""
    try:
        run = json.loads(file.read_text(encoding="utf-8"))
        run["settings"] = _settings(run["settings"])
        if "curve" not in run:  # of a version that looked once at each budget
            run["curve"] = [{"budget": budget, "times": 1, **look} for budget, look in run.pop("looks").items()]
        schemes = set(METHODS[run["method"]].inference)
        whole = (set(LOOK) <= look.keys() and schemes <= look["inference"].keys() for look in run["curve"])
        if not times_of(run["curve"]) or not all(whole):
            raise ValueError
        names = ("settings", "method", "seed", "parameters", "torch", "curve")
        return at({name: run[name] for name in names}, times_of(run["curve"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
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


def cells(methods: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[str, int]]:
    """Seed by seed, so that a study that is stopped early has something on every method."""
    for seed in seeds:
        for method in methods:
            yield method, seed
