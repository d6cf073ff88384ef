"""Average precision is what pycocotools says when it is called by itself, on files."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pycocotools", reason="COCO needs pycocotools (requirements.txt)")
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from instagan.errors import InputError
from instagan.metrics.coco_judge import judge_boxes

pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")  # pycocotools under numpy 2
CATEGORIES = {"car": 3, "person": 1, "sign": 7, "train": 9}  # nothing shows a train


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> tuple[Path, list[dict]]:
    """Eight pictures, and what a detector that is often right finds in them."""
    random, found = np.random.default_rng(0), []
    images = [{"id": number, "file_name": f"{number}.png", "width": 96, "height": 64} for number in range(10, 18)]
    annotations = []
    for image in images:
        for _ in range(int(random.integers(1, 5))):
            kind = int(random.choice([3, 1, 7]))
            left, top, width, height = (float(side) for side in (*random.uniform(0, 40, 2), *random.uniform(8, 24, 2)))
            record = {"id": len(annotations) + 1, "image_id": image["id"], "category_id": kind, "iscrowd": 0}
            annotations.append({**record, "bbox": [left, top, width, height], "area": width * height})
            moved = np.array([left, top, width, height]) + random.normal(0, 1.5, 4)
            guess = kind if random.random() < 0.8 else int(random.choice([3, 1, 7]))
            score = float(random.random())
            found.append({"image_id": image["id"], "category_id": guess, "bbox": moved.tolist(), "score": score})
    content = {"images": images, "annotations": annotations}
    content["categories"] = [{"id": number, "name": name} for name, number in CATEGORIES.items()]
    path = tmp_path_factory.mktemp("judge") / "truth.json"
    path.write_text(json.dumps(content))
    return path, found


def by_itself(truth: Path, found: list[dict], images: list[int], categories: list[int]) -> list[float]:
    results = truth.with_name("found.json")
    results.write_text(json.dumps(found))
    known = COCO(str(truth))
    evaluator = COCOeval(known, known.loadRes(str(results)), "bbox")
    evaluator.params.imgIds, evaluator.params.catIds = images, categories
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    return evaluator.stats[:2].tolist()


@pytest.mark.parametrize("images", [list(range(10, 18)), [10, 13, 14]])
def test_figures_are_those_of_an_independent_call(drawn, images, capsys):
    truth, found = drawn
    figures = judge_boxes(truth, images, CATEGORIES, found)
    assert capsys.readouterr().out == ""
    assert (figures.ap, figures.ap50) == pytest.approx(tuple(by_itself(truth, found, images, [3, 1, 7, 9])))
    assert 0.02 < figures.ap < figures.ap50 < 0.98
    for name in ("car", "person", "sign"):
        alone = by_itself(truth, found, images, [CATEGORIES[name]])
        assert (figures.classes[name], figures.classes50[name]) == pytest.approx(tuple(alone))
    assert figures.classes["train"] is None and figures.classes50["train"] is None


def test_all_right_is_one_and_nothing_found_is_zero(drawn):
    truth, _ = drawn
    content = json.loads(truth.read_text())
    right = [{**one, "score": 1.0} for one in content["annotations"]]
    images = [image["id"] for image in content["images"]]
    assert judge_boxes(truth, images, CATEGORIES, right).ap == pytest.approx(1)
    assert judge_boxes(truth, images, CATEGORIES, []).ap50 == 0


def test_what_cannot_be_judged_is_one_sentence(drawn, tmp_path):
    truth, found = drawn
    with pytest.raises(InputError, match="has no object of train"):
        judge_boxes(truth, [10], {"train": 9}, [])
    content = json.loads(truth.read_text())
    for record in content["annotations"]:
        del record["area"]
    (tmp_path / "no_area.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="lacks 'area'"):
        judge_boxes(tmp_path / "no_area.json", [10], CATEGORIES, found)
