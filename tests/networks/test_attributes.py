"""The laws of sets hold for instances of several planes: masks with heat maps, masks of parts."""

import dataclasses

import pytest
import torch

from instagan.kernels import accelerate
from instagan.losses import set_l1
from instagan.networks.blocks import initialise
from instagan.networks.discriminators import SetDiscriminator
from instagan.networks.generators import SetGenerator
from instagan.networks.star import ClassifyingSetDiscriminator, TargetedSetGenerator
from instagan.structures.instances import OUTSIDE, InstanceBatch
from instagan.structures.one_way import OneWayTranslator
from instagan.structures.sequential import SequentialMiniBatches
from tests.batches import assert_same, random_batch, with_attributes

A = 3


@pytest.fixture(scope="module", params=["plain", "kernels", "star"])
def networks(request):
    """A generator and a discriminator, in float64 where no kernel is used."""
    torch.manual_seed(0)
    if request.param == "star":
        G = TargetedSetGenerator(4, "instance", 1, "a,b", attributes=A)
        D = ClassifyingSetDiscriminator(4, 2, "instance", 2, attributes=A)
        score = lambda x: D(x).score  # noqa: E731
    else:
        G, D = SetGenerator(4, blocks=1, attributes=A), SetDiscriminator(4, attributes=A)
        score = D
    initialise(G, "xavier", 1.0)
    for network in (G, D.eval()):
        network.requires_grad_(False).double()
        if request.param == "kernels":
            accelerate(network)
    return G, score


def sets(counts: list[int], slots: int | None = None) -> InstanceBatch:
    batch = with_attributes(random_batch(counts, slots, dtype=torch.float64), A)
    return dataclasses.replace(batch, targets=torch.arange(batch.slot_count) % 2 * batch.present)


def test_order_means_nothing(networks):
    G, D = networks
    x, order = sets([3, 2], slots=3), torch.tensor([[2, 0, 1], [1, 2, 0]])
    y = G(x)
    assert y.given_attributes.shape == x.given_attributes.shape
    assert_same(G(x.select(order)), y.select(order), 1e-9)
    torch.testing.assert_close(D(x.select(order)), D(x), rtol=0, atol=1e-9)


def test_rows_know_nothing_of_each_other_and_absent_slots_are_inert(networks):
    G, D = networks
    x = sets([2, 0, 3])
    y, scores = G(x), D(x)
    for row in range(3):
        assert_same(G(x[[row]]), y[[row]], 1e-9)
        torch.testing.assert_close(D(x[[row]]), scores[[row]], rtol=0, atol=1e-9)
    more = G(x.slots(0, 5))
    assert_same(more.slots(0, 3), y, 1e-9)
    assert (more.rasters(A)[~more.present] == OUTSIDE).all()


def test_every_plane_is_seen_and_made(networks):
    G, D = networks
    x = sets([2])
    y, score = G(x), D(x)
    for plane in range(A):
        changed = x.given_attributes.clone()
        changed[:, :, plane] *= -1
        other = dataclasses.replace(x, given_attributes=changed)
        assert (G(other).image - y.image).abs().max() > 1e-4
        assert (D(other) - score).abs().max() > 1e-6
    assert len({float(y.given_attributes[0, 0, plane].mean()) for plane in range(A)}) == A


def test_instances_without_the_planes_are_refused(networks):
    x = dataclasses.replace(sets([1]), given_attributes=None)
    with pytest.raises(ValueError, match="3 attribute planes"):
        networks[0](x)


def test_planes_go_through_sequential_mini_batches_and_strengths():
    torch.manual_seed(0)
    G = SetGenerator(4, blocks=1, attributes=A).requires_grad_(False)
    x = with_attributes(random_batch([3, 1, 0]), A)
    steps = list(SequentialMiniBatches(G, x.largest(), 2))
    first, last = steps[0], steps[-1]
    assert last.result.given_attributes.shape == (3, 3, A, 32, 32)
    assert torch.equal(last.result.given_attributes[:2, :2], first.result.given_attributes[:2, :2])
    made = OneWayTranslator(G, ("masks",), 2)(dataclasses.replace(x, strengths=0.25 * x.present))
    full = OneWayTranslator(G, ("masks",), 2)(x)
    wanted = full.given_attributes + 0.75 * (x.given_attributes - full.given_attributes)
    torch.testing.assert_close(made.given_attributes[x.present], wanted[x.present])


def test_planes_add_to_the_set_loss_and_leave_the_weight_of_the_picture():
    real = with_attributes(random_batch([1, 2], slots=2), A)
    moved = real.with_image(real.image + 0.5)
    torch.testing.assert_close(set_l1(moved, real), torch.full((2,), 0.5 * 3 / 5))  # as with masks alone
    planes = real.given_attributes + 0.1 * real.present[:, :, None, None, None]
    other = dataclasses.replace(real, given_attributes=planes)
    torch.testing.assert_close(set_l1(other, real), 0.1 * A * torch.tensor([1.0, 2.0]) / 5)
