"""translate --save_coco and --resume, by one process and by several that share the images."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pycocotools", reason="COCO needs pycocotools (requirements.txt)")
from pycocotools.coco import COCO

from instagan.cli.main import main
from instagan.cli.sharding import Shard
from instagan.errors import InputError
from tests.preparing import coco_content, write_coco
from tests.programs import ROOT, sentence
from tests.using import tiny_run

pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")  # pycocotools under numpy 2
NAMES = [f"{number:012d}.png" for number in range(1, 6)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Runs "insta", which translates instances, and "styles", which translates images in styles."""
    folder = tmp_path_factory.mktemp("runs")
    tiny_run(folder, "insta")
    tiny_run(folder, "styles", "--model", "munit", "--n_res", "1", "--mlp_dim", "8", "--num_scales", "1")
    return folder


@pytest.fixture
def coco(tmp_path) -> Path:
    """The instances of one picture are boxes alone."""
    content = coco_content()
    for record in content["annotations"]:
        if record["image_id"] == 4:
            record["segmentation"], record["bbox"] = [], [18.5, 8.25, 9, 12]
    return write_coco(tmp_path / "coco", content)


@pytest.fixture
def as_rank(monkeypatch):
    def choose(rank: object, size: object = 2) -> None:
        for name, value in (("RANK", rank), ("WORLD_SIZE", size), ("LOCAL_RANK", rank)):
            monkeypatch.setenv(name, str(value))

    return choose


def flags(run: Path, coco: Path, out: Path, *more: object) -> list[str]:
    where = ("--images", coco / "train2017", "--annotations", coco / "annotations/instances_train2017.json")
    given = ("--model", run, "--device", "cpu", *where, "--category", "sheep,cow", "--output_dir", out, "--save_coco")
    return ["translate", *(str(word) for word in (*given, *more))]


