"""The look that all pages of the project share, and the empty page with it: self-contained, light and dark."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

from dominate import document, tags
from dominate.dom_tag import dom_tag
from dominate.util import raw

STYLE = """
:root { color-scheme: light dark;
  --paper: #ffffff; --ground: #f4f5f7; --ink: #1b222c; --pale: #626c7a; --line: #e2e5ea; --accent: #1f5fd0;
  --live: #16803c; --c0: #1f6fd6; --c1: #d9541e; --c2: #14875a; --c3: #9b3fc4; --c4: #b07d06; --c5: #c22f6b; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #191d24; --ground: #0f1216; --ink: #e6e9ee; --pale: #98a2b0; --line: #2a303a; --accent: #79a8ff;
  --live: #4cc97a; --c0: #69a5ff; --c1: #ff9159; --c2: #4fd0a0; --c3: #cf8bf0; --c4: #e6b84a; --c5: #ff86b3; } }
* { box-sizing: border-box; }
body { margin: 0; overflow-wrap: anywhere; background: var(--ground); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", Arial, sans-serif; }
main { max-width: 1760px; margin: 0 auto; padding: clamp(16px, 3vw, 44px); }
a { color: var(--accent); }
h1 { margin: 0; font-size: clamp(24px, 3vw, 34px); line-height: 1.2; letter-spacing: -.015em; overflow-wrap: anywhere; }
h2 { margin: 44px 0 14px; font-size: 20px; letter-spacing: -.01em; }
h3 { margin: 26px 0 10px; font-size: 15px; font-weight: 600; }
h3 small { color: var(--pale); font-weight: 400; font-size: inherit; }
.kind { margin: 0 0 4px; color: var(--pale); font-size: 12px; letter-spacing: .09em; text-transform: uppercase; }
.top { display: flex; flex-wrap: wrap; gap: 10px 18px; align-items: center; }
.pill { display: inline-flex; align-items: center; gap: 8px; padding: 3px 12px; border-radius: 99px; font-size: 13px;
  border: 1px solid var(--line); background: var(--paper); color: var(--pale); }
.pill::before { content: ""; width: 8px; height: 8px; border-radius: 50%; background: var(--pale); }
.pill.live { color: var(--live); } .pill.live::before { background: var(--live); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 1px; margin: 22px 0;
  padding: 0; border: 1px solid var(--line); border-radius: 12px; overflow: hidden; background: var(--paper); }
.facts div { padding: 12px 16px; box-shadow: 1px 1px 0 var(--line); }
.facts dt { color: var(--pale); font-size: 12px; }
.facts dd { margin: 0; font-size: 17px; font-weight: 600; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.card, details { background: var(--paper); border: 1px solid var(--line); border-radius: 12px; }
details summary { padding: 12px 16px; cursor: pointer; font-weight: 600; }
details summary small { color: var(--pale); font-weight: 400; font-size: inherit; }
.options { columns: 300px; column-gap: 36px; padding: 4px 16px 16px; margin: 0; font-size: 13px; }
.options div { display: flex; gap: 12px; justify-content: space-between; padding: 3px 0; break-inside: avoid;
  border-bottom: 1px solid var(--line); }
.options dt { color: var(--pale); } .options dd { margin: 0; text-align: right; overflow-wrap: anywhere; min-width: 0; }
.options .changed dt, .options .changed dd { color: var(--accent); font-weight: 600; }
.options dt, .options dd, code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(340px, 100%), 1fr)); gap: 16px; }
.chart { padding: 14px 16px 10px; margin: 0; min-width: 0; }
.chart h3 { margin: 0; } .chart svg { display: block; width: 100%; height: auto; margin-top: 6px; }
.chart text { fill: var(--pale); font-size: 11px; }
.chart .grid { stroke: var(--line); stroke-width: 1; }
.chart path { fill: none; stroke-linejoin: round; stroke-linecap: round; }
.chart .raw { stroke-width: 1; opacity: .28; } .chart .smooth { stroke-width: 2; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 0; padding: 0; list-style: none; font-size: 13px; }
.legend li::before { content: ""; display: inline-block; width: 14px; height: 3px; margin-right: 7px;
  border-radius: 2px; vertical-align: middle; background: var(--colour); }
