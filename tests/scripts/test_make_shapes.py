"""Laws of the embedded example: repeatable, masks that fit their pictures, truth that is true."""

import colorsys
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.shapes import drawing, hard
from scripts import make_shapes

TRAIN, VAL = 25, 6


def draw(folder: Path, *flags: str) -> Path:
    assert make_shapes.main(["--save_root", str(folder), "--train", str(TRAIN), "--val", str(VAL), *flags]) == 0
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("set") / "shapes")


@pytest.fixture(scope="module")
def truth(shapes):
    return json.loads((shapes / "shapes.json").read_text())


def masks_of(shapes: Path, key: str) -> list[np.ndarray]:
    picture = shapes / key
    folder = picture.parent.with_name(picture.parent.name + "_seg")
    count = len(list(folder.glob(f"{picture.stem}_*.png")))
    return [np.asarray(Image.open(folder / f"{picture.stem}_{slot}.png")) for slot in range(count)]


def test_the_same_seed_gives_the_same_bytes(shapes, tmp_path):
    assert content(draw(tmp_path / "again")) == content(shapes)


def test_another_seed_gives_other_pictures(shapes, tmp_path):
    other = content(draw(tmp_path / "other", "--seed", "1"))
    assert all(other[name] != data for name, data in content(shapes).items() if "_seg" not in name)


def test_a_longer_set_begins_with_the_shorter_one(shapes, tmp_path):
    longer = content(draw(tmp_path / "longer", "--train", str(TRAIN + 3), "--val", str(VAL + 1)))
    shorter = {name: data for name, data in content(shapes).items() if name != "shapes.json"}
    assert {name: longer[name] for name in shorter} == shorter


def test_every_picture_is_there_and_told_of(shapes, truth):
    for phase, count in (("train", TRAIN), ("val", VAL)):
        for domain, shape in (("A", "squares"), ("B", "triangles")):
            names = {f"{phase}{domain}/{shape}_{index:03d}.png" for index in range(count)}
            assert {key for key in truth["pictures"] if key.startswith(f"{phase}{domain}/")} == names
            assert {f"{phase}{domain}/{path.name}" for path in (shapes / f"{phase}{domain}").iterdir()} == names


def test_masks_are_crisp_apart_and_as_told(shapes, truth):
    for key, picture in truth["pictures"].items():
        masks = masks_of(shapes, key)
        assert len(masks) == len(picture["instances"])
        assert np.sum([mask > 0 for mask in masks], axis=0).max() == 1
        for mask, instance in zip(masks, picture["instances"], strict=True):
            assert mask.shape == Image.open(shapes / key).size == (64, 64)
            assert set(np.unique(mask)) == {0, 255}
            lines, columns = np.nonzero(mask)
            assert instance["box"] == [columns.min(), lines.min(), columns.max() + 1, lines.max() + 1]
            assert np.allclose([columns.mean() + 0.5, lines.mean() + 0.5], instance["centre"], atol=0.6)
            area = 1.0 if instance["shape"] == "square" else 0.72
            assert mask.sum() / 255 == pytest.approx(area * instance["size"] ** 2, rel=0.15)


def test_all_counts_and_backgrounds_occur_in_both_domains(truth):
    for domain in "AB":
        pictures = [picture for key, picture in truth["pictures"].items() if f"train{domain}/" in key]
        assert {len(picture["instances"]) for picture in pictures} == {1, 2, 3, 4}
        assert {picture["background"] for picture in pictures} == set(drawing.BACKGROUNDS)


def test_instances_have_their_domains_colours(shapes, truth):
    for key, picture in truth["pictures"].items():
        domain = truth["domains"][key.split("/")[0][-1]]
        drawn = np.asarray(Image.open(shapes / key)) / 255
        for mask, instance in zip(masks_of(shapes, key), picture["instances"], strict=True):
            assert instance["shape"] == domain["shape"]
            hue, saturation, value = colorsys.rgb_to_hsv(*instance["colour"])
            hue -= round(hue - np.mean(domain["hue"]))  # the turn nearest to the range
            for name, found in (("hue", hue), ("saturation", saturation), ("value", value)):
                assert domain[name][0] - 0.001 <= found <= domain[name][1] + 0.001
            assert np.allclose(drawn[mask > 0].mean(0), instance["colour"], atol=0.06)


