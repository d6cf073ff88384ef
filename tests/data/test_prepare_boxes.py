"""scripts/prepare_boxes.py and its kin: from a format to a folder that train.py and test.py take as it is."""

import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch

pytest.importorskip("pycocotools", reason="COCO needs pycocotools (requirements.txt)")

from data import DATASETS
from data.boxes.cityscapes import IMAGE, POLYGONS
from data.entries import Domain
from scripts import prepare_bdd100k, prepare_boxes, prepare_cityscapes, prepare_init, prepare_kitti
from tests.data.test_box_formats import (
    bdd_image,
    bdd_label,
    cityscapes,
    images,
    init_record,
    kitti_line,
    rectangle,
    voc,
    voc_object,
    write,
)
from tests.preparing import coco_content, contents, draw_noise
from tests.programs import TINY, sentence, test_program, train_program


def yolo_source(root: Path) -> list[str]:
    """Day: three images, two with boxes. Night: two."""
    for letter, count in (("1", 3), ("2", 2)):
        for number in range(count):
            images(root / f"images{letter}", f"{number}.png")
            if number < 2:
                write(root / f"labels{letter}" / f"{number}.txt", "0 0.5 0.5 0.25 0.5\n2 0.75 0.25 0.3 0.4\n")
    names = write(root / "data.yaml", "names: [car, person, van]\n")
    flags = [
        word
        for n in "12"
        for word in (f"--images{n}", str(root / f"images{n}"), f"--labels{n}", str(root / f"labels{n}"))
    ]
    return ["--format", "yolo", "--names", str(names), *flags, "--val_share", "0"]


def listed(root: Path, letters: str = "AB", phase: str = "train", skip_bad: bool = False) -> dict[str, Domain]:
    return DATASETS["boxes"].list_domains(Namespace(dataroot=root, phase=phase, skip_bad=skip_bad), letters)


def told(domain: Domain) -> list[list[tuple[str, object]]]:
    """Category and box of every instance of every image."""
    return [[(domain.categories["A"][mask.label].name, mask.box) for mask in one.masks] for one in domain.entries]


@pytest.fixture
def prepared(tmp_path) -> Path:
    flags = ["--classes", "vehicle=car,van", "person", "--save_root", str(tmp_path / "set")]
    assert prepare_boxes.main([*yolo_source(tmp_path), *flags]) == 0
    return tmp_path / "set"


def test_what_is_written_is_what_training_reads(prepared, capsys):
    domains = listed(prepared)
    pair = [("vehicle", (24.0, 12.0, 40.0, 36.0)), ("vehicle", pytest.approx((38.4, 2.4, 57.6, 21.6)))]
    assert told(domains["A"]) == [pair, pair, []] and told(domains["B"]) == [pair, pair]
    assert [entry.picture.name for entry in domains["A"].entries] == ["0.png", "1.png", "2.png"]
    assert [category.name for category in domains["B"].categories["B"]] == ["vehicle", "person"]
    assert "1 of the pictures have no mask" in domains["A"].summary() and "4 of 4 instances" in domains["A"].summary()
    index = json.loads((prepared / "boxes.json").read_text())
    assert index["sets"]["trainA"]["images"] == "../images1" and index["categories"] == ["vehicle", "person"]
    assert {path.name for path in prepared.iterdir()} == {"boxes.json", "trainA.json", "trainB.json"}


def test_summary_counts_what_is_kept_and_left_out(tmp_path, capsys):
    write(tmp_path / "labels1" / "1.txt", "")
    flags = yolo_source(tmp_path)
    write(tmp_path / "labels2" / "0.txt", "0 0.5 0.5 0.25 0.5\n0 0.5 0.5 0.25\n")
    said = sentence(capsys, prepare_boxes.main, *flags, "--save_root", str(tmp_path / "set"))
    assert said.startswith(f"{tmp_path}/labels2/0.txt, line 2: it has 3 numbers") and "--skip_bad" in said
    assert not (tmp_path / "set").exists()
    skipping = ["--skip_bad", "--without_empty", "--classes", "car", "--save_root", str(tmp_path / "set")]
    assert prepare_boxes.main([*flags, *skipping]) == 0
    out, err = capsys.readouterr()
    day, night = out.splitlines()
    assert day.endswith(
        "trainA.json: 2 images, 2 boxes (car 2); left out: 1 images without a box, 2 objects of class van"
    )
    assert night.endswith("2 images, 2 boxes (car 2); left out: 1 objects of class van; left out as bad: 1 instance")
    assert err.startswith("skipped: ") and "line 2" in err
    assert "line 2" in json.loads((tmp_path / "set" / "boxes.json").read_text())["sets"]["trainB"]["skipped"][0]


