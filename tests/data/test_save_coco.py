"""test.py --save_coco: pycocotools reads back the masks that lie beside it, bit for bit, each with its annotation."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("pycocotools", reason="COCO needs pycocotools (requirements.txt)")
from pycocotools.coco import COCO

from data.coco_results import CocoResults
from data.entries import Entry, MaskFile
from data.prepared import UNTOLD
from data.preparing.tasks import Category
from data.results import ResultFolder
from instagan.errors import InputError
from instagan.structures.instances import InstanceBatch
from scripts import prepare_coco
from tests.preparing import drawn_content, write_coco
from tests.programs import draw_set, sentence, test_program, tiny, train, train_program

pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")  # pycocotools under numpy 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Folder with a run "run" of one step and its data; masks of a2 are numbered 0, 2, 7."""
    folder = tmp_path_factory.mktemp("trained")
    draw_set(folder / "data", "train", a=(2, 1), b=(1, 2))
    draw_set(folder / "data", "val", a=(2, 0, 3), b=(1,))
    seg = folder / "data" / "valA_seg"
    (seg / "a2_2.png").rename(seg / "a2_7.png")
    (seg / "a2_1.png").rename(seg / "a2_2.png")
    assert train(folder / "data", folder / "runs", "--name", "run", "--max_steps", "1", "--no_html") == 0
    return folder


def translate(trained: Path, out: Path, *flags: str) -> Path:
    where = ("--checkpoints_dir", str(trained / "runs"), "--results_dir", str(out), "--name", "run", "--phase", "val")
    data = () if "coco" in flags else ("--dataroot", str(trained / "data"))
    assert test_program.main([*where, *data, "--device", "cpu", "--num_threads", "0", *flags]) == 0
    return out / "run" / ("train_latest" if "train" in flags else "val_latest")


def check(folder: Path) -> dict[str, Any]:
    """Holds annotations.json to its laws; returns its content."""
    coco = COCO(str(folder / "annotations.json"))
    content = json.loads((folder / "annotations.json").read_text())
    assert {"info", "images", "categories", "annotations"} <= set(content)
    assert [image["file_name"] for image in content["images"]] == list(
        dict.fromkeys(image["file_name"] for image in content["images"])
    )
    assert {image["file_name"] for image in content["images"]} == {
        path.name for letter in "AB" for path in folder.glob(f"*_fake_{letter}.png")
    }
    for image in content["images"]:
        assert Image.open(folder / image["file_name"]).size == (image["width"], image["height"])
    for records in (content["images"], content["annotations"]):
        assert [record["id"] for record in records] == list(range(1, len(records) + 1))
    assert len({category["id"] for category in content["categories"]}) == len(content["categories"])
    described = set()
    for record in coco.loadAnns(coco.getAnnIds()):
        picture = coco.loadImgs([record["image_id"]])[0]["file_name"].removesuffix(".png")
        assert record["mask_file"].startswith(f"{picture}_mask_") and record["iscrowd"] == 0
        drawn = np.asarray(Image.open(folder / record["mask_file"]))
        assert np.array_equal(coco.annToMask(record) * 255, drawn)
        rows, columns = np.nonzero(drawn)
        width, height = columns.max() + 1 - columns.min(), rows.max() + 1 - rows.min()
        assert record["bbox"] == [columns.min(), rows.min(), width, height]
        assert record["area"] == len(rows) > 0
        assert coco.loadCats([record["category_id"]])
        described.add(record["mask_file"])
    showing = {path.name for path in folder.glob("*_fake_?_mask_*.png") if np.asarray(Image.open(path)).any()}
    assert described == showing
    return content


@pytest.mark.parametrize(
    "flags",
    ["", "--original_size", "--aspect_ratio 1.7", "--original_size --aspect_ratio 0.6", "--batch_size 3 --ins_per 1"],
)
def test_masks_are_those_of_the_files_bit_for_bit(trained, tmp_path, flags, capsys):
    folder = translate(trained, tmp_path, "--save_coco", *flags.split())
    content = check(folder)
    said = capsys.readouterr().out
    assert len(content["images"]) == 4 and content["annotations"]
    assert f"4 pictures, {len(content['annotations'])} instances" in said
    assert [category["name"] for category in content["categories"]] == ["A", "B"]
    assert {record["source_annotation_id"] for record in content["annotations"]} == {None}
    assert {image["source_file_name"] for image in content["images"]} == {"a0.png", "a1.png", "a2.png", "b0.png"}


