"""Laws of own pictures -> data set: label maps, LabelMe, VIA and YOLO outlines give the masks that were drawn."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.preparing.shapes import Shape, ellipse, fill
from scripts import prepare_masks
from tests.preparing import check_set, contents, draw_noise, load, masks_of, square
from tests.programs import sentence

SIZE = (40, 30)
BOXES = {"a": (("cow", 4, 5, 10), ("cow", 20, 8, 8)), "b": (("cow", 10, 10, 9),), "c": (("sheep", 6, 6, 12),),
         "d": (("sheep", 3, 3, 7), ("dog", 20, 10, 9))}  # fmt: skip
"""Picture -> squares: label, left, top, side."""

COMMON = ("--image_size", "0", "--workers", "1", "--val_share", "0")


def write_pictures(root: Path) -> Path:
    for number, name in enumerate(BOXES):
        draw_noise(root / f"{name}.jpg", SIZE, seed=number)
    return root


def pairs(left: float, top: float, side: float) -> list[list[float]]:
    return np.reshape(square(left, top, side), (4, 2)).tolist()


def write_labelme(root: Path) -> list[str]:
    for name, boxes in BOXES.items():
        shapes = [{"label": label, "points": pairs(*box), "shape_type": "polygon"} for label, *box in boxes]
        content = {"shapes": shapes, "imagePath": f"{name}.jpg", "imageWidth": SIZE[0], "imageHeight": SIZE[1]}
        (root / f"{name}.json").write_text(json.dumps(content))
    return ["--format", "labelme"]


def write_yolo(root: Path) -> list[str]:
    classes = ["cow", "sheep", "dog"]
    (root / "data.yaml").write_text("names:\n  0: cow\n  1: sheep\n  2: dog\n")
    for name, boxes in BOXES.items():
        lines = []
        for label, *box in boxes:
            numbers = [number / SIZE[axis % 2] for axis, number in enumerate(square(*box))]
            lines.append(" ".join(map(str, [classes.index(label), *numbers])))
        (root / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return ["--format", "yolo", "--names", str(root / "data.yaml")]


def write_via(root: Path) -> list[str]:
    content = {}
    for name, boxes in BOXES.items():
        regions = [
            {
                "shape_attributes": {"name": "rect", "x": left, "y": top, "width": side, "height": side},
                "region_attributes": {"kind": label},
            }
            for label, left, top, side in boxes
        ]
        content[f"{name}.jpg123"] = {"filename": f"{name}.jpg", "size": 123, "regions": regions}
    (root / "via.json").write_text(json.dumps({"_via_img_metadata": content}))
    return ["--format", "via", "--masks1", str(root / "via.json")]


WRITERS = {"labelme": write_labelme, "yolo": write_yolo, "via": write_via}


def expected(box: tuple) -> np.ndarray:
    _, left, top, side = box
    mask = np.zeros(SIZE[::-1], bool)
    mask[top : top + side, left : left + side] = True
    return mask


@pytest.mark.parametrize("kind", WRITERS)
def test_outlines_of_every_tool_give_the_same_masks(tmp_path, kind):
    root = write_pictures(tmp_path / "pictures")
    where = [*WRITERS[kind](root), "--images1", str(root), "--save_root", str(tmp_path / "set")]
    assert prepare_masks.main([*where, "--cat1", "cow", "--cat2", "sheep,dog", *COMMON]) == 0
    check_set(tmp_path / "set")
    told = load(tmp_path / "set")
    assert set(told["pictures"]) == {"trainA/a.png", "trainA/b.png", "trainB/c.png", "trainB/d.png"}
    assert [i["category"] for i in told["pictures"]["trainB/d.png"]["instances"]] == [0, 1]
    for key in told["pictures"]:
        for mask, box in zip(masks_of(tmp_path / "set", key), BOXES[Path(key).stem], strict=True):
            assert np.array_equal(mask, expected(box))


def test_label_maps_give_an_instance_for_each_value(tmp_path):
    for side, names in (("1", "ab"), ("2", "cd")):
        write_pictures(tmp_path / f"images{side}")
        (tmp_path / f"masks{side}").mkdir()
        for name in names:
            values = np.zeros(SIZE[::-1], np.uint16 if side == "1" else np.uint8)
            for number, box in enumerate(BOXES[name]):
                values[expected(box)] = 300 + number if side == "1" else 7 + number
            values[0, :] = 255
            image = Image.fromarray(values)
            if name == "d":  # one colour for each instance
                image = Image.merge("RGB", (image, Image.new("L", SIZE), Image.new("L", SIZE)))
            image.save(tmp_path / f"masks{side}" / f"{name}.png")
    where = [
        word for flag in ("images1", "masks1", "images2", "masks2") for word in (f"--{flag}", str(tmp_path / flag))
    ]
    where += [
        "--format",
        "label_maps",
        "--save_root",
        str(tmp_path / "set"),
        "--ignore",
        "255",
        str(255 << 16),
        *COMMON,
    ]
    assert prepare_masks.main(where) == 0
    check_set(tmp_path / "set")
    told = load(tmp_path / "set")["pictures"]
    assert set(told) == {"trainA/a.png", "trainA/b.png", "trainB/c.png", "trainB/d.png"}
    assert [i["id"] for i in told["trainA/a.png"]["instances"]] == [300, 301]
    assert [i["id"] for i in told["trainB/d.png"]["instances"]] == [7 << 16, 8 << 16]
    for key in told:
        for mask, box in zip(masks_of(tmp_path / "set", key), BOXES[Path(key).stem], strict=True):
            assert np.array_equal(mask[1:], expected(box)[1:])


def test_parts_of_a_group_are_one_instance(tmp_path):
    root = write_pictures(tmp_path / "pictures")
    write_labelme(root)
    shapes = [
        {"label": "cow", "points": pairs(2, 2, 6), "group_id": 1, "shape_type": "polygon"},
        {"label": "cow", "points": [[20, 15], [30, 25]], "group_id": 1, "shape_type": "rectangle"},
        {"label": "cow", "points": [[30, 8], [34, 8]], "group_id": None, "shape_type": "circle"},
    ]
    (root / "a.json").write_text(json.dumps({"shapes": shapes}))
    where = ["--format", "labelme", "--images1", str(root), "--save_root", str(tmp_path / "set")]
    assert prepare_masks.main([*where, "--cat1", "cow", "--cat2", "sheep", *COMMON]) == 0
    assert [i["id"] for i in load(tmp_path / "set")["pictures"]["trainA/a.png"]["instances"]] == ["group 1", 2]
    both, circle = masks_of(tmp_path / "set", "trainA/a.png")
    assert both.sum() == 36 + 100
    assert circle.sum() == pytest.approx(np.pi * 16, rel=0.3)


def test_filled_outlines_have_their_area():
    for corners in (ellipse(50, 40, 30, 20, turn=0.4), ((10.0, 10.0), (80.0, 15.0), (30.0, 70.0))):
        x, y = np.array(corners).T
        area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
        assert fill(Shape("", 0, corners), (100, 80)).sum() == pytest.approx(area, rel=0.06)
    outside = fill(Shape("", 0, ((-20.0, -20.0), (20.0, -20.0), (20.0, 20.0), (-20.0, 20.0))), (100, 80))
    assert outside.sum() == 400


def test_pictures_without_annotation_and_the_other_way_round_are_told(tmp_path, capsys):
    root = write_pictures(tmp_path / "pictures")
    write_labelme(root)
    draw_noise(root / "extra.png", SIZE)
    (root / "stray.json").write_text((root / "a.json").read_text())
    where = ["--format", "labelme", "--images1", str(root), "--save_root", str(tmp_path / "set")]
    assert prepare_masks.main([*where, "--cat1", "cow", "--cat2", "sheep", *COMMON]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert "extra.png" in line and "stray.json" in line


def test_processes_and_interruptions_do_not_matter(tmp_path, monkeypatch):
    root = write_pictures(tmp_path / "pictures")
    where = [*write_labelme(root), "--images1", str(root), "--cat1", "cow", "--cat2", "sheep", *COMMON]
    assert prepare_masks.main([*where, "--save_root", str(tmp_path / "one")]) == 0
    assert prepare_masks.main([*where, "--save_root", str(tmp_path / "two"), "--workers", "2"]) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


VIA_WITH = (
    '{"a": {"filename": "a.jpg", "regions": {"0": {"shape_attributes": {"name": "NAME"}, '
    '"region_attributes": {"kind": "cow"}}}}}'
)
BAD = {
    "labelme": (
        ('{"shapes": 3}', "no list 'shapes'"),
        ("{", "not a json file"),
        ('{"shapes": [{"label": "cow", "points": [[1, 1], [5, 5]]}]}', "2 points"),
        ('{"shapes": [{"label": "cow", "points": [[1, 1], [5, 5], ["x", 1]]}]}', "shape 0"),
        ('{"shapes": [{"label": "cow", "points": [[1, 1], [5, 5], [NaN, 1]]}]}', "not a number"),
        ('{"shapes": [{"points": [[1, 1], [5, 5], [9, 1]]}]}', "has no 'label'"),
        ('{"shapes": [7]}', "shape 0"),
        ('{"shapes": [{"label": "cow", "points": [[1, 1]], "shape_type": "point"}]}', "no area"),
    ),
    "yolo": (
        ("0 0.1 0.1 0.5 0.5", "is a box"),
        ("0 0.1 0.1 0.5", "odd"),
        ("0 0.1 0.1 0.5 0.5 0.9 x", "line 1: 'x' is not a number"),
        ("0 10 10 20 20 10 20", "no shares"),
        ("0 0.1 0.1", "at least three"),
    ),
    "via": (
        ("[]", "not a VIA file"),
        ('{"a": {"filename": "a.jpg"}}', "not a VIA file"),
        (VIA_WITH.replace("NAME", "point"), "no area"),
        (VIA_WITH.replace("NAME", "polygon"), "all_points_x"),
        ('{"a": {"filename": "../z.jpg", "regions": []}}', "leads out"),
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_outlines_end_in_one_sentence(tmp_path, capsys, kind):
    root = write_pictures(tmp_path / "pictures")
    flags = [*WRITERS[kind](root), "--images1", str(root), "--cat1", "cow", "--cat2", "sheep", *COMMON]
    file = {"labelme": "a.json", "yolo": "a.txt", "via": "via.json"}[kind]
    for text, told in BAD[kind]:
        (root / file).write_text(text)
        message = sentence(capsys, prepare_masks.main, *flags, "--save_root", str(tmp_path / "set"))
        assert file in message and told in message
        if kind != "via":
            save = tmp_path / f"skipped {hash(text)}"
            assert prepare_masks.main([*flags, "--save_root", str(save), "--skip_bad"]) == 0
            assert file in capsys.readouterr().err
            check_set(save)


def test_bad_label_maps_end_in_one_sentence(tmp_path, capsys):
    images, masks = write_pictures(tmp_path / "images"), tmp_path / "masks"
    masks.mkdir()
    flags = ["--format", "label_maps", "--images1", str(images), "--masks1", str(masks), *COMMON]
    flags += ["--images2", str(images), "--masks2", str(masks), "--save_root", str(tmp_path / "set")]
    assert "the folder holds no .png file" in sentence(capsys, prepare_masks.main, *flags)
    Image.new("L", (9, 9), 1).save(masks / "a.png")
    assert "a.png is 9x9 but its picture is 40x30" in sentence(capsys, prepare_masks.main, *flags)
    draw_noise(masks / "a.png", SIZE)
    assert "different values" in sentence(capsys, prepare_masks.main, *flags)
    (masks / "a.png").write_bytes(b"")
    assert "cannot be read" in sentence(capsys, prepare_masks.main, *flags)
    Image.new("L", SIZE, 0).save(masks / "a.png")
    assert "is left" in sentence(capsys, prepare_masks.main, *flags)


def test_a_label_map_of_jpeg_is_refused_by_name_unless_there_is_one_of_png(tmp_path, capsys):
    write_pictures(tmp_path / "pictures")
    stems = sorted(path.stem for path in (tmp_path / "pictures").iterdir())
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for stem in stems:
            Image.new("L", SIZE, 3).save(tmp_path / folder / f"{stem}.png")
        Image.new("L", SIZE, 3).save(tmp_path / folder / f"{stems[0]}.jpg")
    (tmp_path / "one" / f"{stems[0]}.png").unlink()
    command = ["--format", "label_maps", "--images2", tmp_path / "pictures", "--masks2", tmp_path / "two"]
    command += ["--images1", tmp_path / "pictures", "--save_root", tmp_path / "set", "--workers", "1", "--masks1"]
    assert f"{stems[0]}.jpg: jpeg changes" in sentence(capsys, prepare_masks.main, *command, tmp_path / "one")
    assert prepare_masks.main([str(word) for word in (*command, tmp_path / "one", "--skip_bad")]) == 0
    assert f"{stems[0]}.jpg: jpeg changes" in capsys.readouterr().err
    assert len(load(tmp_path / "set")["skipped"]) == 1
    assert prepare_masks.main([str(word) for word in (*command, tmp_path / "two", "--overwrite")]) == 0


def test_wrong_flags_say_what_to_do(tmp_path, capsys):
    root = write_pictures(tmp_path / "pictures")
    write_labelme(root)
    base = ["--save_root", str(tmp_path / "set"), "--images1", str(root)]
    cats = ["--cat1", "cow", "--cat2", "sheep"]
    empty = tmp_path / "empty"
    empty.mkdir()
    for flags, told in (
        (base, "--format"),
        ([*base, "--format", "labelme", "--detector"], "or else --detector"),
        ([*base, "--format", "labelme", "--cat1", "cow"], "both --cat1 and --cat2"),
        ([*base, "--format", "labelme"], "--images2"),
        ([*base, "--format", "labelme", "--cat1", "cwo", "--cat2", "sheep"], "nearest are: cow"),
        ([*base, "--format", "label_maps", *cats], "label maps tell no categories"),
        ([*base, "--format", "via", *cats, "--masks1", str(tmp_path / "no.json")], "no.json: no such file"),
        ([*base, "--format", "labelme", *cats, "--masks1", str(tmp_path / "no")], "--masks1"),
        ([*base, "--format", "labelme", *cats, "--images1", str(empty)], "holds no picture"),
        ([*base, "--format", "labelme", *cats, "--images1", str(tmp_path / "no")], "cannot be read"),
        ([*base, "--format", "yolo", *cats, "--names", str(tmp_path / "no.txt")], "--names"),
        ([*base, "--detector"], "--detector needs --cat1"),
    ):
        assert told in sentence(capsys, prepare_masks.main, *flags, *COMMON)
