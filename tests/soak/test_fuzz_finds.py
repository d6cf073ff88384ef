"""What fuzzing and hostile names have found, once each, as it was found: every case ends in a value or a sentence."""

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.boxes.bdd100k import read_bdd100k
from data.boxes.cityscapes import read_cityscapes
from data.boxes.coco import read_coco
from data.boxes.objects import Classes, Found
from data.prepared import Prepared
from data.preparing.ccp import label_names
from data.preparing.coco import CocoPart, plan_coco
from data.preparing.shape_files import Drawing, read_labelme, read_via
from engine.schedule import Progress
from instagan.errors import LONGEST, InputError
from instagan.inference.registry import Description
from instagan.inference.trained import read_trained
from instagan.io.label_maps import instances_of
from instagan.io.options_file import inference_options
from instagan.io.segmentations import decode
from instagan.io.tensor_files import read_tensors, state_dict
from options.parse import parse_testing, parse_training
from scripts import check_data
from tests.programs import draw_set
from tests.soak.fuzzing.annotation_files import COCO, DATASET, LABELME, SIZE, VIA
from tests.soak.fuzzing.box_files import BDD100K, CITYSCAPES, PICTURE
from tests.soak.fuzzing.checkpoint_files import OPTIONS, YAML, generator
from tests.test_floors import ROOT
from trackers import loss_log
from trackers.web_page import WebPage

HUGE = 10**400


def written(path: Path, content) -> Path:
    path.write_text(json.dumps(content))
    return path


def changed(content, *places, to):
    """A copy with another value at the place that the keys lead to."""
    copy = json.loads(json.dumps(content))
    inner = copy
    for key in places[:-1]:
        inner = inner[key]
    inner[places[-1]] = to
    return copy


def test_a_sentence_is_one_line_whatever_a_file_is_called():
    told = str(InputError("a\nb\x1b[2J\u202egnp.\udcff.png cannot be read; fix it"))
    assert told == r"a\nb\x1b[2J\u202egnp.\udcff.png cannot be read; fix it"
    assert str(InputError("InputError: x.png is bad; fix it")) == "InputError: x.png is bad; fix it"
    assert len(str(InputError("x" * 10**6))) < LONGEST + 10


def test_a_mask_in_colours_of_fifty_megapixels_takes_little_more_memory_than_its_pixels(tmp_path):
    """As a small TIFF file tells it: most of its rows are not in the file, and come out black."""
    path, size = tmp_path / "mask.tif", (24, 2_097_168)
    Image.new("RGB", (24, 16), "white").save(path)
    content = path.read_bytes()
    assert content.count(struct.pack("<HHII", 257, 4, 1, 16)) == 1
    path.write_bytes(content.replace(struct.pack("<HHII", 257, 4, 1, 16), struct.pack("<HHII", 257, 4, 1, size[1])))
    code = (
        "import resource, sys, pathlib; from instagan.io.reading import read_inside\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "inside = read_inside(pathlib.Path(sys.argv[1]))\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "print(*inside.shape, inside.sum(), grown // 1024)"
    )
    told = subprocess.check_output([sys.executable, "-c", code, str(path)], text=True, cwd=ROOT)
    height, width, inside, mebibytes = map(int, told.split())
    assert (width, height) == size and inside == 24 * 16
    assert mebibytes < 9 * width * height / 2**20, mebibytes  # 4 bytes a pixel decoded, and the bands


def test_a_run_whose_name_is_too_long_is_refused(tmp_path):
    for parse in (parse_training, parse_testing):
        with pytest.raises(InputError, match="is longer than the 255 bytes of a folder's name; shorten it"):
            parse(["--dataroot", str(tmp_path), "--checkpoints_dir", str(tmp_path), "--name", "é" * 200])


def test_a_zip_whose_end_cannot_be_is_no_checkpoint(tmp_path):
    path = tmp_path / "x.pth"
    torch.save({"weight": torch.zeros(2)}, path)
    content = path.read_bytes()
    end = content.rindex(b"PK\x05\x06")
    many_disks = struct.pack("<4sIQI", b"PK\x06\x07", 0, 0, 7)  # zipfile raises on it, also when asked for a yes or no
    path.write_bytes(content[:end - len(many_disks)] + many_disks + content[end:])
    with pytest.raises(InputError, match="x.pth is damaged or not a checkpoint"):
        read_tensors(path)


