"""Annotations: COCO's json, LabelMe, VIA, YOLO, CCP's tables, and dataset.json."""

from __future__ import annotations

import io
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from data.coco_mode import CocoFile
from data.prepared import Prepared
from data.preparing.ccp import label_names
from data.preparing.coco import CocoPart, plan_coco
from data.preparing.shape_files import Drawing, read_labelme, read_via, read_yolo
from data.preparing.shapes import fill
from data.preparing.tasks import Plan
from instagan.errors import InputError
from instagan.io.coco_pictures import need_instances, read_pictures
from instagan.io.segmentations import check, decode
from tests.soak.fuzzing.hostile import altered, damaged, encoded, json_bytes, lines, words
from tests.soak.fuzzing.target import Target, file_target

SIZE = (30, 20)
RUNS = {"size": [20, 30], "counts": [100, 50, 450]}
PACKED = {"size": [20, 30], "counts": "T3b1bG"}
SQUARE = [2.0, 2.0, 12.0, 2.0, 12.0, 12.0, 2.0, 12.0]

COCO = {
    "images": [{"id": n, "file_name": f"{n}.jpg", "width": 30, "height": 20} for n in (1, 2)],
    "annotations": [
        {"id": 10, "image_id": 1, "category_id": 7, "iscrowd": 0, "segmentation": [SQUARE]},
        {"id": 11, "image_id": 2, "category_id": 9, "iscrowd": 0, "segmentation": RUNS},
        {"id": 12, "image_id": 2, "category_id": 7, "iscrowd": 0, "segmentation": PACKED},
        {"id": 13, "image_id": 1, "category_id": 9, "iscrowd": 1, "segmentation": RUNS},
    ],
    "categories": [{"id": 7, "name": "cow"}, {"id": 9, "name": "sheep"}],
}
LABELME = {
    "shapes": [
        {"label": "cow", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon", "group_id": None},
        {"label": "cow", "points": [[1, 1], [9, 9]], "shape_type": "rectangle", "group_id": 3},
        {"label": "sheep", "points": [[5, 5], [7, 7]], "shape_type": "circle", "group_id": 3},
    ],
    "imageWidth": 30,
    "imageHeight": 20,
}
_REGIONS: list[Any] = [
    {"name": "polygon", "all_points_x": [1, 9, 9], "all_points_y": [1, 1, 9]},
    {"name": "rect", "x": 1, "y": 2, "width": 8, "height": 5},
    {"name": "circle", "cx": 8, "cy": 8, "r": 4},
    {"name": "ellipse", "cx": 8, "cy": 8, "rx": 4, "ry": 2, "theta": 0.3},
]
VIA = {
    "1.jpg99": {
        "filename": "1.jpg",
        "regions": [{"shape_attributes": shape, "region_attributes": {"kind": "cow"}} for shape in _REGIONS],
    },
    "2.jpg9": {
        "filename": "2.jpg",
        "regions": {"0": {"shape_attributes": _REGIONS[0], "region_attributes": {"kind": {"cow": True}}}},
    },
}
YOLO = ("0 0.1 0.1 0.9 0.1 0.9 0.9", "1 0 0 1 0 1 1 0 1", "", "0 0.5 0.5 0.2 0.2", "x 1 2 3 4 5 6", "0 1e999 0 1 0 1 1")
DATASET = {
    "format": 1,
    "source": {"kind": "coco"},
    "settings": {},
    "categories": {"A": [{"name": "cow", "source_id": 7}], "B": [{"name": "sheep", "source_id": 9}]},
    "pictures": {
        "trainA/1.png": {
            "source": "1.jpg",
            "source_id": 1,
            "instances": [{"id": 10, "category": 0, "box": [2, 2, 12, 12], "area": 100}],
        }
    },
    "left_out": {},
}


def _planned(path: Path) -> None:
    part = CocoPart("train", path, path.parent)
    for name in ("1.jpg", "2.jpg"):
        path.with_name(name).touch()
    _find_all(plan_coco([part], {"A": ["cow"], "B": ["sheep"]}, skip_bad=True))


def _find_all(plan: Plan) -> None:
    """Every mask of every task, as a writer would ask for them. Problems are sentences, too."""
    for problem in plan.problems:
        assert problem.sentence and problem.pictures >= 0 <= problem.instances
    for task in plan.tasks:
        try:
            for found in task.annotation.find(SIZE):
                assert found.inside.shape == SIZE[::-1] and found.inside.dtype == bool
        except InputError as error:
            if "input.json" not in str(error):
                raise


def _direct(path: Path) -> None:
    """--dataset_mode coco with --skip_bad; no picture is there, so that it always ends in a sentence."""
    options = Namespace(phase="train", annotations=str(path), images=str(path.parent), cat1="cow", cat2="sheep")
    options.skip_bad, options.crowd_as_instances = True, False
    for name in ("1.jpg", "2.jpg"):
        path.with_name(name).touch()
    for domain in CocoFile().list_domains(options, "AB").values():
        assert domain.summary()
        for entry in domain.entries:
            for mask in entry.masks:
                hash(mask.label)
                mask.fingerprint()


def _annotated(path: Path) -> None:
    for name in ("1.jpg", "2.jpg"):
        path.with_name(name).touch()
    wanted = {"--category": ["cow"]}
    found = read_pictures(path, path.parent, wanted, skip_bad=True)
    need_instances([found], wanted)
    for picture in found.pictures:
        for instance in picture.instances:
            assert picture.size and decode(instance.segmentation, picture.size).shape == picture.size[::-1]


def _segmentation(segmentation: object, folder: Path) -> None:
    try:
        told = check(segmentation, SIZE)
        mask = decode(segmentation, SIZE)
    except ValueError as error:
        raise InputError(str(error)) from None
    assert mask.shape == SIZE[::-1] and mask.dtype == bool
    assert told is None or sum(told[1::2]) == mask.sum()


def _told(path: Path) -> None:
    prepared = Prepared.read(path.parent)
    for number in range(3):
        label, source = prepared.label_and_source_of("trainA/1.png", number)
        assert type(label) is int and 0 <= label < len(prepared.categories["A"])
        hash(source)
    hash(prepared.source_of("trainA/1.png"))
    for categories in prepared.categories.values():
        hash(categories)


def _filled(drawing: Drawing) -> None:
    for shape in drawing.shapes:
        assert fill(shape, SIZE).shape == SIZE[::-1]
    assert all(fault.sentence for fault in drawing.faults)


def _labelme(path: Path) -> None:
    drawing = read_labelme(path)
    assert drawing.size is None or all(isinstance(side, int) for side in drawing.size)
    _filled(drawing)


def _via(path: Path) -> None:
    for drawing in read_via(path, None).pictures.values():
        _filled(drawing)


def _tables() -> tuple[bytes, ...]:
    from scipy.io import savemat

    files = []
    for compressed in (False, True):
        file = io.BytesIO()
        names = np.array([["cow"], ["sheep"]], dtype=object)
        savemat(file, {"label_list": names}, do_compression=compressed)
        files.append(file.getvalue())
    return tuple(files)


def _label_list(path: Path) -> None:
    assert all(isinstance(name, str) for name in label_names(path.parent))


def targets() -> list[Target]:
    tables = _tables()

    def of_json(name: str, file: str, content: Any, read: Any, share: int) -> Target:
        return file_target(name, file, (encoded(content),), read, json_bytes([content]), share)

    numbers = lines(YOLO, words)
    segmentations = altered([RUNS, PACKED, [SQUARE], [SQUARE, SQUARE]])
    packed = st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=12)
    return [
        of_json("COCO json to prepare", "input.json", COCO, _planned, 1000),
        of_json("COCO json to train from", "input.json", COCO, _direct, 500),
        of_json("COCO json to translate", "input.json", COCO, _annotated, 500),
        Target("segmentation", segmentations | packed.map(lambda text: {**PACKED, "counts": text}), _segmentation, 900),
        of_json("dataset.json", "dataset.json", DATASET, _told, 700),
        of_json("LabelMe json", "input.json", LABELME, _labelme, 500),
        of_json("VIA json", "input.json", VIA, _via, 500),
        file_target("YOLO txt", "input.txt", ("\n".join(YOLO[:2]).encode(),), lambda path: _filled(read_yolo(path)),
                    numbers | damaged(["\n".join(YOLO).encode()]), 400),
        file_target("CCP table", "label_list.mat", tables, _label_list, damaged(tables), 150),
    ]  # fmt: skip
