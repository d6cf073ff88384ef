"""Laws of the networks: sets have no order, rows know nothing of each other, absent slots do nothing."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import nn

from instagan.kernels import accelerate
from instagan.networks.blocks import encoder, initialise
from instagan.networks.discriminators import PatchDiscriminator, SetDiscriminator, smallest_side
from instagan.networks.generators import ResnetGenerator, SetGenerator
from instagan.structures.instances import OUTSIDE, InstanceBatch
from tests.batches import SIDE, assert_same, random_batch
from tests.rounding import between_two, distance

COUNTS = [4, 1, 0]


def close(network: nn.Module, counts: list[int]) -> float:
    """What rounding leaves open between two ways to run a network on a random batch."""

    def run(exact: nn.Module) -> torch.Tensor:
        out = exact(random_batch(counts, dtype=torch.float64))
        return out if isinstance(out, torch.Tensor) else torch.cat([out.image, out.masks], dim=1)

    return between_two(network, run)


@pytest.fixture(scope="module", params=["plain", "kernels"])
def way(request):
    """Laws hold with the kernels of ``accelerate`` and without."""
    return request.param


def run_as(way: str, network: nn.Module) -> nn.Module:
    if way == "kernels":
        accelerate(network)
    return network


@pytest.fixture(scope="module")
def generator(way):
    torch.manual_seed(0)
    network = SetGenerator(4, blocks=2)
    initialise(network, "xavier", 1.0)  # larger weights than in training, so that outputs differ visibly
    return run_as(way, network)


@pytest.fixture(scope="module")
def discriminator(way):
    torch.manual_seed(1)
    return run_as(way, SetDiscriminator(4).eval())


def test_sizes_of_the_published_networks():
    def size(network, buffers=False):
        return sum(t.numel() for t in (*network.parameters(), *(network.buffers() if buffers else ())))

    assert size(SetGenerator(64)) == 26_815_108
    assert size(SetDiscriminator(64), buffers=True) == 9_754_434  # with the stored u and v vectors
    assert size(ResnetGenerator(64)) == 11_378_179
    assert size(PatchDiscriminator(64)) == 2_764_737


def test_permuting_instances_permutes_masks_and_leaves_the_picture(generator):
    batch = random_batch([4, 4, 2], slots=4)
    order = torch.stack([torch.randperm(4) for _ in range(3)])
    straight, permuted = generator(batch), generator(batch.select(order))
    assert_same(permuted, straight.select(order), close(generator, [4, 4, 2]))


def test_permuting_instances_leaves_the_score(discriminator):
    batch = random_batch([4, 2])
    permuted = discriminator(batch.select(batch.order_by_area()))
    torch.testing.assert_close(permuted, discriminator(batch), rtol=0, atol=close(discriminator, [4, 2]))


def test_a_row_gives_the_same_alone_and_in_a_batch(generator, discriminator):
    batch = random_batch(COUNTS)
    whole, scores = generator(batch), discriminator(batch)
    limit, limit_of_scores = close(generator, COUNTS), close(discriminator, COUNTS)
    for row in range(3):
        assert_same(generator(batch[[row]]), whole[[row]], limit)
        torch.testing.assert_close(discriminator(batch[[row]]), scores[[row]], rtol=0, atol=limit_of_scores)


def test_absent_slots_are_inert(generator, discriminator):
    batch = random_batch(COUNTS)
    padded = batch.slots(0, 7)
    out = generator(padded)
    assert_same(out.slots(0, 4), generator(batch))
    assert (out.masks[~out.present] == OUTSIDE).all()
    assert torch.equal(discriminator(padded), discriminator(batch))


def test_a_picture_that_claims_a_mask_for_an_absent_slot_is_not_believed(generator):
    batch = random_batch([2])
    lied = batch.slots(0, 3)
    lied.masks[0, 2] = 1.0  # inside everywhere, but not present
    assert_same(generator(lied).slots(0, 2), generator(batch))


@pytest.mark.parametrize("counts", [[0], [0, 0, 0]])
@pytest.mark.parametrize("slots", [0, 2])
def test_no_instances_at_all(generator, discriminator, counts, slots):
    batch = random_batch(counts, slots=slots)
    out = generator(batch)
    (out.image.mean() + discriminator(out).mean()).backward()
    assert out.image.shape == batch.image.shape and out.slot_count == slots
    assert all(p.grad is None or p.grad.isfinite().all() for p in generator.parameters())
    generator.zero_grad()
    discriminator.zero_grad()


def test_instances_change_the_picture_and_the_picture_changes_the_masks(generator, discriminator):
    batch = random_batch([2])
    bare = batch.slots(0, 0)
    assert (generator(batch).image - generator(bare).image).abs().max() > 0.01
    assert (discriminator(batch) - discriminator(bare)).abs().max() > 1e-4
    other = batch.with_image(-batch.image)
    assert (generator(batch).masks - generator(other).masks)[batch.present].abs().max() > 0.01


def test_gradients_of_a_batch_are_those_of_its_rows(generator):
    """In float64: in float32 a ReLU whose input is zero but for rounding decides about single gradients."""
    generator = deepcopy(generator).double()

    def gradients(*batches):
        generator.zero_grad()
        for batch in batches:
            out = generator(batch)
            (out.image.square().sum() + out.masks.square().sum()).backward()
        return torch.cat([p.grad.flatten() for p in generator.parameters() if p.grad is not None])

    batch = random_batch(COUNTS, dtype=torch.float64)
    together, apart = gradients(batch), gradients(*(batch[[row]] for row in range(3)))
    assert (together - apart).norm() < 1e-9 * together.norm()


def gradient_of_largest(network, batch):
    network.zero_grad()
    out = network(batch)
    (out.image.square().mean() + (out.masks - OUTSIDE).square().mean()).backward()
    return max(p.grad.abs().max().item() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("picture", ["usual", "grey"])
@pytest.mark.parametrize("kind", [SetGenerator, ResnetGenerator, partial(ResnetGenerator, with_union=True)])
def test_masks_that_fill_the_picture_and_grey_pictures_have_gradients_like_any_other(kind, picture, way):
    torch.manual_seed(0)
    network = run_as(way, kind(8))
    initialise(network)
    usual = random_batch([1])
    filled = InstanceBatch.from_masks(usual.image, torch.ones_like(usual.masks))
    if picture == "grey":
        filled = filled.with_image(torch.full_like(usual.image, 0.3))
    assert gradient_of_largest(network, filled) < 10 * gradient_of_largest(network, usual)


@pytest.mark.parametrize("step", [0.0, 2 / 255])
def test_encoders_see_every_step_of_8_bits_and_output_zeros_for_a_constant_row(step, way):
    torch.manual_seed(0)
    network = run_as(way, encoder(1, 4))
    initialise(network)
    rows = torch.cat([random_batch([1]).masks, torch.full((1, 1, SIDE, SIDE), 0.5)])  # (2, 1, H, W)
    alone = network(rows[:1])
    rows[1, :, 3, 4] += step
    encoded = network(rows)
    assert distance(encoded[:1], alone) <= between_two(network, lambda exact: exact(rows[:1].double()))
    assert encoded[1].any() == bool(step)


def test_without_normalisation_constant_rows_are_encoded_like_any_other():
    assert encoder(1, 4, "none")(torch.full((1, 1, SIDE, SIDE), 0.5)).any()


@pytest.mark.parametrize("layers", [1, 3, 4])
def test_score_maps_have_the_documented_size(layers):
    side = smallest_side(layers)
    for network in (SetDiscriminator(2, layers), PatchDiscriminator(2, layers)):
        assert network(random_batch([0], slots=1, side=side)).shape == (1, 1, 1, 1)
        assert network(random_batch([1], side=64)).shape[2:] == (64 // 2**layers - 2,) * 2


def test_spectral_norm_bounds_every_convolution():
    torch.manual_seed(0)  # how many power steps are enough depends on the weights
    network = SetDiscriminator(4)
    for _ in range(30):  # power steps
        network(random_batch([1]))
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 8
    for convolution in convolutions:
        assert torch.linalg.matrix_norm(convolution.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.01)


def test_picture_only_networks_do_not_see_masks():
    generator, discriminator = ResnetGenerator(4, blocks=1), PatchDiscriminator(4)
    batch = random_batch([2, 0])
    assert generator(batch).slot_count == 0
    assert_same(generator(batch), generator(batch.slots(0, 0)))
    assert torch.equal(discriminator(batch), discriminator(batch.slots(0, 0)))


def test_networks_with_union_see_the_union_and_nothing_else():
    generator, discriminator = ResnetGenerator(4, blocks=1, with_union=True), PatchDiscriminator(4, with_union=True)
    initialise(generator, "xavier", 1.0)
    batch = random_batch([3, 0])
    out = generator(batch)
    assert out.slot_count == 1 and out.present.tolist() == [[True], [False]]
    assert (out.masks[1] == OUTSIDE).all()
    joined = type(batch).from_masks(batch.image, batch.union())
    assert_same(generator(joined), out)
    assert torch.equal(discriminator(joined), discriminator(batch))
    assert (generator(batch.slots(0, 0)).image - out.image)[0].abs().max() > 0.01


@pytest.mark.parametrize("kind", ["normal", "xavier", "kaiming", "orthogonal"])
def test_initialisation_leaves_spectrally_normalised_weights_and_zeroes_biases(kind):
    generator, discriminator = SetGenerator(2, blocks=1), SetDiscriminator(2)
    before = {name: tensor.clone() for name, tensor in discriminator.state_dict().items()}
    drawn = generator.image_encoder[1].weight.clone()
    for network in (generator, discriminator):
        initialise(network, kind, 0.02)
    assert all(torch.equal(tensor, before[name]) for name, tensor in discriminator.state_dict().items())
    assert not torch.equal(generator.image_encoder[1].weight, drawn)
    assert all((p == 0).all() for name, p in generator.named_parameters() if name.endswith("bias"))


def test_normal_initialisation_has_the_published_spread():
    generator = SetGenerator(8)
    initialise(generator, "normal", 0.02)
    weights = torch.cat([p.flatten() for name, p in generator.named_parameters() if name.endswith("weight")])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize("upsample", ["transposed", "resize_conv"])
def test_resize_convolutions_make_no_checkerboard(upsample):
    """Of a constant input, pixels are alike; transposed convolutions make every second one of another part of the
    kernel. Kernels change nothing, and a checkpoint tells of it only where it is not what was published."""
    torch.manual_seed(0)
    network = SetGenerator(4, "none", blocks=1, upsample=upsample)
    initialise(network, "xavier", 1.0)
    made = network.image_decoder[:2](torch.rand(1, 32, 1, 1).expand(1, 32, 4, 4))  # (1, 16, 8, 8)
    assert made.shape == (1, 16, 8, 8)
    assert (made.std((2, 3)).max() < 1e-5) == (upsample == "resize_conv")
    assert network.config.get("upsample", "transposed") == upsample
    assert ("upsample" in network.config) == (upsample == "resize_conv")
    batch = random_batch(COUNTS)
    plain = network(batch)
    accelerate(network)
    assert_same(network(batch), plain, tolerance=1e-4)