def test_backgrounds_are_drawn_alike_and_muted(shapes, truth):
    means = {}
    for domain in "AB":
        outside = []
        for key in truth["pictures"]:
            if f"train{domain}/" in key:
                inside = np.sum(masks_of(shapes, key), axis=0) > 0
                outside.append((np.asarray(Image.open(shapes / key)) / 255)[~inside].mean(0))
        means[domain] = np.array(outside)
    assert np.allclose(means["A"].mean(0), means["B"].mean(0), atol=0.05)
    assert all(np.ptp(of_picture) < 0.2 for of_domain in means.values() for of_picture in of_domain)


def test_size_scales_the_scene(tmp_path):
    folder = draw(tmp_path / "large", "--size", "96")
    instances = json.loads((folder / "shapes.json").read_text())["pictures"].values()
    assert max(instance["size"] for picture in instances for instance in picture["instances"]) > 0.32 * 64
    assert Image.open(next((folder / "valB").iterdir())).size == (96, 96)


def test_a_folder_in_use_is_refused_unless_told_to_overwrite(shapes, tmp_path, capsys):
    folder = tmp_path / "taken"
    folder.mkdir()
    (folder / "mine.txt").write_text("keep")
    assert make_shapes.main(["--save_root", str(folder)]) == 2
    message = capsys.readouterr().err
    assert str(folder) in message and "--overwrite" in message and message.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    draw(folder, "--overwrite", "--train", str(TRAIN + 1))
    draw(folder, "--overwrite")  # nothing of the longer set stays
    assert content(folder) == content(shapes) | {"mine.txt": b"keep"}


def test_a_file_in_the_way_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert make_shapes.main(["--save_root", str(tmp_path / "file"), "--overwrite"]) == 2
    assert "is a file" in capsys.readouterr().err


def test_impossible_values_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        make_shapes.main(["--save_root", str(tmp_path / "new"), "--size", "8"])
    assert "--size must be at least 32, not 8" in capsys.readouterr().err


@pytest.fixture(scope="module")
def hard_shapes(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("set") / "hard", "--level", "hard", "--val_instances", "2", "8")


@pytest.fixture(scope="module")
def hard_truth(hard_shapes):
    return json.loads((hard_shapes / "shapes.json").read_text())


def test_the_plain_level_is_the_default_and_tells_no_level(shapes, truth, tmp_path):
    assert content(draw(tmp_path / "plain", "--level", "plain")) == content(shapes)
    assert "level" not in truth and not any("distractors" in picture for picture in truth["pictures"].values())


def test_the_hard_level_is_repeatable(hard_shapes, tmp_path):
    assert content(draw(tmp_path / "again", "--level", "hard", "--val_instances", "2", "8")) == content(hard_shapes)


def test_hard_masks_are_what_shows_of_their_instances(hard_shapes, hard_truth):
    for key, picture in hard_truth["pictures"].items():
        domain = drawing.DOMAINS["AB".index(key.split("/")[0][-1])]
        masks = [mask > 0 for mask in masks_of(hard_shapes, key)]
        assert np.sum(masks, axis=0).max() == 1
        for mask, told in zip(masks, picture["instances"], strict=True):
            whole = drawing.Instance(domain, told["centre"], told["size"], told["angle"], told["colour"])
            inside = whole.coverage(64) >= 0.5
            assert np.count_nonzero(mask & ~inside) <= 2  # the truth is rounded
            assert told["visible"] == pytest.approx(mask.sum() / inside.sum(), abs=0.02)
            assert told["visible"] >= hard.LEAST_VISIBLE - 0.001
            assert told["shape"] == domain.shape


