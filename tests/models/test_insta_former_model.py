"""InstaFormer's laws: what objects, padding, styles and other processes do to its training, and what they cannot do."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from engine.method import state_of
from engine.parallel import ALONE, World
from engine.rounds import updates
from engine.update import Update
from instagan.errors import InputError
from instagan.inference.translator import Translator
from instagan.kernels import accelerate
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from models.insta_former_model import InstaFormerModel
from options.parse import parse_training
from tests.batches import boxes_only, pair_of, trained_on
from tests.engine.test_parallel import assert_close, dealt
from tests.programs import OF_SMALL
from tests.ranks import on_ranks
from tests.using import tiny_run

SMALL = ("--ngf", "2", "--ndf", "2", "--fine_size", "32", *OF_SMALL["insta_former"])


def model_of(*flags: str, double: bool = True) -> InstaFormerModel:
    torch.manual_seed(0)
    options = parse_training(["--dataroot", "unused", "--model", "insta_former", *SMALL, *flags]).values
    model = InstaFormerModel.from_options(options)
    return model.double() if double else model


def pair_with(a: list[int], b: list[int], seed: int = 0) -> UnpairedBatch:
    pair = pair_of(boxes_only(a, seed=seed), boxes_only(b, seed=seed + 1))
    return pair.changed(lambda batch: dataclasses.replace(batch, image=batch.image.double()))


def losses_of(model: InstaFormerModel, pair: UnpairedBatch) -> dict[str, float]:
    return {name: loss.item() for name, loss in trained_on(model, pair)[0].items()}


def test_a_batch_without_any_object_trains_all_but_what_objects_need():
    model = model_of()
    before = {name: weight.clone() for name, weight in model.networks.named_parameters()}
    losses = losses_of(model, pair_with([0, 0], [0, 0]))
    assert losses["NCE_object"] == 0
    assert all(0 < loss < 100 for name, loss in losses.items() if name != "NCE_object")
    moved = {name for name, weight in model.networks.named_parameters() if not torch.equal(weight, before[name])}
    assert {name.partition(".")[0] for name in moved} == {"G_A", "D_A", "F_A"}
    assert not [name for name in moved if name.startswith("G_A.transformer.boxes")]


@pytest.mark.parametrize("flags", [(), ("--adain", "separate"), ("--style_on_fake",), ("--modes_w", "1")], ids=str)
def test_absent_slots_change_no_loss(flags):
    few = pair_with([2, 1], [0, 2])
    many = few.changed(lambda batch: batch.slots(0, 7))
    assert losses_of(model_of(*flags), few) == pytest.approx(losses_of(model_of(*flags), many), rel=1e-9)
    published = [losses_of(model_of("--mask_padding", "false", *flags), pair)["recon"] for pair in (few, many)]
    assert abs(published[0] - published[1]) > 1e-6


def test_objects_change_the_picture_that_is_learnt():
    pair = pair_with([2, 1], [0, 2])
    without = pair.changed(lambda batch: batch.slots(0, 0))
    one, other = losses_of(model_of(), pair), losses_of(model_of(), without)
    assert all(abs(one[name] - other[name]) > 1e-9 for name in ("G", "NCE", "recon"))


def test_objects_are_compared_in_the_picture_or_each_decoded_by_itself():
    """The expansion of objects' tokens is there, and learns, where they are decoded."""
    pair = pair_with([2, 1], [1, 1])
    model = model_of()
    assert model.G.decoder.object_expansion is None
    decoded = model_of("--instance_nce", "decoded")
    before = decoded.G.decoder.object_expansion.weight.clone()
    losses, again = losses_of(model, pair), losses_of(decoded, pair)
    assert losses["NCE_object"] > 0 and again["NCE_object"] > 0 and losses["NCE_object"] != again["NCE_object"]
    assert not torch.equal(decoded.G.decoder.object_expansion.weight, before)


def test_keys_of_patch_nce_receive_no_gradient_and_queries_do():
    model, pair = model_of(), pair_with([2, 1], [1, 1])
    way = model.directions[0]
    turn = model.turn(way, pair, Update([pair]).generators(pair))
    queries = [(one.detach() + 1).requires_grad_() for one in turn.features]
    turn = dataclasses.replace(turn, features=[one.detach().requires_grad_() for one in turn.features])
    model.nce(queries, turn).sum().backward()
    assert all(one.grad.abs().max() > 0 for one in queries) and all(one.grad is None for one in turn.features)


