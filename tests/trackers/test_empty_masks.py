"""A direction whose translated masks are all empty for long is told of, once each time."""

from dataclasses import replace

import pytest
import torch

from engine.schedule import Progress
from instagan.structures.instances import InstanceBatch
from models.insta_gan_model import InstaGanModel
from tests.programs import draw_set, tiny, train
from trackers import empty_masks
from trackers.empty_masks import LOOKS, STEPS, EmptyMasks


def batch(inside: bool, present: bool = True) -> InstanceBatch:
    masks = torch.full((1, 2, 8, 8), -1.0)
    if inside:
        masks[:, 1, 2:5, 2:5] = 0.5
    return InstanceBatch(
        torch.zeros(1, 3, 8, 8), masks, torch.full((1, 2), present), torch.zeros(1, 2, dtype=torch.long)
    )


def told(looks: dict[int, InstanceBatch]) -> list[tuple[int, str]]:
    """Step and sentence of all that is told where these are the translations at these steps."""
    watch = EmptyMasks()
    return [
        (step, sentence)
        for step, fake in looks.items()
        for sentence in watch.look(Progress(steps=step), {"A": {"real_A": batch(True), "fake_B": fake}})
    ]


def every(steps: int, inside: bool, first: int = 1, count: int = 100) -> dict[int, InstanceBatch]:
    return {step: batch(inside) for step in range(first, first + count * steps, steps)}


def test_masks_that_stay_empty_are_told_of_once():
    ((step, sentence),) = told(every(10, False))
    assert step == 1 + STEPS and "since step 1 all masks translated from domain A are empty" in sentence


def test_few_looks_are_not_enough():
    ((step, _),) = told(every(1000, False))
    assert step == 1 + (LOOKS - 1) * 1000


def test_masks_that_come_back_begin_anew():
    looks = every(10, False, 1, 40) | every(10, True, 401, 1) | every(10, False, 411, 40)
    assert [step for step, _ in told(looks)] == [1 + STEPS, 411 + STEPS]
    assert not told(every(10, False, 1, 15) | every(10, True, 151, 1) | every(10, False, 161, 15))


@pytest.mark.parametrize(
    "fake",
    [
        batch(True),
        batch(False, present=False),
        replace(batch(False), given_masks=None, given_boxes=torch.zeros(1, 2, 4)),
        InstanceBatch.from_masks(torch.zeros(1, 3, 8, 8), torch.zeros(1, 0, 8, 8)),
    ],
)
def test_nothing_is_told_of_masks_of_any_other_kind(fake):
    assert not told(dict.fromkeys(range(1, 2000, 10), fake))


def test_training_tells_which_direction_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(empty_masks, "STEPS", 3)
    monkeypatch.setattr(empty_masks, "LOOKS", 2)
    build = InstaGanModel.from_options

    def empty_for_b(options):
        model = build(options)
        with torch.no_grad():
            last = [weight for name, weight in model.networks["G_B"].named_parameters() if name.endswith("bias")][-1]
            last.fill_(-50.0)
        return model

    monkeypatch.setattr(InstaGanModel, "from_options", empty_for_b)
    root = draw_set(tmp_path / "data", "train", a=(1,) * 4, b=(1,) * 4)
    flags = (*tiny(), "--no_html", "--niter", "3", "--niter_decay", "0", "--print_freq", "1")
    assert train(root, tmp_path, *flags) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "are empty" in line]
    assert len(lines) == 1 and lines[0].startswith("warning: since step 1 all masks translated from domain B are empty")
