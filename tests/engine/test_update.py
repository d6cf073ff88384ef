"""What a method can rely on when it minimises its losses through an ``Update``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from engine.optimizer import GuardedAdam
from engine.update import Losses, Update
from instagan.structures import calls
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from instagan.structures.sequential import MiniBatch, OneMiniBatch
from tests.batches import random_pair, rows_of


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
