"""Draws a two-domain data set of shapes, the embedded example: A has warm squares, B has cool triangles.

    python scripts/make_shapes.py --save_root datasets/shapes --seed 0 --train 200 --val 40 --size 64

Every picture shows one to four instances that do not touch, on a background drawn the same way for both domains.
Pictures are anti-aliased, masks are crisp. ``shapes.json`` holds the truth: what was drawn where, and what sets the
domains apart. A picture depends only on the seed, its phase, its domain and its number, so a longer set begins with a
shorter one.
"""

from __future__ import annotations

import argparse
import colorsys
import json
import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

SUPERSAMPLING = 8
"""An instance is drawn this many times larger, in black and white; the shrunken drawing is its coverage in [0, 1]."""
LARGEST_COUNT = 4
SIZES = (0.22, 0.32)
"""Size of an instance as a share of the picture's side: that of a square is its side."""
LARGEST_ANGLE = 12.0
GAP = 0.03
"""Free space around the circle that holds an instance, as a share of the picture's side."""
BACKGROUNDS = ("gradient", "stripes", "checks", "clouds", "ripples")


@dataclass(frozen=True)
class Domain:
    """What the instances of a domain look like.

    outline    corners (x, y) of the upright shape at size 1, around the centre of gravity, y downwards
    hue        range in turns, below 0 for the far side of red; saturation and value: ranges in [0, 1]
    """

    name: str
    shape: str
    outline: tuple[tuple[float, float], ...]
    hue: tuple[float, float]
    saturation: tuple[float, float] = (0.75, 0.95)
    value: tuple[float, float] = (0.75, 0.92)

    def radius(self) -> float:
        """Distance from the centre of gravity to the farthest corner, at size 1."""
        return max(math.hypot(x, y) for x, y in self.outline)


SQUARES = Domain("A", "square", ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)), hue=(-0.03, 0.08))
TRIANGLES = Domain("B", "triangle", ((0.0, -0.8), (0.6, 0.4), (-0.6, 0.4)), hue=(0.56, 0.66))
DOMAINS = (SQUARES, TRIANGLES)


@dataclass(frozen=True)
class Instance:
    """One shape in a picture: centre of gravity and size in pixels, angle in degrees (clockwise), colour in [0, 1]."""

    domain: Domain
    centre: tuple[float, float]
    size: float
    angle: float
    colour: tuple[float, float, float]

    def coverage(self, side: int) -> np.ndarray:
        """Share of every pixel that the instance covers: (side, side) float in [0, 1]."""
        turn = math.radians(self.angle)
        along, across = self.size * math.cos(turn), self.size * math.sin(turn)
        corners = [
            (
                (self.centre[0] + along * x - across * y) * SUPERSAMPLING,
                (self.centre[1] + across * x + along * y) * SUPERSAMPLING,
            )
            for x, y in self.domain.outline
        ]
        large = Image.new("L", (side * SUPERSAMPLING, side * SUPERSAMPLING))
        ImageDraw.Draw(large).polygon(corners, fill=255)
        return np.asarray(large.reduce(SUPERSAMPLING), dtype=np.float64) / 255

    def radius(self) -> float:
        """Distance in pixels from the centre to the farthest corner."""
        return self.size * self.domain.radius()


def draw_instances(rng: np.random.Generator, domain: Domain, side: int) -> list[Instance]:
    """One to ``LARGEST_COUNT`` instances, wholly inside a picture of ``side`` pixels and apart from each other."""
    count = int(rng.integers(1, LARGEST_COUNT + 1))
    placed: list[Instance] = []
    tries = 0
    while len(placed) < count:
        size = rng.uniform(*SIZES) * side
        radius = size * domain.radius()
        centre = (rng.uniform(radius, side - radius), rng.uniform(radius, side - radius))
        if all(math.dist(centre, old.centre) >= radius + old.radius() + GAP * side for old in placed):
            hue, saturation, value = (rng.uniform(*limits) for limits in (domain.hue, domain.saturation, domain.value))
            angle = rng.uniform(-LARGEST_ANGLE, LARGEST_ANGLE)
            placed.append(Instance(domain, centre, size, angle, colorsys.hsv_to_rgb(hue % 1, saturation, value)))
        tries += 1
        if tries % 100 == 0:  # no room left: begin again with the same count
            placed.clear()
    return placed


def draw_background(rng: np.random.Generator, kind: str, side: int) -> np.ndarray:
    """A muted texture of one of ``BACKGROUNDS``: (side, side, 3) float in [0, 1]."""
    y, x = np.mgrid[0:side, 0:side] / side  # (side, side) in [0, 1)
    angle, phase, waves = rng.uniform(0, 2 * math.pi), rng.uniform(0, 2 * math.pi), rng.uniform(2, 4)
    slope = (x - 0.5) * math.cos(angle) + (y - 0.5) * math.sin(angle)
    if kind == "gradient":
        pattern = slope * 1.6
    elif kind == "stripes":
        pattern = np.sin(2 * math.pi * waves * slope + phase)
    elif kind == "checks":
        pattern = np.tanh(3 * np.sin(math.pi * waves * x + phase) * np.sin(math.pi * waves * y + phase))
    elif kind == "clouds":
        coarse = Image.fromarray(rng.uniform(-1, 1, (7, 7)).astype(np.float32))
        pattern = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
    elif kind == "ripples":
        away = np.hypot(x - rng.uniform(0, 1), y - rng.uniform(0, 1))
        pattern = np.sin(2 * math.pi * waves * away + phase)
    else:
        raise ValueError(f"kind must be one of {', '.join(BACKGROUNDS)}, not {kind}")
    dark, light = rng.uniform(0.40, 0.47), rng.uniform(0.63, 0.70)
    tints = rng.uniform(-0.03, 0.03, (2, 3))
    mix = np.clip(pattern / 2 + 0.5, 0, 1)[..., None]  # (side, side, 1)
    grain = rng.normal(0, 0.012, (side, side, 1))
    return np.clip((dark + tints[0]) * (1 - mix) + (light + tints[1]) * mix + grain, 0, 1)  # (side, side, 3)


