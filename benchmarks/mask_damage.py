#!/usr/bin/env python
"""What damage to masks costs when a model is used: the embedded example's figures by the kind and strength of damage.

    python benchmarks/mask_damage.py --dataroot datasets/shapes --runs checkpoints/shapes checkpoints/shapes_noise
    python benchmarks/mask_damage.py --runs checkpoints/shapes checkpoints/shapes_noise --report   # from the json alone

The validation pictures of a set that make_shapes.py drew are translated in all directions that a run has learned, with
masks damaged as --mask_noise does it, each by its full strength. Figures are those of scripts/measure_shapes.py,
against the masks that were drawn: an instance whose mask is dropped counts as failed. Writes mask_damage.json, .md
(tables) and .png (curves) into --results.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.mask_noise import KINDS, MaskNoise  # noqa: E402
from evaluation.shapes import figures_of, pictures_of  # noqa: E402
from instagan import Translator  # noqa: E402
from instagan.cli.ending import exit_code  # noqa: E402
from instagan.errors import InputError, one_line  # noqa: E402
from instagan.flag_types import real, whole  # noqa: E402
from instagan.inference.inputs import Source, prepare  # noqa: E402
from instagan.io.writing import make_folder  # noqa: E402
from instagan.metrics.outcome import Outcome  # noqa: E402
from instagan.metrics.shapes import read_truth  # noqa: E402

PHASE = "val"
FIGURES = {"shape": "right shape, in place", "colour": "right colour", "background": "background error"}
SEED = 0
SIDE, LEFT, GAP, TOP = 190, 60, 24, 40
INKS = ("#1f5fa8", "#d1495b", "#3a7d44", "#8a5aa8")

Rows = list[dict[str, Any]]
"""One for each run, kind and strength: {"run", "kind", "strength", "shape", "colour", "background"}."""


def study(runs: Sequence[Path], dataroot: Path, strengths: Sequence[float], count: int) -> Rows:
    """Every run with every damage, and without (strength 0 of every kind). Raises ``InputError``."""
    truth = read_truth(dataroot)
    if truth is None:
        raise InputError(f"--dataroot {dataroot} has no shapes.json; pass a set that scripts/make_shapes.py drew")
    rows: Rows = []
    for run in runs:
        ways = ways_of(run)
        sources = {letter: sources_of(dataroot, truth, letter, count) for letter in "AB"}
        whole = _figures(ways, sources, sources, truth)
        for kind in KINDS:
            rows.append({"run": run.name, "kind": kind, "strength": 0.0, **whole})
            for strength in strengths:
                noise = MaskNoise({kind: strength}, full=True)
                damaged = {letter: _damaged(each, noise) for letter, each in sources.items()}
                figures = _figures(ways, sources, damaged, truth)
                rows.append({"run": run.name, "kind": kind, "strength": strength, **figures})
                print(one_line(_told(rows[-1])), flush=True)
    return rows


def ways_of(run: Path) -> dict[str, Translator]:
    """By the letter of the domain translated to, the directions that a run has learned."""
    one = Translator.load(run, device="cpu")
    ways = {one.card["to"].upper(): one}
    with suppress(InputError):
        other = "a" if "B" in ways else "b"
        ways[other.upper()] = Translator.load(run, other, device="cpu")
    return ways


def sources_of(dataroot: Path, truth: dict[str, Any], letter: str, count: int) -> dict[str, Source]:
    """The first pictures of a domain with the masks that were drawn, by the stem of the file."""
    found = {}
    for stem, picture in list(pictures_of(truth, PHASE, letter).items())[:count]:
        masks = [dataroot / f"{PHASE}{letter}_seg/{stem}_{slot}.png" for slot in range(len(picture["instances"]))]
        found[stem] = prepare(dataroot / f"{PHASE}{letter}/{stem}.png", masks)
    if not found:
        raise InputError(f"--dataroot {dataroot} has no picture of {PHASE}{letter}; draw some with --val")
    return found


def _damaged(sources: Mapping[str, Source], noise: MaskNoise) -> dict[str, Source]:
    """The same pictures with damaged masks, in all runs the same ones."""
    random = np.random.default_rng(SEED)
    return {
        stem: Source(source.pixels, noise.damaged(source.inside, random), source.labels)
        for stem, source in sources.items()
    }


def _figures(
    ways: Mapping[str, Translator],
    drawn: Mapping[str, Mapping[str, Source]],
    given: Mapping[str, Mapping[str, Source]],
    truth: dict[str, Any],
) -> dict[str, float]:
    """Means of the directions that there are. drawn, given: by domain, with the true masks, and with those to use."""
    found = []
    for source, target in (way for way in ("AB", "BA") if way[1] in ways):
        translations = ways[target].translate(list(given[source].values()))
        outcomes = [
            Outcome.of(stem, of_drawn.pixels, np.asarray(made.picture), of_drawn.inside, made.inside)
            for (stem, of_drawn), made in zip(drawn[source].items(), translations, strict=True)
        ]
        found.append(figures_of(outcomes, truth, PHASE, source, target))
    mean = {name: [getattr(one, field) for one in found] for name, field in _FIELDS.items()}
    return {name: round(sum(values) / len(values), 4) for name, values in mean.items()}


_FIELDS = {"shape": "shape_share", "colour": "colour_share", "background": "background_error"}


def _told(row: Mapping[str, Any]) -> str:
    figures = ", ".join(f"{words} {row[name]:.3f}" for name, words in FIGURES.items())
    return f"{row['run']}: {row['kind']} {row['strength']:g}: {figures}"


def tables(rows: Rows) -> str:
    """A table for each figure in Markdown: damage by run."""
    runs = list(dict.fromkeys(row["run"] for row in rows))
    text = []
    for name, words in FIGURES.items():
        text += [f"| {words} | " + " | ".join(runs) + " |", "|---|" + "---|" * len(runs)]
        damages = dict.fromkeys((row["kind"], row["strength"]) for row in rows if row["strength"])
        for kind, strength in [("none", 0.0), *damages]:
            cells = [_cell(rows, run, kind, strength, name) for run in runs]
            text.append(f"| {kind if kind == 'none' else f'`{kind}:{strength:g}`'} | {' | '.join(cells)} |")
        text.append("")
    return "\n".join(text)


def _cell(rows: Rows, run: str, kind: str, strength: float, name: str) -> str:
    of_run = [row for row in rows if row["run"] == run and row["strength"] == strength]
    value = next(row[name] for row in of_run if kind in ("none", row["kind"]))
    return f"{value:.4f}" if name == "background" else f"{value:.1%}"


def curves(rows: Rows) -> Image.Image:
    """A panel for each share and kind of damage: the share from 0 to 1 by the strength, a line for each run."""
    shares, runs = [name for name in FIGURES if name != "background"], list(dict.fromkeys(row["run"] for row in rows))
    width, height = LEFT + len(KINDS) * (SIDE + GAP), TOP + len(shares) * (SIDE + GAP) + 20
    figure = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(figure), ImageFont.load_default(13)
    most = max(row["strength"] for row in rows)
    for number, run in enumerate(runs):
        draw.text((LEFT + number * 220, 2), run, INKS[number % len(INKS)], font)
    for line, name in enumerate(shares):
        top = TOP + line * (SIDE + GAP)
        for column, kind in enumerate(KINDS):
            left = LEFT + column * (SIDE + GAP)
            draw.rectangle((left, top, left + SIDE, top + SIDE), outline="#999999")
            draw.text((left + 4, top + SIDE - 18), f"{kind}: {FIGURES[name]}", "black", font)
            for share in (0.0, 0.5, 1.0):
                y = top + SIDE * (1 - share)
                draw.line((left, y, left + SIDE, y), "#dddddd")
                if column == 0:
                    draw.text((left - 44, y - 8), f"{share:.0%}", "black", font)
            for number, run in enumerate(runs):
                of_run = [row for row in rows if row["run"] == run and row["kind"] == kind]
                points = [(left + SIDE * row["strength"] / most, top + SIDE * (1 - row[name])) for row in of_run]
                draw.line(points, INKS[number % len(INKS)], 2)
                for x, y in points:
                    draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=INKS[number % len(INKS)])
            if line == len(shares) - 1:
                draw.text((left, top + SIDE + 4), f"strength 0 to {most:g}", "black", font)
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr."""
    parser = argparse.ArgumentParser(description="Figures of the embedded example by damage to its masks.")
    parser.add_argument("--dataroot", type=Path, default=Path("datasets/shapes"), help="what make_shapes.py wrote")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="DIR", help="folders of trained runs")
    parser.add_argument(
        "--strengths", type=real(0, 1, above=True), nargs="+", default=[0.2, 0.4, 0.6], metavar="S",
        help="of each kind of damage",
    )  # fmt: skip
    parser.add_argument("--pictures", type=whole(1), default=40, help="most pictures of each domain")
    parser.add_argument("--results", type=Path, default=Path("results/mask_damage"), help="folder to write to")
    parser.add_argument("--report", action="store_true", help="tables and curves alone, from the json that is there")
    options = parser.parse_args(argv)

    def run() -> int:
        make_folder(options.results)
        file = options.results / "mask_damage.json"
        if not options.report:
            rows = study(options.runs, options.dataroot, sorted(options.strengths), options.pictures)
            file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        elif not file.is_file():
            raise InputError(f"{file} is missing; run without --report first")
        rows = json.loads(file.read_text(encoding="utf-8"))
        file.with_suffix(".md").write_text(tables(rows), encoding="utf-8")
        curves(rows).save(file.with_suffix(".png"))
        print(tables(rows))
        return 0

    return exit_code("mask_damage.py", run, "interrupted; nothing is written")


if __name__ == "__main__":
    sys.exit(main())
