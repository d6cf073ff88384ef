"""MUNIT's networks: sizes as published, rows that know nothing of each other, norms as their formulas say."""

import pytest
import torch
from torch import nn

from instagan.networks.blocks import initialise
from instagan.networks.munit import (
    AdaptiveResidualBlock,
    ContentEncoder,
    Decoder,
    LayerNorm,
    MultiScaleDiscriminator,
    StyleEncoder,
    smallest_side,
)
from instagan.structures.instances import InstanceBatch
from tests.batches import random_batch


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_sizes_of_the_published_networks():
    decoder = Decoder(64)
    assert size(ContentEncoder(64)) == 5_385_856
    assert size(StyleEncoder(64)) == 2_764_936
    assert size(decoder.mlp) == 1_120_768 and decoder.mlp[-1].out_features == 4096
    assert size(decoder) - size(decoder.mlp) == 5_754_627
    assert size(MultiScaleDiscriminator(64, 3)) == 8_271_171


def test_rows_know_nothing_of_each_other_and_any_multiple_of_four_will_do():
    torch.manual_seed(1)
    encoder, of_style, decoder = ContentEncoder(4).double(), StyleEncoder(4, 3).double(), Decoder(4, 2, 3).double()
    judge = MultiScaleDiscriminator(4, 2).double()
    x = random_batch([0, 0, 0], side=36, dtype=torch.float64)
    content, style = encoder(x.image), of_style(x.image)
    made, scores = decoder(content, style), judge(x)
    assert content.shape == (3, 16, 9, 9) and style.shape == (3, 3) and made.shape == x.image.shape
    assert [tuple(one.shape) for one in scores] == [(3, 1, 2, 2), (3, 1, 1, 1)]
    for row in range(3):
        alone = x[[row]]
        close(decoder(encoder(alone.image), of_style(alone.image)), made[[row]])
        for one, whole in zip(judge(alone), scores, strict=True):
            close(one, whole[[row]])
    assert not torch.allclose(decoder(content, style + 1), made)


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-9)  # float64


def test_an_even_picture_has_no_content():
    encoder = ContentEncoder(4)
    initialise(encoder, "kaiming")
    x = torch.rand(2, 3, 16, 16)
    x[1] = -1
    content = encoder(x)
    assert content[0].any() and not content[1].any()


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_the_smallest_side_is_the_smallest_that_every_scale_can_judge(scales):
    judge, side = MultiScaleDiscriminator(1, scales), smallest_side(scales)
    assert len(judge(InstanceBatch.from_images(torch.zeros(1, 3, side, side)))) == scales
    with pytest.raises(RuntimeError, match="Padding"):
        judge(InstanceBatch.from_images(torch.zeros(1, 3, side - 1, side - 1)))


def test_adaptive_norm_gives_features_the_asked_mean_and_deviation():
    block, x = AdaptiveResidualBlock(3), torch.randn(2, 3, 8, 8)
    numbers = torch.zeros(2, 12)
    numbers[1, 6:9], numbers[1, 9:] = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 1.0, 4.0])
    added = block(x, numbers) - x
    assert not added[0].any()
    torch.testing.assert_close(added[1].mean((1, 2)), torch.tensor([1.0, 2.0, 3.0]))
    nothing = torch.zeros(3)  # what the first convolution gives is scaled by 0, so the second one sees a constant
    torch.testing.assert_close(added[1].std((1, 2)), nothing, rtol=0, atol=1e-2)


def test_layer_norm_adds_eps_to_a_deviation_with_one_less():
    norm, x = LayerNorm(2), torch.randn(3, 2, 2, 2, dtype=torch.float64) * 1e-4
    nn.init.constant_(norm.gain, 2.0)
    of_row = x[1]
    deviation = ((of_row - of_row.mean()).square().sum() / 7).sqrt()
    expected = 2 * (of_row - of_row.mean()) / (deviation + 1e-5)
    torch.testing.assert_close(norm.double()(x)[1], expected)
