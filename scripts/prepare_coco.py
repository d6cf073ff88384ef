#!/usr/bin/env python
r"""Makes a two-domain data set from COCO, or from any annotations in COCO's format.

    python scripts/prepare_coco.py --data_root datasets/COCO --save_root datasets/shp2gir_coco \
        --cat1 sheep --cat2 giraffe
    python scripts/prepare_coco.py --annotations my.json --images my_pictures --val_share 0.1 --save_root ... --cat1 ...

Pictures of each domain are taken independently, as the published program does: one that shows both is in both. Crowd
regions are no instances. Stopped, it goes on where it was when run again. What is written is told in docs/data.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.preparing.coco import CocoPart, official_parts, plan_coco  # noqa: E402
from data.preparing.tasks import Plan  # noqa: E402
from instagan.errors import InputError  # noqa: E402
from instagan.io.optional import need  # noqa: E402
from scripts.preparation import add_split, category_names, parser_for, run  # noqa: E402


def plan(args: argparse.Namespace) -> Plan:
    names = category_names(args)
    need("pycocotools.mask", "pycocotools", "reading COCO masks")
    made = plan_coco(
        plan_parts(args), names, args.val_share, args.seed, crowd_as_instances=args.crowd_as_instances,
        skip_bad=args.skip_bad, keypoints=args.keypoints,
    )  # fmt: skip
    if args.keypoints:
        made.source["keypoints"] = True
    if args.val_share:
        made.source |= {"val_share": args.val_share, "seed": args.seed}
    return made


def plan_parts(args: argparse.Namespace) -> list[CocoPart]:
    """The annotation files that the flags name. Raises ``InputError`` where they contradict each other."""
    if bool(args.annotations) == bool(args.data_root):
        raise InputError("pass --data_root DIR for COCO's own layout, or else --annotations FILE and --images DIR")
    if args.data_root:
        parts = official_parts(args.data_root, args.year, "person_keypoints" if args.keypoints else "instances")
        if args.val_share and len(parts) > 1:
            raise InputError(
                "--val_share splits one annotation file, but there are two, for train and val; leave it out"
            )
    else:
        if not args.images:
            raise InputError("--annotations needs --images DIR, the folder that its file names start from")
        parts = [CocoPart("train", args.annotations, args.images)]
    for part in parts:
        if not part.images.is_dir():
            raise InputError(f"{part.images}: no such folder; it should hold the images of {part.annotations}")
    return parts


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr; 130 when stopped."""
    parser = parser_for(__doc__, size="256")
    parser.add_argument("--data_root", type=Path, metavar="DIR", help="folder of annotations/, train2017/, val2017/")
    parser.add_argument("--year", default="2017", help="of the file names in data_root")
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="json in COCO's format, instead of data_root")
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of its images")
    parser.add_argument("--crowd_as_instances", action="store_true", help="take crowd regions as instances, too")
    parser.add_argument("--keypoints", action="store_true", help="with keypoints; of COCO person_keypoints_*.json")
    add_split(parser, val_share=0.0)
    return run(argv, parser, plan)


if __name__ == "__main__":
    sys.exit(main())
