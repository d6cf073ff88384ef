"""InstaFormer's networks: sizes as published, absent slots inert, pictures of any size through the same weights."""

import pytest
import torch
from torch import Tensor, nn

from instagan.networks.insta_former import (
    BatchNormDiscriminator,
    InstaFormerGenerator,
    Objects,
    adaptive_norm,
    patch_embedding,
)
from instagan.networks.roi_align import roi_align, roi_align_slots
from instagan.structures.instances import InstanceBatch
from tests.batches import boxes_only


def millions(network: nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


def test_sizes_of_the_published_networks():
    with torch.device("meta"):
        G, D = InstaFormerGenerator(decodes_objects=True), BatchNormDiscriminator()
    transformer, decoder = G.transformer, G.decoder
    assert round(millions(G.content), 3) == 0.378 and round(millions(G.style), 3) == 0.381
    assert round(millions(G.mapping), 3) == 0.594 and G.mapping[-1].out_features == 2048
    assert round(millions(transformer.patches), 2) == round(millions(transformer.boxes), 2) == 9.31
    assert round(millions(transformer.blocks), 2) == 75.55 and round(millions(transformer), 2) == 94.17
    assert round(millions(decoder.layers), 3) == 0.378 and round(millions(decoder), 2) == 33.93
    assert round(millions(decoder.expansion), 2) == round(millions(decoder.object_expansion), 2) == 16.78
    assert round(millions(D), 3) == 2.766
    with torch.device("meta"):
        assert InstaFormerGenerator().decoder.object_expansion is None
        assert InstaFormerGenerator(separate_adain=True).mapping[-1].out_features == 12 * 2048


def test_shapes_at_published_size():
    x = InstanceBatch.from_images(torch.zeros(1, 3, 352, 352)).to("meta")
    with torch.device("meta"):
        G, D = InstaFormerGenerator(), BatchNormDiscriminator()
        features, content = G.encode(x.image, (0, 4, 8))
        assert [tuple(one.shape[1:]) for one in features] == [(3, 358, 358), (128, 352, 352), (256, 176, 176)]
        objects = Objects(torch.zeros(1, 20, 4), torch.ones(1, 20, dtype=torch.bool))
        embedded = G.transformer.embed(content, objects)
        assert content.shape[1:] == (256, 88, 88) and embedded.grid == (11, 11)
        assert embedded.tokens.shape == (1, 141, 1024) and embedded.there.shape == (1, 141)
        assert G.transformer.embed(content, Objects.of(x)).tokens.shape == (1, 121, 1024)
        assert D(x).shape == (1, 1, 42, 42)


def tiny(**changes) -> InstaFormerGenerator:
    torch.manual_seed(0)
    return InstaFormerGenerator(**{"ngf": 4, "mlp_width": 8, "width": 32, "depth": 2, "patch": 4, **changes}).double()


def doubled(x: InstanceBatch) -> InstanceBatch:
    return x.with_image(x.image.double())


STYLE = torch.linspace(-1, 1, 16, dtype=torch.float64).view(2, 8)


def test_absent_slots_are_inert_but_in_the_published_way():
    x = doubled(boxes_only([2, 0], slots=3))
    fewer, more = (InstanceBatch.cat([x.largest(2).slots(0, slots)]) for slots in (2, 9))
    masked, published = tiny(extent=(8, 8)), tiny(extent=(8, 8), mask_padding=False)
    close(masked(more, STYLE).image, masked(fewer, STYLE).image)
    close(masked(x[[1]], STYLE[[1]]).image, masked(x[[1]].slots(0, 0), STYLE[[1]]).image)
    assert not torch.allclose(published(more, STYLE).image, published(fewer, STYLE).image, atol=1e-6)


def test_what_stands_in_an_absent_slot_does_not_matter():
    G, x = tiny(extent=(8, 8)), doubled(boxes_only([2, 0], slots=3))
    there = x.present[..., None]
    elsewhere = torch.where(there, x.boxes, torch.tensor([3.0, 5, 20, 30]))
    moved = InstanceBatch(x.image, None, x.present, x.labels, given_boxes=elsewhere)
    close(G(moved, STYLE).image, G(x, STYLE).image)
    moved = InstanceBatch(x.image, None, x.present, x.labels, given_boxes=torch.where(there, x.boxes + 2, 0))
    assert not torch.allclose(G(moved, STYLE).image, G(x, STYLE).image, atol=1e-6)


def test_rows_know_nothing_of_each_other_and_slots_have_no_order():
    G, x = tiny(extent=(8, 8)), doubled(boxes_only([2, 3]))
    together = G(x, STYLE).image
    for row in range(2):
        close(G(x[[row]], STYLE[[row]]).image, together[[row]])
    close(G(x.select(torch.tensor([[2, 0, 1], [1, 2, 0]])), STYLE).image, together)


def test_a_style_changes_the_picture_and_may_be_an_example():
    G, x = tiny(), doubled(boxes_only([1, 1])).slots(0, 0)
    made = G(x, STYLE).image
    assert not torch.allclose(G(x, STYLE + 1).image, made, atol=1e-3)
    close(G(x, style=x[[0]]).image, G(x, style=G.style(x.image[:1])).image)


@pytest.mark.parametrize("size", [(64, 96), (36, 52), (8, 8), (96, 64)])
def test_pictures_of_any_size_that_4_divides(size):
    G = tiny(patch=8, extent=(16, 24))
    x = InstanceBatch.from_images(torch.rand(2, 3, *size, dtype=torch.float64))
    assert G(x, STYLE).image.shape == x.image.shape


def test_a_patch_has_the_place_of_its_middle_whatever_the_size_of_the_picture():
    positions, like = tiny(width=32, patch=8, extent=(24, 16)).transformer.positions, STYLE
    whole = positions.of_patches((3, 2), (24, 16), like).view(3, 2, 4, 8)
    twice = positions.of_patches((9, 6), (72, 48), like).view(9, 6, 4, 8)
    close(twice[1::3, 1::3], whole)
    assert whole[0, 0, 0].ne(whole[1, 0, 0]).any() and torch.equal(whole[0, 0, 0], whole[0, 1, 0])
    assert whole[0, 0, 1].ne(whole[0, 1, 1]).any() and torch.equal(whole[0, 0, 1], whole[1, 0, 1])


def test_adaptive_norm_is_its_formula():
    tokens, numbers = torch.randn(2, 5, 3, dtype=torch.float64), torch.randn(2, 6, dtype=torch.float64)
    there = torch.tensor([[1, 1, 0, 1, 0], [1, 1, 1, 1, 1]], dtype=torch.bool)
    made = adaptive_norm(tokens, numbers, there)
    for row in range(2):
        own = tokens[row, there[row]]
        shift, scale = numbers[row, :3], numbers[row, 3:]
        wanted = shift + scale * (own - own.mean(0)) / (own.var(0, unbiased=False) + 1e-6).sqrt()
        close(made[row, there[row]], wanted)
    close(adaptive_norm(tokens, numbers)[1], made[1])


@pytest.mark.parametrize("patch", [2, 4, 8, 16])
def test_a_patch_is_one_token(patch):
    embedding = patch_embedding(4, 8, patch)
    assert embedding(torch.zeros(1, 4, patch, 3 * patch)).shape == (1, 8, 1, 3)
    assert embedding(torch.zeros(1, 4, patch + 1, patch)).shape == (1, 8, 2, 1)


def test_regions_in_slots_are_those_of_roi_align_with_as_many_samples_as_they_need():
    random = torch.Generator().manual_seed(1)
    features = torch.randn((2, 3, 9, 12), dtype=torch.float64, generator=random)
    boxes = torch.tensor(
        [
            [[1.3, 0.4, 11.1, 8.7], [2.0, 3.0, 2.2, 3.1], [0, 0, 0, 0]],
            [[0, 0, 12, 9], [4.5, 1.5, 8.0, 3.0], [-1, 2, 6, 11]],
        ],
        dtype=torch.float64,
    )  # fmt: skip
    there = torch.tensor([[True, True, False], [True, True, True]])
    found = roi_align_slots(features, boxes * 4, there, (4, 4), 0.25)
    for row, slot in there.nonzero().tolist():
        left, top, right, bottom = boxes[row, slot].tolist()
        down, across = (max(1, -(-max(1.0, side) // 4)) for side in (bottom - top, right - left))
        # as many samples on both axes give the same values if the picture is cut along one axis at a time
        many = _cut(features[[row]], boxes[[row], slot], int(down), int(across))
        close(found[row, slot], many)
    assert found[0, 2].abs().max() == 0


def _cut(features: Tensor, box: Tensor, down: int, across: int) -> Tensor:
    """RoIAlign of one region with different numbers of samples on its two axes, as means of one sample each."""
    left, top, right, bottom = box[0].tolist()
    high, wide = max(bottom - top, 1.0) / 4, max(right - left, 1.0) / 4
    total = torch.zeros(3, 4, 4, dtype=torch.float64)
    for a in range(down):
        for b in range(across):
            x, y = ((b + 0.5) / across - 0.5) * wide, ((a + 0.5) / down - 0.5) * high
            moved = torch.tensor([[left + x, top + y, left + x + 4 * wide, top + y + 4 * high]], dtype=torch.float64)
            total += roi_align(features, torch.zeros(1, dtype=torch.long), moved, (4, 4), 1.0, 1, False)[0]
    return total / (down * across)


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-9)  # float64


@pytest.mark.parametrize("keeps_means", [False, True])
def test_styles_can_tell_and_set_brightness_where_means_are_kept(keeps_means):
    """Published, instance norm takes away what is added to every value of a channel, in the decoder as well."""
    G, image = tiny(keeps_means=keeps_means), torch.rand(1, 3, 32, 48).double()
    code, darker = G.style(image), G.style(image / 2 - 0.5)
    assert ((code - darker).abs().max() > 1e-3) == keeps_means
    content, none, codes = G.content(image), Objects.of(InstanceBatch.from_images(image)), torch.zeros(1, 8).double()
    before, _ = G.decode(content, none, codes)
    convolution = next(layer for layer in G.decoder.layers if isinstance(layer, torch.nn.Conv2d))
    with torch.no_grad():
        convolution.bias += torch.linspace(-1, 1, len(convolution.bias))
    assert ((G.decode(content, none, codes)[0] - before).abs().max() > 1e-3) == keeps_means
    assert G.config["keeps_means"] == keeps_means
