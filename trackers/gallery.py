"""A gallery of test results: one page over files that lie beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dominate import tags
from PIL import Image

from trackers.files import write_whole
from trackers.page_style import facts_list, page, tile
from trackers.page_text import link, readable

TILE = 220
"""Least width of a picture, in pixels, where the window has room for it."""


@dataclass(frozen=True)
class GalleryRow:
    """One picture: its caption, and column -> file relative to the gallery's folder. A column may be missing."""

    caption: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class GallerySection:
    """One direction: its heading, the columns in the order of showing, its pictures."""

    heading: str
    columns: Sequence[str]
    rows: Sequence[GalleryRow]


def write_gallery(
    folder: str | Path, title: str, sections: Sequence[GallerySection], facts: Mapping[str, object]
) -> Path:
    """Writes ``folder``/index.html, whole or not at all, and returns its path. Names and captions may hold anything.

    A click on a picture opens its file in full size; pictures are loaded as they scroll into view.
    """
    whole = page(readable(title))
    whole.body.add(
        tags.main(
            tags.p("Translations", cls="kind"),
            tags.div(tags.h1(readable(title)), cls="top"),
            facts_list((readable(name), readable(value)) for name, value in facts.items()),
            tags.nav(*(_jump(number, section) for number, section in enumerate(sections))),
            *(part for number, section in enumerate(sections) for part in _section(Path(folder), number, section)),
            cls="gallery",
        )
    )
    file = Path(folder) / "index.html"
    write_whole(file, whole.render(pretty=False).encode())
    return file


def _jump(number: int, section: GallerySection) -> tags.a:
    return tags.a(f"{readable(section.heading)} ({len(section.rows)})", href=f"#section-{number}")


def _section(folder: Path, number: int, section: GallerySection) -> list[tags.html_tag]:
    heading = tags.h2(readable(section.heading), id=f"section-{number}")
    if not section.rows:
        return [heading, tags.p("No pictures.", cls="quiet")]
    return [heading, tags.div(*(_row(folder, row, section.columns) for row in section.rows), cls="samples")]


def _row(folder: Path, row: GalleryRow, columns: Sequence[str]) -> tags.article:
    caption = readable(row.caption)
    grid = tags.div(cls="tiles", style=f"--columns: {len(columns)}; --tile: {TILE}px")
    for column in columns:
        if column in row.files:
            label = readable(column)
            file = row.files[column]
            grid.add(tile(label, link(file), f"{label} of {caption}", _size(folder / file), TILE))
    return tags.article(tags.header(tags.b(caption)), grid, cls="card sample")


def _size(file: Path) -> tuple[int, int] | None:
    """Width and height of a picture, read from its head; None where it cannot be read."""
    try:
        with Image.open(file) as picture:
            return picture.size
    except OSError:
        return None
