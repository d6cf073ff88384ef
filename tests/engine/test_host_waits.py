"""A training step plans its work without looking at what the device computes, so that the host runs ahead of it."""

import pytest
import torch

from instagan.networks.discriminators import SetDiscriminator
from instagan.networks.generators import SetGenerator
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from instagan.structures.sequential import SequentialMiniBatches
from models import MODELS
from models.insta_gan_model import InstaGanModel
from options.parse import parse_training
from tests.batches import random_batch, random_pair, trained_on
from tests.programs import OF_SMALL, ROOT

UNREADABLE = "meta"
"""A device that knows shapes and no values: whoever asks it for one, or mixes it with another device, is told off."""


@pytest.fixture(autouse=True)
def no_kernel(monkeypatch):
    """Adam's fused kernel, which is torch's, does not exist for that device: it is only seen what it would be given."""

    def step(self, closure=None):
        assert self.found_inf.device.type == UNREADABLE
        assert any(weight.grad is not None for group in self.param_groups for weight in group["params"])

    monkeypatch.setattr(torch.optim.Adam, "step", step)


def unreadable_model(**changes) -> InstaGanModel:
    generators = {name: SetGenerator(4, blocks=1).to(UNREADABLE) for name in "AB"}
    return InstaGanModel(generators, {name: SetDiscriminator(4).to(UNREADABLE) for name in "AB"}, **changes)


@pytest.mark.parametrize("changes", [{"set_order": "random"}, {"ins_max": None, "ins_per": 3}], ids=str)
def test_a_training_step_never_waits_for_the_device(changes):
    model = unreadable_model(pool_size=2, **changes)
    for counts in ([4, 1, 0], [2, 2, 5], [0, 0, 0]):
        losses, _ = trained_on(model, random_pair(counts, [3, 0, 1]).to(UNREADABLE))
    assert all(loss.device.type == UNREADABLE for loss in losses.values())
    assert model.optimizer_G.refused.device.type == UNREADABLE


@pytest.mark.parametrize("name", MODELS)
def test_no_method_waits_for_the_device(name):
    flags = ["--model", name, "--ngf", "2", "--ndf", "2", *OF_SMALL.get(name, ())]
    options = parse_training(["--dataroot", str(ROOT), *flags]).values
    with torch.device(UNREADABLE):
        model = MODELS[name].from_options(options)
    losses, _ = trained_on(model, random_pair([2, 1], [1, 3]).to(UNREADABLE))
    assert losses and all(loss.device.type == UNREADABLE for loss in losses.values())


def test_what_waits_is_noticed():
    pair = random_pair([2], [1]).to(UNREADABLE)
    with pytest.raises((RuntimeError, NotImplementedError)):
        trained_on(unreadable_model(), pair)[0]["G_A"].item()
    with pytest.raises((RuntimeError, NotImplementedError)):
        (pair["A"].masks > 0).flatten(2).any(2).nonzero()


def test_existence_stays_on_the_host():
    batch = random_batch([2, 1], slots=3).to(UNREADABLE)
    assert batch.present.device.type == "cpu"
    for made in (batch.largest(2), batch.first(2), batch[1:], batch[[1]], batch.slots(1, 5), batch.detach()):
        assert made.present.device.type == "cpu" and made.masks.device.type == UNREADABLE
    assert batch.largest(2).present.tolist() == [[True, True], [True, False]]
    steps = list(SequentialMiniBatches(lambda x: x, batch.largest(), 1))
    assert [step.rows.tolist() for step in steps] == [[0, 1], [0]]


def test_existence_on_another_device_is_refused():
    batch = random_batch([1])
    with pytest.raises(ValueError, match="present must be on the CPU"):
        InstanceBatch(batch.image, batch.masks, batch.present.to(UNREADABLE), batch.labels)


def test_pairs_travel_as_a_whole():
    pair = random_pair([1], [2]).to(UNREADABLE)
    assert isinstance(pair, UnpairedBatch) and pair["B"].labels.device.type == UNREADABLE
