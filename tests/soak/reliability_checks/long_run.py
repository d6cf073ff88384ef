"""Thousands of tiny steps with loss log, page, TensorBoard, pools and saves: nothing may grow with their number."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from data.shapes.writing import write_set
from tests.soak.reliability_checks.flatness import Sample, after_start, rates, trend
from tests.soak.reliability_checks.process_figures import Taken, taken
from tests.soak.reliability_checks.rows import Budget, Row

ROOT = Path(__file__).resolve().parents[3]
PICTURES = 20
PRINT_FREQ, SAVE_FREQ, HTML_FREQ = 10, 250, 20
FLAGS = (
    "--name", "long", "--device", "cpu", "--model", "cycle_gan", "--with_masks", "--netG", "resnet_6blocks",
    "--lambda_idt", "0", "--ngf", "1", "--ndf", "1", "--n_layers_D", "1", "--load_size", "18", "--fine_size", "16",
    "--num_threads", "1", "--display_id", "0", "--print_freq", str(PRINT_FREQ), "--save_latest_freq", str(SAVE_FREQ),
    "--save_epoch_freq", "0", "--update_html_freq", str(HTML_FREQ), "--display_freq", "200", "--niter", "1000000",
)  # fmt: skip
"""The quickest step that there is: what is looked for is not in the networks."""
SETTLED = 0.3
"""The share of the steps in which pools, the page's 100 samples and the allocator fill up."""
MOST_MEMORY, MOST_TIME = 0.02, 0.10
"""Growth that counts as flat, as a share of the level: of memory, and of the processor's time per step."""
MOST_PAGE = 1_000_000
"""Bytes of index.html."""
STRETCHES = 20
WORK, NEIGHBOURS = 30_000, 10
"""Of the piece of work that tells how fast the machine is at a moment, and the looks before and after it that count."""


@dataclass(frozen=True)
class Moment:
    """What a run took at a step. page: bytes of its index.html; pictures: files beside the page; pace: seconds that a
    piece of work which never changes took meanwhile, of the processor's time."""

    step: int
    taken: Taken
    page: int
    pictures: int
    pace: float


def run(budget: Budget) -> list[Row]:
    data = budget.folder / "shapes"
    write_set(data, budget.seed, {"train": PICTURES}, 32)
    board = ["--tensorboard"] if importlib.util.find_spec("tensorboard") else []
    words = ["--dataroot", data, "--checkpoints_dir", budget.folder, "--max_steps", budget.steps, *FLAGS, *board]
    code, moments = watched([sys.executable, ROOT / "train.py", *words], budget.folder / "long", budget.folder)
    if code or len(moments) < STRETCHES:
        return [Row("13 long run", f"{budget.steps} steps", f"ended with {code} after {len(moments)} looks", False)]
    return rows(moments)


def watched(command: Sequence[object], folder: Path, scratch: Path) -> tuple[int, list[Moment]]:
    """Runs a training whose run folder is ``folder`` and looks at it until it ends; its exit code, and what was seen.

    What it prints is in ``scratch``/long.out.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    moments: list[Moment] = []
    with (scratch / "long.out").open("w") as out:
        process = subprocess.Popen([str(word) for word in command], stdout=out, stderr=out, env=environment)
        try:
            while process.poll() is None:
                moment = _look(process.pid, folder)
                if moment and (not moments or moment.step > moments[-1].step):
                    moments.append(moment)
                time.sleep(0.25)
        finally:
            process.kill()
    return process.returncode, moments


def rows(moments: Sequence[Moment]) -> list[Row]:
    """What is flat, and what is not."""
    steps = moments[-1].step
    how = f"slope of {len(moments)} looks at a run of {steps:,} steps with loss log, page, TensorBoard, pools, saves"
    found = []
    for name, unit, most, samples in (
        ("memory", "MiB", MOST_MEMORY, _of(moments, lambda moment: moment.taken.memory)),
        ("open files", "files", 0.0, _of(moments, lambda moment: moment.taken.files)),
        ("threads", "threads", 0.0, _of(moments, lambda moment: moment.taken.threads)),
        ("time per step", "ms", MOST_TIME, _milliseconds(moments)),
    ):
        of = trend(samples)
        figure = f"{of.level:.4g} {unit}, growth {of.growth:+.2g} ({of.relative:+.2%})"
        found.append(Row(f"13 long run: {name}", how, figure, of.relative <= most))
    page, pictures = (max(values) for values in zip(*((one.page, one.pictures) for one in moments), strict=True))
    half = max(one.page for one in moments if one.step <= steps / 2)
    figure = f"{page:,} bytes at most ({half:,} in the first half), {pictures} picture files"
    passed = 0 < page <= MOST_PAGE
    return [*found, Row("13 long run: page", how, figure, passed)]


def _look(process: int, folder: Path) -> Moment | None:
    found = taken(process)
    log, page = folder / "loss_log.jsonl", folder / "web" / "index.html"
    if found is None or not log.exists() or not page.exists():
        return None
    with log.open("rb") as lines:
        step = PRINT_FREQ * sum(1 for _ in lines)
    return Moment(step, found, page.stat().st_size, len(os.listdir(folder / "web" / "images")), _pace())


def _pace() -> float:
    began = time.thread_time()
    sum(number * number % 7 for number in range(WORK))
    return time.thread_time() - began


def _of(moments: Sequence[Moment], value) -> list[Sample]:  # type: ignore[no-untyped-def]
    return after_start([(moment.step, value(moment)) for moment in moments], SETTLED)


def _milliseconds(moments: Sequence[Moment]) -> list[Sample]:
    """The processor's time of each step, as long as other programs make the same work take on this machine."""
    typical, corrected = median(moment.pace for moment in moments), 0.0
    samples = [(float(moments[0].step), corrected)]
    for number in range(1, len(moments)):
        pace = median(moment.pace for moment in moments[max(0, number - NEIGHBOURS) : number + NEIGHBOURS])
        corrected += 1000 * (moments[number].taken.cpu - moments[number - 1].taken.cpu) * typical / pace
        samples.append((moments[number].step, corrected))
    return rates(after_start(samples, SETTLED), STRETCHES)
