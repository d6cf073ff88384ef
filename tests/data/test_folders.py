"""Which masks belong to which picture is decided by names alone, and whatever is missing is named."""

from argparse import Namespace
from pathlib import Path

import pytest
from PIL import Image

from data import DATASETS
from data.entries import Domain
from data.folders import list_domain
from instagan.errors import InputError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), 255).save(path)


def masks_of(root: Path, phase: str = "train", domain: str = "A") -> dict[str, list[str]]:
    entries = list_domain(root, phase, domain, with_masks=True)
    return {entry.picture.name: [mask.path.name for mask in entry.masks] for entry in entries}


def test_masks_come_in_the_order_of_their_numbers_gaps_and_all(tmp_path):
    touch(tmp_path / "trainA" / "p.png")
    touch(*(tmp_path / "trainA_seg" / f"p_{number}.png" for number in (10, 2, 0, 7, 1)))
    assert masks_of(tmp_path) == {"p.png": [f"p_{number}.png" for number in (0, 1, 2, 7, 10)]}
    assert list_domain(tmp_path, "train", "A", with_masks=True)[0].mask_numbers == (0, 1, 2, 7, 10)


@pytest.mark.parametrize("folder", ["trainA", "trainA_seg"])
def test_a_folder_that_cannot_be_listed_is_one_sentence(tmp_path, monkeypatch, folder):
    touch(tmp_path / "trainA" / "p.png", tmp_path / "trainA_seg" / "p_0.png")
    listing = Path.iterdir

    def refused(path: Path):
        if path.name == folder:
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(InputError, match=f"{folder} cannot be listed \\(Permission denied\\)"):
        list_domain(tmp_path, "train", "A", with_masks=True)


def test_pictures_do_not_steal_masks_of_similar_names(tmp_path):
    touch(*(tmp_path / "trainA" / name for name in ("a.png", "a_1.png", "a_1_2.png", "_0.png", "a_.png", "a 1.png")))
    names = ("a_0", "a_1", "a_2", "a_1_0", "a_1_2_0", "_0_0", "a__3", "a 1_4", "a_x_0", "b_0", "a_", "a", "a_-1")
    touch(*(tmp_path / "trainA_seg" / f"{name}.png" for name in names))
    assert masks_of(tmp_path) == {
        "a.png": ["a_0.png", "a_1.png", "a_2.png"],
        "a_1.png": ["a_1_0.png"],
        "a_1_2.png": ["a_1_2_0.png"],
        "_0.png": ["_0_0.png"],
        "a_.png": ["a__3.png"],
        "a 1.png": ["a 1_4.png"],
    }


ODD = ("A_seg", "trainA", "x_seg_0", "UPPER.case", "two words", "dots.in.name", "schön_羊", "A", "_", "[a]*?", "%d{}")


@pytest.mark.parametrize("part", ODD)
def test_paths_may_hold_anything(tmp_path, part):
    root = tmp_path / part / f"{part}A" / part
    touch(root / "trainA" / f"{part}.png", root / "trainA_seg" / f"{part}_0.png", root / "trainA_seg" / f"{part}_1.PNG")
    (entry,) = list_domain(root, "train", "A", with_masks=True)
    assert entry.picture == root / "trainA" / f"{part}.png"
    assert tuple(mask.path for mask in entry.masks) == (
        root / "trainA_seg" / f"{part}_0.png",
        root / "trainA_seg" / f"{part}_1.PNG",
    )


def test_all_picture_kinds_count_and_nothing_else(tmp_path):
    kinds = ["a.png", "b.JPG", "c.jpeg", "d.bmp", "e.WebP"]
    touch(*(tmp_path / "trainA" / name for name in kinds))
    touch(tmp_path / "trainA" / "._a.png", tmp_path / "trainA" / "folder.png" / "x.png")
    (tmp_path / "trainA" / "notes.txt").write_text("")
    (tmp_path / "trainA_seg").mkdir()
    assert list(masks_of(tmp_path)) == kinds


def test_pictures_are_sorted_whatever_the_file_system_says(tmp_path):
    names = [f"{number}.png" for number in (3, 1, 20, 10, 2)]
    touch(*(tmp_path / "trainA" / name for name in names))
    (tmp_path / "trainA_seg").mkdir()
    assert list(masks_of(tmp_path)) == sorted(names)


def test_a_picture_without_masks_is_legal_and_counted(tmp_path):
    touch(tmp_path / "trainA" / "a.png", tmp_path / "trainA" / "b.png", tmp_path / "trainA_seg" / "a_0.png")
    assert masks_of(tmp_path) == {"a.png": ["a_0.png"], "b.png": []}
    line = Domain("trainA", list_domain(tmp_path, "train", "A", with_masks=True)).summary()
    assert "2 pictures, 1 instance mask" in line
    assert "1 of the pictures" in line


def test_without_masks_the_mask_folder_is_not_needed(tmp_path):
    touch(tmp_path / "trainA" / "a.png")
    (entry,) = DATASETS["unaligned"].list_domains(Namespace(dataroot=tmp_path, phase="train"), "A")["A"].entries
    assert entry.masks == ()


def test_what_is_missing_is_named(tmp_path):
    def message(root: Path = tmp_path, phase: str = "train", domain: str = "A") -> str:
        with pytest.raises(InputError) as caught:
            list_domain(root, phase, domain, with_masks=True)
        return str(caught.value)

    assert "--dataroot" in message(tmp_path / "none") and "none" in message(tmp_path / "none")
    assert str(tmp_path / "trainA") in message()
    (tmp_path / "trainA").mkdir()
    assert "holds no picture" in message() and "trainA" in message()
    touch(tmp_path / "trainA" / "a.png")
    assert "trainA_seg" in message()
    touch(tmp_path / "trainA" / "a.jpg", tmp_path / "trainA_seg" / "a_0.png")
    assert "a.png" in message() and "a.jpg" in message()


@pytest.mark.parametrize("twin", ["a_01.png", "a_1.jpg"])
def test_two_masks_with_one_number_are_refused(tmp_path, twin):
    touch(tmp_path / "trainA" / "a.png", tmp_path / "trainA_seg" / "a_1.png", tmp_path / "trainA_seg" / twin)
    with pytest.raises(InputError, match="a_1.png") as caught:
        masks_of(tmp_path)
    assert twin in str(caught.value)


@pytest.mark.parametrize("there", ["val", "sample", "holdout"])
def test_a_missing_phase_points_to_one_that_is_there(tmp_path, there):
    touch(tmp_path / f"{there}A" / "a.png", tmp_path / "trainA" / "a.png")
    with pytest.raises(InputError, match="testA: no such folder") as caught:
        list_domain(tmp_path, "test", "A", with_masks=True)
    assert f"{there}A" in str(caught.value)
    assert f"--phase {there}" in str(caught.value)


def test_a_missing_domain_points_to_one_direction(tmp_path):
    touch(tmp_path / "testA" / "a.png")
    with pytest.raises(InputError, match="testB: no such folder.*--direction AtoB"):
        list_domain(tmp_path, "test", "B", with_masks=True)
