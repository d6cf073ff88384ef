"""COCO json as other programs and their users write it: preparing, training and translating read the same of it.

Every case is four pictures of 48 x 40 with two squares of 12 pixels each, sheep in two of them and giraffes in two,
changed as some program or somebody has changed them. Whatever the case, the three agree: on masks and on reasons.
"""

import json
import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pycocotools", reason="COCO needs pycocotools (requirements-dev.txt)")

from data import DATASETS
from instagan.cli import attributes
from instagan.cli.jobs import list_jobs
from instagan.cli.main import main
from instagan.errors import InputError
from instagan.io.reading import read_picture
from scripts import prepare_coco
from tests.preparing import check_set, draw_noise, load, masks_of, square
from tests.using import tiny_run

pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")  # pycocotools under numpy 2

SIZE = (48, 40)
Content = dict[str, Any]
Masks = dict[str, list[np.ndarray]]


def content() -> Content:
    images = [{"id": n, "file_name": f"00{n}.png", "width": SIZE[0], "height": SIZE[1]} for n in range(1, 5)]
    annotations = [
        {
            "id": 2 * n - 1 + k,
            "image_id": n,
            "category_id": 1 + (n > 2),
            "iscrowd": 0,
            "area": 144,
            "segmentation": [square(5 + 18 * k, 5 + n, 12)],
            "bbox": [5 + 18 * k, 5 + n, 12, 12],
        }
        for n in range(1, 5)
        for k in range(2)
    ]
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "sheep"}, {"id": 2, "name": "giraffe"}],
    }


def expected(name: str, instance: int) -> np.ndarray:
    inside = np.zeros(SIZE[::-1], bool)
    left, top = 5 + 18 * instance, 5 + int(name)
    inside[top : top + 12, left : left + 12] = True
    return inside


def write(root: Path, change: Callable[[Content], object], folder: str = "pictures") -> Path:
    """The json with a change in it, and the pictures beside it; returns the folder of the pictures."""
    made = content()
    for image in made["images"]:
        draw_noise(root / folder / image["file_name"], SIZE, seed=image["id"])
    text = change(made)
    root.joinpath("annotations.json").write_bytes(text if isinstance(text, bytes) else json.dumps(made).encode())
    return root / folder


def each(key: str, value: Callable[[Any], Any], *lists: str) -> Callable[[Content], None]:
    """Changes a value in all records of a list, or in the first alone where ``lists`` ends in "first"."""

    def change(made: Content) -> None:
        for name in lists[:1]:
            for record in made[name][: 1 if lists[-1] == "first" else None]:
                record[key] = value(record.get(key))

    return change


def prepared(root: Path, images: Path, *flags: str, capsys) -> tuple[Masks | str, str]:
    """File name -> masks, or what is said instead; and all that is said."""
    save = root / "set"
    where = ["--annotations", str(root / "annotations.json"), "--images", str(images), "--save_root", str(save)]
    capsys.readouterr()
    code = prepare_coco.main(
        [*where, "--cat1", "sheep", "--cat2", "giraffe", "--image_size", "0", "--workers", "1", *flags]
    )
    out, err = capsys.readouterr()
    if code:
        assert code == 2 and len(err.splitlines()) == 1
        return err.strip(), err
    check_set(save)
    return {Path(key).stem: masks_of(save, key) for key in load(save)["pictures"]}, out + err


def options(root: Path, images: Path, *flags: str) -> Namespace:
    return Namespace(
        phase="train",
        annotations=root / "annotations.json",
        images=images,
        cat1="sheep",
        cat2="giraffe",
        category=["sheep"],
        image=None,
        output=None,
        output_dir=root / "out",
        masks=None,
        masks_dir=None,
        style_image=None,
        detector=False,
        skip_bad="--skip_bad" in flags,
        crowd_as_instances="--crowd_as_instances" in flags,
    )


def trained_on(root: Path, images: Path, *flags: str) -> tuple[Masks | str, str]:
    try:
        domains = DATASETS["coco"].list_domains(options(root, images, *flags), "AB")
    except InputError as error:
        return str(error), ""
    told = " ".join(domain.summary() for domain in domains.values())
    entries = [entry for domain in domains.values() for entry in domain.entries]
    return {e.picture.stem: [mask.read(e.read_picture().size) for mask in e.masks] for e in entries}, told


