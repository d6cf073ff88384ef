"""One run of a study: trained until its budgets are used up, and what it translates with each of them.

The work folder of a study has the run's checkpoints as train.py makes them, a json that tells what was spent, and the
translations as test.py names them. A run that was killed goes on from its last checkpoint, and becomes, update for
update, what it would have been.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.ablations.study import keep
from benchmarks.speed.peak import most_resident
from benchmarks.studies.images import VALIDATION, entries_of
from benchmarks.studies.plan import SECONDS, UPDATES, Plan
from data.collate import collate_domain
from data.results import ResultFolder
from engine.device import choose_device, wait_for
from engine.optimizer import set_learning_rates
from engine.parallel import ALONE
from engine.run import ReadyRun
from engine.run_folder import LATEST, RunFolder
from engine.schedule import Progress
from engine.update import Update
from evaluation.pictures import STYLE_SEED, WARM_UP
from instagan.errors import InputError
from options.build import learning_rate, make_ready, trained_model
from options.parse import parse_testing

SAVE_SECONDS = 30.0
"""Of training between two saves: so much is lost at most where a study is killed."""

Tell = Callable[[str], None]


def cell_name(method: str, seed: int) -> str:
    return f"{method}-seed{seed}"


def work_folder(runs: Path) -> Path:
    return runs / "work"


def translations(runs: Path, method: str, seed: int, budget: str) -> Path:
    return work_folder(runs) / cell_name(method, seed) / budget


@dataclass
class Account:
    """What a run has spent. seconds: by number of steps of a checkpoint; looks: by budget, what is known of it."""

    settings: dict[str, Any]
    seconds: dict[int, float] = field(default_factory=lambda: {0: 0.0})
    looks: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path, settings: dict[str, Any]) -> Account:
        """A new one where there is no file. Raises ``InputError`` where it is of other settings."""
        if not file.exists():
            return cls(settings)
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            seconds = {int(steps): float(spent) for steps, spent in told["seconds"].items()}
            found = cls(told["settings"], seconds, dict(told["looks"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"{file} is no account of a run; remove it, and the run is trained again") from None
        check_settings(file, found.settings, settings)
        return found

    def go_back(self, steps: int) -> float:
        """Forgets what was spent after a checkpoint of so many steps; returns the seconds until then.

        Raises ``InputError`` where nothing is known of it.
        """
        if steps not in self.seconds:
            raise InputError(
                f"nobody knows how long a run's first {steps} steps took; remove its files and start again"
            )
        self.seconds = {known: spent for known, spent in self.seconds.items() if known <= steps}
        self.looks = {budget: look for budget, look in self.looks.items() if look["steps"] <= steps}
        return self.seconds[steps]

    def keep(self, file: Path) -> None:
        keep(file, {"settings": self.settings, "seconds": self.seconds, "looks": self.looks})


def check_settings(file: Path, theirs: dict[str, Any], settings: dict[str, Any]) -> None:
    """Raises ``InputError`` naming what differs."""
    if theirs != json.loads(json.dumps(settings)):
        names = [name for name in {**theirs, **settings} if theirs.get(name) != settings.get(name)]
        flags = theirs.get("flags", {}), settings.get("flags", {})
        names += [f"--{name}" for name in {**flags[0], **flags[1]} if flags[0].get(name) != flags[1].get(name)]
        raise InputError(
            f"{file} holds a run with other {', '.join(names)}; remove it and its folder, or pass another --runs"
        )


def train(plan: Plan, runs: Path, method: str, seed: int, tell: Tell = print) -> dict[str, Any]:
    """Trains what is missing, and returns the looks, by budget. Raises ``InputError`` if a loss is not finite."""
    torch.set_num_threads(1)
    folder, name = work_folder(runs), cell_name(method, seed)
    file, begun = folder / f"{name}.json", RunFolder(folder, name).is_begun()
    account = Account.read(file, plan.settings(method)) if begun else Account(plan.settings(method))
    where = ["--checkpoints_dir", str(folder), "--name", name, "--continue_train" if begun else "--overwrite"]
    with make_ready([*plan.flags(method, seed, runs), *where], ALONE) as run:
        spent = saved = account.go_back(run.start.steps)
        after, updates, each = run.start, _updates(run), plan.methods[method].steps_per_update
        clock = clock_of(run.device)
        while True:
            reached = {UPDATES: after.steps // each, SECONDS: spent}
            due = [one for one, much in plan.budgets.items() if one not in account.looks and reached[one] >= much]
            if due or spent - saved >= SAVE_SECONDS:
                account.seconds[after.steps] = spent
                account.keep(file)  # first, so that the seconds of every checkpoint are known
                run.folder.save([LATEST], run.model, after)
                saved = spent
                tell(f"{name}: {after.steps // each} updates, {spent:.0f} s")
            for budget in due:
                found = {"steps": after.steps, "updates": after.steps // each, "seconds": round(spent, 2)}
                found["memory"] = _peak(run.device)
                found |= _translate(plan, runs, method, seed, budget)
                account.looks[budget] = found
                account.keep(file)
            if set(account.looks) >= set(plan.budgets):
                return account.looks
            started = clock()
            before, update = next(updates)
            set_learning_rates(run.model.optimizers(), _rate(run, before))
            run.model.training_step(update)
            wait_for(run.device)
            spent += clock() - started
            _check(update, name)
            after = before.after_batch(update.pair_count)


def _updates(run: ReadyRun) -> Iterator[tuple[Progress, Update]]:
    """What train.py would make its steps on, epoch after epoch without an end, and where the run stands before."""
    progress = run.start
    while True:
        for update in run.updates(progress):
            yield progress, update.to(run.device)
            progress = progress.after_batch(update.pair_count)
        progress = progress.next_epoch()


def _rate(run: ReadyRun, progress: Progress) -> float:
    """As in train.py; that of the last epoch where the budgets reach beyond it."""
    options = run.resolved.values
    last = options.niter + options.niter_decay
    return learning_rate(options, replace(progress, epoch=min(progress.epoch, last)))


def _check(update: Update, name: str) -> None:
    for loss, value in update.losses().items():
        if not math.isfinite(value.item()):
            raise InputError(f"the loss {loss} of {name} is not finite; lower the method's lr in the study's yaml")


def _translate(plan: Plan, runs: Path, method: str, seed: int, budget: str) -> dict[str, Any]:
    """As test.py does it from the run's checkpoint, image by image, in the same styles for every run.

    Returns seconds of one translation (the first ones do not count) and weights of the generator, each by direction.
    """
    where = ["--checkpoints_dir", str(work_folder(runs)), "--name", cell_name(method, seed)]
    options = parse_testing([*where, "--phase", VALIDATION, *plan.translating_flags(method, runs)]).values
    device = choose_device(options)
    model, _ = trained_model(options, device)
    clock = clock_of(device)
    drawn = any(one.draws_styles for one in model.translators().values())
    results = ResultFolder(translations(runs, method, seed, budget), styles=plan.styles if drawn else None)
    seconds, parameters = {}, {}
    for way, translator in model.translators().items():
        dataset = entries_of(options, VALIDATION, way.source, plan.images)
        codes: Sequence[Tensor | None] = [None]
        if drawn:
            codes = translator.draw_styles(plan.styles, torch.Generator().manual_seed(STYLE_SEED)).to(device).split(1)
        taken: list[float] = []
        for number, entry in enumerate(dataset.entries):
            real, fakes = collate_domain([dataset[number]])[0], []
            on_device = real.to(device)
            for code in codes:
                started = clock()
                fakes.append(model.translate(on_device, way.target.lower(), code))
                wait_for(device)
                taken.append(clock() - started)
            results.save(entry, real, [fake.to("cpu") for fake in fakes], None, way.source, way.target)
        title = f"{way.source}_to_{way.target}"
        counted = taken[WARM_UP:] or taken
        seconds[title] = round(sum(counted) / len(counted), 5)
        parameters[title] = sum(weight.numel() for weight in translator.generator.parameters())
    return {"seconds_per_picture": seconds, "parameters": parameters}


def clock_of(device: torch.device) -> Callable[[], float]:
    """Seconds of this process on the processor; where a GPU does the work, those on the wall."""
    return time.process_time if device.type == "cpu" else time.perf_counter


def _peak(device: torch.device) -> int:
    """Bytes that training took at most: tensors on a GPU, else the whole process."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else most_resident()