def test_a_file_whose_name_is_too_long_cannot_be_written(tmp_path, capsys):
    data = draw_set(tmp_path / "data", "train", a=[1], b=[1])
    name = str(tmp_path / ("9" * 600))
    assert check_data.main(["--dataroot", str(data), "--json", name]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith(f"check_data.py: {tmp_path}") and "cannot be written (File name too long)" in told


def test_a_sentence_from_a_worker_is_the_sentence():
    told = "Caught InputError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File x\n"
    assert str(InputError(told + "instagan.errors.InputError: a.png is bad; fix it\n")) == "a.png is bad; fix it"


@pytest.mark.parametrize(
    "segmentation, reason",
    [
        ({"size": None, "counts": [600]}, "for size None"),
        ({"size": 7, "counts": [600]}, "for size 7"),
        ([[HUGE, 1, 2, 2, 3, 3]], "far outside"),
        ([[float("nan"), 1, 2, 2, 3, 3]], "not a number"),
        ({"size": [20, 30], "counts": "o" * 2_000_000}, "longer than any run"),  # took quadratic time
        ([[-290.0, 0.0, 290.0, 0.0] * 20_000], "pixels long"),  # took memory by its length
    ],
)
def test_segmentations(segmentation, reason):
    with pytest.raises(ValueError, match=reason):
        decode(segmentation, (30, 20))


def test_a_class_of_boxes_whose_name_is_blank(tmp_path):
    (tmp_path / "1.png").write_bytes(PICTURE)
    label = "\u2028\u2029"  # blank to whoever reads the written set
    scene, images = changed(CITYSCAPES, "objects", 1, "label", to=label), Found(Classes())
    found = read_cityscapes(written(tmp_path / "1.json", scene), SIZE, images)
    assert [one.category for one in found] == ["road"]
    assert "1.json, object 1: it has no name of a class" in images.problems[0].sentence
    record, images = changed(BDD100K[:1], 0, "labels", 0, "category", to=""), Found(Classes())
    read_bdd100k(written(tmp_path / "a.json", record), tmp_path, {"A": ({}, images)})
    assert images.images == [] and "image 0 (1.png), label 0: it has no name" in images.problems[0].sentence


def test_boxes_of_a_coco_json_whose_categories_are_no_list(tmp_path):
    with pytest.raises(InputError, match="a.json"):
        read_coco(written(tmp_path / "a.json", changed(COCO, "categories", to=True)), tmp_path, Found(Classes()))


@pytest.mark.parametrize(
    "content",
    [
        changed(COCO, "images", 0, "width", to=float("inf")),
        changed(COCO, "categories", 0, "id", to=[7]),
        changed(COCO, "annotations", 0, "segmentation", to=[[HUGE] * 6]),
        changed(COCO, "annotations", 1, "segmentation", "size", to=None),
    ],
)
def test_coco_json(tmp_path, content):
    file = written(tmp_path / "a.json", content)
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / name).touch()
    with pytest.raises(InputError) as told:
        plan_coco([CocoPart("train", file, tmp_path)], {"A": ["cow"], "B": ["sheep"]})
    assert str(file) in str(told.value) and "is in" not in str(told.value)


def _via(path: Path) -> Drawing:
    return read_via(path, None).pictures["1.jpg"]


@pytest.mark.parametrize(
    "read, content, places, value",
    [
        (read_labelme, LABELME, ("shapes", 0, "points", 0, 0), HUGE),
        (_via, VIA, ("1.jpg99", "regions"), 5),
        (_via, VIA, ("1.jpg99", "regions", 1, "shape_attributes", "x"), HUGE),
        (_via, VIA, ("1.jpg99", "regions", 2, "shape_attributes", "r"), HUGE),
    ],
)
def test_outlines(tmp_path, read, content, places, value):
    file = written(tmp_path / "a.json", changed(content, *places, to=value))
    drawing = read(file)
    (told,) = [drawing.problem] if drawing.problem else [fault.sentence for fault in drawing.faults]
    assert "a.json" in told


