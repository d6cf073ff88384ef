"""The runs of the ablation -> tables. Every number comes from the runs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.ablations.methods import METHODS, MOST_TRAINED, ONE_STEP, SCHEMES, SEQUENTIAL
from benchmarks.ablations.references import TITLES
from benchmarks.ablations.study import STEPS, TIME, Run
from benchmarks.ablations.validation import shares

Sums = Sequence[Mapping[str, Any]]
"""What ``Validation.look`` gives."""

PERCENT, ERROR = "{:.1%}", "{:.4f}"
FIGURES = {
    "translated": PERCENT,
    "masks": PERCENT,
    "colour": PERCENT,
    "background": ERROR,
    "distractors": ERROR,
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


def square_table(runs: Sequence[Run], budgets: Sequence[str] = (STEPS, TIME)) -> str:
    """The 2 x 2, under both budgets; the second share is of the pictures with more instances than those of training."""
    many = [count for count in counts_in(runs) if count > MOST_TRAINED]
    header = ["", "training", "inference", *FIGURES]
    if many:
        header[4:4] = [f"translated, {listed(many)}"]
    rows = []
    for budget in budgets:
        for training, method in SCHEMES.items():
            looks = [run["looks"][budget]["inference"] for run in by_method(runs).get(method, [])]
            for inference in (ONE_STEP, SEQUENTIAL):
                found = [shares(look[inference]) for look in looks]
                row = [spread([one[figure] for one in found], shown) for figure, shown in FIGURES.items()]
                if many:
                    row[1:1] = [spread([translated(look[inference], many) for look in looks], PERCENT)]
                rows.append([f"equal {budget}", training, inference, *row])
    return table(header, rows)


def order_table(runs: Sequence[Run], budget: str) -> str:
    """Colour of the instances that sequential inference takes last, and of those before them."""
    rows = []
    for training, method in SCHEMES.items():
        looks = [run["looks"][budget]["inference"] for run in by_method(runs).get(method, [])]
        for inference in (ONE_STEP, SEQUENTIAL):
            found = [shares(look[inference]) for look in looks]
            row = [spread([one[name] for one in found], PERCENT) for name in ("colour_earlier", "colour_last")]
            rows.append([training, inference, *row])
    return table(["training", "inference", "colour, taken earlier", "colour, taken last"], rows)


@dataclass(frozen=True)
class Claim:
    """What the paper lets expect of one figure: better after than before, each a training and its inference."""

    says: str
    before: tuple[str, str]
    after: tuple[str, str]
    figure: str = "translated"
    many: bool = False  # in pictures with more instances than those of training alone

    def difference(self, before: Run, after: Run, budget: str) -> float | None:
        """After minus before; None where the figure does not exist."""
        values = []
        for run, (_, scheme) in ((before, self.before), (after, self.after)):
            sums = [one for one in run["looks"][budget]["inference"][scheme] if one["count"] > MOST_TRAINED * self.many]
            values.append(shares(sums)[self.figure])
        return None if None in values else values[1] - values[0]


CLAIMS = (
    Claim("CycleGAN+Seg translates more than CycleGAN", ("cycle_gan", ""), ("cycle_gan_seg", "")),
    Claim("InstaGAN translates more than CycleGAN+Seg", ("cycle_gan_seg", ""), ("insta_gan", ONE_STEP)),
    Claim("InstaGAN's masks are better than CycleGAN+Seg's", ("cycle_gan_seg", ""), ("insta_gan", ONE_STEP), "masks"),
    Claim("context loss: less background error", ("insta_gan", ONE_STEP), ("context", ONE_STEP), "background"),
    Claim("context loss: less error on distractors", ("insta_gan", ONE_STEP), ("context", ONE_STEP), "distractors"),
    Claim("context loss: translates more", ("insta_gan", ONE_STEP), ("context", ONE_STEP)),
    Claim("sequential inference, trained one-step, translates more", ("context", ONE_STEP), ("context", SEQUENTIAL)),
    Claim("... of many instances", ("context", ONE_STEP), ("context", SEQUENTIAL), many=True),
    Claim("sequential training, inferring so, translates more", ("context", SEQUENTIAL), ("sequential", SEQUENTIAL)),
    Claim("sequential translates more than one-step", ("context", ONE_STEP), ("sequential", SEQUENTIAL)),
    Claim("... of many instances", ("context", ONE_STEP), ("sequential", SEQUENTIAL), many=True),
    Claim("... and its masks are better", ("context", ONE_STEP), ("sequential", SEQUENTIAL), "masks"),
)  # fmt: skip


def claim_table(runs: Sequence[Run]) -> str:
    found = {(run["method"], run["seed"]): run for run in runs}
    seeds = sorted({run["seed"] for run in runs})
    counts = counts_in(runs)
    rows = []
    for claim in CLAIMS:
        if claim.many and counts[-1] <= MOST_TRAINED:
            continue
        row = [claim.says]
        shown = FIGURES[claim.figure]
        pairs = [(found.get((claim.before[0], seed)), found.get((claim.after[0], seed))) for seed in seeds]
        for budget in (STEPS, TIME):
            differences = [claim.difference(*pair, budget) for pair in pairs if all(pair)]
            there = [one for one in differences if one is not None]
            row += [" / ".join(signed(one, shown) for one in there) or "-", verdict(there, claim.figure)]
        rows.append(row)
    return table(["claim", "equal steps", "", "equal time", ""], rows)


def verdict(differences: Sequence[float], figure: str) -> str:
    """What all seeds say of a claim: whether the share grows, or the error shrinks."""
    better = [one if FIGURES[figure] == PERCENT else -one for one in differences]
    if not better:
        return "-"
    seeds = " (one seed)" if len(better) == 1 else ""
    if all(one > 0 for one in better):
        return f"holds{seeds}"
    if all(one < 0 for one in better):
        return f"reversed{seeds}"
    return f"undecided: {sum(one > 0 for one in better)} of {len(better)}"


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


def curve_table(runs: Sequence[Run]) -> str:
    """The share translated each time that a budget was spent once more as often."""
    spent = sorted({look["times"] for run in runs for look in run["curve"]})
    rows = []
    for budget in (STEPS, TIME):
        for name, of_method in by_method(runs).items():
            for scheme in METHODS[name].inference:
                looks = [look for run in of_method for look in run["curve"] if look["budget"] == budget]
                shares_of = [
                    [translated(look["inference"][scheme], None) for look in looks if look["times"] == times]
                    for times in spent
                ]
                shown = [spread(values, PERCENT) for values in shares_of]
                rows.append([f"equal {budget}", METHODS[name].title, scheme, *shown])
    return table(["", "method", "inference", *(f"{times} x" for times in spent)], rows)


def curves(runs: Sequence[Run], unit: str) -> dict[str, list[list[tuple[float, float]]]]:
    """Method, with its inference -> of each seed (steps or seconds spent, share translated) at all of its looks."""
    found = {}
    for name, of_method in by_method(runs).items():
        for scheme in METHODS[name].inference:
            inferring = f", inferring {scheme}" if len(METHODS[name].inference) > 1 else ""
            found[METHODS[name].title + inferring] = [
                sorted(
                    (look[unit], share)
                    for look in run["curve"]
                    if (share := translated(look["inference"][scheme], None)) is not None
                )
                for run in of_method
            ]
    return found


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
