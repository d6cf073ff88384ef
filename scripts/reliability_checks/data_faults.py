"""Pictures and masks that vanish, break or change while a training reads them."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import torch

from scripts.reliability_checks.children import arguments, data_set, trained, warm_up
from scripts.reliability_checks.planting import FILE_FAULTS, after_step
from scripts.reliability_checks.rows import Budget, Row

LAW = "8 data faults"
FILES = ("trainA/squares_003.png", "trainA_seg/squares_003_0.png")
"""Of the last of four pictures: workers read ahead, and must not have read it before it breaks."""


def run(budget: Budget) -> list[Row]:
    warm_up()
    whole = data_set(budget.folder / "data", budget.seed)
    cases = [(fault, file, workers) for fault in FILE_FAULTS for file in FILES for workers in (0, 1)]
    rows = []
    for how, flags in (
        ("stops with its name, all steps before saved", ()),
        ("is left out with --skip_bad", ("--skip_bad",)),
    ):
        wrong = []
        for fault, file, workers in cases:
            shutil.rmtree(budget.folder / "copy", ignore_errors=True)
            shutil.rmtree(budget.folder / "runs", ignore_errors=True)
            data = Path(shutil.copytree(whole, budget.folder / "copy"))
            argv = arguments(data, budget.folder / "runs", "--serial_batches", "--num_threads", workers, *flags)
            ended = trained(argv, budget.folder / "said.txt", after_step(1, partial(fault, data / file)))
            steps = _steps(budget.folder / "runs" / "run")
            # a worker may have read the file before it broke, but not twice: it comes again in the second epoch
            fine = (0, (8,)) if flags else (2, (3,) if workers == 0 else (3, 7))
            named = "squares_003" in ended.said and "Traceback" not in ended.said
            if ended.code != fine[0] or steps not in fine[1] or not named:
                wrong.append(
                    f"{fault.__name__} {file}, {workers} workers: {ended.code} at {steps}, {ended.said[-150:]}"
                )
        figure = f"{len(cases)} faults planted, with and without a worker"
        rows.append(
            Row(LAW, f"a file that breaks {how}", figure if not wrong else f"{len(wrong)} wrong: {wrong[0]}", not wrong)
        )
    return rows


def _steps(folder: Path) -> int:
    latest = folder / "latest.pth"
    return int(torch.load(latest, weights_only=True)["progress"]["steps"]) if latest.exists() else -1
