"""What the page does, without the page: from what was handed in to what is shown."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from instagan.cli.jobs import Find
from instagan.cli.web.drawing import canvas_picture, painted
from instagan.errors import InputError
from instagan.inference.control import Control
from instagan.inference.inputs import Style, prepare
from instagan.inference.result import Translation
from instagan.inference.translator import Translator
from instagan.io.categories import names_by_place
from instagan.io.overlay import TINT, colour, overlay
from instagan.io.pixels import mask_to_tensor, to_tensor
from instagan.io.reading import read_inside, read_picture

MOST_MASKS = 100
KEPT_SECONDS = 3600
"""How long files that can be downloaded stay."""
DRAWN, UPLOADED, FOUND = "Draw", "Upload masks", "Find"
"""Where masks come from."""


@dataclass(frozen=True)
class Order:
    """What somebody asks for.

    picture and masks: uploaded files. strokes: what was painted. origin: one of the three above. The last three are
    those of ``Translator``; max_side 0: none. Of a model with styles: the uploaded example whose style is taken, or
    without one the number of a drawn style, as --styles of translate numbers them. The last four are the values of
    translate's flags of these names, masks being numbered from 0; empty where nothing is asked for.
    """

    picture: Path | None
    origin: str
    strokes: Any
    fill: bool
    masks: Sequence[Path]
    to: str
    ins_per: int
    paste_background: bool = False
    crop_instances: bool = False
    max_side: int = 0
    example: Path | None = None
    style: int = 0
    instances: str = ""
    order: str = ""
    strength: str = ""
    targets: str = ""


@dataclass(frozen=True, eq=False)
class Shown:
    """The answer: pictures in the order of the page, files to download, and a sentence."""

    source: Image.Image
    source_overlay: Image.Image
    translated: Image.Image
    translated_overlay: Image.Image
    masks: Image.Image
    file: Path
    archive: Path
    told: str


class Desk:
    """Takes orders. translators: "a" or "b" -> to that domain. find: a detector. results: a folder for downloads."""

    def __init__(
        self, translators: Mapping[str, Translator], find: Find | None, most_pixels: int, results: Path
    ) -> None:
        self.translators = translators
        self.find = find
        self.most_pixels = most_pixels
        self.results = results

    def canvas(self, file: Path) -> tuple[str, str]:
        """An uploaded picture to paint on, as a data address, and what it is. Raises ``InputError``."""
        picture = self._read(file)
        return canvas_picture(picture), f"{file.name}, {picture.width} x {picture.height} pixels."

    def translate(self, order: Order) -> Shown:
        """Raises ``InputError`` with what to do instead; paths of this machine are not told."""
        if order.picture is None:
            raise InputError("There is no image yet; upload one first")
        translator = self.translators.get(order.to)
        if translator is None:
            raise InputError(f"The model does not translate to {order.to}; pick another direction")
        picture = self._read(order.picture)
        masks = self._masks(order, picture) if translator.network.gives_masks else []
        config = translator.config(order.max_side or None, order.crop_instances, order.paste_background)
        started = time.perf_counter()
        style, named = self._style(order, translator)
        source = prepare(picture, masks, targets=_targets(order, translator))
        source = source.asked(self._control(order, translator, len(masks)))
        made = translator.translate([source], order.ins_per, config=config, style=style)[0]
        seconds = time.perf_counter() - started
        file, archive = self._keep(order, made)
        counted = f"{sum(made.present)} of {len(masks)} instances translated"
        told = named or made.note or (counted if translator.network.gives_masks else "translated")
        return Shown(
            picture,
            drawn_over(picture, np.array(masks, bool).reshape(-1, picture.height, picture.width)),
            made.picture,
            drawn_over(made.picture, made.inside),
            mask_picture(made),
            file,
            archive,
            f"{told[0].upper()}{told[1:]} in {seconds:.1f} s.{_seam(made)}",
        )

    def _control(self, order: Order, translator: Translator, masks: int) -> Control:
        texts = ((text or "").replace(" ", "") or None for text in (order.instances, order.order, order.strength))
        control = Control.of_texts(*texts)
        control.check(translator.network.translator)
        control.check_numbers(range(masks))
        return control

    def _style(self, order: Order, translator: Translator) -> tuple[Style, str]:
        """The style, and what to tell of it; None and nothing where the model has none.

        A model that has a style of its own translates in that first, and in drawn ones after.
        """
        if not translator.has_styles:
            return None, ""
        if order.example is None:
            own = int(not translator.network.translator.draws_styles)
            if order.style < own:
                return None, "translated in the style that the model holds"
            drawn = translator.draw_styles(order.style + 1 - own)[order.style - own]
            return drawn, f"translated in style {order.style}"
        return self._read(order.example), f"translated in the style of {order.example.name}"

    def _read(self, file: Path) -> Image.Image:
        self._check_size(file)
        try:
            return read_picture(file)
        except InputError as error:
            raise InputError(str(error).replace(str(file), file.name)) from None

    def _check_size(self, file: Path) -> None:
        """Before anything is decoded."""
        try:
            with Image.open(file) as image:
                width, height = image.size
        except Image.DecompressionBombError:
            size = ""
        except Exception:  # reading tells what is wrong with it
            return
        else:
            if width * height <= self.most_pixels:
                return
            size = f" with {width} x {height} pixels"
        raise InputError(f"{file.name} is too large{size}: at most {self.most_pixels / 1e6:g} megapixels; shrink it")

    def _masks(self, order: Order, picture: Image.Image) -> list[np.ndarray]:
        """(H, W) bool each."""
        if order.origin == FOUND and self.find is not None:
            found = [np.asarray(mask, bool) for mask in self.find(picture)]
            if not found:
                raise InputError("The detector found nothing in this image; draw or upload masks")
            return found[:MOST_MASKS]
        if order.origin == DRAWN:
            drawn = painted(order.strokes, picture.size, order.fill)
            if not drawn:
                raise InputError("Nothing is drawn, and only instances are translated; paint over at least one")
            return drawn[:MOST_MASKS]
        if not order.masks:
            raise InputError("There are no masks, and only instances are translated; upload a file for each instance")
        if len(order.masks) > MOST_MASKS:
            raise InputError(f"{len(order.masks)} masks are too many; upload at most {MOST_MASKS}")
        return [self._mask(file, picture) for file in order.masks]

    def _mask(self, file: Path, picture: Image.Image) -> np.ndarray:
        self._check_size(file)
        try:
            inside = read_inside(file)
        except InputError as error:
            raise InputError(str(error).replace(str(file), file.name)) from None
        if inside.shape != picture.size[::-1]:
            raise InputError(
                f"{file.name} is {inside.shape[1]}x{inside.shape[0]} pixels and the image {picture.width}x"
                f"{picture.height}; upload masks of the image's size"
            )
        return inside

    def _keep(self, order: Order, made: Translation) -> tuple[Path, Path]:
        """The picture, and an archive of it and its masks, in a new folder; those that are old are removed."""
        for old in self.results.iterdir():
            if time.time() - old.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
        assert order.picture is not None
        stem = re.sub(r"[^\w-]+", "_", order.picture.stem)[:60] or "picture"
        folder = Path(tempfile.mkdtemp(dir=self.results))
        file = folder / f"{stem}_to_{order.to}.png"
        made.picture.save(file)
        archive = file.with_suffix(".zip")
        with zipfile.ZipFile(archive, "w") as whole:
            whole.write(file, file.name)
            for place, mask in enumerate(made.masks):
                with whole.open(f"{file.stem}_mask_{place}.png", "w") as entry:
                    mask.save(entry, "PNG")
        return file, archive


def _targets(order: Order, translator: Translator) -> str | list[str] | None:
    if not translator.categories:
        return None
    names = names_by_place(order.targets)
    if not any(names):
        raise InputError(f"Tell what the instances become: {', '.join(translator.categories)}, separated by commas")
    return names[0] if len(names) == 1 else names


def _seam(made: Translation) -> str:
    if made.seam is None:
        return ""
    return f" The background is the input's; on average the faded edge is {made.seam.band:.1f} of 255 levels off it."


def drawn_over(picture: Image.Image, inside: np.ndarray) -> Image.Image:
    """Instances (N, H, W) bool over a picture."""
    present = torch.from_numpy(inside.any((1, 2)))
    return overlay(to_tensor(picture), mask_to_tensor(inside), present, TINT)


def mask_picture(made: Translation) -> Image.Image:
    """All translated masks on black, each in the colour that it has in the overlays."""
    width, height = made.picture.size
    canvas: Any = np.zeros((height, width, 3), np.uint8)
    for slot, inside in enumerate(made.inside):
        canvas[inside] = colour(slot)
    return Image.fromarray(canvas)
