"""Outcomes of one direction -> figures: what was judged of each picture, and means by number of instances."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from instagan.metrics.agreement import FOUND
from instagan.metrics.background import background, claimed, kept, mean_absolute_error
from instagan.metrics.classifier import Classifier
from instagan.metrics.crops import crops_of, real_crops
from instagan.metrics.distribution import LEAST, frechet_distance, kernel_distance
from instagan.metrics.figures import ALL, METRICS, Figure, harmonic_mean, value_of
from instagan.metrics.judges import Judges, References
from instagan.metrics.outcome import Outcome, groups

PLAIN = ("background_mae", "background_psnr", "background_ssim", "background_lpips", "background_claimed", "change")
PER_INSTANCE = ("agreement", "agreement_found", "truth_shape", "truth_colour", "truth_both")
SETS = {"fid": "pictures", "kid": "pictures", "instance_fid": "instances", "instance_kid": "instances"}
MEASURED = tuple(name for name in METRICS if name not in ("seconds", "peak_memory", "parameters"))
"""What ``measure`` can find; the others are of the program that translates."""


@dataclass
class Row:
    """What was found of one picture. plain: one value; instances: one for each instance; a name may be missing.

    Of the classifiers: the probability of the target, mean over the seeds.
    """

    outcome: Outcome
    plain: dict[str, float] = field(default_factory=dict)
    instances: dict[str, list[float]] = field(default_factory=dict)

    def value(self, metric: str) -> float | None:
        """One value of the picture: the mean of its instances, where it is theirs."""
        if metric in self.plain:
            return self.plain[metric]
        of = self.instances.get(metric)
        return float(np.mean(of)) if of else None


@dataclass(frozen=True)
class Measured:
    """rows: in the order of the outcomes."""

    rows: list[Row]
    figures: list[Figure]


def measure(
    outcomes: Sequence[Outcome],
    references: References,
    judges: Judges,
    seeds: Sequence[int] = (0,),
    wanted: Collection[str] = MEASURED,
    classifiers: Callable[[str, int], Classifier | None] | None = None,
) -> Measured:
    """Those of the wanted figures that can be found, for all outcomes and by number of instances.

    classifiers: gives "picture" or "instance" and a seed a classifier that was trained before.
    """
    rows = [_judged(outcome, references, judges, wanted) for outcome in outcomes]
    members = {ALL: list(range(len(rows)))}
    order = {id(outcome): place for place, outcome in enumerate(outcomes)}
    members |= {name: [order[id(one)] for one in of] for name, of in groups(outcomes).items()}
    figures = _means(rows, members, judges)
    learn = classifiers or (lambda kind, seed: _learned(references, judges, kind, seed))
    if "balance" in wanted or any(name.startswith("picture_") or name in _OF_INSTANCE for name in wanted):
        kinds = [kind for kind in ("picture", "instance") if _asks(kind, wanted)]
        for kind in kinds:
            figures += _classified(kind, rows, members, [learn(kind, seed) for seed in seeds])
    figures += _distances(outcomes, references, judges, seeds, wanted)
    figures += _balances(figures, members) if "balance" in wanted else []
    chosen = [figure for figure in figures if figure.metric in wanted]
    places = list(METRICS)
    return Measured(rows, sorted(chosen, key=lambda figure: places.index(figure.metric)))


_OF_INSTANCE = ("instance_score", "instance_accuracy")


def _asks(kind: str, wanted: Collection[str]) -> bool:
    asked = {f"{kind}_score", f"{kind}_accuracy"} | ({"balance"} if kind == "instance" else set())
    return bool(asked & set(wanted))


def _learned(references: References, judges: Judges, kind: str, seed: int) -> Classifier | None:
    found = references.pictures_classifier if kind == "picture" else references.instances_classifier
    return found(judges, seed)


def _judged(outcome: Outcome, references: References, judges: Judges, wanted: Collection[str]) -> Row:
    """What can be told of one picture without looking at others."""
    row = Row(outcome)
    real, fake = outcome.values or (outcome.real, outcome.fake)
    before, after = outcome.covered_before, outcome.covered_after
    if outcome.covered.any() and outcome.comparable:
        row.plain["change"] = mean_absolute_error(real, fake, outcome.covered)
    found = background(real, fake, before, after) if outcome.comparable else None
    if found:
        row.plain |= {"background_mae": found.mae, "background_psnr": found.psnr, "background_ssim": found.ssim}
    if judges.lpips and not outcome.covered.all() and outcome.comparable:
        row.plain["background_lpips"] = judges.lpips(outcome.real, outcome.fake, ~outcome.covered)
    taken = claimed(before, after)
    if taken is not None:
        row.plain["background_claimed"] = taken
    if outcome.count and any(mask is not None for mask in outcome.after):
        if judges.finder and set(wanted) & {"agreement", "agreement_found"}:
            row.instances["agreement"] = judges.finder[1](outcome)
            row.instances["agreement_found"] = [float(fit >= FOUND) for fit in row.instances["agreement"]]
        if references.truth and any(name.startswith("truth_") for name in wanted):
            shapes, colours = references.truth.shapes(outcome), references.truth.colours(outcome)
            row.instances["truth_shape"] = [float(right) for right in shapes]
            row.instances["truth_colour"] = [float(right) for right in colours]
            row.instances["truth_both"] = [float(a and b) for a, b in zip(shapes, colours, strict=True)]
    return row


def _means(rows: Sequence[Row], members: dict[str, list[int]], judges: Judges) -> list[Figure]:
    """Figures that are means over pictures, or over instances."""
    figures = []
    for group, places in members.items():
        for name in PLAIN:
            values = [rows[place].plain[name] for place in places if name in rows[place].plain]
            if values:
                figures.append(Figure(name, group, float(np.mean(values)), len(values)))
        for name in PER_INSTANCE:
            values = [value for place in places for value in rows[place].instances.get(name, ())]
            if values:
                by = judges.finder[0] if judges.finder and name.startswith("agreement") else ""
                figures.append(Figure(name, group, float(np.mean(values)), len(values), "instances", by=by))
    return figures


def _classified(
    kind: str, rows: Sequence[Row], members: dict[str, list[int]], classifiers: Sequence[Classifier | None]
) -> list[Figure]:
    """Score and accuracy; nothing if nobody could be trained. Pictures without instances have no score: nobody was to
    be translated. An instance that is nowhere to be seen is not of the target."""
    learned = [one for one in classifiers if one is not None]
    places = [place for place, row in enumerate(rows) if row.outcome.count]
    if not learned or not places:
        return []
    shown: dict[int, list[np.ndarray | None]] = {
        place: [rows[place].outcome.fake] if kind == "picture" else crops_of(rows[place].outcome) for place in places
    }
    flat = [picture for place in places for picture in shown[place]]
    taken = [number for number, picture in enumerate(flat) if picture is not None]
    targets = np.zeros((len(learned), len(flat)))
    for line, classifier in zip(targets, learned, strict=True):
        line[taken] = classifier.target([picture for picture in flat if picture is not None])
    owners = np.array([place for place in places for _ in shown[place]])
    for place in places:
        means = targets[:, owners == place].mean(0).tolist()
        if kind == "picture":
            rows[place].plain["picture_score"] = means[0]
        else:
            rows[place].instances["instance_score"] = means
    by, of = learned[0].kind.name, "pictures" if kind == "picture" else "instances"
    figures = []
    for group, chosen in members.items():
        inside = np.isin(owners, chosen)
        if inside.any():
            shares = (targets[:, inside] > 0.5).mean(1).tolist()
            figures.append(Figure.of_seeds(f"{kind}_score", group, shares, int(inside.sum()), of=of, by=by))
    accuracies = [classifier.accuracy for classifier in learned]
    judged = learned[0].judged
    return [*figures, Figure.of_seeds(f"{kind}_accuracy", ALL, accuracies, judged, of=f"real {of}", by=by)]


def _distances(
    outcomes: Sequence[Outcome],
    references: References,
    judges: Judges,
    seeds: Sequence[int],
    wanted: Collection[str],
) -> list[Figure]:
    figures = []
    for of in dict.fromkeys(SETS[name] for name in SETS if name in wanted):
        if of == "pictures":
            made, real = [one.fake for one in outcomes], [one.picture for one in references.target]
        else:
            made = [crop for one in outcomes for crop in crops_of(one) if crop is not None]
            real = real_crops(references.target)
        if min(len(made), len(real)) < LEAST:
            continue
        prefix = "" if of == "pictures" else "instance_"
        fake_features, real_features = judges.features.of(made), judges.features.of(real)
        more: dict[str, Any] = {"of": of, "by": judges.features.name}
        if f"{prefix}fid" in wanted:
            distance = frechet_distance(fake_features, real_features)
            figures.append(Figure(f"{prefix}fid", ALL, distance, len(made), details={"real": len(real)}, **more))
        if f"{prefix}kid" in wanted:
            found = [kernel_distance(fake_features, real_features, seed) for seed in seeds]
            about = {
                "real": len(real),
                "subsets": found[0].subsets,
                "subset_size": found[0].subset_size,
                "std_of_subsets": float(np.mean([one.std for one in found])),
            }
            means = [one.mean for one in found]
            figures.append(Figure.of_seeds(f"{prefix}kid", ALL, means, len(made), details=about, **more))
    return figures


def _balances(figures: Sequence[Figure], members: dict[str, list[int]]) -> list[Figure]:
    found = []
    for group in members:
        score, error = (value_of(figures, name, group) for name in ("instance_score", "background_mae"))
        if score is not None and error is not None:
            n = next(one.n for one in figures if (one.metric, one.group) == ("instance_score", group))
            found.append(Figure("balance", group, harmonic_mean(score, kept(error)), n, "instances"))
    return found
