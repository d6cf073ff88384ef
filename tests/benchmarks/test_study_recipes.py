"""The recipes for real data: tiny samples of the right format go through all programs, from preparing to the tables."""

import json

import numpy as np
import pytest
import yaml
from PIL import Image

from benchmarks import study
from benchmarks.studies import training
from benchmarks.studies.plan import UPDATES, read_plan
from instagan.metrics import look_classifier
from tests.programs import ROOT, sentence

RECIPES = ROOT / "benchmarks" / "recipes"
SIZE = 192, 108
COUNT = 12
"""Images of a domain: a tenth of them validates."""


def draw(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    Image.fromarray(random.integers(0, 255, (*SIZE[::-1], 3), dtype=np.uint8)).save(path)


def init(root):
    for number, domain in enumerate(("sunny", "night")):
        records = []
        for index in range(COUNT):
            draw(root / domain / "part" / f"{index}.png", (number, index))
            box = "1 20.5 30.5 90 80"
            records.append(f"# {index}\n/part/{index}.png\n3 {SIZE[1]} {SIZE[0]} 1\n0\n1\n{box}")
        (root / f"{domain}1.txt").write_text("\n\n\n".join(records) + "\n")
    return {"source": str(root)}


def bdd100k(root):
    for phase in ("train", "val"):
        records = []
        for index in range(COUNT):
            name = f"{phase}{index}.jpg"
            draw(root / "images" / "100k" / phase / name, index)
            box = {"category": "car", "box2d": {"x1": 20.5, "y1": 30, "x2": 90, "y2": 80}}
            attributes = {"timeofday": ("daytime", "night")[index % 2], "weather": "clear"}
            records.append({"name": name, "attributes": attributes, "labels": [box]})
        file = root / "labels" / "det_20" / f"det_{phase}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(records))
    return {"source": str(root)}


def kitti_cityscapes(root):
    for index in range(COUNT):
        draw(root / "kitti" / "image_2" / f"{index:06d}.png", index)
        label = root / "kitti" / "label_2" / f"{index:06d}.txt"
        label.parent.mkdir(exist_ok=True)
        kinds = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist")
        lines = [f"{kind} 0.00 0 -1.58 20.5 30 90 80 1.52 1.6 3.9 1.2 1.7 20.1 -1.5" for kind in kinds]
        label.write_text("\n".join(lines))
    for phase in ("train", "val"):
        for index in range(2):
            name = f"ulm_{index}"
            draw(root / "cityscapes" / "leftImg8bit" / phase / "ulm" / f"{name}_leftImg8bit.png", index)
            polygons = root / "cityscapes" / "gtFine" / phase / "ulm" / f"{name}_gtFine_polygons.json"
            polygons.parent.mkdir(parents=True, exist_ok=True)
            objects = []
            for column, label in enumerate(("car", "truck", "person", "rider", "bicycle")):
                left, right = 30 * column, 30 * column + 25
                polygon = [[left, 30], [right, 30], [right, 79], [left, 79]]
                objects.append({"label": label, "polygon": polygon})
            polygons.write_text(json.dumps({"imgWidth": SIZE[0], "imgHeight": SIZE[1], "objects": objects}))
    return {"source": str(root / "kitti"), "target": str(root / "cityscapes")}


SAMPLES = {"init": init, "bdd100k": bdd100k, "kitti_cityscapes": kitti_cityscapes}


def sample_of(name, folder):
    """The recipe of this name, whose data is a sample in the folder."""
    file = folder / f"{name}.yaml"
    told = yaml.safe_load((RECIPES / file.name).read_text())
    told["values"] |= SAMPLES[name](folder / "sample")
    file.write_text(yaml.safe_dump(told))
    return file


def test_every_recipe_has_a_sample():
    assert {recipe.stem for recipe in RECIPES.glob("*.yaml")} == SAMPLES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SAMPLES.keys() - {"init"}))
def test_a_sample_of_the_data_is_prepared_and_learned_from(name, tmp_path):
    plan, runs = read_plan(sample_of(name, tmp_path), quick=True), tmp_path / "runs"
    study.Study(plan, runs).prepare(["init"])
    look = training.train(plan, runs, "init", 0)[UPDATES]
    assert look["updates"] == 2 and set(look["seconds_per_picture"]) == {"A_to_B", "B_to_A"}
    told = json.loads((runs / "data" / "boxes.json").read_text())
    assert "bicycle" not in told["categories"] and "car" in told["categories"]


@pytest.mark.slow
def test_a_study_goes_from_data_to_tables_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(look_classifier, "STEPS", 5)
    runs, recipe = tmp_path / "runs", sample_of("init", tmp_path)
    flags = [str(recipe), "--runs", str(runs), "--quick", "--methods", "munit"]
    assert study.main(flags) == 0
    look = json.loads((runs / "munit-seed0.json").read_text())["looks"][UPDATES]
    assert look["updates"] == 2 and look["memory"] > 2**27 and set(look["figures"]) == {"A_to_B", "B_to_A"}
    figures = look["figures"]["A_to_B"]
    assert figures["fid"] > 0 and figures["diversity"] > 0 and figures["outputs"] == 2 and "error" not in figures
    assert "truth" not in json.loads((runs / "references.json").read_text())["rows"]
    document = runs / "report.md"
    assert "| MUNIT |" in document.read_text() and (runs / "images" / "report_init_A_to_B.png").exists()

    before, first = (runs / "munit-seed0.json").stat().st_mtime_ns, document.read_text()
    assert study.main(flags) == 0 and study.main([*flags, "--report"]) == 0
    assert (runs / "munit-seed0.json").stat().st_mtime_ns == before and document.read_text() == first
    told = sentence(capsys, study.main, *flags, "--updates", 3)
    assert "munit-seed0.json" in told and "budgets" in told
