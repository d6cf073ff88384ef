"""Laws of COCO -> data set: counts and masks are pycocotools', bad records end in one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pycocotools", reason="COCO needs pycocotools (requirements.txt)")
from pycocotools import mask as codec
from pycocotools.coco import COCO

from data.preparing.names import LONGEST, distinct_names
from instagan.io.segmentations import decode
from scripts import prepare_coco
from tests.preparing import check_set, coco_content, contents, drawn_content, load, masks_of, square, write_coco
from tests.programs import sentence

pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")  # pycocotools under numpy 2

COW_SHEEP = ("--cat1", "cow", "--cat2", "sheep", "--image_size", "32", "--workers", "1")


def prepare(root: Path, save: Path, *flags: str) -> int:
    return prepare_coco.main(["--data_root", str(root), "--save_root", str(save), *COW_SHEEP, *flags])


def by_pycocotools(annotations: Path, names: list[str], size: int) -> dict[str, list[tuple[int, np.ndarray]]]:
    """File stem -> (annotation id, mask after resize and crop) of the instances that are no crowd and not empty."""
    coco = COCO(str(annotations))
    ids = coco.getCatIds(catNms=names)
    kept = {}
    for image in coco.loadImgs(coco.getImgIds()):
        found = []
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=image["id"], catIds=ids, iscrowd=False)):
            mask = Image.fromarray(coco.annToMask(annotation) * 255)
            width, height = mask.size
            shorter = min(width, height)
            width, height = int(size * width / shorter), int(size * height / shorter)
            left, top = round((width - size) / 2), round((height - size) / 2)
            mask = mask.resize((width, height), Image.Resampling.NEAREST).crop((left, top, left + size, top + size))
            if np.asarray(mask).any():
                found.append((annotation["id"], np.asarray(mask) > 0))
        if found:
            kept[Path(image["file_name"]).stem] = found
    return kept


def check_against_pycocotools(root: Path, save: Path, phase: str, domain: str, names: list[str], size: int) -> None:
    expected = by_pycocotools(root / "annotations" / f"instances_{phase}2017.json", names, size)
    told = {key: entry for key, entry in load(save)["pictures"].items() if key.startswith(f"{phase}{domain}/")}
    assert {Path(key).stem for key in told} == set(expected)
    for key, entry in told.items():
        assert [instance["id"] for instance in entry["instances"]] == [number for number, _ in expected[Path(key).stem]]
        for mask, (_, other) in zip(masks_of(save, key), expected[Path(key).stem], strict=True):
            assert np.array_equal(mask, other)


def test_pictures_and_masks_are_those_of_pycocotools(tmp_path, capsys):
    root = write_coco(tmp_path / "coco")
    assert prepare(root, tmp_path / "set") == 0
    line = capsys.readouterr().out.splitlines()[-1]
    check_set(tmp_path / "set")
    for domain, names in (("A", ["cow"]), ("B", ["sheep"])):
        check_against_pycocotools(root, tmp_path / "set", "train", domain, names, 32)
    for told in ("trainA 4 pictures, 5 instances (cow)", "trainB 3 pictures, 3 instances (sheep)", "1 crowd",
                 "1 instances empty after the crop", "2 train pictures hold categories of both"):  # fmt: skip
        assert told in line


@pytest.mark.parametrize("cat1, cat2", [("cow", "sheep"), ("sheep", "person")])
def test_outlines_as_people_draw_them_are_read_as_by_pycocotools(tmp_path, cat1, cat2):
    root = tmp_path / "coco"
    for seed, phase in enumerate(("train", "val")):
        write_coco(root, drawn_content(seed), phase)
    flags = ["--cat1", cat1, "--cat2", cat2, "--image_size", "64", "--workers", "1"]
    assert prepare_coco.main(["--data_root", str(root), "--save_root", str(tmp_path / "set"), *flags]) == 0
    check_set(tmp_path / "set")
    for phase in ("train", "val"):
        for domain, name in (("A", cat1), ("B", cat2)):
            check_against_pycocotools(root, tmp_path / "set", phase, domain, [name], 64)


def test_groups_of_categories_carry_their_index(tmp_path):
    assert prepare(write_coco(tmp_path / "coco"), tmp_path / "set", "--cat1", "sheep, cow", "--cat2", "person") == 0
    told = load(tmp_path / "set")
    assert told["categories"]["A"] == [{"name": "sheep", "source_id": 9}, {"name": "cow", "source_id": 7}]
    ids = {i["id"]: i["category"] for entry in told["pictures"].values() for i in entry["instances"]}
    assert (ids[105], ids[104], ids[110]) == (0, 1, 0)


def test_full_pictures_and_original_sizes(tmp_path):
    root = write_coco(tmp_path / "coco")
    assert prepare(root, tmp_path / "full", "--keep_aspect") == 0
    assert load(tmp_path / "full")["pictures"]["trainA/000000000001.png"]["size"] == [48, 32]
    assert load(tmp_path / "full")["dropped"] == {}
    assert prepare(root, tmp_path / "as_is", "--image_size", "0") == 0
    key = "trainA/000000000002.png"
    assert load(tmp_path / "as_is")["pictures"][key]["size"] == [60, 40]
    assert masks_of(tmp_path / "as_is", key)[0].nonzero()[1].tolist() == [20, 21] * 10
    assert np.array_equal(Image.open(tmp_path / "as_is" / key), Image.open(root / "train2017/000000000002.jpg"))


def test_small_and_surplus_instances_are_dropped_without_gaps(tmp_path):
    root = write_coco(tmp_path / "coco")
    assert prepare(root, tmp_path / "large", "--min_area", "70") == 0
    told = load(tmp_path / "large")
    assert [i["id"] for i in told["pictures"]["trainA/000000000001.png"]["instances"]] == [100, 102]
    assert "trainA/000000000002.png" in told["left_out"]
    assert prepare(root, tmp_path / "few", "--max_instances", "1") == 0
    assert [i["id"] for i in load(tmp_path / "few")["pictures"]["trainA/000000000001.png"]["instances"]] == [100]
    check_set(tmp_path / "few")


def test_one_annotation_file_can_be_split(tmp_path):
    root = write_coco(tmp_path / "coco")
    where = ["--annotations", str(root / "annotations/instances_train2017.json"), "--images", str(root / "train2017")]
    flags = ["--save_root", str(tmp_path / "set"), *COW_SHEEP, "--val_share", "0.5"]
    assert prepare_coco.main([*where, *flags]) == 0
    keys = load(tmp_path / "set")["pictures"]
    in_phase = {phase: {Path(key).stem for key in keys if key.startswith(phase)} for phase in ("train", "val")}
    assert in_phase["train"] and in_phase["val"] and not in_phase["train"] & in_phase["val"]


def test_absent_pictures_are_counted_and_named(tmp_path, capsys):
    root = write_coco(tmp_path / "coco")
    (root / "train2017/000000000002.jpg").unlink()
    assert prepare(root, tmp_path / "set") == 0
    out, err = capsys.readouterr()
    assert "1 absent" in out.splitlines()[-1] and "000000000002.jpg" in err
    assert load(tmp_path / "set")["skipped"][0]["file"] == "train2017/000000000002.jpg"
    for path in (root / "train2017").iterdir():
        path.unlink()
    assert "none of the 4 pictures of cow" in sentence(capsys, prepare_coco.main, *flags_for(root, tmp_path / "none"))


def flags_for(root: Path, save: Path, *flags: str) -> list[str]:
    return ["--data_root", str(root), "--save_root", str(save), *COW_SHEEP, *flags]


BAD_SEGMENTATIONS = {
    "two points": ([[10, 10, 20, 20]], "three points"),
    "odd": ([[10, 10, 20, 20, 30, 30, 5]], "three points"),
    "nan": ([[10, 10, 20, float("nan"), 30, 30]], "not a number"),
    "far": ([[10, 10, 1e9, 20, 30, 30]], "far outside"),
    "no list": ([], "has no segmentation, and its box [5, 5, 0, 3] holds nothing"),
    "empty lists": ([[], []], "[5, 5, 0, 3] holds nothing"),
    "nothing": (None, "[5, 5, 0, 3] holds nothing"),
    "words": (["cow"], "segmentation"),
    "short runs": ({"size": [40, 60], "counts": [100, 10]}, "add up to 110"),
    "negative runs": ({"size": [40, 60], "counts": [2410, -10]}, "0 or more"),
    "other size": ({"size": [10, 10], "counts": [100]}, "size"),
    "broken text": ({"size": [40, 60], "counts": "~~"}, "letter"),
    "cut text": ({"size": [40, 60], "counts": "PPPPPP"}, "break off"),
}


@pytest.mark.parametrize("case", BAD_SEGMENTATIONS)
def test_a_bad_annotation_ends_in_one_sentence_or_is_listed(tmp_path, capsys, case):
    segmentation, told = BAD_SEGMENTATIONS[case]
    content = coco_content()
    content["annotations"][4] |= {"segmentation": segmentation, "bbox": [5, 5, 0, 3]}
    root = write_coco(tmp_path / "coco", content)
    message = sentence(capsys, prepare_coco.main, *flags_for(root, tmp_path / "set"))
    assert "instances_train2017.json, annotation 104" in message and told in message
    assert prepare(root, tmp_path / "set", "--skip_bad") == 0
    out, err = capsys.readouterr()
    assert "annotation 104" in err and "left out as bad: 1 instance" in out.splitlines()[-1]
    check_set(tmp_path / "set")
    assert "trainA/000000000003.png" not in load(tmp_path / "set")["pictures"]


@pytest.mark.parametrize(
    "text, told",
    [
        ("no json", "not a json file"),
        ("[1, 2]", "COCO's format"),
        ('{"images": [], "categories": []}', "no list 'annotations'"),
        ('{"images": [], "annotations": [], "categories": [3]}', "category without name"),
        ("[" * 100000, "not a json file"),
        ("\xff", "not a json file"),
    ],
)
def test_a_file_that_is_not_coco_is_named(tmp_path, capsys, text, told):
    root = write_coco(tmp_path / "coco")
    (root / "annotations/instances_train2017.json").write_bytes(text.encode("latin-1"))
    message = sentence(capsys, prepare_coco.main, *flags_for(root, tmp_path / "set"))
    assert "instances_train2017.json" in message and told in message
    assert not (tmp_path / "set").exists()


def test_bad_records_are_named(tmp_path, capsys):
    cases = (
        (lambda c: c["annotations"][0].pop("image_id"), "has no 'image_id'"),
        (lambda c: c["annotations"][0].update(image_id=99), "picture 99"),
        (lambda c: c["annotations"][0].update(id=[1]), "annotation at place 0 of its list (from 0): has a wrong id"),
        (lambda c: c["images"][0].update(file_name="../../secret.jpg"), "leads out"),
        (lambda c: c["images"][0].update(width=1.5), "width is 1.5"),
        (lambda c: c["images"][2].update(width=61), "was annotated at 61x40"),
    )
    for number, (change, told) in enumerate(cases):
        content, save = coco_content(), tmp_path / f"set{number}"
        root = write_coco(tmp_path / "coco", content)
        change(content)
        (root / "annotations/instances_train2017.json").write_text(json.dumps(content))
        assert told in sentence(capsys, prepare_coco.main, *flags_for(root, save))
        assert prepare(root, save, "--skip_bad") == 0
        check_set(save)


def test_wrong_flags_say_what_to_do(tmp_path, capsys):
    root = write_coco(tmp_path / "coco")
    content = coco_content()
    content["annotations"] = [record for record in content["annotations"] if record["category_id"] != 9]
    bare = write_coco(tmp_path / "bare", content)
    for flags, told in (
        (flags_for(root, tmp_path / "s", "--cat1", "cwo"), "nearest are: cow"),
        (flags_for(root, tmp_path / "s", "--cat1", "zebra"), "cow, sheep, person"),
        (flags_for(root, tmp_path / "s", "--cat1", "sheep"), "both name 'sheep'"),
        (flags_for(root, tmp_path / "s", "--cat1", ","), "--cat1 is empty"),
        (flags_for(bare, tmp_path / "s"), "--cat2"),
        (flags_for(tmp_path / "nowhere", tmp_path / "s"), "no such folder"),
        (flags_for(root, tmp_path / "s", "--year", "2014"), "instances_train2014.json: no such file"),
        (flags_for(root, tmp_path / "s", "--annotations", "x.json"), "or else"),
        (flags_for(root, tmp_path / "s", "--min_area", "100000"), "lower --min_area"),
        (["--annotations", "x.json", "--save_root", "s", *COW_SHEEP], "needs --images"),
    ):
        assert told in sentence(capsys, prepare_coco.main, *flags)
        assert not (tmp_path / "s" / "dataset.json").exists()
    for flag, value in (("--image_size", "-3"), ("--workers", "0"), ("--val_share", "1"), ("--min_area", "x")):
        with pytest.raises(SystemExit, match="2"):
            prepare(root, tmp_path / "s", flag, value)
        assert flag in capsys.readouterr().err


def test_hostile_and_equal_names_are_made_safe(tmp_path):
    content = coco_content()
    long = "ü" * 110
    names = ["sub/x.jpg", "X.png", f"{long}.jpg", "羊 1.jpg", "trailing. .jpg", "..hidden.jpg"]
    for image, name in zip(content["images"], names, strict=True):
        image["file_name"] = name
    root = write_coco(tmp_path / "coco", content)
    assert prepare(root, tmp_path / "set") == 0
    check_set(tmp_path / "set")
    sources = {entry["source"]: Path(key).name for key, entry in load(tmp_path / "set")["pictures"].items()}
    assert {sources["train2017/sub/x.jpg"], sources["train2017/X.png"]} == {"X.png", "x-2.png"}
    assert sources["train2017/羊 1.jpg"] == "羊 1.png"
    assert len(sources[f"train2017/{long}.jpg"].encode()) <= LONGEST + len(".png")


def test_names_are_distinct_whatever_they_are():
    names = distinct_names(["a.jpg", "A.png", "a-2.jpg", "b/a.gif", "con\x00.x", ".x.jpg", " .jpg", "\udcff.jpg"])
    assert len({name.casefold() for name in names}) == len(names)
    assert names[:4] == ["a", "A-2", "a-2-2", "a-3"]
    assert all(name and name[0] != "." and not set(name) & set('/\\:*?"<>|\0') for name in names)
    assert all(name.encode() for name in names)


def test_every_form_of_runs_is_decoded_alike():
    random = np.random.default_rng(0)
    for _ in range(20):
        mask = np.asfortranarray(random.random((13, 17)) < random.random(), dtype=np.uint8)
        text = codec.encode(mask)["counts"].decode()
        runs = np.flatnonzero(np.diff(np.concatenate(([0], mask.T.ravel(), [2])))).tolist()
        plain = np.diff([0, *(np.array(runs)).tolist()]).tolist()
        assert np.array_equal(decode({"size": [13, 17], "counts": text}, (17, 13)), mask > 0)
        assert np.array_equal(decode({"size": [13, 17], "counts": plain}, (17, 13)), mask > 0)
    assert np.array_equal(decode([square(2, 3, 5)], (17, 13)).nonzero()[0].reshape(5, 5)[:, 0], range(3, 8))


def test_the_target_of_one_run_is_the_same_in_another(tmp_path):
    root = write_coco(tmp_path / "coco")
    for save, workers in (("one", "1"), ("two", "2")):
        assert prepare(root, tmp_path / save, "--workers", workers) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
