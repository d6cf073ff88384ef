"""Diversity, IS and CIS on known inputs."""

import math

import numpy as np
import pytest
import torch

from instagan.metrics import look_classifier
from instagan.metrics.diversity import BUILT_IN, PAIRS, built_in_distance, diversity
from instagan.metrics.inception_score import inception_scores
from instagan.metrics.look_classifier import train_look_classifier

SURE = np.eye(3)


def plain(colour, side=32) -> np.ndarray:
    rng = np.random.default_rng(sum(colour))
    return (np.array(colour) + rng.integers(-20, 21, (side, side, 3))).clip(0, 255).astype(np.uint8)


def mean_difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


def test_diversity_is_the_mean_over_pairs_of_one_input():
    grey = [np.full((4, 4, 3), level, np.uint8) for level in (0, 10, 40)]
    found = diversity([grey, grey[:2], grey[:1]], mean_difference, "difference", 0)
    assert (found.value, found.pairs, found.inputs) == (pytest.approx((10 + 40 + 30 + 10) / 4), 4, 2)
    assert diversity([grey[:1], grey[1:2]], mean_difference, "difference", 0) is None


def test_of_many_outputs_some_pairs_are_drawn_by_the_seed():
    grey = [np.full((2, 2, 3), level, np.uint8) for level in range(10)]
    first, again, other = (diversity([grey], mean_difference, "difference", seed) for seed in (0, 0, 1))
    assert first == again and first.pairs == PAIRS and first.value != other.value


def test_the_built_in_distance_orders_what_is_plain_to_see():
    distance = built_in_distance(torch.device("cpu"))
    image = plain((120, 90, 60))
    rng = np.random.default_rng(0)
    nearly = (image + rng.integers(-2, 3, image.shape)).clip(0, 255).astype(np.uint8)
    noise = rng.integers(0, 256, image.shape).astype(np.uint8)
    assert distance(image, image) == 0
    assert 0 < distance(image, nearly) < distance(image, noise)
    assert distance(image, noise) == pytest.approx(distance(noise, image))
    assert "not comparable" in BUILT_IN


def test_sure_and_even_predictions_reach_the_logarithm_of_the_classes():
    found = inception_scores([SURE, SURE])
    assert found.is_kl == pytest.approx(math.log(3)) and found.is_exp == pytest.approx(3)
    assert found.cis_kl == pytest.approx(math.log(3)) and found.cis_exp == pytest.approx(3)


def test_one_output_for_all_styles_has_no_conditional_score():
    found = inception_scores([np.repeat(SURE[[k]], 4, 0) for k in range(3)])
    assert found.is_kl == pytest.approx(math.log(3))  # inputs differ
    assert found.cis_kl == pytest.approx(0, abs=1e-9) and found.cis_exp == pytest.approx(1)


def test_unsure_predictions_score_nothing():
    found = inception_scores([np.full((5, 4), 0.25)])
    assert found.is_kl == pytest.approx(0, abs=1e-9) and found.is_exp == pytest.approx(1)


def test_scores_by_hand():
    """Inputs of two outputs each: one of both classes, one of the first alone."""
    found = inception_scores([np.eye(2), np.array([[1.0, 0.0], [1.0, 0.0]])])
    assert found.is_kl == pytest.approx(0.75 * math.log(4 / 3) + 0.25 * math.log(4))
    assert found.cis_kl == pytest.approx(math.log(2) / 2)


def test_without_second_outputs_there_is_no_conditional_score():
    found = inception_scores([SURE[:1], SURE[1:2]])
    assert found.cis_kl is None and found.cis_exp is None and found.is_kl == pytest.approx(math.log(2))
    with pytest.raises(ValueError, match="at least one output"):
        inception_scores([])


def test_the_classifier_tells_plain_classes_apart_and_repeats_itself(monkeypatch):
    monkeypatch.setattr(look_classifier, "STEPS", 40)
    colours = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}
    images = {name: [plain([level + k for level in colour]) for k in range(4)] for name, colour in colours.items()}
    before = torch.random.get_rng_state()
    one, again = (train_look_classifier(images, images, seed=3) for _ in range(2))
    assert one.accuracy == 1 and one.judged == 12 and one.classes == tuple(colours)
    shown = [of[0] for of in images.values()]
    assert np.array_equal(one.probabilities(shown), again.probabilities(shown))
    assert one.probabilities(shown).argmax(1).tolist() == [0, 1, 2]
    assert np.allclose(one.probabilities(shown).sum(1), 1)
    assert torch.equal(torch.random.get_rng_state(), before)
    with pytest.raises(ValueError, match="two classes, not of 1"):
        train_look_classifier({"red": images["red"], "none": []}, {}, seed=0)