def pictures(folder: Path) -> dict[str, bytes]:
    """Every file but the note of what they were made with, also hidden ones."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "resume.json"}


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.png")}


def test_annotations_of_a_method_without_instances_are_those_of_the_source(runs, coco, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(flags(runs / "styles", coco, out, "--styles", 2)) == 0
    assert f"{out / 'annotations.json'}: 10 pictures, 18 instances" in capsys.readouterr().out
    made, source = COCO(str(out / "annotations.json")), COCO(str(coco / "annotations/instances_train2017.json"))
    assert {(one["id"], one["name"]) for one in made.dataset["categories"]} == {(7, "cow"), (9, "sheep")}
    assert [one["file_name"] for one in made.dataset["images"][:3]] == [
        "000000000001_style0.png", "000000000001_style1.png", "000000000002_style0.png"
    ]  # fmt: skip
    for image in made.dataset["images"]:
        assert Image.open(out / image["file_name"]).size == (image["width"], image["height"])
        assert image["source_file_name"] == f"{image['source_image_id']:012d}.jpg"
        assert image["file_name"].endswith(f"_style{image['style']}.png")
        records = made.loadAnns(made.getAnnIds([image["id"]]))
        assert records
        for record in records:
            (one,) = source.loadAnns([record["source_annotation_id"]])
            assert (one["image_id"], one["category_id"]) == (image["source_image_id"], record["category_id"])
            if one["segmentation"]:
                assert np.array_equal(made.annToMask(record), source.annToMask(one))
            else:
                assert record["bbox"] == one["bbox"] and record["area"] == 9 * 12


def test_annotations_of_translated_instances_are_those_of_the_translated_masks(runs, coco, tmp_path):
    out = tmp_path / "out"
    assert main(flags(runs / "insta", coco, out, "--target_category", "giraffe", "--ins_max", 2)) == 0
    made = COCO(str(out / "annotations.json"))
    assert [one["name"] for one in made.dataset["categories"]] == ["giraffe"]
    told = set()
    for record in made.dataset["annotations"]:
        inside = np.asarray(Image.open(out / record["mask_file"])) > 0
        assert np.array_equal(made.annToMask(record) > 0, inside) and record["area"] == inside.sum() > 0
        assert record["mask_file"].startswith(made.imgs[record["image_id"]]["file_name"].removesuffix(".png"))
        told.add(record["mask_file"])
    shown = {path.name for path in out.glob("*_mask_*.png") if np.asarray(Image.open(path)).any()}
    assert told == shown and len(shown) < len(list(out.glob("*_mask_*.png")))  # --ins_max has left one as it was


def test_of_many_domains_annotations_are_what_was_asked_for(tmp_path, coco, runs):
    out, star = tmp_path / "out", tmp_path / "star"
    tiny_run(tmp_path, "star", "--model", "star_insta_gan")
    assert main(flags(star, coco, out, "--targets", "B")) == 0
    made = COCO(str(out / "annotations.json"))
    assert [one["name"] for one in made.dataset["categories"]] == ["B"] and made.dataset["annotations"]
    sources = {one["source_category"] for one in made.dataset["annotations"]}
    assert sources and "B" not in sources


def test_shards_make_what_one_process_makes(runs, coco, tmp_path, as_rank, capsys):
    run, whole, out = runs / "insta", tmp_path / "whole", tmp_path / "out"
    assert main(flags(run, coco, whole)) == 0
    as_rank(1)
    assert main(flags(run, coco, out, "--resume")) == 0
    assert "process 2 of 2: 2 pictures" in (said := capsys.readouterr().out)
    assert "process 2 of 2: the last process to end writes" in said
    assert set(pictures(out)) == {name for name in pictures(whole) if name[:12] in (NAMES[1][:12], NAMES[3][:12])}
    as_rank(0)
    assert main(flags(run, coco, out, "--resume")) == 0
    assert "process 1 of 2: 3 pictures" in (said := capsys.readouterr().out)
    assert "annotations.json: 5 pictures" in said and pictures(out) == pictures(whole)


def test_a_killed_shard_goes_on_and_what_is_whole_stays(runs, coco, tmp_path, as_rank, capsys):
    run, whole, out = runs / "insta", tmp_path / "whole", tmp_path / "out"
    assert main(flags(run, coco, whole)) == 0
    assert main(flags(run, coco, out, "--resume")) == 0
    before = stamps(out)
    truncated, unnamed = out / NAMES[0], out / NAMES[2]
    truncated.write_bytes(truncated.read_bytes()[:200])
    unnamed.rename(out / f".{NAMES[2]}.123.tmp")  # killed between its masks and itself
    (out / NAMES[3].replace(".png", "_mask_1.png")).unlink()
    (out / "annotations.json").unlink()
    capsys.readouterr()
    for rank, told in ((0, "2 pictures, "), (1, "1 picture, ")):
        as_rank(rank)
        assert main(flags(run, coco, out, "--resume")) == 0
        assert f"process {rank + 1} of 2: {told}" in capsys.readouterr().out
    assert pictures(out) == pictures(whole)
    again = {NAMES[0][:12], NAMES[2][:12], NAMES[3][:12]}
    assert {name[:12] for name, stamp in stamps(out).items() if stamp != before[name]} == again
    as_rank(0, 1)
    assert main(flags(run, coco, out, "--resume")) == 0
    assert "0 pictures, 0 instances" in (said := capsys.readouterr().out) and "5 pictures kept from before" in said


def test_a_bad_picture_that_is_left_out_keeps_nobody_waiting(runs, coco, tmp_path, as_rank, capsys):
    run, out = runs / "insta", tmp_path / "out"
    bad = coco / "train2017/000000000002.jpg"
    good = bad.read_bytes()
    bad.write_bytes(b"<html>")
    for rank in (1, 0):
        as_rank(rank)
        assert main(flags(run, coco, out, "--resume", "--skip_bad")) == 0
    assert "annotations.json: 4 pictures" in capsys.readouterr().out
    bad.write_bytes(good)
    as_rank(1)
    assert main(flags(run, coco, out, "--resume", "--skip_bad")) == 0
    assert "annotations.json: 5 pictures" in capsys.readouterr().out and not list(out.glob(".*"))


def test_resuming_with_something_else_is_refused(runs, coco, tmp_path, capsys):
    run, out = runs / "insta", tmp_path / "out"
    assert main(flags(run, coco, out)) == 0
    assert "holds images of a run without --resume" in sentence(capsys, main, *flags(run, coco, out, "--resume"))
    out = tmp_path / "other"
    assert main(flags(run, coco, out, "--resume")) == 0
    for run_, more, reason in (
        (runs / "styles", (), "made with another model"),
        (run, ("--ins_per", 1), "made with another --ins_per (None)"),
        (run, ("--to", "a"), "made with another"),
    ):
        assert reason in sentence(capsys, main, *flags(run_, coco, out, "--resume", *more))


def test_wrong_flags_are_one_sentence(runs, coco, tmp_path, as_rank, capsys):
    run, out = runs / "insta", tmp_path / "out"
    one = ["translate", "--model", run, "--image", "x.png", "--output", tmp_path / "y.png"]
    assert "--save_coco carries annotations along" in sentence(capsys, main, *one, "--save_coco")
    assert "--resume belongs to --images" in sentence(capsys, main, *one, "--resume")
    assert "--target_category belongs to --save_coco" in sentence(capsys, main, *one, "--target_category", "cow")
    as_rank(0)
    assert "process 1 of 2: several processes share" in sentence(capsys, main, *one)
    as_rank(2)
    assert "RANK=2, WORLD_SIZE=2" in sentence(capsys, main, *flags(run, coco, out))
    assert not out.exists()


def test_shards_have_every_picture_once(as_rank):
    for size in (1, 3, 7):
        parts = [list(Shard(rank, size).of(range(5))) for rank in range(size)]
        assert sorted(sum(parts, [])) == list(range(5)) and max(map(len, parts)) - min(map(len, parts)) <= 1
    as_rank("x")
    with pytest.raises(InputError, match="RANK=x"):
        Shard.here()


@pytest.mark.slow
def test_torchrun_starts_them(runs, coco, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert main(flags(runs / "insta", coco, whole)) == 0
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "instagan"]
    command = [*start, *flags(runs / "insta", coco, out, "--resume")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert pictures(out) == pictures(whole)
    assert len(json.loads((out / "annotations.json").read_text())["images"]) == 5
