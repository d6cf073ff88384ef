"""Measures how well the shapes of ``make_shapes.py`` were translated: three figures for each direction.

    python scripts/measure_shapes.py --results results/shapes/val_latest --dataroot datasets/shapes

1. share of instances whose translated mask has the target domain's shape, where the source instance was;
2. background error: mean absolute error on [0, 1] of the pixels outside all masks, neither the source's nor the
   translated ones, as they are (not widened);
3. share of instances whose mean colour, inside the translated mask, is one of the target domain's.
An instance without a translated mask counts as failed in 1 and 3.

On the hard level masks show what nothing else covers: where other instances are, before or after, a shape may go on
unseen. There is a fourth figure, too: the background error on the distractors alone, as far as no mask covers them.

Of a set of many domains (make_shapes.py --domains 4) tell with --to or --targets what test.py was asked for. Then the
figures are the share of instances that became that, in shape and colour, by the number of different targets that their
picture has, and for every source and target.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from evaluation.shapes import (  # noqa: E402
    LARGEST_BACKGROUND,
    LEAST_COLOUR,
    LEAST_SHAPE,
    Became,
    Figures,
    measure,
    measure_targets,
)
from instagan.errors import InputError, sentence  # noqa: E402
from instagan.io.categories import names_by_place  # noqa: E402

LEAST_RIGHT = 0.9
SHARES = ("shape", "colour", "right")


def report(source: str, target: str, shape: str, figures: Figures | None) -> str:
    """The figures of one direction in words."""
    if figures is None:
        return f"{source} -> {target}: not measured, no results"
    rows = (
        (f"translated mask is a {shape}, in place", f"{figures.shape_share:.1%}", f"at least {LEAST_SHAPE:.0%}"),
        ("background error outside all masks", f"{figures.background_error:.4f}", f"at most {LARGEST_BACKGROUND}"),
        (f"colour is one of domain {target}", f"{figures.colour_share:.1%}", f"at least {LEAST_COLOUR:.0%}"),
    )
    lines = [f"{source} -> {target}: {figures.pictures} pictures, {figures.instances} instances"]
    lines += [f"  {what:<40} {found:>7}   (good: {limit})" for what, found, limit in rows]
    if figures.distractor_error is not None:
        lines.append(f"  {'error on distractors':<40} {figures.distractor_error:>7.4f}")
    return "\n".join(lines)


def shares(found: list[Became], key: Callable[[Became], str]) -> dict[str, dict[str, float]]:
    """Group -> how many instances it has, and the shares of them that have the shape, the colour, both."""
    groups: dict[str, list[Became]] = {}
    for one in found:
        groups.setdefault(key(one), []).append(one)
    return {
        name: {
            "instances": len(members),
            **{what: sum(getattr(one, what) for one in members) / len(members) for what in SHARES},
        }
        for name, members in sorted(groups.items())
    }


def report_targets(found: list[Became], background: float) -> dict[str, dict[str, dict[str, float]]]:
    """Prints a table of each grouping, and returns them."""
    tables = {
        "all": shares(found, lambda one: "all"),
        "different targets in the picture": shares(found, lambda one: str(one.together)),
        "source to target": shares(found, lambda one: f"{one.source} to {one.target}"),
    }
    for title, groups in tables.items():
        print(f"{title + ':':<34} instances   shape  colour   both")
        for name, group in groups.items():
            figures = "".join(f"{group[what]:>8.1%}" for what in SHARES)
            print(f"  {name:<31} {group['instances']:>10}{figures}")
    print(f"background error outside all masks: {background:.4f}   (good: at most {LARGEST_BACKGROUND})")
    return tables


def measured_targets(args: argparse.Namespace, truth: dict) -> bool:
    """Measures, prints and writes them; whether every source and target is good. Raises ``ValueError``."""
    asked = [args.to] if args.to else names_by_place(args.targets)
    found, background = measure_targets(args.results, args.dataroot, truth, args.phase, asked)
    tables = report_targets(found, background)
    if args.json:
        args.json.write_text(json.dumps({**tables, "background": background}, indent=1) + "\n", encoding="utf-8")
    good = all(group["right"] >= LEAST_RIGHT for group in tables["source to target"].values())
    return good and background <= LARGEST_BACKGROUND


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0; 1 if ``--require`` is given and not met; 2 after one sentence on stderr when input is missing."""
    parser = argparse.ArgumentParser(description="Three figures of a translation of the embedded example.")
    parser.add_argument("--results", type=Path, default=Path("results/shapes/val_latest"), help="what test.py wrote")
    parser.add_argument("--dataroot", type=Path, default=Path("datasets/shapes"), help="what make_shapes.py wrote")
    parser.add_argument("--phase", default="val", help="which images of the data set were translated")
    parser.add_argument("--to", metavar="NAME", help="of many domains: what all instances were to become")
    parser.add_argument("--targets", metavar="NAME,NAME", help="of many domains: what mask 0, 1, ... was to become")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--require", action="store_true", help="exit with 1 unless both directions are good")
    args = parser.parse_args(argv)
    try:
        for path, hint in ((args.dataroot / "shapes.json", "make_shapes.py"), (args.results, "test.py")):
            if not path.exists():
                raise FileNotFoundError(f"{path} is missing, run {hint} first.")
        truth = json.loads((args.dataroot / "shapes.json").read_text(encoding="utf-8"))
        if args.to or args.targets:
            return int(not measured_targets(args, truth) and args.require)
        if "A" not in truth["domains"]:
            raise ValueError(
                f"{args.dataroot} has many domains, tell with --to or --targets what was asked for."
            )
        measured = {
            (source, target): measure(args.results, args.dataroot, truth, args.phase, source, target)
            for source, target in ("AB", "BA")
        }
        if not any(measured.values()):
            raise FileNotFoundError(f"{args.results} has no translation of a {args.phase} picture of {args.dataroot}.")
        if args.json:
            content = {f"{a}_to_{b}": figures and asdict(figures) for (a, b), figures in measured.items()}
            args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except (InputError, OSError, ValueError) as error:
        print(sentence(error), file=sys.stderr)
        return 2
    for (source, target), figures in measured.items():
        print(report(source, target, truth["domains"][target]["shape"], figures))
    return int(args.require and not all(figures and figures.good() for figures in measured.values()))


if __name__ == "__main__":
    sys.exit(main())
