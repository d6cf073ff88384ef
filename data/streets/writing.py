"""Street scenes as a data set: images, masks, COCO annotations, and ``streets.json``, the truth about them.

{phase}A/NAME.png, {phase}B/NAME.png                 images by day and by night
{phase}A_seg/NAME_0.png, ...                         masks of the objects that show
{phase}_styles/NAME_STYLE.png                        of validation and test scenes: every style of both domains
{phase}A.json, {phase}B.json, boxes.json             COCO: boxes, outlines as runs, the categories car, person, sign
dataset.json                                         the category of each mask, as for every prepared set
streets.json                                         the truth
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.streets.rendering import Drawn, drawn, render
from data.streets.scene import CLASSES, UNITS, draw_scene
from data.streets.styles import STYLES, Style

PHASES = ("train", "val", "test")
FACING = ("val", "test")
"""Phases whose scenes are shown in both domains."""
LEAST_PIXELS = 6
"""Objects of which fewer pixels show are not told of, and have no mask."""


@dataclass(frozen=True, eq=False)
class Object:
    """truth: class, box (left, top, right, bottom), visible pixels, and the lamps of a car; mask (H, W) bool."""

    truth: dict[str, Any]
    mask: np.ndarray


@dataclass(frozen=True)
class Plan:
    """What is drawn. counts: scenes of each phase; size: width, height."""

    seed: int
    size: tuple[int, int]
    counts: dict[str, int]

    def scenes(self, phase: str) -> Iterator[tuple[int, str, Drawn]]:
        """Number, letters of the domains that show it, and the drawn scene: training scenes are shown in one only."""
        width, height = self.size
        phase_key = PHASES.index(phase)
        for index in range(self.counts[phase]):
            for domain_key, letters in enumerate(("AB",) if phase in FACING else ("A", "B")):
                rng = np.random.default_rng([self.seed, phase_key, domain_key, index])
                yield index, letters, drawn(draw_scene(rng, width / height), width, height)


def write_set(root: Path, plan: Plan) -> None:
    """Writes everything; streets.json last of all. Phases without any scene are left out."""
    pictures: dict[str, Any] = {}
    phases = [phase for phase in PHASES if plan.counts[phase]]
    for phase in phases:
        for folder in (f"{phase}{end}" for end in ("A", "A_seg", "B", "B_seg")):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for index, letters, scene in plan.scenes(phase):
            pictures |= _write_scene(root, phase, index, letters, scene)
        for letter in STYLES:
            coco = coco_of({key: of for key, of in pictures.items() if key.startswith(f"{phase}{letter}/")}, plan.size)
            _write_json(root / f"{phase}{letter}.json", coco)
    for picture in pictures.values():
        picture.pop("runs")
    _write_json(root / "dataset.json", _described(pictures, plan))
    sets = {f"{phase}{letter}": {"images": f"{phase}{letter}"} for phase in phases for letter in STYLES}
    _write_json(root / "boxes.json", {"format": 1, "categories": list(CLASSES), "sets": sets})
    domains = {letter: [style.name for style in styles] for letter, styles in STYLES.items()}
    told = {"seed": plan.seed, "size": list(plan.size), "classes": list(CLASSES), "domains": domains}
    _write_json(root / "streets.json", {**told, "pictures": pictures})


def _write_scene(root: Path, phase: str, index: int, letters: str, scene: Drawn) -> dict[str, Any]:
    """Images, masks and renderings of one scene; returns what is true of each image."""
    name, objects = f"street_{index:04d}", objects_of(scene)
    renderings: dict[str, dict[str, str]] = {}
    images: dict[str, np.ndarray] = {}
    if phase in FACING:
        folder = root / f"{phase}_styles"
        folder.mkdir(exist_ok=True)
        for letter, styles in STYLES.items():
            files = {style.name: f"{folder.name}/{name}_{style.name}.png" for style in styles}
            renderings[letter] = files
            for style in styles:
                images[style.name] = render(scene, style)
                Image.fromarray(images[style.name]).save(root / files[style.name])
    told = {}
    for letter in letters:
        style = style_of(scene, letter)
        image = images[style.name] if style.name in images else render(scene, style)
        Image.fromarray(image).save(root / f"{phase}{letter}" / f"{name}.png")
        for slot, one in enumerate(objects):
            mask = Image.fromarray(np.where(one.mask, 255, 0).astype(np.uint8))
            mask.save(root / f"{phase}{letter}_seg" / f"{name}_{slot}.png")
        told[f"{phase}{letter}/{name}.png"] = {
            "scene": f"{phase}_{index}" if phase in FACING else f"{phase}{letter}_{index}",
            "style": style.name,
            "objects": [one.truth for one in objects],
            "renderings": renderings,
            "runs": [runs_of(one.mask) for one in objects],
        }
    return told


def style_of(scene: Drawn, letter: str) -> Style:
    """The style of its domain that an image of the scene has; all are equally frequent."""
    rng = np.random.default_rng([scene.scene.weather, *letter.encode()])
    return STYLES[letter][int(rng.integers(len(STYLES[letter])))]


def objects_of(scene: Drawn) -> list[Object]:
    """The objects that show, as in every rendering of the scene, from far to near."""
    height = scene.shadow.shape[0]
    pixels, found, owners = height / UNITS, [], scene.layers.owners
    most = owners.argmax(0)  # (H, W); two halves of a pixel do not both own it
    for number, (thing, lamps) in enumerate(zip(scene.scene.things, scene.lamps, strict=True)):
        mask = (owners[number] >= 0.5) & (most == number)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if mask.sum() < LEAST_PIXELS:
            continue
        box = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
        truth: dict[str, Any] = {"class": thing.kind, "box": box, "pixels": int(mask.sum())}
        if thing.kind == "car":
            truth["shows"] = "front" if thing.oncoming else "back"
            truth["lamps"] = [[round(x * pixels, 2) for x in (*lamp.centre, lamp.radius)] for lamp in lamps]
        found.append(Object(truth, mask))
    return found


def coco_of(pictures: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Images named within their folder; boxes as left, top, width, height."""
    images, annotations = [], []
    for number, (key, picture) in enumerate(pictures.items(), 1):
        file_name = key.partition("/")[2]
        images.append({"id": number, "file_name": file_name, "width": size[0], "height": size[1]})
        for one, runs in zip(picture["objects"], picture["runs"], strict=True):
            left, top, right, bottom = one["box"]
            annotation = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": CLASSES.index(one["class"]) + 1,
                "bbox": [left, top, right - left, bottom - top],
                "area": one["pixels"],
                "segmentation": {"size": [size[1], size[0]], "counts": runs},
                "iscrowd": 0,
            }
            annotations.append(annotation)
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def runs_of(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed runs of a mask (H, W) bool: lengths along the columns, outside and inside in turn."""
    flat = np.concatenate(([False], mask.ravel(order="F")))
    ends = np.flatnonzero(np.diff(flat)).tolist()
    return np.diff([0, *ends, mask.size]).tolist()


def _described(pictures: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """The content of dataset.json: which category each mask has, with the ids of the COCO files."""
    entries, counts = {}, {}
    next_id: dict[str, int] = {}
    for key, picture in pictures.items():
        folder, instances = key.partition("/")[0], []
        for one in picture["objects"]:
            next_id[folder] = next_id.get(folder, 0) + 1
            about = {"category": CLASSES.index(one["class"]), "box": one["box"], "area": one["pixels"]}
            instances.append({"id": next_id[folder], **about})
        count = counts.setdefault(folder, {"pictures": 0, "instances": 0})
        count["pictures"] += 1
        count["instances"] += len(instances)
        entries[key] = {"source": picture["scene"], "source_id": None, "size": list(plan.size), "instances": instances}
    categories = [{"name": name, "source_id": number} for number, name in enumerate(CLASSES, 1)]
    return {
        "format": 1,
        "source": {"kind": "streets", "seed": plan.seed},
        "settings": {"image_size": list(plan.size)},
        "categories": {letter: categories for letter in STYLES},
        "counts": counts,
        "pictures": entries,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    """One picture or annotation a line."""
    rows = []
    for key, value in content.items():
        if isinstance(value, dict) and key == "pictures":
            inner = ",\n  ".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in value.items())
            rows.append(f"{json.dumps(key)}: {{\n  {inner}\n }}")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            inner = ",\n  ".join(json.dumps(one) for one in value)
            rows.append(f"{json.dumps(key)}: [\n  {inner}\n ]")
        else:
            rows.append(f"{json.dumps(key)}: {json.dumps(value)}")
    path.write_text("{\n " + ",\n ".join(rows) + "\n}\n", encoding="utf-8")
