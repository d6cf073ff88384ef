"""benchmark.py step: a training step of the published schedule beside the project's own, on random pictures in memory.

published   the same networks as the published system runs them: picture by picture, one instance per call, float32,
            one graph of both directions and all terms
ours        train.py as it is by default; ours-bf16, ours-compile, ours-bf16-checkpoint, ...: with those switches

FLOPs are counted in the first step of every variant that runs eagerly and recomputes nothing; all variants are
credited with the same arithmetic. The ceiling is the best that a 3x3 convolution of 256 channels reaches here.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.speed.ceiling import Ceiling, ceiling
from benchmarks.speed.measuring import Spread, interleave, ratio, table
from benchmarks.speed.runs import Runs, first_runs
from benchmarks.speed.variants import OURS, PUBLISHED, add_variants, add_workload, variants_of, workload_of
from instagan.flag_types import whole
from instagan.kernels.processor import PRECISIONS, read_cpuinfo, slow_bf16

HEADER = ("variant", "batch", "s/step", "s/picture", "pictures/s", "published/it", "TFLOP", "TFLOP/s", "of ceiling")
SPREADS = ("seconds_per_step", "seconds_per_picture", "pictures_per_second", "published/it")
PRECISION_NAMES = {dtype: name for name, dtype in PRECISIONS.items()}
SHARES = ("of_conv_ceiling", "of_matmul_ceiling")


def add_options(parser: argparse.ArgumentParser) -> None:
    add_workload(parser)
    parser.add_argument(
        "--batch_size", type=whole(1), nargs="+", metavar="B", help="images in a batch (default: 1; --small: 1 8)"
    )
    add_variants(parser, (PUBLISHED, OURS))
    parser.add_argument("--repeats", type=whole(1), default=3, help="steps that count")
    parser.add_argument("--warm_ups", type=whole(0), default=1, help="steps before them, besides the first")


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The figures for --json, and a table of them."""
    variants = variants_of(options)
    rows: list[tuple[object, ...]] = []
    batches: dict[str, Any] = {}
    missing: dict[str, str] = {}
    ceilings: dict[torch.dtype, Ceiling] = {}
    for batch_size in options.batch_size or ([1, 8] if options.small else [1]):
        workload = workload_of(options, batch_size)
        with first_runs(variants, workload, "training_step") as runs:
            for name, ready in runs.first.items():
                if slow_bf16(PRECISION_NAMES[ready.dtype], torch.device(workload.device).type, read_cpuinfo()):
                    missing[f"the ceiling of {name}"] = "this processor has no bf16 instructions, it would take minutes"
                elif ready.dtype not in ceilings:
                    ceilings[ready.dtype] = ceiling(torch.device(workload.device), ready.dtype)
            seconds = interleave(runs.runners, options.repeats, options.warm_ups)
        batches[str(batch_size)] = found = _figures(runs, seconds, batch_size, ceilings)
        rows += [_row(name, batch_size, figures) for name, figures in found["variants"].items()]
        missing |= runs.missing
    best = {str(dtype).removeprefix("torch."): limit for dtype, limit in ceilings.items()}
    notes = [f"{name} is left out: {why}" for name, why in missing.items()]
    notes += [f"ceiling, {name}: {limit}" for name, limit in best.items()]
    figures = workload.facts() | {"repeats": options.repeats, "batches": batches, "missing": missing}
    figures["ceilings"] = {name: limit.figures() for name, limit in best.items()}
    return figures, "\n".join([workload.described(), table(HEADER, rows), *notes])


def _figures(
    runs: Runs, seconds: Mapping[str, list[float]], batch_size: int, ceilings: Mapping[torch.dtype, Ceiling]
) -> dict[str, Any]:
    """Seconds, ratios and FLOP/s of every variant on one batch size."""
    flops = runs.flops()
    work = flops.get(PUBLISHED) or max(flops.values(), default=0)
    variants = {}
    for name, taken in seconds.items():
        found: dict[str, Any] = {
            "seconds_per_step": Spread.of(taken).figures(),
            "seconds_per_picture": Spread.of([step / batch_size for step in taken]).figures(),
            "pictures_per_second": Spread.of([batch_size / step for step in taken]).figures(),
        }
        if PUBLISHED in seconds:
            found["published/it"] = ratio(seconds[PUBLISHED], taken).figures()
        if work:
            limit, rate = ceilings.get(runs.first[name].dtype), work / found["seconds_per_step"]["median"]
            found |= {"flops_per_second": rate} | ({"of_conv_ceiling": rate / limit.both} if limit else {})
            found |= {"of_matmul_ceiling": rate / limit.matmul} if limit and limit.matmul else {}
        variants[name] = found | {"flops": work}
    return {"flops": work, "flops_counted": flops, "variants": variants, "missing": runs.missing}


def _row(name: str, batch_size: int, figures: Mapping[str, Any]) -> tuple[object, ...]:
    spreads = [Spread.from_figures(figures[key]) if key in figures else "" for key in SPREADS]
    if "flops_per_second" not in figures:
        return (name, batch_size, *spreads, "", "", "")
    shares = " / ".join(f"{figures[key]:.0%}" for key in SHARES if key in figures)
    work = (f"{figures['flops'] / 1e12:.3g}", f"{figures['flops_per_second'] / 1e12:.3g}", shares)
    return (name, batch_size, *spreads, *work)
