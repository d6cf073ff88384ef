"""report.html: verdicts, tables, histograms, best and worst pictures; one file that needs no other."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dominate import tags
from dominate.util import raw
from PIL import Image

from evaluation.findings import PER_PICTURE, Finding, Report
from instagan.io.overlay import overlay
from instagan.io.pixels import mask_to_tensor, pixels_to_tensor
from instagan.metrics import PROTOCOL
from instagan.metrics.classifier import RELIABLE
from instagan.metrics.figures import ALL, METRICS, Figure, figure_of
from instagan.metrics.measuring import Row
from pages.charts import histogram
from pages.style import facts_list, page, rendered
from pages.text import readable

STYLE = """
.verdict { display: flex; gap: 14px; align-items: center; margin: 12px 0 18px; padding: 14px 18px; border-radius: 12px;
  border: 1px solid var(--tone); border-left-width: 8px; background: var(--paper); font-size: 16px; }
.verdict b { flex: none; padding: 2px 12px; border-radius: 99px; color: #fff; background: var(--tone); font-size: 13px;
  letter-spacing: .03em; text-transform: uppercase; }
.good { --tone: #16803c; } .mixed { --tone: #a86a00; } .bad { --tone: #c62f2f; } .unknown { --tone: #626c7a; }
.scroll { overflow-x: auto; margin: 0 0 18px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
caption { caption-side: bottom; text-align: left; padding: 8px 12px; color: var(--pale); font-size: 12px; }
th, td { padding: 7px 12px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; }
td.words { text-align: left; white-space: normal; min-width: 180px; color: var(--pale); }
thead th { color: var(--pale); font-weight: 600; font-size: 12px; }
td.all { font-weight: 700; } td small, th small { color: var(--pale); font-weight: 400; }
tr.counts td { color: var(--pale); }
.bar { fill: var(--c0); } .chart .mean { stroke: var(--c1); stroke-width: 2; stroke-dasharray: 4 3; }
.extremes { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(500px, 100%), 1fr)); gap: 16px; }
.extremes .card { padding: 12px; } .extremes h4 { margin: 0 0 8px; font-size: 14px; }
.extremes h4 small { color: var(--pale); font-weight: 400; }
.pairs { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 10px; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 2px; margin: 0; }
.pair img { width: 100%; display: block; border-radius: 4px; } .pair img.tiny { image-rendering: pixelated; }
.pair figcaption { grid-column: 1 / 3; }
.row-name { margin: 10px 2px 4px; color: var(--pale); font-size: 12px; }
.note { color: var(--pale); margin: 4px 0; }
"""
BY_COUNT = (
    "background_mae", "background_psnr", "background_ssim", "background_lpips", "background_claimed", "change",
    "picture_score", "instance_score", "agreement", "agreement_found", "truth_shape", "truth_colour", "truth_both",
    "balance",
)  # fmt: skip
WHOLE = ("picture_accuracy", "instance_accuracy", "fid", "kid", "instance_fid", "instance_kid")
COST = ("seconds", "peak_memory", "parameters")
HEADLINES = (
    "background_mae",
    "background_ssim",
    "picture_score",
    "instance_score",
    "agreement",
    "truth_both",
    "balance",
)
SPANS = {name: (0.0, 1.0) for name in ("background_ssim", "picture_score", "instance_score", "agreement", "truth_both")}
EXTREMES = 3
SHOWN = 128
"""Longer side in pixels of the pictures on the page; tiny ones are shown larger by the browser."""
WORDS = {"good": "good", "mixed": "mixed", "bad": "warning", "unknown": "unknown"}
ARROWS = {"higher": "\N{UPWARDS ARROW}", "lower": "\N{DOWNWARDS ARROW}", "": ""}


def report_page(report: Report) -> bytes:
    whole = page(f"Evaluation of {readable(report.system.name)}")
    with whole.head:
        tags.style(raw(STYLE))
    whole.body.add(
        tags.main(
            tags.p("Evaluation", cls="kind"),
            tags.div(tags.h1(readable(report.system.name)), cls="top"),
            facts_list(_facts(report)),
            *_judges(report),
            *(part for finding in report.findings for part in _direction(report, finding)),
        )
    )
    return rendered(whole)


def _facts(report: Report) -> list[tuple[str, str]]:
    system = report.system
    checkpoint = Path(system.checkpoint).name if system.checkpoint else "not told"
    facts = [("Protocol", PROTOCOL), ("Checkpoint", readable(checkpoint))]
    facts += [("Step", str(system.step if system.step is not None else "not told"))]
    facts += [("Seeds", " ".join(map(str, report.seeds))), ("Computed on", str(report.judges.device))]
    facts += [(readable(name), readable(value)) for name, value in system.facts.items()]
    return [*facts, ("Written", report.written.partition("T")[0])]


def _judges(report: Report) -> list[Any]:
    judges = report.judges
    told = [f"FID and KID: {judges.features.name}", f"classification: {judges.classifier.name}"]
    told += ["LPIPS: AlexNet"] if judges.lpips else []
    return [tags.p("Judged by \N{EN DASH} " + "; ".join(told) + ".", cls="note")]


def _direction(report: Report, finding: Finding) -> list[Any]:
    direction, told = finding.direction, finding.verdict
    beside = _provenance(report)
    parts: list[Any] = [
        tags.h2(f"{direction.source} to {direction.target}"),
        tags.div(tags.b(WORDS[told.tone]), tags.span(told.sentence), cls=f"verdict {told.tone}"),
        facts_list(_headlines(finding.figures)),
        *(tags.p(readable(note), cls="note") for note in direction.notes),
        tags.h3("By number of instances ", tags.small("mean \N{PLUS-MINUS SIGN} standard deviation over seeds")),
        _by_count(finding, beside),
    ]
    if any(figure.metric in WHOLE for figure in finding.figures):
        parts += [tags.h3("Classifier and distribution"), _list_of(finding.figures, WHOLE, beside)]
    if any(figure.metric in COST for figure in finding.figures):
        parts += [tags.h3("Cost"), _list_of(finding.figures, COST, beside)]
    rows = finding.measured.rows
    parts += [tags.h3("Every picture"), tags.div(*_histograms(rows), cls="charts")]
    parts += [tags.h3("Best and worst ", tags.small("picture and translation, instances outlined")), _extremes(rows)]
    return parts


def _provenance(report: Report) -> str:
    told = report.provenance()
    checkpoint = told["checkpoint"] or "not told"
    seeds = " ".join(map(str, told["seeds"]))
    return readable(
        f"protocol {PROTOCOL}; {told['system']}, checkpoint {checkpoint}, step "
        f"{'not told' if told['step'] is None else told['step']}; seeds {seeds}; {told['device']}"
    )


def _headlines(figures: Sequence[Figure]) -> list[tuple[str, str]]:
    found = [(name, figure_of(figures, name)) for name in HEADLINES]
    return [(_heading(name), _value(figure)) for name, figure in found if figure]


def _by_count(finding: Finding, beside: str) -> tags.div:
    """Metrics down, groups of pictures across; each column tells how many pictures and instances it is of."""
    rows, figures = finding.measured.rows, finding.figures
    groups = [ALL, *dict.fromkeys(row.outcome.group for row in sorted(rows, key=lambda row: row.outcome.count))]
    members = {group: [row for row in rows if group in (ALL, row.outcome.group)] for group in groups}
    body = tags.tbody()
    for what, count in (
        ("pictures", lambda of: len(of)),
        ("instances", lambda of: sum(row.outcome.count for row in of)),
    ):
        body.add(
            tags.tr(tags.td(f"n, {what}"), *(tags.td(str(count(members[group]))) for group in groups), cls="counts")
        )
    for name in BY_COUNT:
        found = [figure_of(figures, name, group) for group in groups]
        if any(found):
            cells = [
                tags.td(_value(one) if one else "\N{EN DASH}", cls="all" if group == ALL else "one")
                for one, group in zip(found, groups, strict=True)
            ]
            by = next((one.by for one in found if one and one.by), "")
            unit = METRICS[name].unit + (f"; {by}" if by else "")
            body.add(tags.tr(tags.td(_heading(name), " ", tags.small(unit)), *cells))
    head = tags.thead(tags.tr(tags.th("instances in the picture"), *(tags.th(group) for group in groups)))
    return tags.div(tags.table(head, body, tags.caption(beside)), cls="scroll card")


def _list_of(figures: Sequence[Figure], names: Sequence[str], beside: str) -> tags.div:
    body = tags.tbody()
    for name in names:
        figure = figure_of(figures, name)
        if figure is None:
            continue
        details = [f"{key.replace('_', ' ')} {_short(value)}" for key, value in figure.details.items()]
        if name.endswith("accuracy") and figure.value < RELIABLE:
            details.append("too low for the score to mean anything")
        words = "; ".join(part for part in (figure.by, *details) if part)
        cells = tags.td(_value(figure), cls="all"), tags.td(f"{figure.n} {figure.of}"), tags.td(words, cls="words")
        body.add(tags.tr(tags.td(_heading(name), " ", tags.small(METRICS[name].unit)), *cells))
    head = tags.thead(tags.tr(tags.th(""), tags.th("value"), tags.th("n"), tags.th("by, and details")))
    return tags.div(tags.table(head, body, tags.caption(beside)), cls="scroll card")


def _histograms(rows: Sequence[Row]) -> list[tags.figure]:
    charts = []
    for name in PER_PICTURE:
        instances = [value for row in rows for value in row.instances.get(name, ())]
        values = instances or [row.plain[name] for row in rows if name in row.plain]
        if values:
            what = "probability of the target" if name.endswith("_score") else METRICS[name].unit
            of = "instances" if instances else "pictures"
            charts.append(histogram(METRICS[name].title, what, values, of, SPANS.get(name)))
    return charts


def _extremes(rows: Sequence[Row]) -> tags.div:
    cards = tags.div(cls="extremes")
    for name in PER_PICTURE:
        found = [(value, place) for place, row in enumerate(rows) if (value := row.value(name)) is not None]
        if len({value for value, _ in found}) < 2 and len(found) > EXTREMES:
            continue  # all alike: there is no best
        if not found:
            continue
        order = sorted(found, key=lambda one: (one[0] if METRICS[name].better == "lower" else -one[0], one[1]))
        card = tags.article(tags.h4(METRICS[name].title, " ", tags.small(METRICS[name].unit)), cls="card")
        for what, chosen in (("best", order[:EXTREMES]), ("worst", order[: -EXTREMES - 1 : -1])):
            card.add(tags.div(what, cls="row-name"))
            card.add(tags.div(*(_pair(rows[place], value, name) for value, place in chosen), cls="pairs"))
        cards.add(card)
    return cards


def _pair(row: Row, value: float, metric: str) -> tags.figure:
    one = row.outcome
    pictures = ((one.real, one.before, "source"), (one.fake, one.after, "translation"))
    figure = tags.figure(cls="pair")
    for pixels, masks, what in pictures:
        drawn = _drawn(pixels, [mask for mask in masks if mask is not None])
        image = tags.img(src=_inline(drawn), alt=f"{what} of {readable(one.name)}", width=str(drawn.width))
        if drawn.width < SHOWN:
            image["class"] = "tiny"
        figure.add(image)
    count = f"{one.count} instance{'' if one.count == 1 else 's'}"
    figure.add(tags.figcaption(f"{readable(one.name)}: {value:.{METRICS[metric].digits}f}, {count}"))
    return figure


def _drawn(pixels: np.ndarray, masks: list[np.ndarray]) -> Image.Image:
    """The picture with each instance outlined in the colour of its place."""
    inside = mask_to_tensor(np.stack(masks) if masks else np.zeros((0, *pixels.shape[:2]), bool))  # (N, H, W)
    drawn = overlay(pixels_to_tensor(pixels), inside, torch.ones(len(masks)))
    if max(drawn.size) > 2 * SHOWN:
        drawn.thumbnail((2 * SHOWN, 2 * SHOWN))
    return drawn


def _inline(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _heading(name: str) -> str:
    about = METRICS[name]
    return f"{about.title} {ARROWS[about.better]}".strip()


def _value(figure: Figure) -> str:
    digits = METRICS[figure.metric].digits
    value = f"{figure.value:,.{digits}f}"
    return value if figure.std is None else f"{value} \N{PLUS-MINUS SIGN} {figure.std:.{digits}f}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
