#!/usr/bin/env python
"""Tries hostile input on everything that reads what others made; docs/reliability.md tells what it has found.

    python tests/soak/fuzz.py                                  10,000 cases, the same every time (the tests run 1,000)
    python tests/soak/fuzz.py --seconds 3600 --seed 7          an hour of others (make fuzz)
    python tests/soak/fuzz.py --only mask --engine atheris     steered by what the code does with a case

Cases that break the law are kept in --keep. Exit code 0, 1 if there is any, 2 for wrong input.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")

PROGRAM = "fuzz.py"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 if a law is broken; 2 after one sentence on stderr; 130 when stopped."""
    options = _parser().parse_args(argv)
    needed = ["hypothesis"] + (["atheris"] if options.engine == "atheris" else [])
    if absent := [name for name in needed if importlib.util.find_spec(name) is None]:
        print(f"{PROGRAM}: the package {absent[0]} is missing; run: pip install {absent[0]}", file=sys.stderr)
        return 2
    try:
        return _fuzz(options)
    except KeyboardInterrupt:
        return 130


def _fuzz(options: argparse.Namespace) -> int:
    from tests.soak.fuzzing import steered
    from tests.soak.fuzzing.running import Count, fuzz
    from tests.soak.fuzzing.session import Plan, all_targets, run_all

    warnings.simplefilter("ignore")
    targets = [target for target in all_targets() if not options.only or target.name in options.only]
    if options.engine == "atheris":
        targets = [target for target in targets if target.corpus]
    if not targets:
        names = ", ".join(sorted(target.name for target in all_targets()))
        print(f"{PROGRAM}: --only {' '.join(options.only)}: no such target; there are: {names}", file=sys.stderr)
        return 2
    cases = options.cases or (10**9 if options.seconds else 10_000)
    plan = Plan(cases, options.seconds or 10**6, options.seed, options.jobs)
    engine = steered.fuzz if options.engine == "atheris" else fuzz
    counts: list[Count] = []
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="fuzz_") as folder:
        for count in run_all(targets, plan, Path(folder), engine):
            counts.append(count)
            print(
                f"{count.target:24} {count.cases:9,} cases {count.seconds:8.1f} s {len(count.finds):4} finds",
                flush=True,
            )
            for find in count.finds:
                print(f"    {find.told}; kept as {find.keep(options.keep)}", flush=True)
    whole, finds = sum(count.cases for count in counts), sum(len(count.finds) for count in counts)
    print(f"{len(counts)} readers, {whole:,} cases, {finds} finds, {time.perf_counter() - started:.0f} s")
    if options.json:
        told: dict[str, Any] = {"seed": options.seed, "engine": options.engine, "cases": whole}
        told["targets"] = {
            count.target: {"cases": count.cases, "finds": [f.told for f in count.finds]} for count in counts
        }
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    return 1 if finds else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cases", type=int, metavar="N", help="of all targets together (10000, or as many as --seconds allow)")
    add("--seconds", type=float, metavar="S", help="at most so long (default: until the cases are tried)")
    add("--seed", type=int, default=0, metavar="N", help="of the cases (0)")
    add("--only", nargs="+", default=[], metavar="TARGET", help="some targets by name")
    add("--engine", choices=("hypothesis", "atheris"), default="hypothesis", help="what thinks of cases")
    add("--jobs", type=int, default=2, metavar="N", help="processes at a time (2)")
    add("--keep", type=Path, default=Path("results/fuzz"), metavar="DIR", help="where finds go (results/fuzz)")
    add("--json", type=Path, metavar="FILE", help="write the counts there as well")
    return parser


if __name__ == "__main__":
    sys.exit(main())