@pytest.mark.parametrize("model", [("insta_gan",), ("cut",), ("cycle_gan", "--with_masks")])
def test_every_method_trains_and_translates(prepared, tmp_path, model):
    data = ("--dataset_mode", "boxes", "--dataroot", str(prepared))
    where = ("--checkpoints_dir", str(tmp_path / "runs"), "--name", "run")
    learns = ("--model", *model, "--max_steps", "1", "--no_html")
    assert train_program.main([*data, *TINY, *where, *learns]) == 0
    flags = ("--dataroot", str(prepared), "--phase", "train", "--results_dir", str(tmp_path / "results"))
    assert test_program.main([*where, *flags]) == 0
    assert len(list((tmp_path / "results").rglob("*_fake_B.png"))) == 3


def test_both_domains_may_come_from_different_formats(tmp_path, capsys):
    kitti, city, root = tmp_path / "KITTI", tmp_path / "cityscapes", tmp_path / "kitti2city"
    images(kitti / "image_2", "0.png", "1.png", "2.png")
    for number in range(3):
        lines = [kitti_line("Car", 1, 2, 30, 20), kitti_line("Tram", 0, 0, 9, 9), kitti_line("Cyclist", 3, 3, 20.5, 40)]
        write(kitti / "label_2" / f"{number}.txt", "\n".join(lines))
    for phase in ("train", "val"):
        images(city / "leftImg8bit" / phase / "ulm", f"{phase}{IMAGE}.png")
        text = cityscapes(("person", rectangle(5, 5, 9, 30)), ("car", rectangle(20, 20, 50, 40)))
        write(city / "gtFine" / phase / "ulm" / f"{phase}{POLYGONS}.json", text)
    common = ("--save_root", str(root), "--data_root")
    assert prepare_kitti.main([*common, str(kitti), "--domain", "A", "--val_share", "0.3"]) == 0
    assert prepare_cityscapes.main([*common, str(city), "--domain", "B"]) == 0
    cars = [[("car", (1, 2, 30, 20)), ("bicycle", (3, 3, 20.5, 40))]]
    assert told(listed(root)["A"]) == cars * 2 and told(listed(root, "A", "val")["A"]) == cars
    (entry,) = listed(root, "B", "val")["B"].entries
    assert [mask.label for mask in entry.masks] == [1, 0] and [mask.box for mask in entry.masks] == [None, None]
    assert entry.masks[0].read(entry.size).sum() == 4 * 25 and entry.masks[1].read(entry.size)[20:40, 20:50].all()
    assert entry.stem == f"val{IMAGE}"
    before = contents(root)
    again = [*common, str(kitti), "--domain", "A", "--val_share", "0"]
    assert "holds trainA, valA already; pass --overwrite" in sentence(capsys, prepare_kitti.main, *again)
    other = [*again, "--overwrite", "--classes", "car=Car"]
    assert "car, person, truck, bicycle in trainB, valB but car here" in sentence(capsys, prepare_kitti.main, *other)
    assert contents(root) == before
    assert prepare_kitti.main([*again, "--overwrite"]) == 0
    assert not (root / "valA.json").exists() and len(listed(root)["A"].entries) == 3


def test_init_in_one_command(tmp_path, capsys):
    for domain, names in (("sunny", ("1.png", "2.png")), ("night", ("3.png",))):
        images(tmp_path / "INIT" / domain / "batch1", *names)
        records = [init_record(k, f"/batch1/{name}", "1 3 4 30.5 41", "3 10 9 20 30") for k, name in enumerate(names)]
        write(tmp_path / "INIT" / "batch1_anno" / f"{domain}1.txt", "\n\n".join(records))
    write(tmp_path / "INIT" / "batch1_anno" / "sunny_note.txt", "not of the data set")
    root = tmp_path / "sun2night"
    flags = ("--data_root", str(tmp_path / "INIT"), "--save_root", str(root), "--val_share", "0")
    assert prepare_init.main(flags) == 0
    objects = [("car", (3, 4, 30.5, 41)), ("person", (10, 9, 20, 30))]
    assert told(listed(root)["A"]) == [objects] * 2 and told(listed(root)["B"]) == [objects]
    assert "2 images, 4 boxes (car 2, sign 0, person 2)" in capsys.readouterr().out
    said = sentence(capsys, prepare_init.main, *flags, "--domain2", "foggy")
    assert said.endswith("foggy: no such folder; pass that of the foggy images as --images2")


def test_bdd100k_day_and_night_in_one_command(tmp_path, capsys):
    root, source = tmp_path / "day2night", tmp_path / "bdd100k"
    for phase, file in (("train", "bdd100k_labels_images_train.json"), ("val", "det_20/det_val.json")):
        images(source / "images" / "100k" / phase, "a.jpg", "b.jpg")
        records = [
            bdd_image("a.jpg", "daytime", bdd_label("car", 1, 2, 9, 8), bdd_label("traffic light", 1, 2, 9, 8)),
            bdd_image("b.jpg", "night", bdd_label("traffic sign", 20, 2, 29, 8), bdd_label("rider", 1, 2, 9, 8)),
        ]
        write(source / "labels" / file, json.dumps(records))
    flags = ("--data_root", str(source), "--save_root", str(root))
    assert prepare_bdd100k.main(flags) == 0
    for phase in ("train", "val"):
        domains = listed(root, phase=phase)
        assert told(domains["A"]) == [[("car", (1, 2, 10, 9))]]
        assert told(domains["B"]) == [[("sign", (20, 2, 30, 9)), ("person", (1, 2, 10, 9))]]
    snow = [*flags, "--overwrite", "--domain2", "timeofday=night", "weather=snowy"]
    said = sentence(capsys, prepare_bdd100k.main, *snow)
    assert (
        "no image of domain B (timeofday=night weather=snowy): there timeofday is daytime, night; weather is clear"
        in said
    )


