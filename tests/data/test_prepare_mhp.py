"""Laws of MHP -> data set, on a tree in LV-MHP-v1's layout: one mask for each person who wears the label."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.preparing import mhp
from scripts import prepare_mhp
from tests.preparing import check_set, contents, draw_noise, load, masks_of
from tests.programs import sentence

SIZE = (24, 36)
PEOPLE = {  # picture -> what each person wears; 5 skirt, 6 pants
    "0001": ((6,), (6, 5), (7,)),
    "0002": ((5,), (2,)),
    "1": ((6,),),
    "0003": ((5,), (6,)),
}


def write_mhp(root: Path, mode: str = "L") -> Path:
    (root / "annotations").mkdir(parents=True)
    for number, people in PEOPLE.items():
        size = SIZE[::-1] if number == "0003" else SIZE
        draw_noise(root / f"images/{number}.jpg", size, seed=len(number))
        for person, labels in enumerate(people, 1):
            truth = np.zeros(size[::-1], np.uint8)
            for slot, label in enumerate(labels):
                truth[4 * person : 4 * person + 3, 8 + 5 * slot : 12 + 5 * slot] = label
            name = f"{number}_{len(people):02d}_{person:02d}.png"
            Image.fromarray(truth).convert(mode).save(root / "annotations" / name)
    (root / "train_list.txt").write_bytes(b"\xef\xbb\xbf0001.jpg\r\n1.jpg\r\n\r\nimages\\0003.jpg\r\n")
    (root / "test_list.txt").write_text("0002.jpg\r\n0001.jpg\r\n")
    return root


def flags(root: Path, save: Path, *more: str) -> list[str]:
    common = ["--cat1", "pants", "--cat2", "skirt", "--image_size", "20x30", "--workers", "1"]
    return ["--data_root", str(root), "--save_root", str(save), *common, *more]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_person_who_wears_it_is_an_instance(tmp_path, mode):
    assert prepare_mhp.main(flags(write_mhp(tmp_path / "mhp", mode), tmp_path / "set")) == 0
    check_set(tmp_path / "set")
    told = load(tmp_path / "set")
    ids = {key: [i["id"] for i in entry["instances"]] for key, entry in told["pictures"].items()}
    assert ids == {
        "trainA/0001.png": ["0001_03_01", "0001_03_02"],
        "trainA/1.png": ["1_01_01"],
        "trainB/0001.png": ["0001_03_02"],
        "testA/0001.png": ["0001_03_01", "0001_03_02"],
        "testB/0002.png": ["0002_02_01"],
        "testB/0001.png": ["0001_03_02"],
    }
    assert told["categories"] == {"A": [{"name": "pants", "source_id": 6}], "B": [{"name": "skirt", "source_id": 5}]}


def test_masks_are_where_the_labels_are(tmp_path):
    assert prepare_mhp.main(flags(write_mhp(tmp_path / "mhp"), tmp_path / "set", "--image_size", "0")) == 0
    mask = masks_of(tmp_path / "set", "trainB/0001.png")[0]
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 10, 13, 16)


def test_landscape_pictures_are_taken_on_request(tmp_path):
    root = write_mhp(tmp_path / "mhp")
    assert prepare_mhp.main(flags(root, tmp_path / "set", "--no_skip_horizontal", "--cat1", "pants,dress")) == 0
    told = load(tmp_path / "set")["pictures"]
    assert "trainB/0003.png" in told
    instances = told["trainA/0001.png"]["instances"]
    assert [(i["id"], i["category"]) for i in instances] == [
        ("0001_03_01:6", 0),
        ("0001_03_02:6", 0),
        ("0001_03_03:7", 1),
    ]


def test_the_folder_of_annotations_is_read_once(tmp_path, monkeypatch):
    root = write_mhp(tmp_path / "mhp")
    scanned = []
    scan = os.scandir
    monkeypatch.setattr(mhp.os, "scandir", lambda path: (scanned.append(path), scan(path))[1])
    assert prepare_mhp.main(flags(root, tmp_path / "set")) == 0
    assert scanned.count(root / "annotations") == 1


def test_processes_do_not_matter(tmp_path):
    root = write_mhp(tmp_path / "mhp")
    assert prepare_mhp.main(flags(root, tmp_path / "one")) == 0
    assert prepare_mhp.main(flags(root, tmp_path / "two", "--workers", "2")) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_bad_input_ends_in_one_sentence(tmp_path, capsys):
    root = write_mhp(tmp_path / "mhp")
    for more, told in (
        (("--cat1", "pant"), "nearest are: pants"),
        (("--cat1", "background"), "no category 'background'"),
        (("--cat2", "pants"), "both name"),
        (("--cat2", "scarf"), "no picture of domain B"),
        (("--data_root", str(tmp_path)), "annotations: no such folder"),
    ):
        assert told in sentence(capsys, prepare_mhp.main, *flags(root, tmp_path / "set", *more))
    (root / "train_list.txt").write_text("0001.jpg\n77.jpg\n")
    assert "lists 77" in sentence(capsys, prepare_mhp.main, *flags(root, tmp_path / "set"))
    (root / "annotations/0001_03_02.png").write_bytes(b"")
    message = sentence(capsys, prepare_mhp.main, *flags(root, tmp_path / "set", "--max_instances", "9"))
    assert "77" in message
    assert prepare_mhp.main(flags(root, tmp_path / "set", "--skip_bad", "--cat1", "skirt", "--cat2", "hair")) == 0
    assert "0001_03_02.png" in capsys.readouterr().err
    check_set(tmp_path / "set")
    for name in ("train_list.txt", "test_list.txt"):
        (root / name).unlink()
    assert "train_list.txt: no such file" in sentence(capsys, prepare_mhp.main, *flags(root, tmp_path / "set"))
