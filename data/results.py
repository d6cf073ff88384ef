"""Where translated pictures and masks go: ``results/<name>/<phase>_<epoch>/``, and what the files are called."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data.entries import Entry
from data.placement import Size, resize_pixels
from instagan.io.contact_sheet import PAPER, contact_sheet
from instagan.io.formats import RGB, Format
from instagan.io.overlay import overlay
from instagan.io.pixels import to_mask_picture, to_picture, to_pixels
from instagan.io.writing import make_folder
from instagan.structures.attributes import KEYPOINTS, MASKS, PARTS, label_maps_of
from instagan.structures.instances import InstanceBatch

SHEET_ROWS = 8
"""Pictures on a contact sheet."""

LONGEST_STEM = 220
"""Bytes of a name before what tells its results apart, up to ``_fake_B_style000_mask_00000.png``; 255 is the limit."""

_OURS = re.compile(
    r".*_(real|fake|rec)_[AB](_style\d+)?(_mask(_\d+)?|_parts_\d+|_overlay|_values)?\.png|"
    r".*_(fake|rec)_[AB](_style\d+)?_values\.(npy|tif)|"
    r".*_fake_[AB](_style\d+)?_keypoints\.json|example_[AB]_style\d+\.png|annotations\.json"
)


def file_name(entry: Entry, what: str, ending: str = ".png") -> str:
    """The result file of a picture, such as NAME_fake_B.png for ``what`` fake_B.

    A NAME that leaves no room for that in what file systems take is cut, and ends in a short hash of the whole.
    """
    return f"{short_name(entry.stem)}_{what}{ending}"


def short_name(stem: str) -> str:
    """The stem, or if it is longer than ``LONGEST_STEM`` bytes, its beginning and a hash: the same in every run."""
    name = os.fsencode(stem)
    if len(name) <= LONGEST_STEM:
        return stem
    mark = "-" + hashlib.sha256(name).hexdigest()[:10]
    return name[: LONGEST_STEM - len(mark)].decode("utf-8", "ignore") + mark


class ResultFolder:
    """Writes NAME_real_A.png, NAME_fake_B.png, NAME_rec_A.png, the masks and overlays of each picture.

    With several styles of each: NAME_fake_B_style0.png, NAME_fake_B_style1.png, ..., and example_B_style0.png, ...
    In domains that are no RGB pictures of 8 bits these show what is in NAME_fake_B_values.png, .tif or .npy.

    Of instances with keypoints also NAME_fake_B_keypoints.json, {"0": [x, y, visibility, ...], ...} by mask number, in
    pixels of NAME_fake_B.png; of instances with parts also NAME_fake_B_parts_0.png, ..., label maps.
    """

    def __init__(
        self,
        path: Path,
        original_size: bool = False,
        aspect_ratio: float = 1.0,
        styles: int | None = None,
        attribute: str = MASKS,
        formats: Mapping[str, Format] | None = None,
    ) -> None:
        """Makes the folder and removes an earlier run's results from it. Raises ``InputError`` if it cannot.

        styles: how many translations each picture has, by which they are numbered; None: one, without a number.
        attribute: what else is told of instances, out of ``ATTRIBUTES``. formats: of the domains, by letter; RGB where
        there are none.
        """
        self.path, self.original_size, self.aspect_ratio, self.styles = path, original_size, aspect_ratio, styles
        self.attribute, self.formats = attribute, formats or {}
        make_folder(path, "pass another --results_dir")
        for old in path.iterdir():
            if _OURS.fullmatch(old.name):
                old.unlink()

    def fakes(self, target: str) -> list[str]:
        """What the translations of a picture are called."""
        fake = f"fake_{target}"
        return [fake] if self.styles is None else [f"{fake}_style{style}" for style in range(self.styles)]

    def columns(self, source: str, target: str) -> tuple[list[str], list[str]]:
        """The names under which ``save`` may return files, in the order of showing: pictures, and masks."""
        real, fakes, rec = f"real_{source}", self.fakes(target), f"rec_{source}"
        pictures = [*(f"{name}{more}" for name in (real, *fakes) for more in ("", "_overlay")), rec]
        return pictures, [f"{rec}_overlay", *(f"{name}_mask" for name in (real, *fakes, rec))]

    def save(
        self,
        entry: Entry,
        real: InstanceBatch,
        fakes: Sequence[InstanceBatch],
        rec: InstanceBatch | None,
        source: str,
        target: str,
    ) -> dict[str, str]:
        """Writes one picture's files, each batch holding one row; returns what is shown of it as name -> file name.

        fakes: its translations, one for each style. rec: the translation of one of them back, None without a way back.
        Slot k of a fake belongs to the k-th mask file of the entry; the files carry the numbers of the mask files.
        A method that gives fewer slots than that (the union of all) has its union written only.
        """
        translated = dict(zip(self.fakes(target), fakes, strict=True))
        shown = {f"real_{source}": real, **translated} | ({f"rec_{source}": rec} if rec is not None else {})
        original = entry.read_picture() if self.original_size else None
        size = original.size if original else None
        files = {}
        for name, batch in shown.items():
            untouched = torch.equal(batch.image, real.image)
            picture = original if original and untouched else to_picture(batch.image[0])
            files[name] = self._write(entry, name, self._fit(picture, size))
            if batch.slot_count and entry.masks:  # other pictures of its batch may have given it empty slots
                points = batch.points if self.attribute == KEYPOINTS else None
                drawn = overlay(
                    batch.image[0], batch.masks[0], batch.present[0], points=None if points is None else points[0]
                )
                files[f"{name}_overlay"] = self._write(entry, f"{name}_overlay", self._fit(drawn, size))
                union = to_mask_picture(batch.union()[0, 0])
                files[f"{name}_mask"] = self._write(entry, f"{name}_mask", self._fit(union, size))
        for name, batch in shown.items():
            format = self.formats.get(source if batch is rec else target, RGB)
            if batch is not real and not format.is_rgb:
                self._write_values(entry, f"{name}_values", batch.image[0], format, size)
        for name, fake in translated.items():
            if fake.slot_count >= len(entry.masks):
                for slot, number in enumerate(entry.mask_numbers):
                    mask = to_mask_picture(fake.masks[0, slot])
                    self._write(entry, f"{name}_mask_{number}", self._fit(mask, size))
                    if self.attribute == PARTS:
                        self._write(entry, f"{name}_parts_{number}", self._fit(_label_map(fake, slot), size))
                if self.attribute == KEYPOINTS:
                    self._write_keypoints(entry, name, fake, size)
        return files

    def _write_keypoints(self, entry: Entry, name: str, fake: InstanceBatch, size: Size | None) -> None:
        """Those of every instance, where they are in the written picture."""
        height, width = fake.image.shape[2:]
        blank = self._fit(Image.new("L", (width, height)), size)
        scale = torch.tensor([blank.width / width, blank.height / height, 1])
        points = fake.points
        told = {
            str(number): []
            if points is None
            else [round(value, 2) for value in (points[0, slot] * scale).flatten().tolist()]
            for slot, number in enumerate(entry.mask_numbers)
        }
        path = self.path / file_name(entry, f"{name}_keypoints", ".json")
        path.write_text(json.dumps(told) + "\n", encoding="utf-8")

    def save_examples(self, target: str, examples: Sequence[InstanceBatch]) -> dict[str, str]:
        """The pictures that the styles are of, as the networks see them: name of the translation -> file name."""
        files = {}
        for style, (name, example) in enumerate(zip(self.fakes(target), examples, strict=bool(examples))):
            files[name] = f"example_{target}_style{style}.png"
            self._fit(to_picture(example.image[0]), None).save(self.path / files[name])
        return files

    def save_contact_sheet(
        self, source: str, target: str, files: Sequence[Mapping[str, str]], examples: Mapping[str, str]
    ) -> Path:
        """One picture of the first results of a direction: what ``save`` returned for each, as rows.

        examples: what ``save_examples`` returned; they stand above the translations.
        """
        columns = [name for name in self.columns(source, target)[0] if any(name in row for row in files)]
        rows = [[self._tile(row.get(name, row[f"real_{source}"])) for name in columns] for row in files[:SHEET_ROWS]]
        if examples:
            blank = Image.new("RGB", rows[0][0].size, PAPER)
            rows.insert(0, [self._tile(examples[name]) if name in examples else blank for name in columns])
        path = self.path / f"contact_sheet_{source}to{target}.png"
        contact_sheet(rows, [name.replace("_", " ") for name in columns]).save(path)
        return path

    def _tile(self, file: str) -> Image.Image:
        with Image.open(self.path / file) as tile:
            return tile.convert("RGB")

    def _fit(self, picture: Image.Image, size: Size | None) -> Image.Image:
        """Back to the picture's own size, and stretched by the aspect ratio. Masks stay masks."""
        width, height = self._stretched(size or picture.size)
        resample = Image.Resampling.NEAREST if picture.mode == "L" else Image.Resampling.BICUBIC
        return picture if picture.size == (width, height) else picture.resize((width, height), resample)

    def _stretched(self, size: Size) -> Size:
        width, height = size
        if self.aspect_ratio > 1:
            width = round(width * self.aspect_ratio)
        elif self.aspect_ratio < 1:
            height = round(height / self.aspect_ratio)
        return width, height

    def _write_values(self, entry: Entry, what: str, image: Tensor, format: Format, size: Size | None) -> None:
        """An image (C, H, W) as its domain keeps them."""
        pixels = to_pixels(image, whole=format.type == np.uint8)  # (H, W, C)
        fitted = resize_pixels(pixels, self._stretched(size or (pixels.shape[1], pixels.shape[0])))
        format.write(self.path / file_name(entry, what, format.ending), fitted)

    def _write(self, entry: Entry, what: str, picture: Image.Image) -> str:
        name = file_name(entry, what)
        picture.save(self.path / name)
        return name


def _label_map(fake: InstanceBatch, slot: int) -> Image.Image:
    """The parts of an instance as a grey picture; all 0 of a picture that shows none."""
    if fake.attributes is None:
        return Image.new("L", (fake.image.shape[3], fake.image.shape[2]))
    return Image.fromarray(label_maps_of(fake.attributes[0, slot]).numpy())
