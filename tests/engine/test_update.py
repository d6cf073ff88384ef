"""What a method can rely on when it minimises its losses through an ``Update``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.optimizer import GuardedAdam, step
from engine.parallel import ALONE, World
from engine.rounds import updates
from engine.update import Losses, PerObject, Update, Yielded
from instagan.structures import calls
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from instagan.structures.sequential import MiniBatch, OneMiniBatch
from tests.batches import random_pair, rows_of
from tests.ranks import on_ranks


class Brighter(nn.Module):
    """Adds a learnt number to a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(()))

    def forward(self, batch: InstanceBatch) -> InstanceBatch:
        return batch.with_image(batch.image + self.value)


def unchanged(way: object, pair: UnpairedBatch) -> OneMiniBatch:
    return OneMiniBatch(lambda batch: batch, pair["A"])


def darkness(batch: InstanceBatch) -> Tensor:
    """(R,): how far the rows' pictures are from 1."""
    return (batch.image - 1).square().mean((1, 2, 3))


def updated(pairs: list[UnpairedBatch]) -> tuple[dict[str, float], float]:
    """Losses of one update on two objectives, and the sum of the gradients that a fresh network got."""
    network, seen = Brighter(), list[Tensor]()
    network.value.register_hook(seen.append)

    def objective(way: str, turn: MiniBatch) -> Iterator[Losses]:
        yield {"near": darkness(network(turn.source))}
        yield {"twice": 2 * darkness(network(turn.source))}

    update = Update(pairs)
    for turns in update.in_lockstep(["A"], unchanged):
        turns.minimise(GuardedAdam([network]), objective)
    return {name: loss.item() for name, loss in update.losses().items()}, sum(seen).item()


@pytest.mark.parametrize("few_pixels", [0, 10**6])
def test_a_loss_is_a_mean_over_the_rows_of_all_batches_whatever_their_sizes(few_pixels, monkeypatch):
    monkeypatch.setattr(calls, "FEW_PIXELS", few_pixels)  # each loss a graph of its own, or all of them one graph
    whole = random_pair([1] * 3, [1] * 3)
    parts = [
        rows_of(whole, rows)
        for rows in (slice(0, 2), slice(2, 3))
    ]
    losses, gradient = updated([whole])
    of_parts, gradient_of_parts = updated(parts)
    assert losses["near"] == pytest.approx(darkness(whole["A"]).mean().item())
    assert losses["twice"] == pytest.approx(2 * losses["near"])
    assert of_parts == pytest.approx(losses)
    assert gradient_of_parts == pytest.approx(gradient) and gradient != 0


def test_a_loss_that_is_no_value_per_row_is_refused_by_name():
    network = Brighter()

    def objective(way: str, turn: MiniBatch) -> Iterator[Losses]:
        yield {"mean": darkness(network(turn.source)).mean()}

    for turns in Update([random_pair([1], [1])]).in_lockstep(["A"], unchanged):
        with pytest.raises(ValueError, match="loss mean must give one value for each row"):
            turns.minimise(GuardedAdam([network]), objective)


@pytest.mark.parametrize("spoilt", [0, 1])
def test_optimizers_of_one_objective_step_together_or_not_at_all(spoilt):
    networks = [Brighter(), Brighter()]
    optimizers = [GuardedAdam([network]) for network in networks]

    def objective(factor: float, turn: MiniBatch) -> Iterator[Losses]:
        brighter = [darkness(network(turn.source)) for network in networks]
        brighter[spoilt] = brighter[spoilt] * factor
        yield {"both": brighter[0] + brighter[1]}

    for factor, moves in ((float("nan"), False), (1.0, True)):
        for turns in Update([random_pair([1], [1])]).in_lockstep([factor], unchanged):
            turns.minimise(optimizers, objective)
        assert [network.value.item() != 0 for network in networks] == [moves, moves]
        assert [optimizer.refused.item() for optimizer in optimizers] == [1, 1]


