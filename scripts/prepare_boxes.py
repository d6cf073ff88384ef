#!/usr/bin/env python
r"""Lists your own images with boxes as a two-domain data set: YOLO, normalised corners, Pascal VOC, COCO.

    python scripts/prepare_boxes.py --format yolo --names data.yaml --images1 day/images --labels1 day/labels \
        --images2 night/images --labels2 night/labels --classes car=car,van person --save_root datasets/day2night
    python train.py --dataset_mode boxes --dataroot datasets/day2night --name day2night ...

Nothing is copied: the data set is a json in COCO's format for each domain and phase, and boxes.json, which tells where
the images are. With --images1 alone or --images2 alone, one domain is prepared, and another format can give the other.
All formats are told in docs/boxes.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.boxes.coco import read_coco  # noqa: E402
from data.boxes.objects import Classes, Found  # noqa: E402
from data.boxes.pairing import read_pairs  # noqa: E402
from data.boxes.voc import read_voc  # noqa: E402
from data.boxes.writing import BoxSet  # noqa: E402
from data.boxes.yolo import normalised, yolo  # noqa: E402
from instagan.errors import InputError  # noqa: E402
from instagan.io.text_files import read_class_names  # noqa: E402
from scripts.box_preparation import add_split, parser_for, run, split  # noqa: E402

FORMATS = ("yolo", "normalised", "voc", "coco")


def plan(args: argparse.Namespace, classes: Classes) -> tuple[list[BoxSet], Mapping[str, Any]]:
    names = read_class_names(args.names) if args.names else ()
    sets: list[BoxSet] = []
    for letter, images, labels in (("A", args.images1, args.labels1), ("B", args.images2, args.labels2)):
        if images is None:
            continue
        found = Found(classes)
        if args.format == "coco":
            if labels is None:
                raise InputError(f"--labels{1 + 'AB'.index(letter)} is missing: pass the json of {images}")
            read_coco(labels, images, found)
        elif args.format == "voc":
            read_pairs(images, labels or images, ".xml", read_voc, found)
        else:
            read = yolo(names) if args.format == "yolo" else normalised(names)
            read_pairs(images, labels or images, ".txt", read, found, bare=args.format == "yolo")
        sets += split(letter, images, found, args.val_share, args.seed)
    if not sets:
        raise InputError("pass --images1 DIR for domain A, --images2 DIR for domain B, or both")
    source = {"format": args.format, "val_share": args.val_share, "seed": args.seed}
    return sets, source | ({"names": list(names)} if names else {})


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr."""
    parser = parser_for(__doc__)
    add = parser.add_argument
    add("--format", choices=FORMATS, required=True, help="of the annotations")
    for number, domain in (("1", "A"), ("2", "B")):
        add(f"--images{number}", type=Path, metavar="DIR", help=f"images of domain {domain}, also in folders within it")
        add(f"--labels{number}", type=Path, metavar="PATH", help="their annotations (default: beside the images)")
    add("--names", type=Path, metavar="FILE", help="class names by number: one a line, or YOLO's data.yaml")
    add_split(parser)
    return run(argv, parser, plan)


if __name__ == "__main__":
    sys.exit(main())
