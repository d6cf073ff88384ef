"""Images of a data set translated for measuring."""

from pathlib import Path

import numpy as np
import torch

from data.entries import Entry
from evaluation.pictures import translated
from tests.batches import random_pair
from tests.models.test_munit_model import model_of

CPU = torch.device("cpu")


def test_styles_are_the_same_in_every_call_and_another_one_for_each_image():
    model, image = model_of(), random_pair([1], [0])["A"]
    samples = [(Entry(Path(f"{name}.png")), image) for name in "ab"]

    def images(to: str) -> list[np.ndarray]:
        return [outcome.fake for outcome in translated(model, samples, to, CPU)[0]]

    for to in "ab":
        state = torch.get_rng_state()
        (one, other), again = images(to), images(to)
        assert torch.equal(state, torch.get_rng_state())
        assert np.array_equal(one, again[0]) and np.array_equal(other, again[1])
        assert not np.array_equal(one, other)
    assert translated(model, [], "b", CPU)[0] == []
