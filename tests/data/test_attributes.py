"""--attribute: keypoints, parts and boxes from files to batches, and back into files."""

from __future__ import annotations

import json
import pickle
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("pycocotools", reason="COCO needs pycocotools (requirements.txt)")

from data import DATASETS
from data.cache import reader
from data.collate import collate_pairs
from data.folders import list_domain
from data.keypoints import mirrored_order
from data.placement import Framing
from data.transport import collate_packed
from data.unaligned_instance_dataset import UnalignedInstanceDataset, read_sample
from instagan import Translator
from instagan.errors import InputError
from scripts import check_data, convert_checkpoint, export, make_shapes, prepare_coco
from tests.engine.test_resume import assert_equal
from tests.programs import sentence, test_program, tiny, train_program

CATEGORIES = ("--cat1", "square", "--cat2", "triangle")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> dict[str, Path]:
    """Drawn sets by what is told of their instances."""
    root = tmp_path_factory.mktemp("shapes")
    for attribute in ("masks", "keypoints", "parts"):
        where = ["--save_root", str(root / attribute), "--attribute", attribute, "--seed", "3"]
        assert make_shapes.main([*where, "--train", "5", "--val", "2", "--size", "48"]) == 0
    return {path.name: path for path in root.iterdir()}


def in_json(root: Path, phase: str = "train") -> list[str]:
    where = ("--annotations", str(root / f"{phase}.json"), "--images", str(root))
    return ["--dataset_mode", "coco", *where, *CATEGORIES]


def framing(**changed) -> Framing:
    return Framing("resize_and_crop", (60, 56), (48, 44), **({"random": True, "flip": True, "keypoints": 4} | changed))


def domains(root: Path) -> dict:
    told = {"annotations": str(root / "train.json"), "images": str(root), "cat1": "square", "cat2": "triangle"}
    how = {"phase": "train", "skip_bad": False, "crowd_as_instances": False, "attribute": "keypoints"}
    return DATASETS["coco"].list_domains(Namespace(**told, **how), "AB")


def test_pictures_and_masks_are_those_of_the_plain_set(shapes):
    plain, keypoints, parts = (shapes[name] for name in ("masks", "keypoints", "parts"))
    files = sorted(path.relative_to(plain) for path in plain.rglob("*.png"))
    assert len(files) > 30
    for file in files:
        assert (keypoints / file).read_bytes() == (plain / file).read_bytes()
        if "_seg" in file.parts[0]:
            labels, mask = (np.asarray(Image.open(root / file)) for root in (parts, plain))
            assert set(np.unique(labels)) == {0, 1, 2} and np.array_equal(labels > 0, mask > 0)
        else:
            assert (parts / file).read_bytes() == (plain / file).read_bytes()


def test_keypoints_of_drawn_shapes_there_and_back_within_a_pixel(shapes):
    """From the json through heat maps at the networks' size and their maxima back to pixels of the file."""
    truth = json.loads((shapes["keypoints"] / "shapes.json").read_text())["pictures"]
    whole, seen = framing(random=False).mode, (64, 60)
    for domain in domains(shapes["keypoints"]).values():
        for entry in domain.entries:
            sample = read_sample(entry, Framing(whole, seen, seen, False, False, keypoints=4), np.random.default_rng(0))
            batch = collate_pairs([(sample, sample)])["A"].drawn()
            found = batch.points[0] * torch.tensor([48 / 64, 48 / 60, 1])  # (n, K, 3)
            corners = [mask.keypoints.points for mask in entry.masks]
            for of_one, points in zip(found, corners, strict=True):
                known = torch.tensor(points).reshape(-1, 3)
                assert (of_one[: len(known), :2] - known[:, :2]).abs().max() < 1
                assert (of_one[: len(known), 2] == 2).all() and (of_one[len(known) :] == 0).all()
    assert len(truth) == 14


def test_a_mirrored_picture_exchanges_left_and_right(shapes):
    names = ("nose", "left_eye", "right_eye", "Left hand", "Right hand", "leftover", "tail_left")
    assert mirrored_order(names) == (0, 2, 1, 4, 3, 5, 6)
    entry = domains(shapes["keypoints"])["A"].entries[0]
    flips = 0
    for seed in range(8):
        sample = read_sample(entry, framing(), np.random.default_rng(seed))
        for points, mask in zip(sample.keypoints, sample.masks, strict=True):
            upper_left, upper_right, lower_right, lower_left = points
            if (points[:, 2] > 0).all():  # all corners are in the crop
                assert upper_left[0] < upper_right[0] and lower_left[0] < lower_right[0]
                assert upper_left[1] < lower_left[1] and upper_right[1] < lower_right[1]
                inside = mask > 0
                middle = points[:, :2].mean(0)
                assert inside[int(middle[1]), int(middle[0])]
        flips += framing().draw((48, 48), np.random.default_rng(seed)).flip
    assert 0 < flips < 8


