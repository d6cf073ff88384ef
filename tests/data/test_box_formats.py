"""Boxes from every format: exact values from samples in the documented form, and one sentence for what is damaged."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.boxes.bdd100k import read_bdd100k
from data.boxes.cityscapes import IMAGE, POLYGONS, read_cityscapes, runs_of
from data.boxes.coco import read_coco
from data.boxes.init import read_init
from data.boxes.kitti import read_kitti
from data.boxes.objects import Annotated, Classes, Found, within
from data.boxes.pairing import read_pairs
from data.boxes.voc import read_voc
from data.boxes.yolo import normalised, yolo
from instagan.errors import InputError
from instagan.io.segmentations import decode
from tests.preparing import coco_content, draw_noise

SIZE = (64, 48)
VOC_EDGES = ("xmin", "ymin", "xmax", "ymax")


def images(folder: Path, *names: str, size: tuple[int, int] = SIZE) -> Path:
    for name in names:
        draw_noise(folder / name, size)
    return folder


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def boxes(image: Annotated) -> list[tuple[str, tuple[float, ...]]]:
    return [(one.category, one.box) for one in image.objects]


def faults(found: Found) -> list[str]:
    return [problem.sentence for problem in found.problems]


def paired(root: Path, ending: str, read, classes: Classes | None = None, **how) -> Found:
    found = Found(classes or Classes())
    read_pairs(root / "images", root / "labels", ending, read, found, **how)
    return found


def test_yolo_boxes_and_outlines(tmp_path):
    images(tmp_path / "images", "1.png", "street/2.jpg", "3.png")
    write(tmp_path / "labels" / "1.txt", "\ufeff0 0.5 0.5 0.25 0.5\r\n\r\n1 0.25 0.25 0.5 0.5\n")
    write(tmp_path / "labels" / "street" / "2.txt", "2 0 0 0.5 0 0.5 0.25\n1 1 1 0.5 0.5\n")
    write(tmp_path / "labels" / "classes.txt", "car\nperson\nbus\n")
    found = paired(
        tmp_path, ".txt", yolo(("car", "person", "bus")), Classes({"car": "vehicle", "bus": "vehicle"}), bare=True
    )
    assert [(one.name, one.size) for one in found.images] == [("1.png", SIZE), ("3.png", SIZE), ("street/2.jpg", SIZE)]
    assert boxes(found.images[0]) == [("vehicle", (24, 12, 40, 36))]
    assert boxes(found.images[1]) == []
    assert boxes(found.images[2]) == [("vehicle", (0, 0, 32, 12))]
    assert found.images[2].objects[0].segmentation == [[0, 0, 32, 0, 32, 12]]
    assert dict(found.left_out) == {"objects of class person": 2} and found.problems == []


def test_yolo_boxes_are_cut_at_the_edge_of_the_image(tmp_path):
    images(tmp_path / "images", "1.png")
    write(tmp_path / "labels" / "1.txt", "7 1 1 0.5 0.5\n")
    assert boxes(paired(tmp_path, ".txt", yolo()).images[0]) == [("7", (48, 36, 64, 48))]


def test_normalised_corners(tmp_path):
    images(tmp_path / "images", "1.png", "2.png")
    write(tmp_path / "labels" / "1.txt", "1 0.25 0.125 0.5 1.0\nperson 0 0 1 1\n")
    found = paired(tmp_path, ".txt", normalised(("car", "person")))
    assert boxes(found.images[0]) == [("person", (16, 6, 32, 48)), ("person", (0, 0, 64, 48))]
    assert dict(found.left_out) == {"images without annotation file": 1}


@pytest.mark.parametrize(
    "line, reason",
    [
        ("0 0.5 0.5 0.25", "has 3 numbers"),
        ("0 0.5 0.5 0.25 0.5 0.9", "has 5 numbers"),
        ("0 0.5 0.5 0 0.5", "right or bottom edge before its left or top"),
        ("0 120 80 30 40", "120 is no share of width or height, which goes from 0 to 1; is it in pixels?"),
        ("0 0.5 nan 0.25 0.5", "'nan' is not a number"),
        ("9 0.5 0.5 0.25 0.5", "is of class 9, but the names go to 1 only"),
        ("dog 0.5 0.5 0.25 0.5", "the class 'dog' is neither a number nor one of the names"),
    ],
)
def test_a_damaged_yolo_line_is_left_out_alone(tmp_path, line, reason):
    images(tmp_path / "images", "1.png", "2.png")
    file = write(tmp_path / "labels" / "1.txt", f"0 0.5 0.5 0.25 0.5\n{line}\n")
    write(tmp_path / "labels" / "2.txt", f"{line}\n")
    found = paired(tmp_path, ".txt", yolo(("car", "person")))
    assert [one.name for one in found.images] == ["1.png"] and len(found.images[0].objects) == 1
    (first, second) = faults(found)
    assert first.startswith(f"{file}, line 2: ") and reason in first and first.endswith("; fix or remove it")
    assert "2.txt, line 1: " in second
    assert [(one.pictures, one.instances) for one in found.problems] == [(0, 1), (1, 1)]  # 2.png has nothing else


def voc(*objects: str, size: tuple[int, int] = SIZE) -> str:
    told = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation>\n<filename>1.jpg</filename>{told}\n" + "\n".join(objects) + "\n</annotation>"


def voc_object(name: str, *corners: object) -> str:
    edges = "".join(f"<{edge}>{value}</{edge}>" for edge, value in zip(VOC_EDGES, corners, strict=True))
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    return f"<object><name>{name}</name>{part}<difficult>0</difficult><bndbox>{edges}</bndbox></object>"


def test_voc_counts_from_one_and_both_corners_are_inside(tmp_path):
    images(tmp_path / "images", "1.png")
    text = voc(voc_object("car", 1, 1, 2, 1), voc_object(" dog ", 10.5, 20, 64, 48))
    write(tmp_path / "labels" / "1.xml", text)
    found = paired(tmp_path, ".xml", read_voc)
    assert boxes(found.images[0]) == [("car", (0, 0, 2, 1)), ("dog", (9.5, 19, 64, 48))]


def test_voc_damaged(tmp_path):
    images(tmp_path / "images", "1.png", "2.png", "3.png", "4.png")
    good = voc_object("car", 1, 1, 9, 9)
    write(
        tmp_path / "labels" / "1.xml", voc(good, voc_object("car", 5, 5, "x", 9), "<object><name>car</name></object>")
    )
    write(tmp_path / "labels" / "2.xml", voc(good)[:-30])
    write(tmp_path / "labels" / "3.xml", voc(good, size=(640, 480)))
    write(tmp_path / "labels" / "4.xml", "<html></html>")
    found = paired(tmp_path, ".xml", read_voc)
    assert [one.name for one in found.images] == ["1.png"] and len(found.images[0].objects) == 1
    number, bare, broken, size, other = faults(found)
    assert "1.xml, line 4: 'x' is not a number" in number and "1.xml, line 5: it has no bndbox" in bare
    assert "2.xml is no xml file" in broken and "line 3" in broken
    assert "640x480" in size and "64x48" in size and "4.xml is not a Pascal VOC file: its root is <html>" in other
    assert sum(problem.pictures for problem in found.problems) == 3


def init_record(number: int, name: str, *lines: str, size: str = "3 48 64 1", count: object = None) -> str:
    return "\n".join([f"# {number}", name, size, "0", str(len(lines) if count is None else count), *lines])


def test_init_records(tmp_path):
    folder = images(tmp_path / "sunny", "part1/1.png", "part1/2.png", "part2/3.png")
    records = [
        init_record(0, "/part1/1.png", "1 3.5 4.5 60.0 41.0", "3 10 9 20.25 30"),
        init_record(1, "/part1/2.png"),
        init_record(2, "/part2/3.png", "2 -4 40 10 60"),
        init_record(3, "/part2/gone.png", "1 1 1 9 9"),
    ]
    file = write(tmp_path / "sunny1.txt", "\n\n\n".join(records) + "\n\n")
    found = Found(Classes({"1": "car", "2": "sign"}))
    read_init(file, folder, found)
    assert [(one.name, one.size, boxes(one)) for one in found.images] == [
        ("part1/1.png", SIZE, [("car", (3.5, 4.5, 60, 41))]),
        ("part1/2.png", SIZE, []),
        ("part2/3.png", SIZE, [("sign", (0, 40, 10, 48))]),
    ]
    assert dict(found.left_out) == {"objects of class 3": 1, "images that are not there": 1}
    assert found.problems == []


def test_init_damaged(tmp_path):
    folder = images(tmp_path / "night", "1.png", "2.png", "3.png", "4.png")
    records = [
        init_record(0, "/1.png", "1 3 4 60 41", "1 3 4 60", "1 9 9 8 8"),
        init_record(1, "/2.png", "1 3 4 60 41", count=2),
        init_record(2, "/3.png", size="3 48"),
        "# 3\n/4.png",
        init_record(4, "/../4.png"),
        init_record(5, "/1.png", count="two"),
    ]
    file = write(tmp_path / "night1.txt", "\n\n".join(records))
    found = Found(Classes())
    read_init(file, folder, found)
    assert [(one.name, len(one.objects)) for one in found.images] == [("1.png", 1), ("4.png", 0)]
    told = faults(found)
    assert f"{file}, line 7: it has 4 numbers; a box has 5" in told[0] and f"{file}, line 8: the box 9 9 8 8" in told[1]
    assert f"{file}, line 10: the record tells 2 boxes and has 1" in told[2]
    assert f"{file}, line 17: " in told[3] and f"{file}, line 23: the record has 1 lines" in told[4]
    assert f"{file}, line 32: the record tells 'two' for the number of its boxes" in told[5]
    for text, reason in (("", "has no record"), ("/1.png\n", "line 1: a record begins with a line '# NUMBER'")):
        with pytest.raises(InputError, match=reason):
            read_init(write(tmp_path / "other.txt", text), folder, Found(Classes()))


def kitti_line(kind: str, *box: object, more: str = "") -> str:
    return f"{kind} 0.00 0 -1.58 {' '.join(map(str, box))} 1.52 1.6 3.9 1.2 1.7 20.1 -1.5{more}"


def test_kitti_labels(tmp_path):
    images(tmp_path / "images", "000000.png", "000001.png")
    lines = [kitti_line("Car", 3.5, 4.25, 60.75, 41), kitti_line("Van", 0, 0, 63, 47, more=" 0.9")]
    lines += [kitti_line("Tram", 0, 0, 9, 9), "DontCare -1 -1 -10 1 1 9 9 -1 -1 -1 -1000 -1000 -1000 -10"]
    write(tmp_path / "labels" / "000000.txt", "\n".join(lines))
    bad = write(tmp_path / "labels" / "000001.txt", "Car 0 0 0 1 1 9 9\n" + kitti_line("Car", 70, 0, 90, 9))
    found = paired(tmp_path, ".txt", read_kitti, Classes({"Car": "car", "Van": "car"}))
    assert [boxes(one) for one in found.images] == [[("car", (3.5, 4.25, 60.75, 41)), ("car", (0, 0, 63, 47))]]
    assert dict(found.left_out) == {"objects of class Tram": 1, "DontCare regions": 1}
    short, outside = faults(found)
    assert f"{bad}, line 1: it has 8 words; a line of KITTI's labels has 15" in short
    assert f"{bad}, line 2: the box 70 0 90 9 lies outside of the image, which is 64x48" in outside


def cityscapes(*objects: tuple[str, list[list[int]]], size: tuple[int, int] = SIZE) -> str:
    records = [{"label": label, "polygon": polygon} for label, polygon in objects]
    return json.dumps({"imgWidth": size[0], "imgHeight": size[1], "objects": records})


def rectangle(left: int, top: int, right: int, bottom: int) -> list[list[int]]:
    """Corners on the centres of its first and last pixels, as they are painted."""
    return [[left, top], [right - 1, top], [right - 1, bottom - 1], [left, bottom - 1]]


def test_cityscapes_later_objects_hide_earlier_ones(tmp_path):
    images(tmp_path / "images", f"ulm/ulm_1{IMAGE}.png")
    text = cityscapes(
        ("sky", rectangle(0, 0, 64, 48)),
        ("bus", rectangle(0, 0, 9, 9)),
        ("car", rectangle(10, 10, 30, 20)),
        ("rider", rectangle(0, 0, 9, 9)),
        ("car", rectangle(20, 5, 40, 25)),
        ("license plate", rectangle(22, 7, 26, 9)),
        ("cargroup", rectangle(36, 5, 60, 25)),
    )
    write(tmp_path / "labels" / "ulm" / f"ulm_1{POLYGONS}.json", text)
    write(tmp_path / "labels" / "ulm" / "ulm_1_gtFine_color.json", "{}")
    classes = Classes({"car": "car", "rider": "person", "bus": "bus"})
    found = paired(tmp_path, ".json", read_cityscapes, classes, suffixes=(IMAGE, POLYGONS))
    (image,) = found.images
    assert image.name == f"ulm/ulm_1{IMAGE}.png"
    assert boxes(image) == [("car", (10, 10, 20, 20)), ("person", (0, 0, 9, 9)), ("car", (20, 5, 36, 25))]
    expected = np.zeros((48, 64), bool)
    expected[10:20, 10:20] = True
    assert np.array_equal(decode(image.objects[0].segmentation, SIZE), expected)
    assert dict(found.left_out) == {
        "objects of class sky": 1, "groups (cargroup)": 1, "objects hidden by others": 1
    }  # fmt: skip
    assert found.problems == []


def test_cityscapes_damaged(tmp_path):
    names = [f"{number}{IMAGE}.png" for number in range(1, 5)]
    images(tmp_path / "images", *names)
    good = ("car", rectangle(1, 1, 9, 9))
    texts = [
        cityscapes(good, ("car", [[1, 1], [2, 2]])),
        cityscapes(good, size=(2048, 1024)),
        "{}",
        cityscapes(good)[:-4],
    ]
    for number, text in enumerate(texts, 1):
        write(tmp_path / "labels" / f"{number}{POLYGONS}.json", text)
    found = paired(tmp_path, ".json", read_cityscapes, suffixes=(IMAGE, POLYGONS))
    assert [boxes(one) for one in found.images] == [[("car", (1, 1, 9, 9))]]
    points, size, other, broken = faults(found)
    assert f"1{POLYGONS}.json, object 1: its polygon has 2 points" in points and "2048x1024" in size
    assert f"3{POLYGONS}.json is not a polygons file of Cityscapes" in other and "is not a json file" in broken


@pytest.mark.parametrize("seed", range(4))
def test_runs_are_those_that_a_mask_is_read_from(seed):
    inside = np.random.default_rng(seed).random((5, 7)) < (0.0, 0.5, 0.9, 1.0)[seed]
    assert np.array_equal(decode(runs_of(inside), (7, 5)), inside)


def bdd_image(name: str, timeofday: str, *labels: dict, weather: str = "clear") -> dict:
    return {"name": name, "attributes": {"timeofday": timeofday, "weather": weather}, "labels": list(labels)}


def bdd_label(category: str, x1: float, y1: float, x2: float, y2: float) -> dict:
    return {"category": category, "box2d": {"x1": x1, "y1": y1, "x2": x2, "y2": y2}}


def bdd(day: Found, night: Found, **more: list[str]) -> dict:
    return {"A": ({"timeofday": ["daytime"], **more}, day), "B": ({"timeofday": ["night", "dawn/dusk"], **more}, night)}


def test_bdd100k_by_attributes(tmp_path):
    folder = images(tmp_path / "images", "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    lane = {"category": "lane", "poly2d": [{"vertices": [[1, 2], [3, 4]]}]}
    records = [
        bdd_image("a.jpg", "daytime", bdd_label("car", 1.5, 2, 9, 8), lane),
        bdd_image("b.jpg", "night", bdd_label("pedestrian", 50, 40, 63, 47)),
        bdd_image("c.jpg", "dawn/dusk", weather="rainy") | {"labels": None},
        bdd_image("d.jpg", "undefined", bdd_label("car", 1, 1, 2, 2)),
        bdd_image("gone.jpg", "daytime"),
    ]
    file = write(tmp_path / "det_train.json", json.dumps(records))
    classes = Classes({"car": "car", "pedestrian": "person"})
    day, night = Found(classes), Found(classes)
    read_bdd100k(file, folder, bdd(day, night))
    assert [(one.name, boxes(one)) for one in day.images] == [("a.jpg", [("car", (1.5, 2, 10, 9))])]
    assert [(one.name, boxes(one)) for one in night.images] == [
        ("b.jpg", [("person", (50, 40, 64, 48))]),
        ("c.jpg", []),
    ]
    assert dict(day.left_out) == {"objects of class lane": 1, "images that are not there": 1}
    with pytest.raises(InputError, match=r"no image of domain A \(.*weather=rainy\): there timeofday is dawn/dusk, "):
        read_bdd100k(file, folder, bdd(Found(classes), Found(classes), weather=["rainy"]))


def test_bdd100k_damaged(tmp_path):
    folder = images(tmp_path / "images", "a.jpg", "b.jpg")
    records = [
        bdd_image("a.jpg", "daytime", bdd_label("car", 1, 2, 9, 8), {"category": "car", "box2d": {"x1": 1}}),
        bdd_image("b.jpg", "night", bdd_label("car", 9, 2, 1, 8)),
        "no record",
        {"attributes": {"timeofday": "night"}},
    ]
    file = write(tmp_path / "det_train.json", json.dumps({"frames": records}))
    day, night = Found(Classes()), Found(Classes())
    read_bdd100k(file, folder, bdd(day, night))
    assert boxes(day.images[0]) == [("car", (1, 2, 10, 9))] and night.images == []
    told = faults(day) + faults(night)
    assert f"{file}, image 0 (a.jpg), label 1: it has no 'y1'" in told[0] and f"{file}, image 2: it is no" in told[1]
    assert f"{file}, image 3: it has no 'name'" in told[2]
    assert f"{file}, image 1 (b.jpg), label 0: the box 9 2" in told[3]
    with pytest.raises(InputError, match="is not a label file of BDD100K"):
        read_bdd100k(write(tmp_path / "x.json", "{}"), folder, bdd(Found(Classes()), Found(Classes())))


def test_coco_boxes_and_segmentations(tmp_path):
    pytest.importorskip("pycocotools", reason="COCO needs pycocotools (requirements.txt)")
    content = coco_content()
    folder = images(tmp_path, *(record["file_name"] for record in content["images"][:-1]), size=(60, 40))
    content["images"].append({"id": 8, "file_name": content["images"][0]["file_name"].replace("1", "7"), "width": 60})
    content["annotations"][0] |= {"segmentation": None, "bbox": [8.25, 5.5, 11.5, 14.25]}
    content["annotations"][4] |= {"segmentation": None, "bbox": [8, 5, -1, 3]}
    draw_noise(tmp_path / content["images"][-1]["file_name"], (60, 40))
    found = Found(Classes({"cow": "animal"}))
    read_coco(write(tmp_path / "x.json", json.dumps(content)), folder, found)
    by_name = {one.name: one for one in found.images}
    assert sorted(len(one.objects) for one in found.images) == [0, 0, 1, 1, 3]  # 3 is bad, 6 absent, 5 and 7 show none
    first = by_name["000000000001.jpg"]
    assert boxes(first)[:2] == [("animal", (8.25, 5.5, 19.75, 19.75)), ("animal", (1, 1, 7, 7))]
    assert first.objects[0].segmentation is None and first.objects[1].segmentation == [[1, 1, 7, 1, 7, 7, 1, 7]]
    assert boxes(by_name["000000000002.jpg"]) == [("animal", (20, 10, 22, 20))]
    assert found.left_out["images that are not there"] == 1 and found.seen["cow"] == 6
    (bad,) = found.problems
    assert (
        "annotation 104: has no segmentation, and its box [8, 5, -1, 3] holds nothing" in bad.sentence
        and bad.pictures == 1
    )


def test_pairs_that_share_or_lack_a_file(tmp_path):
    images(tmp_path / "images", "1.png", "1.jpg", ".hidden.png")
    write(tmp_path / "labels" / "1.txt", "0 0.5 0.5 0.25 0.5\n")
    write(tmp_path / "labels" / "9.txt", "")
    found = paired(tmp_path, ".txt", yolo())
    assert [one.name for one in found.images] == ["1.jpg"] and dict(found.left_out) == {
        "annotation files without image": 1
    }
    assert "would share the annotation 1.txt" in faults(found)[0]
    with pytest.raises(InputError, match="no image of .*images has a .xml file in .*labels: looked for .*1.xml"):
        paired(tmp_path, ".xml", read_voc)
    (tmp_path / "images" / "1.png").write_bytes(b"no image")
    (tmp_path / "images" / "1.jpg").unlink()
    assert "1.png cannot be read as a picture" in faults(paired(tmp_path, ".txt", yolo()))[0]


def test_an_image_that_is_stored_turned_has_its_upright_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    Image.new("RGB", SIZE).save(tmp_path / "images" / "1.jpg", exif=exif)
    write(tmp_path / "labels" / "1.txt", "0 0.5 0.5 1 1\n")
    image = paired(tmp_path, ".txt", yolo()).images[0]
    assert image.size == (48, 64) and image.objects[0].box == (0, 0, 48, 64)


def test_boxes_within():
    assert within("-1", 2, 3.5, 99, SIZE) == (0, 2, 3.5, 48)
    for wrong in ((3, 0, 3, 1), (0, 9, 4, 2), (64, 0, 70, 4), (0, 0, "inf", 4)):
        with pytest.raises(ValueError):
            within(*wrong, SIZE)
