"""The runs of the ablation -> docs/ablation.md. Every number in it comes from the runs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.ablations.measured import LAST_LOSSES
from benchmarks.ablations.methods import METHODS, MOST_TRAINED
from benchmarks.ablations.study import STEPS, TIME, Run, at, times_of
from benchmarks.ablations.tables import (
    FIGURES,
    Sums,
    by_method,
    claim_table,
    count_table,
    counts_in,
    curve_table,
    listed,
    loss_table,
    main_table,
    order_table,
    own,
    spread,
    square_table,
)
from benchmarks.ablations.validation import shares

NOTES = "<!-- What stands between these two lines is written by hand, and stays. -->"
END_OF_NOTES = "<!-- End of what is written by hand. -->"
LEGEND = """\
- **translated**: share of instances whose place in the translated *picture* shows the target domain's shape in one of
  its colours: the only figure of this kind that all methods can have. Judged on pixels that are nearer to the instance
  than to any other.
- **masks**: share of instances whose translated *mask* has the target's shape; for CycleGAN+Seg the part of the union
  that is nearest to the instance. CycleGAN has no masks.
- **colour**: share of instances whose place has one of the target's colours on average.
- **background**: mean absolute error on [0, 1] of the pixels that are out of reach of every instance: the same pixels
  for all methods, whatever masks they give.
- **distractors**: the same on objects of neither domain alone.

