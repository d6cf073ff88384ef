"""benchmark.py scaling: pictures per second of train.py under torchrun, by the number of processes.

Runs of train.py on a drawn set of shapes take turns: one process, two, one, two ... Each process has its own
--batch_size and, on the CPU, the same number of threads, so that more processes do more work in a step. `efficiency` is
pictures per second, by process, of those of the fewest processes. The first steps of a run do not count.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.measuring import Spread, table
from benchmarks.speed.variants import OURS, PUBLISHED, WITHOUT, Variant, Workload, add_workload, workload_of
from instagan.errors import InputError
from instagan.flag_types import whole
from trackers import loss_log

ROOT = Path(__file__).resolve().parent.parent.parent
HEADER = ("processes", "threads each", "pictures/s", "s/step", "efficiency")


def add_options(parser: argparse.ArgumentParser) -> None:
    add_workload(parser)
    parser.set_defaults(small=True)
    parser.add_argument("--world", type=whole(1), nargs="+", default=[1, 2], metavar="N", help="numbers of processes")
    parser.add_argument("--batch_size", type=whole(1), default=1, metavar="B", help="images in a process's batch")
    parser.add_argument(
        "--variant", type=Variant.named, default=Variant(OURS), metavar="V", help="ours, or with switches: ours-bf16"
    )
    parser.add_argument("--threads", type=whole(1), help="of each process (default: cores / most processes)")
    parser.add_argument("--steps", type=whole(1), default=24, help="steps of a run that count")
    parser.add_argument("--warm_ups", type=whole(1), default=4, help="steps before them")
    parser.add_argument("--repeats", type=whole(1), default=3, help="runs of each number of processes")


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The figures for --json, and a table of them."""
    if options.variant.name == PUBLISHED:
        raise InputError(f"--variant {PUBLISHED}: scaling runs train.py; pass {OURS}, with or without switches")
    if WITHOUT.keys() & set(options.variant.switches):
        raise InputError(f"--variant {options.variant.name}: train.py has no flag for it; use benchmark.py step")
    workload = workload_of(options, options.batch_size)
    worlds = sorted(set(options.world))
    threads = options.threads or max((os.cpu_count() or 1) // worlds[-1], 1)
    rates: dict[int, list[float]] = {world: [] for world in worlds}
    steps: dict[int, list[float]] = {world: [] for world in worlds}
    with tempfile.TemporaryDirectory(prefix="benchmark-scaling-") as folder:
        data = Path(folder) / "shapes"
        _draw(data, workload.size, worlds[-1] * options.batch_size * (options.steps + options.warm_ups))
        for turn in range(options.repeats):
            for world in worlds:
                name = f"{world}_{turn}"
                _train(name, world, threads, Path(folder), workload, options)
                pictures, seconds = _progress(Path(folder) / name / "loss_log.jsonl", options.warm_ups)
                rates[world].append(pictures / seconds)
                steps[world].append(seconds / options.steps)
    per_process = {world: [rate / world for rate in found] for world, found in rates.items()}
    found, rows = {}, []
    for world in worlds:
        share = [one / other for one, other in zip(per_process[world], per_process[worlds[0]], strict=True)]
        spreads = [Spread.of(values) for values in (rates[world], steps[world], share)]
        rows.append((world, threads, *spreads))
        named = zip(("pictures_per_second", "seconds_per_step", "efficiency"), spreads, strict=True)
        found[str(world)] = {name: spread.figures() for name, spread in named}
    figures = workload.facts() | {"instances": "1 to 4", "batch_size": options.batch_size, "threads_each": threads}
    sizes = f"{workload.size} x {workload.size} pixels of 1 to 4 instances, ngf {workload.ngf}, ndf {workload.ndf}"
    described = f"{options.variant.name}: {sizes}, batch {options.batch_size} of each process"
    return figures | {"variant": options.variant.name, "worlds": found}, f"{described}\n{table(HEADER, rows)}"


def _draw(folder: Path, size: int, pictures: int) -> None:
    counts = ("--train", str(pictures), "--val", "1", "--size", str(size))
    _run([sys.executable, str(ROOT / "scripts" / "make_shapes.py"), "--save_root", str(folder), *counts], {})


def _train(name: str, world: int, threads: int, folder: Path, workload: Workload, options: argparse.Namespace) -> None:
    """One run of train.py that logs every step. A single process goes without torchrun, as a user would start it."""
    flags = {
        "dataroot": folder / "shapes", "checkpoints_dir": folder, "name": name, "device": options.device,
        "ngf": workload.ngf, "ndf": workload.ndf, "load_size": workload.size, "fine_size": workload.size,
        "ins_max": workload.ins_max, "ins_per": workload.ins_per, "batch_size": workload.batch_size,
        "max_steps": options.steps + options.warm_ups, "print_freq": 1, "display_id": 0, "num_threads": 0,
        "save_latest_freq": 0, "save_epoch_freq": 0,
    }  # fmt: skip
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(world)] if world > 1 else []
    words = [word for flag, value in flags.items() for word in (f"--{flag}", str(value))]
    program = [str(ROOT / "train.py"), *words, "--no_html", *options.variant.flags]
    _run([sys.executable, *launcher, *program], {"OMP_NUM_THREADS": str(threads)})


def _run(command: Sequence[str], environment: dict[str, str]) -> None:
    """Raises ``InputError`` with the last line of what a program said when it failed."""
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("train.py:")] or done.stderr.splitlines()
        raise InputError(f"{' '.join(command[1:4])} ... ended with {done.returncode}: {said[-1] if said else 'silent'}")


def _progress(log: Path, warm_ups: int) -> tuple[int, float]:
    """Pictures of all processes, and the seconds that they took, after the first steps of a run."""
    lines = loss_log.read(log)
    pictures, seconds = 0, 0.0
    for before, now in zip(lines, lines[1:], strict=False):
        if now["step"] > warm_ups:
            of_step = now["pictures"] - before["pictures"]
            pictures += of_step
            seconds += now["seconds_per_picture"] * of_step
    return pictures, seconds