def test_pictures_of_the_first_batch_are_shown_and_later_ones_take_their_place():
    network, shown = Brighter(), []

    def objective(way: str, turn: MiniBatch) -> Iterator[Losses]:
        yield {"near": darkness(network(turn.source))}
        shown.append(network(turn.source))
        return {"A": {"real_A": turn.source, "fake_B": shown[-1]}}

    first, second = random_pair([1], [1]), random_pair([1], [1], seed=5)
    update = Update([first, second])
    for _ in range(2):
        for turns in update.in_lockstep(["A"], unchanged):
            turns.minimise(GuardedAdam([network]), objective)
    assert list(update.pictures) == ["A"] and list(update.pictures["A"]) == ["real_A", "fake_B"]
    assert torch.equal(update.pictures["A"]["real_A"].image, first["A"].image)
    assert torch.equal(update.pictures["A"]["fake_B"].image, shown[2].image)
    assert not update.pictures["A"]["fake_B"].image.requires_grad


def areas(network: Brighter, batch: InstanceBatch) -> Tensor:
    """(P,): how large the present instances are, times the learnt number, plus 1."""
    owner, slot = batch.instances()
    return (network.value + 1) * batch.boxes[owner, slot].double().diff(dim=1).abs().sum(1)


def updated_per_object(world: World, pairs: list[UnpairedBatch]) -> tuple[dict[str, float], float]:
    """Losses of one update with losses over the objects of both domains, and the learnt number after it."""
    network = Brighter().double()

    def objective(way: str, turn: MiniBatch) -> Iterator[Yielded]:
        yield {"rows": (network.value + turn.source.image.double()).square().mean((1, 2, 3))}
        yield {f"size_{way}": PerObject(areas(network, turn.source), way)}

    (update,) = updates(world, [pairs], lambda: 0)
    for turns in update.in_lockstep(["A", "B"], lambda way, pair: OneMiniBatch(lambda batch: batch, pair[way])):
        turns.minimise(GuardedAdam([network]), objective)
    return {name: loss.item() for name, loss in update.losses().items()}, network.value.item()


def updated_dealt(world: World, counts: tuple[list[int], list[int]], batches: int) -> tuple[dict[str, float], float]:
    """``updated_per_object`` with one row in each batch."""
    first, pair = world.rank * batches, random_pair(*counts)
    rows = range(first, min(first + batches, len(pair)))
    return updated_per_object(world, [rows_of(pair, slice(row, row + 1)) for row in rows])


@pytest.mark.parametrize("few_pixels", [0, 10**6])
def test_a_loss_over_objects_is_their_mean_however_many_each_row_has(few_pixels, monkeypatch):
    monkeypatch.setattr(calls, "FEW_PIXELS", few_pixels)
    pair = random_pair([3, 0, 1], [0, 2, 5])
    losses, value = updated_per_object(ALONE, [pair])
    for way in "AB":
        assert losses[f"size_{way}"] == pytest.approx(areas(Brighter().double(), pair[way]).mean().item())
    apart, value_apart = updated_per_object(ALONE, [rows_of(pair, slice(row, row + 1)) for row in range(3)])
    assert apart == pytest.approx(losses, rel=1e-12)
    assert value_apart == pytest.approx(value, rel=1e-12) and value != 0


@pytest.mark.parametrize(
    "counts", [([4, 1, 0, 2], [0, 0, 3, 1]), ([2, 1, 3], [0, 0, 0])],
    ids=["the first of two has none of B", "nobody has one of B, and the second of two has one row"],
)  # fmt: skip
def test_ranks_and_batches_with_ragged_objects_make_the_update_of_one_batch(counts, tmp_path: Path):
    losses, value = updated_per_object(ALONE, [random_pair(*counts)])
    for of_rank, value_of_rank in on_ranks(2, tmp_path, updated_dealt, counts, 2):
        assert of_rank == pytest.approx(losses, rel=1e-12)
        assert value_of_rank == pytest.approx(value, rel=1e-12)


def test_without_any_object_a_loss_over_objects_is_0_and_moves_nothing():
    network = Brighter()

    def objective(way: str, turn: MiniBatch) -> Iterator[Yielded]:
        yield {"size": PerObject(torch.zeros(0), "A")}

    update = Update([random_pair([0, 0], [1, 2])])
    for turns in update.in_lockstep(["A"], unchanged):
        turns.minimise(GuardedAdam([network]), objective)
    assert update.losses()["size"].item() == 0 and network.value.item() == 0


