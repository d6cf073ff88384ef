"""Figures of street scenes where the answer is known: the truth, the input itself, noise, an object painted over."""

import numpy as np
import pytest

from data.streets.rendering import Drawn, drawn, render
from data.streets.scene import draw_scene
from data.streets.styles import STYLES
from data.streets.writing import objects_of
from instagan.metrics.streets import StreetObject, StreetTruth, is_found, judge, look, nearest

SCENES = 4


def truth_of(scene: Drawn, source: str, target: str) -> StreetTruth:
    objects = tuple(
        StreetObject(
            one.truth["class"], tuple(one.truth["box"]), one.mask, tuple(map(tuple, one.truth.get("lamps", ())))
        )
        for one in objects_of(scene)
    )
    renderings = {letter: {style.name: render(scene, style) for style in STYLES[letter]} for letter in "AB"}
    return StreetTruth(objects, renderings[target], renderings[source])


@pytest.fixture(scope="module")
def truths() -> list[StreetTruth]:
    """By turns from day to night and back."""
    scenes = [drawn(draw_scene(np.random.default_rng([7, seed]), 1.5), 96, 64) for seed in range(SCENES)]
    return [truth_of(scene, *("AB" if number % 2 else "BA")) for number, scene in enumerate(scenes)]


def test_the_truth_is_perfect_in_every_style(truths):
    for truth in truths:
        for style, image in truth.targets.items():
            judged = judge(image, truth)
            assert judged.style == style and judged.error == judged.background_error == 0
            for one in judged.objects:
                assert one.error == 0 and one.found and one.look is not False


def test_the_input_itself_has_no_look_but_everything_is_in_place(truths):
    for truth in truths:
        for image in truth.sources.values():
            judged = judge(image, truth)
            assert judged.error > 0.1
            assert all(one.found and not one.look for one in judged.objects)


def test_the_look_can_be_told_of_nearly_every_object(truths):
    looks = [one.look for truth in truths for one in judge(next(iter(truth.targets.values())), truth).objects]
    assert np.mean([one is not None for one in looks]) >= 0.9


def test_noise_is_nothing(truths):
    rng = np.random.default_rng(0)
    for truth in truths[1::2]:  # by night
        judged = judge(rng.integers(0, 256, (64, 96, 3)).astype(np.uint8), truth)
        assert judged.error > 0.25
        assert not any(one.found for one in judged.objects)
        assert not any(one.look for one in judged.objects if one.kind != "person")


def test_a_black_image_has_dark_persons_and_nothing_else(truths):
    judged = judge(np.zeros((64, 96, 3), np.uint8), truths[1])
    assert {one.kind for one in judged.objects if one.look} <= {"person"}
    assert not any(one.found for one in judged.objects)


def test_an_object_that_was_painted_over_is_not_found(truths):
    """What takes its place is what lies beside it on the left, or on the right."""
    found = []
    for truth in truths:
        image = next(iter(truth.targets.values())).copy()
        for one in truth.objects:
            left, top, right, bottom = one.box
            width = right - left
            if min(left, 96 - right) >= 2:
                column = image[top:bottom, left - 2 : left].mean(1, keepdims=True)
                image[top:bottom, left:right] = np.repeat(column, width, 1)
        found += [one.found for one in judge(image, truth).objects]
    assert np.mean(found) <= 0.2


def test_an_object_elsewhere_is_not_in_its_box():
    rng = np.random.default_rng(1)
    scene = np.full((40, 60), 0.5)
    pattern = rng.uniform(0, 1, (10, 10))
    scene[15:25, 25:35] = pattern
    mask = np.zeros(scene.shape, bool)
    mask[15:25, 25:35] = True
    one = StreetObject("car", (25, 15, 35, 25), mask)
    assert is_found(scene, one, [scene])
    for shift, found in ((1, True), (2, True), (4, False), (20, False)):
        assert is_found(np.roll(scene, shift, 1), one, [scene]) == found
    assert is_found(0.3 * scene + 0.1, one, [scene])  # darker and flatter, but there


def test_the_nearest_rendering_is_named_with_its_error():
    targets = {"dark": np.zeros((4, 4, 3), np.uint8), "bright": np.full((4, 4, 3), 255, np.uint8)}
    where = np.ones((4, 4), bool)
    assert nearest(np.full((4, 4, 3), 51, np.uint8), targets, where) == ("dark", pytest.approx(0.2))
    assert nearest(np.full((4, 4, 3), 204, np.uint8), targets, where) == ("bright", pytest.approx(0.2))


def test_looks_are_the_numbers_that_they_are_said_to_be():
    image = np.full((8, 8, 3), 51, np.uint8)
    mask = np.zeros((8, 8), bool)
    mask[2:6, 2:6] = True
    image[mask] = 204
    box = (2, 2, 6, 6)
    assert look(image, StreetObject("person", box, mask), ~mask) == pytest.approx(0.8)
    assert look(image, StreetObject("sign", box, mask), ~mask) == pytest.approx(2)  # four times as bright
    image[3, 3] = (102, 0, 0)  # a tail light: its brightest channel counts
    assert look(image, StreetObject("car", box, mask, ((3.5, 3.5, 0.5),)), ~mask) == pytest.approx(1)


def test_an_output_of_another_size_is_refused(truths):
    with pytest.raises(ValueError, match="48 x 32 pixels, not 96 x 64"):
        judge(np.zeros((32, 48, 3), np.uint8), truths[0])
