#!/usr/bin/env python
"""How sharp large pictures come out, and whether seams show: runs that were trained on windows (--instance_crops), and
runs that were trained on shrunk pictures, whose translations are enlarged.

    python scripts/make_shapes.py --save_root datasets/large --size 1024 --sizes 0.06 0.09 --train 20 --val 4
    python benchmarks/large_images.py --dataroot datasets/large --runs checkpoints/windows checkpoints/shrunk

The validation pictures of a set that make_shapes.py drew are translated in all directions that a run has learned, as
translate does it: in windows, or shrunk to the size trained at and put back. Figures, means over directions:

    shape, colour  shares of instances that have become what they should, as scripts/measure_shapes.py finds them
    edge           pixels in which the picture changes from background to instance where it does so fastest, along the
                   outline of the translated mask (median); of real pictures of the domain, too
    band, hidden   mean difference from the input, of 255 levels, in the edge over which the paste fades, and what there
                   was before it faded
    border, apart  mean step between neighbouring pixels that the input does not have, of 255 levels: along the borders
                   of windows, and everywhere else in the background

Writes large_images.json, .md (a table) and .png (instances at the picture's own resolution) into --results.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.mask_damage import PHASE, sources_of, ways_of  # noqa: E402
from evaluation.shapes import figures_of  # noqa: E402
from instagan import Translator  # noqa: E402
from instagan.cli.ending import exit_code  # noqa: E402
from instagan.errors import InputError, one_line  # noqa: E402
from instagan.flag_types import whole  # noqa: E402
from instagan.inference.inputs import Source  # noqa: E402
from instagan.inference.result import Translation  # noqa: E402
from instagan.inference.windows import around as windows_around  # noqa: E402
from instagan.io.boxes import Box, box_of  # noqa: E402
from instagan.io.writing import make_folder  # noqa: E402
from instagan.metrics.outcome import Outcome  # noqa: E402
from instagan.metrics.shapes import read_truth  # noqa: E402

FIGURES = ("shape", "colour", "edge", "band", "hidden", "border", "apart")
SHARES = ("shape", "colour")
REACH = 16
"""Pixels around an outline in which its edge is looked for."""
SHOWN, ZOOM = 160, 2
"""Pixels of a part of a picture that is shown, and how many times larger."""


def measure(run: Path, dataroot: Path, truth: dict[str, Any], count: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The figures of a run, and parts of pictures: of each direction, an instance before and after."""
    found, parts = [], []
    for target, translator in sorted(ways_of(run).items(), reverse=True):
        source = "A" if target == "B" else "B"
        pictures = sources_of(dataroot, truth, source, count)
        config = translator.config()
        if not config.crop_instances:
            config = translator.config(max_side=config.crop_side)
        made = translator.translate(list(pictures.values()), config=config)
        outcomes = [
            Outcome.of(stem, one.pixels, np.asarray(of_one.picture), one.inside, of_one.inside)
            for (stem, one), of_one in zip(pictures.items(), made, strict=True)
        ]
        figures = figures_of(outcomes, truth, PHASE, source, target)
        steps = [step for pair in zip(pictures.values(), made, strict=True) for step in added_steps(translator, *pair)]
        seams = [one.seam for one in made if one.seam]
        found.append(
            {
                "shape": figures.shape_share,
                "colour": figures.colour_share,
                "edge": _median([edge_width(o.fake, mask) for o in outcomes for mask in _found(o.after)]),
                "band": float(np.mean([seam.band for seam in seams])),
                "hidden": float(np.mean([seam.step for seam in seams])),
                "border": _mean([steps[number] for number in range(0, len(steps), 2)]),
                "apart": _mean([steps[number] for number in range(1, len(steps), 2)]),
            }
        )
        first = outcomes[0]
        place = _part(box_of(first.before[0]), first.fake.shape[:2])
        parts += [first.real[place], first.fake[place]]
    mean = {name: [one[name] for one in found if one[name] is not None] for name in FIGURES}
    return {"run": run.name} | {name: round(sum(of) / len(of), 3) if of else None for name, of in mean.items()}, parts


def edge_width(picture: np.ndarray, mask: np.ndarray) -> float:
    """Of a picture (H, W, 3) uint8 along the outline of a mask (H, W): pixels, 1 to 2 for an edge as crisp as can be;
    not a number where the mask leaves nothing around it."""
    box = box_of(mask).grown(2 * REACH, mask.shape)
    inside, part = mask[box.place], picture[box.place] / 255
    away = ndimage.distance_transform_edt(~inside)  # pixels outside of the mask
    depth = ndimage.distance_transform_edt(inside)
    around = (away > REACH / 2) & (away <= 1.5 * REACH)
    if not around.any():
        return float("nan")
    ring = part[around].mean(0)
    core = part[depth >= min(REACH / 2, depth.max())].mean(0)
    axis = (core - ring) / max(float(((core - ring) ** 2).sum()), 1e-6)
    level = (part - ring) @ axis  # (h, w): 0 is background, 1 the instance
    steepest = ndimage.maximum_filter(np.hypot(*np.gradient(level)), size=REACH + 1)
    return float(1 / max(np.median(steepest[(depth > 0) & (depth <= 1)]), 1e-6))


