#!/usr/bin/env python
"""The paper's ablation as numbers: what each part of InstaGAN is good for, on drawn shapes whose truth is known.

    python benchmarks/ablation.py                   # all runs (hours), then docs/ablation.md and its figures
    python benchmarks/ablation.py --quick           # tiny, end to end, into results/ablation_quick/
    python benchmarks/ablation.py --report          # the document alone, from the runs that there are

CycleGAN, CycleGAN+Seg, InstaGAN without context loss and without sequential translation, with the one, with both; and
the 2 x 2 of one-step and sequential translation in training and in inference. Every run trains on one thread until it
has had --steps and --seconds, and is looked at when either is reached: equal steps, and equal processor time, whatever
else the computer does meanwhile. --times 8: it goes on to eight times both, and is looked at after once, twice and four
times as well: learning curves. A run is a json file in --runs; what is there is not trained again, but goes on where it
was stopped (Ctrl-C, SIGTERM) or where a study with fewer --times ended. --methods also knows variants of the last one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.ablations.figure import draw_curves, draw_figure, read_strip  # noqa: E402
from benchmarks.ablations.methods import METHODS, PAPER  # noqa: E402
from benchmarks.ablations.references import look_at_references  # noqa: E402
from benchmarks.ablations.report import document, notes_in, summary  # noqa: E402
from benchmarks.ablations.study import (  # noqa: E402
    TIME,
    Run,
    Study,
    at,
    cells,
    finished,
    keep,
    keep_picture,
    keep_text,
    originals_file,
    picture_file,
    read_references,
    read_run,
    run_file,
)
from benchmarks.ablations.tables import by_method, counts_in, curves, listed  # noqa: E402
from benchmarks.ablations.validation import Validation  # noqa: E402
from data.shapes import drawing  # noqa: E402
from data.shapes.writing import LEVELS  # noqa: E402
from engine.stop_request import StopRequest  # noqa: E402
from instagan.cli.ending import exit_code  # noqa: E402
from instagan.errors import InputError  # noqa: E402
from instagan.flag_types import finite, real, whole  # noqa: E402
from instagan.io.writing import make_folder  # noqa: E402

QUICK = {
    "size": 48, "ngf": 4, "train": 8, "val": 6, "steps": 6, "seconds": 1.0, "times": 2, "seeds": [0, 1],
    "runs": Path("results/ablation_quick"), "document": Path("results/ablation_quick/ablation.md"),
}  # fmt: skip
"""What --quick puts in the place of defaults."""
REFERENCES = "references.json"
IMAGES = "images"
"""Folder of the figures, beside the document."""
LONGER = "longer"
"""Folder beside the runs with those of a study with more time, which get a section of their own."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr; 130 when stopped: the same command goes on."""
    words = list(sys.argv[1:] if argv is None else argv)
    options = _parse(words)

    def study() -> None:
        if not options.report:
            _train(options)
        _write(options)

    return exit_code("ablation.py", study, "stopped; the same command goes on from here")


def _parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny networks and images, a few steps")
    parser.add_argument("--report", action="store_true", help="train nothing, write the document from the runs")
    parser.add_argument("--seeds", type=whole(0), nargs="+", default=[0, 1, 2], metavar="N", help="a run of each")
    parser.add_argument("--steps", type=whole(1), default=200, help="training steps of the one budget")
    parser.add_argument("--seconds", type=finite(above=True), default=120.0, help="processor time of the other")
    parser.add_argument("--times", type=_power, default=4, help="so many times both budgets: 1, 2, 4, 8 ...")
    parser.add_argument("--methods", choices=METHODS, nargs="+", default=list(PAPER), help="which to train")
    parser.add_argument("--level", choices=LEVELS, default="decoys", help="of the drawn shapes")
    parser.add_argument("--size", type=whole(32), default=64, help="width and height of the images")
    parser.add_argument("--ngf", type=whole(1), default=12, help="width of InstaGAN's networks")
    parser.add_argument("--train", type=whole(1), default=400, help="training images of each domain")
    parser.add_argument("--val", type=whole(1), default=30, help="validation images of each domain")
    parser.add_argument("--lr", type=finite(above=True), default=5e-4, help="learning rate, from beginning to end")
    parser.add_argument("--ema", type=real(0, 0.999999), default=0.99, help="look at averages, as train.py --ema does")
    parser.add_argument(
        "--runs", type=Path, default=Path("results/ablation"), metavar="DIR", help="where runs are kept"
    )
    parser.add_argument("--document", type=Path, default=ROOT / "docs" / "ablation.md", help="what is written")
    if "--quick" in words:
        parser.set_defaults(**QUICK)
    return parser.parse_args(words)


