"""DRIT's networks: sizes as published, rows apart from each other, content discriminators for small images."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from instagan.networks.blocks import initialise
from instagan.networks.drit import (
    MODES,
    ConcatAttributeEncoder,
    ConcatDecoder,
    ContentDiscriminator,
    ContentStem,
    FeatureWiseAttributeEncoder,
    FeatureWiseDecoder,
    SharedLayers,
    beside,
    content_layers,
    discriminator,
    layer_norm,
    smallest_side,
    smallest_sides,
)
from instagan.networks.mguit import DomainDecoder, SharedDecoder
from instagan.structures.instances import InstanceBatch
from tests.batches import random_batch


def size(*networks: nn.Module) -> int:
    return sum(parameter.numel() for network in networks for parameter in network.parameters())


def test_sizes_of_the_published_networks():
    with torch.device("meta"):
        stem, shared, concat_shared = ContentStem(64), SharedLayers(64, concat=False), SharedLayers(64)
        assert size(stem, stem, shared) == 9_018_112
        of_decoders = concat_shared.decoder
        assert size(ConcatAttributeEncoder(64)) * 2 == 2_688_160
        assert size(FeatureWiseAttributeEncoder(64)) * 2 == 5_529_872
        assert size(of_decoders) + 2 * size(ConcatDecoder(64)) == 9_564_710
        assert size(shared.decoder) == 0 and 2 * size(FeatureWiseDecoder(64)) == 17_146_374
        assert size(discriminator(64, 3)) == 8_271_171 and size(discriminator(64, 1)) == 25_149_057
        assert size(ContentDiscriminator(64)) == 10_683_649


def test_shapes_at_the_published_size():
    x = random_batch([0], side=216)
    content = SharedLayers(1).content(ContentStem(1)(x.image))
    assert content.shape == (1, 4, 54, 54)
    assert ContentDiscriminator(1)(content).shape == (1, 1, 1, 1)
    assert [tuple(one.shape[1:]) for one in discriminator(1, 3)(x)] == [(1, 13, 13), (1, 6, 6), (1, 3, 3)]
    assert [tuple(one.shape[1:]) for one in discriminator(1, 1)(x)] == [(1, 4, 4)]


@pytest.mark.parametrize("concat", [True, False])
def test_rows_know_nothing_of_each_other_and_any_multiple_of_four_will_do(concat):
    torch.manual_seed(1)
    encoder, decoder = (kind(3, 5).double() for kind in MODES[concat])
    stem, shared = ContentStem(3).double(), SharedLayers(3, concat).double()
    judge, of_content = discriminator(3, 1 + concat, "instance").double(), ContentDiscriminator(3, 1).double()
    x = random_batch([0, 0, 0], side=68, dtype=torch.float64)

    def passed(x: InstanceBatch) -> list[torch.Tensor]:
        content = shared.content(stem(x.image))
        attribute = encoder(x.image)
        made = decoder(shared.decoder(content), attribute)
        return [content, attribute, made, *judge(x), of_content(content)]

    whole = passed(x)
    assert [tuple(one.shape) for one in whole[:3]] == [(3, 12, 17, 17), (3, 5), (3, 3, 68, 68)]
    assert whole[2].abs().max() <= 1 and whole[2].std() > 0.01
    for row in range(3):
        for one, of_all in zip(passed(x[[row]]), whole, strict=True):
            torch.testing.assert_close(one, of_all[[row]], rtol=0, atol=1e-9)
    assert not torch.allclose(decoder(whole[0], whole[1] + 1), decoder(whole[0], whole[1]))


def test_only_concat_mode_tells_how_sure_an_attribute_is():
    image = torch.rand(2, 3, 32, 24)
    mean, log_variance = ConcatAttributeEncoder(2, 3).distribution(image)
    assert mean.shape == log_variance.shape == (2, 3) and not torch.allclose(mean, log_variance)
    code, nothing = FeatureWiseAttributeEncoder(2, 3).distribution(image)
    assert code.shape == (2, 3) and nothing is None


def test_an_even_image_has_no_content():
    x = torch.rand(2, 3, 16, 16)
    x[1] = 0.25
    content = SharedLayers(2).content(ContentStem(2)(x))
    assert content[0].any() and not content[1].any()


def test_a_content_discriminator_has_as_many_layers_as_there_is_room_for():
    assert list(smallest_sides()) == [16, 44, 100, 212]
    assert [content_layers(side) for side in (8, 16, 40, 44, 96, 100, 208, 212, 1000)] == [0, 0, 0, 1, 1, 2, 2, 3, 3]
    for layers, side in enumerate(smallest_sides()):
        judge = ContentDiscriminator(1, layers)
        assert judge(torch.zeros(1, 4, side // 4, side // 4)).shape == (1, 1, 1, 1)
        with pytest.raises(RuntimeError):
            judge(torch.zeros(1, 4, side // 4 - 1, side // 4))


@pytest.mark.parametrize("norm", ["none", "instance"])
@pytest.mark.parametrize("scales", [1, 2, 3])
def test_the_smallest_side_is_the_smallest_that_every_scale_can_judge(scales, norm):
    judge, side = discriminator(1, scales, norm), smallest_side(scales, norm)
    assert len(judge(InstanceBatch.from_images(torch.zeros(1, 3, side, side)))) == scales
    with pytest.raises((RuntimeError, ValueError), match="Padding|spatial"):
        judge(InstanceBatch.from_images(torch.zeros(1, 3, side - 1, side - 1)))


def test_an_attribute_stands_at_every_position():
    found = beside(torch.zeros(2, 1, 2, 3), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert found.shape == (2, 3, 2, 3) and not found[:, 0].any()
    assert (found[1, 1] == 3).all() and (found[1, 2] == 4).all()


def padded(x: torch.Tensor, layer: nn.Module, stride: int = 1) -> torch.Tensor:
    """A convolution of a layer's weights after reflection by one position."""
    return functional.conv2d(functional.pad(x, (1, 1, 1, 1), "reflect"), layer.weight, layer.bias, stride)