def added_steps(translator: Translator, source: Source, made: Translation) -> tuple[np.ndarray, np.ndarray]:
    """Steps between neighbouring pixels that only the translation has, in levels: along windows' borders, and elsewhere
    in the background. Without windows there is no border."""
    change = np.asarray(made.picture, np.int16) - source.levels  # (H, W, 3)
    config, inside = translator.config(), np.concatenate([source.inside, made.inside]).any(0)  # (H, W)
    order = sorted(np.flatnonzero(source.inside.any((1, 2))), key=lambda number: -source.inside[number].sum())
    boxes: list[Box] = []
    if config.crop_instances:
        windows = windows_around(source.inside, order, translator.network.ins_per, config.crop_side, config.context)
        boxes = [window.box for window in windows]
    borders, elsewhere = [], []
    for axis in (0, 1):
        step = np.abs(np.diff(change, axis=axis)).mean(2)  # (H - 1, W) or (H, W - 1)
        nobody = ~(inside[1:] | inside[:-1]) if axis == 0 else ~(inside[:, 1:] | inside[:, :-1])
        at_border = np.zeros_like(nobody)
        for box in boxes:
            along = (slice(box.left, box.right), slice(box.top, box.bottom))[axis]
            for edge in (box.top, box.bottom) if axis == 0 else (box.left, box.right):
                if 0 < edge < change.shape[axis]:
                    at_border[(edge - 1, along) if axis == 0 else (along, edge - 1)] = True
        borders.append(step[nobody & at_border])
        elsewhere.append(step[nobody & ~at_border])
    return np.concatenate(borders), np.concatenate(elsewhere)


def real_edges(dataroot: Path, truth: dict[str, Any], count: int) -> dict[str, Any]:
    """A row with the edges of real pictures of both domains."""
    pictures = [one for letter in "AB" for one in sources_of(dataroot, truth, letter, count).values()]
    width = np.median([edge_width(one.levels, mask) for one in pictures for mask in one.inside])
    return {"run": "real pictures", **dict.fromkeys(FIGURES), "edge": round(float(width), 3)}


def _found(masks: Sequence[np.ndarray | None]) -> Iterator[np.ndarray]:
    return (mask for mask in masks if mask is not None and mask.any())


def _mean(of: Sequence[np.ndarray]) -> float | None:
    values = np.concatenate(of)
    return float(values.mean()) if values.size else None


def _median(widths: Sequence[float]) -> float | None:
    known = [width for width in widths if math.isfinite(width)]
    return float(np.median(known)) if known else None


def _part(box: Box, size: tuple[int, int]) -> tuple[slice, slice]:
    """``SHOWN`` pixels a side with this box in their middle."""
    top, left = (
        max(min((low + high - SHOWN) // 2, side - SHOWN), 0)
        for low, high, side in ((box.top, box.bottom, size[0]), (box.left, box.right, size[1]))
    )
    return slice(top, top + SHOWN), slice(left, left + SHOWN)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| | " + " | ".join(FIGURES) + " |", "|---|" + "---|" * len(FIGURES)]
    for row in rows:
        cells = [
            "" if row[name] is None else f"{row[name]:.1%}" if name in SHARES else f"{row[name]:.2f}"
            for name in FIGURES
        ]
        lines.append(f"| {row['run']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def figure(parts: Mapping[str, Sequence[np.ndarray]]) -> Image.Image:
    """A line for each direction: the input, then what each run made of it. parts: those of ``measure``, by run."""
    first = next(iter(parts.values()))
    side, ways = ZOOM * SHOWN, len(first) // 2
    columns = {"input": first[::2], **{name: of_run[1::2] for name, of_run in parts.items()}}
    picture = Image.new("RGB", (len(columns) * (side + 8) - 8, 20 + ways * (side + 8) - 8), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    for column, (name, shown) in enumerate(columns.items()):
        draw.text((column * (side + 8), 1), name, "black", font)
        for line, pixels in enumerate(shown):
            large = Image.fromarray(np.ascontiguousarray(pixels)).resize((side, side), Image.Resampling.NEAREST)
            picture.paste(large, (column * (side + 8), 20 + line * (side + 8)))
    return picture


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr."""
    parser = argparse.ArgumentParser(description="Sharpness and seams of large pictures of drawn shapes.")
    parser.add_argument("--dataroot", type=Path, default=Path("datasets/large"), help="what make_shapes.py wrote")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="DIR", help="folders of trained runs")
    parser.add_argument("--pictures", type=whole(1), default=20, help="most pictures of each domain")
    parser.add_argument("--results", type=Path, default=Path("results/large_images"), help="folder to write to")
    options = parser.parse_args(argv)

    def run() -> int:
        truth = read_truth(options.dataroot)
        if truth is None:
            raise InputError(f"--dataroot {options.dataroot} has no shapes.json; pass a set that make_shapes.py drew")
        make_folder(options.results)
        rows, parts = [real_edges(options.dataroot, truth, options.pictures)], {}
        for folder in options.runs:
            row, parts[folder.name] = measure(folder, options.dataroot, truth, options.pictures)
            print(one_line(", ".join(f"{name} {value}" for name, value in row.items())), flush=True)
            rows.append(row)
        file = options.results / "large_images.json"
        file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        file.with_suffix(".md").write_text(table(rows), encoding="utf-8")
        figure(parts).save(file.with_suffix(".png"))
        print(table(rows))
        return 0

    return exit_code("large_images.py", run, "interrupted; nothing is written")


if __name__ == "__main__":
    sys.exit(main())
