"""INIT's laws: what objects do to the networks of scenes, and what they cannot do."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from engine.method import state_of
from engine.parallel import ALONE, World
from engine.rounds import updates
from engine.update import PerObject, Update
from instagan.errors import InputError
from instagan.kernels import accelerate
from instagan.networks.init import ObjectStyle, Regions
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from models.init_model import InitModel
from options.parse import parse_training
from tests.batches import boxes_only, pair_of, rows_of, trained_on
from tests.engine.test_parallel import assert_close, dealt
from tests.ranks import on_ranks

SMALL = ("--ngf", "2", "--ndf", "2", "--n_res", "1", "--mlp_dim", "8", "--fine_size", "32", "--num_scales", "1")
NAMES = ("recon_object_x", "recon_object_c", "recon_object_s", "G_object")


def model_of(*flags: str, double: bool = True) -> InitModel:
    torch.manual_seed(0)
    options = parse_training(["--dataroot", "unused", "--model", "init", *SMALL, *flags]).values
    model = InitModel.from_options(options)
    return model.double() if double else model


def doubled(pair: UnpairedBatch) -> UnpairedBatch:
    return pair.changed(lambda batch: dataclasses.replace(batch, image=batch.image.double()))


def pair_with(a: list[int], b: list[int], seed: int = 0) -> UnpairedBatch:
    return doubled(pair_of(boxes_only(a, seed=seed), boxes_only(b, seed=seed + 1)))


def test_a_batch_without_any_object_trains_the_scenes_and_no_object():
    model = model_of()
    before = {name: weight.clone() for name, weight in model.networks.named_parameters()}
    losses, _ = trained_on(model, pair_with([0, 0], [0, 0]))
    for letter in "AB":
        assert all(losses[f"{name}_{letter}"].item() == 0 for name in NAMES)
        assert losses[f"D_object_fake_{letter}"].item() == losses[f"D_object_real_{letter}"].item() == 0
        assert losses[f"recon_x_{letter}"].item() > 0
    moved = {name for name, weight in model.networks.named_parameters() if not torch.equal(weight, before[name])}
    assert any(name.startswith("content_A.stem") for name in moved)
    assert not [name for name in moved if "objects" in name]


def object_gradients(model: InitModel) -> dict[str, float]:
    """Largest gradient that the objects' losses alone give to each part of the networks, by name of the part."""
    way, pair = model.ways[0], pair_with([2, 1], [1, 1])
    update = Update([pair])
    turn = model.turn(way, pair, update.generators(pair))
    torch.stack(model.object_losses(way, turn)).sum().backward()
    found: dict[str, float] = {}
    for name, weight in model.networks.named_parameters():
        part = ".".join(name.split(".")[:2])
        largest = 0.0 if weight.grad is None else weight.grad.abs().max().item()
        found[part] = max(found.get(part, 0.0), largest)
    return found


def test_objects_reach_what_they_share_with_scenes():
    gradients = object_gradients(model_of())
    for part in ("content_A.stem", "style_A.layers", "decoder_A.tail", "content_B.stem", "style_B.layers"):
        assert gradients[part] > 0, part
    assert gradients["decoder_B.tail"] > 0
    for part in ("content_A.blocks", "decoder_A.blocks", "decoder_A.mlp", "decoder_B.mlp", "D_B.scales"):
        assert gradients[part] == 0, part


def test_separate_objects_reach_no_network_of_scenes():
    gradients = object_gradients(model_of("--init_objects", "separate"))
    assert gradients["objects_A.own"] > 0 and gradients["objects_B.own"] > 0
    for part, largest in gradients.items():
        if "objects" not in part:
            assert largest == 0, part


def test_a_style_of_an_object_cannot_be_applied_to_a_scene():
    model = model_of()
    domain = model.domains["A"]
    scenes = pair_with([2], [0])["A"]
    objects = Regions.of(scenes, 32)
    content, style = domain.branch.encode(scenes.image, objects)
    of_scene = domain.content(scenes.image)
    with pytest.raises(TypeError):
        domain.decoder(of_scene, style)
    with pytest.raises(TypeError):
        domain.decoder(content, style.codes)
    assert domain.decoder(of_scene, domain.style(scenes.image)).shape == (1, 3, 32, 32)
    of_objects = ObjectStyle.of_scenes(domain.style(scenes.image), objects.owner)
    assert domain.branch.decode(content, of_objects).shape == (2, 3, 32, 32)
    assert not [name for name in vars(ObjectStyle) if "scene" in name and name != "of_scenes"]


def object_losses(model: InitModel, pair: UnpairedBatch) -> Tensor:
    """(4, P): of each object of A, with one style for all scenes."""
    way = model.ways[0]
    turn = model.turn(way, pair, [torch.Generator().manual_seed(0) for _ in range(len(pair))])
    return torch.stack(model.object_losses(way, turn))


