"""The runs of the ablation -> docs/ablation.md. Every number in it comes from the runs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from scripts.ablations.methods import METHODS, MOST_TRAINED, ONE_STEP, SCHEMES, SEQUENTIAL
from scripts.ablations.references import TITLES
from scripts.ablations.study import LAST_LOSSES, STEPS, TIME, Run
from scripts.ablations.validation import shares

Sums = Sequence[Mapping[str, Any]]
"""What ``Validation.look`` gives."""

NOTES = "<!-- What stands between these two lines is written by hand, and stays. -->"
END_OF_NOTES = "<!-- End of what is written by hand. -->"
PERCENT, ERROR = "{:.1%}", "{:.4f}"
FIGURES = {
    "translated": PERCENT,
    "masks": PERCENT,
    "colour": PERCENT,
    "background": ERROR,
    "distractors": ERROR,
}
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
training. Three known translations bound the scale: one drawn from the truth (what is missing to 100% is what
the judge does not recognise), one that changes nothing, and the target's colour painted over everything.
"""


def document(runs: Sequence[Run], references: Mapping[str, Sums], notes: str, figure: str | None) -> str:
    """The whole document. notes: what a person wrote; figure: the picture's path as seen from the document."""
    settings = runs[0]["settings"]
    seeds = sorted({run["seed"] for run in runs})
    spent = sum(max(look["seconds"] for look in run["looks"].values()) for run in runs)
    parts = [
        "# Ablation",
        f"What each part of InstaGAN is good for, measured on drawn shapes (squares <-> triangles, {settings['level']} "
        "level) whose truth is known. `scripts/ablation.py` writes this file; its numbers are those of the runs.",
        f"    {command(settings, seeds)}",
        f"{len(runs)} runs, seeds {', '.join(map(str, seeds))}; together {spent / 60:.0f} minutes of one processor "
        f"core in training (torch {', '.join(sorted({run['torch'] for run in runs}))}). Pictures of "
        f"{settings['size']} x {settings['size']} pixels, {settings['train']} of each domain to train on, with 1 to "
        f"{MOST_TRAINED} instances, and {settings['val']} to look at, with {listed(counts_in(runs))}; ngf "
        f"{settings['ngf']} for InstaGAN, more for CycleGAN, so that its generator has about as many weights; batch 1, "
        f"learning rate {settings['lr']:g} throughout, the same weights of losses in all rows (cycle and identity 10, "
        "context 10 where there is one). The row InstaGAN has neither context loss nor sequential translation: it "
        "takes all instances at once; each row after it adds one of them.",
        "Equal steps is not equal work: a step of InstaGAN takes several times as long as one of CycleGAN, and a "
        "sequential one makes an update for every mini-batch. So every run goes on until it has had "
        f"{settings['steps']} steps *and* {settings['seconds']:g} seconds of processor time (one thread; loading "
        "included, looking at validation pictures not), and is looked at when either is reached.",
        LEGEND,
    ]
    for budget, title in titles(settings).items():
        parts += [f"## {title}", main_table(runs, references, budget)]
        parts += ["Translated, by the number of instances in the picture:", count_table(runs, references, budget)]
    parts += [
        "## One-step and sequential, in training and in inference",
        f"Translated: in all pictures, and in those with more instances than the {MOST_TRAINED} of training pictures.",
        square_table(runs),
        "## Is the paper's order reproduced?",
        "Differences seed by seed; a claim holds or is reversed if all seeds agree on the sign.",
        claim_table(runs),
        "## Losses",
        f"Means over the last {LAST_LOSSES} steps before the look, over both directions and all seeds.",
        loss_table(runs),
    ]
    if figure:
        parts += ["## Pictures", f"![Translations of all methods]({figure})", FIGURE_LEGEND.format(seeds[0])]
    parts += ["## A look at why", f"{NOTES}\n{notes}\n{END_OF_NOTES}"]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


FIGURE_LEGEND = """\
*The first validation picture of each number of instances, in both directions; equal time, seed {}. First row: the
pictures that are translated.*"""


