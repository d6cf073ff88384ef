"""Pictures and masks that vanish, break or change while a training reads them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from tests.soak.reliability_checks.children import arguments, data_set, trained, warm_up
from tests.soak.reliability_checks.planting import FILE_FAULTS, after_step
from tests.soak.reliability_checks.rows import Budget, Row
from tests.soak.reliability_checks.together import wrongs

LAW = "8 data faults"
FILES = ("trainA/squares_003.png", "trainA_seg/squares_003_0.png")
"""Of the last of four pictures: workers read ahead, and must not have read it before it breaks."""


Case = tuple[Callable[[Path], object], str, int, bool]
"""A fault, the file it happens to, the number of workers, and whether bad files are left out."""


def run(budget: Budget) -> list[Row]:
    warm_up()
    whole, rows = data_set(budget.folder / "data", budget.seed), []
    for how, skip in (
        ("stops the run with its name, all steps before saved", False),
        ("is left out with --skip_bad", True),
    ):
        cases: list[Case] = [(fault, file, n, skip) for fault in FILE_FAULTS for file in FILES for n in (0, 1)]
        wrong = wrongs(cases, partial(_tried, budget.folder, whole))
        figure = f"{len(cases)} faults planted, with and without a worker"
        told = figure if not wrong else f"{len(wrong)} wrong: {wrong[0]}"
        rows.append(Row(LAW, f"a file that breaks {how}", told, not wrong))
    return rows


def _tried(folder: Path, whole: Path, number: int, case: Case) -> list[str]:
    fault, file, workers, skip = case
    name = f"{number}_{skip}"
    data, runs, said = Path(shutil.copytree(whole, folder / f"data_{name}")), folder / name, folder / f"{name}.txt"
    flags = ("--serial_batches", "--num_threads", workers, *(["--skip_bad"] if skip else []))
    ended = trained(arguments(data, runs, *flags), said, after_step(1, partial(fault, data / file)))
    steps = _steps(runs / "run")
    # a worker may have read the file before it broke, but not twice: it comes again in the second epoch
    code, ends = (0, (8,)) if skip else (2, (3,) if workers == 0 else (3, 7))
    named = "squares_003" in ended.said and "Traceback" not in ended.said
    if ended.code == code and steps in ends and named:
        return []
    return [f"{fault.__name__} {file}, {workers} workers: {ended.code} at step {steps}, {ended.said[-150:]}"]


def _steps(folder: Path) -> int:
    latest = folder / "latest.pth"
    return int(torch.load(latest, weights_only=True)["progress"]["steps"]) if latest.exists() else -1
