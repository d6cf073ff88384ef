"""The same seed twice, with any number of workers, and beside the numbers that are stored."""

from __future__ import annotations

import json

from tests.soak.reliability_checks import golden
from tests.soak.reliability_checks.children import arguments, data_set, differences, trained, warm_up
from tests.soak.reliability_checks.rows import Budget, Row

LAW = "10 determinism"
WORKERS = (0, 0, 1, 2)


def run(budget: Budget) -> list[Row]:
    warm_up()
    data, wrong = data_set(budget.folder / "data", budget.seed), []
    for number, workers in enumerate(WORKERS):
        ended = trained(arguments(data, budget.folder / str(number), "--num_threads", workers), budget.folder / "said")
        first, this = (budget.folder / str(one) / "run" for one in (0, number))
        found = differences(first, this) if ended.code == 0 else [ended.said[-200:]]
        wrong += [f"{workers} workers: {what}" for what in found[:1]]
    figure = f"{len(WORKERS)} runs of 8 steps with {', '.join(map(str, WORKERS))} workers, equal to the last bit"
    rows = [Row(LAW, "runs of the same seed, each a process", figure if not wrong else wrong[0], not wrong)]
    stored = json.loads(golden.FILE.read_text())
    which = golden.kind(stored["made_at"])
    for method in golden.METHODS:
        found = golden.difference(golden.losses(method, budget.folder), stored["losses"][method])
        limit = golden.TOLERANCES[which]
        figure = (
            f"largest differences {found.first:.2g} in the first step, {found.content:.2g} of content losses, "
            f"{found.adversarial:.2g} of adversarial ones ({which})"
        )
        rows.append(
            Row(LAW, f"losses of {golden.STEPS} steps of {method} beside those stored", figure, found.within(limit))
        )
    return rows
