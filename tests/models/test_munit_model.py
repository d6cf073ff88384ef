"""MUNIT's flags and what training does beyond the golden traces: styles of every row, optional terms, the VGG term."""

import pytest
import torch

from engine.update import Update
from instagan.errors import InputError
from instagan.networks import vgg
from instagan.networks.vgg import DomainInvariantPerceptual
from models import munit_model
from models.munit_model import MunitModel
from options.parse import parse_training
from tests.batches import random_pair, trained_on
from tests.programs import ROOT, draw_set, sentence, train_program

TINY = ("--ngf", "4", "--ndf", "4", "--n_res", "1", "--mlp_dim", "8", "--num_scales", "1")


def model_of(*flags: str) -> MunitModel:
    torch.manual_seed(0)
    return MunitModel.from_options(parse_training(["--dataroot", str(ROOT), "--model", "munit", *TINY, *flags]).values)


def test_published_defaults():
    options = parse_training(["--dataroot", str(ROOT), "--model", "munit"]).values
    assert (options.lr, options.lr_policy, options.lr_halve_steps, options.beta1) == (1e-4, "halve", 100_000, 0.5)
    weights = [options.gan_w, options.recon_x_w, options.recon_s_w, options.recon_c_w, options.recon_x_cyc_w]
    assert weights == [1, 10, 1, 1, 0] and options.vgg_w == 0
    groups = [optimizer.param_groups[0] for optimizer in model_of().optimizers().values()]
    assert [(group["weight_decay"], group["betas"]) for group in groups] == [(1e-4, (0.5, 0.999))] * 2


def test_every_row_and_direction_and_step_of_an_update_has_styles_of_its_own(monkeypatch):
    drawn, draw = [], munit_model.draw_styles
    monkeypatch.setattr(munit_model, "draw_styles", lambda *given: drawn.append(draw(*given)) or drawn[-1])
    trained_on(model_of(), random_pair([0, 1], [1, 0]))
    codes = torch.cat(drawn)
    assert codes.shape == (8, 8) and torch.cdist(codes, codes).fill_diagonal_(1).min() > 0.1


def test_terms_without_weight_are_not_computed_and_others_are():
    pair = random_pair([0], [0])
    usual = {f"{name}_{letter}" for name in ("D", "G", "recon_x", "recon_c", "recon_s") for letter in "AB"}
    assert trained_on(model_of(), pair)[0].keys() == usual
    assert trained_on(model_of("--recon_x_cyc_w", "10"), pair)[0].keys() == usual | {"cyc_A", "cyc_B"}


def test_the_perceptual_term(monkeypatch, tmp_path):
    monkeypatch.setattr(vgg, "WIDTHS", ((1,), (1,), (2,), (2,), (2,)))
    torch.save(DomainInvariantPerceptual().state_dict(), tmp_path / "vgg.pth")
    model = model_of("--vgg_w", "2", "--vgg_weights", str(tmp_path / "vgg.pth"))
    losses, _ = trained_on(model, random_pair([0], [0]))
    assert losses["vgg_A"] > 0 and not any("perceptual" in name for name in model.networks)
    with pytest.raises(InputError, match="--vgg_w needs VGG16's weights"):
        model_of("--vgg_w", "1", "--vgg_weights", str(tmp_path / "none.pth"))


def test_a_pair_of_pictures_is_learned():
    model, pair = model_of("--lr", "2e-3"), random_pair([0], [0])
    found = []
    for _ in range(3):
        for _ in range(8):
            update = Update([pair])
            model.training_step(update)
        losses = update.losses()
        found.append((losses["recon_x_A"] + losses["recon_x_B"]).item())
    assert found[0] > found[1] > found[2]


def test_pictures_that_are_too_small_for_the_scales_are_refused_in_one_sentence(tmp_path, capsys):
    data = draw_set(tmp_path / "data", "train", a=[0], b=[0])
    flags = ["--dataroot", data, "--name", "run", "--model", "munit", "--load_size", 60, "--fine_size", 60]
    told = sentence(capsys, train_program.main, *flags)
    assert "--fine_size_w 60 is too small for --num_scales 3: use 64 or more" in told