def test_it_is_written_when_asked_for_and_an_old_one_is_removed(trained, tmp_path):
    before = translate(trained, tmp_path, "--save_coco", "--direction", "AtoB")
    assert [category["name"] for category in check(before)["categories"]] == ["B"]
    assert not (translate(trained, tmp_path) / "annotations.json").exists()


def crafted(tmp_path: Path, sizes: list[int]) -> tuple[Entry, Path]:
    """A result of a picture whose translated masks have so many pixels."""
    Image.new("RGB", (8, 6)).save(tmp_path / "p.png")
    masks = torch.full((1, len(sizes), 6, 8), -1.0)
    for slot, size in enumerate(sizes):
        masks[0, slot].view(-1)[slot : slot + size] = 1
    entry = Entry(
        tmp_path / "p.png",
        tuple(MaskFile(tmp_path / f"p_{k}.png", k, k % 2, f"id{k}") for k in range(len(sizes))),
        source_id=77,
    )
    batch = InstanceBatch.from_masks(torch.zeros(1, 3, 6, 8), masks)
    ResultFolder(tmp_path / "out").save(entry, batch, [batch], batch, "A", "B")
    return entry, tmp_path / "out"


def test_empty_masks_are_left_out_and_counted(tmp_path):
    entry, folder = crafted(tmp_path, [5, 0, 9, 0])
    results = CocoResults(folder, UNTOLD | {"A": (Category("cow", 7), Category("sheep", 9))})
    results.add(entry, "A", "B")
    line = results.write("x")
    assert "1 pictures, 2 instances; 2 translated masks are empty and left out" in line
    content = check(folder)
    told = [(record["source_annotation_id"], record["area"]) for record in content["annotations"]]
    assert told == [("id0", 5), ("id2", 9)]
    assert content["images"][0]["source_image_id"] == 77


CATEGORIES = {
    "ids of the source": (((("sheep", 20),), (("giraffe", 25),)), [(20, "sheep"), (25, "giraffe")]),
    "a group is one": (((("cow", 21), ("sheep", 20)), (("giraffe", 25),)), [(1, "cow,sheep"), (25, "giraffe")]),
    "ids from 0": (((("sheep", 0),), (("giraffe", 1),)), [(0, "sheep"), (1, "giraffe")]),
    "translated into 0": (((("sheep", 1),), (("giraffe", 0),)), [(1, "sheep"), (0, "giraffe")]),
    "free ids": (((("cow", 3), ("sheep", 4)), (("giraffe", 1),)), [(2, "cow,sheep"), (1, "giraffe")]),
    "one id twice": (((("sheep", 1),), (("giraffe", 1),)), [(1, "sheep"), (2, "giraffe")]),
    "no ids": (((("sheep", None),), (("giraffe", "g"),)), [(1, "sheep"), (2, "giraffe")]),
    "several ids": (((("sheep", [3, 4]),), (("giraffe", None),)), [(1, "sheep"), (2, "giraffe")]),
}


@pytest.mark.parametrize("case", CATEGORIES)
def test_categories_are_those_of_the_target(tmp_path, case):
    found, expected = CATEGORIES[case]
    categories = dict(zip("AB", (tuple(Category(*one) for one in group) for group in found), strict=True))
    entry, folder = crafted(tmp_path, [3, 4])
    results = CocoResults(folder, categories)
    results.add(Entry(entry.picture, tuple(MaskFile(mask.path, mask.number) for mask in entry.masks)), "A", "B")
    assert [(results.targets[letter]["id"], results.targets[letter]["name"]) for letter in "AB"] == expected
    results.write("x")
    content = check(folder)
    assert content["categories"] == [{"id": expected[1][0], "name": "giraffe"}]
    assert {record["category_id"] for record in content["annotations"]} == {expected[1][0]}


def test_a_method_without_a_mask_for_each_instance_is_refused(trained, tmp_path, capsys):
    runs = tmp_path / "runs"
    method = ("--model", "cycle_gan", "--with_masks", "--name", "run", "--max_steps", "1", "--no_html")
    assert train(trained / "data", runs, *method) == 0
    where = ("--checkpoints_dir", runs, "--results_dir", tmp_path, "--name", "run", "--dataroot", trained / "data")
    flags = ("--phase", "val", "--device", "cpu", "--num_threads", "0", "--save_coco")
    assert "--save_coco needs a mask of every translated" in sentence(capsys, test_program.main, *where, *flags)