def test_concat_modes_decoder_is_its_formula():
    """Residual blocks, two enlargements and the last layer each see the attribute as channels beside the features."""
    torch.manual_seed(0)
    decoder = ConcatDecoder(2, 3).double()
    for norm in (up[1] for up in decoder.ups):
        nn.init.normal_(norm.weight)
    content, z = torch.randn(2, 8, 4, 6).double(), torch.randn(2, 3).double()

    def with_z(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, z[:, :, None, None] * torch.ones_like(x[:1, :1])], 1)

    x = with_z(content)
    for block in decoder.blocks:
        h = functional.instance_norm(padded(x, block.layers[1])).relu()
        x = x + functional.instance_norm(padded(h, block.layers[5]))
    for up in decoder.ups:
        x = functional.conv_transpose2d(with_z(x), up[0].weight, up[0].bias, 2, 1, 1)
        x = functional.layer_norm(x, x.shape[1:]) * up[1].weight[:, None, None] + up[1].bias[:, None, None]
        x = x.relu()
    last = decoder.last[0]
    image = functional.conv_transpose2d(with_z(x), last.weight, last.bias).tanh()
    torch.testing.assert_close(decoder(content, z), image, rtol=0, atol=1e-9)


@pytest.mark.parametrize("decoder", [FeatureWiseDecoder, ConcatDecoder, "mguit"])
@pytest.mark.parametrize("upsample", ["transposed", "resize_conv"])
def test_resize_convolutions_make_no_checkerboard(decoder, upsample):
    """A content and a style that are the same everywhere give an image that is the same everywhere."""
    torch.manual_seed(0)
    if decoder == "mguit":
        shared, own = SharedDecoder(2, upsample).double(), DomainDecoder(2, upsample).double()
        initialise(nn.ModuleList([shared, own]), "xavier", 1.0)
        content, style = (torch.randn(1, channels, 1, 1).double().expand(-1, -1, 4, 6) for channels in (8, 4))
        image = own(shared(content, style), style)
    else:
        network = decoder(2, 3, upsample).double()
        initialise(network, "xavier", 1.0)
        image = network(torch.randn(1, 8, 1, 1).double().expand(-1, -1, 4, 6), torch.randn(1, 3).double())
    assert image.shape == (1, 3, 16, 24)
    assert (image.std((2, 3)).max() < 1e-9) == (upsample == "resize_conv")


def test_concat_modes_attribute_encoder_is_its_formula():
    torch.manual_seed(0)
    encoder, image = ConcatAttributeEncoder(2, 3).double(), torch.rand(2, 3, 32, 24).double()
    x = padded(image, encoder.layers[1], 2)
    for block in encoder.layers[2:5]:
        h = padded(functional.leaky_relu(x, 0.2), block.layers[2])
        h = functional.avg_pool2d(padded(functional.leaky_relu(h, 0.2), block.layers[5]), 2)
        around = block.around[1]
        x = h + functional.conv2d(functional.avg_pool2d(x, 2), around.weight, around.bias)
    features = functional.leaky_relu(x, 0.2).mean((2, 3))
    mean, log_variance = encoder.distribution(image)
    torch.testing.assert_close(mean, encoder.mean(features), rtol=0, atol=1e-12)
    torch.testing.assert_close(log_variance, encoder.log_variance(features), rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_layer_norm_is_the_formula_and_so_is_its_gradient(layout):
    norm = layer_norm(3)
    nn.init.normal_(norm.weight)
    x, slope = (torch.randn(1, 3, 4, 5) * 1e-2).to(memory_format=layout).requires_grad_(), torch.randn(1, 3, 4, 5)
    exact = x.detach().double().requires_grad_()
    centred = exact - exact.mean()
    expected = norm.weight.double()[:, None, None] * centred / (centred.square().mean() + 1e-5).sqrt()
    expected.backward(slope.double())
    made = norm(x)
    made.backward(slope.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(made.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(x.grad.double(), exact.grad, rtol=1e-4, atol=1e-4)
