"""Where translated pictures and masks go: ``results/<name>/<phase>_<epoch>/``, and what the files are called."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import torch
from PIL import Image

from data.entries import Entry
from data.placement import Size
from instagan.io.contact_sheet import contact_sheet
from instagan.io.overlay import overlay
from instagan.io.pixels import to_mask_picture, to_picture
from instagan.io.writing import make_folder
from instagan.structures.instances import InstanceBatch

SHEET_ROWS = 8
"""Pictures on a contact sheet."""

LONGEST_STEM = 230
"""Bytes of a result's name before what tells the results apart, up to ``_fake_B_mask_00000.png``; 255 is the limit."""

_OURS = re.compile(r".*_(real|fake|rec)_[AB](_mask(_\d+)?|_overlay)?\.png|annotations\.json")


def file_name(entry: Entry, what: str) -> str:
    """The result file of a picture, such as NAME_fake_B.png for ``what`` fake_B.

    A NAME that leaves no room for that in what file systems take is cut, and ends in a short hash of the whole.
    """
    return f"{short_name(entry.stem)}_{what}.png"


def short_name(stem: str) -> str:
    """The stem, or if it is longer than ``LONGEST_STEM`` bytes, its beginning and a hash: the same in every run."""
    name = os.fsencode(stem)
    if len(name) <= LONGEST_STEM:
        return stem
    mark = "-" + hashlib.sha256(name).hexdigest()[:10]
    return name[: LONGEST_STEM - len(mark)].decode("utf-8", "ignore") + mark


class ResultFolder:
    """Writes NAME_real_A.png, NAME_fake_B.png, NAME_rec_A.png, the masks and overlays of each picture."""

    def __init__(self, path: Path, original_size: bool = False, aspect_ratio: float = 1.0) -> None:
        """Makes the folder and removes an earlier run's results from it. Raises ``InputError`` if it cannot."""
        self.path, self.original_size, self.aspect_ratio = path, original_size, aspect_ratio
        make_folder(path, "pass another --results_dir")
        for old in path.iterdir():
            if _OURS.fullmatch(old.name):
                old.unlink()

    @staticmethod
    def columns(source: str, target: str) -> tuple[list[str], list[str]]:
        """The names under which ``save`` may return files, in the order of showing: pictures, and masks."""
        real, fake, rec = f"real_{source}", f"fake_{target}", f"rec_{source}"
        pictures = [real, f"{real}_overlay", fake, f"{fake}_overlay", rec]
        return pictures, [f"{rec}_overlay", *(f"{name}_mask" for name in (real, fake, rec))]

    def save(
        self,
        entry: Entry,
        real: InstanceBatch,
        fake: InstanceBatch,
        rec: InstanceBatch | None,
        source: str,
        target: str,
    ) -> dict[str, str]:
        """Writes one picture's files, each batch holding one row; returns what is shown of it as name -> file name.

        rec: the translation of ``fake`` back, None where the method has no way back.
        Slot k of ``fake`` belongs to the k-th mask file of the entry; the files carry the numbers of the mask files.
        A method that gives fewer slots than that (the union of all) has its union written only.
        """
        shown = {f"real_{source}": real, f"fake_{target}": fake} | ({f"rec_{source}": rec} if rec is not None else {})
        original = entry.read_picture() if self.original_size else None
        size = original.size if original else None
        files = {}
        for name, batch in shown.items():
            untouched = torch.equal(batch.image, real.image)
            picture = original if original and untouched else to_picture(batch.image[0])
            files[name] = self._write(entry, name, self._fit(picture, size))
            if batch.slot_count and entry.masks:  # other pictures of its batch may have given it empty slots
                drawn = overlay(batch.image[0], batch.masks[0], batch.present[0])
                files[f"{name}_overlay"] = self._write(entry, f"{name}_overlay", self._fit(drawn, size))
                union = to_mask_picture(batch.union()[0, 0])
                files[f"{name}_mask"] = self._write(entry, f"{name}_mask", self._fit(union, size))
        if fake.slot_count >= len(entry.masks):
            for slot, number in enumerate(entry.mask_numbers):
                mask = to_mask_picture(fake.masks[0, slot])
                self._write(entry, f"fake_{target}_mask_{number}", self._fit(mask, size))
        return files

    def save_contact_sheet(self, source: str, target: str, files: list[dict[str, str]]) -> Path:
        """One picture of the first results of a direction: what ``save`` returned for each, as rows."""
        columns = [f"{kind}{shown}" for kind in (f"real_{source}", f"fake_{target}") for shown in ("", "_overlay")]
        columns = [name for name in [*columns, f"rec_{source}"] if any(name in row for row in files)]
        rows = []
        for row in files[:SHEET_ROWS]:
            tiles = []
            for name in columns:
                with Image.open(self.path / row.get(name, row[f"real_{source}"])) as tile:
                    tiles.append(tile.convert("RGB"))
            rows.append(tiles)
        path = self.path / f"contact_sheet_{source}to{target}.png"
        contact_sheet(rows, [name.replace("_", " ") for name in columns]).save(path)
        return path

    def _fit(self, picture: Image.Image, size: Size | None) -> Image.Image:
        """Back to the picture's own size, and stretched by the aspect ratio. Masks stay masks."""
        width, height = size or picture.size
        if self.aspect_ratio > 1:
            width = round(width * self.aspect_ratio)
        elif self.aspect_ratio < 1:
            height = round(height / self.aspect_ratio)
        resample = Image.Resampling.NEAREST if picture.mode == "L" else Image.Resampling.BICUBIC
        return picture if picture.size == (width, height) else picture.resize((width, height), resample)

    def _write(self, entry: Entry, what: str, picture: Image.Image) -> str:
        name = file_name(entry, what)
        picture.save(self.path / name)
        return name