def _power(text: str) -> int:
    number = whole(1)(text)
    if number & (number - 1):
        raise argparse.ArgumentTypeError(f"must be a power of two, not {text}")
    return number


def _train(options: argparse.Namespace) -> None:
    """Trains what is not finished yet, one run after the other on one thread. Raises ``KeyboardInterrupt``."""
    torch.set_num_threads(1)
    study = Study(**{name: getattr(options, name) for name in Study.__dataclass_fields__})
    make_folder(options.runs, "pass another --runs")
    planned = list(cells(options.methods, options.seeds))
    done = {cell: finished(run_file(options.runs, *cell), study.settings(), options.times) for cell in planned}
    if all(done.values()):
        return
    with StopRequest() as request, TemporaryDirectory(prefix="ablation-") as name:
        folder = Path(name)
        dataroot = study.draw(folder)
        if not any(options.runs.glob("*-seed*.json")):  # else they are there, and of this study
            validation = Validation.of(study.ready(folder, *planned[0]).resolved.values)
            keep(options.runs / REFERENCES, look_at_references(validation, dataroot))
            keep_picture(originals_file(options.runs), Image.fromarray(validation.originals()))
        for number, cell in enumerate(planned, 1):
            if not done[cell]:
                run = study.run(folder, options.runs, *cell, options.times, request.wish)
                if run is None:
                    raise KeyboardInterrupt
                print(f"{number} of {len(planned)}: {summary(run)}", file=sys.stderr, flush=True)


def _write(options: argparse.Namespace) -> None:
    """The document, and beside it the figure, if the pictures for it are there; what a person wrote stays."""
    runs, longer = _read(options.runs), _read(options.runs / LONGER)
    if not runs:
        raise InputError(f"--runs {options.runs} holds no finished run; leave out --report to train some")
    references = read_references(options.runs / REFERENCES)
    page: Path = options.document
    try:
        notes = notes_in(page.read_text(encoding="utf-8")) if page.exists() else ""
    except (OSError, ValueError):
        raise InputError(f"--document {page} is no text file; choose another file") from None
    make_folder(page.parent / IMAGES, "pass another --document")
    figures = [
        _keep_figure(*study, page.parent / IMAGES / name)
        for study, name in (
            ((runs, options.runs), f"{page.stem}.png"),
            ((longer, options.runs / LONGER), f"{page.stem}_{LONGER}.png"),
        )
    ]
    charts = page.parent / IMAGES / f"{page.stem}_curves.png"
    if any(look["times"] > 1 for run in runs for look in run["curve"]):
        units = {"steps": "steps", "seconds of processor time": "seconds"}
        keep_picture(charts, draw_curves({label: curves(runs, unit) for label, unit in units.items()}))
    shown = f"{IMAGES}/{charts.name}" if charts.exists() else None
    keep_text(page, document(runs, references, notes, figures[0], longer, figures[1], shown))
    print(f"{len(runs) + len(longer)} runs; read {page}")


def _read(folder: Path) -> list[Run]:
    """The runs of a study, all as they were when the last of them had spent as much.

    Raises ``InputError`` if a folder holds those of two.
    """
    files = sorted(folder.glob("*-seed*.json"))
    runs = [read_run(file) for file in files]
    for file, run in zip(files, runs, strict=True):
        if run["settings"] != runs[0]["settings"]:
            raise InputError(f"{file} has other settings than {files[0]}; keep runs of two studies in two folders")
    times = min((run["times"] for run in runs), default=1)
    return [at(run, times) for run in runs]


def _keep_figure(runs: Sequence[Run], kept: Path, file: Path) -> str | None:
    """Of the first seed, at equal time: its path as seen from the document, None where there is none.

    Where pictures are missing, as where runs are kept for their numbers alone, an earlier figure stays.
    """
    strips: dict[str, Image.Image | None] = {}
    if runs:
        seed = min(run["seed"] for run in runs)
        files = {METHODS[name].title: picture_file(kept, name, seed, TIME) for name in by_method(runs)}
        strips = {title: read_strip(path) for title, path in ({"picture": originals_file(kept)} | files).items()}
    there = {title: strip for title, strip in strips.items() if strip}
    if there and len(there) == len(strips):
        domains = (drawing.SQUARES.shape, drawing.TRIANGLES.shape)
        groups = [f"{source}s to {target}s" for source, target in (domains, domains[::-1])]
        headings = [listed([count]) for count in counts_in(runs)]
        keep_picture(file, draw_figure(there, runs[0]["settings"]["size"], headings, groups))
    return f"{IMAGES}/{file.name}" if file.exists() else None


if __name__ == "__main__":
    sys.exit(main())