def notes_in(text: str) -> str:
    """What a person wrote into an earlier document."""
    _, found, after = text.partition(NOTES)
    return after.partition(END_OF_NOTES)[0].strip("\n") if found else ""


def command(settings: Mapping[str, Any], seeds: Sequence[int]) -> str:
    flags = {name: value for name, value in settings.items() if name != "protocol"}
    values = {name: f"{value:g}" if isinstance(value, float) else value for name, value in flags.items()}
    typed = " ".join(f"--{name} {value}" for name, value in values.items())
    return f"python scripts/ablation.py --seeds {' '.join(map(str, seeds))} {typed}"


def titles(settings: Mapping[str, Any]) -> dict[str, str]:
    return {
        STEPS: f"Equal steps: {settings['steps']}",
        TIME: f"Equal time: {settings['seconds']:g} seconds of processor time",
    }


def main_table(runs: Sequence[Run], references: Mapping[str, Sums], budget: str) -> str:
    header = ["method", "weights of a generator", "steps", "seconds", *FIGURES]
    rows = []
    for name, of_method in by_method(runs).items():
        looks = [run["looks"][budget] for run in of_method]
        found = [shares(own(run, budget)) for run in of_method]
        figures = [spread([one[figure] for one in found], shown) for figure, shown in FIGURES.items()]
        taken = [spread([look[unit] for look in looks], "{:.0f}") for unit in ("steps", "seconds")]
        rows.append([METHODS[name].title, f"{of_method[0]['parameters']:,}", *taken, *figures])
    for name, sums in references.items():
        known = shares(sums)
        rows.append([TITLES[name], "", "", "", *(spread([known[figure]], shown) for figure, shown in FIGURES.items())])
    return table(header, rows)


def count_table(runs: Sequence[Run], references: Mapping[str, Sums], budget: str) -> str:
    counts = counts_in(runs)
    rows = [
        [
            METHODS[name].title,
            *(spread([translated(own(run, budget), [n]) for run in of_method], PERCENT) for n in counts),
        ]
        for name, of_method in by_method(runs).items()
    ]
    rows += [
        [TITLES[name], *(spread([translated(sums, [count])], PERCENT) for count in counts)]
        for name, sums in references.items()
    ]
    return table(["instances", *map(str, counts)], rows)


def square_table(runs: Sequence[Run]) -> str:
    """The 2 x 2, under both budgets."""
    many = [count for count in counts_in(runs) if count > MOST_TRAINED]
    header = ["training", "inference"]
    for budget in (STEPS, TIME):
        header += [f"equal {budget}"] + [f"equal {budget}, {listed(many)}"] * bool(many)
    rows = []
    for training, method in SCHEMES.items():
        of_method = by_method(runs).get(method, [])
        for inference in (ONE_STEP, SEQUENTIAL):
            row = [training, inference]
            for budget in (STEPS, TIME):
                sums = [run["looks"][budget]["inference"][inference] for run in of_method]
                row += [spread([translated(one, None) for one in sums], PERCENT)]
                row += [spread([translated(one, many) for one in sums], PERCENT)] * bool(many)
            rows.append(row)
    return table(header, rows)


Pick = Callable[[Run, str], float | None]


def _figure(name: str) -> Pick:
    return lambda run, budget: shares(own(run, budget))[name]


def _inferred(scheme: str) -> Pick:
    return lambda run, budget: translated(run["looks"][budget]["inference"][scheme], None)