def translated(root: Path, images: Path, *flags: str, category: str = "sheep,giraffe") -> tuple[Masks | str, str]:
    try:
        asked = Namespace(**vars(options(root, images, *flags)) | {"category": category.split(",")})
        found = list_jobs(asked, needs_masks=True)
    except InputError as error:
        return str(error), ""
    told = " ".join([*found.notes, *(problem.sentence for problem in found.problems)])
    return {job.picture.stem: list(job.find(read_picture(job.picture, job.size))) for job in found.jobs}, told


def by_all(root: Path, images: Path, *flags: str, capsys) -> tuple[Masks | str, str]:
    """What all three make of it, after holding them to agree; and what is said beside it."""
    first, told = prepared(root, images, *flags, capsys=capsys)
    category = "sheep" if isinstance(first, str) else "sheep,giraffe"  # domain A is what is looked at first
    others = trained_on(root, images, *flags), translated(root, images, *flags, category=category)
    for other, _ in others:
        if isinstance(first, str) or isinstance(other, str):
            other = str(other).replace("--category", "--cat1")
            assert re.sub(r" \(and \d+ more\)", "", other) == re.sub(r" \(and \d+ more\)", "", str(first))
        else:
            assert {name: len(masks) for name, masks in other.items()} == {
                name: len(masks) for name, masks in first.items()
            }
            for name, masks in first.items():
                assert all(np.array_equal(a, b) for a, b in zip(masks, other[name], strict=True))
    return first, " ".join((told, *(more for _, more in others)))


def with_backslashes(made: Content) -> None:
    for image in made["images"]:
        image["file_name"] = f"pictures\\{image['file_name']}"


def runs(made: Content) -> None:
    for record in made["annotations"]:
        inside = expected(str(record["image_id"]), (record["id"] + 1) % 2).T.ravel()  # down the columns
        changes = np.flatnonzero(np.diff(np.concatenate(([False], inside, [not inside[-1]]))))
        record["segmentation"] = {"size": [40, 48], "counts": np.diff([0, *changes]).tolist()}


def runs_as_text(made: Content) -> None:
    runs(made)
    for record in made["annotations"]:
        told = record["segmentation"]
        record["segmentation"] = {"size": ["40", "48.0"], "counts": [float(run) for run in told["counts"]]}


def windows_file(made: Content) -> bytes:
    return b"\xef\xbb\xbf" + json.dumps(made, indent=1).replace("\n", "\r\n").encode()


READ = {
    "picture ids as text": each("image_id", str, "annotations"),
    "one picture id as text": each("image_id", str, "annotations", "first"),
    "picture ids as 1.0": each("image_id", float, "annotations"),
    "ids of pictures as text": each("id", str, "images"),
    "a category as text": each("category_id", str, "annotations", "first"),
    "categories counted by text with zeros": each("id", lambda number: f"0{number}", "categories"),
    "categories as 1.0": each("category_id", float, "annotations"),
    "iscrowd as text": each("iscrowd", str, "annotations"),
    "iscrowd false": each("iscrowd", bool, "annotations"),
    "iscrowd null": each("iscrowd", lambda _: None, "annotations"),
    "iscrowd as 0.0 in text": each("iscrowd", lambda _: "0.0", "annotations"),
    "sizes null": lambda made: (
        each("width", lambda _: None, "images")(made),
        each("height", lambda _: None, "images")(made),
    ),
    "sizes -1": lambda made: (
        each("width", lambda _: -1, "images")(made),
        each("height", lambda _: -1, "images")(made),
    ),
    "sizes 0": each("width", lambda _: 0, "images"),
    "sizes absent": lambda made: [image.pop("width") for image in made["images"]],
    "sizes as text": each("width", str, "images"),
    "a byte order mark and CRLF": windows_file,
    "utf-16, as PowerShell writes it": lambda made: json.dumps(made).encode("utf-16"),
    "paths of another machine": each("file_name", "../../label-studio/data/media/upload/4/{}".format, "images"),
    "paths of another disk": each("file_name", "D:\\scans\\2024\\{}".format, "images"),
    "absolute paths": each("file_name", "/home/someone/pictures/{}".format, "images"),
    "web addresses": each("file_name", "https://example.org/set/{}".format, "images"),
    "names as web addresses write them": each("file_name", lambda name: name.replace("0", "%30"), "images"),
    "a folder that is here called otherwise": each("file_name", "train2017/{}".format, "images"),
    "names that go up and down": each("file_name", "sub/../{}".format, "images"),
    "a blank at the end of file names": each("file_name", "{} ".format, "images"),
    "labels with blanks": each("name", " {}\u00a0".format, "categories"),
    "polygons without the list around them": each("segmentation", lambda found: found[0], "annotations"),
    "corners as pairs": each("segmentation", lambda found: [np.reshape(found[0], (4, 2)).tolist()], "annotations"),
    "one polygon as pairs": each("segmentation", lambda found: np.reshape(found[0], (4, 2)).tolist(), "annotations"),
    "numbers as text": each("segmentation", lambda found: [[str(value) for value in found[0]]], "annotations"),
    "runs": runs,
    "runs whose numbers are floats and text": runs_as_text,
    "a category nobody asked for is broken": lambda made: made["categories"].append({"id": None, "name": 7.5}),
    "a picture nobody asked for is broken": lambda made: made["images"].append({"file_name": None}),
    "an annotation nobody asked for is broken": lambda made: (
        made["categories"].append({"id": 3, "name": "dog"}),
        made["annotations"].append({"category_id": 3, "image_id": None, "segmentation": 7}),
    ),
}


