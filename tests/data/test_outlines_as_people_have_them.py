"""LabelMe, VIA and YOLO files and label maps as their programs and users really write them."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scripts import prepare_masks
from tests.preparing import check_set, draw_noise, load, masks_of, square
from tests.programs import sentence

SIZE = (48, 40)
SQUARE = np.reshape(square(5, 5, 12), (4, 2)).tolist()
INSIDE = np.zeros(SIZE[::-1], bool)
INSIDE[5:17, 5:17] = True
SHARES = " ".join(str(value / side) for corner in SQUARE for value, side in zip(corner, SIZE, strict=True))
"""The square's corners as YOLO has them."""


@pytest.fixture
def pictures(tmp_path) -> Path:
    for seed, name in enumerate("ab"):
        draw_noise(tmp_path / "pictures" / f"{name}.png", SIZE, seed)
    return tmp_path / "pictures"


def command(pictures: Path, *flags: object) -> list[str]:
    where = ("--images1", pictures, "--save_root", pictures.parent / "set", "--image_size", "0", "--val_share", "0")
    return [str(word) for word in (*where, "--cat1", "cow", "--cat2", "sheep", "--workers", "1", *flags)]


def masks(pictures: Path) -> dict[str, list[np.ndarray]]:
    root = pictures.parent / "set"
    check_set(root)
    return {key: masks_of(root, key) for key in load(root)["pictures"]}


def shape(label: Any, points: Any = SQUARE, kind: str = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **more}


def labelme(pictures: Path, a: list[Any], b: Any = None, **more: Any) -> list[str]:
    """``a``'s shapes on one picture and one sheep on the other."""
    for name, shapes in (("a", a), ("b", b or [shape("sheep")])):
        content = {"shapes": shapes, "imageWidth": SIZE[0], "imageHeight": SIZE[1], **more}
        (pictures / f"{name}.json").write_text(json.dumps(content))
    return command(pictures, "--format", "labelme")


