"""The detector protocol from translating to tables: it goes on where it was stopped, and COCOeval agrees."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

if importlib.util.find_spec("torchvision") is None:
    pytest.skip("the detector needs torchvision", allow_module_level=True)
pytest.importorskip("pycocotools", reason="COCO needs pycocotools (requirements.txt)")
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from data.boxes.writing import read_index
from data.decoded import decode
from data.unaligned_instance_dataset import place
from evaluation.adaptation_table import gap_closed, tables
from evaluation.adapting import Judge, objects_found
from evaluation.learning_detector import true_of
from evaluation.streets import read_streets
from instagan.errors import InputError
from options.parse import parse_training
from scripts import adapt_detector, make_streets
from tests.programs import ROOT, sentence
from tests.using import tiny_run

pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")  # pycocotools under numpy 2
SIZE = ("--load_size_w", "48", "--load_size_h", "32", "--fine_size_w", "48", "--fine_size_h", "32")
CLASSES = ("car", "person", "sign")
ROWS = ["source", "munit", "source+munit", "oracle"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Folder with the data set "set", a run "runs/munit", and "work", in which all is done."""
    folder = tmp_path_factory.mktemp("adapting")
    assert make_streets.main(["--save_root", str(folder / "set"), "--train", "4", "--val", "2", "--test", "0"]) == 0
    tiny_run(folder / "runs", "munit", "--model", "munit", "--n_res", "1", "--mlp_dim", "8", "--num_scales", "1")
    assert adapt_detector.main(command(folder, "--quick")) == 0
    return folder


