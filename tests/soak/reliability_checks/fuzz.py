"""Law 11: generated hostile input for everything that reads what others made (tests/soak/fuzz.py)."""

from __future__ import annotations

import warnings

from tests.soak.fuzzing.session import Plan, all_targets, run_all
from tests.soak.reliability_checks.rows import Budget, Row

HOW = "damaged bytes, altered json and yaml, names with tricks: a value, or one line that names the file"


def run(budget: Budget) -> list[Row]:
    """One row: readers, cases and finds; the finds by name where there are any."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts = list(run_all(all_targets(), Plan(budget.cases, 10**6, budget.seed), budget.folder))
    finds = [f"{find.target}: {find.told}" for count in counts for find in count.finds]
    figure = f"{sum(count.cases for count in counts):,} cases for {len(counts)} readers, {len(finds)} finds"
    return [Row("11 hostile input", HOW, "; ".join([figure, *finds[:3]]), not finds)]
