"""Draws a two-domain data set of shapes, the embedded example: A has warm squares, B has cool triangles.

    python scripts/make_shapes.py --save_root datasets/shapes --seed 0 --train 200 --val 40 --size 64

Every picture shows one to four instances that do not touch, on a background drawn the same way for both domains.
--level hard: up to eight, which touch and cover each other, with textures, and beside them discs and crosses that
belong to neither domain and have no mask. --level decoys: the same, but the objects without a mask look exactly like
instances of either domain, so that nothing but the masks tells which objects are to be translated; instances of one
picture differ in colour. --instances 1 2 4 draws pictures of one, two and four in turn. --size 1024 --sizes 0.06 0.09
draws large pictures of small instances.
--attribute keypoints also writes train.json and val.json in COCO's format, whose keypoints are the shapes' corners;
--attribute parts writes masks as label maps: 1 in the upper part of a shape, 2 in its lower part.
--domains 4 draws squares, triangles, circles and stars, in train_square, ..., for a model of many domains.
--infrared draws A as an infrared camera might see it, in one channel of 16 bits (docs/data.md, Other images than RGB).
Pictures are anti-aliased, masks are crisp. ``shapes.json`` holds the truth: what was drawn where, and what sets the
domains apart. A picture depends only on the seed, its phase, its domain and its number, so a longer set begins with a
shorter one.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.folders import folder_name  # noqa: E402
from data.shapes.drawing import DOMAINS, MANY, SIZES  # noqa: E402
from data.shapes.writing import LEVELS, PLAIN, write_set  # noqa: E402
from instagan.errors import sentence  # noqa: E402
from instagan.structures.attributes import KEYPOINTS, MASKS, PARTS  # noqa: E402


def clear(save_root: Path, phases: Sequence[str], overwrite: bool) -> None:
    """Removes an earlier set, nothing else; raises ``FileExistsError`` where something is and must not be replaced."""
    if not save_root.exists():
        return
    if not save_root.is_dir():
        raise FileExistsError(f"--save_root {save_root} is a file, give a folder.")
    if any(save_root.iterdir()) and not overwrite:
        raise FileExistsError(f"--save_root {save_root} is not empty, give another folder or add --overwrite.")
    for phase in phases:
        for domain in (*DOMAINS, *MANY):
            folder = folder_name(phase, domain.name)
            for name in (folder, f"{folder}_seg"):
                shutil.rmtree(save_root / name, ignore_errors=True)
    for name in ("shapes.json", *(f"{phase}.json" for phase in phases)):
        (save_root / name).unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 after one sentence on stderr when the folder is taken."""
    parser = argparse.ArgumentParser(description="Draw the embedded example: squares and triangles, with masks.")
    parser.add_argument("--save_root", type=Path, default=Path("datasets/shapes"), help="folder of the data set")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same images; 0 or more")
    parser.add_argument("--train", type=int, default=200, help="training images per domain")
    parser.add_argument("--val", type=int, default=40, help="validation images per domain")
    parser.add_argument("--size", type=int, default=64, help="side of an image in pixels, at least 32")
    parser.add_argument(
        "--level",
        choices=LEVELS,
        default=PLAIN,
        help="plain; hard: up to 8, overlapping, distracted; decoys: only masks tell what is to be translated",
    )
    parser.add_argument("--instances", type=int, nargs="+", metavar="N", help="instances of the images, in turn")
    parser.add_argument("--val_instances", type=int, nargs="+", metavar="N", help="of the validation images")
    parser.add_argument("--domains", type=int, default=2, choices=(2, 3, 4), help="2: A and B; more: named by shapes")
    parser.add_argument(
        "--attribute", choices=(MASKS, KEYPOINTS, PARTS), default=MASKS, help="what is told of each instance"
    )
    parser.add_argument(
        "--sizes", type=float, nargs=2, metavar=("LOW", "HIGH"),
        help="between which those of instances lie, as shares of --size (default: 0.22 0.32)",
    )  # fmt: skip
    parser.add_argument(
        "--infrared", action="store_true", help="A as 12 bits of one channel in files of 16: --input_range 0-4095"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier set in save_root")
    args = parser.parse_args(argv)
    for flag, least in (("seed", 0), ("train", 0), ("val", 0), ("size", 32)):
        if getattr(args, flag) < least:
            parser.error(f"--{flag} must be at least {least}, not {getattr(args, flag)}.")
    most = LEVELS[args.level].largest_count
    for flag in ("instances", "val_instances"):
        for number in getattr(args, flag) or ():
            if not 1 <= number <= most:
                parser.error(f"--{flag} must be 1 to {most} on the {args.level} level, not {number}.")
    if args.domains > 2 and args.level != PLAIN:
        parser.error(f"--level {args.level} knows two domains; drop --domains.")
    if args.attribute != MASKS and (args.domains > 2 or args.level != PLAIN):
        parser.error(f"--attribute {args.attribute} is for plain squares and triangles; drop --domains and --level.")
    if args.sizes and args.level != PLAIN:
        parser.error(f"--level {args.level} has sizes of its own; drop --sizes.")
    if args.sizes and not 0.01 <= args.sizes[0] <= args.sizes[1] <= SIZES[1]:
        parser.error(f"--sizes must be two shares from 0.01 to {SIZES[1]}, the smaller one first.")
    if args.domains > 2 and args.infrared:
        parser.error("--infrared knows two domains; drop --domains.")
    counts = {"train": args.train, "val": args.val}
    instances = {"train": args.instances or (), "val": args.val_instances or args.instances or ()}
    try:
        clear(args.save_root, list(counts), args.overwrite)
        shown = args.attribute, args.sizes, args.infrared
        write_set(args.save_root, args.seed, counts, args.size, args.level, instances, args.domains, *shown)
    except OSError as error:
        print(sentence(error), file=sys.stderr)
        return 2
    print(f"{args.save_root}: {args.train} training and {args.val} validation images per domain; truth: shapes.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
