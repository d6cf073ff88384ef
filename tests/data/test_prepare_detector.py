"""Masks from torchvision's Mask R-CNN: the real code path with random weights, and the stand-ins for its operators."""

import importlib.util
import sys

import numpy as np
import pytest
import torch

if importlib.util.find_spec("torchvision") is None:
    pytest.skip("the detector needs torchvision (requirements-dev.txt)", allow_module_level=True)

from data.preparing.detector import DetectedAnnotation, detected
from data.preparing.tasks import Task
from instagan.io.detector import load_detector
from instagan.io.torchvision_import import import_torchvision, nms, roi_align
from scripts import prepare_masks
from tests.preparing import check_set, contents, draw_noise, load
from tests.programs import sentence

torchvision = import_torchvision()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A state dict of random weights for three classes."""
    torch.manual_seed(0)
    model = torchvision.models.detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(model.state_dict(), path)
    yield path
    path.unlink()


@pytest.fixture
def pictures(tmp_path):
    for number in range(3):
        draw_noise(tmp_path / f"pictures/{number}.jpg", (40, 30), seed=number)
    return tmp_path / "pictures"


def flags(pictures, weights, save, *more):
    (pictures.parent / "names.txt").write_text("__background__\ncow\nsheep\n")
    names = ["--names", str(pictures.parent / "names.txt"), "--cat1", "cow", "--cat2", "sheep", "--device", "cpu"]
    small = ["--detector_size", "64", "--threshold", "0.05", "--max_instances", "2", "--image_size", "24"]
    where = ["--images1", str(pictures), "--weights", str(weights), "--save_root", str(save), "--val_share", "0"]
    return ["--detector", *where, *names, *small, *more]


def test_the_detector_makes_a_set(pictures, weights, tmp_path):
    (pictures / "bad.jpg").write_bytes(b"")
    given = flags(pictures, weights, tmp_path / "set", "--skip_bad")
    assert prepare_masks.main([*given, "--threshold", "0", "--detector_batch", "2"]) == 0
    check_set(tmp_path / "set")
    told = load(tmp_path / "set")
    assert told["source"]["kind"] == "detector" and told["skipped"]
    assert all(0 <= i["score"] <= 1 for entry in told["pictures"].values() for i in entry["instances"])
    before = contents(tmp_path / "set")
    next((tmp_path / "set" / "trainA").iterdir()).unlink()
    assert prepare_masks.main([*given, "--threshold", "0", "--detector_batch", "2"]) == 0
    assert set(contents(tmp_path / "set")) == set(before)


def test_each_picture_is_detected_once_and_its_masks_return(pictures):
    from data.preparing.own_masks import list_pictures

    seen = []

    def detect(images):
        seen.extend(images)
        masks = torch.zeros(2, 1, 30, 40)
        masks[0, :, 3:9, 5:11] = 0.9
        masks[1, :, 10:20, 20:33] = 0.6
        return [{"masks": masks, "labels": torch.tensor([2, 1]), "scores": torch.tensor([0.9, 0.8])} for _ in images]

    tasks = [
        Task("train", domain, path.stem, path, path.name, DetectedAnnotation(((label, 4),)))
        for path in list_pictures(pictures, "--images1")
        for domain, label in (("A", 1), ("B", 2))
    ]
    done = list(detected(tasks, detect, batch=2))
    assert len(seen) == 3 and [task.key for task in done] == [task.key for task in tasks]
    assert all(image.shape == (3, 30, 40) and 0 <= image.min() <= image.max() <= 1 for image in seen)
    a, b = (next(iter(task.annotation.find((40, 30)))) for task in done[:2])
    assert (a.id, a.category, b.id) == (1, 4, 0)
    assert np.argwhere(b.inside).min(0).tolist() == [3, 5] and b.inside.sum() == 36 and a.inside.sum() == 130


def test_bad_weights_and_names_end_in_one_sentence(pictures, weights, tmp_path, capsys, monkeypatch):
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"no weights")
    other = tmp_path / "other.pth"
    torch.save({"x": torch.zeros(1)}, other)
    short = tmp_path / "short.txt"
    short.write_text("__background__\ncow\nsheep\ndog\n")
    for more, told in (
        (("--weights", str(bad)), "bad.pth cannot be read"),
        (("--weights", str(tmp_path / "no.pth")), "no.pth cannot be read"),
        (("--weights", str(other)), "does not fit"),
        (("--names", str(short)), "3 classes and there are 4 names"),
        (("--cat1", "caw"), "nearest are: cow"),
        (("--device", "nonsense"), "--device nonsense"),
    ):
        assert told in sentence(capsys, prepare_masks.main, *flags(pictures, weights, tmp_path / "set", *more))

    def offline(*_, **__):
        raise OSError("no internet")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    from data.preparing import detector

    with pytest.raises(detector.InputError, match="pass --weights FILE"):
        load_detector(None, 0.5, 64, torch.device("cpu"))


def test_without_torchvision_it_says_how_to_get_it(pictures, weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    message = sentence(capsys, prepare_masks.main, *flags(pictures, weights, tmp_path / "set"))
    assert "pip install torchvision" in message


def test_suppression_keeps_the_best_of_what_overlaps():
    generator = torch.Generator().manual_seed(0)
    corner, side = torch.rand(80, 2, generator=generator) * 60, 5 + torch.rand(80, 2, generator=generator) * 30
    boxes, scores = torch.cat((corner, corner + side), 1), torch.rand(80, generator=generator)
    kept = nms(boxes, scores, 0.4).tolist()
    iou = torchvision.ops.box_iou(boxes, boxes)
    assert scores[kept].tolist() == sorted(scores[kept].tolist(), reverse=True)
    assert all(iou[one, other] <= 0.4 for one in kept for other in kept if one != other)
    for lost in set(range(80)) - set(kept):
        assert any(iou[lost, other] > 0.4 and scores[other] > scores[lost] for other in kept)
    assert nms(boxes[:0], scores[:0], 0.4).tolist() == []


def test_aligned_regions_of_a_plane_are_the_plane():
    """Features that rise linearly have at each cell the value at the cell's centre."""
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    features = torch.stack((2 * x + 3 * y, -x, y))[None].repeat(2, 1, 1, 1)
    features[1] += 100
    rois = torch.tensor([[0, 4.0, 6.0, 20.0, 26.0], [1, 10.0, 2.0, 40.0, 30.0]])  # at scale 0.5
    pooled = roi_align(features, rois, 0.5, 4, 5, 2, False)
    for roi, cells in zip(rois, pooled, strict=True):
        left, top, right, bottom = (roi[1:] / 2).tolist()
        centre_x = left + (right - left) * (torch.arange(5) + 0.5) / 5
        centre_y = top + (bottom - top) * (torch.arange(4) + 0.5) / 4
        assert torch.allclose(cells[1], -centre_x.expand(4, 5) + 100 * roi[0], atol=1e-4)
        assert torch.allclose(cells[2], centre_y[:, None].expand(4, 5) + 100 * roi[0], atol=1e-4)
    assert roi_align(features, torch.tensor([[0, -90.0, -90.0, -50.0, -50.0]]), 1.0, 2, 2, 2, False).abs().max() == 0


def test_gradients_flow_through_the_operator_that_detectors_call():
    features = torch.randn((1, 2, 8, 8), generator=torch.Generator().manual_seed(0)).requires_grad_()
    rois = torch.tensor([[0, 1.0, 1.0, 6.0, 7.0]])
    torchvision.ops.roi_align(features, rois, (2, 2), sampling_ratio=2).sum().backward()
    called = features.grad.clone()
    features.grad = None
    roi_align(features, rois, 1.0, 2, 2, 2, False).sum().backward()
    torch.testing.assert_close(called, features.grad)
    assert called.sum().item() == pytest.approx(8)  # 2 x 2 cells of 2 channels, each a weighted mean