def test_hard_pictures_hold_all_that_makes_them_hard(hard_truth):
    pictures = {key: picture for key, picture in hard_truth["pictures"].items() if key.startswith("train")}
    assert {len(picture["instances"]) for picture in pictures.values()} == set(range(1, 9))
    instances = [one for picture in pictures.values() for one in picture["instances"]]
    assert np.mean([one["visible"] < 0.999 for one in instances]) > 0.2  # partly covered
    assert {one["texture"] for one in instances} == set(hard.TEXTURES)
    assert {len(picture["distractors"]) for picture in pictures.values()} == {1, 2, 3}
    distractors = [one for picture in pictures.values() for one in picture["distractors"]]
    assert {one["shape"] for one in distractors} == {"disc", "cross"}
    for one in distractors:
        assert all(
            not domain.hue[0] <= colorsys.rgb_to_hsv(*one["colour"])[0] <= domain.hue[1] for domain in drawing.DOMAINS
        )


def test_distractors_are_seen_and_have_no_mask(hard_shapes, hard_truth):
    for key, picture in hard_truth["pictures"].items():
        covered = np.any([mask > 0 for mask in masks_of(hard_shapes, key)], axis=0)
        drawn = np.asarray(Image.open(hard_shapes / key)) / 255
        for inside, told in zip(hard.distractors_of(picture, 64), picture["distractors"], strict=True):
            assert not (inside & covered).all()
            left, top, right, bottom = told["box"]
            shows = np.zeros_like(inside)
            shows[top:bottom, left:right] = True
            assert told["visible"] < 1 or np.allclose(drawn[inside & shows].mean(0), told["colour"], atol=0.1)


def test_instances_may_be_told_in_turn(hard_truth, tmp_path):
    for domain, name in (("A", "squares"), ("B", "triangles")):
        counts = [
            len(hard_truth["pictures"][f"val{domain}/{name}_{index:03d}.png"]["instances"]) for index in range(VAL)
        ]
        assert counts == [2, 8] * (VAL // 2)
    plain = json.loads((draw(tmp_path / "set", "--instances", "3", "1") / "shapes.json").read_text())["pictures"]
    assert {len(picture["instances"]) for picture in plain.values()} == {1, 3}
    assert [len(plain[f"valA/squares_{index:03d}.png"]["instances"]) for index in range(VAL)] == [3, 1] * (VAL // 2)


def test_more_instances_than_a_level_has_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        make_shapes.main(["--save_root", str(tmp_path / "new"), "--instances", "2", "8"])
    assert "--instances must be 1 to 4 on the plain level, not 8" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_nothing_but_masks_tells_decoys_from_instances(tmp_path):
    """Both domains' pictures show unmasked objects of both domains, with the colours and textures of instances."""
    flags = ("--level", "decoys", "--train", "0", "--val", "12", "--instances", "1", "3", "8")
    told = json.loads((draw(tmp_path / "decoys", *flags) / "shapes.json").read_text())
    for domain in "AB":
        pictures = {key: picture for key, picture in told["pictures"].items() if key.startswith(f"val{domain}")}
        decoys = [one for picture in pictures.values() for one in picture["distractors"]]
        assert {one["shape"] for one in decoys} == {"square", "triangle"}
        for one in (*decoys, *(one for picture in pictures.values() for one in picture["instances"])):
            look = next(kind for kind in told["domains"].values() if kind["shape"] == one["shape"])
            hue = colorsys.rgb_to_hsv(*one["colour"])[0]
            assert look["hue"][0] - 0.001 <= hue - round(hue - np.mean(look["hue"])) <= look["hue"][1] + 0.001
            assert one["texture"] in hard.TEXTURES and one["visible"] >= hard.ALIKE.least_visible - 0.001
        for key, picture in pictures.items():
            masks = [mask > 0 for mask in masks_of(tmp_path / "decoys", key)]
            assert len(masks) == len(picture["instances"]) and len(picture["distractors"]) >= 2
            assert not any((decoy & mask).any() for decoy in hard.distractors_of(picture, 64) for mask in masks)
        hues = [[colorsys.rgb_to_hsv(*one["colour"])[0] for one in of["instances"]] for of in pictures.values()]
        assert np.mean([np.ptp(np.unwrap(np.array(of) * 2 * np.pi)) for of in hues if len(of) == 8]) > 0.5
