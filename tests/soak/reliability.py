#!/usr/bin/env python
"""Tries the laws of docs/reliability.md: kills, planted faults, damaged files, generated input; prints one table.

    python tests/soak/reliability.py                         everything (make reliability)
    python tests/soak/reliability.py kills --kills 1000      one check, with more kills than usual

Every check runs in a process of its own. The exit code is 1 if a law is broken.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # checks run several processes beside each other

from tests.soak.reliability_checks.rows import Budget, Row, table  # noqa: E402

CHECKS: dict[str, str] = {
    "resume": "SIGKILL after a step, in every phase and way of training",
    "faults": "damaged checkpoints, failing disks, two runs in one folder",
    "kills": "SIGKILL at random moments, and at every file operation of a save",
    "numbers": "NaN and infinities, planted; steps made again from their dumps",
    "signals": "SIGTERM and its like, once and twice; ranks that die below torchrun",
    "watching": "servers that hang or talk nonsense, full disks, and what watching costs",
    "long_run": "thousands of tiny steps, and what they take",
    "fuzz": "generated hostile input for all that reads any",
}
"""Name -> what it tries, in a few words. Each is a module in reliability_checks/ with ``run(budget) -> rows``."""

LIMIT_MINUTES = 20
"""For one check: what takes longer hangs, which no law allows."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 if a law is broken; 2 after one sentence on stderr; 130 when stopped."""
    options = _parser().parse_args(argv)
    if unknown := [name for name in options.checks if name not in CHECKS]:
        print(f"reliability.py: there is no check {unknown[0]}; there are: {', '.join(CHECKS)}", file=sys.stderr)
        return 2
    rows: list[Row] = []
    try:
        with tempfile.TemporaryDirectory(prefix="reliability_") as folder:
            for name in options.checks or CHECKS:
                print(f"{name}: {CHECKS[name]} ...", flush=True)
                started, place = time.monotonic(), Path(folder) / name
                place.mkdir()
                budget = Budget(place, options.kills, options.places, options.cases, options.steps, options.seed)
                found = _isolated(name, budget, options.minutes)
                rows += found
                held = "held" if all(row.passed for row in found) else "BROKEN"
                print(f"{name}: {held}, {time.monotonic() - started:.0f} s", flush=True)
    except KeyboardInterrupt:
        return 130
    broken = sum(not row.passed for row in rows)
    print("", table(rows), "", f"{len(rows) - broken} of {len(rows)} hold", sep="\n")
    return 1 if broken else 0


def _isolated(name: str, budget: Budget, minutes: float) -> list[Row]:
    """The rows of a check that runs in a process of its own; a row that tells of it if it crashes or hangs."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(name, budget, sender))
    process.start()
    sender.close()
    try:
        if not receiver.poll(minutes * 60):
            return [_lost(name, f"no end after {minutes:g} minutes")]
        return receiver.recv()  # type: ignore[no-any-return]
    except EOFError:
        process.join()
        return [_lost(name, f"ended with exit code {process.exitcode} and no rows")]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid or 0, signal.SIGKILL)  # with all that it has started
        process.join()


def _run(name: str, budget: Budget, sender: Connection) -> None:
    os.setsid()
    try:
        rows = importlib.import_module(f"tests.soak.reliability_checks.{name}").run(budget)
    except Exception as error:
        traceback.print_exc()
        rows = [_lost(name, f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:100]}")]
    sender.send(rows)


def _lost(name: str, why: str) -> Row:
    return Row(f"? {name}", CHECKS[name], why, passed=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"any of {', '.join(CHECKS)} (all)")
    parser.add_argument("--kills", type=int, default=100, metavar="N", help="of a training at random moments (100)")
    parser.add_argument("--places", type=int, default=6, metavar="N", help="of a file at which it is damaged (6)")
    parser.add_argument("--cases", type=int, default=10_000, metavar="N", help="of generated input (10000)")
    parser.add_argument("--steps", type=int, default=6000, metavar="N", help="of the long run (6000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of what is drawn (0)")
    parser.add_argument("--minutes", type=float, default=LIMIT_MINUTES, metavar="N", help="most for one check")
    return parser


if __name__ == "__main__":
    sys.exit(main())
