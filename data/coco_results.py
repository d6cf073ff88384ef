"""``annotations.json``: the translated pictures of a result folder and their masks in COCO's format.

categories   one for each domain that was translated into; a group of categories is one, "giraffe,zebra", for nobody
             can say which of them an instance has become, unless the method was told: then one for each of them
images       NAME_fake_B.png with the picture that it was made from: source_file_name, source_image_id
annotations  one for each translated mask that shows something: RLE, area, bbox, mask_file, source_category, and
             source_annotation_id (null where nobody knows it); of a model of keypoints also keypoints, num_keypoints
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from data.entries import Entry, Mask
from data.preparing.tasks import Category
from data.results import file_name
from instagan.errors import InputError
from instagan.io.coco_records import FILE_NAME, Record, shape_of_mask
from instagan.io.optional import need
from instagan.io.writing import write_whole
from instagan.structures.instances import InstanceBatch


class CocoResults:
    """Gathers what ``ResultFolder`` has written. Masks are read back, so that they are the files' bit for bit."""

    def __init__(self, folder: Path, categories: Mapping[str, tuple[Category, ...]]) -> None:
        """categories: of both domains. Raises ``InputError`` where pycocotools is missing."""
        need("pycocotools.mask", "pycocotools", "--save_coco")
        self.folder, self.categories = folder, categories
        self.targets = _target_records(categories)
        self.told = {
            letter: list(_target_records({str(label): (one,) for label, one in enumerate(found)}).values())
            for letter, found in categories.items()
        }
        self.images: list[Record] = []
        self.annotations: list[Record] = []
        self.empty: list[str] = []
        self.reached: dict[str, list[Record]] = {}

    def add(self, entry: Entry, source: str, target: str, made: InstanceBatch | None = None) -> None:
        """Notes one picture. made: its translation, one row, whose labels tell what each instance has become if it was
        told that (``targets``). Raises ``InputError`` where the method has no mask for each of its instances."""
        fake = f"fake_{target}"
        told = self.told[target]
        labels = None if made is None or made.targets is None else made.labels[0].tolist()
        self.reached[target] = [self.targets[target]] if labels is None else told
        with Image.open(self.folder / file_name(entry, fake)) as picture:
            width, height = picture.size
        image = {
            "id": len(self.images) + 1,
            "file_name": file_name(entry, fake),
            "width": width,
            "height": height,
            "source_file_name": entry.picture.name,
            "source_image_id": entry.source_id,
        }
        self.images.append(image)
        for slot, mask in enumerate(entry.masks):
            became = self.targets[target] if labels is None else told[labels[slot]]
            path = self.folder / file_name(entry, f"{fake}_mask_{mask.number}")
            try:
                with Image.open(path) as written:
                    inside = np.asarray(written) > 0  # (H, W)
            except FileNotFoundError:
                raise InputError(
                    f"--save_coco needs a mask of every translated instance, but the run's method makes no "
                    f"{path.name}; drop the flag or use a method that translates instances"
                ) from None
            if inside.any():
                made = self._annotation(inside, mask, image["id"], source, became, path.name)
                self.annotations.append(made | self._keypoints(entry, mask, fake, became))
            else:
                self.empty.append(path.name)

    def write(self, description: str) -> str:
        """Writes the file whole or not at all; returns a line that counts what is in it."""
        content = {
            "info": {"description": description},
            "licenses": [],
            "images": self.images,
            "categories": [record for _, found in sorted(self.reached.items()) for record in found],
            "annotations": self.annotations,
        }
        path = self.folder / FILE_NAME
        write_whole(path, lambda scratch: scratch.write_text(json.dumps(content)), "pass another --results_dir")
        left_out = f"; {len(self.empty)} translated masks are empty and left out" if self.empty else ""
        return f"{path}: {len(self.images)} pictures, {len(self.annotations)} instances{left_out}"

    def _keypoints(self, entry: Entry, mask: Mask, fake: str, became: Record) -> Record:
        """Those of a translated instance, as many as its category names; nothing where none were written."""
        path = self.folder / file_name(entry, f"{fake}_keypoints", ".json")
        names = became.get("keypoints")
        if not names or not path.exists():
            return {}
        points = json.loads(path.read_text(encoding="utf-8"))[str(mask.number)][: 3 * len(names)]
        return {"keypoints": points, "num_keypoints": sum(visibility > 0 for visibility in points[2::3])}

    def _annotation(
        self, inside: np.ndarray, mask: Mask, image: int, source: str, became: Record, mask_file: str
    ) -> Record:
        return {
            "id": len(self.annotations) + 1,
            "image_id": image,
            "category_id": became["id"],
            **shape_of_mask(inside),
            "source_annotation_id": mask.source_id,
            "source_category": self.categories[source][mask.label].name,
            "mask_file": mask_file,
        }


def _target_records(categories: Mapping[str, tuple[Category, ...]]) -> dict[str, Record]:
    """By domain, what its instances are called. A single category keeps its id in the source if that is a number."""
    records: dict[str, Record] = {}
    own: list[int] = []
    for letter, found in categories.items():
        number = found[0].source_id
        if len(found) == 1 and isinstance(number, int) and number >= 0 and number not in own:
            own.append(number)
            records[letter] = {"id": number, "name": found[0].name, **_keypoints(found)}
    free = (number for number in range(1, len(categories) + len(own) + 1) if number not in own)
    for letter, found in categories.items():
        if letter not in records:
            records[letter] = {
                "id": next(free),
                "name": ",".join(category.name for category in found),
                **_keypoints(found),
            }
    return records


def _keypoints(found: tuple[Category, ...]) -> Record:
    """What the keypoints of categories are called, where all call them the same."""
    names = {category.keypoints for category in found}
    return {"keypoints": list(found[0].keypoints)} if len(names) == 1 and found[0].keypoints else {}
