"""Features of instances and of their pictures: torch's results, in the memory layout that they have."""

import pytest
import torch

from instagan.kernels import accelerate
from instagan.kernels.rows import add_of_owner, sum_by_owner
from instagan.networks import owners
from instagan.networks.blocks import ResidualBlock
from instagan.networks.generators import SetGenerator
from tests.batches import random_batch

LAYOUTS = [torch.contiguous_format, torch.channels_last]
OWNER = torch.tensor([2, 0, 2, 2])  # picture 1 has no instance


def drawn(rows: int, layout: torch.memory_format) -> torch.Tensor:
    torch.manual_seed(rows)
    return torch.randn(rows, 6, 4, 5).contiguous(memory_format=layout).requires_grad_()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sums_and_their_gradients_lie_as_the_features_do(layout):
    of_mask, like = drawn(4, layout), drawn(3, layout)
    total = sum_by_owner(of_mask, OWNER, like)
    torch.testing.assert_close(total, torch.stack([of_mask[1], 0 * of_mask[1], of_mask[[0, 2, 3]].sum(0)]))
    slope = drawn(3, layout).detach()
    total.backward(slope)
    torch.testing.assert_close(of_mask.grad, slope[OWNER])
    for tensor in (total, of_mask.grad):
        assert tensor.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("add_up", [owners.sum_by_owner, sum_by_owner])
def test_a_sum_is_taken_in_float32_and_has_the_type_of_its_picture(add_up):
    of_mask = torch.tensor([256.0, 1.0, 1.0]).to(torch.bfloat16)[:, None, None, None]
    total = add_up(of_mask, torch.zeros(3, dtype=torch.long), of_mask[:1])
    assert total.dtype == torch.bfloat16 and total.item() == 258  # one by one in bfloat16: 256


@pytest.mark.parametrize("layout", LAYOUTS)
def test_plain_sums_are_the_same(layout):
    of_mask, like = drawn(4, layout), drawn(3, layout)
    torch.testing.assert_close(owners.sum_by_owner(of_mask, OWNER, like), sum_by_owner(of_mask, OWNER, like))


@pytest.mark.parametrize("add_up", [owners.sum_by_owner, sum_by_owner])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_instances_sum_to_zero(layout, add_up):
    nobody = torch.empty(0, 6, 4, 5).contiguous(memory_format=layout)
    total = add_up(nobody, torch.empty(0, dtype=torch.long), drawn(3, layout))
    assert total.shape == (3, 6, 4, 5) and not total.any()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("pictures", [1, 3])
def test_what_a_picture_adds_and_its_gradient_lie_as_the_features_do(layout, pictures):
    own, of_image = drawn(4, layout), drawn(pictures, layout)
    owner = OWNER if pictures > 1 else torch.zeros(4, dtype=torch.long)
    made = add_of_owner(own + 0, of_image, owner if pictures > 1 else None)
    torch.testing.assert_close(made, own + of_image[owner])
    slope = drawn(4, layout).detach()
    made.backward(slope)
    assert torch.equal(own.grad, slope)
    torch.testing.assert_close(of_image.grad, torch.zeros_like(of_image).index_add(0, owner, slope))
    for tensor in (made, of_image.grad):
        assert tensor.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("counts", [[2], [2, 1]])
def test_gradients_reach_every_block_of_a_channels_last_generator_as_its_features_lie(counts):
    network = SetGenerator(4).to(memory_format=torch.channels_last)
    accelerate(network)
    lie_so = []

    def watch(block: torch.nn.Module, inputs: object, made: torch.Tensor) -> None:
        made.register_hook(lambda gradient: lie_so.append(gradient.is_contiguous(memory_format=torch.channels_last)))

    for module in network.modules():
        if isinstance(module, ResidualBlock):
            module.register_forward_hook(watch)
    made = network(random_batch(counts))
    (made.image.square().sum() + made.masks.square().sum()).backward()
    assert len(lie_so) == 2 * 9 and all(lie_so)
