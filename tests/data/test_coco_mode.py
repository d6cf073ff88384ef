"""--dataset_mode coco: the tensors of a file-based copy, straight from the json; whatever is wrong is one sentence."""

import json
import pickle
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("pycocotools", reason="COCO needs pycocotools (requirements.txt)")
from pycocotools.coco import COCO

from data import DATASETS
from data.entries import Domain
from data.loading import TrainingLoader
from data.placement import Framing
from data.unaligned_instance_dataset import UnalignedInstanceDataset, read_sample
from instagan.errors import InputError
from instagan.io.reading import read_picture
from options.parse import parse_testing, parse_training
from scripts import prepare_coco
from tests.preparing import coco_content, drawn_content, square, write_coco
from tests.programs import sentence, test_program, tiny, train_program

pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")  # pycocotools under numpy 2

FRAMING = Framing("resize_and_crop", (28, 26), (24, 24), random=True, flip=True)
RUN = ("--name", "run", "--no_html", "--max_steps", "1")


def source(root: Path, cat1: str = "cow", cat2: str = "sheep") -> dict[str, str]:
    file, images = root / "annotations" / "instances_train2017.json", root / "train2017"
    return {"annotations": str(file), "images": str(images), "cat1": cat1, "cat2": cat2}


def flags(root: Path, **changed: object) -> list[str]:
    typed = {"dataset_mode": "coco"} | source(root) | changed
    return [word for name, value in typed.items() for word in (f"--{name}", str(value))]


def listed(root: Path, letters: str = "AB", **changed: str) -> dict[str, Domain]:
    defaults = {"phase": "train", "skip_bad": False, "crowd_as_instances": False}
    return DATASETS["coco"].list_domains(Namespace(**(defaults | source(root) | changed)), letters)


def loader(a: Domain, b: Domain, workers: int = 0) -> TrainingLoader:
    return TrainingLoader(UnalignedInstanceDataset(a.entries, b.entries, FRAMING, 5, serial=False), 2, workers, False)


