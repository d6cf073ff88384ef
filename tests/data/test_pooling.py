"""--domains: the pictures of several domains in one pool, from folders and from a json; labels tell which is which."""

from argparse import Namespace
from pathlib import Path

import pytest

from data import DATASETS
from data.entries import Domain
from instagan.errors import InputError
from tests.preparing import write_coco
from tests.programs import draw_picture


def from_folders(root: Path, domains: str) -> dict[str, Domain]:
    return DATASETS["unaligned_seg"].list_domains(Namespace(dataroot=root, phase="train", domains=domains), "AB")


def from_json(root: Path, domains: str) -> dict[str, Domain]:
    file, images = root / "annotations" / "instances_train2017.json", root / "train2017"
    typed = {"annotations": file, "images": images, "cat1": None, "cat2": None, "domains": domains}
    options = Namespace(**typed, phase="train", skip_bad=False, crowd_as_instances=False)
    DATASETS["coco"].check(options)
    return DATASETS["coco"].list_domains(options, "AB")


def labels(domain: Domain) -> list[tuple[str, list[int]]]:
    return [(entry.stem, [mask.label for mask in entry.masks]) for entry in domain.entries]


def test_folders_of_letters_and_of_words_are_pooled_in_turn_under_names_of_their_own(tmp_path):
    for folder, names in (("trainA", ("x", "y", "z")), ("train_cow", ("x",))):
        for number, name in enumerate(names):
            draw_picture(tmp_path / folder / f"{name}.png", number + 1)
    pooled = from_folders(tmp_path, "A,cow")
    assert labels(pooled["A"]) == labels(pooled["B"])
    assert labels(pooled["A"]) == [("x", [0]), ("x-2", [1]), ("y", [0, 0]), ("z", [0, 0, 0])]
    assert [one.name for one in pooled["B"].categories["B"]] == ["A", "cow"]
    assert [labels(from_folders(tmp_path, "cow,A")["A"])[k] for k in (0, 1)] == [("x", [0]), ("x-2", [1])]


def test_categories_of_a_json_are_pooled_and_a_picture_shows_all_of_its_own(tmp_path):
    pytest.importorskip("pycocotools")
    pooled = from_json(write_coco(tmp_path), "sheep,cow")
    assert labels(pooled["A"]) == labels(pooled["B"])
    assert [found for _, found in labels(pooled["A"])] == [[1, 1, 1], [1], [1, 0], [1, 0], [0]]
    assert pooled["A"].categories["A"] == pooled["A"].categories["B"]
    with pytest.raises(InputError, match="--domains"):
        from_json(tmp_path, "sheep,unicorn")