def test_without_pycocotools_nothing_is_translated_or_removed(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    where = ("--checkpoints_dir", trained / "runs", "--results_dir", tmp_path, "--name", "run", "--phase", "val")
    data = ("--dataroot", trained / "data", "--device", "cpu", "--num_threads", "0")
    earlier = tmp_path / "run" / "val_latest" / "a_fake_B.png"
    earlier.parent.mkdir(parents=True)
    earlier.write_bytes(b"")
    assert "pip install pycocotools" in sentence(capsys, test_program.main, *where, *data, "--save_coco")
    assert list(tmp_path.rglob("*_fake_*")) == [earlier]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    entry, folder = crafted(tmp_path, [3])
    results = CocoResults(folder, UNTOLD)
    results.add(entry, "A", "B")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(InputError, match="annotations.json cannot be written .No space left"):
        results.write("x")
    assert not list(folder.glob("*annotations.json*"))


def test_translations_of_a_prepared_set_lead_back_to_the_annotations(tmp_path):
    root = write_coco(tmp_path / "coco")
    groups = ("--cat1", "cow,person", "--cat2", "sheep", "--image_size", "40", "--workers", "1")
    data = tmp_path / "data"
    assert prepare_coco.main(["--data_root", str(root), "--save_root", str(data), *groups]) == 0
    assert train(data, tmp_path / "runs", "--name", "run", "--max_steps", "1", "--no_html") == 0
    assert_traced(translate(tmp_path, tmp_path, "--save_coco", "--phase", "train"), root)


def test_translations_of_a_json_lead_back_to_its_annotations(tmp_path):
    root = write_coco(tmp_path / "coco")
    file, images = root / "annotations" / "instances_train2017.json", root / "train2017"
    mode = ("--dataset_mode", "coco", "--annotations", str(file), "--images", str(images))
    flags = (*mode, "--cat1", "cow,person", "--cat2", "sheep", "--checkpoints_dir", str(tmp_path / "runs"))
    assert train_program.main([*tiny(), *flags, "--name", "run", "--max_steps", "1", "--no_html"]) == 0
    assert_traced(translate(tmp_path, tmp_path, *mode, "--save_coco", "--phase", "train"), root)


def assert_traced(folder: Path, root: Path) -> None:
    """Every source annotation exists, is of the told picture and category, and lies in the domain translated from."""
    content, names = check(folder), {}
    source = COCO(str(root / "annotations" / "instances_train2017.json"))
    for record in content["annotations"]:
        image = content["images"][record["image_id"] - 1]
        annotation = source.loadAnns([record["source_annotation_id"]])[0]
        assert annotation["image_id"] == image["source_image_id"]
        category = source.loadCats([annotation["category_id"]])[0]["name"]
        assert record["source_category"] == category
        names[category] = image["file_name"].removesuffix(".png")[-1]
    assert names == {"cow": "B", "person": "B", "sheep": "A"}
    assert {(category["id"], category["name"]) for category in content["categories"]} == {
        (1, "cow,person"),
        (9, "sheep"),
    }


def test_another_json_at_test_time_is_translated_and_loaded_back(tmp_path):
    """The sizes are the pictures' own."""
    root, runs = tmp_path / "coco", ("--checkpoints_dir", str(tmp_path / "runs"))
    for seed, phase in enumerate(("train", "val")):
        write_coco(root, drawn_content(seed), phase)

    def part(phase: str) -> tuple[str, ...]:
        return "--annotations", f"{root}/annotations/instances_{phase}2017.json", "--images", f"{root}/{phase}2017"

    mode = ("--dataset_mode", "coco", "--cat1", "sheep,cow", "--cat2", "person", *part("train"))
    assert train_program.main([*tiny(), *mode, *runs, "--name", "run", "--max_steps", "1", "--no_html"]) == 0
    shown = ("--save_coco", "--original_size", "--num_test", "2")
    folder = translate(tmp_path, tmp_path, "--dataset_mode", "coco", *part("val"), *shown)
    content, source = check(folder), COCO(str(root / "annotations" / "instances_val2017.json"))
    assert len(content["images"]) == 3 and content["annotations"]
    assert (3, "person") in {(category["id"], category["name"]) for category in content["categories"]}
    for record in content["annotations"]:
        image = content["images"][record["image_id"] - 1]
        annotation = source.loadAnns([record["source_annotation_id"]])[0]
        assert annotation["image_id"] == image["source_image_id"]
        original = source.loadImgs([annotation["image_id"]])[0]
        assert (original["width"], original["height"]) == (image["width"], image["height"])
