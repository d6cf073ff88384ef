"""Detectors for a domain without labels, compared: learnt from source labels, translated ones, and the target's own.

A row is one detector: it is trained on the pictures of one or several sets, and judged by COCO's evaluation on real
pictures of the target. Every row that is done is a file of its own, so that what was stopped goes on where it was.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.boxes.writing import Listed
from data.boxes_mode import entries_of, read_set
from data.decoded import decode
from data.entries import Entry
from data.placement import Framing
from data.unaligned_instance_dataset import place
from evaluation.learning_detector import Learning, learn, placed_as
from evaluation.streets import truth_of
from instagan.errors import InputError
from instagan.io.coco_records import FILE_NAME, Record
from instagan.io.object_detector import ObjectDetector, begin_with, read_detector, write_detector
from instagan.io.reading import read_picture
from instagan.io.text_files import read_json
from instagan.io.writing import make_folder, write_whole
from instagan.metrics.coco_judge import CocoFigures, judge_boxes
from instagan.metrics.streets import judge

Tell = Callable[[str], None]
ADVICE = "delete it, or pass another --work"


@dataclass(frozen=True)
class Kind:
    """What detectors are made of. side: pixels of the shorter side at which images are looked at. begin_with: weights
    of torchvision's."""

    kind: str
    side: int
    begin_with: Path | None = None


@dataclass(frozen=True, eq=False)
class Judge:
    """Real pictures with boxes that a detector is judged on."""

    listed: Listed
    entries: Sequence[Entry]
    placing: Framing

    @classmethod
    def of(cls, listed: Listed, options: Namespace) -> Judge:
        """options: of train.py, which tell how pictures are placed."""
        return cls(listed, labelled(listed), placed_as(options, False))

    def look(self, detector: ObjectDetector) -> tuple[CocoFigures, list[Record]]:
        """How well it finds their objects, and COCO's records of all that it finds."""
        numbers = category_ids(self.listed)
        found = [record for entry in self.entries for record in _found(detector, entry, self.placing, numbers)]
        images = [int(entry.source_id or 0) for entry in self.entries]
        return judge_boxes(self.listed.annotations, images, numbers, found), found


@dataclass(frozen=True, eq=False)
class Bench:
    """Trains detectors that differ in what they learn from alone. work: folder of what is done. options: of train.py.
    settings: what else the figures depend on; a row that is done with others is refused."""

    work: Path
    options: Namespace
    device: torch.device
    made_of: Kind
    how: Learning
    target: Judge
    settings: Mapping[str, Any]
    tell: Tell

    def row(self, name: str, entries: Sequence[Entry], model: str) -> Record:
        """What became of one row, now or earlier. The same for the same seed. model: that has translated what it learns
        from, as ``translate`` notes it; empty where there is none."""
        path = self.work / "rows" / f"{name}-seed{self.how.seed}.json"
        settings = {**self.settings, **asdict(self.how), "kind": self.made_of.kind, "side": self.made_of.side}
        settings |= {"images": len({entry.picture for entry in entries}), "model": model}
        if path.exists() and self.detector_file(name).exists():
            return self._earlier(path, settings)
        self.tell(f"{name}: {settings['images']} images, seed {self.how.seed}")
        make_folder(path.parent)
        make_folder(self.detector_file(name).parent)
        torch.manual_seed(self.how.seed)
        detector = ObjectDetector(self.made_of.kind, self.target.listed.categories, self.made_of.side)
        if self.made_of.begin_with:
            begin_with(detector, self.made_of.begin_with, "--begin_with")
        learn(detector.to(self.device), list(entries), placed_as(self.options, True), self.how, self.tell)
        figures, found = self.target.look(detector)
        write_detector(self.detector_file(name), detector.cpu(), {"trained_on": name, **settings})
        write_json(path.with_suffix(".found.json"), found)
        told = {"row": name, "seed": self.how.seed, **asdict(figures), "settings": settings}
        write_json(path, told)
        self.tell(f"{name}: AP {figures.ap:.3f}, AP50 {figures.ap50:.3f}")
        return told

    def detector_file(self, name: str) -> Path:
        return self.work / "detectors" / f"{name}-seed{self.how.seed}.pth"

    def detector(self, name: str) -> ObjectDetector:
        """Of a row that is done."""
        return read_detector(self.detector_file(name)).to(self.device)

    def _earlier(self, path: Path, settings: Record) -> Record:
        told = read_json(path, ADVICE)
        before = told.get("settings") if isinstance(told, dict) else None
        if before != settings:
            name = next((name for name in settings if (before or {}).get(name) != settings[name]), "settings")
            was, now = (before or {}).get(name), settings[name]
            raise InputError(f"{path} was made with other settings ({name}: {was}, now {now}); {ADVICE}")
        self.tell(f"{told['row']}, seed {told['seed']}: done before, AP {told['ap']:.3f}, AP50 {told['ap50']:.3f}")
        return dict(told)


