"""The json files of a study -> its tables. Every number comes from the files."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.ablations.tables import spread, table
from benchmarks.studies.plan import SECONDS, UPDATES
from benchmarks.studies.references import TITLES

Run = Mapping[str, Any]
"""What ``study.py`` keeps of a run: method, title, seed, settings, and by budget its looks."""
PERCENT = "{:.0%}"
WAYS = {"A_to_B": "A to B", "B_to_A": "B to A"}


@dataclass(frozen=True)
class Column:
    """path: where a look's figures hold the number; shown: its format; better: -1 lower, 1 higher, 0 neither."""

    title: str
    path: tuple[str, ...]
    shown: str
    better: int = 0

    def of(self, figures: Mapping[str, Any]) -> float | None:
        value: Any = figures
        for name in self.path:
            value = (value or {}).get(name)
        return value


OF_SETS = (
    Column("diversity", ("diversity",), "{:.2f}"),
    Column("IS", ("is_kl",), "{:.2f}"),
    Column("CIS", ("cis_kl",), "{:.2f}"),
    Column("FID", ("fid",), "{:.3f}", -1),
    Column("KID", ("kid",), "{:.4f}", -1),
)
OF_TRUTH = (
    Column("error", ("error",), "{:.3f}", -1),
    Column("error, background", ("background_error",), "{:.3f}", -1),
    Column("right look", ("look",), PERCENT, 1),
    Column("found at box", ("found",), PERCENT, 1),
    Column("styles reached", ("styles_reached",), "{:.1f}", 1),
)
CLASSES = ("car", "person", "sign")
OF_CLASSES = tuple(
    Column(f"{title}, {kind}s", ("classes", kind, name), shown, better)
    for title, name, shown, better in (
        ("error", "error", "{:.3f}", -1),
        ("right look", "look", PERCENT, 1),
        ("found", "found", PERCENT, 1),
    )
    for kind in CLASSES
)
OF_SHAPES = (
    Column("translated", ("translated",), "{:.1%}", 1),
    Column("masks", ("masks",), "{:.1%}", 1),
    Column("colour", ("colour",), "{:.1%}", 1),
    Column("background", ("background",), "{:.4f}", -1),
    Column("distractors", ("distractors",), "{:.4f}", -1),
)
COLUMNS: dict[str, tuple[tuple[Column, ...], ...]] = {
    "streets": ((*OF_TRUTH, *OF_SETS), OF_CLASSES),
    "pictures": (OF_SETS,),
    "shapes": (OF_SHAPES,),
}
"""Who judges -> the columns of each table."""


def measured_tables(runs: Sequence[Run], references: Mapping[str, Any], judge: str, budget: str, way: str) -> list[str]:
    """Of the translations in one direction; the best of the methods in bold. None where no method has it."""
    of_way = [run for run in runs if way in run["looks"].get(budget, {}).get("figures", {})]
    return [_measured(of_way, references, columns, budget, way) for columns in COLUMNS[judge]] if of_way else []


def _measured(
    runs: Sequence[Run], references: Mapping[str, Any], columns: Sequence[Column], budget: str, way: str
) -> str:
    found = {
        title: [run["looks"][budget]["figures"][way] for run in of_method]
        for title, of_method in by_title(runs).items()
    }
    best = {column: _best(column, found.values()) for column in columns}
    rows = []
    for title, of_method in found.items():
        row = [title]
        for column in columns:
            cell = spread([column.of(figures) for figures in of_method], column.shown)
            row.append(f"**{cell}**" if cell and _mean(column, of_method) == best[column] else cell or "-")
        rows.append(row)
    for name, of_reference in references.items():
        if way in of_reference:
            known = of_reference[way]
            rows.append([TITLES[name], *(spread([column.of(known)], column.shown) or "-" for column in columns)])
    return table(["method", *(column.title for column in columns)], rows)


def _mean(column: Column, of_method: Sequence[Mapping[str, Any]]) -> float | None:
    values = [value for figures in of_method if (value := column.of(figures)) is not None]
    return statistics.mean(values) if values else None


def _best(column: Column, of_methods: Any) -> float | None:
    means = [mean for of_method in of_methods if (mean := _mean(column, of_method)) is not None]
    if not column.better or len(set(means)) < 2:
        return None
    return max(means) if column.better > 0 else min(means)


def cost_table(runs: Sequence[Run], budgets: Sequence[str]) -> str:
    """What training and translating took."""
    asked = [budget for budget in (UPDATES, SECONDS) if budget in budgets]
    titles = {UPDATES: "seconds for the updates", SECONDS: "updates in the time"}
    header = ["method", "seeds", *(titles[one] for one in asked), "seconds per update", "memory (MiB)"]
    header += ["seconds per image", "weights (million)"]
    rows = []
    for title, of_method in by_title(runs).items():
        row = [title, str(len(of_method))]
        for budget in asked:
            other = SECONDS if budget == UPDATES else UPDATES
            row.append(spread([run["looks"][budget][other] for run in of_method], "{:.0f}"))
        last = [max(run["looks"].values(), key=lambda look: look["steps"]) for run in of_method]
        row.append(spread([look["seconds"] / max(look["updates"], 1) for look in last], "{:.2f}"))
        row.append(spread([min(one["memory"] for one in run["looks"].values()) / 2**20 for run in of_method], "{:.0f}"))
        row.append(spread([statistics.mean(look["seconds_per_picture"].values()) for look in last], "{:.3f}"))
        row.append(f"{max(last[0]['parameters'].values()) / 1e6:.2f}")
        rows.append(row)
    return table(header, rows)


def by_title(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """In the order of the runs, which is that of the yaml."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run["title"], []).append(run)
    return found
