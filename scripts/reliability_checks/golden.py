"""The first 20 steps of training on the shapes, to be compared with what was stored.

    python -m scripts.reliability_checks.golden             compares
    python -m scripts.reliability_checks.golden --store     stores them anew

What is stored was computed on a CPU with the newest torch that the project is tested with. Other processors add up in
another order, and 20 steps of Adam carry that along: ``TOLERANCES`` tells how far.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path

import torch

from scripts.make_shapes import write_set
from scripts.reliability_checks.children import ROOT, program

FILE = ROOT / "tests" / "fixtures" / "golden" / "shapes_20_steps.json"
STEPS = 20
FLAGS = (
    "--name", "golden", "--load_size", "36", "--fine_size", "32", "--ngf", "4", "--ndf", "4", "--pool_size", "5",
    "--niter", "2", "--niter_decay", "2", "--max_steps", str(STEPS), "--print_freq", "1", "--no_html",
    "--display_id", "0", "--seed", "3",
)  # fmt: skip
METHODS = ("insta_gan", "cycle_gan")
NO_LOSS = ("step", "epoch", "pictures", "lr", "lr_D", "seconds_per_picture", "data_wait")
TOLERANCES = {"same": 1e-3, "x86_64": 5e-3, "other": 5e-2, "cuda": 5e-2}
"""Largest difference of a loss, as a share of that loss and at least of 0.1, by where the steps are made. same: the
kind of processor and the torch that made what is stored; x86_64: another torch, or narrower instructions."""

Losses = dict[str, list[float]]


def losses(method: str, folder: Path, device: str = "cpu", workers: int = 0) -> Losses:
    """Every loss at every step, in a folder of its own."""
    data = folder / "shapes"
    if not data.exists():
        write_set(data, 0, {"train": 6}, 40)
    where = ("--dataroot", str(data), "--checkpoints_dir", str(folder / f"{method}_{device}_{workers}"))
    more = ("--model", method, "--device", device, "--num_threads", str(workers))
    code = program().main([*where, *FLAGS, *more])
    assert code == 0, f"train.py ended with {code}"
    text = (folder / f"{method}_{device}_{workers}" / "golden" / "loss_log.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    return {name: [line[name] for line in lines] for name in lines[0] if name not in NO_LOSS}


def place() -> dict[str, str]:
    """What the numbers depend on beside the program."""
    return {
        "torch": torch.__version__.partition("+")[0],
        "machine": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def kind(made_at: dict[str, str], device: str = "cpu") -> str:
    """Which of ``TOLERANCES`` applies here to numbers that were made there."""
    if device != "cpu":
        return "cuda"
    if place() == made_at:
        return "same"
    return "x86_64" if platform.machine() == made_at["machine"] == "x86_64" else "other"


def difference(one: Losses, other: Losses) -> float:
    """The largest, as a share of the loss and at least of 0.1."""
    assert one.keys() == other.keys(), f"{sorted(one)} and {sorted(other)}"
    return max(
        abs(mine - theirs) / max(abs(theirs), 0.1)
        for name in one
        for mine, theirs in zip(one[name], other[name], strict=True)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", action="store_true", help="replace what is stored")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {method: losses(method, Path(folder), options.device) for method in METHODS}
    if options.store:
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(json.dumps({"made_at": place(), "losses": found}, indent=1) + "\n")
    stored = json.loads(FILE.read_text())
    which = kind(stored["made_at"], options.device)
    for method in METHODS:
        print(f"{method}: {difference(found[method], stored['losses'][method]):.2g}, allowed {TOLERANCES[which]:g}")
    print(f"{which}: {place()} beside {stored['made_at']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
