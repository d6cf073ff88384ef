"""check_data.py --dataset_mode boxes: what is wrong is named, boxes are counted and drawn."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pycocotools", reason="COCO needs pycocotools (requirements.txt)")

from data.checking.boxes import check_boxes
from data.checking.preview import choose, draw
from instagan.io.overlay import colour
from scripts import check_data, prepare_boxes
from tests.data.test_prepare_boxes import yolo_source
from tests.planting import BOX_FAULTS, change_annotations
from tests.programs import sentence


@pytest.fixture
def prepared(tmp_path) -> Path:
    flags = ["--classes", "vehicle=car,van", "person", "--save_root", str(tmp_path / "set")]
    assert prepare_boxes.main([*yolo_source(tmp_path), *flags]) == 0
    return tmp_path / "set"


def found_in(root: Path) -> set[tuple[str, str]]:
    return {(finding.code, finding.file) for finding in check_boxes(root).findings}


def test_a_good_set_has_no_findings_and_is_counted(prepared, tmp_path, capsys):
    capsys.readouterr()
    file = tmp_path / "report.json"
    flags = ("--dataroot", str(prepared), "--dataset_mode", "boxes", "--workers", "1", "--json", str(file))
    assert check_data.main(flags) == 0
    a, b, last = capsys.readouterr().out.splitlines()
    sides = "shorter side 16 to 19.2 pixels, median 19.2"
    assert a == f"trainA: 3 pictures, 1 without a box; vehicle 4 boxes, {sides}; person 0 boxes"
    assert b.startswith("trainB: 2 pictures; vehicle 4 boxes") and "5 pictures, 8 boxes; 0 errors, 0 warnings" in last
    told = json.loads(file.read_text())
    assert told["boxes"] == 8 and told["domains"]["trainA"]["classes"]["person"] == {"boxes": 0}
    assert told["domains"]["trainB"]["classes"]["vehicle"] == pytest.approx(
        {"boxes": 4, "least": 16, "median": 19.2, "most": 19.2}
    )


@pytest.mark.parametrize("plant", BOX_FAULTS.values(), ids=BOX_FAULTS)
def test_a_fault_is_named(prepared, plant):
    assert found_in(prepared) == set()
    expected = plant(prepared)
    assert found_in(prepared) == expected


def test_errors_are_the_exit_code_and_phases_are_asked_for(prepared, capsys):
    flags = ("--dataroot", str(prepared), "--dataset_mode", "boxes", "--workers", "1")
    assert check_data.main([*flags, "--phases", "train", "val"]) == 1
    assert "valA.json" in capsys.readouterr().out
    assert "boxes.json: no such file" in sentence(
        capsys, check_data.main, "--dataroot", str(prepared.parent), "--dataset_mode", "boxes"
    )


def test_the_preview_draws_outlines_of_boxes(prepared, tmp_path, capsys):
    for number in range(2):
        Image.new("RGB", (64, 48), "black").save(tmp_path / "images1" / f"{number}.png")
    report = check_boxes(prepared)
    first = next(task for task in report.listings[0].tasks if task.name == "trainA/0.png")
    shown = draw(first)
    scale = shown.instances.width // 64
    pixels = np.asarray(shown.instances)
    for slot, (left, _, right, bottom) in enumerate(((24, 12, 40, 36), (38.4, 2.4, 57.6, 21.6))):
        edge = pixels[round(bottom * scale) - 1, round(left * scale) + 4 : round(right * scale) - 4]
        assert (edge == colour(slot)).all(-1).mean() > 0.5
        assert (pixels[round(bottom * scale) + 2, round(left * scale)] == 0).all() or slot
    assert len(list(choose(report.listings[0], 9, 0))) == 3
    folder = tmp_path / "preview"
    flags = ("--dataroot", str(prepared), "--dataset_mode", "boxes", "--workers", "1", "--preview_dir", str(folder))
    assert check_data.main(flags) == 0
    assert (folder / "contact_sheet.png").exists() and "Boxes" in (folder / "index.html").read_text()


def test_masks_in_the_json_are_drawn_and_measured(prepared):
    outline = [[10, 10, 30, 10, 30, 40, 10, 40]]
    change_annotations(prepared, lambda content: content["annotations"][0].update(segmentation=outline))
    report = check_boxes(prepared)
    assert report.findings == () and report.boxes["trainA"]["vehicle"][-1] == 20
