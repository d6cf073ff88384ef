"""CUT's networks: sizes as published, rows that know nothing of each other, blur as its formula says."""

from itertools import chain

import pytest
import torch
from torch import nn
from torch.nn import functional

from instagan.networks.anti_aliased import AntiAliasedGenerator, AntiAliasedPatchDiscriminator
from instagan.networks.blocks import initialise
from instagan.networks.blur import BlurDownsample, BlurUpsample
from instagan.networks.projection import ProjectionHeads
from tests.batches import random_batch

TAPS = (0, 4, 8, 12, 16)


@pytest.fixture(scope="module")
def generator() -> AntiAliasedGenerator:
    torch.manual_seed(0)
    network = AntiAliasedGenerator(4)
    initialise(network, "xavier", 1.0)
    return network


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_sizes_of_the_published_networks():
    generator = AntiAliasedGenerator(64)
    assert size(generator) == 11_378_179
    assert size(AntiAliasedPatchDiscriminator(64)) == 2_764_737
    assert generator.channels(TAPS) == [3, 128, 256, 256, 256]
    assert size(ProjectionHeads([3, 128, 256, 256, 256])) == 560_384


def test_rows_know_nothing_of_each_other_and_any_multiple_of_four_will_do():
    torch.manual_seed(1)
    generator, discriminator = AntiAliasedGenerator(4).double(), AntiAliasedPatchDiscriminator(4).double()
    batch = random_batch([2, 0, 1], side=36, dtype=torch.float64)
    out, features, scores = generator(batch), generator.features(batch, TAPS), discriminator(batch)
    assert out.image.shape == batch.image.shape and out.slot_count == 0
    for row in range(3):
        alone = batch[[row]]
        close(generator(alone).image, out.image[[row]])
        close(discriminator(alone), scores[[row]])
        for one, whole in zip(generator.features(alone, TAPS), features, strict=True):
            close(one, whole[[row]])


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-9)  # float64


def test_an_even_picture_has_no_gradient_worth_following(generator):
    batch = random_batch([0, 0])
    black = batch.with_image(torch.full_like(batch.image, -1.0))
    loss = generator(black).image.square().mean()
    gradients = torch.autograd.grad(loss, [*generator.encoder.parameters()])
    assert all(not gradient.any() for gradient in gradients)
    assert all(not one.any() for one in generator.features(black, (2, 8, 20))[::2])


@pytest.mark.parametrize("height, width", [(6, 8), (7, 5)])
def test_blur_downsampling_is_a_weighted_mean_of_nine_pixels(height, width):
    x = torch.randn(2, 3, height, width)
    out = BlurDownsample()(x)
    assert out.shape == (2, 3, (height + 1) // 2, (width + 1) // 2)
    padded = functional.pad(x, (1, 1, 1, 1), mode="reflect")
    weights = {-1: 0.25, 0: 0.5, 1: 0.25}
    for row in range(out.shape[2]):
        for column in range(out.shape[3]):
            expected = sum(
                weights[down] * weights[right] * padded[:, :, 2 * row + 1 + down, 2 * column + 1 + right]
                for down in weights
                for right in weights
            )
            torch.testing.assert_close(out[:, :, row, column], expected)


def test_blur_upsampling_is_the_published_transposed_convolution():
    x, weights = torch.randn(2, 3, 5, 6), torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    kernel = torch.outer(weights, weights)[None, None].repeat(3, 1, 1, 1)
    padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    expected = functional.conv_transpose2d(padded, kernel, stride=2, padding=2, groups=3)[:, :, 1:-1, 1:-1]
    assert expected.shape == (2, 3, 10, 12)
    torch.testing.assert_close(BlurUpsample()(x), expected)


def test_projected_features_have_length_one_and_heads_are_initialised_like_the_other_networks():
    heads = ProjectionHeads([3, 8], width=16)
    initialise(heads, "xavier", 0.02)
    linear = [layer for layer in chain(*heads) if isinstance(layer, nn.Linear)]
    assert all(not layer.bias.any() and layer.weight.std() < 0.02 for layer in linear)
    nn.init.ones_(linear[0].bias)
    for one in heads([torch.randn(2, 5, 3), torch.randn(2, 5, 8)]):
        assert one.shape == (2, 5, 16)
    torch.testing.assert_close(heads([torch.randn(2, 5, 3), torch.ones(2, 5, 8)])[0].norm(dim=-1), torch.ones(2, 5))
