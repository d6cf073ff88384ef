"""benchmark.py translate: one picture A -> B beside the published system's test step.

published   its test step: both directions of a pair, with the reconstruction of every mini-batch
ours        translate() of the picture of A, without reconstruction; ours-bf16, ours-compile, ...: with those switches

Seconds are those until the result is there, files aside.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.speed.measuring import Spread, interleave, ratio, table
from benchmarks.speed.runs import first_runs
from benchmarks.speed.variants import OURS, PUBLISHED, add_variants, add_workload, variants_of, workload_of
from instagan.flag_types import whole

HEADER = ("variant", "batch", "seconds", "s/picture", "published/it")


def add_options(parser: argparse.ArgumentParser) -> None:
    add_workload(parser)
    parser.add_argument("--batch_size", type=whole(1), nargs="+", default=[1], metavar="B", help="images in a batch")
    add_variants(parser, (PUBLISHED, OURS, f"{OURS}-bf16"))
    parser.add_argument("--repeats", type=whole(1), default=7, help="translations that count")
    parser.add_argument("--warm_ups", type=whole(0), default=1, help="translations before them, besides the first")


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The figures for --json, and a table of them."""
    rows: list[tuple[object, ...]] = []
    batches: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for batch_size in options.batch_size:
        workload = workload_of(options, batch_size)
        with first_runs(variants_of(options), workload, "translate") as runs:
            seconds = interleave(runs.runners, options.repeats, options.warm_ups)
        batches[str(batch_size)] = found = {}
        for name, taken in seconds.items():
            spreads = {"seconds": Spread.of(taken), "seconds_per_picture": Spread.of([s / batch_size for s in taken])}
            if PUBLISHED in seconds:
                spreads["published/it"] = ratio(seconds[PUBLISHED], taken)
            found[name] = {key: spread.figures() for key, spread in spreads.items()}
            rows.append((name, batch_size, *spreads.values(), *[""] * (len(HEADER) - 2 - len(spreads))))
        missing |= runs.missing
    notes = [f"{name} is left out: {why}" for name, why in missing.items()]
    figures = workload.facts() | {"repeats": options.repeats, "batches": batches, "missing": missing}
    return figures, "\n".join([workload.described(), table(HEADER, rows), *notes])
