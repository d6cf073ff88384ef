"""The json files of a study -> the part of a document that tells of it, and its figures."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.ablations.figure import read_strip
from benchmarks.ablations.study import keep_picture, keep_text
from benchmarks.studies.figure import draw_figure, shown_styles
from benchmarks.studies.plan import SECONDS, UPDATES
from benchmarks.studies.references import IDENTITY, TITLES
from benchmarks.studies.tables import WAYS, Run, by_title, cost_table, measured_tables
from instagan.errors import InputError
from instagan.io.writing import make_folder

STRIPS = "strips"
"""Folder beside the json files with a strip of images of each run and reference."""
BUDGET_TITLES = {SECONDS: "Equal time: {:g} seconds of processor time", UPDATES: "Equal updates: {:g}"}


def begin_of(name: str) -> str:
    return f"<!-- {name}: from here on written by benchmarks/study.py -->"


def end_of(name: str) -> str:
    return f"<!-- {name}: end of what is written by benchmarks/study.py -->"


def part_of(
    runs: Sequence[Run], references: Mapping[str, Any], prepared: Mapping[str, Any], figures: Sequence[str]
) -> str:
    """What a document holds between two marks. figures: their paths as seen from the document."""
    first = runs[0]["settings"]
    budgets = [one for one in (SECONDS, UPDATES) if one in first["budgets"]]
    parts = [_about(runs, references["judged_by"], prepared), cost_table(runs, budgets)]
    for budget in budgets:
        for way, title in WAYS.items():
            tables = measured_tables(runs, references["rows"], first["judge"], budget, way)
            heading = f"{BUDGET_TITLES[budget].format(first['budgets'][budget])}, {title}"
            parts += [f"#### {heading}", *tables] if tables else []
    parts += [f"![{Path(file).stem}]({file})" for file in figures]
    if figures:
        styles = "" if first["styles"] == 1 else "; each scene in two styles, where there are two"
        parts += [f"*Seed {min(run['seed'] for run in runs)}{styles}.*"]
    return "\n\n".join(parts)


def _about(runs: Sequence[Run], by: Mapping[str, Any], prepared: Mapping[str, Any]) -> str:
    settings = runs[0]["settings"]
    seeds = sorted({run["seed"] for run in runs})
    spent = sum(max(look["seconds"] for look in run["looks"].values()) for run in runs)
    sentences = [
        f"{len(runs)} runs, seeds {', '.join(map(str, seeds))}, together {spent / 60:.0f} minutes of training on one "
        f"thread (torch {', '.join(sorted({run['torch'] for run in runs}))}; protocol {settings['protocol']}).",
        f"{settings['images']} images of each domain are translated; most styles of one: {settings['styles']}.",
    ]
    if "features" in by:
        sentences.append(
            f"Diversity: {by['diversity']}. FID and KID: {by['features']}; real are "
            + " and ".join(f"{count} training images of {letter}" for letter, count in by["real"].items())
            + "."
        )
    if "shapes" in by:
        sentences.append(f"Judged by {by['shapes']}.")
    if classifier := by.get("classifier"):
        sentences.append(
            f"IS and CIS are mean KL: {classifier['name']}; classes {', '.join(classifier['classes'])}, right on "
            f"{classifier['accuracy']:.0%} of {classifier['judged']} real images."
        )
    if made := {what: one["seconds"] for what, one in prepared.items() if what.endswith(".pth")}:
        told = ", ".join(f"{Path(what).name} {seconds:.0f} s" for what, seconds in made.items())
        sentences.append(f"Not in the budgets, made once for all seeds: {told}.")
    if len(seeds) > 1:
        sentences.append("Mean ± standard deviation over the seeds.")
    return textwrap.fill(" ".join(sentences), 120, break_long_words=False, break_on_hyphens=False)


def strip_file(runs: Path, name: str, way: str) -> Path:
    return runs / STRIPS / f"{name}-{way}.png"


def draw_figures(runs: Sequence[Run], kept: Path, folder: Path, name: str) -> list[Path]:
    """One for each direction of which strips are kept: of the first seed, in equal time where there is that budget."""
    budgets = runs[0]["settings"]["budgets"]
    budget = SECONDS if SECONDS in budgets else UPDATES
    seed, styles = min(run["seed"] for run in runs), shown_styles(runs[0]["settings"]["styles"])
    files = []
    for way in WAYS:
        rows = {title: f"{of[0]['method']}-seed{seed}-{budget}" for title, of in by_title(runs).items()}
        named = {_plain(TITLES[IDENTITY]): IDENTITY, **rows}
        named |= {_plain(title): reference for reference, title in TITLES.items() if reference != IDENTITY}
        strips = {title: read_strip(strip_file(kept, row, way)) for title, row in named.items()}
        there = {title: strip for title, strip in strips.items() if strip}
        if set(there) & set(rows):
            make_folder(folder)
            files.append(folder / f"{name}_{way}.png")
            keep_picture(files[-1], draw_figure(there, styles))
    return files


def _plain(title: str) -> str:
    return title.strip("*")


def put_into(document: Path, name: str, part: str) -> None:
    """Between the study's marks, with which a new document begins. Raises ``InputError`` where they are missing."""
    text = document.read_text(encoding="utf-8") if document.exists() else f"{begin_of(name)}\n{end_of(name)}\n"
    before, begun, rest = text.partition(begin_of(name))
    _, ended, after = rest.partition(end_of(name))
    if not begun or not ended:
        raise InputError(
            f"{document} has no lines {begin_of(name)} and {end_of(name)}; write them where the part belongs"
        )
    make_folder(document.parent)
    keep_text(document, f"{before}{begin_of(name)}\n\n{part}\n\n{end_of(name)}{after}")
