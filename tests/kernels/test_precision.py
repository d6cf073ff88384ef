"""Half precision computes what float32 does, and float16's loss scale shows in no result."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.amp import GradScaler

from engine.method import load_state, refused_updates, state_of
from engine.optimizer import RETRIES, GuardedAdam, step
from engine.parallel import World
from engine.rounds import updates
from instagan.kernels import accelerate
from instagan.networks.anti_aliased import AntiAliasedGenerator
from instagan.networks.projection import ProjectionHeads
from instagan.networks.taps import features_at
from models.translation_model import TranslationModel
from tests.batches import random_pair, trained_on
from tests.engine.test_parallel import assert_close, model_of
from tests.models.test_insta_gan_model import Recorder, small_model
from tests.ranks import on_ranks
from tests.rounding import DRAWS, allowed, distance, perturb

PAIRS = [random_pair([2, 1], [1, 3], seed=seed) for seed in range(3)]
METHODS = ("insta_gan", "cycle_gan", "cut")


def scaled(model: TranslationModel, scale: float = 2.0**16, interval: int = 2000) -> TranslationModel:
    for optimizer in model.optimizers().values():
        optimizer.scale_losses(GradScaler("cpu", init_scale=scale, growth_interval=interval))
    return model


def scales(model: TranslationModel) -> list[float]:
    return [optimizer.scaler.get_scale() for optimizer in model.optimizers().values()]


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return torch.nn.functional.cosine_similarity(one.double(), other.double(), dim=0).item()


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("precision, alike", [(torch.bfloat16, 0.95), (torch.float16, 0.99)])
def test_half_precision_gives_float32s_losses_and_gradients(precision, alike, recompute):
    """Of the first mini-batch. alike: cosine for G, which in bfloat16 is 0.975 with torch's own layers, too: G's
    gradients come through up to three networks. D's are above 0.99."""
    found, unit, perturbed = [], torch.finfo(precision).eps / 2, [small_model() for _ in range(DRAWS)]
    for execution in ({}, {"precision": precision, "recompute": recompute}):
        model = small_model()
        accelerate(model.networks, **execution)
        model.optimizer_G, model.optimizer_D = Recorder(model.optimizer_G), Recorder(model.optimizer_D)
        losses, _ = trained_on(model, PAIRS[0])
        found.append((losses, model.optimizer_G.steps[0], model.optimizer_D.steps[0]))
    (losses, exact_G, exact_D), (half_losses, half_G, half_D) = found
    for draw, model in enumerate(perturbed, 1):
        perturb(model, draw, 2, unit)  # what goes into a convolution, and what comes out
        model.optimizer_G, model.optimizer_D = Recorder(model.optimizer_G), Recorder(model.optimizer_D)
    others = [trained_on(model, PAIRS[0])[0] for model in perturbed]
    assert losses.keys() == half_losses.keys()
    for name, loss in losses.items():
        assert half_losses[name].dtype == torch.float32
        limit = allowed(loss, [other[name] for other in others])
        assert distance(half_losses[name], loss) <= limit, name
    assert any(not torch.equal(loss, half_losses[name]) for name, loss in losses.items())  # it is half precision
    assert half_G.dtype == half_D.dtype == torch.float32
    assert cosine(exact_D, half_D) > 0.99
    assert cosine(exact_G, half_G) > alike


def test_features_at_chosen_layers_and_their_projections_run_in_half_precision_and_come_out_in_float32():
    torch.manual_seed(0)
    generator, x = AntiAliasedGenerator(4), random_pair([0, 0], [0, 0])["A"]
    heads = ProjectionHeads(generator.channels((0, 8, 12)), 16)
    exact = generator.features(x, (0, 8, 12))
    projected = heads([features.flatten(2).mT for features in exact])
    for network in (generator, heads):
        accelerate(network, precision=torch.bfloat16)
    raw = features_at(generator.encoder, x.image, (8, 12))
    assert raw[0].dtype == torch.bfloat16  # a convolution's
    for one, half in zip(exact, generator.features(x, (0, 8, 12)), strict=True):
        assert half.dtype == torch.float32 and cosine(one.flatten(), half.flatten()) > 0.999
    for one, half in zip(projected, heads([features.flatten(2).mT for features in exact]), strict=True):
        assert half.dtype == torch.float32 and cosine(one.flatten(), half.flatten()) > 0.999
        torch.testing.assert_close(half.norm(dim=-1), torch.ones(half.shape[:-1]), rtol=0, atol=1e-5)
    assert not torch.equal(one, half)


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_scale_shows_in_no_result(method):
    plain, with_scale = model_of(method, 50, double=False), scaled(model_of(method, 50, double=False))
    for pair in PAIRS:
        assert_close(trained_on(with_scale, pair)[0], trained_on(plain, pair)[0], 1e-6)
    states = [state_of(model) for model in (plain, with_scale)]
    scalers = [state.pop("scalers") for state in states]
    assert_close(states[1], states[0], 1e-6)
    assert scalers[0] == {} and scalers[1].keys() == with_scale.optimizers().keys()


