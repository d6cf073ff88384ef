"""Features at chosen layers are what these layers give when the network runs as a whole."""

import pytest
import torch
from torch import nn

from instagan.networks.blocks import encoder, initialise
from instagan.networks.taps import features_at
from tests.batches import random_batch


@pytest.fixture
def layers() -> nn.Sequential:
    torch.manual_seed(0)
    network = encoder(3, 4, blocks=2)
    initialise(network, "xavier", 1.0)
    return network


@pytest.mark.parametrize("tap", range(12))
def test_a_tap_is_the_output_of_the_layers_up_to_it(layers, tap):
    x = random_batch([0, 0]).image
    alone = nn.Sequential(*(layer for layer in list(layers)[: tap + 1]))
    (found,) = features_at(layers, x, (tap,))
    torch.testing.assert_close(found, alone(x))


def test_taps_come_in_their_order_and_the_last_layer_is_minus_one(layers):
    x = random_batch([0]).image
    last, first, again = features_at(layers, x, (-1, 0, -1))
    assert first.shape == (1, 3, 38, 38) and last is again
    torch.testing.assert_close(last, layers(x))
    assert features_at(layers, x, ()) == []


def test_a_relu_in_place_does_not_change_the_tap_before_it(layers):
    before, after = features_at(layers, random_batch([0]).image, (2, 3))
    assert before.min() < 0 and torch.equal(after, before.relu())


def test_gradients_of_taps_are_those_of_the_layers(layers):
    weights = list(layers.parameters())
    x = random_batch([0, 0]).image
    loss = sum(features.square().mean() for features in features_at(layers, x, (4, 10)))
    found = torch.autograd.grad(loss, weights[:8])
    middle = nn.Sequential(*list(layers)[:5])(x)
    end = nn.Sequential(*list(layers)[5:11])(middle)
    expected = torch.autograd.grad(middle.square().mean() + end.square().mean(), weights[:8])
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_layers_beyond_the_last_tap_do_not_run(layers):
    layers[5].register_forward_pre_hook(lambda *_: pytest.fail("it ran"))
    features_at(layers, random_batch([0]).image, (0, 4))
    with pytest.raises(IndexError):
        features_at(layers, random_batch([0]).image, (12,))


def test_taps_of_a_spatially_constant_image_are_zero_from_the_first_normalisation_on(layers):
    x = random_batch([0, 0]).image
    x[1] = 0.3
    padded, convolved, *normalised = features_at(layers, x, (0, 1, 2, 3, 4, 10, -1))
    assert padded[1].any() and convolved[1].any()
    for features in normalised:
        assert features[0].any() and not features[1].any()
