"""The first 20 steps of training on the shapes, to be compared with what was stored.

    python -m tests.soak.reliability_checks.golden             compares
    python -m tests.soak.reliability_checks.golden --store     stores them anew

What is stored was computed on a CPU with the newest torch that the project is tested with. Other processors add up in
another order, and 20 steps of Adam carry that along: ``TOLERANCES`` tells how far.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import torch

from data.shapes.writing import write_set
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


@dataclass(frozen=True)
class Differences:
    """The largest ones: of the first step's losses and of all content losses (cycle, identity, context), as shares of
    the loss and at least of 0.1; of the adversarial ones as they are, which 20 steps of Adam drive apart."""

    first: float
    content: float
    adversarial: float

    def within(self, limits: Differences) -> bool:
        pairs = ((self.first, limits.first), (self.content, limits.content), (self.adversarial, limits.adversarial))
        return all(found <= limit for found, limit in pairs)


TOLERANCES = {
    "same": Differences(1e-3, 1e-3, 1e-3),
    "other": Differences(1e-2, 0.2, 1.5),
    "cuda": Differences(1e-2, 0.2, 1.5),
}
"""By where the steps are made. same: the kind of processor and the torch that made what is stored."""

Losses = dict[str, list[float]]


def losses(method: str, folder: Path, device: str = "cpu", workers: int = 0) -> Losses:
    """Every loss at every step, in a folder of its own; by one thread: several add up in another order."""
    data = folder / "shapes"
    if not data.exists():
        write_set(data, 0, {"train": 6}, 40)
    where = ("--dataroot", str(data), "--checkpoints_dir", str(folder / f"{method}_{device}_{workers}"))
    more = ("--model", method, "--device", device, "--num_threads", str(workers))
    said, threads = io.StringIO(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with redirect_stdout(said), redirect_stderr(said):
            code = program().main([*where, *FLAGS, *more])
    finally:
        torch.set_num_threads(threads)
    assert code == 0, f"train.py ended with {code}: {said.getvalue()[-300:]}"
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
        "processor": _processor(),
    }


def _processor() -> str:
    found = Path("/proc/cpuinfo")
    lines = found.read_text().splitlines() if found.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def kind(made_at: dict[str, str], device: str = "cpu") -> str:
    """Which of ``TOLERANCES`` applies here to numbers that were made there."""
    if device != "cpu":
        return "cuda"
    if place() == made_at:
        return "same"
    return "other"


def difference(one: Losses, other: Losses) -> Differences:
    """Between losses of the same names and steps."""
    assert one.keys() == other.keys(), f"{sorted(one)} and {sorted(other)}"
    first = content = adversarial = 0.0
    for name in one:
        apart = [abs(mine - theirs) for mine, theirs in zip(one[name], other[name], strict=True)]
        shares = [gap / max(abs(theirs), 0.1) for gap, theirs in zip(apart, other[name], strict=True)]
        first = max(first, shares[0])
        if name[0] in "GD":
            adversarial = max(adversarial, *apart)
        else:
            content = max(content, *shares)
    return Differences(first, content, adversarial)


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
        print(f"{method}: {difference(found[method], stored['losses'][method])}, allowed {TOLERANCES[which]}")
    print(f"{which}: {place()} beside {stored['made_at']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