@pytest.mark.parametrize("case", READ)
def test_what_is_clear_is_read(tmp_path, capsys, case):
    found, _ = by_all(tmp_path, write(tmp_path, READ[case]), capsys=capsys)
    assert sorted(found) == ["001", "002", "003", "004"], found
    for name, masks in found.items():
        assert len(masks) == 2
        assert all(np.array_equal(mask, expected(name, k)) for k, mask in enumerate(masks))


def test_windows_separators_lead_into_folders_and_never_out(tmp_path, capsys):
    write(tmp_path, with_backslashes)
    found, _ = by_all(tmp_path, tmp_path, capsys=capsys)
    assert sum(map(len, found.values())) == 8
    draw_noise(tmp_path / "outside.png", SIZE)
    images = write(tmp_path, each("file_name", lambda _: "..\\outside.png", "images", "first"))
    said, _ = by_all(tmp_path, images, capsys=capsys)
    assert "'..\\\\outside.png' leads out of" in said and "--skip_bad" in said


def test_ids_that_count_from_0_are_ids(tmp_path, capsys):
    def from_0(made: Content) -> None:
        each("id", lambda number: number - 1, "categories")(made)
        each("category_id", lambda number: number - 1, "annotations")(made)

    found, _ = by_all(tmp_path, write(tmp_path, from_0), capsys=capsys)
    assert sum(map(len, found.values())) == 8
    assert load(tmp_path / "set")["categories"]["A"] == [{"name": "sheep", "source_id": 0}]


def crowd(made: Content) -> None:
    runs(made)
    each("iscrowd", lambda _: 1, "annotations")(made)


def mixed(made: Content) -> None:
    """Sheep: two crowd regions, one of a picture that is not listed, one without outline or box."""
    for record in made["annotations"][:2]:
        record["iscrowd"] = "1"
    made["annotations"][2]["image_id"] = 77
    made["annotations"][3] |= {"segmentation": [], "bbox": None}


def twin(key: str, place: int, of: int, name: str) -> Callable[[Content], None]:
    def change(made: Content) -> None:
        made[name][place][key] = made[name][of][key]

    return change