def test_an_object_gives_what_its_row_gives_alone():
    model, pair = model_of("--exemplar_share", "0"), pair_with([2, 0, 3], [1, 1, 0])
    together = object_losses(model, pair)
    apart = [object_losses(model, rows_of(pair, slice(row, row + 1))) for row in (0, 2)]
    torch.testing.assert_close(together, torch.cat(apart, dim=1), rtol=1e-9, atol=1e-12)


def test_regions_are_squares_of_what_the_scene_shows_there():
    slope = torch.linspace(-1, 1, 32, dtype=torch.float64).expand(1, 3, 32, 32)  # from the left to the right
    boxes = torch.tensor([[[4.0, 6, 10, 20], [8, 8, 24, 12], [0, 0, 0, 0]]])
    scenes = InstanceBatch(
        slope, None, torch.tensor([[True, True, False]]), torch.zeros(1, 3, dtype=torch.long), given_boxes=boxes
    )
    objects = Regions.of(scenes, 32)
    assert objects.boxes.tolist() == [[0, 6, 14, 20], [8, 2, 24, 18]]
    at = torch.arange(32, dtype=torch.float64) + 0.5
    shown = (8 + 16 * at / 32 - 0.5) / 31 * 2 - 1  # (32,)
    torch.testing.assert_close(objects.crops[1], shown.expand(3, 32, 32), rtol=0, atol=1e-6)


@pytest.mark.parametrize("share, same", [("0", False), ("1", True)])
def test_examples_of_the_other_domain_give_the_style(share, same):
    model, pair = model_of("--exemplar_share", share), pair_with([1, 1], [1, 0])
    way = model.ways[0]
    turn = model.turn(way, pair, Update([pair]).generators(pair))
    of_examples = way.other.style(pair["B"].image)
    assert torch.equal(turn.style_for_g, of_examples) == same
    assert not turn.style_for_g.requires_grad


RAGGED = [([3, 0, 0, 1], [0, 0, 2, 1]), ([0, 0, 2, 0], [0, 0, 0, 0])]
"""Two steps of four rows: on one of two ranks a domain has no object, or nothing has one."""


def trained(world: World, rows: int, batches: int):
    """Losses of every step and the state after them."""
    model, losses = model_of(), []
    pairs = [pair_with(a, b, seed=10 * number) for number, (a, b) in enumerate(RAGGED)]
    mine = [dealt(world, pair, rows, batches) for pair in pairs]
    for update in updates(world, mine, lambda: 0):
        model.training_step(update)
        losses.append({name: loss.item() for name, loss in update.losses().items()})
    return losses, state_of(model)


def test_two_ranks_or_four_batches_with_ragged_objects_make_the_update_of_one_batch(tmp_path):
    losses, state = trained(ALONE, 4, 1)
    apart, state_apart = trained(ALONE, 1, 4)
    assert_close(apart, losses, 1e-8)
    assert_close(state_apart, state, 1e-7)
    for of_rank, state_of_rank in on_ranks(2, tmp_path, trained, 2, 1):
        assert_close(of_rank, losses, 1e-8)
        assert_close(state_of_rank, state, 1e-7)


def test_translating_looks_at_no_box():
    model = model_of()
    scenes, style = pair_with([2, 1], [0, 0])["A"], torch.zeros(2, 8, dtype=torch.float64)
    assert "boxes" not in model.needs and "masks" not in model.needs
    with_boxes = model.translate(scenes, style=style).image
    assert torch.equal(with_boxes, model.translate(InstanceBatch.from_images(scenes.image), style=style).image)


def test_the_faster_layers_give_the_same_losses():
    pair = pair_with([2, 1], [1, 0])
    plain, fast = model_of(), model_of()
    accelerate(fast.networks)
    losses, again = (trained_on(model, pair)[0] for model in (plain, fast))
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {name: loss.item() for name, loss in again.items()}, rel=1e-9
    )


def test_the_size_of_regions_fits_the_crop_and_the_networks():
    assert model_of().weights.object_size == 32
    assert model_of("--fine_size", "200", "--load_size", "200").weights.object_size == 120
    assert model_of("--object_size", "48").weights.object_size == 48
    with pytest.raises(InputError, match="--object_size 50 must be a multiple of 4"):
        model_of("--object_size", "50")


def test_losses_of_objects_are_yielded_as_such():
    """Each is a mean over objects, so that a scene with many weighs more."""
    model, pair = model_of(), pair_with([3, 1], [1, 1])
    way = model.ways[0]
    turn = model.turn(way, pair, Update([pair]).generators(pair))
    yielded = {name: loss for losses in model.generator_losses(way, turn) for name, loss in losses.items()}
    for name in NAMES:
        loss = yielded[f"{name}_A"]
        assert isinstance(loss, PerObject) and loss.domain == "A" and loss.values.shape == (4,)
