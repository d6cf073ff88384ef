#!/usr/bin/env python
r"""Lists two domains of BDD100K, told apart by time of day, weather or scene: daytime and night by default.

    python scripts/prepare_bdd100k.py --data_root datasets/bdd100k --save_root datasets/day2night
    python scripts/prepare_bdd100k.py --data_root datasets/bdd100k --domain1 weather=clear timeofday=daytime \
        --domain2 weather=rainy,snowy timeofday=daytime --save_root datasets/clear2wet

data_root holds images/100k/train/, images/100k/val/ and, in labels/, a json for each: phases stay as they are. The
labels are those of the releases of 2018 and of 2020. See docs/boxes.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.boxes.bdd100k import CLASSES, Wanted, read_bdd100k  # noqa: E402
from data.boxes.objects import Classes, Found  # noqa: E402
from data.boxes.writing import BoxSet  # noqa: E402
from instagan.errors import InputError  # noqa: E402
from instagan.io.categories import split_names  # noqa: E402
from scripts.box_preparation import parser_for, run  # noqa: E402

FILES = ("bdd100k_labels_images_{phase}.json", "det_20/det_{phase}.json", "det_{phase}.json")
"""Of the releases of 2018 and 2020, in labels/."""


def plan(args: argparse.Namespace, classes: Classes) -> tuple[list[BoxSet], Mapping[str, Any]]:
    wanted = {"A": conditions(args.domain1, "--domain1"), "B": conditions(args.domain2, "--domain2")}
    sets: list[BoxSet] = []
    for phase in ("train", "val"):
        images, labels = args.data_root / "images" / "100k" / phase, args.data_root / "labels"
        names = [name.format(phase=phase) for name in FILES]
        file = next((labels / name for name in names if (labels / name).is_file()), None)
        if phase == "val" and not file and not images.is_dir():
            continue
        if not file or not images.is_dir():
            told = images if file else f"{labels}/{names[0]} or {names[1]}"
            raise InputError(f"{told}: not there; pass the folder of images/100k/ and labels/ as --data_root")
        of_domain = {letter: (of_letter, Found(classes)) for letter, of_letter in wanted.items()}
        read_bdd100k(file, images, of_domain)
        sets += [BoxSet(phase, letter, images, found) for letter, (_, found) in of_domain.items()]
    return sets, {"format": "bdd100k", "domains": wanted}


def conditions(words: Sequence[str], flag: str) -> Wanted:
    """``timeofday=night weather=clear,foggy`` -> attribute and values. Raises ``InputError``."""
    wanted: dict[str, list[str]] = {}
    for word in words:
        name, _, values = word.partition("=")
        if not name or not split_names(values):
            raise InputError(f"{flag} {word!r} is no ATTRIBUTE=VALUE,VALUE; write timeofday=night, say")
        wanted[name] = split_names(values)
    return wanted


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr."""
    parser = parser_for(__doc__, CLASSES)
    add = parser.add_argument
    add("--data_root", type=Path, required=True, metavar="DIR", help="folder of images/100k/ and labels/")
    told = "what an image of domain {} has: its attributes timeofday, weather, scene; all must fit"
    for number, domain, value in (("1", "A", "daytime"), ("2", "B", "night")):
        add(
            f"--domain{number}", nargs="+", default=[f"timeofday={value}"], metavar="ATTRIBUTE=VALUE[,VALUE]",
            help=told.format(domain),
        )  # fmt: skip
    return run(argv, parser, plan)


if __name__ == "__main__":
    sys.exit(main())