Shares and errors are over both directions. Mean ± standard deviation over the seeds. Inference is that of the row's
training. Known translations bound the scale: one drawn from the truth (what is missing to 100% is what the judge does
not recognise), one that changes nothing, and the target's colour painted over the instances, or over everything.
"""


def document(
    runs: Sequence[Run],
    references: Mapping[str, Sums],
    notes: str,
    figure: str | None,
    longer: Sequence[Run] = (),
    longer_figure: str | None = None,
    curves_figure: str | None = None,
) -> str:
    """The whole document. notes: what a person wrote; figure: the picture's path as seen from the document.

    longer: runs of a second study, with more time, and their figure. curves_figure: of the first one's curves.
    """
    settings, times = runs[0]["settings"], runs[0]["times"]
    seeds = sorted({run["seed"] for run in runs})
    spent = sum(max(look["seconds"] for look in run["curve"]) for run in runs)
    steps, seconds = times * settings["steps"], times * settings["seconds"]
    parts = [
        "# Ablation",
        wrapped(
            f"What each part of InstaGAN is good for, measured on drawn shapes (squares <-> triangles, "
            f"{settings['level']} level) whose truth is known. `benchmarks/ablation.py` writes this file; its numbers "
            "are those of the runs."
        ),
        f"    {command(settings, seeds, times)}",
        wrapped(
            f"{len(runs)} runs, seeds {', '.join(map(str, seeds))}; together {spent / 60:.0f} minutes of one processor "
            f"core in training (torch {', '.join(sorted({run['torch'] for run in runs}))}). Pictures of "
            f"{settings['size']} x {settings['size']} pixels, {settings['train']} of each domain to train on, with 1 "
            f"to {MOST_TRAINED} instances, and {settings['val']} to look at, with {listed(counts_in(runs))}; ngf "
            f"{settings['ngf']} for InstaGAN, more for CycleGAN, whose generator is one network instead of two; "
            f"batch 1, learning rate {settings['lr']:g} throughout, {looked_at(settings)}the same weights of losses in "
            "all rows (cycle and identity 10, context 10 where there is one). The row InstaGAN takes all instances at "
            "once and has no context loss; each row after it adds one thing."
        ),
        wrapped(
            "Equal steps is not equal work: a step of InstaGAN takes several times as long as one of CycleGAN, and a "
            "sequential one makes an update for every mini-batch. So every run goes on until it has had "
            f"{steps} steps *and* {seconds:g} seconds of processor time, and is looked at when "
            "either is reached. Processor time is that of the training process on one thread, loading included and "
            "looking at validation pictures not: unlike time on the wall it does not depend on how much of a core "
            "other programs leave, though it grows somewhat when they compete for caches."
        ),
        LEGEND,
    ]
    if any(look["times"] > 1 for run in runs for look in run["curve"]):
        parts += [
            "## Learning curves",
            wrapped(
                f"Translated, after {settings['steps']} steps or {settings['seconds']:g} seconds, twice that, four "
                "times that, and so on; a line for each seed. A curve that still rises at its end is one of training "
                "that has not converged."
            ),
            *([f"![Learning curves]({curves_figure})"] if curves_figure else []),
            curve_table(runs),
        ]
    for budget, title in titles(settings, times).items():
        parts += [f"## {title}", main_table(runs, references, budget)]
        parts += ["Translated, by the number of instances in the picture:", count_table(runs, references, budget)]
    parts += [
        "## One-step and sequential, in training and in inference",
        wrapped(
            "All pictures, but for one column: those with more instances than the "
            f"{MOST_TRAINED} that training pictures have at most. Sequential is two at a time."
        ),
        square_table(runs),
        "## Is the paper's order reproduced?",
        wrapped(
            "Differences, seed by seed. A claim holds, or is reversed, if all seeds say so; else it is undecided, and "
            "so many of the seeds are for it."
        ),
        claim_table(runs),
        *later_parts(runs),
        "## Losses",
        f"Means over the last {LAST_LOSSES} steps before the look, over both directions and all seeds.",
        loss_table(runs),
    ]
    if figure:
        parts += ["## Pictures", f"![Translations of all methods]({figure})", FIGURE_LEGEND.format(seeds[0])]
    if longer:
        parts += longer_parts(longer)
    if longer and longer_figure:
        parts += [f"![Translations with more time]({longer_figure})"]
    parts += ["## A look at why", f"{NOTES}\n{notes}\n{END_OF_NOTES}"]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


FIGURE_LEGEND = """\
*The first validation picture of each number of instances, in both directions; the last look at equal time, seed
{}. First row: the pictures that are translated.*"""


def later_parts(runs: Sequence[Run]) -> list[str]:
    """The claims once more, of the runs that went on for longest."""
    most = max(times_of(run["curve"]) for run in runs)
    later = [at(run, most) for run in runs if times_of(run["curve"]) == most]
    if most == runs[0]["times"]:
        return []
    seeds = {METHODS[name].title: [run["seed"] for run in found] for name, found in by_method(later).items()}
    told = "; ".join(f"{title}, seed{'s' * (len(own) > 1)} {', '.join(map(str, own))}" for title, own in seeds.items())
    steps, seconds = (most * runs[0]["settings"][unit] for unit in ("steps", "seconds"))
    return [
        wrapped(f"After {steps} steps, and after {seconds:g} seconds, of those runs that went on ({told}):"),
        claim_table(later),
    ]


def longer_parts(runs: Sequence[Run]) -> list[str]:
    """The section on a second study: whether the order is one of the beginning of training."""
    settings, times, seeds = runs[0]["settings"], runs[0]["times"], sorted({run["seed"] for run in runs})
    return [
        "## With more time",
        wrapped(
            f"Some of the methods with {settings['seconds'] * times:g} seconds, {settings['train']} training images of "
            f"each domain, seed {', '.join(map(str, seeds))}: what remains of the order when training goes on."
        ),
        f"    {command(settings, seeds, times)} --methods {' '.join(by_method(runs))}",
        main_table(runs, {}, TIME),
        "Translated, by the number of instances in the picture:",
        count_table(runs, {}, TIME),
        "Training and inference:",
        square_table(runs, (TIME,)),
        wrapped(
            "Does a pass spoil what the passes before it have translated? Instances that sequential inference takes in "
            "the last pass, and those before them; in one-step inference the same instances, all in one pass:"
        ),
        order_table(runs, TIME),
    ]


def wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def notes_in(text: str) -> str:
    """What a person wrote into an earlier document."""
    _, found, after = text.partition(NOTES)
    return after.partition(END_OF_NOTES)[0].strip("\n") if found else ""


def command(settings: Mapping[str, Any], seeds: Sequence[int], times: int) -> str:
    flags = {name: value for name, value in settings.items() if name != "protocol"}
    values = {name: f"{value:g}" if isinstance(value, float) else value for name, value in flags.items()}
    typed = " ".join(f"--{name} {value}" for name, value in values.items())
    return f"python benchmarks/ablation.py --seeds {' '.join(map(str, seeds))} {typed} --times {times}"


def looked_at(settings: Mapping[str, Any]) -> str:
    ema = settings["ema"]
    return f"averaged weights of the generators looked at (--ema {ema:g}), " if ema else ""


def titles(settings: Mapping[str, Any], times: int = 1) -> dict[str, str]:
    return {
        STEPS: f"Equal steps: {times * settings['steps']}",
        TIME: f"Equal time: {times * settings['seconds']:g} seconds of processor time",
    }


def summary(run: Run) -> str:
    """One line on a run, for the console."""
    told = []
    for budget, look in run["looks"].items():
        figures = shares(own(run, budget))
        told.append(
            f"{look['steps']} steps, {look['seconds']:.0f} s: "
            + ", ".join(f"{name} {spread([figures[name]], shown)}" for name, shown in FIGURES.items())
        )
    return f"{run['method']}, seed {run['seed']}: {'; '.join(told)}"
