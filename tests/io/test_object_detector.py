"""A detector in the loop: a gradient to the image and none to itself; what it finds as a batch; its file."""

from __future__ import annotations

import dataclasses
import importlib.util

import pytest
import torch

from instagan.errors import InputError
from instagan.losses.box_consistency import box_consistency
from instagan.structures.instances import InstanceBatch

if importlib.util.find_spec("torchvision") is None:
    pytest.skip("the detector needs torchvision", allow_module_level=True)

from instagan.io.object_detector import BEGINNINGS, ObjectDetector, begin_with, read_detector, write_detector
from instagan.io.torchvision_import import import_torchvision
from instagan.kernels import accelerate
from instagan.metrics.detection import Found, figures_of_class

CLASSES = ("car", "person", "sign")
OWNER, LABELS = torch.tensor([1, 0, 1]), torch.tensor([0, 2, 1])
BOXES = torch.tensor([[1.0, 1, 9, 9], [4, 6, 18, 14], [-2, 5, 24, 20]], dtype=torch.float64)


@pytest.fixture(scope="module")
def detector() -> ObjectDetector:
    torch.manual_seed(0)
    return ObjectDetector("small", CLASSES, 32).double().requires_grad_(False)


def images(seed: int = 0, rows: int = 2) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand((rows, 3, 16, 24), dtype=torch.float64, generator=random) * 2 - 1


def scenes() -> InstanceBatch:
    """The objects above as a batch, slots in another order than they are told of there."""
    boxes, labels = torch.zeros(2, 2, 4, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.long)
    boxes[1], boxes[0, 1] = BOXES[[0, 2]], BOXES[1]
    labels[1], labels[0, 1] = LABELS[[0, 2]], LABELS[1]
    present = torch.tensor([[False, True], [True, True]])
    return InstanceBatch(images(), None, present, labels, given_boxes=boxes)


