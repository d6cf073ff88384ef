"""The page that ``check_data.py --preview`` writes: pictures with their instances, and everything that was found."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from dominate import tags

from data.checking.checking import Report
from data.checking.findings import ERROR, WARNING, Finding
from data.checking.preview import Shown, choose, sheet
from instagan.errors import InputError
from instagan.io.writing import replace_content
from pages.style import facts_list, page, rendered, tile
from pages.text import link, plain, readable

TILE = 320
"""Width in pixels at which a picture is shown."""

LISTED = 500
"""Files on the page of each kind of finding; a page is to be opened, --json keeps them all."""

_OURS = re.compile(r".*_\d{4}_(picture|instances)\.png|contact_sheet\.png|index\.html")

Column = tuple[str, list[Shown]]


def write_preview(folder: Path, report: Report, count: int, seed: int) -> Path:
    """Writes ``count`` random pictures of each domain, contact_sheet.png and index.html; returns the page's path.

    An earlier preview in the folder is replaced. Raises ``InputError`` where it cannot be written.
    """
    root, place = report.root.resolve(), folder.resolve()
    if place == root or root in place.parents:
        raise InputError(f"--preview_dir {folder} lies in the data set; choose a folder outside of it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if _OURS.fullmatch(old.name):
                old.unlink()
        columns = [(listing.folder, list(choose(listing, count, seed))) for listing in report.listings]
        shown = [column for column in columns if column[1]]
        if shown:
            sheet(shown).save(folder / "contact_sheet.png")
        body = [part for number, column in enumerate(shown) for part in _section(folder, number, column)]
        whole = page(readable(f"{report.root.resolve().name}: preview"))
        whole.body.add(tags.main(*_head(report, shown, seed), *body, *_findings(report), cls="preview"))
        replace_content(folder / "index.html", rendered(whole))
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); pass another --preview_dir") from None
    return folder / "index.html"


def _head(report: Report, columns: Sequence[Column], seed: int) -> list[tags.html_tag]:
    facts = {
        "Pictures": report.pictures,
        report.counted.capitalize(): report.masks,
        "Errors": report.count(ERROR),
        "Warnings": report.count(WARNING),
        "Shown here": sum(len(shown) for _, shown in columns),
        "Drawn with seed": seed,
    }
    links = [tags.a(f"{readable(name)} ({len(shown)})", href=f"#domain-{n}") for n, (name, shown) in enumerate(columns)]
    if columns:
        links.append(tags.a("all in one picture", href="contact_sheet.png"))
    if report.findings:
        links.append(tags.a(f"findings ({len(report.findings)})", href="#findings"))
    return [
        tags.p("Data set", cls="kind"),
        tags.div(tags.h1(readable(report.root.resolve().name)), cls="top"),
        facts_list((name, f"{value:,}") for name, value in facts.items()),
        tags.nav(*links),
    ]


def _section(folder: Path, number: int, column: Column) -> list[tags.html_tag]:
    name, shown = column
    cards = tags.div(cls="samples")
    for index, one in enumerate(shown):
        caption = readable(one.task.picture.name)
        label = f"{len(one.numbers)} instance{'' if len(one.numbers) == 1 else 's'}"
        grid = tags.div(cls="tiles", style=f"--columns: 2; --tile: {TILE}px")
        for kind, text, picture in (("picture", "picture", one.picture), ("instances", label, one.instances)):
            file = f"{plain(name)}_{index:04d}_{kind}.png"
            picture.save(folder / file)
            grid.add(tile(text, link(file), f"{text} of {caption}", picture.size, TILE))
        card = tags.article(tags.header(tags.b(caption)), grid, cls="card sample")
        if one.left_out:
            card.add(tags.p(readable("Not shown, empty or unfit: " + ", ".join(one.left_out)), cls="quiet"))
        cards.add(card)
    return [tags.h2(readable(name), id=f"domain-{number}"), cards]


def _findings(report: Report) -> list[tags.html_tag]:
    """Errors first, then warnings; of one kind together."""
    if not report.findings:
        return [tags.h2("Findings", id="findings"), tags.p("None.", cls="quiet")]
    kinds: defaultdict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in report.findings:
        kinds[finding.severity, finding.code].append(finding)
    parts: list[tags.html_tag] = [tags.h2("Findings", id="findings")]
    for (severity, code), found in sorted(kinds.items()):
        items = [tags.li(tags.b(readable(one.file)), " ", readable(one.message)) for one in found[:LISTED]]
        if len(found) > LISTED:
            items.append(tags.li(f"and {len(found) - LISTED:,} more"))
        heading = tags.summary(f"{severity}: {code.replace('_', ' ')} ", tags.small(f"({len(found):,})"))
        parts.append(
            tags.details(
                heading,
                tags.ul(*items, style="margin: 0; padding: 0 16px 14px 34px"),
                open=severity == ERROR,
                style="margin: 0 0 10px",
            )
        )
    return parts
