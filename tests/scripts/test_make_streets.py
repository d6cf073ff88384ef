"""Laws of the street scenes: repeatable, one scene under all skies, masks and boxes that fit, truth that is true."""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.boxes_mode import BoxFolder
from data.folders import list_domain
from data.streets.rendering import drawn, render
from data.streets.scene import CLASSES, COUNTS, draw_scene
from data.streets.styles import STYLES
from data.streets.writing import objects_of, runs_of
from scripts import make_streets

TINY = ("--train", "2", "--val", "2", "--test", "1", "--size", "48", "32", "--seed", "5")


def draw(folder: Path, *flags: str) -> Path:
    assert make_streets.main(["--save_root", str(folder), *TINY, *flags]) == 0
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("set") / "streets")


@pytest.fixture(scope="module")
def pictures(streets):
    return json.loads((streets / "streets.json").read_text())["pictures"]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def masks_of(streets: Path, key: str) -> list[np.ndarray]:
    folder, name = key.split("/")
    files = sorted((streets / f"{folder}_seg").glob(f"{Path(name).stem}_*.png"), key=lambda file: file.name)
    return [pixels(file) for file in files]


def test_the_same_seed_gives_the_same_bytes(streets, tmp_path):
    assert content(draw(tmp_path / "again")) == content(streets)


def test_another_seed_gives_other_scenes(streets, tmp_path):
    other = content(draw(tmp_path / "other", "--seed", "6"))
    images = [name for name in content(streets) if name.startswith(("trainA/", "trainB/", "valA/"))]
    assert len(images) == 6 and all(other[name] != content(streets)[name] for name in images)


def test_a_longer_set_begins_with_the_shorter_one(streets, tmp_path):
    longer = content(draw(tmp_path / "longer", "--train", "3", "--val", "3"))
    shorter = {name: data for name, data in content(streets).items() if name.endswith(".png")}
    assert {name: longer[name] for name in shorter} == shorter


def test_every_validation_scene_is_there_in_both_domains_with_equal_boxes(streets, pictures):
    for phase, count in (("val", 2), ("test", 1)):
        by_day = [key for key in pictures if key.startswith(f"{phase}A/")]
        assert len(by_day) == count
        for key in by_day:
            night = key.replace(f"{phase}A/", f"{phase}B/")
            a, b = pictures[key], pictures[night]
            assert a["objects"] == b["objects"] and a["scene"] == b["scene"] and a["renderings"] == b["renderings"]
            assert [mask.tobytes() for mask in masks_of(streets, key)] == [
                mask.tobytes() for mask in masks_of(streets, night)
            ]
            for letter, one in (("A", a), ("B", b)):
                assert list(one["renderings"][letter]) == [style.name for style in STYLES[letter]]
                shown = streets / one["renderings"][letter][one["style"]]
                assert shown.read_bytes() == (streets / key.replace("A/", f"{letter}/")).read_bytes()
            files = [file for renderings in a["renderings"].values() for file in renderings.values()]
            assert len({(streets / file).read_bytes() for file in files}) == 5


def test_training_scenes_of_the_domains_differ(pictures):
    a, b = ([one["objects"] for key, one in pictures.items() if key.startswith(f"train{letter}/")] for letter in "AB")
    assert len(a) == len(b) == 2 and all(one not in b for one in a)
    assert all(not one["renderings"] for key, one in pictures.items() if key.startswith("train"))


def test_masks_and_boxes_fit_each_other(streets, pictures):
    for key, picture in pictures.items():
        masks = masks_of(streets, key)
        assert len(masks) == len(picture["objects"]) > 0
        assert np.sum([mask > 0 for mask in masks], axis=0).max() == 1
        for mask, one in zip(masks, picture["objects"], strict=True):
            rows, columns = np.nonzero(mask == 255)
            assert set(np.unique(mask)) == {0, 255} and mask.shape == (32, 48)
            assert one["box"] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert one["pixels"] == len(rows) and one["class"] in CLASSES
            for x, y, radius in one.get("lamps", ()):
                assert one["box"][0] <= x <= one["box"][2] and one["box"][1] <= y <= one["box"][3] and radius > 0


def test_coco_annotations_say_the_same(streets, pictures):
    codec = pytest.importorskip("pycocotools.mask")
    for folder in ("trainA", "valB"):
        told = json.loads((streets / f"{folder}.json").read_text())
        assert [category["name"] for category in told["categories"]] == ["car", "person", "sign"]
        assert [one["file_name"] for one in told["images"]] == sorted(
            path.name for path in (streets / folder).iterdir()
        )
        for image in told["images"]:
            key = f"{folder}/{image['file_name']}"
            annotations = [one for one in told["annotations"] if one["image_id"] == image["id"]]
            for one, truth, mask in zip(annotations, pictures[key]["objects"], masks_of(streets, key), strict=True):
                runs = codec.frPyObjects(one["segmentation"], *one["segmentation"]["size"])
                assert np.array_equal(codec.decode(runs) > 0, mask > 0)
                left, top, width, height = one["bbox"]
                assert [left, top, left + width, top + height] == truth["box"]
                assert CLASSES[one["category_id"] - 1] == truth["class"] and one["area"] == truth["pixels"]


