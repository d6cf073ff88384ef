"""A gallery of test results: one page over files that lie beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dominate import tags
from PIL import Image

from instagan.io.writing import replace_content
from pages.style import facts_list, own_script, page, rendered, tile
from pages.text import link, readable

HERE = Path(__file__).resolve().parent

TILE = 220
"""Least width of a picture, in pixels, where the window has room for it."""


@dataclass(frozen=True)
class GalleryRow:
    """One picture: its caption, and column -> file relative to the gallery's folder. A column may be missing.

    labels: of the files, in their order; left out, those are the names of their columns.
    """

    caption: str
    files: Mapping[str, str]
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class GallerySection:
    """One direction: its heading, its columns in the order of showing, its pictures.

    A column that no row has is left out, so a method without a way back needs no other columns. folded: columns that
    are shown after a click. above: a row that stays in sight while the others scroll, each picture over its column.
    """

    heading: str
    columns: Sequence[str]
    rows: Sequence[GalleryRow]
    folded: Sequence[str] = ()
    above: GalleryRow | None = None

    def there(self, columns: Sequence[str]) -> list[str]:
        """Those columns that a row of this section has."""
        return [column for column in columns if any(column in row.files for row in self.rows)]


def write_gallery(
    folder: str | Path, title: str, sections: Sequence[GallerySection], facts: Mapping[str, object]
) -> Path:
    """Writes ``folder``/index.html, whole or not at all, and returns its path. Names and captions may hold anything.

    A click on a picture shows it as large as the window allows; arrow keys lead to its neighbours. Pictures are loaded
    as they scroll into view, folded ones when they are unfolded.
    """
    script = (HERE / "lightbox.js").read_text("utf-8")
    whole = page(readable(title), style=(HERE / "gallery.css").read_text("utf-8"), script=script)
    whole.body.add(
        tags.main(
            tags.p("Translations", cls="kind"),
            tags.div(tags.h1(readable(title)), cls="top"),
            facts_list((readable(name), readable(value)) for name, value in facts.items()),
            tags.nav(*(_jump(number, section) for number, section in enumerate(sections)), *_help(sections)),
            *(part for number, section in enumerate(sections) for part in _section(Path(folder), number, section)),
            cls="gallery",
        ),
        own_script(script),
    )
    file = Path(folder) / "index.html"
    replace_content(file, rendered(whole))
    return file


def _jump(number: int, section: GallerySection) -> tags.a:
    return tags.a(f"{readable(section.heading)} ({len(section.rows)})", href=f"#section-{number}")


def _help(sections: Sequence[GallerySection]) -> list[tags.html_tag]:
    """What the script adds; it shows them."""
    folds = any(section.there(section.folded) for section in sections)
    keys = [tags.kbd("\N{LEFTWARDS ARROW}"), " ", tags.kbd("\N{RIGHTWARDS ARROW}"), " in a row, "]
    keys += [tags.kbd("\N{UPWARDS ARROW}"), " ", tags.kbd("\N{DOWNWARDS ARROW}"), " between rows, "]
    keys += [tags.kbd("Esc"), " closes"] + ([", ", tags.kbd("m"), " masks"] if folds else [])
    button = [tags.button("Show all masks", type="button", cls="masks", hidden="hidden")] if folds else []
    return [*button, tags.span("Click a picture: ", *keys, cls="quiet", hidden="hidden")]


def _section(folder: Path, number: int, section: GallerySection) -> list[tags.html_tag]:
    heading = tags.h2(readable(section.heading), id=f"section-{number}")
    if not section.rows:
        return [heading, tags.p("No pictures.", cls="quiet")]
    columns, folded = section.there(section.columns), section.there(section.folded)
    rows = [_row(folder, row, columns, folded) for row in section.rows]
    samples = tags.div(*rows, cls="samples")
    if section.above is None:
        return [heading, samples]
    caption = tags.header(tags.b(readable(section.above.caption)))
    above = tags.article(caption, _tiles(folder, section.above, columns, aligned=True), cls="card sample above")
    return [heading, tags.div(above, samples)]


def _row(folder: Path, row: GalleryRow, columns: Sequence[str], folded: Sequence[str]) -> tags.article:
    parts = [_tiles(folder, row, columns)]
    if any(column in row.files for column in folded):
        parts.append(tags.details(tags.summary("Masks"), _tiles(folder, row, folded)))
    return tags.article(tags.header(tags.b(readable(row.caption))), *parts, cls="card sample")


def _tiles(folder: Path, row: GalleryRow, columns: Sequence[str], aligned: bool = False) -> tags.div:
    """The row's pictures in these columns, side by side. aligned: each in its column, where another one is missing."""
    grid = tags.div(cls="tiles", style=f"--columns: {len(columns)}; --tile: {TILE}px")
    labels = dict(zip(row.files, row.labels, strict=bool(row.labels)))
    for column in columns:
        if column in row.files:
            label, file = readable(labels.get(column, column.replace("_", " "))), row.files[column]
            grid.add(tile(label, link(file), f"{label} of {readable(row.caption)}", _size(folder / file), TILE))
        elif aligned:
            grid.add(tags.div(cls="gap"))
    return grid


def _size(file: Path) -> tuple[int, int] | None:
    """Width and height of a picture, read from its head; None where it cannot be read."""
    try:
        with Image.open(file) as picture:
            return picture.size
    except OSError:
        return None
