#!/usr/bin/env python
r"""Lists Cityscapes' images with the masks and boxes of its objects as one domain of a data set.

    python scripts/prepare_cityscapes.py --data_root datasets/cityscapes --domain B --save_root datasets/kitti2city

data_root holds leftImg8bit/train/, leftImg8bit/val/ and the same in gtFine/: phases stay. See docs/boxes.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.boxes.cityscapes import CLASSES, IMAGE, POLYGONS, read_cityscapes  # noqa: E402
from data.boxes.objects import Classes, Found  # noqa: E402
from data.boxes.pairing import read_pairs  # noqa: E402
from data.boxes.writing import BoxSet  # noqa: E402
from scripts.box_preparation import parser_for, run  # noqa: E402


def plan(args: argparse.Namespace, classes: Classes) -> tuple[list[BoxSet], Mapping[str, Any]]:
    sets = []
    for phase in ("train", "val"):
        images, labels, found = (
            args.data_root / "leftImg8bit" / phase,
            args.data_root / "gtFine" / phase,
            Found(classes),
        )
        if images.is_dir() or phase == "train":
            read_pairs(images, labels, ".json", read_cityscapes, found, suffixes=(IMAGE, POLYGONS))
            sets.append(BoxSet(phase, args.domain, images, found))
    return sets, {"format": "cityscapes"}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr."""
    parser = parser_for(__doc__, CLASSES)
    add = parser.add_argument
    add("--data_root", type=Path, required=True, metavar="DIR", help="folder of leftImg8bit/ and gtFine/")
    add("--domain", choices="AB", required=True, help="which domain these images are")
    return run(argv, parser, plan)


if __name__ == "__main__":
    sys.exit(main())
