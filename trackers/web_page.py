"""``web/index.html``: a page that tells how a run goes - where it stands, its losses, its newest pictures."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from dominate import tags

from engine.schedule import Progress
from instagan.io.writing import replace_content
from pages.charts import line_chart
from pages.curves import Point
from pages.style import facts_list, page, rendered, tile
from pages.text import duration, link, number, readable
from trackers import Losses, Paths, Pictures
from trackers.history import LossHistory
from trackers.loss_log import VALIDATION
from trackers.sample_store import Sample, SampleStore, Tile

REFRESH_SECONDS = 30
"""The page reads itself anew this often while the run lasts."""

KINDS = {"D": "Discriminator", "G": "Generator", "cyc": "Cycle", "idt": "Identity", "ctx": "Context"}
"""Full names of the usual losses, for headings; any other loss is shown under its own name."""

FACTS = {"lr": "Learning rate", "lr_D": "Learning rate of D", "data_wait": "Waited for data, s"}
"""Names of the usual facts in words; any other is shown under its own."""


class WebPage:
    """A tracker that keeps ``folder``/index.html and the pictures beside it.

    ``losses`` only remembers; the file is rewritten by ``pictures`` and ``close``, at once and whole. A page found in
    the folder is continued up to ``start``; what a killed run showed after it is removed. ``options`` are shown with
    those in ``changed`` marked; ``display_winsize`` is the width of a picture on the page, in pixels; ``history``
    are the lines of the run's loss log; ``titles`` are those of validation metrics, by name.
    """

    def __init__(
        self,
        folder: str | Path,
        name: str,
        options: Mapping[str, object],
        changed: Collection[str],
        start: Progress,
        history: Iterable[Mapping[str, Any]] = (),
        display_winsize: int = 256,
        titles: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._name, self._options, self._changed = readable(name), dict(options), frozenset(changed)
        self._history = LossHistory(history)
        self._samples = SampleStore(self._folder, start.steps)
        self._winsize, self._titles = display_winsize, KINDS | dict(titles or {})
        self._began = time.monotonic()
        self._progress = start
        self._facts: dict[str, float] = {}

    def losses(self, progress: Progress, losses: Losses, facts: Losses) -> None:
        self._progress = progress
        self._facts = dict(facts) or self._facts
        self._history.add(progress, losses, facts)

    def pictures(self, progress: Progress, pictures: Pictures, paths: Paths) -> None:
        self._progress = progress
        self._samples.add(progress, pictures, paths)
        self._write(running=True)

    def close(self) -> None:
        self._write(running=False)

    def _write(self, running: bool) -> None:
        whole = page(self._name, REFRESH_SECONDS if running else None)
        whole.body.add(
            tags.main(
                tags.p("Training run", cls="kind"),
                tags.div(tags.h1(self._name), _pill(running), cls="top"),
                facts_list(self._status()),
                _options(self._options, self._changed),
                *self._charts("Losses", self._history.of_training(), "loss"),
                *(self._charts("Validation", figures, "value") if (figures := self._history.of_validation()) else ()),
                *_samples(self._samples.newest_first(), self._winsize),
            )
        )
        replace_content(self._folder / "index.html", rendered(whole))
        self._samples.forget_old_files()

    def _status(self) -> list[tuple[str, str]]:
        at = self._progress
        places = [("Epoch", f"{at.epoch:,}"), ("Step", f"{at.steps:,}"), ("Pictures seen", f"{at.pictures:,}")]
        facts = [
            (FACTS.get(name, readable(name.replace("_", " ").capitalize())), number(value))
            for name, value in self._facts.items()
        ]
        elapsed = ("This session", duration(time.monotonic() - self._began))
        return [*places, *facts, elapsed, ("Page written", datetime.now().strftime("%Y-%m-%d %H:%M:%S"))]

    def _charts(self, heading: str, series: Mapping[str, list[Point]], what: str) -> list[Any]:
        """One chart for the losses, or metrics, of a kind: D_A and D_B, cyc_A and cyc_B, ..."""
        kinds: dict[str, dict[str, list[Point]]] = {}
        for name, points in series.items():
            kinds.setdefault(name.rpartition("_")[0] or name, {})[name] = points
        if not kinds:
            return [tags.h2(heading), tags.p("None logged yet.", cls="quiet")]
        titles = {kind: self._titles.get(kind.removeprefix(VALIDATION)) or readable(kind) for kind in kinds}
        charts = [line_chart(titles[kind], lines, "step", what) for kind, lines in kinds.items()]
        return [tags.h2(heading), tags.div(*charts, cls="charts")]


def _pill(running: bool) -> tags.span:
    return tags.span("training", cls="pill live") if running else tags.span("not running", cls="pill")


def _options(options: Mapping[str, object], changed: Collection[str]) -> tags.details:
    """All options in a folded table; those that differ from their default stand out."""
    rows = tags.dl(cls="options")
    for name, value in options.items():
        rows.add(
            tags.div(tags.dt(readable(name)), tags.dd(readable(value)), cls="changed" if name in changed else "default")
        )
    marked = sum(name in changed for name in options)
    return tags.details(tags.summary("Options ", tags.small(f"{len(options)}, {marked} not at their default")), rows)


def _samples(samples: list[Sample], winsize: int) -> list[Any]:
    """The samples of each moment under a heading, newest moment first."""
    shown: list[Any] = [tags.h2("Pictures")]
    if not samples:
        return [*shown, tags.p("None shown yet.", cls="quiet")]
    moments: dict[tuple[int, int], list[Sample]] = {}
    for sample in samples:
        moments.setdefault((sample["epoch"], sample["step"]), []).append(sample)
    for (epoch, step), group in moments.items():
        shown.append(tags.h3(f"Epoch {epoch:,} ", tags.small(f"step {step:,}")))
        shown.append(tags.div(*(_sample(sample, winsize) for sample in group), cls="samples"))
    return shown


def _sample(sample: Sample, winsize: int) -> tags.article:
    """One sample as a card: its pictures in a line, and below them the same with instances drawn over."""
    columns = sample["tiles"]
    grid = tags.div(cls="tiles", style=f"--columns: {len(columns)}; --tile: {winsize}px")
    for column in columns:
        grid.add(_picture(sample, column, column["plain"], column["name"], winsize))
    for column in columns if any(column["masks"] for column in columns) else ():
        grid.add(_picture(sample, column, column["masks"], f"{column['name']}, instances", winsize))
    way = tags.span(f"from {readable(sample['source'])}", cls="way")
    return tags.article(tags.header(way, tags.b(readable(sample["file"]))), grid, cls="card sample")


def _picture(sample: Sample, column: Tile, file: str | None, label: str, winsize: int) -> Any:
    if file is None:
        return tags.div("no instances", cls="missing")
    alt = f"{label}: {sample['file']}, epoch {sample['epoch']}, step {sample['step']}"
    return tile(readable(label), link(file), readable(alt), (column["width"], column["height"]), winsize)
