"""Laws of CycleGAN and of the ablation CycleGAN+Seg."""

import pytest
import torch

from engine.method import state_of
from instagan.networks.blocks import initialise
from instagan.networks.discriminators import PatchDiscriminator
from instagan.networks.generators import ResnetGenerator
from models import MODELS
from models.cycle_gan_model import CycleGanModel
from options.parse import parse_training
from tests.batches import assert_same, random_batch, random_pair, trained_on
from tests.programs import ROOT


def small_model(with_masks: bool, **changes) -> CycleGanModel:
    torch.manual_seed(0)
    generators = {name: ResnetGenerator(4, blocks=1, with_union=with_masks) for name in "AB"}
    for generator in generators.values():
        initialise(generator, "xavier", 1.0)
    discriminators = {name: PatchDiscriminator(4, with_union=with_masks) for name in "AB"}
    return CycleGanModel(generators, discriminators, with_masks=with_masks, **changes)


def test_pictures_only_training_does_not_depend_on_masks():
    pair, bare = random_pair([2, 1], [1, 3]), random_pair([2, 1], [1, 3])
    bare = bare.changed(lambda batch: batch.slots(0, 0))
    one, other = small_model(False), small_model(False)
    assert {k: v.item() for k, v in trained_on(one, pair)[0].items()} == {
        k: v.item() for k, v in trained_on(other, bare)[0].items()
    }


def test_masks_take_part_with_masks():
    pair, other = random_pair([2, 1], [1, 3]), random_pair([2, 1], [1, 3])
    other = other.changed(lambda batch: batch.slots(0, 1))
    one = trained_on(small_model(True), pair)[0]["cyc_A"]
    assert one.item() != trained_on(small_model(True), other)[0]["cyc_A"].item()


@pytest.mark.parametrize("with_masks", [False, True])
def test_a_step_trains_all_four_networks(with_masks):
    model = small_model(with_masks)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    losses, pictures = trained_on(model, random_pair([2, 0], [1, 1]))
    assert set(losses) == {f"{kind}_{way}" for kind in ("G", "D", "cyc", "idt") for way in "AB"}
    assert list(pictures["A"]) == ["real_A", "fake_B", "rec_A"]
    changed = {
        name.split(".")[1] for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert changed == {"G_A", "G_B", "D_A", "D_B"}


@pytest.mark.parametrize("with_masks", [False, True])
def test_small_pictures_in_one_call_give_the_losses_of_calls_of_their_own(with_masks, monkeypatch):
    pair = random_pair([2, 0], [1, 1])
    in_one_call, _ = trained_on(small_model(with_masks), pair)
    monkeypatch.setattr("instagan.structures.calls.FEW_PIXELS", 0)
    by_themselves, _ = trained_on(small_model(with_masks), pair)
    assert list(in_one_call) == list(by_themselves)
    for name, loss in by_themselves.items():
        assert in_one_call[name].item() == pytest.approx(loss.item(), rel=1e-5)


def test_identity_loss_is_switched_off_by_its_weight():
    assert not {"idt_A", "idt_B"} & set(
        trained_on(small_model(False, lambdas={"idt": 0.0}), random_pair([1], [1]))[0]
    )


@pytest.mark.parametrize("with_masks", [False, True])
def test_translate_gives_one_slot_at_the_most(with_masks):
    model, source = small_model(with_masks).double(), random_batch([3, 0], dtype=torch.float64)
    fake = model.translate(source, to="a")
    assert fake.slot_count == int(with_masks)
    assert_same(fake[[1]], model.translate(source[[1]], to="a"), 1e-9)
    if with_masks:
        assert fake.present.tolist() == [[True], [False]]


def test_cycle_gan_seg_is_cycle_gan_with_masks():
    said = ["--dataroot", str(ROOT), "--ngf", "4", "--ndf", "4"]
    trained = []
    for flags in (("--model", "cycle_gan", "--with_masks"), ("--model", "cycle_gan_seg")):
        options = parse_training([*said, *flags]).values
        assert options.dataset_mode == "unaligned_seg"
        torch.manual_seed(0)
        model = MODELS[options.model].from_options(options)
        losses, _ = trained_on(model, random_pair([2, 1], [1, 3]))
        trained.append(({name: loss.item() for name, loss in losses.items()}, state_of(model)["networks"]))
    (losses, weights), (other_losses, other_weights) = trained
    assert losses == other_losses
    assert all(torch.equal(tensor, other_weights[net][key]) for net in weights for key, tensor in weights[net].items())
