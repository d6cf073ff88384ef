"""Many ranks, or many batches per update, do what one process does with one batch of all their rows."""

from __future__ import annotations

import os
from functools import cache

import pytest
import torch

from engine import parallel
from engine.method import state_of
from engine.parallel import ALONE, LostRankError, World
from engine.rounds import updates
from engine.update import Update
from instagan.errors import InputError
from instagan.networks.anti_aliased import AntiAliasedGenerator, AntiAliasedPatchDiscriminator
from instagan.networks.blocks import initialise
from instagan.networks.discriminators import PatchDiscriminator, SetDiscriminator
from instagan.networks.generators import ResnetGenerator, SetGenerator
from instagan.networks.projection import ProjectionHeads
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from models.cut_model import CutModel, Objective
from models.cycle_gan_model import CycleGanModel
from models.drit_model import DritModel
from models.insta_gan_model import InstaGanModel
from models.mguit_model import MguitModel
from models.munit_model import MunitModel
from models.one_way_insta_gan_model import Objective as OneWayObjective
from models.one_way_insta_gan_model import OneWayInstaGanModel
from models.star_insta_gan_model import StarInstaGanModel
from models.translation_model import TranslationModel
from options.parse import parse_training
from tests.batches import random_pair, rows_of, trained_on
from tests.programs import OF_SMALL
from tests.ranks import fork, on_ranks

METHODS = ["insta_gan", "cycle_gan", "cut", "munit", "drit", "mguit", "star_insta_gan"]
"""Those that all tests here are made with; ``model_of`` knows others, too."""
Counts = tuple[list[int], list[int]]


def model_of(method: str, pool: int, double: bool = True) -> TranslationModel:
    torch.manual_seed(0)
    generators: dict[str, torch.nn.Module]
    if method == "cut":
        generators = {"A": AntiAliasedGenerator(4, blocks=1)}
        heads = ProjectionHeads(generators["A"].channels((0, 4, 12)), 16)
        objective = Objective(layers=(0, 4, 12), patches=20, flip_equivariance=True)
        model = CutModel(generators["A"], AntiAliasedPatchDiscriminator(4), heads, objective)
    elif method == "munit":
        flags = ["--ngf", "2", "--ndf", "2", "--n_res", "1", "--mlp_dim", "8", "--recon_x_cyc_w", "2", "--lr", "2e-4"]
        model = MunitModel.from_options(
            parse_training(["--dataroot", ".", "--model", "munit", "--num_scales", "1", *flags]).values
        )
        generators = {}
    elif method == "drit":
        flags = ["--ngf", "2", "--ndf", "2", "--d_iter", "2" if double else "1", *OF_SMALL["drit"]]
        model = DritModel.from_options(parse_training(["--dataroot", ".", "--model", "drit", *flags]).values)
        generators = {}
    elif method == "mguit":
        flags = ["--ngf", "2", "--ndf", "2", "--dis_scale", "2", "--content_layers", "0", "--d_iter", "1"]
        model = MguitModel.from_options(parse_training(["--dataroot", ".", "--model", "mguit", *flags]).values)
        generators = {}
    elif method == "one_way_insta_gan":
        model = OneWayInstaGanModel(
            SetGenerator(4, blocks=1), SetDiscriminator(4), ProjectionHeads([4, 8, 16], 16),
            OneWayObjective(layers=(3, 6, 9), patches=20), pool_size=pool,
        )  # fmt: skip
        generators = {"A": model.networks["G_A"]}
    elif method == "star_insta_gan":
        flags = ["--ngf", "4", "--ndf", "4", "--pool_size", str(pool), *OF_SMALL["star_insta_gan"]]
        options = parse_training(["--dataroot", ".", "--model", "star_insta_gan", *flags]).values
        model = StarInstaGanModel.from_options(options)
        generators = {"A": model.G}
    elif method == "insta_gan":
        generators = {name: SetGenerator(4, blocks=1) for name in "AB"}
        model = InstaGanModel(generators, {name: SetDiscriminator(4) for name in "AB"}, pool_size=pool)
    else:
        generators = {name: ResnetGenerator(4, blocks=1, with_union=True) for name in "AB"}
        discriminators = {name: PatchDiscriminator(4, with_union=True) for name in "AB"}
        model = CycleGanModel(generators, discriminators, with_masks=True, pool_size=pool)
    for generator in generators.values():
        initialise(generator, "xavier", 1.0)
    return model.double() if double else model


