#!/usr/bin/env python
r"""Lists KITTI's images with their object labels as one domain of a data set.

    python scripts/prepare_kitti.py --data_root datasets/KITTI/training --domain A --save_root datasets/kitti2city
    python scripts/prepare_cityscapes.py --data_root datasets/cityscapes --domain B --save_root datasets/kitti2city
    python train.py --dataset_mode boxes --dataroot datasets/kitti2city --name kitti2city ...

data_root holds image_2/ and label_2/. See docs/boxes.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.boxes.kitti import CLASSES, read_kitti  # noqa: E402
from data.boxes.objects import Classes, Found  # noqa: E402
from data.boxes.pairing import read_pairs  # noqa: E402
from data.boxes.writing import BoxSet  # noqa: E402
from scripts.box_preparation import add_split, parser_for, run, split  # noqa: E402


def plan(args: argparse.Namespace, classes: Classes) -> tuple[list[BoxSet], Mapping[str, Any]]:
    images, found = args.data_root / "image_2", Found(classes)
    read_pairs(images, args.data_root / "label_2", ".txt", read_kitti, found)
    source = {"format": "kitti", "val_share": args.val_share, "seed": args.seed}
    return split(args.domain, images, found, args.val_share, args.seed), source


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr."""
    parser = parser_for(__doc__, CLASSES)
    add = parser.add_argument
    add("--data_root", type=Path, required=True, metavar="DIR", help="folder of image_2/ and label_2/")
    add("--domain", choices="AB", required=True, help="which domain these images are")
    add_split(parser)
    return run(argv, parser, plan)


if __name__ == "__main__":
    sys.exit(main())