def png_of(inside: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(inside.astype(np.uint8) * 255).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_a_mask_of_labelme_fills_the_box_between_its_two_corners(pictures):
    drawn = np.random.default_rng(0).random((12, 14)) < 0.6
    expected = np.zeros(SIZE[::-1], bool)
    expected[8:20, 10:24] = drawn
    mask = shape("cow", [[10.0, 8.0], [23.0, 19.0]], "mask", mask=png_of(drawn))
    over_the_edge = shape("cow", [[40, 35], [53, 46]], "mask", mask=png_of(drawn))
    assert prepare_masks.main(labelme(pictures, [mask, over_the_edge])) == 0
    found, cut = masks(pictures)["trainA/a.png"]
    assert np.array_equal(found, expected)
    assert np.array_equal(cut[35:, 40:], drawn[:5, :8]) and cut.sum() == drawn[:5, :8].sum()


def test_rectangles_of_four_corners_and_turned_ones_are_outlines(pictures):
    diamond = [[20, 10], [30, 20], [20, 30], [10, 20]]
    shapes = [
        shape("cow", SQUARE, "rectangle"),
        shape("cow", diamond, "rotation"),
        shape("cow", [[17, 5], [5, 17]], "rectangle"),
    ]
    assert prepare_masks.main(labelme(pictures, shapes)) == 0
    four, turned, two = masks(pictures)["trainA/a.png"]
    assert np.array_equal(four, INSIDE) and np.array_equal(two, INSIDE)
    assert turned.sum() == pytest.approx(200, abs=10) and not turned[11, 11] and turned[20, 20]


def test_labels_are_compared_without_blanks(pictures):
    assert prepare_masks.main(labelme(pictures, [shape("cow ")], [shape("\u00a0sheep\n")])) == 0
    assert [len(found) for found in masks(pictures).values()] == [1, 1]


def test_numbers_and_sizes_may_be_text_or_absent(pictures):
    as_text = [[str(value) for value in corner] for corner in SQUARE]
    assert prepare_masks.main(labelme(pictures, [shape("cow", as_text)], imageWidth="48", imageHeight=None)) == 0
    assert np.array_equal(masks(pictures)["trainA/a.png"][0], INSIDE)


def test_shapes_nobody_asked_for_need_no_area(pictures, capsys):
    others = [
        shape("eye", [[8, 8]], "point"),
        shape("horizon", [[0, 30], [47, 30]], "line"),
        shape("?", "x", "mask", mask=3),
    ]
    assert prepare_masks.main(labelme(pictures, [shape("cow"), *others])) == 0
    assert "bad" not in capsys.readouterr().out
    assert [len(found) for found in masks(pictures).values()] == [1, 1]
    told = sentence(capsys, prepare_masks.main, *labelme(pictures, [shape("cow"), shape("cow", [[8, 8]], "point")]))
    assert "a.json, shape 1: a point of 1 points has no area" in told


def test_with_skip_bad_one_bad_shape_costs_its_instance_alone(pictures, capsys):
    parts = [shape("cow", group_id=1), shape("cow", [[1, 1], [2, 2]], group_id=1)]  # half of it would be a wrong mask
    flags = labelme(pictures, [shape("cow"), shape("cow", [[8, 8]], "point"), *parts])
    assert prepare_masks.main([*flags, "--skip_bad"]) == 0
    out, err = capsys.readouterr()
    assert "left out as bad: 2 instances" in out and "shape 1" in err and "shape 3" in err
    assert [len(found) for found in masks(pictures).values()] == [1, 1]
    flags = labelme(pictures, [shape("cow", "x")], [shape("sheep"), shape("cow")])
    assert prepare_masks.main([*flags, "--skip_bad", "--overwrite"]) == 0
    assert "left out as bad: 1 picture and 1 instance" in capsys.readouterr().out


def test_a_name_that_is_missing_comes_after_what_is_bad(pictures, capsys):
    flags = labelme(pictures, [shape("cow", "x")])
    (pictures / "a.json").write_text("{")
    said = sentence(capsys, prepare_masks.main, *flags)
    assert "a.json is not a json file" in said and "(without what is bad, --cat1:" in said


def yolo(
    pictures: Path, a: str | bytes, b: str | bytes = f"1 {SHARES}\n", names: str | bytes = "cow\nsheep\n"
) -> list[str]:
    for name, text in (("a.txt", a), ("b.txt", b), ("../names.txt", names)):
        (pictures / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return command(pictures, "--format", "yolo", "--names", pictures.parent / "names.txt")


YOLO = {
    "a class as 0.0": (f"0.0 {SHARES}", f"1.0 {SHARES}", "cow\nsheep"),
    "byte order marks": (f"\ufeff0 {SHARES}", f"\ufeff1 {SHARES}", "\ufeffcow\nsheep"),
    "CRLF, tabs and blank lines": (f"\r\n0\t{SHARES}\r\n\r\n", f"1 {SHARES}\r\n", "cow\r\nsheep\r\n\r\n"),
    "UTF-16": (f"0 {SHARES}".encode("utf-16"), f"1 {SHARES}".encode("utf-16"), "cow\nsheep".encode("utf-16")),
    "a class without a name": (f"0 {SHARES}", f"2 {SHARES}", "cow\n\nsheep\n"),
    "names with blanks": (f"0 {SHARES}", f"1 {SHARES}", "cow \n sheep"),
}  # fmt: skip


@pytest.mark.parametrize("case", YOLO)
def test_yolo_as_editors_save_it(pictures, case):
    assert prepare_masks.main(yolo(pictures, *YOLO[case])) == 0
    assert {key: [np.array_equal(mask, INSIDE) for mask in found] for key, found in masks(pictures).items()} == {
        "trainA/a.png": [True], "trainB/b.png": [True]
    }  # fmt: skip


def test_names_in_yaml_are_taken_as_they_are_written(pictures):
    flags = yolo(pictures, f"0 {SHARES}", f"2 {SHARES}")
    for text in ("\ufeffnames: {0: no, 2: 1.0}\n", "names:\n  '0': no\n  2: '1.0'\n", "names: [no, yes, 1.0]\n"):
        (pictures.parent / "data.yaml").write_text(text)
        more = ("--names", str(pictures.parent / "data.yaml"), "--cat1", "no", "--cat2", "1.0", "--overwrite")
        assert prepare_masks.main([*flags, *more]) == 0
        assert len(masks(pictures)) == 2


def test_a_class_beyond_the_names_is_told_with_file_and_line(pictures, capsys):
    flags = yolo(pictures, f"0 {SHARES}\n2 {SHARES}\n")
    assert "a.txt, line 2: is of class 2, but the names go to 1" in sentence(capsys, prepare_masks.main, *flags)
    assert prepare_masks.main([*flags, "--skip_bad"]) == 0
    assert "left out as bad: 1 instance" in capsys.readouterr().out
    for word in ("-1", "cow", "0.5"):
        assert "a.txt, line 1: the class" in sentence(capsys, prepare_masks.main, *yolo(pictures, f"{word} {SHARES}"))


def test_a_box_of_a_class_nobody_asked_for_does_no_harm(pictures, capsys):
    assert prepare_masks.main(yolo(pictures, f"0 {SHARES}\n2 0.5 0.5 0.1 0.1", names="cow\nsheep\ndog")) == 0
    assert "is a box" in sentence(capsys, prepare_masks.main, *yolo(pictures, f"0 {SHARES}\n0 0.5 0.5 0.1 0.1"))


def via(pictures: Path, *regions: tuple[str, dict[str, Any]]) -> list[str]:
    x, y = zip(*SQUARE, strict=True)
    drawn = {"name": "polygon", "all_points_x": x, "all_points_y": y}
    content = {
        str(number): {"filename": name, "regions": [{"shape_attributes": drawn, "region_attributes": attributes}]}
        for number, (name, attributes) in enumerate(regions)
    }
    (pictures.parent / "via.json").write_text(json.dumps(content))
    return command(pictures, "--format", "via", "--masks1", pictures.parent / "via.json")


def test_a_label_in_another_attribute_is_answered_with_the_attributes(pictures, capsys):
    flags = via(pictures, ("a.png", {"id": "", "kind": "cow"}), ("b.png", {"id": "", "kind": "sheep "}))
    told = sentence(capsys, prepare_masks.main, *flags)
    assert "--via_attribute" in told and "'id'" in told and "id, kind" in told
    told = sentence(capsys, prepare_masks.main, *flags, "--via_attribute", "knd")
    assert "no region attribute 'knd'; there are: id, kind" in told
    assert prepare_masks.main([*flags, "--via_attribute", "kind"]) == 0
    assert len(masks(pictures)) == 2


def test_two_records_of_a_picture_are_two_instances(pictures):
    kinds = ({"kind": "cow"}, {"kind": "cow"}, {"kind": "sheep"})
    assert prepare_masks.main(via(pictures, *zip(("a.png", "a.png", "b.png"), kinds, strict=True))) == 0
    assert [len(found) for found in masks(pictures).values()] == [2, 1]


def test_pictures_of_via_are_found_by_their_plain_names_and_never_outside(pictures, capsys):
    cow, sheep = {"kind": "cow"}, {"kind": "sheep"}
    assert prepare_masks.main(via(pictures, ("C:\\set\\a.png", cow), ("https://x.org/b.png", sheep))) == 0
    assert len(masks(pictures)) == 2
    draw_noise(pictures.parent / "c.png", SIZE)
    told = sentence(capsys, prepare_masks.main, *via(pictures, ("..\\c.png", cow), ("b.png", sheep)), "--overwrite")
    assert "'..\\\\c.png' leads out of" in told


def maps(root: Path, *flags: object, names: tuple[str, str] = ("x.png", "x.png")) -> list[str]:
    """A picture and a map for each domain, called so; what is drawn in the map is the caller's."""
    for side in "12":
        draw_noise(root / f"images{side}" / names[0], SIZE)
        (root / f"masks{side}").mkdir(exist_ok=True)
    where = [word for kind in ("images1", "masks1", "images2", "masks2") for word in (f"--{kind}", root / kind)]
    more = ("--save_root", root / "set", "--image_size", "0", "--val_share", "0", "--workers", "1", *flags)
    return [str(word) for word in ("--format", "label_maps", *where, *more)]


def test_what_is_transparent_in_a_map_is_nobody(tmp_path):
    values = np.zeros((*SIZE[::-1], 4), np.uint8)
    values[..., :3] = 200  # a colour under the transparent background
    values[INSIDE] = (10, 0, 0, 255)
    flags = maps(tmp_path)
    Image.fromarray(values).save(tmp_path / "masks1" / "x.png")
    palette = Image.fromarray(np.where(INSIDE, 3, 7).astype(np.uint8), "P")
    palette.putpalette([0, 0, 0] * 8)
    palette.save(tmp_path / "masks2" / "x.png", transparency=7)
    assert prepare_masks.main(flags) == 0
    for found in masks(tmp_path / "images1").values():
        assert len(found) == 1 and np.array_equal(found[0], INSIDE)


@pytest.mark.parametrize("ignored", [("0-999",), ("7", "20-30"), ("7,20-30",)])
def test_ranges_of_values_are_nobody(tmp_path, ignored):
    values = np.where(INSIDE, 26001, 7).astype(np.uint16)
    values[30:] = 23
    flags = maps(tmp_path, "--ignore", *ignored)
    for side in "12":
        Image.fromarray(values).save(tmp_path / f"masks{side}" / "x.png")
    assert prepare_masks.main(flags) == 0
    for found in masks(tmp_path / "images1").values():
        assert len(found) == 1 and np.array_equal(found[0], INSIDE)
    with pytest.raises(SystemExit):
        prepare_masks.main([*flags, "--ignore", "9-1"])


def test_maps_of_other_names_are_told_and_reached(tmp_path, capsys):
    picture, label_map = "aachen_000019_leftImg8bit.png", "aachen_000019_gtFine_instanceIds.tif"
    flags = maps(tmp_path, names=(picture, label_map))
    for side in "12":
        Image.fromarray(np.where(INSIDE, 26001, 7).astype(np.uint16)).save(tmp_path / f"masks{side}" / label_map)
    told = sentence(capsys, prepare_masks.main, *flags)
    for word in ("masks1", f"looked for {picture}", f"{label_map} is there, and is of no picture", "--cat"):
        assert (word in told) == (word != "--cat")
    suggested = told.partition("end in: ")[2].split()
    assert prepare_masks.main([*flags, *suggested, "--ignore", "0-999"]) == 0
    assert len(masks(tmp_path / "images1")) == 2


def test_pictures_may_be_tif(tmp_path):
    flags = maps(tmp_path, names=("x.tif", ""))
    for side in "12":
        Image.fromarray(INSIDE.astype(np.uint8)).save(tmp_path / f"masks{side}" / "x.png")
    assert prepare_masks.main(flags) == 0
    assert len(masks(tmp_path / "images1")) == 2
