"""Who judges: the small classifier learns, networks are those of the packages, masks meet what is found."""

import numpy as np
import pytest
import torch

from evaluation.asking import agreement_by
from instagan.errors import InputError
from instagan.io.torchvision_import import import_torchvision
from instagan.metrics import classifier
from instagan.metrics.classifier import LEAST, small, trained, vgg16
from instagan.metrics.figures import Figure
from instagan.metrics.outcome import Outcome
from instagan.metrics.perceptual import lpips
from instagan.metrics.verdict import verdict
from tests.evaluating import draw_shapes, report_of, translate_by_hand, values

CPU = torch.device("cpu")


def dots(seed: int, count: int, bright: bool) -> list[np.ndarray]:
    """Grey noise with one small dot, bright or dark, anywhere."""
    random, pictures = np.random.default_rng(seed), []
    for _ in range(count):
        picture = random.integers(90, 160, (40, 44, 3), dtype=np.uint8)
        y, x = random.integers(2, 34, 2)
        picture[y : y + 6, x : x + 6] = 250 if bright else 5
        pictures.append(picture)
    return pictures


def test_the_small_classifier_learns_and_tells_how_well():
    source, target = dots(0, 40, False), dots(1, 30, True)
    held_out = dots(2, 20, False), dots(3, 20, True)
    learned = trained(small(), source, target, held_out, 0, CPU)
    assert learned.accuracy > 0.95 and learned.judged == 40
    assert learned.target(dots(4, 10, True)).mean() > 0.9 and learned.target(dots(5, 10, False)).mean() < 0.1
    assert learned.target([]).shape == (0,)


