"""A detector is learnt from boxes and measured, written to a file and read again; faults are told in one sentence."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

if importlib.util.find_spec("torchvision") is None:
    pytest.skip("the detector needs torchvision", allow_module_level=True)

from evaluation.learning_detector import Learning, annotated_domain, batches, placed_as, rate, true_of
from instagan.io.object_detector import read_detector
from options.parse import parse_training
from scripts import make_streets, train_detector

SIZE = ("--load_size_w", "48", "--load_size_h", "32", "--fine_size_w", "48", "--fine_size_h", "32")
SHORT = ("--detector_steps", "3", "--detector_batch", "2")


@pytest.fixture(scope="module")
def streets(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("streets") / "set"
    assert make_streets.main(["--save_root", str(root), "--train", "6", "--val", "3", "--test", "1"]) == 0
    return root


def flags(root: Path, *more: str) -> list[str]:
    return ["--dataroot", str(root), "--dataset_mode", "boxes", "--n_layers_D", "1", *SIZE, *more]


def test_it_trains_measures_and_writes_the_same_for_the_same_seed(streets, tmp_path, capsys):
    made = []
    for name in ("one", "two"):
        path = tmp_path / "detectors" / f"{name}.pth"
        assert train_detector.main(["--save", str(path), *SHORT, *flags(streets)]) == 0
        made.append(read_detector(path))
    said = capsys.readouterr().out
    assert "classes: car, person, sign; looked at from 64 pixels on" in said
    assert "step 3 of 3: loss" in said and "mean average precision:" in said and "--detector_weights" in said
    assert "valA, 3 images that it did not learn from:" in said
    for one, other in zip(*(detector.state_dict().values() for detector in made), strict=True):
        assert torch.equal(one, other)
    assert made[0].config["classes"] == "car\nperson\nsign"


def test_images_are_placed_as_in_training_and_boxes_with_them(streets):
    options = parse_training(flags(streets)).values
    domain, classes = annotated_domain(options, "train")
    assert domain.title == "trainA" and len(classes) == 3
    taken = next(iter(batches(domain.entries, placed_as(options, True), Learning(batch_size=4))))
    assert all(sample.image.shape == (3, 32, 48) for sample in taken)
    for sample in taken:
        boxes, labels = true_of(sample)
        assert len(boxes) == len(labels) and (boxes[:, 2:] > boxes[:, :2]).all()
        assert boxes.min() >= 0 and (boxes <= boxes.new_tensor([48, 32, 48, 32])).all()
    other, _ = annotated_domain(parse_training(flags(streets, "--direction", "BtoA")).values, "train")
    assert other.title == "trainB"


def test_the_learning_rate_rises_and_falls():
    rates = [rate(step, 600) for step in range(600)]
    assert 0 < rates[0] < 0.1 and max(rates) == 1 and rates[-1] < 1e-4
    assert rate(0, 1) == 1


def test_faults_are_told_in_one_sentence(streets, tmp_path, capsys):
    target = ["--save", str(tmp_path / "detector.pth")]
    assert train_detector.main([*target, "--kind", "resnet50", *flags(streets)]) == 2
    assert "--kind resnet50 needs --begin_with FILE" in capsys.readouterr().err
    assert train_detector.main([*target, *flags(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("train_detector.py: ")
    assert train_detector.main([*target, *flags(streets), "--step", "3"]) == 2
    assert "unknown flag --step" in capsys.readouterr().err
    assert not (tmp_path / "detector.pth").exists()