def labelled(listed: Listed) -> list[Entry]:
    """The pictures of a set with their boxes. Raises ``InputError``."""
    return entries_of(read_set(listed, skip_bad=False), listed)


def first_of(listed: Listed, count: int | None, file: Path) -> Listed:
    """The first pictures of a set, as a json of their own in ``file``; the set itself where ``count`` is None."""
    if count is None:
        return listed
    content = read_json(listed.annotations, "prepare the set again")
    images = content["images"][:count]
    ids = {image["id"] for image in images}
    kept = [one for one in content["annotations"] if one["image_id"] in ids]
    make_folder(file.parent)
    write_json(file, {**content, "images": images, "annotations": kept})
    return Listed(file, listed.images, listed.categories)


def translated_set(folder: Path, categories: tuple[str, ...]) -> Listed:
    """What ``translate --save_coco`` has written."""
    return Listed(folder / FILE_NAME, folder, categories)


def category_ids(listed: Listed) -> dict[str, int]:
    """Name -> id in the json of a set."""
    records = read_json(listed.annotations, "prepare the set again")["categories"]
    ids = {record["name"]: record["id"] for record in records}
    if missing := [name for name in listed.categories if not isinstance(ids.get(name), int)]:
        raise InputError(f"{listed.annotations} gives the category {missing[0]!r} no number; prepare the set again")
    return {name: ids[name] for name in listed.categories}


def _found(detector: ObjectDetector, entry: Entry, placing: Framing, numbers: Mapping[str, int]) -> list[Record]:
    """COCO's records of what is found in one picture, in pixels of its file."""
    decoded = decode(entry, placing)
    sample = place(entry, decoded, placing, np.random.default_rng(0), shuffled=False)
    placement = placing.draw(decoded.size, np.random.default_rng(0))
    ((boxes, labels, scores),) = detector.detect(sample.image[None].to(next(detector.parameters()).device))
    corner = boxes.new_tensor([*placement.crop[:2]] * 2)
    enlarged = boxes.new_tensor([whole / seen for whole, seen in zip(decoded.size, placement.resize, strict=True)] * 2)
    rows = ((boxes + corner) * enlarged).double().cpu()  # (n, 4)
    return [
        {
            "image_id": entry.source_id,
            "category_id": numbers[detector.classes[label]],
            "bbox": [round(value, 3) for value in (left, top, right - left, bottom - top)],
            "score": round(score, 6),
        }
        for (left, top, right, bottom), label, score in zip(
            rows.tolist(), labels.tolist(), scores.tolist(), strict=True
        )
    ]


def objects_found(listed: Listed, dataroot: Path, content: Record, phase: str, letter: str) -> dict[str, list[int]]:
    """Class -> how many objects of translated streets are still at their boxes, and how many there are. content: of
    ``streets.json``; letter: the source's. An object is found by its pattern, whatever its brightness."""
    counts = {name: [0, 0] for name in listed.categories}
    for image in read_json(listed.annotations, ADVICE)["images"]:
        truth = truth_of(dataroot, content, f"{phase}{letter}/{image['source_file_name']}")
        for one in judge(np.asarray(read_picture(listed.images / image["file_name"])), truth).objects:
            counts[one.kind][0] += one.found
            counts[one.kind][1] += 1
    return counts


def write_json(path: Path, content: Any) -> None:
    write_whole(path, lambda scratch: scratch.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8"))
