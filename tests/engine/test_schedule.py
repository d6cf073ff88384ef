"""Learning rate and due dates are pure functions of progress."""

import pytest
import torch

from engine.optimizer import GuardedAdam, set_learning_rates
from engine.schedule import Progress, due, learning_rate_factor


def test_linear_decay_is_the_published_formula():
    factors = [learning_rate_factor("lambda", Progress(epoch), 3, 4, 50, 9) for epoch in range(1, 8)]
    assert factors == pytest.approx([1, 1, 1, 0.8, 0.6, 0.4, 0.2])


def test_step_policy_divides_by_ten():
    factors = [learning_rate_factor("step", Progress(epoch), 100, 100, 2, 9) for epoch in range(1, 6)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_cosine_falls_from_one_towards_zero():
    factors = [learning_rate_factor("cosine", Progress(epoch), 5, 5, 50, 9) for epoch in range(1, 11)]
    assert factors[0] == 1
    assert factors == sorted(factors, reverse=True)
    assert factors[5] == pytest.approx(0.5)
    assert 0 < factors[-1] < 0.05


def test_an_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="lambda, step, cosine, halve"):
        learning_rate_factor("plateau", Progress(), 1, 1, 1, 1)


def test_halving_counts_updates():
    times = [Progress(7, steps=steps) for steps in (0, 99, 100, 299, 300)]
    factors = [learning_rate_factor("halve", progress, 1, 1, 1, 100) for progress in times]
    assert factors == [1, 1, 0.5, 0.25, 0.125]


@pytest.mark.parametrize("batch", [1, 3, 7, 150])
def test_due_once_per_multiple_whatever_the_batch_size(batch):
    progress, times = Progress(), 0
    while progress.pictures < 1000:
        before, progress = progress, progress.after_batch(batch)
        times += due(100, before, progress)
    assert times == min(progress.pictures // 100, progress.steps)
    assert not due(0, Progress(), progress)


def test_progress_counts():
    progress = Progress().after_batch(4).after_batch(3).next_epoch().after_batch(4)
    assert progress == Progress(epoch=2, in_epoch=4, steps=3, pictures=11)


def test_discriminators_have_their_own_rate():
    optimizers = {name: GuardedAdam([torch.nn.Linear(1, 1)], rate) for name, rate in (("G", 1e-3), ("D", 5e-4))}
    assert set_learning_rates(optimizers, 0.5) == {"lr": 5e-4, "lr_D": 2.5e-4}
    assert set_learning_rates(optimizers, 0.25) == {"lr": 2.5e-4, "lr_D": 1.25e-4}  # of the initial rate, every time
    assert [one.param_groups[0]["lr"] for one in optimizers.values()] == [2.5e-4, 1.25e-4]