def dataset(root: Path, attribute: str, cache: str = "none", folder: Path = Path()) -> UnalignedInstanceDataset:
    if attribute == "keypoints":
        a, b = (domain.entries for domain in domains(root).values())
        how = framing()
    else:
        a, b = (list_domain(root, "train", letter, with_masks=True) for letter in "AB")
        how = framing(keypoints=0, parts=2)
    return UnalignedInstanceDataset(a, b, how, 5, serial=False, read=reader(cache, a + b, how, folder, 2**24))


@pytest.mark.parametrize("attribute", ["keypoints", "parts"])
def test_workers_and_caches_change_nothing(shapes, tmp_path, attribute):
    plain = dataset(shapes[attribute], attribute)
    wanted = collate_pairs([plain[1, index] for index in range(4)])
    sent = pickle.loads(pickle.dumps(collate_packed([plain[1, index] for index in range(4)])))
    assert_equal(sent["B"].fields(), wanted["B"].fields())
    for kind in ("ram", "disk"):
        cached = dataset(shapes[attribute], attribute, kind, tmp_path)
        for _ in range(2):
            again = collate_pairs([cached[1, index] for index in range(4)])
            assert_equal(again["A"].fields(), wanted["A"].fields())


def test_a_mask_is_all_of_its_parts_and_they_are_placed_with_it(shapes):
    with_parts = dataset(shapes["parts"], "parts")
    masks = UnalignedInstanceDataset(with_parts.a, with_parts.b, framing(keypoints=0), 5, serial=False)
    for index in range(5):
        for sample, plain in zip(with_parts[1, index], masks[1, index], strict=True):
            assert torch.equal(sample.masks > 0, (sample.parts > 0).any(1)) and sample.parts.shape[1] == 2
            assert ((sample.parts > 0).sum(1) <= 1).all()
            assert torch.equal(sample.image, plain.image)
            upper, lower = (sample.parts > 0).any(3).unbind(1)  # rows (n, H)
            for above, below in zip(upper, lower, strict=True):
                if above.any() and below.any():
                    assert above.nonzero().min() <= below.nonzero().min()


def test_prepared_folders_tell_the_keypoints_of_the_json(shapes, tmp_path):
    where = ("--annotations", shapes["keypoints"] / "train.json", "--images", shapes["keypoints"])
    words = [
        *where,
        "--save_root",
        tmp_path / "set",
        *CATEGORIES,
        "--image_size",
        "32",
        "--keypoints",
        "--workers",
        "1",
    ]
    assert prepare_coco.main([str(word) for word in words]) == 0
    of_json = {entry.stem: entry for entry in domains(shapes["keypoints"])["B"].entries}
    options = Namespace(dataroot=str(tmp_path / "set"), phase="train")
    found = DATASETS["unaligned_seg"].list_domains(options, "AB")["B"]
    assert found.categories["B"][0].keypoints == ("top", "lower right", "lower left")
    for entry in found.entries:
        for mask, other in zip(entry.masks, of_json[entry.stem].masks, strict=True):
            placed = torch.tensor(mask.keypoints.points).reshape(-1, 3)
            wanted = torch.tensor(other.keypoints.points).reshape(-1, 3)
            torch.testing.assert_close(placed[:, :2], wanted[:, :2] * 32 / 48, rtol=0, atol=0.006)
            assert mask.keypoints.mirrored == (0, 2, 1)


def run(*flags: str, folder: Path) -> int:
    own = ("--checkpoints_dir", str(folder), "--no_html", "--pool_size", "2", "--name", "run")
    return train_program.main(tiny(*flags, *own))