.legend b { font-variant-numeric: tabular-nums; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(560px, 100%), 1fr)); gap: 16px;
  align-items: start; }
.sample { padding: 12px; min-width: 0; }
.sample header { display: flex; gap: 10px; align-items: baseline; margin: 0 2px 10px; }
.sample header b { font-weight: 600; overflow-wrap: anywhere; min-width: 0; }
.way { flex: none; padding: 0 8px; border-radius: 6px; font-size: 12px; background: var(--ground); color: var(--pale);
  border: 1px solid var(--line); }
.tiles { display: grid; gap: 8px; grid-template-columns: repeat(var(--columns), minmax(0, var(--tile))); }
figure { margin: 0; } figcaption { color: var(--pale); font-size: 12px; padding: 0 2px 4px; overflow-wrap: anywhere; }
.tiles img { display: block; width: 100%; height: auto; border-radius: 6px; background: var(--ground); }
.tiles img.tiny { image-rendering: pixelated; }
.tiles a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 6px; }
.missing { display: grid; place-items: center; aspect-ratio: 1; border: 1px dashed var(--line); border-radius: 6px;
  color: var(--pale); font-size: 12px; }
nav { display: flex; flex-wrap: wrap; gap: 6px 18px; }
.quiet { color: var(--pale); }
@media print { body { background: none; } .card { break-inside: avoid; } }
"""

POLICY = "default-src 'none'; img-src * data: file:; style-src 'unsafe-inline'"
"""What a page may load: its pictures and its own style. No script runs in it but the one that ``page`` is given."""


def page(title: str, refresh_seconds: int | None = None, style: str = "", script: str = "") -> document:
    """An empty page in the shared look; it reads itself anew every ``refresh_seconds`` if that is given.

    style: more rules. script: may run, no other one may: the browser holds it to its hash. Add it with ``own_script``.
    """
    policy = f"{POLICY}; script-src 'sha256-{_digest(script)}'" if script else POLICY
    empty = document(title=title, lang="en")
    with empty.head:
        tags.meta(charset="utf-8")
        tags.meta(**{"http-equiv": "Content-Security-Policy", "content": policy})
        tags.meta(name="viewport", content="width=device-width, initial-scale=1")
        tags.link(rel="icon", href="data:,")
        if refresh_seconds is not None:
            tags.meta(**{"http-equiv": "refresh", "content": str(refresh_seconds)})
        tags.style(raw(STYLE + style))
    return empty


def rendered(whole: document) -> bytes:
    """The page as HTML. Its tags, which know their parents, are parted, so that their memory is free at once."""
    html = whole.render(pretty=False).encode()
    left: list[dom_tag] = [whole]
    while left:
        tag = left.pop()
        left += [child for child in tag.children if isinstance(child, dom_tag)]
        tag.clear()
    return html


def own_script(script: str) -> tags.script:
    """The script that ``page`` was told of, to stand behind what it works on."""
    return tags.script(raw(script))


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def facts_list(facts: Iterable[tuple[str, str]]) -> tags.dl:
    """Names and values as a row of boxes."""
    boxes = tags.dl(cls="facts")
    for name, value in facts:
        boxes.add(tags.div(tags.dt(name), tags.dd(value)))
    return boxes


def tile(label: str, address: str, alt: str, size: tuple[int, int] | None, shown_width: int) -> tags.figure:
    """A picture with its label; a click opens the file itself.

    With its size in pixels known, the page does not jump while it loads, and tiny pictures show their pixels.
    """
    picture = tags.img(src=address, alt=alt, loading="lazy")
    if size is not None:
        picture["width"], picture["height"] = str(size[0]), str(size[1])
        if size[0] * 2 <= shown_width:
            picture["class"] = "tiny"
    return tags.figure(tags.figcaption(label), tags.a(picture, href=address))