def epochs(of: TrainingLoader) -> list[torch.Tensor]:
    """Every tensor of two epochs and of a third one's tail, in order."""
    batches = [batch for epoch, start in ((1, 0), (2, 0), (3, 1)) for batch in of.epoch(epoch, start)]
    names = ("image", "masks", "present", "labels")
    return [getattr(domain, name) for batch in batches for domain in (batch["A"], batch["B"]) for name in names]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) > 0 and all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def copy_to_files(root: Path, to: Path) -> Path:
    """The same pictures and pycocotools' masks in the published layout."""
    coco = COCO(source(root)["annotations"])
    for letter, name in (("A", "cow"), ("B", "sheep")):
        categories = coco.getCatIds(catNms=[name])
        for image in coco.loadImgs(coco.getImgIds()):
            found = coco.loadAnns(coco.getAnnIds(imgIds=image["id"], catIds=categories, iscrowd=False))
            for folder in (f"train{letter}", f"train{letter}_seg"):
                (to / folder).mkdir(parents=True, exist_ok=True)
            stem = Path(image["file_name"]).stem
            if found:
                read_picture(root / "train2017" / image["file_name"]).save(to / f"train{letter}" / f"{stem}.png")
            for number, annotation in enumerate(found):
                mask = Image.fromarray(coco.annToMask(annotation) * 255)
                mask.save(to / f"train{letter}_seg" / f"{stem}_{number}.png")
    return to


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_coco(tmp_path_factory.mktemp("coco"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, root) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    assert train_program.main([*flags(root), *tiny(), "--checkpoints_dir", str(runs), *RUN]) == 0
    return runs


@pytest.mark.parametrize("workers", [0, 2])
def test_tensors_are_those_of_a_copy_in_files(root, tmp_path, workers):
    files = Namespace(dataroot=copy_to_files(root, tmp_path), phase="train")
    copies = DATASETS["unaligned_seg"].list_domains(files, "AB")
    direct = listed(root)
    assert same(epochs(loader(direct["A"], direct["B"], workers)), epochs(loader(copies["A"], copies["B"])))


def test_labels_and_annotation_ids_are_those_of_a_prepared_copy(root, tmp_path):
    groups = ("--cat1", "sheep,cow", "--cat2", "person", "--save_root", str(tmp_path))
    where = ("--annotations", source(root)["annotations"], "--images", source(root)["images"])
    assert prepare_coco.main([*where, *groups, "--image_size", "0", "--workers", "1"]) == 0
    copies = DATASETS["unaligned_seg"].list_domains(Namespace(dataroot=tmp_path, phase="train"), "AB")
    direct = listed(root, cat1="sheep,cow", cat2="person")
    assert same(epochs(loader(direct["A"], direct["B"])), epochs(loader(copies["A"], copies["B"])))
    assert {mask.label for entry in direct["A"].entries for mask in entry.masks} == {0, 1}
    for letter in "AB":
        assert dict(direct[letter].categories) == dict(copies[letter].categories)
        for one, other in zip(direct[letter].entries, copies[letter].entries, strict=True):
            assert (one.stem, one.source_id) == (other.stem, other.source_id)
            assert [mask.source_id for mask in one.masks] == [mask.source_id for mask in other.masks]


def test_entries_travel_without_the_json(root, tmp_path):
    content = coco_content()
    content["annotations"] += [dict(content["annotations"][0], id=500 + k, image_id=4) for k in range(300)]
    large = listed(write_coco(tmp_path, content))["A"].entries
    small = listed(root)["A"].entries
    assert len(pickle.dumps(large[0])) < len(pickle.dumps(small[0])) + 200  # the folder's name is longer
    for entry in small:
        twin = pickle.loads(pickle.dumps(entry))
        one, other = (read_sample(each, FRAMING, np.random.default_rng(1)) for each in (entry, twin))
        assert torch.equal(one.masks, other.masks) and torch.equal(one.labels, other.labels)


def test_crowds_are_no_instances_and_are_counted(root):
    found = listed(root)
    ids = [mask.source_id for domain in found.values() for entry in domain.entries for mask in entry.masks]
    assert sorted(ids) == [100, 101, 102, 103, 104, 105, 106, 107, 108]  # 109 is a crowd, 110 a person
    assert "1 crowd regions" in found["B"].summary() and "crowd" not in found["A"].summary()
    assert found["A"].summary().startswith("A (cow): 4 pictures, 6 instance masks")


def test_absent_pictures_are_counted_and_named(tmp_path, capsys):
    content = coco_content()
    content["images"] += [{"id": 50 + k, "file_name": f"gone{k}.jpg", "width": 60, "height": 40} for k in range(7)]
    content["annotations"] += [dict(content["annotations"][0], id=900 + k, image_id=50 + k) for k in range(7)]
    root = write_coco(tmp_path / "coco", content)
    for path in (root / "train2017").glob("gone*"):
        path.unlink()
    line = listed(root)["A"].summary()
    assert "4 pictures" in line and "7 listed pictures are absent" in line
    assert "train2017/gone0.jpg" in line and "gone4.jpg and 2 more" in line
    (tmp_path / "empty").mkdir()
    where = ("--checkpoints_dir", str(tmp_path / "runs"), *tiny())
    said = sentence(capsys, train_program.main, *flags(root, images=tmp_path / "empty"), *where)
    assert "none of the 11 pictures of cow" in said and "000000000001.jpg" in said and str(tmp_path / "empty") in said


BAD = {
    "two points": ([[10, 10, 20, 20]], "three points"),
    "nothing": ([], "has no segmentation, and its box [70, 5, 9, 3] holds nothing"),
    "short runs": ({"size": [40, 60], "counts": [100, 10]}, "add up to 110"),
    "cut text": ({"size": [40, 60], "counts": "PPPPPP"}, "break off"),
    "other size": ({"size": [10, 10], "counts": [100]}, "size"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_annotation_is_named_before_training(tmp_path, capsys, case):
    content = coco_content()
    segmentation, told = BAD[case]
    content["annotations"][4] |= {"segmentation": segmentation, "bbox": [70, 5, 9, 3]}
    root = write_coco(tmp_path / "coco", content)
    said = sentence(capsys, train_program.main, *flags(root), "--checkpoints_dir", tmp_path / "runs", *tiny())
    assert f"{source(root)['annotations']}, annotation 104" in said and told in said
    assert not (tmp_path / "runs").exists()


def test_bad_annotations_can_be_skipped_and_are_counted_and_named(tmp_path):
    """Here a picture's second cow, another picture's only cow, and an instance that is of no picture."""
    content = coco_content()
    cows = [record for record in content["annotations"] if record["category_id"] == 7]
    whole = listed(write_coco(tmp_path / "whole", content))["A"].entries
    of_one = next(entry for entry in whole if len(entry.masks) > 1)
    of_other = next(entry for entry in whole if len(entry.masks) == 1)
    bad = {of_one.masks[1].source_id, of_other.masks[0].source_id}
    for record in cows:
        if record["id"] in bad:
            record["segmentation"] = [[1.0, 1.0, 5.0, 5.0]]
    content["annotations"].append(dict(content["annotations"][0], id=999, image_id=12345))
    root = write_coco(tmp_path / "bad", content)
    with pytest.raises(InputError, match="--skip_bad"):
        listed(root)
    domains = listed(root, skip_bad=True)
    expected = {
        entry.source_id: [mask.source_id for mask in entry.masks if mask.source_id not in bad]
        for entry in whole
        if entry.source_id != of_other.source_id
    }
    assert {entry.source_id: [m.source_id for m in entry.masks] for entry in domains["A"].entries} == expected
    note = domains["B"].note
    assert "left out as bad: 1 picture and 3 instances" in note and "annotation 999: is of picture 12345" in note
    assert all(f"annotation {number}" in note for number in bad)


WRONG = {
    ("cat1", "cwo"): "nearest are: cow",
    ("cat2", "zebra"): "cow, sheep, person",
    ("cat2", "cow"): "both name 'cow'",
    ("cat1", ","): "--cat1 is empty",
    ("annotations", "nowhere.json"): "nowhere.json: no such file",
    ("annotations", __file__): "test_coco_mode.py is not a json file",
    ("images", "nowhere"): "--images nowhere: no such folder",
    ("dataroot", "D"): "--dataroot belongs to --dataset_mode unaligned_seg",
}


@pytest.mark.parametrize("flag, value", WRONG)
def test_wrong_flags_are_one_sentence(root, tmp_path, capsys, flag, value):
    where = ("--checkpoints_dir", tmp_path / "runs", *tiny())
    assert WRONG[flag, value] in sentence(capsys, train_program.main, *flags(root, **{flag: value}), *where)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("missing", ["annotations", "images", "cat1", "cat2"])
def test_all_four_flags_are_needed(root, capsys, missing):
    words = flags(root)
    place = words.index(f"--{missing}")
    said = sentence(capsys, train_program.main, *words[:place], *words[place + 2 :])
    assert f"--{missing} is missing: --dataset_mode coco needs" in said


def test_a_flag_of_the_data_set_points_to_it(capsys):
    said = sentence(capsys, train_program.main, "--dataroot", "D", "--cat1", "cow")
    assert "--cat1 belongs to --dataset_mode coco" in said


def test_without_pycocotools_the_command_that_installs_it_is_told(root, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    assert "pip install pycocotools" in sentence(capsys, train_program.main, *flags(root), *tiny())


def test_a_json_that_is_not_coco_is_named(tmp_path, capsys):
    root = write_coco(tmp_path / "coco")
    for text, told in (('{"images": [], "categories": []}', "no list 'annotations'"), ("[]", "COCO's format")):
        Path(source(root)["annotations"]).write_text(text)
        said = sentence(capsys, train_program.main, *flags(root), "--checkpoints_dir", tmp_path / "runs", *tiny())
        assert "instances_train2017.json" in said and told in said


def test_a_picture_must_have_the_size_at_which_it_was_annotated(tmp_path):
    root = write_coco(tmp_path)
    picture = root / "train2017" / "000000000001.jpg"
    Image.new("RGB", (61, 40)).save(picture)
    entry = listed(root)["A"].entries[0]
    with pytest.raises(InputError, match="000000000001.jpg is 61x40 pixels but was annotated at 60x40"):
        read_sample(entry, FRAMING, np.random.default_rng(0))
    turned = Image.Exif()
    turned[0x0112] = 6  # upright it would be 40x60: it was annotated as it is stored
    Image.new("RGB", (60, 40)).save(picture, exif=turned)
    assert entry.read_picture().size == (60, 40)


def test_help_shows_the_flags_of_the_chosen_data_set(capsys):
    for program in (train_program, test_program):
        with pytest.raises(SystemExit):
            program.main(["--help", "--dataset_mode", "coco"])
        shown = capsys.readouterr().out
        assert "--annotations FILE" in shown and "--cat1 NAME[,NAME]" in shown and "--dataroot DIR" not in shown[200:]


def test_a_config_file_and_continuing_take_the_flags_over(trained, root):
    saved = trained / "run" / "options.yaml"
    expected = {"dataset_mode": "coco", **source(root)}
    again = (["--config", str(saved)], ["--continue_train", "--name", "run", "--checkpoints_dir", str(trained)])
    for argv in again:
        found = vars(parse_training(argv).values)
        assert {name: found[name] for name in expected} == expected and "dataroot" not in found


def test_testing_inherits_the_flags_unless_they_are_typed(trained, root):
    run = ["--name", "run", "--checkpoints_dir", str(trained)]
    found = vars(parse_testing(run).values)
    assert {name: found[name] for name in source(root)} == source(root)
    typed = parse_testing([*run, "--annotations", "other.json", "--cat1", "person"]).values
    assert (typed.annotations, typed.cat1, typed.images) == ("other.json", "person", source(root)["images"])
    files = parse_testing([*run, "--dataset_mode", "unaligned_seg", "--dataroot", "D"]).values
    assert (files.dataset_mode, files.dataroot) == ("unaligned_seg", "D")


def test_one_direction_needs_one_domain(trained, tmp_path):
    content = coco_content()
    content["categories"] = content["categories"][:1]
    content["annotations"] = [one for one in content["annotations"] if one["category_id"] == 7]
    other = source(write_coco(tmp_path / "other", content))
    where = ("--checkpoints_dir", str(trained), "--results_dir", str(tmp_path), "--name", "run", "--device", "cpu")
    typed = ("--annotations", other["annotations"], "--images", other["images"], "--phase", "mine")
    assert test_program.main([*where, *typed, "--num_threads", "0", "--direction", "AtoB"]) == 0
    made = {path.name for path in (tmp_path / "run" / "mine_latest").glob("*_mask_*.png")}
    places = ((1, 0), (1, 1), (1, 2), (2, 0), (3, 0), (4, 0))
    assert made == {f"00000000000{picture}_fake_B_mask_{number}.png" for picture, number in places}


def test_pictures_of_equal_names_have_results_of_their_own(tmp_path, trained):
    content = coco_content()
    for image, name in zip(content["images"], ("a/x.jpg", "b/x.jpg", "c/X.png", "d/ü.jpg"), strict=False):
        image["file_name"] = name
    root = write_coco(tmp_path / "coco", content)
    stems = [entry.stem for entry in listed(root)["A"].entries]
    assert len({stem.casefold() for stem in stems}) == 4
    where = ("--checkpoints_dir", str(trained), "--results_dir", str(tmp_path), "--name", "run", "--device", "cpu")
    assert test_program.main([*where, *flags(root), "--num_threads", "0", "--direction", "AtoB"]) == 0
    assert all((tmp_path / "run" / "test_latest" / f"{stem}_fake_B.png").exists() for stem in stems)


@pytest.mark.parametrize("method", [("cycle_gan",), ("cycle_gan", "--with_masks")], ids=" ".join)
def test_other_methods_train_and_translate_as_well(root, tmp_path, method):
    runs = ("--checkpoints_dir", str(tmp_path / "runs"))
    assert train_program.main([*flags(root), *tiny("--model", *method), *runs, *RUN]) == 0
    where = (*runs, "--results_dir", str(tmp_path), "--name", "run", "--device", "cpu", "--num_threads", "0")
    assert test_program.main([*where, "--num_test", "1"]) == 0


def test_a_run_that_went_on_is_the_run_that_never_stopped(root, tmp_path):
    runs = ("--checkpoints_dir", str(tmp_path), "--no_html", "--ins_per", "1")
    assert train_program.main([*flags(root), *tiny(), *runs, "--name", "whole", "--max_steps", "3"]) == 0
    assert train_program.main([*flags(root), *tiny(), *runs, "--name", "parts", "--max_steps", "1"]) == 0
    assert (
        train_program.main([*runs, "--name", "parts", "--continue_train", "--max_steps", "3", "--num_threads", "2"])
        == 0
    )
    one, other = (
        torch.load(tmp_path / name / "latest.pth", weights_only=True)["networks"] for name in ("whole", "parts")
    )
    assert all(torch.equal(tensor, other[net][key]) for net in one for key, tensor in one[net].items())


def test_masks_of_outlines_as_people_draw_them_are_those_of_pycocotools(tmp_path):
    root = write_coco(tmp_path, drawn_content(2))
    coco = COCO(source(root)["annotations"])
    found = listed(root, cat1="sheep,cow", cat2="person")
    masks = [mask for domain in found.values() for entry in domain.entries for mask in entry.masks]
    ids = coco.getAnnIds(catIds=coco.getCatIds(catNms=["sheep", "cow", "person"]), iscrowd=False)
    assert sorted(mask.source_id for mask in masks) == sorted(ids)
    for domain in found.values():
        for entry in domain.entries:
            for mask in entry.masks:
                expected = coco.annToMask(coco.loadAnns([mask.source_id])[0])
                assert np.array_equal(np.asarray(mask.read(entry.size)) > 0, expected > 0)


def test_a_polygon_beyond_the_picture_is_cut_off(tmp_path):
    content = coco_content()
    content["annotations"][4]["segmentation"] = [square(50, 30, 30)]
    (entry,) = (e for e in listed(write_coco(tmp_path, content))["A"].entries if e.source_id == 3)
    inside = np.asarray(entry.masks[0].read(entry.size)) > 0
    assert inside.shape == (40, 60) and inside[30:, 50:].all() and inside.sum() == 100
    assert json.loads(Path(source(tmp_path)["annotations"]).read_text())["annotations"][4]["id"] == 104
