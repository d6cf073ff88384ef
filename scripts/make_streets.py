"""Draws a two-domain data set of street scenes with boxes, classes and masks: A by day, B by night.

    python scripts/make_streets.py --save_root datasets/streets --seed 0 --train 300 --val 30 --test 30 --size 96 64

Every image shows a street with cars, persons and speed signs. Day is clear or overcast, night is dusk, deep night or
rain. By night each class looks different in its own way: cars shine, signs shine back, persons are nearly dark.
Training scenes of A and B are different ones. Every validation and test scene is shown in both domains under one name,
and {phase}_styles holds it in all styles. ``streets.json`` is the truth; data/streets/writing.py tells what lies where.
An image depends only on the seed, the size, its phase, its domain and its number, so a longer set begins
with a shorter one.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.streets.writing import PHASES, Plan, write_set  # noqa: E402
from instagan.errors import InputError, sentence  # noqa: E402

FILES = [
    "dataset.json",
    "boxes.json",
    "streets.json",
    *(f"{phase}{letter}.json" for phase in PHASES for letter in "AB"),
]
FOLDERS = [f"{phase}{end}" for phase in PHASES for end in ("A", "A_seg", "B", "B_seg", "_styles")]
LEAST_SIDE = 32


def clear(save_root: Path, overwrite: bool) -> None:
    """Removes an earlier set, nothing else. Raises ``InputError`` where something is that must not be replaced."""
    if not save_root.exists():
        return
    if not save_root.is_dir():
        raise InputError(f"--save_root {save_root} is a file; pass a folder")
    if any(save_root.iterdir()) and not overwrite:
        raise InputError(f"--save_root {save_root} is not empty; pass another folder or add --overwrite")
    if any(save_root.iterdir()) and not (save_root / "streets.json").exists():
        raise InputError(f"--save_root {save_root} holds no set of make_streets.py to overwrite; pass another folder")
    for folder in FOLDERS:
        shutil.rmtree(save_root / folder, ignore_errors=True)
    for file in FILES:
        (save_root / file).unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 after one sentence on stderr when the folder is taken or a number is out of range."""
    parser = argparse.ArgumentParser(description="Draw streets by day and by night, with boxes, classes and masks.")
    add = parser.add_argument
    add("--save_root", type=Path, default=Path("datasets/streets"), help="folder of the data set")
    add("--seed", type=int, default=0, help="same seed, same images; 0 or more")
    for phase, count in (("train", 300), ("val", 30), ("test", 30)):
        add(f"--{phase}", type=int, default=count, metavar="N", help=f"{phase} images per domain (default: {count})")
    add("--size", type=int, nargs=2, default=(96, 64), metavar=("WIDTH", "HEIGHT"), help="in pixels (default: 96 64)")
    add("--overwrite", action="store_true", help="replace an earlier set in save_root")
    args = parser.parse_args(argv)
    for flag in ("seed", *PHASES):
        if getattr(args, flag) < 0:
            parser.error(f"--{flag} must be 0 or more, not {getattr(args, flag)}.")
    if min(args.size) < LEAST_SIDE:
        parser.error(f"--size must be at least {LEAST_SIDE} x {LEAST_SIDE}, not {args.size[0]} x {args.size[1]}.")
    counts = {phase: getattr(args, phase) for phase in PHASES}
    if not any(counts.values()):
        parser.error("--train, --val and --test are all 0; at least one image has to be drawn.")
    try:
        clear(args.save_root, args.overwrite)
        write_set(args.save_root, Plan(args.seed, tuple(args.size), counts))
    except (InputError, OSError) as error:
        print(sentence(error), file=sys.stderr)
        return 2
    told = ", ".join(f"{count} {phase}" for phase, count in counts.items())
    print(f"{args.save_root}: {told} images per domain; the truth is in streets.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
