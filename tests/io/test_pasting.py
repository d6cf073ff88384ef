"""Pasting keeps what belongs to nobody bit for bit, and says what the seam hides."""

import numpy as np
import pytest
from PIL import Image

from instagan.io.pasting import distance_outside, paste_background


def nearest(inside: np.ndarray, most: int) -> np.ndarray:
    """Distances by looking at every pair of pixels."""
    places = np.argwhere(inside)
    every = np.argwhere(np.ones_like(inside))
    if len(places) == 0:
        return np.full(inside.shape, np.inf)
    apart = np.sqrt(((every[:, None] - places[None]) ** 2).sum(2)).min(1).reshape(inside.shape)
    return np.where(apart <= most, apart, np.inf)


@pytest.mark.parametrize("seed", range(12))
def test_distances_are_those_to_the_nearest_pixel(seed):
    random = np.random.default_rng(seed)
    shape, most = tuple(random.integers(1, 24, 2)), int(random.integers(1, 9))
    inside = random.random(shape) < (0, 0.01, 0.1, 1)[seed % 4]
    assert np.allclose(distance_outside(inside, most), nearest(inside, most))


def pictures(height: int = 30, width: int = 40) -> tuple[Image.Image, Image.Image, list[np.ndarray]]:
    random = np.random.default_rng(0)
    one, other = (Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)) for _ in range(2))
    before, after = np.zeros((2, height, width), bool)
    before[8:16, 5:20] = True
    after[10:22, 12:25] = True
    return one, other, [before, after]


@pytest.mark.parametrize("feather", [0, 1, 5, 100])
def test_outside_of_the_feathered_union_every_bit_is_the_inputs(feather):
    original, translated, masks = pictures()
    pasted, seam = paste_background(np.asarray(original), np.asarray(translated), masks, feather)
    before, made, got = (np.asarray(picture).astype(int) for picture in (original, translated, pasted))
    union = masks[0] | masks[1]
    distance = nearest(union, 200)
    assert np.array_equal(got[union], made[union])
    assert np.array_equal(got[distance > feather], before[distance > feather])
    band = (distance > 0) & (distance <= feather)
    share = (1 - distance[band] / (feather + 1))[:, None]
    assert np.abs(got[band] - (share * made[band] + (1 - share) * before[band])).max(initial=0) <= 0.5 + 1e-3
    edge = (distance > 0) & (distance <= max(feather, 1))
    assert seam.interior == pytest.approx(np.abs(made - before)[union].mean())
    assert seam.band == (pytest.approx(np.abs(got - before)[band].mean()) if feather else 0)
    assert seam.step == pytest.approx(np.abs(made - before)[edge].mean())
    rest = ~(edge | union)
    assert seam.background == (pytest.approx(np.abs(made - before)[rest].mean()) if rest.any() else 0)
    if feather:
        assert 0 < seam.band < seam.step


def test_nobody_and_everybody():
    original, translated, masks = pictures()
    pasted, seam = paste_background(np.asarray(original), np.asarray(translated), [], 3)
    assert np.array_equal(np.asarray(pasted), np.asarray(original)) and seam.interior == seam.band == seam.step == 0
    pasted, seam = paste_background(np.asarray(original), np.asarray(translated), [np.ones_like(masks[0])], 3)
    assert np.array_equal(np.asarray(pasted), np.asarray(translated)) and seam.background == seam.band == 0