def test_an_overflow_skips_the_step_and_halves_the_scale():
    model = scaled(small_model(), scale=2.0**127)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    optimizer = model.optimizer_G
    weight = next(iter(optimizer.param_groups[0]["params"]))
    optimizer.backward((weight * 1e3).sum())
    step([optimizer])
    assert scales(model) == [2.0**126, 2.0**127]  # each optimizer has a scale of its own
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    assert all(state["step"] == 0 for state in optimizer.state.values())
    assert [count.item() for count in refused_updates(model).values()] == [0, 0]  # the scale explains it


@pytest.mark.parametrize("overflowing", [0, 1])
def test_optimizers_of_one_objective_skip_an_overflow_together(overflowing):
    model = scaled(small_model(), scale=2.0**100)
    both = [model.optimizer_G, model.optimizer_D]
    weights = [optimizer.param_groups[0]["params"][0] for optimizer in both]
    before = [weight.clone() for weight in weights]
    factors = [1.0, 1.0]
    factors[overflowing] = 1e30
    both[0].backward(sum((factor * weight).sum() for factor, weight in zip(factors, weights, strict=True)))
    step(both)
    assert all(torch.equal(*pair) for pair in zip(weights, before, strict=True))
    assert scales(model) == [2.0**99, 2.0**100]  # the first one's scaled the objective
    both[0].backward(1e-3 * sum(weight.sum() for weight in weights))
    step(both)
    assert not any(torch.equal(*pair) for pair in zip(weights, before, strict=True))


def test_without_an_overflow_the_scale_grows():
    model = scaled(small_model(), scale=4.0, interval=2)
    trained_on(model, random_pair([3], [3]))  # two mini-batches, two updates
    assert scales(model) == [8.0, 8.0]


def test_overflows_that_no_scale_explains_are_told():
    layer = torch.nn.Linear(2, 1, bias=False)
    weight = torch.nn.init.ones_(layer.weight)
    optimizer = GuardedAdam([layer], 0.1, 0.5)
    optimizer.scale_losses(GradScaler("cpu"))
    for number in range(1, RETRIES + 3):
        optimizer.backward((weight * float("nan")).sum())
        step([optimizer])
        assert optimizer.refused.item() == max(number - RETRIES, 0)
    assert torch.equal(weight, torch.ones(1, 2))


def test_a_loss_scale_goes_on_where_it_stood():
    """Through a checkpoint; and one without, of before there were any, still loads."""
    model = scaled(small_model(), scale=64.0, interval=3)
    trained_on(model, PAIRS[0])
    state = copy.deepcopy(state_of(model))
    twin = scaled(small_model(), interval=3)
    load_state(twin, state)
    assert scales(twin) == scales(model)
    for pair in PAIRS[1:]:
        one, other = trained_on(model, pair)[0], trained_on(twin, pair)[0]
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert scales(twin) == scales(model) and scales(model)[0] > 64
    assert [one.state_dict() for one in (model.optimizer_G.scaler, twin.optimizer_G.scaler)] == [
        state_of(model)["scalers"]["G"]
    ] * 2
    older = {name: part for name, part in state.items() if name != "scalers"}
    fresh = scaled(small_model())
    load_state(fresh, older)
    assert scales(fresh) == [2.0**16] * 2
    load_state(small_model(), state)  # in float32, which has no use for it


def ranks_scales(world: World) -> tuple[list[float], dict]:
    """Rank 1 has nothing to score in the second step; the first overflows on rank 0."""
    model = scaled(model_of("cycle_gan", 3, double=False), scale=2.0**20, interval=2)
    mine = [[PAIRS[0]], [PAIRS[1]] if world.is_main else [], [PAIRS[2]]]
    for number, update in enumerate(updates(world, mine, lambda: 0)):
        if number == 0 and world.is_main:
            update.pairs = [pair.changed(lambda one: one.with_image(one.image * float("inf"))) for pair in update.pairs]
        model.training_step(update)
        for pool in model.pools.values():
            pool.forget_not_finite()
    return scales(model), state_of(model)["networks"]


def test_ranks_agree_on_their_scales(tmp_path):
    (scale, networks), (other_scale, other_networks) = on_ranks(2, tmp_path, ranks_scales)
    assert scale == other_scale == [2.0**20] * 2  # halved, then doubled after two steps
    assert_close(networks, other_networks, 0.0)
    assert all(weight.isfinite().all() for network in networks.values() for weight in network.values())
