"""Measures how well the shapes of ``make_shapes.py`` were translated: three figures for each direction.

    python scripts/measure_shapes.py --results results/shapes/val_latest --dataroot datasets/shapes

1. share of instances whose translated mask has the target domain's shape, where the source instance was;
2. background error: mean absolute error on [0, 1] of the pixels outside all masks, neither the source's nor the
   translated ones, as they are (not widened);
3. share of instances whose mean colour, inside the translated mask, is one of the target domain's.
An instance without a translated mask counts as failed in 1 and 3.

On the hard level masks show what nothing else covers: where other instances are, before or after, a shape may go on
unseen. There is a fourth figure, too: the background error on the distractors alone, as far as no mask covers them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from instagan.metrics.agreement import overlap  # noqa: E402
from instagan.metrics.outlines import LEAST_OVERLAP, has_colour, is_shape, others, palette  # noqa: E402
from scripts.shapes.hard import distractors_of  # noqa: E402
from scripts.shapes.reading import background_differences, read_mask, read_picture  # noqa: E402

LEAST_SHAPE, LARGEST_BACKGROUND, LEAST_COLOUR = 0.95, 0.04, 0.95


@dataclass(frozen=True)
class Figures:
    """The figures of one direction; shares in [0, 1]."""

    pictures: int
    instances: int
    shape_share: float
    background_error: float
    colour_share: float
    distractor_error: float | None = None
    """None where there are no distractors."""

    def good(self) -> bool:
        return (
            self.shape_share >= LEAST_SHAPE
            and self.background_error <= LARGEST_BACKGROUND
            and self.colour_share >= LEAST_COLOUR
        )


def measure(
    results: Path, dataroot: Path, truth: dict[str, Any], phase: str, source: str, target: str
) -> Figures | None:
    """The figures of the direction source -> target ("A" or "B"), None if the folder holds nothing of it.

    Raises ``ValueError`` when a result has not the size of the data set's picture.
    """
    domains = truth["domains"]
    outlines = {domain["shape"]: domain["outline"] for domain in domains.values()}
    wanted, other = palette(domains[target]), palette(domains[source])
    shapes: list[bool] = []
    colours: list[bool] = []
    differences: list[np.ndarray] = []
    on_distractors: list[np.ndarray] = []
    for key, picture in truth["pictures"].items():
        folder, stem = Path(key).parent.name, Path(key).stem
        fake_path = results / f"{stem}_fake_{target}.png"
        if folder != f"{phase}{source}" or not fake_path.exists():
            continue
        real, fake = read_picture(results / f"{stem}_real_{source}.png"), read_picture(fake_path)
        if fake.shape[:2] != (truth["size"], truth["size"]):
            raise ValueError(f"{fake_path} has not the data set's size, run test.py with --original_size.")
        covered = read_mask(results / f"{stem}_real_{source}_mask.png")
        covered = covered | read_mask(results / f"{stem}_fake_{target}_mask.png")
        differences.append(background_differences(real, fake, covered))
        on_distractors += [
            background_differences(real, fake, covered | ~one) for one in distractors_of(picture, truth["size"])
        ]
        before, after = [], []
        for slot in range(len(picture["instances"])):
            path = results / f"{stem}_fake_{target}_mask_{slot}.png"
            before.append(read_mask(dataroot / f"{phase}{source}_seg" / f"{stem}_{slot}.png"))
            after.append(read_mask(path) if path.exists() else np.zeros_like(before[-1]))
        for slot, (was, mask) in enumerate(zip(before, after, strict=True)):
            in_place = overlap(mask, was) >= LEAST_OVERLAP
            unseen = others(before, after, slot) & ~mask if "level" in truth else None
            shapes.append(in_place and is_shape(mask, domains[target]["shape"], outlines, unseen))
            colours.append(has_colour(fake, mask, wanted, other))
    if not differences:
        return None
    outside = np.concatenate(differences)
    error = float(outside.mean()) if outside.size else 1.0  # masks everywhere: no background was kept
    distracted = np.concatenate([*on_distractors, np.empty((0, 3))])
    return Figures(
        len(differences),
        len(shapes),
        float(np.mean(shapes)),
        error,
        float(np.mean(colours)),
        float(distracted.mean()) if distracted.size else None,
    )


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


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0; 1 if ``--require`` is given and not met; 2 after one sentence on stderr when input is missing."""
    parser = argparse.ArgumentParser(description="Three figures of a translation of the embedded example.")
    parser.add_argument("--results", type=Path, default=Path("results/shapes/val_latest"), help="what test.py wrote")
    parser.add_argument("--dataroot", type=Path, default=Path("datasets/shapes"), help="what make_shapes.py wrote")
    parser.add_argument("--phase", default="val", help="which pictures of the data set were translated")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--require", action="store_true", help="exit with 1 unless both directions are good")
    args = parser.parse_args(argv)
    try:
        for path, hint in ((args.dataroot / "shapes.json", "make_shapes.py"), (args.results, "test.py")):
            if not path.exists():
                raise FileNotFoundError(f"{path} is missing, run {hint} first.")
        truth = json.loads((args.dataroot / "shapes.json").read_text(encoding="utf-8"))
        measured = {
            (source, target): measure(args.results, args.dataroot, truth, args.phase, source, target)
            for source, target in ("AB", "BA")
        }
        if not any(measured.values()):
            raise FileNotFoundError(f"{args.results} has no translation of a {args.phase} picture of {args.dataroot}.")
        if args.json:
            content = {f"{a}_to_{b}": figures and asdict(figures) for (a, b), figures in measured.items()}
            args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    for (source, target), figures in measured.items():
        print(report(source, target, truth["domains"][target]["shape"], figures))
    return int(args.require and not all(figures and figures.good() for figures in measured.values()))


if __name__ == "__main__":
    sys.exit(main())
