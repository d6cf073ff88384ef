"""python -m instagan translate: one picture, folders, COCO, a detector; what is wrong is one sentence."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from instagan import Translator
from instagan.cli.main import main
from tests.io.test_pasting import nearest
from tests.preparing import write_coco
from tests.programs import ROOT, draw_picture, draw_set, sentence
from tests.using import tiny_run, with_small_masks


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_run(tmp_path_factory.mktemp("runs"))[0].path


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return with_small_masks(tiny_run(tmp_path_factory.mktemp("small"))[0])


@pytest.fixture
def data(tmp_path) -> Path:
    return draw_set(tmp_path / "data", "test", a=(2, 0, 5), b=(1,))


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def command(model: Path, *flags: object) -> list[str]:
    return ["translate", "--model", str(model), "--device", "cpu", *(str(flag) for flag in flags)]


def one(data: Path, *masks: int) -> list[object]:
    return ["--image", data / "testA/a2.png", "--masks", *(data / f"testA_seg/a2_{number}.png" for number in masks)]


def folder(data: Path, out: Path) -> list[object]:
    return ["--images", data / "testA", "--masks_dir", data / "testA_seg", "--output_dir", out]


def test_one_picture_with_its_masks(model, data, tmp_path, capsys):
    assert main(command(model, *one(data, 0, 3), "--output", tmp_path / "out/y.png")) == 0
    assert files(tmp_path / "out") == {"y.png", "y_mask_0.png", "y_mask_1.png"}
    masks = [data / "testA_seg/a2_0.png", data / "testA_seg/a2_3.png"]
    expected = Translator.load(model, device="cpu")(data / "testA/a2.png", masks)
    assert np.array_equal(pixels(tmp_path / "out/y.png"), np.asarray(expected.picture))
    for number, mask in enumerate(expected.masks):
        assert np.array_equal(pixels(tmp_path / f"out/y_mask_{number}.png"), np.asarray(mask))
    told = capsys.readouterr()
    assert told.err == "" and "1 picture, 2 instances translated to b" in told.out and "y.png" in told.out
    assert main(command(model, *one(data, 0), "--to", "a", "--output", tmp_path / "other.jpg")) == 0
    assert Image.open(tmp_path / "other.jpg").format == "JPEG"


def test_a_folder_with_numbered_masks_and_label_maps(model, data, tmp_path, capsys):
    for file in (data / "testA_seg").glob("a2_*"):
        file.unlink()
    labels = np.zeros((36, 40), np.uint8)
    labels[3:9, 4:9], labels[20:30, 20:33] = 7, 9
    Image.fromarray(labels).save(data / "testA_seg/a2.png")
    (data / "testA_seg/a0_0.png").rename(data / "testA_seg/a0_4.png")
    assert main(command(model, *folder(data, tmp_path / "out"))) == 0
    told = capsys.readouterr().out
    assert "3 pictures, 4 instances" in told and "1 unchanged" in told
    expected = {"a0.png", "a0_mask_1.png", "a0_mask_4.png", "a1.png", "a2.png", "a2_mask_0.png", "a2_mask_1.png"}
    assert files(tmp_path / "out") == expected
    assert np.array_equal(pixels(tmp_path / "out/a1.png"), pixels(data / "testA/a1.png"))
    t = Translator.load(model, device="cpu")
    made = t(data / "testA/a2.png", [labels == 7, labels == 9])
    assert np.array_equal(pixels(tmp_path / "out/a2.png"), np.asarray(made.picture))
    made = t(data / "testA/a0.png", [data / "testA_seg/a0_1.png", data / "testA_seg/a0_4.png"])
    assert np.array_equal(pixels(tmp_path / "out/a0_mask_1.png"), np.asarray(made.masks[0]))
    assert np.array_equal(pixels(tmp_path / "out/a0_mask_4.png"), np.asarray(made.masks[1]))


@pytest.mark.parametrize("feather", [0, 3])
def test_pasting_keeps_the_background(small, data, tmp_path, capsys, feather):
    flags = ("--ins_max", 1, "--paste_background", "--feather", feather)
    assert main(command(small, *one(data, 0, 1), *flags, "--output", tmp_path / "y.png")) == 0
    seam, summary = capsys.readouterr().out.splitlines()
    assert seam.startswith("seam: band ") and "1 picture" in summary
    taken = [mask for mask in (pixels(tmp_path / f"y_mask_{n}.png") > 0 for n in (0, 1)) if mask.any()]
    assert len(taken) == 1  # the larger one; what was not translated is background
    union = taken[0] | (pixels(data / "testA_seg/a2_1.png") > 0)
    before, after = pixels(data / "testA/a2.png"), pixels(tmp_path / "y.png")
    outside = nearest(union, 99) > feather
    assert outside.any() and np.array_equal(before[outside], after[outside]) and (before[union] != after[union]).any()


@pytest.mark.skipif(importlib.util.find_spec("pycocotools") is None, reason="polygons need pycocotools")
def test_a_coco_json(model, tmp_path, capsys):
    root = write_coco(tmp_path / "coco")
    where = ("--images", root / "train2017", "--annotations", root / "annotations/instances_train2017.json")
    assert main(command(model, *where, "--category", "sheep", "--output_dir", tmp_path / "out")) == 0
    assert files(tmp_path / "out") == {
        f"{number:012d}{kind}.png" for number in (3, 4, 5) for kind in ("", "_mask_0")
    }  # the crowd of picture 5 is no instance
    single = ("--image", root / "train2017/000000000001.jpg", *where[2:], "--category", "cow,sheep")
    assert main(command(model, *single, "--output", tmp_path / "y.png")) == 0
    assert "3 instances" in capsys.readouterr().out
    for change, reason in (
        (("--category", "cat"), "has no category 'cat'"),
        (("--category", "person", "--image", root / "train2017/000000000001.jpg"), "tells of no"),
    ):
        flags = [*single, *change, "--output", tmp_path / "z.png"]
        assert reason in sentence(capsys, main, *command(model, *flags))
    content = json.loads((root / "annotations/instances_train2017.json").read_text())
    content["images"][2]["file_name"] = "../../secret.png"
    (tmp_path / "bad.json").write_text(json.dumps(content))
    flags = (*where[:3], tmp_path / "bad.json", "--category", "sheep", "--output_dir", tmp_path / "no")
    assert "leads out of" in sentence(capsys, main, *command(model, *flags))
    for text, reason in (("{", "is not a json file"), ("[]", "no list 'images'"), ("{}", "no list 'images'")):
        (tmp_path / "bad.json").write_text(text)
        assert reason in sentence(capsys, main, *command(model, *flags))


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="the detector needs torchvision")
def test_a_detector_finds_the_masks(model, data, tmp_path, capsys, monkeypatch):
    from instagan.cli import finding

    def load_detector(weights, threshold, size, device):
        def detect(images):
            assert all(image.shape == (3, 36, 40) and 0 <= image.min() <= image.max() <= 1 for image in images)
            masks = torch.zeros(2, 1, 36, 40)
            masks[0, :, 3:9, 5:11] = 0.9
            masks[1, :, 10:20, 20:33] = 0.6
            scores = torch.tensor([0.9, 0.8])
            return [{"masks": masks, "labels": torch.tensor([1, 2]), "scores": scores} for _ in images]

        return detect, 3

    monkeypatch.setattr(finding, "load_detector", load_detector)
    (tmp_path / "names.txt").write_text("__background__\ncow\nsheep\n")
    flags = ("--detector", "--names", tmp_path / "names.txt", "--weights", tmp_path / "w.pth", "--category", "sheep")
    image = ("--image", data / "testA/a0.png", "--output", tmp_path / "y.png")
    assert main(command(model, *flags, *image)) == 0
    masks = np.zeros((1, 36, 40), bool)
    masks[0, 10:20, 20:33] = True
    expected = Translator.load(model, device="cpu")(data / "testA/a0.png", masks)
    assert np.array_equal(pixels(tmp_path / "y.png"), np.asarray(expected.picture))
    images = ("--images", data / "testA", "--output_dir", tmp_path / "out")
    assert main(command(model, *flags, *images)) == 0
    assert "3 pictures, 3 instances" in capsys.readouterr().out
    assert "no category 'dog'" in sentence(capsys, main, *command(model, *flags[:-1], "dog", *image))
    (tmp_path / "names.txt").write_text("__background__\nsheep\n")
    assert "3 classes and there are 2 names" in sentence(capsys, main, *command(model, *flags, *image))


def test_methods_that_need_no_masks_need_none(tmp_path, data, capsys):
    run, _ = tiny_run(tmp_path / "runs", "cycle", "--model", "cycle_gan", "--netG", "resnet_6blocks")
    assert main(command(run.path, "--image", data / "testA/a0.png", "--output", tmp_path / "y.png")) == 0
    assert main(command(run.path, "--images", data / "testA", "--output_dir", tmp_path / "out")) == 0
    assert files(tmp_path / "out") == {"a0.png", "a1.png", "a2.png"}
    flags = ("--image", data / "testA/a2.png", "--paste_background", "--output", tmp_path / "z.png")
    assert "without masks nothing is background" in sentence(capsys, main, *command(run.path, *flags))
    assert main(command(run.path, *flags, *one(data, 0, 1)[2:])) == 0
    outside = ~((pixels(data / "testA_seg/a2_0.png") > 0) | (pixels(data / "testA_seg/a2_1.png") > 0))
    far = nearest(~outside, 99) > 4
    assert np.array_equal(pixels(tmp_path / "z.png")[far], pixels(data / "testA/a2.png")[far])
    assert "the masks are not looked at" in capsys.readouterr().out


def test_wrong_flags_are_one_sentence_and_nothing_is_written(model, data, tmp_path, capsys):
    image, out = ("--image", data / "testA/a2.png"), ("--output", tmp_path / "y.png")
    mask = data / "testA_seg/a2_0.png"
    (tmp_path / "none").mkdir()
    before = files(tmp_path)
    for flags, reason in (
        ((), "pass --image FILE"),
        ((*image, "--images", data, *out), "pass --image FILE"),
        (image, "--output is missing"),
        (("--images", data / "testA"), "--output_dir is missing"),
        ((*image, *out), "pass --masks FILE"),
        ((*image, *out, "--masks", mask, "--detector"), "--masks and --detector both tell"),
        ((*image, *out, "--masks_dir", data), "--masks_dir belongs to --images"),
        ((*folder(data, tmp_path / "o"), "--masks", mask), "--masks belongs to --image"),
        ((*image, *out, "--annotations", "x.json"), "--category is missing"),
        ((*image, *out, "--masks", mask, "--category", "sheep"), "--category belongs to"),
        ((*image, *out, "--masks", mask, "--feather", "2"), "--feather belongs to --paste_background"),
        ((*image, *out, "--masks", mask, "--weights", "w"), "--weights belongs to --detector"),
        ((*image, "--masks", mask, "--paste_background", "--output", "y.jpg"), "jpeg changes every pixel"),
        ((*image, "--masks", mask, "--output", tmp_path / "y.xyz"), "cannot be written with this ending"),
        ((*image, "--masks", mask, "--output", image[1]), "would be written over the input"),
        ((*image, "--masks", data / "no.png", *out), "no.png: no such file"),
        (("--image", data / "no.png", "--masks", mask, *out), "no.png: no such file"),
        (("--images", data / "no", *folder(data, tmp_path / "o")[2:]), "no: no such folder"),
        (("--images", tmp_path / "none", *folder(data, tmp_path / "o")[2:]), "holds no"),
        (("--images", data / "testB", *folder(data, tmp_path / "o")[2:]), "holds no mask of any image, such as b0_0"),
        ((*folder(data, data / "testA"),), "would be written over the input"),
        ((*image, *out, "--masks", mask, "--ins_per", "0"), "'0' is not a whole number"),
        ((*image, *out, "--masks", mask, "--masc", "x"), "unrecognized arguments: --masc"),
        ((*image, *out, "--masks", mask, "--epoch", "3"), "there are: latest.pth"),
        ((*image, *out, "--masks", mask, "--device", "cuda:99"), "no such device"),
    ):
        assert reason in sentence(capsys, main, *command(model, *flags)), flags
        assert files(tmp_path) == before, flags
    assert "arguments are required: COMMAND" in sentence(capsys, main)
    assert "no such file" in sentence(capsys, main, *command(tmp_path / "nothing", *image, *out, "--masks", mask))


def test_bad_pictures_leave_nothing_half_written(model, data, tmp_path, capsys):
    (data / "testA/a1.png").write_text("<html>not found</html>")
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(data / "testA_seg/a2_1.png")
    error = sentence(capsys, main, *command(model, *folder(data, tmp_path / "out")))
    assert "a1.png cannot be read as a picture" in error
    assert files(tmp_path / "out") == {"a0.png", "a0_mask_0.png", "a0_mask_1.png"}
    assert main(command(model, *folder(data, tmp_path / "other"), "--skip_bad")) == 0
    told = capsys.readouterr()
    assert "1 picture, 2 instances" in told.out and "left out as bad: 2 pictures" in told.out
    assert "a1.png" in told.err and "a2_1.png is 3x3 pixels and its image 40x36" in told.err
    assert files(tmp_path / "other") == files(tmp_path / "out")
    error = sentence(capsys, main, *command(model, *one(data, 0, 1), "--output", tmp_path / "y.png"))
    assert "a2_1.png is 3x3" in error and not (tmp_path / "y.png").exists()


def test_a_full_disk_leaves_nothing(model, data, tmp_path, capsys, monkeypatch):
    save = Image.Image.save

    def full(self, file, **kwargs):
        save(self, file, **kwargs)
        if "mask_1" in str(file):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    error = sentence(capsys, main, *command(model, *one(data, 0, 1), "--output", tmp_path / "out/y.png"))
    assert "y_mask_1.png cannot be written (No space left on device)" in error
    assert files(tmp_path / "out") == set()


def test_all_kinds_of_pictures(model, tmp_path):
    random = np.random.default_rng(0)
    grey = random.integers(0, 256, (20, 24), dtype=np.uint8)
    kinds = {
        "grey": Image.fromarray(grey),
        "rgba": Image.fromarray(random.integers(0, 256, (20, 24, 4), dtype=np.uint8)),
        "deep": Image.fromarray(grey.astype(np.uint16) * 257),
        "palette": Image.fromarray(random.integers(0, 256, (20, 24, 3), dtype=np.uint8)).quantize(16),
        "dot": Image.new("RGB", (1, 1)),
        "line": Image.new("RGB", (3000, 10)),
    }
    (tmp_path / "masks").mkdir()
    (tmp_path / "in").mkdir()
    for name, picture in kinds.items():
        picture.save(tmp_path / f"in/{name}.png")
        for number in range(2):
            Image.new("L", picture.size, 255).save(tmp_path / f"masks/{name}_{number}.png")
    where = ("--images", tmp_path / "in", "--masks_dir", tmp_path / "masks", "--output_dir", tmp_path / "out")
    assert main(command(model, *where)) == 0
    for name, picture in kinds.items():
        assert Image.open(tmp_path / f"out/{name}.png").size == picture.size


def test_pictures_lie_as_their_orientation_says(model, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 32, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, shown turned by 90 degrees clockwise
    Image.fromarray(noise).save(tmp_path / "x.jpg", exif=exif, quality=100, subsampling=0)
    mask = np.zeros((32, 20), np.uint8)
    mask[3:12, 5:9] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    flags = ("--image", tmp_path / "x.jpg", "--masks", tmp_path / "m.png", "--output", tmp_path / "y.png")
    assert main(command(model, *flags)) == 0
    stored = np.asarray(Image.open(tmp_path / "x.jpg"))
    expected = Translator.load(model, device="cpu")(np.rot90(stored, -1), mask)
    assert np.array_equal(pixels(tmp_path / "y.png"), np.asarray(expected.picture))


def test_it_runs_as_a_program(model, data, tmp_path):
    draw_picture(tmp_path / "x/p.png", masks=1)
    flags = ["--image", tmp_path / "x/p.png", "--masks", tmp_path / "x_seg/p_0.png", "--output", tmp_path / "y.png"]
    words = [sys.executable, "-m", "instagan", *command(model, *flags)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == "" and "1 picture, 1 instance translated to b" in done.stdout
    done = subprocess.run([*words[:3], "--help"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "translate" in done.stdout
