"""The first 20 steps of training on the shapes, to be compared with what was stored.

    python -m tests.soak.reliability_checks.golden             compares
    python -m tests.soak.reliability_checks.golden --store     stores them anew

What is stored was computed on a CPU with the newest torch that the project is tested with. Other processors add up in
another order, and 20 steps of Adam carry that along. How far is stored beside it: the largest change of every loss, up
to every step, in runs whose first weights differ by rounding.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from itertools import accumulate
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from data.shapes.writing import write_set
from options import build
from tests.rounding import DRAWS, FACTOR, IN_TRAINING, ROUNDING, ROUNDINGS, perturb
from tests.soak.reliability_checks.children import ROOT, program

FILE = ROOT / "tests" / "fixtures" / "golden" / "shapes_20_steps.json"
STEPS = 20
FLAGS = (
    "--name", "golden", "--load_size", "36", "--fine_size", "32", "--ngf", "4", "--ndf", "4", "--pool_size", "5",
    "--niter", "2", "--niter_decay", "2", "--max_steps", str(STEPS), "--print_freq", "1", "--no_html",
    "--display_id", "0", "--seed", "3",
)  # fmt: skip
METHODS = ("insta_gan", "cycle_gan")
NO_LOSS = ("step", "epoch", "pictures", "lr", "lr_D", "seconds_per_picture", "data_wait")


Losses = dict[str, list[float]]


def losses(method: str, folder: Path, device: str = "cpu", draw: int = 0) -> Losses:
    """Every loss at every step, by one thread: several add up in another order.

    draw: which weights to start with that differ by rounding; 0: those of the seed.
    """
    data = folder / "shapes"
    if not data.exists():
        write_set(data, 0, {"train": 6}, 40)
    where = ("--dataroot", str(data), "--checkpoints_dir", str(folder / f"{method}_{draw}"))
    more = ("--model", method, "--device", device, "--num_threads", "0")
    said, threads = io.StringIO(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with redirect_stdout(said), redirect_stderr(said), patch.object(build, "build_model", perturbed(draw)):
            code = program().main([*where, *FLAGS, *more])
    finally:
        torch.set_num_threads(threads)
    assert code == 0, f"train.py ended with {code}: {said.getvalue()[-300:]}"
    text = (folder / f"{method}_{draw}" / "golden" / "loss_log.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    return {name: [line[name] for line in lines] for name in lines[0] if name not in NO_LOSS}


def place() -> dict[str, str]:
    """What the numbers depend on beside the program."""
    return {
        "torch": torch.__version__.partition("+")[0],
        "machine": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "processor": _processor(),
    }


def _processor() -> str:
    found = Path("/proc/cpuinfo")
    lines = found.read_text().splitlines() if found.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def perturbed(draw: int) -> Callable[..., nn.Module]:
    """``build_model``, of weights that differ by rounding."""
    original = build.build_model

    def built(*arguments: Any, **named: Any) -> nn.Module:
        model = original(*arguments, **named)
        if draw:
            perturb(model, draw, IN_TRAINING)
        return model

    return built


def spread(method: str, own: Losses, folder: Path) -> Losses:
    """How far rounding can drive every loss apart, up to every step."""
    others = [losses(method, folder, draw=draw) for draw in range(1, DRAWS + 1)]
    found = {}
    for name, values in own.items():
        apart = [max(abs(other[name][step] - value) for other in others) for step, value in enumerate(values)]
        rounded = [ROUNDINGS * ROUNDING * abs(value) for value in values]  # also where nothing changes
        found[name] = [gap + least for gap, least in zip(accumulate(apart, max), rounded, strict=True)]
    return found


def worst(found: Losses, stored: Losses, apart: Losses) -> tuple[float, str]:
    """The largest difference as a share of what is allowed, and which loss that is. Above 1, it is not rounding."""
    assert found.keys() == stored.keys() == apart.keys(), f"{sorted(found)} and {sorted(stored)}"
    return max(
        (abs(mine - theirs) / (FACTOR * limit), f"{name} of step {step}")
        for name in found
        for step, (mine, theirs, limit) in enumerate(zip(found[name], stored[name], apart[name], strict=True), 1)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", action="store_true", help="replace what is stored")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {method: losses(method, Path(folder), options.device) for method in METHODS}
        if options.store:
            apart = {method: spread(method, found[method], Path(folder)) for method in METHODS}
            FILE.parent.mkdir(exist_ok=True)
            FILE.write_text(json.dumps({"made_at": place(), "losses": found, "spread": apart}, indent=1) + "\n")
    stored = json.loads(FILE.read_text())
    for method in METHODS:
        share, which = worst(found[method], stored["losses"][method], stored["spread"][method])
        print(f"{method}: {share:.2g} of what rounding may do, by {which}")
    print(f"{place()} beside {stored['made_at']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