@pytest.mark.parametrize(
    "places, value",
    [
        (("categories", "A", 0, "source_id"), {}),
        (("pictures", "trainA/1.png", "source_id"), {}),
        (("pictures", "trainA/1.png", "instances", 0, "id"), {"a": 1}),
        (("pictures", "trainA/1.png", "instances", 0, "category"), 0.0),
        (("pictures", "trainA/1.png", "instances", 0, "category"), False),
    ],
)
def test_dataset_json(tmp_path, places, value):
    written(tmp_path / "dataset.json", changed(DATASET, *places, to=value))
    with pytest.raises(InputError, match="dataset.json"):
        prepared = Prepared.read(tmp_path)
        prepared.source_of("trainA/1.png")
        prepared.label_and_source_of("trainA/1.png", 0)


def test_a_table_of_ccp_that_ended_the_process(tmp_path):
    """scipy reads past its own tables at a kind of element that there is not (0x1010)."""
    cell = struct.pack("<II8s II8s II II3sx4x", 6, 8, b"\4", 5, 8, struct.pack("<ii", 1, 3), 1, 0, 0x1010, 3, b"cow")
    body = struct.pack("<II8s II8s II10s6x", 6, 8, b"\1", 5, 8, struct.pack("<ii", 1, 1), 1, 10, b"label_list")
    body += struct.pack("<II", 14, len(cell)) + cell
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H2s", 0x0100, b"IM")
    for whole in (struct.pack("<II", 14, len(body)) + body, struct.pack("<II", 15, 10**6) + zlib.compress(body)):
        (tmp_path / "label_list.mat").write_bytes(header + whole)
        with pytest.raises(InputError, match="label_list.mat"):
            label_names(tmp_path)