def test_a_run_with_keypoints_resumes_to_the_bit_and_writes_points_of_its_translations(shapes, tmp_path, capsys):
    data, whole, cut = in_json(shapes["keypoints"]), tmp_path / "whole", tmp_path / "cut"
    told = ("--attribute", "keypoints", "--ins_max", "2")
    assert run(*data, *told, "--max_steps", "2", folder=whole) == 0
    assert run(*data, *told, "--max_steps", "1", folder=cut) == 0
    assert run("--continue_train", "--max_steps", "2", folder=cut) == 0
    one, other = (torch.load(folder / "run" / "latest.pth", weights_only=True) for folder in (whole, cut))
    assert_equal(one, other)
    where = ("--checkpoints_dir", str(cut), "--results_dir", str(tmp_path / "results"), "--name", "run")
    words = (*in_json(shapes["keypoints"], "val"), "--num_threads", "0", "--device", "cpu", "--phase", "val")
    assert test_program.main([*words, *where, "--save_coco", "--original_size", "--direction", "AtoB"]) == 0
    results = tmp_path / "results" / "run" / "val_latest"
    written = json.loads((results / "annotations.json").read_text())
    (category,) = written["categories"]
    assert category["name"] == "triangle" and len(category["keypoints"]) == 3
    sizes = {image["id"]: (image["width"], image["height"]) for image in written["images"]}
    assert written["annotations"]
    for annotation in written["annotations"]:
        points = np.array(annotation["keypoints"]).reshape(-1, 3)
        assert points.shape == (3, 3) and annotation["num_keypoints"] == (points[:, 2] > 0).sum()
        assert (points[:, :2] >= 0).all() and (points[:, :2] <= sizes[annotation["image_id"]]).all()
    by_number = json.loads(next(results.glob("*_fake_B_keypoints.json")).read_text())
    assert all(len(points) == 12 for points in by_number.values())  # with the one that triangles have not

    translator_gives_what_test_gives(cut / "run", shapes["keypoints"], results, capsys)


def translator_gives_what_test_gives(run_folder: Path, root: Path, results: Path, capsys) -> None:
    """The points of a picture at the networks' size are those that test.py has written; what is missing is said."""
    t = Translator.load(run_folder, "b")
    content = json.loads((root / "val.json").read_text())
    image = content["images"][0]
    with Image.open(root / image["file_name"]) as file:
        picture = file.convert("RGB").resize((32, 32), Image.Resampling.BICUBIC)
    points = [one["keypoints"] for one in content["annotations"] if one["image_id"] == image["id"]]
    points = [np.array(of_one).reshape(-1, 3) * (32 / 48, 32 / 48, 1) for of_one in points]
    stem = Path(image["file_name"]).stem
    folder = (root / image["file_name"]).parent
    masks = sorted(folder.with_name(f"{folder.name}_seg").glob(f"{stem}_*.png"))
    masks = [Image.open(mask).resize((32, 32), Image.Resampling.NEAREST) for mask in masks]
    out = t(picture, masks, keypoints=points)
    assert out.keypoints.shape == (len(masks), 4, 3) and out.parts is None
    written = json.loads((results / f"{stem}_fake_B_keypoints.json").read_text())
    for number, of_one in enumerate(out.keypoints):
        wanted = np.array(written[str(number)]).reshape(-1, 3) * (32 / 48, 32 / 48, 1)
        np.testing.assert_allclose(of_one, wanted, rtol=0, atol=0.2)  # two programs resize the picture
    assert t(picture).unchanged and t(picture).keypoints.shape == (0, 4, 3)
    for wrong, told in (
        ({"masks": masks}, "needs keypoints of every mask"),
        ({"masks": masks, "keypoints": points[:-1]}, f"keypoints of {len(masks) - 1} instances for {len(masks)} masks"),
        ({"masks": masks, "keypoints": [[1, 2]] * len(masks)}, "x, y and visibility"),
        ({"masks": masks, "keypoints": np.ones((len(masks), 5, 3))}, "knows 4 keypoints, not 5"),
        ({"masks": masks, "keypoints": points, "max_side": 16}, "max_side and crop_instances are for models of masks"),
    ):
        with pytest.raises(InputError, match=told):
            t(picture, **wrong)
    words = ["--run", str(run_folder), "--output", str(results / "published")]
    assert "published files cannot hold" in sentence(capsys, convert_checkpoint.main, *words)
    words = ["--model", str(run_folder), "--output", str(results / "x.onnx"), "--format", "onnx"]
    assert "know no keypoints or parts" in sentence(capsys, export.main, *words)


