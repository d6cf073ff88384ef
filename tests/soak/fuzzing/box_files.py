"""Boxes: every format of ``scripts/prepare_boxes.py`` and its kin, as far as training reads what they write."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from PIL import Image

from data.boxes.bdd100k import read_bdd100k
from data.boxes.cityscapes import IMAGE, POLYGONS, read_cityscapes
from data.boxes.coco import read_coco
from data.boxes.init import read_init
from data.boxes.kitti import read_kitti
from data.boxes.objects import Classes, Found
from data.boxes.pairing import Read, read_pairs
from data.boxes.voc import read_voc
from data.boxes.writing import BoxSet, read_index, save
from data.boxes.yolo import normalised, yolo
from data.boxes_mode import entries_of, listed_set, read_set
from instagan.errors import one_line
from instagan.io.problems import refuse
from tests.soak.fuzzing.annotation_files import COCO, SIZE
from tests.soak.fuzzing.hostile import damaged, encoded, json_bytes, lines, words
from tests.soak.fuzzing.target import Target, file_target

YOLO = ("0 0.5 0.5 0.25 0.5", "1 0 0 0.5 0 0.5 0.25", "car 0.1 0.1 0.2 0.2", "", "0 0.5 0.5 nan 1", "0 1e999 0 1 1")
NORMALISED = ("0 0.1 0.1 0.9 0.9", "car 0 0 1 1", "", "0 0.9 0.9 0.1 0.1", "0 -1 0 1e308 1")
KITTI = (
    "Car 0.00 0 -1.57 2.50 3.00 20.25 12.00 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59",
    "DontCare -1 -1 -10 1.00 1.00 9.00 9.00 -1 -1 -1 -1000 -1000 -1000 -10",
    "Pedestrian 0 0 0 1 1 9 19 1 1 1 1 1 1 1 0.9",
    "",
    "Van 0 0 0 1 1 1e999 nan 1 1 1 1 1 1 1",
)
INIT = ("# 0", "/1.png", "3 20 30 1", "0", "2", "1 3.5 4.5 20.0 11.0", "3 8.0 9.0 19.5 17.0", "")
VOC = (
    "<annotation>\n<filename>1.png</filename>\n<size><width>30</width><height>20</height></size>\n",
    "<object>\n<name>car</name>\n<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>12</xmax><ymax>9</ymax></bndbox></object>\n",
    "<object><name>person</name><bndbox><xmin>2.5</xmin><ymin>1</ymin><xmax>99</xmax><ymax>9</ymax></bndbox></object>\n",
    "<object><name> </name></object>\n",
    "</annotation>\n",
    '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;&x;&x;">]>',
    "<name>&y;&y;</name>",
    "<?xml version='1.0' encoding='utf-16'?>",
)
CITYSCAPES = {
    "imgWidth": 30,
    "imgHeight": 20,
    "objects": [
        {"label": "road", "polygon": [[0, 0], [30, 0], [30, 20], [0, 20]]},
        {"label": "car", "polygon": [[2, 2], [12, 2], [12, 9]]},
        {"label": "persongroup", "polygon": [[12, 2], [20, 2], [20, 9]]},
        {"label": "license plate", "deleted": 0, "polygon": [[3, 3], [5, 3], [5, 4]]},
    ],
}
BDD100K = [
    {
        "name": f"{number}.png",
        "attributes": {"weather": "clear", "timeofday": time},
        "labels": [
            {"category": "car", "box2d": {"x1": 1.5, "y1": 2, "x2": 9, "y2": 8}},
            {"category": "lane", "poly2d": [{"vertices": [[1, 2], [3, 4]]}]},
        ],
    }
    for number, time in ((1, "daytime"), (2, "night"))
]
WANTED = {"timeofday": ["daytime", "night"]}


def _drawn() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", SIZE).save(file, "PNG")
    return file.getvalue()


PICTURE = _drawn()


def _with_pictures(folder: Path, suffix: str = "") -> Path:
    for name in ("1", "2"):
        (folder / f"{name}{suffix}.png").write_bytes(PICTURE)
    return folder


def _trained_from(found: Found, folder: Path) -> None:
    """Boxes lie in their image, training finds in the written set what was read, and problems are sentences."""
    for image in found.images:
        for one in image.objects:
            left, top, right, bottom = one.box
            assert 0 <= left < right <= SIZE[0] and 0 <= top < bottom <= SIZE[1] and one.category
    if any(image.objects for image in found.images):
        root = folder / "set"
        save(root, [BoxSet("train", "A", folder, found)], sorted(found.seen), {})
        listed = listed_set(read_index(root), root, "trainA")
        entries = entries_of(read_set(listed, skip_bad=False), listed)
        assert [len(entry.masks) for entry in entries] == [len(image.objects) for image in found.images]
        for mask in (mask for entry in entries for mask in entry.masks):
            assert mask.read(SIZE).shape == SIZE[::-1]
    for problem in found.problems:
        assert one_line(problem.sentence) and problem.pictures >= 0 <= problem.instances
    refuse(found.problems)


def _paired(read: Read, ending: str, suffix: str = "", suffixes: tuple[str, str] = ("", "")) -> Callable[[Path], None]:
    """A reader of one image's annotations."""

    def run(path: Path) -> None:
        folder, found = _with_pictures(path.parent, suffix), Found(Classes())
        read_pairs(folder, folder, ending, read, found, suffixes)
        _trained_from(found, folder)

    return run


def _init(path: Path) -> None:
    found = Found(Classes())
    read_init(path, _with_pictures(path.parent), found)
    _trained_from(found, path.parent)


def _bdd100k(path: Path) -> None:
    found = Found(Classes())
    read_bdd100k(path, _with_pictures(path.parent), {"A": (WANTED, found)})
    _trained_from(found, path.parent)


def _coco(path: Path) -> None:
    found = Found(Classes())
    for name in ("1.jpg", "2.jpg"):
        (path.parent / name).write_bytes(PICTURE)
    read_coco(path, path.parent, found)
    _trained_from(found, path.parent)


def targets() -> list[Target]:
    def of_lines(name: str, file: str, corpus: Sequence[str], read: Callable[[Path], None], share: int) -> Target:
        whole = ("\n".join(corpus).encode(),)
        mixed = st.lists(st.sampled_from(corpus) | words, max_size=8).map(" ".join)
        return file_target(name, file, whole, read, lines(corpus, words) | damaged(whole) | lines(corpus, mixed), share)

    def of_json(name: str, file: str, content: Any, read: Callable[[Path], None]) -> Target:
        return file_target(name, file, (encoded(content),), read, json_bytes([content]), 200)

    cityscapes = _paired(read_cityscapes, ".json", IMAGE, (IMAGE, POLYGONS))
    return [
        of_lines("YOLO boxes", "1.txt", YOLO, _paired(yolo(), ".txt"), 200),
        of_lines("normalised boxes", "1.txt", NORMALISED, _paired(normalised(("car", "person")), ".txt"), 150),
        of_lines("KITTI labels", "1.txt", KITTI, _paired(read_kitti, ".txt"), 150),
        of_lines("INIT records", "input.txt", INIT, _init, 250),
        of_lines("Pascal VOC xml", "1.xml", VOC, _paired(read_voc, ".xml"), 250),
        of_json("Cityscapes json", f"1{POLYGONS}.json", CITYSCAPES, cityscapes),
        of_json("BDD100K json", "input.json", BDD100K, _bdd100k),
        of_json("COCO boxes", "input.json", COCO, _coco),
    ]
