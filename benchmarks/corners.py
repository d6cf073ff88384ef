"""How well a model of keypoints knows the corners of what it makes, on shapes drawn with --attribute keypoints.

    python benchmarks/corners.py --run checkpoints/corners --annotations corners/val.json --images corners

For each direction, over all instances that the flags of training leave:

    found      share of the corners that the target shape has whose heat maps have a maximum
    outline    intersection over union of the polygon through these corners and the translated mask
    back       distance in pixels between a corner of the input and the same one translated there and back; median

Translations are made as test.py makes them, at the size of the networks.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.loading import testing_loader  # noqa: E402
from data.shapes.drawing import DOMAINS  # noqa: E402
from data.unaligned_instance_dataset import DomainDataset  # noqa: E402
from engine.device import choose_device, prepare  # noqa: E402
from instagan.cli.ending import exit_code  # noqa: E402
from instagan.errors import InputError  # noqa: E402
from options.build import domains_of, framing, trained_model  # noqa: E402
from options.parse import parse_testing  # noqa: E402

CORNERS = {letter: len(domain.corners) for letter, domain in zip("AB", DOMAINS, strict=True)}
LARGE = 8
"""Polygons and masks are compared at so many times their size."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--annotations", required=True, metavar="FILE", help="val.json of the drawn set")
    parser.add_argument("--images", required=True, metavar="DIR", help="folder of the drawn set")
    args = parser.parse_args(argv)
    return exit_code("corners.py", lambda: measure(args))


def measure(args: argparse.Namespace) -> int:
    where = ["--name", args.run.name, "--checkpoints_dir", str(args.run.parent), "--num_threads", "0"]
    options = parse_testing([*where, "--annotations", args.annotations, "--images", args.images]).values
    if getattr(options, "attribute", None) != "keypoints":
        raise InputError(f"--run {args.run} is no model of keypoints; pass one")
    device = choose_device(options)
    prepare(device, options)
    model, _ = trained_model(options, device)
    domains = domains_of(options, "AB")
    for source, target in ("AB", "BA"):
        figures: defaultdict[str, list[float]] = defaultdict(list)
        for batch, _ in testing_loader(DomainDataset(domains[source].entries, framing(options, False)), 1, 0):
            real = batch.to(device)
            fake = model.translate(real, target.lower())
            back = model.translate(fake, source.lower())
            for slot in np.flatnonzero(batch.present[0]):
                points, again = (one.points[0, slot].cpu().numpy() for one in (fake, back))
                corners = points[: CORNERS[target]]
                figures["found"].extend(corners[:, 2] > 0)
                if (corners[:, 2] > 0).all():
                    figures["outline"].append(overlap(corners, fake.masks[0, slot].cpu().numpy() > 0))
                known = batch.keypoints[0, slot].numpy()
                both = (known[:, 2] > 0) & (again[:, 2] > 0)
                figures["back"].extend(np.hypot(*(known - again)[both, :2].T))
        outline = f"{np.mean(figures['outline']):.3f}" if figures["outline"] else "of none, as no shape has all corners"
        back = np.array(figures["back"] or [np.nan])
        print(
            f"{source} to {target}: found {np.mean(figures['found']):.1%}, outline {outline}, "
            f"back {np.median(back):.2f} px (within 1 px: {np.mean(back < 1):.1%})"
        )
    return 0


def overlap(corners: np.ndarray, inside: np.ndarray) -> float:
    """Intersection over union of a polygon (K, 3) and a mask (H, W) bool."""
    drawn = Image.new("L", (inside.shape[1] * LARGE, inside.shape[0] * LARGE))
    ImageDraw.Draw(drawn).polygon([(x * LARGE, y * LARGE) for x, y, _ in corners], fill=255)
    polygon, mask = np.asarray(drawn) > 0, inside.repeat(LARGE, 0).repeat(LARGE, 1)
    return float((polygon & mask).sum() / max((polygon | mask).sum(), 1))


if __name__ == "__main__":
    sys.exit(main())