def step_batches(steps: list[Counts], double: bool) -> list[UnpairedBatch]:
    found = [random_pair(a, b, seed=10 * number) for number, (a, b) in enumerate(steps)]
    return [_doubled(pair) for pair in found] if double else found


def _doubled(pair: UnpairedBatch) -> UnpairedBatch:
    return pair.changed(_double)


def _double(batch: InstanceBatch) -> InstanceBatch:
    return InstanceBatch(batch.image.double(), batch.masks.double(), batch.present, batch.labels)


def dealt(world: World, pair: UnpairedBatch, rows: int, batches: int) -> list[UnpairedBatch]:
    """This rank's batches of all rows, in order: the last ranks may get fewer, or none."""
    first = world.rank * batches * rows
    starts = range(first, min(first + batches * rows, len(pair)), rows)
    return [rows_of(pair, slice(start, min(start + rows, first + batches * rows))) for start in starts]


def trained(world: World, method: str, steps: list[Counts], rows: int, batches: int, pool: int = 50, fine: bool = True):
    """Losses of every step and the model's state after them, with the rows dealt out to ranks and batches.

    fine: in float64. Else in float32, where a gradient that is zero but for rounding must not become a step of Adam's
    full length: its epsilon is raised above rounding.
    """
    model, losses = model_of(method, pool, fine), []
    for optimizer in model.optimizers().values():
        optimizer.param_groups[0]["eps"] = 1e-8 if fine else 1e-2
    mine = [dealt(world, pair, rows, batches) for pair in step_batches(steps, fine)]
    for update in updates(world, mine, lambda: 0):
        model.training_step(update)
        losses.append({name: loss.item() for name, loss in update.losses().items()})
    return losses, state_of(model)


@cache
def alone(method: str, pool: int):
    """What one process does with batches of all rows of the three ragged steps."""
    return trained(ALONE, method, RAGGED, 4, 1, pool)