REFUSED = {
    "nothing but crowd regions": (crowd, ("all 4 instances of sheep", "crowd regions", "--crowd_as_instances")),
    "an annotation of no picture": (
        each("image_id", lambda _: 77, "annotations", "first"),
        ("annotation 1: is of picture 77", "not in the list images"),
    ),
    "no picture": (
        each("image_id", lambda _: None, "annotations", "first"),
        ("annotation 1: has a wrong image_id: None",),
    ),
    "no category": (
        each("category_id", lambda _: None, "annotations", "first"),
        ("annotation 1: has a wrong category_id",),
    ),
    "a crowd of maybe": (
        each("iscrowd", lambda _: "maybe", "annotations", "first"),
        ("annotation 1: has a wrong iscrowd",),
    ),
    "one picture id for two": (
        twin("id", 1, 0, "images"),
        ("picture 1: its id is there twice", "'001.png' and '002.png'"),
    ),
    "one annotation id for two": (
        twin("id", 2, 0, "annotations"),
        ("annotation 1: its id is there twice", "of picture 1 and of picture 2"),
    ),
    "one category id for two": (
        twin("id", 1, 0, "categories"),
        ("the category id 1 is there twice", "'sheep' and 'giraffe'"),
    ),
    "category ids of another file": (
        each("category_id", lambda number: number + 10, "annotations"),
        ("no instance of sheep", "8 annotations have a category_id", "such as 11"),
    ),
    "neither outline nor box": (
        lambda made: made["annotations"][0].update(segmentation=[], bbox=None),
        ("annotation 1: has no segmentation and no box",),
    ),
    "an outline that is no number": (
        each("segmentation", lambda _: [[1, 2, "x", 4, 5, 6]], "annotations", "first"),
        ("annotation 1", "not a number"),
    ),
    "half a pixel": (each("width", lambda _: 48.5, "images"), ("picture 1: width is 48.5",)),
    "text for a size": (each("height", lambda _: "high", "images"), ("picture 1: 'high' is not a number",)),
    "pictures that are all elsewhere": (
        each("file_name", "un{}".format, "images"),
        ("none of the 2 pictures of sheep", "un001.png", "pass the folder that holds them"),
    ),
    "two pictures that would be one": (
        lambda made: each("file_name", lambda name: f"cam{name[2]}/001.png", "images")(made),
        ("'cam1/001.png' and 'cam2/001.png' would both be",),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_is_refused_with_its_true_cause(tmp_path, capsys, case):
    change, told = REFUSED[case]
    said, _ = by_all(tmp_path, write(tmp_path, change), capsys=capsys)
    assert isinstance(said, str) and all(word in said for word in told), said


def test_crowd_regions_can_be_taken_as_instances(tmp_path, capsys):
    found, _ = by_all(tmp_path, write(tmp_path, crowd), "--crowd_as_instances", capsys=capsys)
    assert all(np.array_equal(mask, expected(name, k)) for name in found for k, mask in enumerate(found[name]))
    assert sum(map(len, found.values())) == 8


def test_an_empty_domain_counts_all_that_would_have_filled_it(tmp_path, capsys):
    said, _ = by_all(tmp_path, write(tmp_path, mixed), "--skip_bad", capsys=capsys)
    for told in ("of 4, 2 are crowd regions (iscrowd 1), 1 is of pictures that the list images lacks, 1 is bad",
                 "the first: ", "annotation 3: is of picture 77"):  # fmt: skip
        assert told in said


SKIPPED = {
    "one of two outlines": (each("segmentation", lambda _: [[1, 2]], "annotations", "first"), 7, "1 instance"),
    "both outlines of a picture": (
        lambda made: [record.update(segmentation=[[1, 2]]) for record in made["annotations"][:2]],
        6,
        "1 picture and 2 instances",
    ),
    "a picture's size": (each("width", lambda _: "x", "images", "first"), 6, "1 picture and 2 instances"),
    "an annotation of no picture": (each("image_id", lambda _: 77, "annotations", "first"), 7, "1 instance"),
    "an annotation id for two": (twin("id", 2, 0, "annotations"), 7, "1 instance"),
}


@pytest.mark.parametrize("case", SKIPPED)
def test_the_smallest_part_that_is_bad_is_left_out_and_counted(tmp_path, capsys, case):
    change, left, lost = SKIPPED[case]
    found, told = by_all(tmp_path, write(tmp_path, change), "--skip_bad", capsys=capsys)
    assert sum(map(len, found.values())) == left
    assert told.count(f"left out as bad: {lost}") == 2  # preparing and training; translating says so at its end


def with_orientation(path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(path).save(path, exif=exif)


@pytest.mark.parametrize("sizes", ["told", "in runs alone"])
def test_a_picture_lies_as_its_json_counts(tmp_path, capsys, sizes):
    """Stored 48 x 40 with an orientation that makes it 40 x 48 upright; the json counts in stored pixels."""

    def change(made: Content) -> None:
        if sizes != "told":
            runs(made)
            each("width", lambda _: None, "images")(made)

    images = write(tmp_path, change)
    stored = np.asarray(Image.open(images / "001.png"))
    with_orientation(images / "001.png", 6)
    found, _ = by_all(tmp_path, images, capsys=capsys)
    assert all(np.array_equal(mask, expected(name, k)) for name in found for k, mask in enumerate(found[name]))
    assert np.array_equal(np.asarray(read_picture(images / "001.png", SIZE)), stored)
    written = Image.open(tmp_path / "set" / "trainA" / "001.png")
    assert np.array_equal(np.asarray(written), stored) and not written.getexif()


@pytest.mark.parametrize("way", ["folder", "single"])
def test_translating_a_turned_photo_puts_every_pixel_of_a_mask_in_its_place(tmp_path, monkeypatch, way):
    """The program itself, on a JPEG with an orientation: what its networks are given, and what it writes."""
    images = write(tmp_path, each("file_name", lambda name: name.replace("png", "jpg"), "images"))
    for path in sorted(images.glob("*.png")):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.open(path).save(path.with_suffix(".jpg"), exif=exif)
    seen = []
    watched = attributes.source_of
    monkeypatch.setattr(attributes, "source_of", lambda *how, **named: seen.append(watched(*how, **named)) or seen[-1])
    run, _ = tiny_run(tmp_path / "runs")
    where = {"folder": ("--images", images, "--output_dir", tmp_path / "out"),
             "single": ("--image", images / "001.jpg", "--output", tmp_path / "out" / "001.png")}[way]  # fmt: skip
    words = ("--model", run.path, "--device", "cpu", "--annotations", tmp_path / "annotations.json", *where)
    assert main([str(word) for word in ("translate", *words, "--category", "sheep")]) == 0
    assert len(seen) == {"folder": 2, "single": 1}[way]
    for name, source in zip(("1", "2"), seen, strict=False):
        assert [np.array_equal(mask, expected(name, k)) for k, mask in enumerate(source.inside)] == [True, True]
    assert Image.open(tmp_path / "out" / "001.png").size == SIZE


def test_a_picture_of_another_size_is_refused_by_all(tmp_path, capsys):
    images = write(tmp_path, lambda made: None)
    Image.open(images / "001.png").resize((96, 80)).save(images / "001.png")
    said, _ = prepared(tmp_path, images, capsys=capsys)
    assert "001.png is 96x80 pixels but was annotated at 48x40" in said
    (entry,) = (
        e for e in DATASETS["coco"].list_domains(options(tmp_path, images), "A")["A"].entries if e.stem == "001"
    )
    (job,) = (job for job in list_jobs(options(tmp_path, images), True).jobs if job.picture.stem == "001")
    for read in (entry.read_picture, lambda: read_picture(job.picture, job.size)):
        with pytest.raises(InputError, match="96x80 pixels but was annotated at 48x40"):
            read()


def test_pictures_of_the_official_layout_may_lie_in_a_folder_images(tmp_path):
    write(tmp_path, lambda made: None, folder="images/train2017")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations.json").rename(tmp_path / "annotations" / "instances_train2017.json")
    flags = ["--cat1", "sheep", "--cat2", "giraffe", "--image_size", "0", "--workers", "1"]
    assert prepare_coco.main(["--data_root", str(tmp_path), "--save_root", str(tmp_path / "set"), *flags]) == 0
    assert load(tmp_path / "set")["counts"]["trainA"] == {"pictures": 2, "instances": 4}


def test_a_label_with_a_comma_is_reached_with_a_backslash(tmp_path, capsys):
    images = write(tmp_path, lambda made: made["categories"][0].update(name="sheep, black"))
    where = ["--annotations", str(tmp_path / "annotations.json"), "--images", str(images), "--cat2", "giraffe"]
    where += ["--save_root", str(tmp_path / "set"), "--image_size", "0", "--workers", "1", "--cat1"]
    assert prepare_coco.main([*where, "sheep, black"]) == 2
    assert r"nearest are: sheep\, black (type \, for a comma)" in capsys.readouterr().err
    assert prepare_coco.main([*where, r"sheep\, black"]) == 0
    assert load(tmp_path / "set")["categories"]["A"] == [{"name": "sheep, black", "source_id": 1}]
