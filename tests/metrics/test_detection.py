"""Average precision of a few boxes that one can count by hand."""

from __future__ import annotations

import pytest
import torch

from instagan.metrics.detection import ClassFigures, Found, figures_of_class

HERE, THERE = [0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0]
NEAR = [0.0, 0.0, 10.0, 8.0]
"""Covers HERE by 0.8."""


def found(boxes, scores, truth, labels=None, true_labels=None) -> Found:
    return Found(
        torch.tensor(boxes).reshape(-1, 4),
        torch.tensor(labels or [0] * len(boxes), dtype=torch.long),
        torch.tensor(scores),
        torch.tensor(truth).reshape(-1, 4),
        torch.tensor(true_labels or [0] * len(truth), dtype=torch.long),
    )


def test_everything_found_and_nothing_else_is_1():
    images = [found([HERE, THERE], [0.9, 0.6], [THERE, HERE]), found([NEAR], [0.8], [HERE])]
    assert figures_of_class(images, 0, 0.5) == ClassFigures(3, 1.0, 1.0, 1.0)


def test_an_object_counts_once_and_the_better_score_has_it():
    once = figures_of_class([found([NEAR, HERE], [0.9, 0.8], [HERE])], 0, 0.5)
    assert once == ClassFigures(1, 1.0, 0.5, 1.0)
    late = figures_of_class([found([THERE, HERE], [0.9, 0.8], [HERE])], 0, 0.5)
    assert late == ClassFigures(1, 0.5, 0.5, 1.0)


def test_the_area_below_the_curve_is_that_of_the_best_precision_from_there_on():
    """Right, wrong, wrong, right; a third object is never found: 1/3 * 1 + 1/3 * 2/4."""
    boxes, truth = [HERE, [50.0, 0, 60, 10], [70.0, 0, 80, 10], THERE], [HERE, THERE, [90.0, 0, 99, 9]]
    figures = figures_of_class([found(boxes, [0.9, 0.8, 0.7, 0.6], truth)], 0, 0.65)
    assert figures.average_precision == pytest.approx(1 / 3 + 1 / 6)
    assert figures.precision == pytest.approx(1 / 3) and figures.recall == pytest.approx(1 / 3)


def test_a_box_in_another_image_or_of_another_class_is_wrong():
    images = [found([HERE], [0.9], []), found([], [], [HERE])]
    assert figures_of_class(images, 0, 0.5) == ClassFigures(1, 0.0, 0.0, 0.0)
    other = [found([HERE], [0.9], [HERE], [1], [0])]
    assert figures_of_class(other, 0, 0.5) == ClassFigures(1, 0.0, None, 0.0)
    assert figures_of_class(other, 1, 0.5) == ClassFigures(0, None, 0.0, None)


def test_overlap_must_be_enough():
    assert figures_of_class([found([NEAR], [0.9], [HERE])], 0, 0.5, overlap=0.85).average_precision == 0
