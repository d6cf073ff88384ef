"""Laws of the image pool."""

import pytest
import torch

from instagan.structures.image_pool import ImagePool
from instagan.structures.instances import InstanceBatch
from tests.batches import assert_same, every_field, random_batch


def numbered(*values: float) -> InstanceBatch:
    """Rows that can be told apart by their picture's value."""
    image = torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, 4, 4).contiguous()
    return InstanceBatch.from_images(image)


def test_until_it_is_full_it_shows_what_it_is_given():
    pool = ImagePool(5)
    for seed in range(2):
        batch = random_batch([1, 2], seed=seed)
        assert_same(pool.query(batch), batch)
    assert len(pool.rows) == 4


def test_size_zero_keeps_nothing():
    pool, batch = ImagePool(0), random_batch([1])
    assert_same(pool.query(batch), batch)
    assert pool.rows == []


def test_half_of_the_rows_shown_are_older_ones():
    pool = ImagePool(10, seed=1)
    shown = [pool.query(numbered(float(i))).image.mean().item() for i in range(1000)]
    older = [i for i, value in enumerate(shown) if value != i]
    assert 430 < len(older) < 570
    assert all(shown[i] < i for i in older)
    assert len(set(shown)) > 900  # a row that was swapped out is not shown a third time


def test_rows_of_a_batch_are_exchanged_one_by_one():
    pool = ImagePool(4, seed=0)
    pool.query(numbered(0, 1, 2, 3))
    shown = pool.query(numbered(*range(4, 24))).image[:, 0, 0, 0].tolist()
    kept = [value == 4 + i for i, value in enumerate(shown)]
    assert any(kept) and not all(kept)


def test_what_it_keeps_has_no_gradient():
    pool, batch = ImagePool(2), random_batch([1])
    batch.image.requires_grad_()
    assert not pool.query(batch.with_image(batch.image * 2)).image.requires_grad


def test_rows_with_different_numbers_of_slots_mix():
    pool = ImagePool(2, seed=3)
    for seed in range(12):
        batch = random_batch([1 + seed % 3, 2], slots=3 - seed % 2, seed=seed)
        shown = pool.query(batch)
        assert len(shown) == 2
        assert (shown.present.sum(1) > 0).all()


@pytest.mark.parametrize("filled", [3, 30])
def test_state_makes_the_next_draws_equal(filled):
    pool = ImagePool(10, seed=4)
    for i in range(filled):
        pool.query(numbered(float(i)))
    twin = ImagePool(10, seed=99)
    twin.load_state_dict(pool.state_dict())
    for i in range(100, 140):
        assert_same(pool.query(numbered(float(i))), twin.query(numbered(float(i))))


def test_rows_keep_all_that_they_carry():
    pool, batch = ImagePool(3), every_field([2, 0, 1])
    assert_same(pool.query(batch), batch)
    twin = ImagePool(3)
    twin.load_state_dict(pool.state_dict())
    assert_same(InstanceBatch.cat(twin.rows), batch)


def test_states_of_earlier_versions_are_read():
    """They call masks by their plain name."""
    pool, batch = ImagePool(3), random_batch([2, 0, 1])
    pool.query(batch)
    state = pool.state_dict()
    state["rows"] = [{name.removeprefix("given_"): tensor for name, tensor in row.items()} for row in state["rows"]]
    twin = ImagePool(3)
    twin.load_state_dict(state)
    assert_same(InstanceBatch.cat(twin.rows), batch)


def test_a_smaller_pool_forgets_what_does_not_fit():
    pool = ImagePool(5)
    pool.query(numbered(0, 1, 2, 3, 4))
    small = ImagePool(2)
    small.load_state_dict(pool.state_dict())
    assert len(small.rows) == 2