def test_gradients_of_what_the_detector_really_uses_are_right(detector):
    image = images().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda seen: detector.regressed(seen, OWNER, BOXES, LABELS), (image,), fast_mode=True, atol=1e-6
    )
    features = torch.randn((2, 3, 4, 6), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    rois = torch.cat([OWNER[:, None], BOXES], 1)
    operator = torch.ops.torchvision.roi_align
    for aligned in (True, False):
        assert torch.autograd.gradcheck(
            lambda maps, how=aligned: operator(maps, rois, 0.25, 3, 2, 2, how), (features.requires_grad_(),)
        )
    pool = detector.model.roi_heads.box_roi_pool
    maps = torch.randn((2, 2, 4, 6), dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda seen: pool({"0": seen}, [BOXES[[1]], BOXES[[0, 2]]], [(16, 24)] * 2), (maps,), fast_mode=True
    )


def test_consistency_is_0_for_the_same_picture_and_its_gradient_reaches_the_translation_alone(detector):
    x = scenes()
    same = x.image.clone().requires_grad_()
    assert torch.equal(box_consistency(detector, x, same), torch.zeros(3, dtype=torch.float64))
    y = images(seed=3).requires_grad_()
    moved = box_consistency(detector, x, y)
    assert moved.shape == (3,) and moved.min() > 0
    moved.sum().backward()
    assert all(row.abs().max() > 0 for row in y.grad)
    assert all(weight.grad is None for weight in detector.parameters())
    nobody = dataclasses.replace(x, present=torch.zeros(2, 2, dtype=torch.bool))
    assert box_consistency(detector, nobody, y).shape == (0,)


def test_an_object_is_compared_with_itself_whatever_the_order_and_whoever_else_is_there(detector):
    all_of_them = detector.regressed(images(), OWNER, BOXES, LABELS)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(
        detector.regressed(images(), OWNER[order], BOXES[order], LABELS[order]), all_of_them[order]
    )
    alone = detector.regressed(images()[[1]], torch.zeros(1, dtype=torch.long), BOXES[[2]], LABELS[[2]])
    torch.testing.assert_close(alone, all_of_them[[2]])


def test_corners_are_shares_of_the_picture(detector):
    """A head that moves nothing gives back its proposals."""
    still = ObjectDetector("small", CLASSES, 40).double()
    torch.nn.init.zeros_(still.model.roi_heads.box_predictor.bbox_pred.weight)
    torch.nn.init.zeros_(still.model.roi_heads.box_predictor.bbox_pred.bias)
    found = still.regressed(images(), OWNER, BOXES, LABELS)
    torch.testing.assert_close(found, BOXES / BOXES.new_tensor([24, 16, 24, 16]))


def test_it_stays_in_eval_mode_and_faster_layers_change_nothing(detector):
    assert not any(part.training for part in detector.train().modules())
    found = detector.regressed(images(), OWNER, BOXES, LABELS)
    accelerate(torch.nn.ModuleDict({"detector": detector}))
    again = detector.regressed(images(), OWNER, BOXES, LABELS)
    torch.testing.assert_close(again, found, rtol=1e-9, atol=1e-12)


def test_what_is_found_comes_as_boxes_of_their_rows_best_first(detector, monkeypatch):
    answers = [
        (torch.tensor([[1.0, 2, 9, 30], [3, 3, 5, 5], [0, 0, 9, 9]]), LABELS.flip(0), torch.tensor([0.9, 0.8, 0.4])),
        (torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.zeros(0)),
    ]  # fmt: skip
    monkeypatch.setattr(detector, "detect", lambda images: answers)
    found = detector.find(images())
    assert found.present.tolist() == [[True, True], [False, False]]
    assert found.labels[0].tolist() == [1, 2] and found.boxes[0, 0].tolist() == [1, 2, 9, 16]
    assert detector.find(images(), most=1).slot_count == 1
    assert detector.find(images(), threshold=0.95).slot_count == 0


def test_it_learns_and_finds_what_it_has_learnt():
    """Two bright squares on dark ground, again and again."""
    torch.manual_seed(0)
    detector = ObjectDetector("small", ("square",), 64)
    image = torch.full((1, 3, 32, 48), -0.8)
    boxes, labels = torch.tensor([[6.0, 8, 18, 20], [28, 10, 40, 22]]), torch.tensor([0, 0])
    for left, top, right, bottom in boxes.int().tolist():
        image[..., top:bottom, left:right] = 0.8
    optimizer = torch.optim.Adam(detector.parameters(), 3e-3)
    for _ in range(45):
        optimizer.zero_grad()
        torch.stack(list(detector.losses(image, [boxes], [labels]).values())).sum().backward()
        optimizer.step()
    found = Found(*detector.detect(image)[0], boxes, labels)
    assert figures_of_class([found], 0, 0.5).average_precision == 1


def test_its_file_holds_all_that_it_is(detector, tmp_path):
    write_detector(tmp_path / "detector.pth", detector.float(), {"steps": 3})
    again = read_detector(tmp_path / "detector.pth")
    assert again.config == detector.config == {"kind": "small", "classes": "car\nperson\nsign", "side": 32}
    seen = images().float()
    assert torch.equal(
        again.regressed(seen, OWNER, BOXES.float(), LABELS), detector.regressed(seen, OWNER, BOXES.float(), LABELS)
    )
    detector.double()
    torch.save({"weights": {}}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="--detector_weights .*other.pth is no detector; make one with"):
        read_detector(tmp_path / "other.pth")
    torch.save({"detector": detector.config | {"side": 3.5}, "weights": {}}, tmp_path / "bad.pth")
    with pytest.raises(InputError, match="--detector_weights .*bad.pth"):
        read_detector(tmp_path / "bad.pth")


@pytest.mark.slow
@pytest.mark.parametrize("kind", BEGINNINGS)
def test_large_kinds_are_torchvisions_and_begin_with_its_weights(kind, tmp_path):
    made = getattr(import_torchvision().models.detection, BEGINNINGS[kind][0])
    theirs = made(weights=None, weights_backbone=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "coco.pth")
    mine = ObjectDetector(kind, CLASSES, 32)
    begin_with(mine, tmp_path / "coco.pth", "--begin_with")
    for part in ("backbone", "rpn"):
        own = getattr(mine.model, part).state_dict()
        for name, weight in getattr(theirs, part).state_dict().items():
            assert name.endswith("num_batches_tracked") or torch.equal(weight, own[name])
    image = images(rows=1).float().requires_grad_()
    mine.regressed(image, OWNER[1:2], BOXES[1:2].float(), LABELS[1:2]).sum().backward()
    assert image.grad.abs().max() > 0
    assert mine.losses(images(rows=1).float(), [BOXES[1:2].float()], [LABELS[1:2]]).keys() == {
        "loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"
    }  # fmt: skip
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "nothing.pth")
    told = f"--begin_with .* has no backbone.body.*; pass torchvision's {BEGINNINGS[kind][0]}"
    with pytest.raises(InputError, match=told):
        begin_with(mine, tmp_path / "nothing.pth", "--begin_with")
