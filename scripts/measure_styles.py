"""Measures how much the outputs of one input differ: diversity, IS and CIS, for any data set of two domains.

    python test.py --name NAME --phase val --styles 5
    python scripts/measure_styles.py --results results/NAME/val_latest --dataroot DATA

The classifier of IS and CIS tells the two domains apart; it is trained here on trainA and trainB. For street scenes
``measure_streets.py`` measures the same with the styles as classes, and more. docs/evaluation.md explains them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from evaluation.styles import StyleJudges, domain_classifier, measure_styles  # noqa: E402
from instagan.errors import InputError, sentence  # noqa: E402


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 after one sentence on stderr when input is missing."""
    parser = argparse.ArgumentParser(description="Measure how much the outputs of one input differ.")
    add = parser.add_argument
    add("--results", type=Path, required=True, help="what test.py --styles N wrote")
    add("--dataroot", type=Path, required=True, help="the data set: folders trainA, trainB, and those of --phase")
    add("--phase", default="val", help="images that the classifier's accuracy is measured on (default: val)")
    add("--lpips", type=Path, metavar="FILE", help="AlexNet's weights of torchvision: diversity by LPIPS")
    add("--seed", type=int, default=0, help="random seed of the classifier and of the pairs of outputs")
    add("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args(argv)
    try:
        if not args.results.is_dir():
            raise InputError(f"--results {args.results}: no such folder; pass the folder that test.py wrote")
        judges = StyleJudges.of(args.lpips, domain_classifier(args.dataroot, args.phase, args.seed))
        measured = {way: measure_styles(args.results, way[1], judges, args.seed) for way in ("AB", "BA")}
        if not any(measured.values()):
            raise InputError(f"{args.results} has no translation such as NAME_fake_B.png or NAME_fake_B_style0.png")
        if args.json:
            told = {f"{a}_to_{b}": figures and figures.as_json() for (a, b), figures in measured.items()}
            args.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    except (InputError, OSError) as error:
        print(sentence(error), file=sys.stderr)
        return 2
    for way, figures in measured.items():
        if figures:
            print(f"{' -> '.join(way)}: {figures.inputs} inputs, {figures.outputs} outputs")
            print(*(f"  {line}" for line in figures.lines(judges.classifier)), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
