"""Signals at random moments of a training, twice in a row, and a rank that dies below torchrun --max-restarts."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.soak.reliability_checks.children import ROOT, arguments, data_set, differences, start, trained, wait, warm_up
from tests.soak.reliability_checks.rows import Budget, Row

LAW = "5 signals"
NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
SHARE = 10
"""A signal is sent once for so many kills of the budget."""
APART = 0.005
"""Seconds between two signals: shorter than a step, so that the second meets the step that the first has let go on."""
CRASHES = ((1, 3), (0, 6))
"""Rank, and how many steps it makes before it dies: before the first save, and after some."""
CRASHING = """
import os, sys
sys.path.insert(0, {root!r})
from models.insta_gan_model import InstaGanModel
from tests.soak.reliability_checks.children import program
step, done = InstaGanModel.training_step, []
def crashing(model, update):
    if (os.environ["TORCHELASTIC_RESTART_COUNT"], os.environ["RANK"], len(done)) == ("0", "{rank}", {steps}):
        os.kill(os.getpid(), 9)
    done.append(1)
    return step(model, update)
if {rank} >= 0:
    InstaGanModel.training_step = crashing
sys.exit(program().main())
"""


def run(budget: Budget) -> list[Row]:
    warm_up()
    data, straight = data_set(budget.folder / "data", budget.seed), budget.folder / "straight"
    began = time.monotonic()
    ended = trained(arguments(data, straight), budget.folder / "said.txt")
    if ended.code:
        raise RuntimeError(f"the uninterrupted run ended with {ended.code}: {ended.said[-300:]}")
    seconds = time.monotonic() - began
    return [
        _once(budget, data, straight / "run", seconds),
        _twice(budget, data, straight / "run"),
        _torchrun(budget, data),
    ]


def _row(how: str, figure: str, wrong: list[str]) -> Row:
    return Row(LAW, how, figure if not wrong else f"{len(wrong)} wrong: {wrong[0]}", not wrong)


def _once(budget: Budget, data: Path, straight: Path, seconds: float) -> Row:
    """The signal may also come before the first step, when it ends the process as it would any other."""
    draw, wrong, granted = random.Random(budget.seed), [], 0
    count = max(len(NUMBERS), budget.kills // SHARE)
    for number in range(count):
        sent, runs = NUMBERS[number % len(NUMBERS)], budget.folder / f"once_{number}"
        said = budget.folder / "once.txt"
        pid = start(arguments(data, runs), said)
        ended = wait(pid, said, draw.uniform(0, seconds))
        if ended is None:
            os.kill(pid, sent)
            ended = wait(pid, said)
        assert ended
        if f"stopped by {sent.name}" in ended.said:
            granted += 1
            wrong += [] if ended.code == 128 + sent else [f"{sent.name}: exit code {ended.code}"]
        elif ended.code not in (0, -sent, 130):
            wrong.append(f"{sent.name}: exit code {ended.code}: {ended.said[-150:]}")
        begun = (runs / "run" / "options.yaml").exists()
        again = trained(arguments(data, runs, *(["--continue_train"] if begun else [])), said)
        wrong += [again.said[-150:]] if again.code else differences(straight, runs / "run")[:1]
    figure = f"{count} signals, {granted} after a first step: saved and said so; all continued to the same weights"
    return _row("SIGTERM, SIGINT, SIGHUP, SIGUSR1 at random moments", figure, wrong)


def _twice(budget: Budget, data: Path, straight: Path) -> Row:
    runs, said = budget.folder / "twice", budget.folder / "twice.txt"
    pid, log = start(arguments(data, runs), said), runs / "run" / "loss_log.jsonl"
    while not (log.exists() and log.read_bytes().count(b"\n") >= 3) and not wait_briefly(said):
        pass
    os.kill(pid, signal.SIGINT)
    time.sleep(APART)  # two of one kind that wait to be delivered are one
    os.kill(pid, signal.SIGINT)
    began = time.monotonic()
    ended = wait(pid, said)
    took = time.monotonic() - began
    assert ended
    wrong = [] if ended.code == 130 and "interrupted at once" in ended.said else [f"{ended.code}: {ended.said[-150:]}"]
    again = trained(arguments(data, runs, "--continue_train"), said)
    wrong += [again.said[-150:]] if again.code else differences(straight, runs / "run")[:1]
    return _row("SIGINT twice", f"ended after {took:.1f} s; continued to the same weights", wrong)


def wait_briefly(said: Path) -> bool:
    """Whether it has printed an error instead of beginning."""
    time.sleep(0.01)
    return said.exists() and "train.py: " in said.read_text(errors="replace")


def _torchrun(budget: Budget, data: Path) -> Row:
    runs, wrong = [], []
    for rank, steps in ((-1, 0), *CRASHES):
        place = budget.folder / f"ranks_{rank}"
        script = budget.folder / f"crashing_{rank}.py"
        script.write_text(CRASHING.format(root=str(ROOT), rank=rank, steps=steps))
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
        words = arguments(data, place, "--niter", 2, "--niter_decay", 2)
        process = subprocess.run(
            [*command, "--max_restarts", "1", str(script), *words],
            capture_output=True, text=True, timeout=1000, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        runs.append(place / "run")
        if process.returncode:
            wrong.append(f"rank {rank} after {steps} steps: {process.stderr[-200:]}")
        elif rank >= 0:
            wrong += differences(runs[0], place / "run")[:1]
    figure = f"{len(CRASHES)} crashes (a rank before the first save, rank 0 after some): the weights of a run without"
    return _row("a rank is killed, torchrun --max-restarts 1", figure, wrong)
