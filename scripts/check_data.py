#!/usr/bin/env python
"""Checks a data set: reads every picture with its masks or boxes once and names all that is wrong.

    python scripts/check_data.py --dataroot datasets/shp2gir
    python scripts/check_data.py --dataroot datasets/shp2gir --phases train val --json report.json --preview
    python scripts/check_data.py --dataroot datasets/day2night --dataset_mode boxes --preview
    python scripts/check_data.py --dataroot datasets/animals --domains horse,zebra,giraffe

Errors are what training would stop at, warnings what it makes do with; docs/checking_data.md lists both. Exit code 0
without errors, 1 with errors, 2 for wrong input.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.checking.boxes import check_boxes  # noqa: E402
from data.checking.checking import Report, check, classes_of  # noqa: E402
from data.checking.files import Limits  # noqa: E402
from data.checking.findings import ERROR, WARNING, Finding  # noqa: E402
from data.checking.naming import TWO  # noqa: E402
from data.checking.page import write_preview  # noqa: E402
from data.preparing.parallel import cores  # noqa: E402
from instagan.cli.ending import exit_code  # noqa: E402
from instagan.errors import InputError  # noqa: E402
from instagan.flag_types import SentenceParser, levels, real, whole  # noqa: E402
from instagan.io.categories import split_names  # noqa: E402
from instagan.io.formats import FLAGS, formats_of  # noqa: E402
from instagan.io.writing import write_whole  # noqa: E402
from pages.text import plain, readable  # noqa: E402
from scripts.preparation import bar  # noqa: E402

PROGRAM = "check_data.py"
PREVIEWS = Path("results") / "check_data"
"""Where previews go: into a folder named after the data set."""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, 1 if there are errors, 2 after one sentence on stderr for wrong input, 130 when interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names may hold what a terminal cannot show
    return exit_code(PROGRAM, lambda: _check(parse(argv)), "interrupted; it can be run again")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The flags, checked. Raises ``InputError``."""
    parser = SentenceParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add, limits = parser.add_argument, Limits()
    add(
        "--dataroot",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of trainA, trainA_seg, ..., or of boxes.json",
    )
    add("--domains", type=named, default=TWO, metavar="NAME,NAME", help="of many domains: folders such as train_horse")
    add("--phases", nargs="+", metavar="PHASE", help="phases that must be there (default: all that are)")
    add(
        "--dataset_mode", choices=["unaligned_seg", "unaligned", "boxes"], default="unaligned_seg",
        help="unaligned: no masks; boxes: what prepare_boxes.py and its kin have listed",
    )  # fmt: skip
    add(
        "--tiny_area",
        type=whole(0),
        default=limits.tiny_area,
        metavar="PIXELS",
        help="masks or boxes below this are tiny",
    )
    add(
        "--overlap",
        type=real(0, 1, above=True),
        default=limits.overlap,
        metavar="IOU",
        help="masks that share this overlap heavily",
    )
    add(
        "--imbalance",
        type=real(1, above=True),
        default=limits.imbalance,
        metavar="N",
        help="domains may differ by less than this",
    )
    for name in FLAGS.values():
        add(f"--{name}_nc", type=whole(1), default=3, metavar="N", help="channels, as for train.py; not with boxes")
        add(f"--{name}_range", type=levels, metavar="LOW:HIGH", help="the same of the range")
    add("--parts", type=whole(1), metavar="N", help="masks are label maps of N parts (train.py --attribute parts)")
    add("--workers", type=whole(1), default=cores(), metavar="N", help="processes; the report is the same for any N")
    add("--list", type=whole(0), default=20, metavar="N", help="warnings named of each kind, 0: all; errors all are")
    add("--json", type=Path, metavar="FILE", help="write all findings there as well")
    add("--preview", nargs="?", type=whole(1), const=8, metavar="N", help="draw N (8) random images of each domain")
    add("--preview_dir", type=Path, metavar="DIR", help=f"where to (default: {PREVIEWS}/NAME)")
    add("--seed", type=whole(0), default=0, help="of the images that the preview shows")
    args = parser.parse_args(argv)
    # os.path, unlike Path, takes a name that is too long for one that is not there
    if args.json and (os.path.isdir(args.json) or not os.path.isdir(args.json.absolute().parent)):
        raise InputError(f"--json {args.json} cannot be written: it is a folder, or in none; pass a file")
    if args.preview is None and args.preview_dir:
        args.preview = 8
    return args


def named(text: str) -> tuple[str, ...]:
    """``horse,zebra`` -> the names, two or more."""
    names = tuple(split_names(text))
    if len(names) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} names less than two domains; separate them by commas")
    return names


def _check(args: argparse.Namespace) -> int:
    started = time.perf_counter()
    limits = Limits(args.tiny_area, args.overlap, args.imbalance, args.parts or 0)
    if args.dataset_mode == "boxes":
        report = check_boxes(args.dataroot, args.phases, limits, args.workers, bar("checking"))
    else:
        with_masks = args.dataset_mode == "unaligned_seg"
        how = limits, args.workers, bar("checking"), args.domains, formats_of(vars(args))
        report = check(args.dataroot, args.phases, with_masks, *how)
    if args.json:
        content = json.dumps(report.content(), indent=1) + "\n"
        write_whole(args.json, lambda scratch: scratch.write_text(content), "pass another --json")
    page = None
    if args.preview:
        folder = args.preview_dir or PREVIEWS / (plain(args.dataroot.resolve().name) or "data")
        page = write_preview(folder, report, args.preview, args.seed)
    for line in (*told(report, args.list), *counts(report)):
        print(readable(line))
    if page:
        print(readable(f"preview: {page}"))
    print(readable(f"{summary(report)}, {time.perf_counter() - started:.1f} s"))
    sys.stdout.flush()
    return 1 if report.count(ERROR) else 0


def told(report: Report, most: int) -> Iterator[str]:
    """Errors by file, then warnings by kind: at most so many of each kind (0: all)."""
    kinds: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in report.findings:
        if finding.severity == ERROR:
            yield _line(finding)
        else:
            kinds[finding.code].append(finding)
    for code in sorted(kinds):
        shown = kinds[code][: most or None]
        yield from map(_line, shown)
        if len(shown) < len(kinds[code]):
            yield f"{WARNING}    ... and {len(kinds[code]) - len(shown)} more [{code}]; --list 0 names all"


def counts(report: Report) -> Iterator[str]:
    """Of a data set with boxes: how many there are of each category, and how large they are."""
    for listing in report.listings if report.boxes else ():
        bare = sum(not task.count for task in listing.tasks)
        parts = [f"{len(listing.tasks)} pictures" + (f", {bare} without a box" if bare else "")]
        for name, told in classes_of((report.boxes or {}).get(listing.folder, {})).items():
            sizes = (
                "shorter side {least:g} to {most:g} pixels, median {median:g}".format(**told) if told["boxes"] else ""
            )
            parts.append(f"{name} {told['boxes']} boxes" + (f", {sizes}" if sizes else ""))
        yield f"{listing.folder}: {'; '.join(parts)}"


def summary(report: Report) -> str:
    counts = {name: report.count(name) for name in (ERROR, WARNING)}
    found = ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items())
    return f"{report.root}: {report.pictures} pictures, {report.masks} {report.counted}; {found}"


def _line(finding: Finding) -> str:
    return f"{finding.severity:<9}{finding.file} {finding.message} [{finding.code}]"


if __name__ == "__main__":
    sys.exit(main())
