"""benchmark.py memory: the peak memory of a training step, and how it grows with the number of instances.

On the CPU every measurement has a fresh process: `peak` is the most that was resident during the step, Python and
torch included, `above` what of it came on top of weights, optimizer state and all else that was there before the step.
On CUDA `peak` is what torch had allocated at most. Growth: from --growth's smallest number of instances to its largest,
all of them taken (--ins_max as many), --ins_per at a time.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from benchmarks.speed.measuring import table
from benchmarks.speed.peak import Peak, peak_of
from benchmarks.speed.variants import (
    OURS,
    PUBLISHED,
    Variant,
    Workload,
    add_variants,
    add_workload,
    variants_of,
    workload_of,
)
from instagan.errors import InputError
from instagan.flag_types import whole

HEADER = ("variant", "instances", "peak GiB", "above GiB", "peak of published", "above of published")
NO_POOL = ("--pool_size", "0")
"""Earlier fakes fill up during the first steps of a run and have nothing to do with a step."""

Point = tuple[str, int, Peak | str]
"""Variant, instances of a picture, and its peak or why there is none."""


def add_options(parser: argparse.ArgumentParser) -> None:
    add_workload(parser)
    parser.add_argument("--batch_size", type=whole(1), default=1, metavar="B", help="images in a batch")
    add_variants(parser, (PUBLISHED, OURS, f"{OURS}-checkpoint"))
    parser.add_argument(
        "--growth", type=whole(1), nargs="*", default=[2, 20], metavar="N", help="numbers of instances; none: leave out"
    )
    parser.add_argument(
        "--growth_of", type=Variant.named, nargs="+", default=[Variant(OURS)], metavar="V", help="variants for --growth"
    )


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The figures for --json, and a table of them."""
    others = NO_POOL if options.method == "insta_gan" else ()
    workload = replace(workload_of(options, options.batch_size), others=others)
    points = [_point(variant, workload) for variant in variants_of(options)]
    if all(isinstance(found, str) for *_, found in points):
        raise InputError("nothing to measure: " + "; ".join(_missing(points)))
    grown: list[Point] = []
    for variant in options.growth_of if options.growth else ():
        grown += [_point(variant, _with_instances(workload, count)) for count in options.growth]
    base = next((found for name, _, found in points if name == PUBLISHED and isinstance(found, Peak)), None)
    rows = [_row(*point, base) for point in points] + [_row(*point, None) for point in grown]
    growth = {variant.name: _growth(variant.name, grown) for variant in options.growth_of}
    notes = [f"growth of {name}: {share:+.1%} of the peak" for name, share in growth.items() if share is not None]
    method = next(found.method for *_, found in points if isinstance(found, Peak))
    figures = workload.facts() | {
        "batch_size": workload.batch_size,
        "method": method,
        "variants": [_figures(*point) for point in points],
        "growth": {"points": [_figures(*point) for point in grown], "of_peak": growth},
        "missing": _missing(points + grown),
    }
    described = f"{workload.described()}, batch {workload.batch_size}\n{method}"
    return figures, "\n".join([described, table(HEADER, rows), *notes, *_missing(points + grown)])


def _with_instances(workload: Workload, count: int) -> Workload:
    return replace(workload, instances=(count, count), ins_max=count)


def _point(variant: Variant, workload: Workload) -> Point:
    return variant.name, workload.instances[0], peak_of(variant, workload)


def _missing(points: Iterable[Point]) -> list[str]:
    return [f"{name} with {count} is left out: {found}" for name, count, found in points if isinstance(found, str)]


def _growth(name: str, points: list[Point]) -> float | None:
    """How much larger the largest peak of a variant is than that of the fewest instances."""
    peaks = {count: found.peak for of, count, found in points if of == name and isinstance(found, Peak)}
    return max(peaks.values()) / peaks[min(peaks)] - 1 if len(peaks) > 1 else None


def _figures(name: str, count: int, found: Peak | str) -> dict[str, Any]:
    return {"variant": name, "instances": count} | (asdict(found) if isinstance(found, Peak) else {"missing": found})


def _row(name: str, count: int, found: Peak | str, base: Peak | None) -> tuple[object, ...]:
    if isinstance(found, str):
        return (name, count, "", "", "", "")
    shares = (f"{found.peak / base.peak:.2f}", f"{found.above / base.above:.2f}") if base else ("", "")
    return (name, count, f"{found.peak / 2**30:.2f}", f"{found.above / 2**30:.2f}", *shares)
