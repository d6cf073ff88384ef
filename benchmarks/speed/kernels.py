"""benchmark.py kernels: what each faster way to run the layers brings, by a training step without it.

Each kernel of ``instagan.kernels.KERNELS``, and the allocator's settings, is left out alone; the step with all of them
and the step without this one take turns. At the paper's size and at the demo's, unless --small, --size, --ngf or --ndf
choose one. Their memory: benchmark.py memory --variant ours ours-no_chunks ...
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from benchmarks.speed.measuring import Spread, interleave, ratio, table
from benchmarks.speed.runs import first_runs
from benchmarks.speed.variants import OURS, WITHOUT, Variant, Workload, add_workload, workload_of
from instagan.flag_types import whole
from instagan.kernels.processor import PRECISIONS

HEADER = ("without", "size", "ngf", "s/step with all", "s/step without it", "times as long")


def add_options(parser: argparse.ArgumentParser) -> None:
    add_workload(parser)
    names = [switch.removeprefix("no_") for switch in WITHOUT]
    parser.add_argument("--kernel", choices=names, nargs="+", default=names, help="those left out (default: each)")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of all steps")
    parser.add_argument("--repeats", type=whole(1), default=3, help="steps of each that count")
    parser.add_argument("--warm_ups", type=whole(0), default=1, help="steps before them, besides the first")


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The figures for --json, and a table of them."""
    sizes, rows, notes = [], [], []
    everything = Variant(OURS) if options.precision == "fp32" else Variant(OURS).with_switches(options.precision)
    for workload in _workloads(options):
        kernels: dict[str, Any] = {}
        for name in options.kernel:
            without = everything.with_switches(f"no_{name}")
            with first_runs([everything, without], workload, "training_step") as runs:
                seconds = interleave(runs.runners, options.repeats, options.warm_ups)
            if runs.missing:
                notes += [f"{workload.size} x {workload.size}, {note}" for note in runs.notes()]
                continue
            taken = seconds[everything.name], seconds[without.name]
            spreads = [*map(Spread.of, taken), ratio(taken[1], taken[0])]
            kernels[name] = dict(
                zip(("with", "without", "without/with"), [one.figures() for one in spreads], strict=True)
            )
            rows.append((name, f"{workload.size} x {workload.size}", workload.ngf, *spreads))
        sizes.append(workload.facts() | {"kernels": kernels})
    figures = {"device": sizes[0]["device"], "precision": options.precision, "repeats": options.repeats, "sizes": sizes}
    return figures, "\n".join([table(HEADER, rows), *notes])


def _workloads(options: argparse.Namespace) -> Iterator[Workload]:
    """One picture a step, at the size asked for or at the paper's and the demo's."""
    yield workload_of(options, batch_size=1)
    if not (options.small or options.size or options.ngf or options.ndf):
        yield workload_of(argparse.Namespace(**vars(options) | {"small": True}), batch_size=1)