class ToldDetector(torch.nn.Module):
    """Finds in each image what is true there, as it is placed."""

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self.classes, self.weight = judge.listed.categories, torch.nn.Parameter(torch.zeros(1))
        framing, random = judge.placing, np.random.default_rng(0)
        placed = [place(entry, decode(entry, framing), framing, random, False) for entry in judge.entries]
        self.truth = [(sample.image, *true_of(sample)) for sample in placed]

    def detect(self, images: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        ((boxes, labels),) = [(boxes, labels) for image, boxes, labels in self.truth if torch.equal(image, images[0])]
        return [(boxes, labels, torch.ones(len(labels)))]


def command(folder: Path, *more: str, run: str = "runs/munit") -> list[str]:
    where = ("--work", str(folder / "work"), "--dataroot", str(folder / "set"), "--n_layers_D", "1", "--device", "cpu")
    return [*where, *SIZE, "--translated", f"munit={folder / run}", "--detector_side", "32", *more]


def results(folder: Path) -> dict:
    return json.loads((folder / "work/results.json").read_text())


def stamps(folder: Path) -> dict[str, int]:
    files = (folder / "work").rglob("*")
    made = [path for path in files if path.suffix in (".png", ".pth") or path.parent.name == "rows"]
    return {str(path): path.stat().st_mtime_ns for path in made}


def test_every_row_is_there(made):
    told = results(made)
    assert [row["row"] for row in told["rows"]] == ROWS
    assert [row["settings"]["images"] for row in told["rows"]] == [4, 8, 12, 4]
    for row in told["rows"]:
        assert (made / f"work/rows/{row['row']}-seed0.found.json").is_file() and set(row["classes"]) == set(CLASSES)
    assert [row["row"] for row in told["translated_source"]] == ["as they are", "munit"]
    assert "| source + munit |" in (drawn := tables(told)) and "Translated-source detection" in drawn


def test_labels_are_carried_along(made):
    source = COCO(str(made / "set/trainA.json"))
    translated = COCO(str(made / "work/translated/munit/trainA/annotations.json"))
    assert len(translated.imgs) == 2 * len(source.imgs)
    for record in translated.anns.values():
        one = source.anns[record["source_annotation_id"]]
        assert record["bbox"] == one["bbox"] and record["category_id"] == one["category_id"]


def test_what_is_done_stays_and_what_is_missing_is_made_again_alike(made):
    before, told = stamps(made), results(made)
    (made / "work/rows/munit-seed0.json").unlink()
    (made / "work/results.json").unlink()
    next((made / "work/translated/munit/valA").glob("*.png")).unlink()
    assert adapt_detector.main(command(made, "--quick")) == 0
    assert results(made) == told
    changed = {Path(path).name for path, stamp in stamps(made).items() if stamp != before[path]}
    assert {name for name in changed if not name.startswith("street")} == {
        "munit-seed0.json", "munit-seed0.found.json", "munit-seed0.pth"
    }  # fmt: skip
    assert sum(name.startswith("street") for name in changed) == 2  # both styles of one


def test_a_detector_is_judged_as_an_independent_call_judges_it(made, capsys):
    """One that sees the truth in the networks' half size is right in pixels of the files."""
    options = parse_training(["--dataset_mode", "boxes", "--dataroot", str(made / "set"), "--n_layers_D", "1", *SIZE])
    judge = Judge.of(read_index(made / "set")["valB"], options.values)
    figures, found = judge.look(ToldDetector(judge))
    assert figures.ap50 > 0.9 and max(one["bbox"][0] + one["bbox"][2] for one in found) > 48
    known = COCO(str(made / "set/valB.json"))
    evaluator = COCOeval(known, known.loadRes(found), "bbox")
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    assert (figures.ap, figures.ap50) == pytest.approx(tuple(evaluator.stats[:2])) and figures.ap < 0.99


def test_streets_know_which_objects_are_lost(made, tmp_path):
    content, listed = read_streets(made / "set"), read_index(made / "set")["valA"]
    images = [{**one, "source_file_name": one["file_name"]} for one in COCO(str(listed.annotations)).dataset["images"]]
    lost = tmp_path / "lost"
    lost.mkdir()
    for image in images:
        Image.fromarray(np.full((64, 96, 3), 90, np.uint8)).save(lost / image["file_name"])
    counts = {}
    for folder in (listed.images, lost):
        (tmp_path / "annotations.json").write_text(json.dumps({"images": images}))
        shown = type(listed)(tmp_path / "annotations.json", folder, listed.categories)
        counts[folder] = objects_found(shown, made / "set", content, "val", "A")
    there = [found for found, _ in counts[listed.images].values()]
    assert there == [every for _, every in counts[listed.images].values()] and sum(there) > 0
    assert all(found == 0 for found, _ in counts[lost].values())


def test_without_labels_of_the_target_there_is_no_oracle(made, tmp_path, capsys):
    index = read_index(made / "set")
    source, target = index["trainA"], index["trainB"]
    content = json.loads(target.annotations.read_text())
    (tmp_path / "trainB.json").write_text(json.dumps({**content, "annotations": []}))
    bare = type(target)(tmp_path / "trainB.json", target.images, target.categories)
    assert list(adapt_detector.sets_to_learn(source, bare, {})) == ["source"]
    assert "trainB.json has no box: there is no oracle" in capsys.readouterr().out
    with pytest.raises(InputError, match="has no box, so there is nothing to learn from"):
        adapt_detector.sets_to_learn(bare, source, {})


def test_the_share_of_the_gap():
    rows = [{"row": name, "ap": ap} for name, ap in (("source", 0.1), ("x", 0.3), ("source", 0.3), ("oracle", 0.6))]
    assert gap_closed(rows, "x") == pytest.approx(0.25) and gap_closed(rows, "source") == 0
    assert gap_closed(rows, "oracle") == pytest.approx(1) and gap_closed(rows, "y") is None
    assert gap_closed([*rows[:2], {"row": "oracle", "ap": 0.1}], "x") is None


def test_the_documented_tables_are_those_of_the_committed_results(capsys):
    assert adapt_detector.main(["--table", str(ROOT / "docs/domain_adaptation.json")]) == 0
    drawn, page = capsys.readouterr().out, (ROOT / "docs/domain_adaptation.md").read_text()
    lines = [line for line in drawn.splitlines() if line.startswith("|")]
    assert len(lines) > 6
    for line in lines:
        assert line in page.splitlines()


def test_wrong_input_is_one_sentence(made, tmp_path, capsys):
    main = adapt_detector.main
    for argv, reason in (
        ((), "--work is missing"),
        (("--work", tmp_path, "--translated", "a b=x", "--dataroot", "."), "write NAME=RUN"),
        (("--work", tmp_path, "--translated", "oracle=x", "--dataroot", "."), "there is a row oracle already"),
        (("--work", tmp_path, "--kind", "resnet50", "--dataroot", "."), "--kind resnet50 needs --begin_with"),
        (("--work", tmp_path, "--detector_seeds", "1", "1", "--dataroot", "."), "the same seed twice"),
        (("--work", tmp_path, "--dataroot", tmp_path), "boxes.json"),
        (("--work", tmp_path, "--dataroot", made / "set", "--step", "3"), "unknown flag --step"),
        (("--table", tmp_path / "no.json"), "no such file"),
        (command(made, "--quick", run="runs/none"), "none: no such file"),
        (command(made, "--pictures", "6", "--styles", "2", "--detector_steps", "5"), "(steps: 4, now 5)"),
    ):
        assert reason in sentence(capsys, main, *argv), argv
