#!/usr/bin/env python
r"""Lists two domains of the INIT data set (sunny, night, rainy, cloudy) with their boxes.

    python scripts/prepare_init.py --data_root datasets/INIT --domain1 sunny --domain2 night --save_root datasets/init
    python train.py --dataset_mode boxes --dataroot datasets/init --name init ...

Annotations are the files sunny*.txt anywhere in data_root, images are looked for in data_root/sunny. See docs/boxes.md.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.boxes.init import CLASSES, read_init  # noqa: E402
from data.boxes.objects import Classes, Found  # noqa: E402
from data.boxes.writing import BoxSet  # noqa: E402
from instagan.errors import InputError  # noqa: E402
from scripts.box_preparation import add_split, parser_for, run, split  # noqa: E402


def plan(args: argparse.Namespace, classes: Classes) -> tuple[list[BoxSet], Mapping[str, Any]]:
    sets: list[BoxSet] = []
    for letter, domain, folder in (("A", args.domain1, args.images1), ("B", args.domain2, args.images2)):
        images, found = folder or args.data_root / domain, Found(classes)
        if not images.is_dir():
            raise InputError(
                f"{images}: no such folder; pass that of the {domain} images as --images{'12'[letter == 'B']}"
            )
        name = re.compile(rf"{re.escape(domain)}[0-9_]*\.txt")
        files = sorted(path for path in args.data_root.rglob("*.txt") if name.fullmatch(path.name))
        if not files:
            raise InputError(f"{args.data_root} holds no {domain}.txt, {domain}1.txt, ...; pass another --data_root")
        for file in files:
            read_init(file, images, found)
        sets += split(letter, images, found, args.val_share, args.seed)
    domains = {"A": args.domain1, "B": args.domain2}
    return sets, {"format": "init", "domains": domains, "val_share": args.val_share, "seed": args.seed}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr."""
    parser = parser_for(__doc__, CLASSES)
    add = parser.add_argument
    add("--data_root", type=Path, required=True, metavar="DIR", help="folder of the annotations and of the domains")
    add("--domain1", default="sunny", metavar="NAME", help="domain A: sunny, night, rainy or cloudy")
    add("--domain2", default="night", metavar="NAME", help="domain B")
    add("--images1", type=Path, metavar="DIR", help="images of domain A (default: the domain's folder in data_root)")
    add("--images2", type=Path, metavar="DIR", help="images of domain B")
    add_split(parser)
    return run(argv, parser, plan)


if __name__ == "__main__":
    sys.exit(main())