def test_mode_seeking_brings_images_of_two_styles_apart_if_asked_for():
    """The loss falls as two images of one content come apart, and is at most 1 / modes_eps, 10."""
    pair, flags = pair_with([2, 1], [0, 1]), ("--lambda_GAN", "0", "--lambda_NCE", "0", "--lambda_instance_NCE", "0")
    assert "modes" not in losses_of(model_of(), pair)
    model, found = model_of(*flags, "--lambda_recon", "0", "--lambda_style", "0", "--modes_w", "1", "--lr", "0.01"), []
    for _ in range(6):
        found.append(losses_of(model, pair)["modes"])
    assert 0 < found[-1] < 0.9 * found[0] < 0.9 / 0.1


def test_the_style_of_the_translation_is_reconstructed_if_asked_for():
    pair = pair_with([1, 0], [1, 1])
    assert "style_fake" not in losses_of(model_of(), pair)
    losses = losses_of(model_of("--style_on_fake"), pair)
    assert losses["style_fake"] > 0


@pytest.mark.parametrize("flags", [(), ("--instance_nce", "decoded")], ids=str)
def test_the_faster_layers_give_the_same_losses(flags):
    pair = pair_with([2, 1], [1, 0])
    plain, fast, again = (model_of(*flags) for _ in range(3))
    accelerate(fast.networks)
    accelerate(again.networks, recompute=True)
    wanted = losses_of(plain, pair)
    for model in (fast, again):
        assert losses_of(model, pair) == pytest.approx(wanted, rel=1e-9)


def test_translating_looks_at_no_box():
    model = model_of()
    scenes, style = pair_with([2, 1], [0, 0])["A"], torch.zeros(2, 8, dtype=torch.float64)
    assert model.needs == ("style",)
    with_boxes = model.translate(scenes, style=style).image
    assert torch.equal(with_boxes, model.translate(InstanceBatch.from_images(scenes.image), style=style).image)


SIZE = ("--load_size", "64", "--fine_size", "64")


def test_one_checkpoint_translates_pictures_of_any_size(tmp_path):
    run, model = tiny_run(tmp_path, "run", "--model", "insta_former", *OF_SMALL["insta_former"], *SIZE)
    assert model.G.transformer.positions.extent.tolist() == [16, 16]
    t, style = Translator.load(run.path, device="cpu"), torch.linspace(-1, 1, 8)[None]
    for width, height in ((96, 64), (352, 352), (60, 44)):
        x = InstanceBatch.from_images(torch.rand(1, 3, height, width) * 2 - 1)
        wanted = model.translate(x, style=style).image
        made = t.network.run(x, style=style).image
        assert made.shape == x.image.shape
        torch.testing.assert_close(made, wanted, rtol=0, atol=2e-5)


def test_flags_that_do_not_fit_are_said():
    with pytest.raises(InputError, match="--embed_dim 40 must be a multiple of 8 and of --heads 3"):
        model_of("--embed_dim", "40", "--heads", "3")
    with pytest.raises(InputError, match="the encoder's layers are 0 to 11"):
        model_of("--nce_layers", "0,12")
    with pytest.raises(InputError, match="--patch 8"):
        model_of("--patch", "8")


RAGGED = [([3, 0, 0, 1], [0, 0, 2, 1]), ([0, 0, 2, 0], [0, 0, 0, 0]), ([1, 2, 0], [1, 0, 2])]
"""Steps of four rows and of three: on one of two ranks a domain has no object, or nothing has one."""


def trained(world: World, rows: int, batches: int, steps: list):
    """Losses of every step and the state after them."""
    model, losses = model_of(), []
    pairs = [pair_with(a, b, seed=10 * number) for number, (a, b) in enumerate(steps)]
    mine = [dealt(world, pair, rows, batches) for pair in pairs]
    for update in updates(world, mine, lambda: 0):
        model.training_step(update)
        losses.append({name: loss.item() for name, loss in update.losses().items()})
    return losses, state_of(model)


def test_two_ranks_with_ragged_objects_make_the_update_of_one_process_batch_norm_included(tmp_path):
    losses, state = trained(ALONE, 4, 1, RAGGED)
    for of_rank, state_of_rank in on_ranks(2, tmp_path, trained, 2, 1, RAGGED):
        assert_close(of_rank, losses, 1e-8)
        assert_close(state_of_rank, state, 1e-7)


def test_a_rank_without_a_picture_is_not_waited_for(tmp_path):
    """Batch norm then has the rows of one rank, which are all there are."""
    steps = [([2, 1], [1, 1]), ([1, 2, 1, 0], [0, 1, 1, 1])]
    losses, _ = trained(ALONE, 4, 1, steps)
    for of_rank, _ in on_ranks(2, tmp_path, trained, 2, 1, steps):
        assert_close(of_rank, losses, 1e-7)