def assert_close(one, other, tolerance: float, place: str = "") -> None:
    if isinstance(one, torch.Tensor):
        assert one.shape == other.shape, place
        difference = (one.double() - other.double()).abs().max().item() if one.numel() else 0.0
        assert difference <= tolerance, (place, difference)
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key in one:
            assert_close(one[key], other[key], tolerance, f"{place}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), place
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_close(*pair, tolerance, f"{place}/{index}")
    else:
        assert one == pytest.approx(other, abs=tolerance), place


RAGGED = [([4, 1, 0, 2], [2, 3, 1, 0]), ([0, 0, 3, 3], [1, 4, 0, 0]), ([1, 4, 2, 1], [0, 0, 0, 3])]
"""Three steps of four rows: on some ranks one domain, or both, run out of instances before the others or have none."""

NOT_EVEN = [([4, 1, 0], [2, 3, 1]), ([3], [1]), ([0, 2], [0, 0])]
"""Steps of fewer rows than ranks, as at an epoch's end."""

NOBODY = [([0, 0, 0, 0], [0, 0, 0, 0]), ([2, 0, 0, 0], [0, 0, 0, 0])]
"""A step without any instance, and one with a single row in play, in one direction."""


@pytest.mark.parametrize("steps", [RAGGED, NOT_EVEN, NOBODY], ids=["ragged", "not_even", "nobody"])
@pytest.mark.parametrize("size, rows, batches", [(2, 2, 1), pytest.param(4, 1, 1, marks=pytest.mark.slow), (2, 1, 2)])
def test_ranks_and_batches_make_the_update_of_one_process_with_one_batch(steps, size, rows, batches, tmp_path):
    losses, state = trained(ALONE, "insta_gan", steps, 4, 1)
    many = on_ranks(size, tmp_path, trained, "insta_gan", steps, rows, batches)
    for of_rank, state_of_rank in many:
        assert_close(of_rank, losses, 1e-8)
        assert_close(state_of_rank, state, 1e-7)
        assert_close(state_of_rank, many[0][1], 0.0)  # power iteration and pools included: equal to the last bit


def test_four_ranks_of_one_row(tmp_path):
    losses, state = trained(ALONE, "insta_gan", RAGGED[:2], 4, 1)
    for of_rank, state_of_rank in on_ranks(4, tmp_path, trained, "insta_gan", RAGGED[:2], 1, 1):
        assert_close(of_rank, losses, 1e-8)
        assert_close(state_of_rank, state, 1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_so_it_is_with_full_pools_for_every_method(method, tmp_path):
    losses, state = alone(method, 3)
    assert all(len(pool["rows"]) == 3 for pool in state["pools"].values())
    for of_rank, state_of_rank in on_ranks(2, tmp_path, trained, method, RAGGED, 2, 1, 3):
        assert_close(of_rank, losses, 1e-8)
        assert_close(state_of_rank, state, 1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_so_it_is_in_float32(method, tmp_path):
    """After one update: from then on L1's sign and Adam make more of rounding with every update."""
    tolerance = 3e-5 if method in ("munit", "drit") else 1e-5  # gradients through its encoders, twice, are rounded more
    steps, fresh = [([2, 1, 0, 2], [1, 2, 2, 0])], state_of(model_of(method, 50, double=False))["networks"]
    losses, state = trained(ALONE, method, steps, 4, 1, 50, False)
    for of_rank, state_of_rank in on_ranks(2, tmp_path, trained, method, steps, 2, 1, 50, False):
        assert_close(of_rank, losses, 1e-4)
        assert_close(state_of_rank["networks"], state["networks"], tolerance)
    moved = [
        (weight - fresh[network][name]).abs().max()
        for network, weights in state["networks"].items()
        for name, weight in weights.items()
        if weight.is_floating_point()
    ]
    assert max(moved) > 1e-4  # several times the tolerance


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rows", [1, 3])
def test_accumulated_batches_make_the_update_of_one(method, rows):
    losses, state = alone(method, 3)
    apart, state_apart = trained(ALONE, method, RAGGED, rows, -(-4 // rows), pool=3)
    assert_close(apart, losses, 1e-8)
    assert_close(state_apart, state, 1e-7)


class Kept:
    """A tensor that a graph keeps for its backward pass; counts the bytes that are kept at the same time."""

    now = most = 0

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor, self.size = tensor, tensor.nbytes
        Kept.now += self.size
        Kept.most = max(Kept.most, Kept.now)

    def __del__(self) -> None:
        Kept.now -= self.size


def kept_at_most(*pairs: UnpairedBatch) -> int:
    """Bytes that the graphs of one training step keep at the same time."""
    model = model_of("insta_gan", 50, double=False)
    Kept.now = Kept.most = 0
    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        trained_on(model, *pairs)
    return Kept.most


def test_accumulating_takes_the_memory_of_one_batch():
    pair = random_pair([2] * 4, [2] * 4)
    apart = [rows_of(pair, slice(row, row + 1)) for row in range(4)]
    one, four, together = kept_at_most(apart[0]), kept_at_most(*apart), kept_at_most(pair)
    assert four < 1.02 * one
    assert together > 3 * one


def shown_losses(world: World) -> tuple[dict[str, float], dict[str, float]]:
    pair = random_pair([2, 1], [1, 0])
    mine = rows_of(pair, slice(world.rank, world.rank + 1))
    update = next(updates(world, [[_doubled(mine)]], lambda: 0))
    model_of("insta_gan", 50).training_step(update)
    losses = update.losses()
    alone, _ = trained_on(model_of("insta_gan", 50), _doubled(mine))
    return {name: loss.item() for name, loss in losses.items()}, {name: loss.item() for name, loss in alone.items()}


def test_losses_are_those_of_all_ranks(tmp_path):
    (first, alone), (second, other) = on_ranks(2, tmp_path, shown_losses)
    assert first == second
    assert first["cyc_A"] == pytest.approx((alone["cyc_A"] + other["cyc_A"]) / 2)
    assert first["cyc_B"] == pytest.approx(alone["cyc_B"])  # rank 1 has no instance of B
    assert "cyc_B" not in other


def small_buckets(world: World, size: int) -> list[torch.Tensor]:
    parallel.BUCKET_BYTES = size
    torch.manual_seed(world.rank)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 3), torch.nn.Conv2d(5, 2, 1).to(memory_format=torch.channels_last)
    )
    for weight in network.parameters():
        weight.grad = torch.randn_like(weight)
    network[0].bias.grad = None  # this rank's graphs did not reach it
    network[1].bias.requires_grad_(False)
    before = [
        weight.grad.clone() if weight.grad is not None else torch.zeros_like(weight) for weight in network.parameters()
    ]
    world.add_gradients([weight for weight in network.parameters() if weight.requires_grad])
    return [*before, *(weight.grad for weight in network.parameters())]


@pytest.mark.parametrize("size", [1, 64, 2**20])
def test_gradients_are_added_whatever_the_size_of_a_bucket(size, tmp_path):
    one, other, third = on_ranks(3, tmp_path, small_buckets, size)
    for number in range(3):
        expected = one[number] + other[number] + third[number]
        for found in (one, other, third):
            torch.testing.assert_close(found[4 + number], expected)
    assert torch.equal(one[7], one[3]) and not torch.equal(one[7], other[7])  # takes no gradients: left alone


def troubled(world: World) -> list[str]:
    said = []
    with world.raising_together():
        pass
    for unlucky in range(world.size):
        try:
            with world.raising_together():
                if world.rank >= unlucky:
                    raise InputError(f"rank {world.rank} cannot read")
        except InputError as error:
            said.append(str(error))
    said.append(world.from_main(lambda: f"from {world.rank}"))
    try:
        world.from_main(lambda: int("no number") if world.rank else (_ for _ in ()).throw(InputError("leader's")))
    except InputError as error:
        said.append(str(error))
    return said


def test_what_one_rank_cannot_do_no_rank_does_and_the_lowest_tells_why(tmp_path):
    expected = ["rank 0 cannot read", "rank 1 cannot read", "rank 2 cannot read", "from 0", "leader's"]
    assert on_ranks(3, tmp_path, troubled) == [expected] * 3


def left_alone(rank: int) -> str:
    parallel.distributed.init_process_group("gloo")
    if rank == 1:
        os._exit(9)
    try:
        World(rank, 2).add(torch.zeros(1))
    except LostRankError as error:
        return type(error).__name__
    return "nothing"


def test_a_rank_that_dies_is_noticed(tmp_path):
    survivor, dead = fork(2, tmp_path, left_alone)
    assert dead.code == 9
    assert survivor.result == "LostRankError"


def unlike_weights(world: World) -> list[torch.Tensor]:
    torch.manual_seed(world.rank)
    model = InstaGanModel({n: SetGenerator(2, blocks=1) for n in "AB"}, {n: SetDiscriminator(2) for n in "AB"})
    before = [weight.clone() for weight in model.parameters()]
    world.copy_from_main(model)
    return [*before, *model.state_dict().values()]


def test_ranks_begin_with_the_weights_of_rank_0(tmp_path):
    one, other = on_ranks(2, tmp_path, unlike_weights)
    weights = len(one) - sum(1 for _ in SetDiscriminator(2).buffers()) * 2
    assert not all(torch.equal(*pair) for pair in zip(one[: weights // 2], other[: weights // 2], strict=True))
    assert all(torch.equal(*pair) for pair in zip(one[weights // 2 :], other[weights // 2 :], strict=True))


def drawn(world: World, rows: int, batches: int) -> list[float]:
    """A random number for each of this rank's rows."""
    pair = random_pair([1] * 4, [1] * 4)
    found = []
    for update in updates(world, [dealt(world, pair, rows, batches)] * 2, lambda: 0, seed=3):
        for batch in update.pairs:
            found += [torch.rand((), generator=generator).item() for generator in update.generators(batch)]
    return found


def test_a_row_draws_the_same_numbers_for_any_number_of_ranks_and_batches(tmp_path):
    together = drawn(ALONE, 4, 1)
    assert len(set(together)) == 8  # of four rows in two steps
    assert drawn(ALONE, 1, 4) == together
    one, other = on_ranks(2, tmp_path, drawn, 2, 1)
    assert [*one[:2], *other[:2], *one[2:], *other[2:]] == together
    assert drawn(World(), 4, 1) == together
    other_seed = Update([random_pair([1], [1])], seed=4)
    assert torch.rand((), generator=other_seed.generators(other_seed.pairs[0])[0]).item() not in together