def test_a_seed_gives_a_classifier_and_nothing_else_is_drawn(monkeypatch):
    monkeypatch.setattr(classifier, "STEPS", 3)
    source, target = dots(0, 8, False), dots(1, 8, True)
    before = torch.get_rng_state()
    one, same, other = (trained(small(), source, target, None, seed, CPU).target(source) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_accuracy_is_of_pictures_that_were_not_learned(monkeypatch):
    """With nothing to tell the domains apart, learning by heart must not look like knowing."""
    same = dots(0, 24, True)
    learned = trained(small(), same, dots(1, 24, True), None, 0, CPU)
    assert learned.judged == 24 and learned.accuracy < classifier.RELIABLE
    assert trained(small(), same[: LEAST - 1], same, (same, same), 0, CPU) is None
    assert trained(small(), [], [], None, 0, CPU) is None


def test_lpips_is_that_of_the_package_where_it_is_asked_for(tmp_path):
    import_torchvision()
    from lpips import LPIPS
    from torchvision.models import alexnet

    torch.manual_seed(0)
    state = {name: weight for name, weight in alexnet().state_dict().items() if name.startswith("features.")}
    torch.save(state, tmp_path / "alexnet.pth")
    distance = lpips(tmp_path / "alexnet.pth", CPU)
    one, other = (np.random.default_rng(seed).integers(0, 256, (64, 72, 3), dtype=np.uint8) for seed in (0, 1))
    everywhere, left = np.ones((64, 72), bool), np.zeros((64, 72), bool)
    left[:, :20] = True
    assert distance(one, one, everywhere) == 0
    changed = np.where(left[..., None], other, one)
    assert distance(one, changed, everywhere) > 0 == distance(one, changed, ~left)  # the rest counts as unchanged
    package = LPIPS(net="alex", pnet_rand=True, verbose=False)
    for number in range(1, 6):
        part = getattr(package.net, f"slice{number}")
        part.load_state_dict({name: state[f"features.{name}"] for name in part.state_dict()})
    tensors = [torch.from_numpy(x.transpose(2, 0, 1)[None].copy()).float() / 127.5 - 1 for x in (one, other)]
    spatial = LPIPS(net="alex", pnet_rand=True, verbose=False, spatial=True)
    spatial.net.load_state_dict(package.net.state_dict())
    with torch.no_grad():
        expected = float(spatial(*tensors).mean())
    assert distance(one, other, everywhere) == pytest.approx(expected, rel=1e-5)
    assert distance(one[:20, :20], other[:20, :20], everywhere[:20, :20]) > 0  # too small for AlexNet as it is


def box(left: int, right: int) -> np.ndarray:
    mask = np.zeros((32, 32), bool)
    mask[8:24, left:right] = True
    return mask


def test_detected_instances_meet_masks_one_by_one():
    picture = np.zeros((32, 32, 3), np.uint8)
    masks = np.stack([box(0, 10), box(16, 32)])
    outcome = Outcome.of("x", picture, picture, masks, masks)

    def detect(images):
        assert images[0].shape == (3, 32, 32) and images[0].min() == 0
        found = torch.from_numpy(np.stack([box(16, 32), box(0, 5), box(0, 10)]))[:, None].float() * 0.9
        return [{"masks": found, "labels": torch.tensor([3, 3, 7]), "scores": torch.ones(3)}]

    assert agreement_by(detect, None)(outcome) == [1, 1]
    assert agreement_by(detect, [3])(outcome) == [0.5, 1]
    assert agreement_by(detect, [1])(outcome) == [0, 0]


@pytest.mark.parametrize(
    ("change", "error", "score", "accuracy", "code"),
    [
        (0.0, 0.0, 0.0, 1.0, "identity"),
        (0.5, 0.4, 1.0, 1.0, "painted_over"),
        (0.5, 0.4, 0.2, 1.0, "neither"),
        (0.2, 0.01, 0.05, 1.0, "untranslated"),
        (0.5, 0.02, 0.95, 1.0, "translated"),
        (0.5, 0.06, 0.7, 1.0, "mixed"),
        (0.5, 0.02, 0.95, 0.6, "unknown"),
        (0.5, 0.02, None, None, "unknown"),
    ],
)
def test_verdicts(change, error, score, accuracy, code):
    told = {"change": change, "background_mae": error, "instance_score": score, "instance_accuracy": accuracy}
    figures = [Figure(name, "all", value, 9) for name, value in told.items() if value is not None]
    assert verdict(figures).code == code


def test_vgg16_weights_that_do_not_fit_are_named(tmp_path):
    torch.save({"classifier.6.weight": torch.zeros(2, 4096)}, tmp_path / "weights.pth")
    with pytest.raises(InputError, match="--weights vgg16=.* does not fit torchvision's vgg16"):
        vgg16(tmp_path / "weights.pth", CPU)


@pytest.mark.slow
def test_evaluate_with_every_optional_network(tmp_path, monkeypatch):
    """Random weights: the figures mean nothing, but each is there, with the name of who judged."""
    import_torchvision()
    from torchvision.models import alexnet
    from torchvision.models import vgg16 as build
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    monkeypatch.setattr(classifier, "VGG_STEPS", 2)
    networks = {
        "vgg16": build(),
        "lpips": alexnet(),
        "maskrcnn": maskrcnn_resnet50_fpn(weights=None, weights_backbone=None),
    }
    for name, network in networks.items():
        torch.save(network.state_dict(), tmp_path / f"{name}.pth")
    root = draw_shapes(tmp_path / "shapes", train=4, val=2)
    results = translate_by_hand(root, tmp_path / "results", "good")
    weights = [f"{name}={tmp_path / f'{name}.pth'}" for name in networks]
    flags = ("--results", results, "--dataroot", root, "--direction", "AtoB", "--lpips", "--detector", "--weights")
    report = report_of(tmp_path / "out", *flags, *weights)
    found = values(report, "AtoB")
    assert {"background_lpips", "agreement", "picture_score", "instance_score"} <= set(found)
    assert report["judges"]["agreement"] == "Mask R-CNN" and "VGG-16" in report["judges"]["classifier"]
    assert found["background_lpips"] == 0 and found["agreement"] < 0.5
