"""What the programs share that list images with boxes: flags, class maps, and what is said at the end."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.boxes.objects import Classes, Found
from data.boxes.writing import FILE_NAME, BoxSet, save
from data.preparing.splitting import validation_part
from instagan.errors import InputError, one_line, sentence
from instagan.flag_types import fraction, whole
from instagan.io.categories import check_names, split_names
from instagan.io.problems import cost, refuse

NAMED = 20
"""Bad parts that are named at the end; all of them are in boxes.json."""


def parser_for(description: str | None, classes: Sequence[str] = ()) -> argparse.ArgumentParser:
    """A parser with the flags that all programs have. classes: what --classes is by default."""
    parser = argparse.ArgumentParser(
        description=(description or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--save_root", type=Path, required=True, metavar="DIR", help="folder of the data set to write")
    add(
        "--classes", nargs="+", default=list(classes) or None, metavar="NAME=CLASS[,CLASS]",
        help="categories of the data set, and the classes of the source that each is made of; NAME alone is its own "
        "class; other classes are left out" + ("" if classes else " (default: all, as they are called)"),
    )  # fmt: skip
    add("--without_empty", action="store_true", help="leave out images that have no box of these categories")
    add("--skip_bad", action="store_true", help="leave out what is bad, as little as can be, and name it")
    add("--overwrite", action="store_true", help="replace the domains of save_root that are prepared here")
    return parser


def add_split(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--val_share", type=fraction, default=0.1, help="share of the images for validation")
    parser.add_argument("--seed", type=whole(0), default=0, help="of the split")


def class_map(words: Sequence[str] | None) -> Classes:
    """``car=Car,Van person`` -> Car and Van are car, person is person. Raises ``InputError``."""
    if words is None:
        return Classes()
    names: dict[str, str] = {}
    for word in words:
        target, equals, listed = word.partition("=")
        sources = split_names(listed if equals else target)
        targets = split_names(target)
        if len(targets) != 1 or not sources:
            raise InputError(f"--classes {word!r} is no NAME or NAME=CLASS,CLASS; write car=car,van, say")
        for source in sources:
            if names.setdefault(source, targets[0]) != targets[0]:
                raise InputError(f"--classes names the class {source!r} for two categories; take it out of one")
    return Classes(names)


def split(letter: str, folder: Path, found: Found, share: float, seed: int) -> list[BoxSet]:
    """Training and validation set of what was found; what is left out and bad is told with the former."""
    validates = validation_part([letter] * len(found.images), share, seed)
    train, val = (
        [image for image, chosen in zip(found.images, validates, strict=True) if chosen is wanted]
        for wanted in (False, True)
    )
    sets = [BoxSet("train", letter, folder, Found(found.classes, train, found.left_out, found.seen, found.problems))]
    return [*sets, BoxSet("val", letter, folder, Found(found.classes, val))] if val else sets


def run(
    argv: Sequence[str] | None,
    parser: argparse.ArgumentParser,
    planner: Callable[[argparse.Namespace, Classes], tuple[list[BoxSet], Mapping[str, Any]]],
) -> int:
    """Reads, checks and writes. planner: flags -> sets, and where they are from. Exit code 0; 2 after one sentence."""
    args = parser.parse_args(argv)
    try:
        classes = class_map(args.classes)
        sets, source = planner(args, classes)
        problems = [problem for one in sets for problem in one.found.problems]
        if not args.skip_bad:
            refuse(problems)
        if args.without_empty:
            _leave_out_empty(sets)
        seen = sum((one.found.seen for one in sets), Counter[str]())
        typed = args.classes != parser.get_default("classes")
        _check(sets, classes, seen, {*seen, *source.get("names", ())} if typed else None)
        categories = classes.targets() or _by_source(seen, source)
        save(args.save_root, sets, categories, dict(source) | {"classes": args.classes}, args.overwrite)
    except (InputError, OSError) as error:
        print(sentence(error, args.save_root), file=sys.stderr)
        return 2
    for problem in problems[:NAMED]:
        print(one_line(f"skipped: {problem.sentence}"), file=sys.stderr)
    if len(problems) > NAMED:
        print(f"skipped: {len(problems) - NAMED} more, listed in {args.save_root / FILE_NAME}", file=sys.stderr)
    for one in sets:
        print(one_line(f"{args.save_root / one.name}.json: {_told(one.found, categories)}"))
    return 0


def _by_source(seen: Mapping[str, int], source: Mapping[str, Any]) -> list[str]:
    """All classes: in the order of the file of names, where there is one, then by name."""
    numbered = [name for name in source.get("names", ()) if name]
    return [*numbered, *sorted(name for name in seen if name not in numbered)]


def _leave_out_empty(sets: Sequence[BoxSet]) -> None:
    for one in sets:
        before = len(one.found.images)
        one.found.images[:] = [image for image in one.found.images if image.objects]
        if before > len(one.found.images):
            one.found.left_out["images without a box"] += before - len(one.found.images)


def _check(sets: Sequence[BoxSet], classes: Classes, seen: Counter[str], known: set[str] | None) -> None:
    """Raises ``InputError`` for a set without images, a category none of whose classes is known, a domain without any
    box. known: all classes, where those of --classes are to be checked."""
    for one in sets:
        if not one.found.images:
            reasons = [f"{count} {what}" for what, count in one.found.left_out.items() if what.startswith("images")]
            told = (
                ", ".join([*reasons, *([cost(one.found.problems)] if one.found.problems else [])]) or "none is listed"
            )
            raise InputError(f"{one.folder}: no image is left of {one.name}: {told}; pass another folder")
    for target in classes.targets():
        sources = [source for source, name in (classes.names or {}).items() if name == target]
        if known is not None and not known & set(sources):
            check_names(sources, sorted(known), "--classes", str(sets[0].folder))
    for letter in sorted({one.letter for one in sets}):
        if not any(image.objects for one in sets if one.letter == letter for image in one.found.images):
            there = ", ".join(f"{name} {count}" for name, count in seen.most_common(20)) or "no object at all"
            asked = ", ".join(classes.targets())
            raise InputError(
                f"no image of domain {letter} has a box of {asked or 'any class'}; there is {there}; pass --classes"
            )


def _told(found: Found, categories: Sequence[str]) -> str:
    """Counts images and boxes, and what was left out and why."""
    boxes = Counter(one.category for image in found.images for one in image.objects)
    counts = ", ".join(f"{name} {boxes[name]}" for name in categories)
    bare = sum(not image.objects for image in found.images)
    parts = [f"{len(found.images)} images, {boxes.total()} boxes ({counts})"]
    parts += [f"{bare} of the images have none"] if bare else []
    left_out = ", ".join(f"{count} {what}" for what, count in sorted(found.left_out.items()))
    parts += [f"left out: {left_out}"] if left_out else []
    return "; ".join([*parts, *([cost(found.problems)] if found.problems else [])])