def test_a_packed_table_that_never_ends(tmp_path):
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(300)) + packer.flush()
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H2s", 0x0100, b"IM")
    (tmp_path / "label_list.mat").write_bytes(header + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(InputError, match="absurdly large"):
        label_names(tmp_path)


def test_a_label_map_of_another_size_is_not_decoded(tmp_path):
    Image.new("1", (9000, 9000)).save(tmp_path / "map.png")
    with pytest.raises(InputError, match=r"map\.png is 9000x9000 but its picture is 24x16"):
        instances_of(tmp_path / "map.png", (24, 16))


def test_tensors_that_are_larger_than_their_file(tmp_path):
    weights = generator()
    name = "image_encoder.1.weight"
    endless = torch.zeros(1).expand(10**8, 3, 7, 7)
    torch.save({**weights, name: endless}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="a.pth holds .*no plain tensor"):
        state_dict(read_tensors(tmp_path / "a.pth"), str(tmp_path / "a.pth"))
    with pytest.raises(InputError, match="a.pth"):
        read_trained(tmp_path / "a.pth", "b")


def test_a_generator_that_no_memory_would_hold_is_never_made():
    weights = {"image_encoder.1.weight": torch.zeros(60_000, 3, 7, 7, dtype=torch.int8)}
    for config in ({"ngf": 60_000, "blocks": 1}, {"ngf": 4, "blocks": 60_000}, {"ngf": "4"}, {"layers": 3}):
        entry = {"source": "A", "target": "B", "network": "G_A", "kind": "set", "config": config, "needs": ["masks"]}
        with pytest.raises(InputError, match="x.pth does not fit its generator"):
            Description.read(entry, "x.pth").build(weights, "x.pth")


@pytest.mark.parametrize("options", [[1], 3, {"norm": {}}, {"ins_per": "many"}, {"ins_per": 0}, {"model": []}])
def test_options_in_a_checkpoint_that_are_none(tmp_path, options):
    torch.save({"format": 1, "options": options, "networks": {"G_A": generator()}}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="a.pth"):
        read_trained(tmp_path / "a.pth", "b")


def test_a_number_in_options_that_python_will_not_read(tmp_path):
    (tmp_path / "options.yaml").write_text(f"ngf: {'9' * 5000}\nins_per: 2\n")
    with pytest.raises(InputError, match=r"options\.yaml cannot be read"):
        inference_options(tmp_path / "options.yaml")


@pytest.mark.parametrize(
    "text",
    [
        *YAML,
        "3: x\n",
        "\n".join(f"{name}: {value}" for name, value in OPTIONS.items() if name != "fine_size_w"),
        "\n".join(f"{name}: {value}" for name, value in {**OPTIONS, "model": "other"}.items()),
        "\n".join(f"{name}: {value}" for name, value in {**OPTIONS, "dataset_mode": "other"}.items()),
        "\n".join(f"{name}: {value}" for name, value in {**OPTIONS, "ngf": "many"}.items()),
        "\n".join(f"{name}: {value}" for name, value in {**OPTIONS, "no_flip": 3}.items()),
    ],
)
def test_options_of_a_run_and_config_files(tmp_path, text):
    run = tmp_path / "run"
    run.mkdir()
    (run / "options.yaml").write_text(text)
    with pytest.raises(InputError, match=r"options\.yaml is damaged"):
        parse_testing(["--checkpoints_dir", str(tmp_path), "--name", "run", "--dataroot", "x"])
    if text in YAML:
        with pytest.raises(InputError):
            parse_training(["--dataroot", "x", "--config", str(run / "options.yaml")])


@pytest.mark.parametrize("suffix", ["{name:>999999999}", "{niter:09999999999}"])
def test_a_suffix_of_gigabytes(suffix):
    with pytest.raises(InputError, match="--suffix"):
        parse_training(["--dataroot", "x", "--suffix", suffix])
    assert parse_training(["--dataroot", "x", "--suffix", "2024_{niter}"]).values.name.endswith("_2024_100")


@pytest.mark.parametrize("line", [b"[" * 100_000, b'{"step": %d}' % HUGE, b'{"step": 1, "D_A": %d}' % HUGE, b"\xff"])
def test_a_loss_log_that_somebody_has_changed(tmp_path, line):
    path = tmp_path / "loss_log.jsonl"
    path.write_bytes(line + b'\n{"step": 2, "D_A": 0.5}\n')
    loss_log.drop_after(path, 2)
    assert loss_log.read(path)[-1] == {"step": 2, "D_A": 0.5}
    WebPage(tmp_path / "web", "run", {}, (), Progress(), loss_log.read(path)).close()


@pytest.mark.parametrize(
    "places, value",
    [((0, "step"), "1"), ((0, "epoch"), None), ((0, "tiles"), 3), ((0, "tiles", 0, "width"), HUGE),
     ((0, "tiles", 0, "plain"), "../outside.png"), ((0, "tiles", 0), {}), ((0,), 3)],
)  # fmt: skip
def test_an_index_of_pictures_that_somebody_has_changed(tmp_path, places, value):
    from tests.soak.fuzzing.pages import SAMPLES

    (tmp_path / "web" / "images").mkdir(parents=True)
    for name in ("outside.png", "web/images/1.png"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name)
    written(tmp_path / "web" / "pictures.json", changed(SAMPLES, *places, to=value))
    page = WebPage(tmp_path / "web", "run", {}, (), Progress(1, 1, 5, 5))
    page.close()
    text = (tmp_path / "web" / "index.html").read_text()
    assert "outside" not in text and text.count("<article") == 1


@pytest.mark.parametrize("content", [b"[" * 100_000, b"3", b"\xff"])
def test_an_index_of_pictures_that_is_none(tmp_path, content):
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "pictures.json").write_bytes(content)
    WebPage(tmp_path / "web", "run", {}, (), Progress()).close()


def test_the_programs_print_names_that_no_terminal_shows(tmp_path):
    """With a strict output, and a folder that is no UTF-8."""
    folder = str(tmp_path / "\udcff\n")
    for program in ("train.py", "test.py"):
        done = subprocess.run(
            [sys.executable, program, "--dataroot", folder, "--name", "x", "--checkpoints_dir", str(tmp_path)],
            cwd=ROOT, capture_output=True, timeout=120, env={"PYTHONIOENCODING": "utf-8:strict", "PATH": "/usr/bin"},
        )  # fmt: skip
        assert done.returncode == 2 and done.stderr.count(b"\n") == 1, done.stderr