def test_boxes_and_folders_are_the_same_data(streets, pictures):
    pytest.importorskip("pycocotools")
    for phase in ("train", "val", "test"):
        found = BoxFolder().list_domains(
            Namespace(dataroot=streets, phase=phase, skip_bad=False, input_range=None), "AB"
        )
        for letter, domain in found.items():
            for entry, same in zip(domain.entries, list_domain(streets, phase, letter, True), strict=True):
                assert entry.picture.resolve() == same.picture.resolve()
                for one, other in zip(entry.masks, same.masks, strict=True):
                    assert one.label == other.label and np.array_equal(one.read((48, 32)), other.read((48, 32)))


def test_runs_begin_outside():
    assert runs_of(np.array([[True, False], [True, False]])) == [0, 2, 2]
    assert runs_of(np.array([[False, True], [False, False]])) == [2, 1, 1]


def test_the_folders_are_read_with_the_class_of_every_mask(streets, pictures):
    for folder in ("trainA", "valB"):
        for entry in list_domain(streets, folder[:-1], folder[-1], True):
            labels = [CLASSES[mask.label] for mask in entry.masks]
            assert labels == [one["class"] for one in pictures[f"{folder}/{entry.picture.name}"]["objects"]]


@pytest.mark.parametrize("size", [(33, 65), (130, 48), (96, 64)])
def test_any_size(size):
    scene = drawn(draw_scene(np.random.default_rng(0), size[0] / size[1]), *size)
    assert render(scene, STYLES["B"][2]).shape == (size[1], size[0], 3)
    assert objects_of(scene)


def test_a_scene_is_the_same_at_another_size():
    small, large = (drawn(draw_scene(np.random.default_rng(3), 1.5), width, width * 2 // 3) for width in (96, 192))
    pairs = list(zip(objects_of(small), objects_of(large), strict=True))
    assert len(pairs) > 2
    for one, twice in pairs:
        assert np.abs(2 * np.array(one.truth["box"]) - twice.truth["box"]).max() <= 2


def test_all_classes_are_shown_and_hardly_covered():
    counts = {kind: [] for kind in CLASSES}
    for seed in range(12):
        scene = drawn(draw_scene(np.random.default_rng(seed), 1.5), 96, 64)
        shown = [one.truth["class"] for one in objects_of(scene)]
        assert len(shown) == len(scene.scene.things)
        for kind in CLASSES:
            counts[kind].append(shown.count(kind))
    for kind, found in counts.items():
        assert max(found) == COUNTS[kind][1] and np.mean([count > 0 for count in found]) > 0.7


def test_by_night_each_class_looks_different_in_its_own_way():
    for seed in range(4):
        scene = drawn(draw_scene(np.random.default_rng(seed), 1.5), 96, 64)
        by_day = render(scene, STYLES["A"][0]).mean(2) / 255
        for style in STYLES["B"]:
            by_night = render(scene, style).mean(2) / 255
            assert by_night.mean() < by_day.mean() - 0.15
            for one in objects_of(scene):
                day, night = by_day[one.mask].mean(), by_night[one.mask].mean()
                if one.truth["class"] == "person":
                    assert night < 0.25 and night < 0.6 * day
                elif one.truth["class"] == "sign":
                    assert night > 0.45
                else:
                    for x, y, _ in one.truth["lamps"]:
                        at = by_night[int(y), int(x)]
                        assert at > night + 0.1


def test_what_is_there_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    for flags in ((), ("--overwrite",)):
        assert make_streets.main(["--save_root", str(tmp_path / "mine"), *TINY, *flags]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    root = draw(tmp_path / "set", "--train", "3")
    assert make_streets.main(["--save_root", str(root), *TINY]) == 2
    assert "add --overwrite" in capsys.readouterr().err
    draw(root, "--overwrite")
    assert len(list((root / "trainA").iterdir())) == 2


@pytest.mark.parametrize("flags, says", [(("--size", "16", "64"), "at least 32"), (("--val", "-1"), "--val must be")])
def test_numbers_out_of_range_are_refused(tmp_path, capsys, flags, says):
    with pytest.raises(SystemExit, match="2"):
        make_streets.main(["--save_root", str(tmp_path / "new"), *flags])
    assert says in capsys.readouterr().err and not (tmp_path / "new").exists()
