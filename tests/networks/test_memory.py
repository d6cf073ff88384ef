"""MGUIT's memory: what an update makes of it, what is read from it, where its classes are."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from instagan.losses.memory import cross_entropy
from instagan.networks.memory import ClassMemory, Statistics, class_masks, read, similarity, topmost
from instagan.networks.mguit import DomainDecoder, SharedDecoder, StyleMapEncoder
from instagan.structures.instances import InstanceBatch
from tests.batches import every_field

ITEMS = (4, 2, 3)


def memory(channels: int = 6, styles: int = 5) -> ClassMemory:
    torch.manual_seed(0)
    return ClassMemory(ITEMS, channels, styles)


def features(rows: int = 2, seed: int = 1, side: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Contents of length 1, styles, and masks of three classes in every row: halves, and a corner of the second one."""
    random = torch.Generator().manual_seed(seed)
    content = functional.normalize(torch.randn(rows, 6, side, side, generator=random), dim=1)
    masks = torch.zeros(rows, 3, side, side, dtype=torch.bool)
    masks[:, 0, :, : side // 2] = masks[:, 1, :, side // 2 :] = masks[:, 2, : side // 2, side // 2 :] = True
    return content, torch.randn(rows, 5, side, side, generator=random), masks


def seen(one: ClassMemory, absent: str = "") -> dict[str, Statistics]:
    """Both domains, or class 2 only in the other one than ``absent``."""
    found = {}
    for seed, domain in enumerate("AB"):
        content, style, masks = features(seed=seed)
        masks[:, 2] &= domain != absent
        found[domain] = one.statistics(domain, content, style, masks)
    return found


def test_keys_keep_their_length_and_an_update_moves_all_that_is_seen():
    one = memory()
    before = one.keys.clone()
    for _ in range(3):
        one.store(one.updated(seen(one)))
    assert (one.keys.norm(dim=1) - 1).abs().max() < 1e-6
    assert ((one.keys - before).abs().amax(1) > 1e-3).all()


@pytest.mark.parametrize("absent", ["A", "B"])
def test_a_class_that_one_domain_lacks_is_left_alone(absent):
    one = memory()
    state = one.updated(seen(one, absent))
    assert torch.equal(state.keys[6:], one.keys[6:]) and not torch.equal(state.keys[:6], one.keys[:6])
    for domain in "AB":
        assert torch.equal(state.values[domain][6:], one.values(domain)[6:])
        assert not torch.equal(state.values[domain][:6], one.values(domain)[:6])


def test_values_without_positions_stay_or_are_halved_as_published():
    one = memory()
    content, style, masks = features(rows=1)
    content = functional.normalize(one.keys[1][None, :, None, None] + 0.01 * content, dim=1)  # all are like item 1
    found = {domain: one.statistics(domain, content, style, masks) for domain in "AB"}
    assert found["A"].count[0].tolist()[:4] == [0, 32, 0, 0]
    kept, halved = one.updated(found).values["A"], one.updated(found, decay=True).values["A"]
    assert torch.equal(kept[[0, 2, 3]], one.values("A")[[0, 2, 3]])
    assert torch.equal(halved[[0, 2, 3]], one.values("A")[[0, 2, 3]] / 2)
    assert torch.equal(kept[1], halved[1]) and not torch.equal(kept[1], one.values("A")[1])


def test_rows_make_the_update_of_all_of_them_whoever_tells_of_them():
    one = memory().double()
    content, style, masks = (of.double() if of.is_floating_point() else of for of in features(rows=3))
    masks[1, 2] = False  # a row without a class
    whole = one.statistics("A", content, style, masks)
    apart = [one.statistics("A", content[[row]], style[[row]], masks[[row]]).packed() for row in range(3)]
    assert torch.equal(torch.cat(apart), whole.packed())
    told = Statistics.unpacked(whole.packed(), 6)
    together = (of.movedim(0, 1).flatten(1, 2)[None] for of in (content, style, masks))  # a picture that holds all rows
    of_one = one.statistics("A", *together)
    for mine, theirs in zip(one.found(told)[:2], one.found(of_one)[:2], strict=True):
        torch.testing.assert_close(mine, theirs)


def test_at_temperature_0_the_nearest_item_is_read_and_rows_have_values_of_their_own():
    one = memory()
    content, _, masks = features()
    sharp = one.read_weights(content, one.keys, masks, temperature=1e-6)
    best = one.assigned(similarity(content, one.keys), topmost(masks))
    torch.testing.assert_close(sharp, best.float())
    values = torch.randn(2, 9, 5)
    style_map = read(sharp, values)
    for row in range(2):
        torch.testing.assert_close(style_map[[row]], read(sharp[[row]], values[row]))
    chosen = best[1, :, 3, 6].nonzero().item()
    torch.testing.assert_close(style_map[1, :, 3, 6], values[1, chosen])


def test_reading_by_class_takes_items_of_the_last_class_and_reading_without_takes_all():
    one = memory()
    content, _, masks = features()
    of_class = one.read_weights(content, one.keys, masks)
    assert of_class[:, :4, :, 4:].abs().max() == 0 and of_class[:, 4:6, 4:, 4:].sum(1).min() > 0.999
    assert of_class[:, 4:6, :4, 4:].abs().max() == 0 and of_class[:, 6:, :4, 4:].sum(1).min() > 0.999
    assert one.read_weights(content, one.keys).min() > 0


def test_the_contrastive_loss_of_random_features_is_about_the_log_of_the_number_of_items():
    torch.manual_seed(0)
    one = ClassMemory((10,), 64, 5)
    content = functional.normalize(torch.randn(1, 64, 16, 16), dim=1)
    likeness = similarity(content, one.keys)
    chosen = one.assigned(likeness, torch.ones(1, 1, 16, 16, dtype=torch.bool))
    assert cross_entropy(likeness, chosen).item() / 256 == pytest.approx(math.log(10), abs=0.3)
    assert cross_entropy(torch.zeros_like(likeness), chosen).item() / 256 == pytest.approx(math.log(10), rel=1e-5)


def test_a_state_that_is_not_finite_is_not_taken_over():
    one = memory()
    state = one.updated(seen(one))
    state.values["B"][0, 0] = torch.nan
    before = {name: tensor.clone() for name, tensor in one.state_dict().items()}
    one.store(state)
    assert all(torch.equal(tensor, one.state_dict()[name]) for name, tensor in before.items())


def test_masks_of_classes_lie_where_boxes_do_and_the_background_where_none_is():
    edges = ((4.0, 8.0, 17.9, 16.0), (0.0, 0.0, 1.9, 8.0), (8.0, 8.0, 12.0, 12.0), (0.0, 16.0, 4.0, 20.0))
    boxes = torch.tensor(edges)[None]
    labels = torch.tensor([[1, 0, 0, 7]])
    x = InstanceBatch(torch.zeros(1, 3, 24, 32), None, torch.ones(1, 4, dtype=torch.bool), labels, given_boxes=boxes)
    masks = class_masks(x, 3)
    expected = torch.zeros(1, 3, 6, 8, dtype=torch.bool)
    expected[0, 2, 2:4, 1:4] = True  # 17.9 is nearer to 16 than to 20; the box of 1.9 columns is rounded away
    expected[0, 1, 2, 2] = True
    expected[0, 0] = ~expected[0, 1:].any(0)  # what has no class of its own, too
    assert torch.equal(masks, expected)
    assert topmost(masks).sum(1).max() == 1 and not topmost(masks)[0, 1].any()
    assert class_masks(InstanceBatch.from_images(torch.zeros(2, 3, 8, 8)), 3)[:, 0].all()


def test_absent_slots_and_their_order_make_no_difference():
    x = every_field([2, 0, 3])
    assert torch.equal(class_masks(x, 4), class_masks(x.slots(0, 9), 4))
    assert torch.equal(class_masks(x, 4), class_masks(x.select(torch.arange(2, -1, -1).expand(3, -1)), 4))


def test_published_sizes():
    def count(*networks: torch.nn.Module) -> int:
        return sum(weight.numel() for network in networks for weight in network.parameters())

    with torch.device("meta"):
        assert count(*(StyleMapEncoder() for _ in "AB")) == 2 * 745_600
        assert count(SharedDecoder(), *(DomainDecoder() for _ in "AB")) == 11_655_686
