"""The page's parts and what happens when they are used. Gradio is imported when it is laid out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from instagan.cli.web.handling import DRAWN, FOUND, UPLOADED, Desk, Order, Shown
from instagan.errors import InputError
from instagan.io.overlay import colour

DIRECTIONS = {"b": "A to B", "a": "B to A"}
MOST_INS_PER = 16
FAILED = "Something went wrong here; the terminal that runs the page tells more."

INTRODUCTION = """# {title}
{steps} Everything stays on the machine that runs this page.
"""
WITH_MASKS, WITHOUT = "Upload an image, show where its instances are, translate.", "Upload an image, translate."
HOW_TO_DRAW = (
    "Paint over the instances, each in a colour of its own: **+ New instance** starts the next. An outline is enough."
)
CONTROL = {
    "instances": ("Translate these alone, numbered from 0", "0,2"),
    "order": ("Translate these first", "2,0"),
    "strength": ("Strength, from 0 to 1: of all, or of each", "1,0.5"),
}
"""Flags of translate -> what the page asks, and an example."""
HERE = Path(__file__).parent
COLOURS = ["#{:02x}{:02x}{:02x}".format(*colour(slot)) for slot in range(30)]
"""Those of the overlays; used up, they come again."""


def lay_out(gradio: Any, desk: Desk, title: str) -> Any:
    """The page as gradio's Blocks. gradio: the module."""
    first = next(iter(desk.translators.values()))
    with_masks = any(translator.network.gives_masks for translator in desk.translators.values())
    with_styles = any(translator.has_styles for translator in desk.translators.values())
    with_examples = any(translator.network.translator.draws_styles for translator in desk.translators.values())
    origins = [DRAWN, UPLOADED] + ([FOUND] if desk.find else [])
    with gradio.Blocks(title=title, analytics_enabled=False, delete_cache=(600, 3600), fill_width=True) as page:
        gradio.Markdown(INTRODUCTION.format(title=title, steps=WITH_MASKS if with_masks else WITHOUT))
        with gradio.Row():
            with gradio.Column(scale=3):
                picture = gradio.File(
                    label="Image", file_types=["image"], file_count="single", elem_id="picture", height=150
                )
                with gradio.Column(visible=False) as drawing:
                    gradio.Markdown(HOW_TO_DRAW)
                    canvas = _canvas(gradio)
                    fill = gradio.Checkbox(True, label="Fill closed outlines", elem_id="fill")
                with gradio.Column(visible=False) as uploading:
                    masks = gradio.File(
                        label="Masks: a file for each instance, of the image's size, bright inside",
                        file_types=["image"],
                        file_count="multiple",
                        elem_id="masks",
                        height=140,
                    )
            with gradio.Column(scale=1, min_width=220):
                origin = gradio.Radio(origins, value=DRAWN, label="Instances", visible=with_masks, elem_id="origin")
                to = gradio.Radio(
                    [(DIRECTIONS[name], name) for name in desk.translators],
                    value=next(iter(desk.translators)),
                    label="Direction",
                    elem_id="to",
                )
                targets = gradio.Textbox(
                    label="What the instances become, in their order, or one for all",
                    placeholder=", ".join(first.categories),
                    visible=bool(first.categories),
                    elem_id="targets",
                )
                ins_per = gradio.Slider(
                    1,
                    max(MOST_INS_PER, first.network.ins_per),
                    value=first.network.ins_per,
                    step=1,
                    label="Instances per pass",
                    visible=first.network.knows_instances,
                    elem_id="ins_per",
                )
                with gradio.Accordion("Options", open=False, visible=with_masks, elem_id="options"):
                    exact = gradio.Checkbox(label="Keep the background, bit for bit", elem_id="exact")
                    crops = gradio.Checkbox(
                        label="Show the model crops around the instances",
                        value=first.config().crop_instances,
                        elem_id="crops",
                    )
                    side = gradio.Number(
                        0, label="Longest side that the model sees (0: any)", precision=0, minimum=0, elem_id="side"
                    )
                    asked = [
                        gradio.Textbox(
                            label=label,
                            placeholder=example,
                            max_lines=1,
                            visible=first.network.knows_instances,
                            elem_id=name,
                        )
                        for name, (label, example) in CONTROL.items()
                    ]
                with gradio.Column(visible=with_examples):
                    example = gradio.File(
                        label="Image whose style is taken (without one: drawn)",
                        file_types=["image"],
                        file_count="single",
                        elem_id="example",
                        height=120,
                    )
                button = gradio.Button("Translate", variant="primary", elem_id="translate")
                another = gradio.Button("Another style", visible=with_styles, elem_id="another")
                style = gradio.State(0)
                status = gradio.Textbox(
                    "Upload an image.", label="Status", interactive=False, lines=2, max_lines=6, elem_id="status"
                )
                file = gradio.DownloadButton("Download the image", interactive=False, elem_id="download")
                archive = gradio.DownloadButton(
                    "Download all, with masks", interactive=False, visible=with_masks, elem_id="archive"
                )
        labels = ("Source", "Its instances", "Translated", "Overlay", "Masks")
        plain = ("Source", "Translated")
        with gradio.Row():
            results = [
                gradio.Image(
                    label=label,
                    format="png",
                    interactive=False,
                    buttons=["fullscreen"],
                    elem_id=f"result_{place}",
                    elem_classes=["result"],
                    height=280,
                    min_width=160,
                    visible=with_masks or label in plain,
                )
                for place, label in enumerate(labels)
            ]

        def uploaded(path: str | None, chosen: str) -> tuple[Any, ...]:
            """Picture and origin -> canvas, which of the two parts for masks is shown, status."""
            shown, told = _said(lambda: desk.canvas(Path(path))) if path else (None, "Upload an image.")
            address, told = shown or ("", told)
            return gradio.HTML(value=[], picture=address, colours=COLOURS), *parts(bool(shown), chosen), told

        def parts(picture_there: bool, chosen: str) -> tuple[Any, Any]:
            there = picture_there and with_masks
            return (
                gradio.Column(visible=there and chosen == DRAWN),
                gradio.Column(visible=there and chosen == UPLOADED),
            )

        def translated(
            path: str | None,
            chosen: str,
            drawn: Any,
            filling: bool,
            files: list[str] | None,
            domain: str,
            count: float,
            pasting: bool,
            cropping: bool,
            longest: float | None,
            like: str | None,
            number: int,
            becoming: str,
            *words: str,
        ) -> tuple[Any, ...]:
            order = Order(
                picture=Path(path) if path else None,
                origin=chosen,
                strokes=drawn,
                fill=filling,
                masks=[Path(file) for file in files or []],
                to=domain,
                ins_per=int(count),
                paste_background=pasting,
                crop_instances=cropping,
                max_side=int(longest or 0),
                example=Path(like) if like else None,
                style=number,
                targets=becoming,
                **dict(zip(CONTROL, words, strict=True)),
            )
            shown, told = _said(lambda: desk.translate(order))
            return *_results(shown), *_downloads(gradio, shown), shown.told if shown else told

        about: dict[str, Any] = {"api_visibility": "private"}
        gradio.on(
            [picture.upload, picture.clear],
            uploaded,
            [picture, origin],
            [canvas, drawing, uploading, status],
            concurrency_limit=2,
            **about,
        )
        origin.change(lambda path, chosen: parts(bool(path), chosen), [picture, origin], [drawing, uploading], **about)
        inputs = [picture, origin, canvas, fill, masks, to, ins_per, exact, crops, side, example, style]
        inputs += [targets, *asked]
        answers = [*results, file, archive, status]
        alone: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "translate"}  # memory of one translation
        button.click(translated, inputs, answers, **alone, **about)
        # the next one is drawn, whatever example is there
        next_style = another.click(lambda number: (number + 1, None), [style], [style, example], **about)
        next_style.then(translated, inputs, answers, **alone, **about)
    return page


