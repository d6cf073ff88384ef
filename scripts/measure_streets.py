"""Measures how well the street scenes of ``make_streets.py`` were translated, against the true renderings.

    python scripts/measure_streets.py --results results/streets/val_latest --dataroot datasets/streets

For each direction, means over all outputs (test.py --styles N writes N for each input):
1. distance from the true rendering: mean absolute error on [0, 1] of image, background, and objects of each class;
   a scene has one true rendering for each style of the target's domain, and the nearest counts;
2. share of objects with the look of the target's domain: by night cars have their lamps on, signs shine back, persons
   are dark;
3. share of objects that are still found at their boxes;
4. how many outputs of one input differ: diversity, and how many of the true styles they come near to;
5. IS and CIS, as mean divergence (KL) and as its exponential.
docs/evaluation.md tells how each is found and fooled.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from evaluation.streets import StreetFigures, measure_streets, read_streets, style_classifier  # noqa: E402
from evaluation.styles import StyleJudges  # noqa: E402
from instagan.errors import InputError, sentence  # noqa: E402
from instagan.metrics.look_classifier import LookClassifier  # noqa: E402


def report(letters: str, figures: StreetFigures | None, classifier: LookClassifier | None) -> str:
    """The figures of one direction in words."""
    way = " -> ".join(letters)
    if figures is None:
        return f"{way}: not measured, no results"
    lines = [
        f"{way}: {figures.of_styles.inputs} inputs, {figures.of_styles.outputs} outputs",
        *(f"  {one}" for one in figures.verdicts()),
    ]
    lines.append(
        f"  error from the nearest true rendering: image {figures.error:.4f}, background {figures.background_error:.4f}"
    )
    lines.append("  class     objects    error   right look   found at box")
    for kind, one in figures.classes.items():
        look = "    unknown" if one.look is None else f"{one.look:>11.1%}"
        lines.append(f"  {kind:<8} {one.objects:>8} {one.error:>8.4f} {look}  {one.found:>12.1%}")
    lines.append(f"  true styles reached by the outputs of one input: {figures.styles_reached:.2f} of {figures.styles}")
    lines += [f"  {line}" for line in figures.of_styles.lines(classifier)]
    return "\n".join(lines)


def as_json(figures: StreetFigures | None) -> dict[str, Any] | None:
    if figures is None:
        return None
    return asdict(figures) | {"of_styles": figures.of_styles.as_json(), "verdicts": figures.verdicts()}


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 after one sentence on stderr when input is missing or does not fit."""
    parser = argparse.ArgumentParser(description="Measure translations of street scenes against the true renderings.")
    add = parser.add_argument
    add("--results", type=Path, default=Path("results/streets/val_latest"), help="what test.py wrote")
    add("--dataroot", type=Path, default=Path("datasets/streets"), help="what make_streets.py wrote")
    add("--phase", default="val", help="which images were translated: val (default) or test")
    add("--lpips", type=Path, metavar="FILE", help="AlexNet's weights of torchvision: diversity by LPIPS")
    add("--seed", type=int, default=0, help="random seed of the classifier and of the pairs of outputs")
    add("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args(argv)
    try:
        content = read_streets(args.dataroot)
        if not args.results.is_dir():
            raise InputError(f"--results {args.results}: no such folder; pass the folder that test.py wrote")
        judges = StyleJudges.of(args.lpips, style_classifier(args.dataroot, content, args.phase, args.seed))
        measured = {
            letters: measure_streets(args.results, args.dataroot, content, args.phase, letters, judges, args.seed)
            for letters in ("AB", "BA")
        }
        if not any(measured.values()):
            raise InputError(f"{args.results} has no translation of a {args.phase} image of {args.dataroot}")
        if args.json:
            told = {f"{a}_to_{b}": as_json(figures) for (a, b), figures in measured.items()}
            args.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    except (InputError, OSError) as error:
        print(sentence(error), file=sys.stderr)
        return 2
    for letters, figures in measured.items():
        print(report(letters, figures, judges.classifier))
    return 0


if __name__ == "__main__":
    sys.exit(main())
