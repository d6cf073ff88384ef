"""NaN and infinities planted into trainings of one and two ranks: stopped, skipped, rolled back, and made again."""

from __future__ import annotations

import math
import os
import shutil
import socket
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from engine.finite import ON_NAN
from scripts import replay_step
from tests.soak.reliability_checks.children import PICTURES, Ended, arguments, data_set, start, trained, wait, warm_up
from tests.soak.reliability_checks.planting import spoilt_picture
from tests.soak.reliability_checks.rows import Budget, Row
from tests.soak.reliability_checks.together import wrongs

LAW = "6 numbers"
SPOILT = "squares_002"
"""The third of four pictures: it comes again in the second epoch."""
VALUES = (math.nan, math.inf, -math.inf)
FLAGS = ("--serial_batches", "--save_latest_freq", 2)
EPOCHS = 6
"""On constant pictures."""


def run(budget: Budget) -> list[Row]:
    warm_up()
    data = data_set(budget.folder / "data", budget.seed)
    alone = [(value, policy) for value in VALUES for policy in ON_NAN]
    wrong = wrongs(alone, partial(_alone, budget.folder, data))
    figure = f"{len(alone)} runs, {len(alone)} steps made again to the last bit from their dumps"
    rows = [_row("a picture of NaN, inf or -inf stops, is skipped or rolled back, named, never saved", figure, wrong)]
    wrong = wrongs(ON_NAN, partial(_two_ranks, budget.folder, data))
    rows.append(_row("the same on two ranks of which one reads it", f"{len(ON_NAN)} runs, both ranks alike", wrong))
    return [*rows, _constant(budget.folder)]


def _row(how: str, figure: str, wrong: list[str]) -> Row:
    return Row(LAW, how, figure if not wrong else f"{len(wrong)} wrong: {wrong[0]}", not wrong)


def _alone(folder: Path, data: Path, number: int, case: tuple[float, str]) -> list[str]:
    """A run of one process, and its newest dump made again."""
    value, policy = case
    runs, said = folder / str(number), folder / f"said_{number}.txt"
    argv = arguments(data, runs, *FLAGS, "--on_nan", policy)
    wrong = list(_wrong(trained(argv, said, spoilt_picture(SPOILT, value)), policy, runs / "run", ranks=1))
    dumps = sorted((runs / "run" / "nonfinite").glob("step_*"), key=lambda path: path.stat().st_mtime)
    again = trained([], said, lambda: os._exit(replay_step.main([str(dumps[-1])]))) if dumps else Ended(1, "no dump")
    wrong += [] if again.code == 0 else [f"its dump: {again.said[-200:]}"]
    return [f"{value}, {policy}: {what}" for what in wrong]


def _wrong(ended: Ended, policy: str, folder: Path, ranks: int) -> Iterator[str]:
    """What is not as it must be after a run of eight pictures."""
    if ended.code != (1 if policy == "stop" else 0):
        yield f"exit code {ended.code}: {ended.said[-200:]}"
        return
    if f"{SPOILT}.png" not in ended.said or "Traceback" in ended.said:
        yield f"the picture is not named: {ended.said[-200:]}"
    state = torch.load(folder / "latest.pth", weights_only=True)
    if not all(tensor.isfinite().all() for tensor in _tensors({**state, "options": 0})):
        yield "latest.pth holds what is not finite"
    steps = (-(-3 // ranks)) if policy == "stop" else 8 // ranks
    if state["progress"]["steps"] != steps:
        yield f"ended at step {state['progress']['steps']} instead of {steps}"


def _tensors(state: Any) -> list[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return [state]
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _two_ranks(folder: Path, data: Path, number: int, policy: str) -> list[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    runs, children = folder / f"two_{policy}", []
    for rank in range(2):
        environment = {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
        argv, said = arguments(data, runs, *FLAGS, "--on_nan", policy), folder / f"rank_{number}_{rank}.txt"
        children.append((start(argv, said, spoilt_picture(SPOILT, math.nan), environment), said))
    first, second = (wait(pid, said) for pid, said in children)
    assert first and second
    found = [
        *_wrong(first, policy, runs / "run", ranks=2),
        *([] if second.code == first.code else [f"the ranks end with {first.code} and {second.code}"]),
        *([] if not second.said else [f"the second rank says {second.said[-200:]}"]),
    ]
    return [f"{policy}: {what}" for what in found]


def _constant(folder: Path) -> Row:
    """Black, grey and white pictures, and masks that fill them, have no variance for instance norm to divide by."""
    data, wrong = data_set(folder / "constant"), []
    _paint(data.glob("train?/*.png"), "RGB", (0x000000, 0x808080, 0xFFFFFF))
    filled = shutil.copytree(data, folder / "filled")
    _paint(filled.glob("train?_seg/*.png"), "L", (0xFF,))
    cases = [(data, "insta_gan"), (filled, "insta_gan"), (data, "cycle_gan"), (filled, "cycle_gan_seg")]
    for number, (pictures, method) in enumerate(cases):
        runs = folder / f"even_{number}"
        ended = trained(arguments(pictures, runs, "--model", method, "--niter", EPOCHS - 1), folder / "said.txt")
        state = torch.load(runs / "run" / "latest.pth", weights_only=True) if ended.code == 0 else {}
        moments = [one["step"].item() for of in state.get("optimizers", {}).values() for one in of["state"].values()]
        finite = all(tensor.isfinite().all() for tensor in _tensors(state))
        if ended.code or not moments or min(moments) < EPOCHS * PICTURES or not finite:
            wrong.append(f"{method} on {pictures.name}: exit code {ended.code}, {ended.said[-200:]}")
    steps = f"{len(cases)} runs of {EPOCHS * PICTURES} steps, three methods, no update refused"
    return _row("constant pictures, and masks that fill them, through instance norm", steps, wrong)


def _paint(pictures: Iterable[Path], mode: str, colours: Sequence[int]) -> None:
    """Every picture in one colour."""
    for number, path in enumerate(sorted(pictures)):
        with Image.open(path) as picture:
            size = picture.size
        Image.new(mode, size, colours[number % len(colours)]).save(path)