def _canvas(gradio: Any) -> Any:
    """What is painted on: its value is the list of strokes that canvas.js describes."""
    template, style, script = (
        (HERE / f"canvas.{ending}").read_text(encoding="utf-8") for ending in ("html", "css", "js")
    )
    return gradio.HTML(
        value=[],
        html_template=template,
        css_template=style,
        js_on_load=script,
        apply_default_css=False,
        elem_id="canvas",
        picture="",
        colours=COLOURS,
    )


def _said(answer: Callable[[], Any]) -> tuple[Any, str]:
    """What comes out and no sentence, or nothing and the sentence that says why."""
    try:
        return answer(), ""
    except InputError as error:
        return None, " ".join(str(error).split()) + "."
    except Exception:
        logging.getLogger(__name__).exception("the page")
        return None, FAILED


def _results(shown: Shown | None) -> tuple[Image.Image | None, ...]:
    if shown is None:
        return (None,) * 5
    return shown.source, shown.source_overlay, shown.translated, shown.translated_overlay, shown.masks


def _downloads(gradio: Any, shown: Shown | None) -> tuple[Any, Any]:
    files = (shown.file, shown.archive) if shown else (None, None)
    one, other = (gradio.DownloadButton(value=path and str(path), interactive=path is not None) for path in files)
    return one, other