@pytest.mark.parametrize("method", ["one_way_insta_gan", "star_insta_gan"])
def test_methods_of_sets_learn_from_keypoints(shapes, tmp_path, method):
    flags = ("--domains", "square,triangle") if method == "star_insta_gan" else ()
    data = in_json(shapes["keypoints"])
    assert run(*data, "--model", method, *flags, "--attribute", "keypoints", "--max_steps", "1", folder=tmp_path) == 0
    told = torch.load(tmp_path / "run" / "latest.pth", weights_only=True)["translators"][0]
    assert told["config"]["attributes"] == 4 and {"masks", "keypoints"} <= set(told["needs"])


def test_parts_are_learnt_and_written_as_label_maps(shapes, tmp_path):
    data = ("--dataroot", str(shapes["parts"]))
    told = ("--attribute", "parts", "--attribute_channels", "2", "--max_steps", "1")
    assert run(*data, *told, folder=tmp_path) == 0
    where = ("--checkpoints_dir", str(tmp_path), "--results_dir", str(tmp_path / "results"), "--name", "run")
    words = (*data, "--num_threads", "0", "--device", "cpu", "--phase", "val", "--num_test", "1")
    assert test_program.main([*words, *where, "--direction", "AtoB"]) == 0
    t, (path, *_) = Translator.load(tmp_path / "run", "b"), sorted((shapes["parts"] / "valA_seg").glob("*_0.png"))
    out = t(shapes["parts"] / "valA" / f"{path.stem[:-2]}.png", parts=[path])
    assert out.parts.shape == (1, 48, 48) and out.parts.max() <= 2 and out.present == (True,)
    maps = list((tmp_path / "results").rglob("*_fake_B_parts_*.png"))
    assert maps and all(np.asarray(Image.open(path)).max() <= 2 for path in maps)


def test_boxes_are_rectangles_where_the_data_has_masks(shapes):
    entries = list_domain(shapes["masks"], "train", "B", with_masks=True)
    sample = read_sample(entries[0], framing(keypoints=0, boxes_only=True, random=False), np.random.default_rng(0))
    batch = collate_pairs([(sample, sample)])["A"]
    assert batch.given_masks is None
    inside = batch.masks[0] > 0  # (n, H, W)
    assert torch.equal(inside, inside.any(2)[:, :, None] & inside.any(1)[:, None])


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--attribute", "keypoints"), "tells no keypoints of trainA; prepare it with scripts/prepare_coco.py"),
        (("--attribute", "parts"), "--attribute parts needs --attribute_channels"),
        (("--attribute", "boxes", "--mask_noise", "drop"), "--mask_noise damages masks"),
        (("--attribute_channels", "3"), "--attribute masks has none; drop it"),
        (("--model", "cycle_gan", "--attribute", "boxes"), "--attribute belongs to --model insta_gan, one_way"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(shapes, tmp_path, capsys, flags, told):
    words = ["--dataroot", str(shapes["parts"]), "--checkpoints_dir", str(tmp_path), "--name", "x", *flags]
    assert told in sentence(capsys, train_program.main, *tiny(*words, "--max_steps", "1"))


def test_parts_that_are_too_many_or_in_colour_are_named(shapes, tmp_path):
    (entry, *_) = list_domain(shapes["parts"], "train", "A", with_masks=True)
    path = entry.masks[0].path
    with pytest.raises(InputError, match=f"{path} holds part 2, but --attribute_channels is 1"):
        entry.masks[0].read_parts((48, 48), 1)
    Image.open(path).convert("RGB").save(tmp_path / path.name)
    with pytest.raises(InputError, match=r"is in colour \(RGB\)"):
        replace(entry.masks[0], path=tmp_path / path.name).read_parts((48, 48), 2)


def test_check_data_knows_label_maps(shapes, capsys):
    for parts, code, told in ((2, 0, "0 errors, 0 warnings"), (1, 1, "holds part 2, and there are 1 (--parts)")):
        words = ["--dataroot", str(shapes["parts"]), "--parts", str(parts), "--workers", "1", "--phases", "val"]
        assert check_data.main(words) == code
        assert told in capsys.readouterr().out


def test_keypoints_that_do_not_fit_their_category_are_named(shapes, tmp_path):
    content = json.loads((shapes["keypoints"] / "train.json").read_text())
    content["annotations"][0]["keypoints"].pop()
    (tmp_path / "train.json").write_text(json.dumps(content))
    for path in shapes["keypoints"].glob("train*"):
        if path.is_dir():
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(InputError, match=r"annotation 1: has 11 numbers as keypoints; its category has 4"):
        domains(tmp_path)
