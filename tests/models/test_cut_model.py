"""CUT's flags, and what a training step reports and shows; its numbers are in test_cut_parity.py."""

import pytest
import torch

from instagan.errors import InputError
from models.cut_model import CutModel, Objective
from options.parse import parse_training
from tests.batches import random_pair, trained_on
from tests.programs import ROOT


def built(*flags: str) -> CutModel:
    typed = ["--dataroot", str(ROOT), "--model", "cut", "--ngf", "2", "--ndf", "2", *flags]
    torch.manual_seed(0)
    return CutModel.from_options(parse_training(typed).values)


def test_cut_and_fast_cut_have_the_published_weights_and_flags_win():
    assert built().objective == Objective()
    assert built("--CUT_mode", "FastCUT").objective == Objective(1.0, 10.0, False, True)
    typed = ("--lambda_NCE", "3", "--nce_idt", "True", "--flip_equivariance", "false", "--num_patches", "7")
    chosen = Objective(lambda_nce=3.0, patches=7, layers=(2, 9), temperature=0.5)
    assert built("--CUT_mode", "FastCUT", *typed, "--nce_layers", "2,9", "--nce_T", "0.5").objective == chosen


def test_the_published_schedule_and_initial_weights_are_the_defaults():
    options = parse_training(["--dataroot", str(ROOT), "--model", "cut"]).values
    assert (options.niter, options.niter_decay, options.init_type) == (200, 200, "xavier")
    options = parse_training(["--dataroot", str(ROOT), "--model", "cut", "--niter", "7"]).values
    assert (options.niter, options.niter_decay) == (7, 200)


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (("--nce_layers", "0,21"), "--nce_layers 0,21: the encoder's layers are 0 to 20"),
        (("--nce_layers", "18", "--netG", "resnet_6blocks"), "--nce_layers 18: the encoder's layers are 0 to 17"),
        (("--nce_layers", "4,-1"), "'4,-1' is not a list of whole numbers such as 0,4,8"),
        (("--nce_idt", "perhaps"), "'perhaps' is not true or false"),
    ],
)
def test_what_cannot_be_is_said(flags, sentence):
    with pytest.raises(InputError) as raised:
        built(*flags)
    assert sentence in str(raised.value)


def test_losses_are_those_of_the_objective_and_no_way_back_is_shown():
    losses, pictures = trained_on(built(), random_pair([1, 0], [0, 2]))
    assert list(losses) == ["D", "G", "NCE", "NCE_Y"] and all(loss > 0 for loss in losses.values())
    assert {source: list(shown) for source, shown in pictures.items()} == {"A": ["real_A", "fake_B"]}
    losses, _ = trained_on(built("--CUT_mode", "FastCUT"), random_pair([1, 0], [0, 2]))
    assert list(losses) == ["D", "G", "NCE"]


def test_some_rows_are_translated_mirrored_and_shown_as_they_were_read():
    pair, model = random_pair([0] * 8, [0] * 8), built("--CUT_mode", "FastCUT", "--init_gain", "1")
    straight = model.translate(pair["A"]).image
    mirrored = model.translate(pair["A"].with_image(pair["A"].image.flip(-1))).image.flip(-1)
    _, pictures = trained_on(model, pair)
    shown = pictures["A"]["fake_B"].image
    assert torch.equal(pictures["A"]["real_A"].image, pair["A"].image)
    as_read, as_mirrored = (
        torch.isclose(shown, expected, atol=1e-4).flatten(1).all(1) for expected in (straight, mirrored)
    )
    assert torch.equal(as_read, ~as_mirrored) and 0 < as_read.sum() < 8