def draw_picture(
    rng: np.random.Generator, domain: Domain, side: int
) -> tuple[np.ndarray, list[np.ndarray], dict[str, Any]]:
    """One picture (side, side, 3) uint8, its masks, each (side, side) uint8 of 0 and 255, and the truth about it."""
    kind = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))]
    picture = draw_background(rng, kind, side)
    y = np.mgrid[0:side, 0:side][0] + 0.5
    masks, truth = [], []
    for instance in draw_instances(rng, domain, side):
        cover = instance.coverage(side)
        light = 1 - 0.12 * (y - instance.centre[1]) / instance.size  # lit from above; 1 on average
        lit = np.clip(np.multiply.outer(light, instance.colour), 0, 1)  # (side, side, 3)
        picture = picture * (1 - cover[..., None]) + lit * cover[..., None]
        inside = cover >= 0.5
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        masks.append(np.where(inside, 255, 0).astype(np.uint8))
        truth.append(
            {
                "shape": domain.shape,
                "colour": [round(channel, 4) for channel in instance.colour],
                "box": [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1],
                "centre": [round(position, 3) for position in instance.centre],
                "size": round(instance.size, 3),
                "angle": round(instance.angle, 3),
            }
        )
    return np.rint(picture * 255).astype(np.uint8), masks, {"background": kind, "instances": truth}


def write_set(save_root: Path, seed: int, counts: dict[str, int], side: int) -> None:
    """Writes pictures, masks and, last of all, ``shapes.json``. counts: pictures per domain by phase."""
    pictures: dict[str, Any] = {}
    for phase_key, (phase, count) in enumerate(counts.items()):
        for domain_key, domain in enumerate(DOMAINS):
            folder = save_root / f"{phase}{domain.name}"
            masks_folder = save_root / f"{phase}{domain.name}_seg"
            folder.mkdir(parents=True, exist_ok=True)
            masks_folder.mkdir(exist_ok=True)
            for index in range(count):
                rng = np.random.default_rng([seed, phase_key, domain_key, index])
                picture, masks, truth = draw_picture(rng, domain, side)
                stem = f"{domain.shape}s_{index:03d}"
                Image.fromarray(picture).save(folder / f"{stem}.png")
                for slot, mask in enumerate(masks):
                    Image.fromarray(mask).save(masks_folder / f"{stem}_{slot}.png")
                pictures[f"{folder.name}/{stem}.png"] = truth
    domains = {
        domain.name: {key: getattr(domain, key) for key in ("shape", "outline", "hue", "saturation", "value")}
        for domain in DOMAINS
    }
    content = {"seed": seed, "size": side, "domains": domains, "pictures": pictures}
    (save_root / "shapes.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def clear(save_root: Path, phases: Sequence[str], overwrite: bool) -> None:
    """Removes an earlier set, nothing else; raises ``FileExistsError`` where something is and must not be replaced."""
    if not save_root.exists():
        return
    if not save_root.is_dir():
        raise FileExistsError(f"--save_root {save_root} is a file, give a folder.")
    if any(save_root.iterdir()) and not overwrite:
        raise FileExistsError(f"--save_root {save_root} is not empty, give another folder or add --overwrite.")
    for phase in phases:
        for domain in DOMAINS:
            for folder in (f"{phase}{domain.name}", f"{phase}{domain.name}_seg"):
                shutil.rmtree(save_root / folder, ignore_errors=True)
    (save_root / "shapes.json").unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 after one sentence on stderr when the folder is taken."""
    parser = argparse.ArgumentParser(description="Draw the embedded example: squares and triangles, with masks.")
    parser.add_argument("--save_root", type=Path, default=Path("datasets/shapes"), help="folder of the data set")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same pictures; 0 or more")
    parser.add_argument("--train", type=int, default=200, help="training pictures per domain")
    parser.add_argument("--val", type=int, default=40, help="validation pictures per domain")
    parser.add_argument("--size", type=int, default=64, help="side of a picture in pixels, at least 32")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier set in save_root")
    args = parser.parse_args(argv)
    for flag, least in (("seed", 0), ("train", 0), ("val", 0), ("size", 32)):
        if getattr(args, flag) < least:
            parser.error(f"--{flag} must be at least {least}, not {getattr(args, flag)}.")
    counts = {"train": args.train, "val": args.val}
    try:
        clear(args.save_root, list(counts), args.overwrite)
        write_set(args.save_root, args.seed, counts, args.size)
    except OSError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{args.save_root}: {args.train} training and {args.val} validation pictures per domain; truth: shapes.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
