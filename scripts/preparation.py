"""What the prepare_*.py programs share: flags, progress, what is said at the end, and how they stop."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from data.entries import add_input_range
from data.preparing.building import Report, build, clear
from data.preparing.categories import split_names
from data.preparing.geometry import Target
from data.preparing.parallel import cores
from data.preparing.tasks import Plan, Task
from data.preparing.writing import Writer
from instagan.errors import InputError, one_line, sentence
from instagan.flag_types import fraction, levels_of, whole
from instagan.io.problems import cost
from instagan.io.reading import ALL_LEVELS

Item = TypeVar("Item")

NAMED = 20
"""Bad files that are named at the end; all of them are in dataset.json."""


def image_size(text: str) -> tuple[int, int]:
    """A flag's type: "256" -> (256, 256), "300x450" -> (300, 450), "0" -> (0, 0)."""
    sides = text.lower().split("x")
    if not 1 <= len(sides) <= 2 or not all(side.isdecimal() for side in sides):
        raise argparse.ArgumentTypeError(f"must be a side in pixels or WIDTHxHEIGHT, not {text!r}")
    width, height = int(sides[0]), int(sides[-1])
    if (width == 0) != (height == 0) or max(width, height) > 8192:
        raise argparse.ArgumentTypeError(f"must be from 1 to 8192 pixels, or 0 for images as they are, not {text!r}")
    return width, height


def parser_for(description: str | None, size: str, categories_needed: bool = True) -> argparse.ArgumentParser:
    """A parser with the flags that all programs have. size: default of --image_size."""
    parser = argparse.ArgumentParser(
        description=(description or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--save_root", type=Path, required=True, metavar="DIR", help="folder of the data set to write")
    for flag, domain in (("--cat1", "A"), ("--cat2", "B")):
        add(flag, required=categories_needed, metavar="NAME[,NAME]", help=f"category or categories of domain {domain}")
    add("--image_size", type=image_size, default=size, metavar="N", help="side, or WxH; 0 keeps the images' size")
    add("--keep_aspect", action="store_true", help="write full images: resized, not cropped")
    add("--min_area", type=whole(1), default=1, metavar="PIXELS", help="drop smaller instances (in the written image)")
    add("--max_instances", type=whole(1), metavar="N", help="keep an image's N largest instances (default: all)")
    add_input_range(add)
    add("--workers", type=whole(1), default=cores(), metavar="N", help="processes")
    add("--skip_bad", action="store_true", help="leave out what is bad, as little as can be, and name it")
    add("--overwrite", action="store_true", help="replace what was prepared in save_root with other settings")
    return parser


def add_split(parser: argparse.ArgumentParser, val_share: float) -> None:
    parser.add_argument(
        "--val_share", type=fraction, default=val_share, help="share of the images that becomes the validation set"
    )
    parser.add_argument("--seed", type=whole(0), default=0, help="of the split")


def category_names(args: argparse.Namespace) -> dict[str, list[str]]:
    """Domain -> the names given for it."""
    return {"A": split_names(args.cat1, "--cat1"), "B": split_names(args.cat2, "--cat2")}


def bar(what: str) -> Callable[[Iterable[Item], int], Iterable[Item]]:
    """Shows how far it is: wraps items, given their number."""
    every = 0.5 if sys.stderr.isatty() else 30  # seconds; a log is not to be flooded
    return lambda items, total: tqdm(
        items, what, total, leave=False, dynamic_ncols=True, unit="picture", mininterval=every, delay=1
    )


def run(
    argv: Sequence[str] | None,
    parser: argparse.ArgumentParser,
    planner: Callable[[argparse.Namespace], Plan | tuple[Plan, Callable[[Iterable[Task]], Iterable[Task]]]],
) -> int:
    """Plans and builds. Exit code 0; 2 after one sentence on stderr for bad input; 130 or 143 when stopped."""
    args = parser.parse_args(argv)
    with _stoppable():
        try:
            planned = planner(args)
            plan, prepare = planned if isinstance(planned, tuple) else (planned, iter)
            if args.overwrite:
                clear(args.save_root)
            target = Target(*args.image_size, keep_aspect=args.keep_aspect)
            levels = levels_of(args.input_range, ALL_LEVELS)
            writer = Writer(args.save_root, target, args.min_area, args.max_instances, levels)
            settings: dict[str, Any] = {
                name: getattr(args, name) for name in ("image_size", "keep_aspect", "min_area", "max_instances")
            }
            if args.input_range:
                settings["input_range"] = args.input_range
            workers = 1 if isinstance(planned, tuple) else args.workers
            report = build(plan, writer, settings, workers, args.skip_bad, bar("writing"), prepare)
        except (InputError, OSError) as error:
            print(sentence(error, args.save_root), file=sys.stderr)
            return 2
        except (KeyboardInterrupt, _Terminated) as stop:
            print("stopped; the same command goes on with what is missing", file=sys.stderr)
            return 143 if isinstance(stop, _Terminated) else 130
    _tell(args.save_root, plan, report)
    return 0


def _tell(root: Path, plan: Plan, report: Report) -> None:
    """Names bad and absent files and peculiarities on stderr, and ends with one summary line on stdout."""
    bad = [problem.sentence for problem in report.skipped]
    for reasons, what in (([reason for _, reason in report.absent], "absent pictures"), (bad, "skipped")):
        for reason in reasons[:NAMED]:
            print(one_line(f"{what}: {reason}"), file=sys.stderr)
        if len(reasons) > NAMED:
            print(f"{what}: {len(reasons) - NAMED} more, listed in {root / 'dataset.json'}", file=sys.stderr)
    names = {
        domain: ",".join(category.name for category in categories) for domain, categories in plan.categories.items()
    }
    parts = [
        f"{folder} {count['pictures']} pictures, {count['instances']} instances ({names[folder[-1]]})"
        for folder, count in report.content["counts"].items()
    ]
    dropped = [f"{count} instances {reason}" for reason, count in report.content["dropped"].items()]
    left_out = len(report.content["left_out"])
    if left_out:
        dropped.append(f"{left_out} pictures without any instance left")
    if dropped:
        parts.append("dropped: " + ", ".join(dropped))
    parts.extend(plan.notes)
    parts.extend([f"{len(report.absent)} absent"] if report.absent else [])
    parts.extend([cost(report.skipped)] if report.skipped else [])
    if report.kept:
        parts.append(f"{report.kept} were there already")
    print(one_line(f"{root}: {'; '.join(parts)}"))


class _Terminated(BaseException):
    """SIGTERM, so that what is open is closed."""


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM raises within; afterwards it means again what it meant before."""

    def terminate(*_: object) -> None:
        raise _Terminated

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not the main thread: nobody can stop us that way
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