def test_voc_and_coco_sources(tmp_path):
    images(tmp_path / "a", "1.jpg")
    write(tmp_path / "a" / "1.xml", voc(voc_object("cow", 2, 3, 20, 30)))
    content = coco_content()
    for record in content["images"]:
        draw_noise(tmp_path / "b" / record["file_name"], (60, 40))
    file = write(tmp_path / "b.json", json.dumps(content))
    where = ("--save_root", str(tmp_path / "set"), "--classes", "cow", "--val_share", "0")
    assert prepare_boxes.main(["--format", "voc", "--images1", str(tmp_path / "a"), *where]) == 0
    b = ("--images2", str(tmp_path / "b"), "--labels2", str(file))
    assert prepare_boxes.main(["--format", "coco", *b, *where]) == 0
    domains = listed(tmp_path / "set")
    assert told(domains["A"]) == [[("cow", (1, 2, 20, 30))]]
    assert [len(entry.masks) for entry in domains["B"].entries] == [3, 1, 1, 1, 0, 0]
    assert torch.from_numpy(domains["B"].entries[1].masks[0].read((60, 40))).sum() == 20


@pytest.mark.parametrize(
    "flags, reason",
    [
        (["--classes", "car=", "van"], "--classes 'car=' is no NAME or NAME=CLASS,CLASS"),
        (["--classes", "car=car,van", "bus=van"], "--classes names the class 'van' for two categories"),
        (["--classes", "car", "persons"], "has no category 'persons'; the nearest are: person"),
        (["--names", "nowhere.txt"], "--names nowhere.txt cannot be read"),
        (["--format", "voc"], "no image of "),
        (["--images1", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_wrong_flags_are_one_sentence(tmp_path, capsys, flags, reason):
    source = yolo_source(tmp_path)
    write(tmp_path / "labels1" / "1.txt", "1 0.5 0.5 0.25 0.5\n")
    said = sentence(capsys, prepare_boxes.main, *source, "--save_root", str(tmp_path / "set"), *flags)
    assert reason in said


def test_a_domain_without_a_box_is_refused(tmp_path, capsys):
    source = yolo_source(tmp_path)
    for number in range(2):
        write(tmp_path / "labels2" / f"{number}.txt", "1 0.5 0.5 0.25 0.5\n")
    said = sentence(
        capsys, prepare_boxes.main, *source, "--save_root", str(tmp_path / "set"), "--classes", "car", "van"
    )
    assert said == "no image of domain B has a box of car, van; there is car 2, van 2, person 2; pass --classes"


def test_what_training_says_of_a_folder_that_is_not_as_prepared(prepared, tmp_path, capsys):
    def said(*flags: str) -> str:
        where = ("--checkpoints_dir", str(tmp_path / "runs"), "--name", "run", "--max_steps", "1", "--no_html")
        return sentence(capsys, train_program.main, "--dataset_mode", "boxes", *TINY, *where, *flags)

    assert "--dataroot is missing: pass the folder that holds boxes.json" in said()
    assert "boxes.json: no such file; make it with" in said("--dataroot", str(tmp_path))
    assert "has no set valA, only trainA, trainB" in said("--dataroot", str(prepared), "--phase", "val")
    (tmp_path / "images1").rename(tmp_path / "moved")
    assert "says that the images of trainA are in" in said("--dataroot", str(prepared))
    (tmp_path / "moved").rename(tmp_path / "images1")
    (tmp_path / "images1" / "0.png").unlink()
    assert "1 listed pictures are absent: 0.png" in listed(prepared)["A"].summary()
    content = json.loads((prepared / "trainA.json").read_text())
    content["annotations"][3]["bbox"] = [1, 2, 0, 4]
    (prepared / "trainA.json").write_text(json.dumps(content))
    assert "trainA.json, annotation 4: has no segmentation, and its box [1, 2, 0, 4]" in said(
        "--dataroot", str(prepared)
    )
    domain = listed(prepared, skip_bad=True)["A"]
    assert [len(entry.masks) for entry in domain.entries] == [
        1,
        0,
    ] and "left out as bad: 1 instance" in domain.summary()
    (prepared / "boxes.json").write_text("[]")
    assert "boxes.json is not a list of sets with boxes" in said("--dataroot", str(prepared))