def test_a_loss_over_objects_that_is_no_value_per_object_is_refused_by_name():
    network = Brighter()

    def objective(way: str, turn: MiniBatch) -> Iterator[Yielded]:
        yield {"size": PerObject(areas(network, turn.source).mean(), "A")}

    for turns in Update([random_pair([2], [1])]).in_lockstep(["A"], unchanged):
        with pytest.raises(ValueError, match="loss size must give one value for each object"):
            turns.minimise(GuardedAdam([network]), objective)


def updated_by_all_rows(world: World, pairs: list[UnpairedBatch]) -> tuple[dict[str, float], float]:
    """Losses of one update in which a row's loss depends on all rows, and half of the gradient."""
    network = Brighter().double()
    optimizer = GuardedAdam([network], beta1=0.5)

    def brightness(way: str, turn: MiniBatch) -> Tensor:
        return (turn.source.image.double() + network.value).square().flatten(1)[:, :3]  # (R, 3)

    def objective(way: str, turn: MiniBatch) -> Iterator[Losses]:
        own = brightness(way, turn)
        every = gathered.with_own(turn, own)
        assert torch.equal(every, gathered.rows)
        yield {"spread": (own * every.mean(0).exp() - every.prod(0)).square().sum(1)}

    (update,) = updates(world, [pairs], lambda: 0)
    for turns in update.in_lockstep(["A"], lambda way, pair: OneMiniBatch(lambda batch: batch, pair[way])):
        gathered = turns.gather("A", brightness)
        assert gathered.rows.shape == (update.pair_count, 3)
        turns.minimise(optimizer, objective, gathered)
    losses = {name: loss.item() for name, loss in update.losses().items()}
    return losses, optimizer.state[network.value]["exp_avg"].item()


def dealt_out(world: World, parts: list[list[tuple[int, int]]]) -> tuple[dict[str, float], float]:
    """Of four rows, those of each rank's batches, from one to another."""
    whole = random_pair([1, 0, 2, 1], [1] * 4)
    return updated_by_all_rows(world, [rows_of(whole, slice(*part)) for part in parts[world.rank]])


def test_losses_that_depend_on_all_rows_and_their_gradients_are_those_of_one_batch(tmp_path: Path):
    losses, gradient = dealt_out(ALONE, [[(0, 4)]])
    assert gradient != 0
    apart, gradient_apart = dealt_out(ALONE, [[(0, 1), (1, 4)]])
    assert apart == pytest.approx(losses, rel=1e-12) and gradient_apart == pytest.approx(gradient, rel=1e-12)
    for parts in ([[(0, 3)], [(3, 4)]], [[(0, 1), (1, 4)], []]):  # the second rank has no row
        for of_rank, gradient_of_rank in on_ranks(2, tmp_path, dealt_out, parts):
            assert of_rank == pytest.approx(losses, rel=1e-12)
            assert gradient_of_rank == pytest.approx(gradient, rel=1e-12)


@pytest.mark.parametrize("length, expected", [(40.0, 5.0), (3.0, 3.0)])
def test_gradients_longer_than_the_largest_norm_are_scaled_down_to_it(length, expected):
    layer = torch.nn.Linear(3, 4)
    adam = GuardedAdam([layer], max_norm=5.0)
    slope = torch.randn(sum(weight.numel() for weight in layer.parameters()))
    parts = (slope * length / slope.norm()).split([weight.numel() for weight in layer.parameters()])
    for weight, part in zip(layer.parameters(), parts, strict=True):
        weight.grad = part.reshape(weight.shape).clone()
    step([adam])
    moments = torch.cat([adam.state[weight]["exp_avg"].flatten() for weight in layer.parameters()])
    torch.testing.assert_close(moments, torch.cat(parts) * expected / length / 2)  # beta1 is 0.5


def test_hooks_of_an_optimizer_are_called_once_also_after_a_plain_adam_was_made():
    layer, seen = torch.nn.Linear(3, 4), []
    torch.optim.Adam(torch.nn.Linear(1, 1).parameters())  # from now on torch's Adam.step calls hooks, too
    adam = GuardedAdam([layer])
    adam.register_step_pre_hook(lambda *_: seen.append("before"))
    adam.register_step_post_hook(lambda *_: seen.append("after"))
    layer(torch.ones(1, 3)).sum().backward()
    step([adam])
    assert seen == ["before", "after"]