CLAIMS: tuple[tuple[str, tuple[str, Pick], tuple[str, Pick], int, str], ...] = (
    ("masks help: CycleGAN+Seg over CycleGAN", ("cycle_gan", _figure("translated")),
     ("cycle_gan_seg", _figure("translated")), 1, PERCENT),
    ("a set of masks over their union: InstaGAN over CycleGAN+Seg", ("cycle_gan_seg", _figure("translated")),
     ("insta_gan", _figure("translated")), 1, PERCENT),
    ("the context loss keeps the background (error, lower is better)", ("insta_gan", _figure("background")),
     ("context", _figure("background")), -1, ERROR),
    ("the context loss: instances translated", ("insta_gan", _figure("translated")),
     ("context", _figure("translated")), 1, PERCENT),
    ("sequential inference, one-step training", ("context", _inferred(ONE_STEP)),
     ("context", _inferred(SEQUENTIAL)), 1, PERCENT),
    ("sequential training, sequential inference", ("context", _inferred(SEQUENTIAL)),
     ("sequential", _inferred(SEQUENTIAL)), 1, PERCENT),
    ("sequential over one-step, in both", ("context", _inferred(ONE_STEP)),
     ("sequential", _inferred(SEQUENTIAL)), 1, PERCENT),
)  # fmt: skip
"""The claim, what is compared with what, the sign of a difference that confirms it, how it is shown."""


def claim_table(runs: Sequence[Run]) -> str:
    found = {(run["method"], run["seed"]): run for run in runs}
    rows = []
    for claim, (before, of_before), (after, of_after), sign, shown in CLAIMS:
        row = [claim]
        for budget in (STEPS, TIME):
            differences = [
                of_after(found[after, seed], budget) - of_before(found[before, seed], budget)  # type: ignore[operator]
                for seed in sorted({run["seed"] for run in runs})
                if (before, seed) in found and (after, seed) in found
            ]
            row += [" / ".join(signed(one, shown) for one in differences) or "-", verdict(differences, sign)]
        rows.append(row)
    return table(["claim", "equal steps", "", "equal time", ""], rows)


def verdict(differences: Sequence[float], sign: int) -> str:
    """What all seeds say of a claim."""
    if not differences:
        return "-"
    if all(one * sign > 0 for one in differences):
        return "holds"
    return "reversed" if all(one * sign < 0 for one in differences) else "undecided"


def loss_table(runs: Sequence[Run]) -> str:
    kinds = ("G", "D", "cyc", "idt", "ctx")
    rows = []
    for budget in (STEPS, TIME):
        for name, of_method in by_method(runs).items():
            losses = [run["looks"][budget]["losses"] for run in of_method]
            means = [
                [one[f"{kind}_{way}"] for one in losses for way in "AB" if f"{kind}_{way}" in one] for kind in kinds
            ]
            shown = [f"{statistics.mean(values):.3f}" if values else "" for values in means]
            rows.append([f"equal {budget}", METHODS[name].title, *shown])
    return table(["", "method", *kinds], rows)


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


def own(run: Run, budget: str) -> Sums:
    """The sums with the inference of the method's row."""
    found: Sums = run["looks"][budget]["inference"][METHODS[run["method"]].inference[0]]
    return found


def translated(sums: Sums, counts: Sequence[int] | None) -> float | None:
    """The share in pictures with these numbers of instances, None: in all."""
    chosen = [one for one in sums if counts is None or one["count"] in counts]
    return shares(chosen)["translated"]


def by_method(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """In the order of ``METHODS``, those that there are."""
    found = {name: [run for run in runs if run["method"] == name] for name in METHODS}
    return {name: of_method for name, of_method in found.items() if of_method}


def counts_in(runs: Sequence[Run]) -> list[int]:
    return sorted({one["count"] for one in own(runs[0], STEPS)})


def spread(values: Sequence[float | None], shown: str) -> str:
    """Mean and standard deviation; nothing where there is nothing."""
    there = [value for value in values if value is not None]
    if not there:
        return ""
    mean = shown.format(statistics.mean(there))
    return mean if len(there) == 1 else f"{mean} ± {shown.format(statistics.stdev(there))}"


def signed(value: float, shown: str) -> str:
    return ("+" if value > 0 else "") + shown.format(value)


def listed(numbers: Sequence[int]) -> str:
    """1, 2 and 4 instances."""
    *words, last = (str(number) for number in numbers)
    return f"{', '.join(words)} and {last} instances" if words else f"{last} instance{'s' * (last != '1')}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
