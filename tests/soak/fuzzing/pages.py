"""Pages and results: file names and texts from anywhere, and what earlier runs have left to be read again."""

from __future__ import annotations

import json
import os
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from PIL import Image

from data.entries import Entry
from data.preparing.names import distinct_names
from data.results import file_name
from engine.schedule import Progress
from instagan.structures.instances import InstanceBatch
from pages import gallery
from pages.gallery import GalleryRow, GallerySection, write_gallery
from tests.soak.fuzzing.hostile import altered, damaged, encoded, on_disk, words
from tests.soak.fuzzing.target import Target
from trackers.loss_log import LossLog, drop_after, read
from trackers.sample_store import SampleStore
from trackers.web_page import WebPage

ALLOWED = {
    "html", "head", "title", "meta", "link", "style", "body", "main", "p", "div", "h1", "h2", "h3", "small", "span",
    "dl", "dt", "dd", "nav", "a", "article", "header", "b", "figure", "figcaption", "img", "details", "summary", "ul",
    "li", "svg", "line", "path", "text", "button", "kbd", "script",
}  # fmt: skip
"""The parts that our pages are made of."""

LIGHTBOX = (Path(gallery.__file__).parent / "lightbox.js").read_text("utf-8")
"""The only script that a page of ours holds."""

LOG = [{"step": step, "epoch": 1, "pictures": step, "lr": 2e-4, "D_A": 0.5 / step, "cyc_A": 1.0} for step in (1, 2, 3)]
SAMPLES = [
    {"epoch": 1, "step": step, "source": "A", "file": "x.png",
     "tiles": [{"name": "real_A", "plain": "images/1.png", "masks": None, "width": 8, "height": 8}]}
    for step in (1, 2)
]  # fmt: skip


class _Strict(HTMLParser):
    """Refuses what a browser would run, and addresses that lead away from beside the page."""

    def __init__(self, folder: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.folder = folder

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        assert tag != "script" or not attributes, attributes
        for name, value in attributes:
            assert not name.startswith("on"), name
            if name in ("href", "src") and not (value or "").startswith(("#", "data:,")):
                assert ":" not in (value or "") and not (value or "").startswith("/"), value
                assert ".." not in (value or "").split("/"), value

    def handle_data(self, data: str) -> None:
        assert self.lasttag != "script" or self.cdata_elem is None or data.strip() in LIGHTBOX, data[:80]

    def error(self, message: str) -> None:
        raise AssertionError(message)


def check_page(file: Path) -> None:
    """Raises ``AssertionError`` for a page that holds anything but our parts and files beside it."""
    parser = _Strict(file.parent)
    parser.feed(file.read_text(encoding="utf-8"))
    parser.close()


def _gallery(texts: list[str], folder: Path) -> None:
    name, title, heading, column, fact = texts
    made = file_name(Entry(Path(f"{name}.png")), "fake_B")
    rows = [GalleryRow(name, {column: made})]
    sections = [GallerySection(heading, [column, "other"], rows), GallerySection(name, [], [])]
    check_page(write_gallery(folder, title, sections, {fact: name, name: fact}))


def _batch() -> InstanceBatch:
    return InstanceBatch.from_masks(torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 8))


def _page(texts: list[str], folder: Path) -> None:
    """A run's page as training writes it."""
    name, option, loss, file, value = texts
    page = WebPage(folder / "web", name, {option: value, value: name}, {option}, Progress())
    page.losses(Progress(1, 1, 1, 1), {loss: 1.0, f"{name}_A": 2.0}, {option: 0.5})
    page.pictures(Progress(1, 1, 1, 1), {"A": {loss: _batch()}}, {"A": (file,)})
    page.close()
    check_page(folder / "web" / "index.html")


def _logged(content: bytes, folder: Path) -> None:
    """A loss log that somebody, or a crash, has changed: read again, cut, gone on with, shown."""
    path = folder / "loss_log.jsonl"
    path.write_bytes(content)
    drop_after(path, 2)
    lines = read(path)
    assert all(line["step"] <= 2 for line in lines)
    log = LossLog(path)
    log.losses(Progress(1, 1, 3, 3), {"D_A": 1.0}, {})
    log.close()
    assert read(path)[-1]["step"] == 3 and len(read(path)) == len(lines) + 1
    WebPage(folder / "web", "run", {}, (), Progress(1, 1, 3, 3), read(path)).close()
    check_page(folder / "web" / "index.html")


def _shown(content: bytes, folder: Path) -> None:
    """An index of pictures that somebody has changed."""
    web = folder / "web"
    (web / "images").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(web / "images" / "1.png")
    (web / "pictures.json").write_bytes(content)
    page = WebPage(web, "run", {}, (), Progress(1, 1, 2, 2))
    page.pictures(Progress(1, 1, 2, 2), {"B": {"real_B": _batch()}}, {"B": ("x.png",)})
    page.close()
    check_page(web / "index.html")
    SampleStore(web, 1)


def _named(names: list[str], folder: Path) -> None:
    """What prepared pictures and results are called: files in their folder, all different, with any ending."""
    given = distinct_names(names)
    assert len({name.casefold() for name in given}) == len(names)
    for name in given:
        assert name not in ("", ".", "..") and name == os.path.basename(name) and not name.startswith(".")
        result = folder / file_name(Entry(Path(f"{name}.png")), "fake_B_mask_99999")
        result.write_bytes(b"")
        assert result.resolve().parent == folder.resolve()


def _result(name: str, folder: Path) -> None:
    """The results of a picture with any name that a disk can hold."""
    made = file_name(Entry(folder / f"{name}.png"), "fake_B_mask_99999")
    assert made == os.path.basename(made)
    (folder / made).write_bytes(b"")


def _lines(content: Any) -> bytes:
    parts = content if isinstance(content, list) else [content]
    return b"".join(json.dumps(part).encode() + b"\n" for part in parts)


def targets() -> list[Target]:
    log, samples = _lines(LOG), encoded(SAMPLES)
    five = st.lists(words, min_size=5, max_size=5)
    named = st.tuples(on_disk, *[words] * 4).map(list)
    odd = (log, b"[" * 100_000 + b"\n" + log, b'{"step": 1, "D_A": 1' + b"0" * 400 + b"}\n", b"\xff\xfe" + log)
    return [
        Target("gallery of results", named, _gallery, 250),
        Target("page of a run", five, _page, 150),
        Target("loss log", altered([LOG]).map(_lines) | damaged(odd), _logged, 250, "", odd),
        Target("index of pictures", altered([SAMPLES]).map(encoded) | damaged([samples]), _shown, 200, "", (samples,)),
        Target("names to write", st.lists(words, max_size=6), _named, 400),
        Target("names of results", on_disk, _result, 300),
    ]
