"""One run of a study: trained until its budgets are used up, and what it translates with each of them.

The work folder of a study has for each run NAME.pth, from which it goes on as if it had never stopped, and a run folder
as train.py makes it, with the newest weights that were looked at, and the translations as test.py names them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.ablations.measured import MeasuredTraining
from benchmarks.speed.peak import most_resident
from benchmarks.studies.images import VALIDATION, entries_of
from benchmarks.studies.plan import SECONDS, UPDATES, Plan
from data.collate import collate_domain
from data.results import ResultFolder
from engine.device import choose_device, wait_for
from engine.optimizer import set_learning_rates
from engine.parallel import ALONE
from engine.run import ReadyRun
from engine.run_folder import LATEST
from engine.schedule import Progress
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
    folder, name, settings = work_folder(runs), cell_name(method, seed), plan.settings(method)
    where = ["--checkpoints_dir", str(folder), "--name", name, "--overwrite"]
    with make_ready([*plan.flags(method, seed, runs), *where], ALONE) as run:
        training = MeasuredTraining(run, folder / f"{name}.pth", clock_of(run.device))
        check_settings(training.file, training.notes.setdefault("settings", settings), settings)
        looks: dict[str, dict[str, Any]] = training.notes.setdefault("looks", {})
        kept_at = training.seconds
        while True:
            updates = training.steps // plan.methods[method].steps_per_update
            reached = {UPDATES: updates, SECONDS: training.seconds}
            due = [one for one, much in plan.budgets.items() if one not in looks and reached[one] >= much]
            memory = _peak(run.device) if due else 0  # before anything is translated
            if due:
                run.folder.save([LATEST], run.model, training.progress)
            for budget in due:
                spent = {"steps": training.steps, "updates": updates, "seconds": round(training.seconds, 2)}
                looks[budget] = {**spent, "memory": memory, **_translate(plan, runs, method, seed, budget)}
            if due or training.seconds - kept_at >= SAVE_SECONDS:
                training.keep()
                kept_at = training.seconds
                tell(f"{name}: {updates} updates, {training.seconds:.0f} s")
            if set(looks) >= set(plan.budgets):
                return looks
            set_learning_rates(run.model.optimizers(), _rate(run, training.progress))
            training.step()


def _rate(run: ReadyRun, progress: Progress) -> float:
    """Of the next update, as in train.py; that of the last epoch where the budgets reach beyond it."""
    options = run.resolved.values
    if progress.in_epoch >= run.loader.pictures:
        progress = progress.next_epoch()
    last = options.niter + options.niter_decay
    return learning_rate(options, replace(progress, epoch=min(progress.epoch, last)))


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
