"""benchmark.py batches: what learning rate and how many epochs a larger batch needs, on the embedded example.

Squares <-> triangles (make_shapes.py) are trained as in the demo with every batch size and learning rate, until the
three figures of measure_shapes.py are good in both directions on validation pictures: at least 95% of the shapes and of
the colours, a background error of at most 0.04. The rate falls to 0 in the second half of a run; one that does not get
there is followed by a longer one (--epochs). Rates are --lr (for batch 1) unchanged, times the square root of the batch
size, or times the batch size. Runs with the same seed are the same.

`s/step` is timed apart from the runs: all batch sizes take turns with equally many pictures. `seconds` are steps times
that. With --json a study that was stopped goes on: a run that is in the file is not run again.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.speed.batch_runs import REACHED, Cell, Run, Study, as_list, finished, keep
from benchmarks.speed.demo_figures import worst
from benchmarks.speed.measuring import Spread, table
from engine.device import choose_device
from evaluation.shapes import Figures
from instagan.flag_types import finite, whole

RATES: dict[str, Callable[[int], float]] = {
    "unchanged": lambda batch_size: 1.0,
    "sqrt": lambda batch_size: math.sqrt(batch_size),
    "linear": lambda batch_size: float(batch_size),
}
"""Name -> what the learning rate for batch 1 is multiplied by."""

LENGTHS = ("epochs", "pictures", "steps")
FIGURES = ("shape", "background", "colour")
HEADER = ("batch", "rate", "lr", "good", *LENGTHS, "s/step", "seconds", *FIGURES)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch_size", type=whole(1), nargs="+", default=[1, 4, 16], metavar="B", help="batch sizes")
    parser.add_argument("--rates", choices=RATES, nargs="+", default=list(RATES), help="how --lr follows the batch")
    parser.add_argument("--lr", type=finite(above=True), default=5e-4, help="learning rate at batch 1")
    parser.add_argument("--seeds", type=whole(0), nargs="+", default=[0, 1], metavar="N", help="a run of each")
    parser.add_argument("--epochs", type=whole(1), nargs="+", default=[12, 24, 48], metavar="N", help="lengths of runs")
    parser.add_argument("--size", type=whole(32), default=64, help="width and height of the images")
    parser.add_argument("--ngf", type=whole(1), default=16, help="width of generators and discriminators")
    parser.add_argument("--train", type=whole(1), default=48, help="training images of each domain: an epoch")
    parser.add_argument("--val", type=whole(1), default=12, help="validation images of each domain")
    parser.add_argument("--every", type=whole(1), default=96, help="training images between two looks at the figures")
    parser.add_argument("--repeats", type=whole(1), default=5, help="turns in which steps are timed")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The figures for --json, and a table of them."""
    device = choose_device(argparse.Namespace(device=options.device, gpu_ids=None))
    study = Study.of(options)
    runs = finished(options.json, study.settings()) if options.json else {}
    with TemporaryDirectory(prefix="benchmark-batches-") as name:
        folder = Path(name)
        study.draw(folder)
        for cell in _cells(options, runs):
            if options.json:  # before the first run too, so that a file that cannot be written costs no time
                keep(options.json, study.settings(), runs)
            if cell not in runs:
                runs[cell] = study.run(folder, cell)
                print(f"{cell}: {_summary(runs[cell])}", file=sys.stderr, flush=True)
        if options.json:
            keep(options.json, study.settings(), runs)
        seconds = study.seconds_per_step(folder, options.batch_size, options.repeats)
    spreads = {size: Spread.of(taken) for size, taken in seconds.items()}
    figures = {"device": str(device), "settings": study.settings(), "runs": as_list(runs)}
    figures["seconds_per_step"] = {str(size): spread.figures() for size, spread in spreads.items()}
    rows = []
    for batch_size, rate in _rows(options):
        lr = options.lr * RATES[rate](batch_size)
        last = [_last(batch_size, lr, seed, runs, options) for seed in options.seeds]
        rows.append((batch_size, rate, f"{lr:.3g}", *_row(last, spreads[batch_size])))
    sizes = f"{study.size} x {study.size} pixels, ngf {study.ngf}, {study.train} pictures in an epoch"
    by_seed = " / ".join(map(str, options.seeds))
    about = f"{sizes}; looked at every {study.every} pictures; seeds {by_seed}"
    return figures, f"{about}\n{table(HEADER, rows)}"


def _rows(options: argparse.Namespace) -> Iterator[tuple[int, str]]:
    """Batch sizes and rates; with a batch of 1 all rates are one."""
    for batch_size in options.batch_size:
        rates = {RATES[rate](batch_size): rate for rate in reversed(options.rates)}
        yield from ((batch_size, rate) for rate in reversed(rates.values()))


def _cells(options: argparse.Namespace, runs: Mapping[Cell, Run]) -> Iterator[Cell]:
    """Short runs first and seed by seed, so that a study that is stopped early has something on everything.

    runs: grows meanwhile; what was good in one of them is not trained for longer.
    """
    for epochs, seed, (batch_size, rate) in product(sorted(options.epochs), options.seeds, list(_rows(options))):
        lr = options.lr * RATES[rate](batch_size)
        shorter = [Cell(batch_size, lr, seed, fewer) for fewer in options.epochs if fewer < epochs]
        if not any(cell in runs and runs[cell]["ended"] == REACHED for cell in shorter):
            yield Cell(batch_size, lr, seed, epochs)


def _last(
    batch_size: int, lr: float, seed: int, runs: Mapping[Cell, Run], options: argparse.Namespace
) -> tuple[Cell, Run]:
    """The shortest run that was good, or else the longest."""
    for epochs in sorted(options.epochs):
        cell = Cell(batch_size, lr, seed, epochs)
        if runs[cell]["ended"] == REACHED:
            break
    return cell, runs[cell]


def _row(last: list[tuple[Cell, Run]], seconds: Spread) -> tuple[str, ...]:
    """Of all seeds. What was not good has ``>`` before what it took; its last figures tell why."""
    marks = ["" if run["ended"] == REACHED else ">" for _, run in last]
    counts = zip(*((cell.epochs, run["pictures"], run["steps"]) for cell, run in last), strict=True)
    epochs, pictures, steps = (_by_seed(marks, of_seeds) for of_seeds in counts)
    taken = _by_seed(marks, [run["steps"] * seconds.median for _, run in last])
    figures = [_shown(run["looks"][-1]) if run["looks"] else ("-",) * len(FIGURES) for _, run in last]
    shown = [" / ".join(of_seeds) for of_seeds in zip(*figures, strict=True)]
    return (f"{marks.count('')} of {len(last)}", epochs, pictures, steps, f"{seconds.median:.3g}", taken, *shown)


def _by_seed(marks: Sequence[str], values: Sequence[float]) -> str:
    return " / ".join(f"{mark}{value:.0f}" for mark, value in zip(marks, values, strict=True))


def _shown(look: Mapping[str, Any]) -> tuple[str, ...]:
    """Shape share, background error and colour share, each of the direction where it is worse."""
    shape, background, colour = worst({way: Figures(**one) for way, one in look.items() if isinstance(one, dict)})
    return f"{shape:.0%}", f"{background:.3f}", f"{colour:.0%}"


def _summary(run: Run) -> str:
    told = f"{run['ended']} after {run['pictures']} pictures, {run['steps']} steps"
    shown = zip(FIGURES, _shown(run["looks"][-1]), strict=True) if run["looks"] else ()
    return ", ".join([told, *(f"{name} {value}" for name, value in shown)])
