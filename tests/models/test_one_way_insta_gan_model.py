"""One-way InstaGAN: what its two losses say, that one generator is all there is, and that rows keep to themselves."""

import math
from dataclasses import replace

import pytest
import torch

from engine.parallel import ALONE
from instagan import InputError, Translator
from instagan.inference.exporting.mini_batch import OfSet, mini_batch_of
from instagan.losses.mask_agreement import mask_agreement
from instagan.networks.blocks import initialise
from instagan.structures.instances import InstanceBatch
from models.one_way_insta_gan_model import OneWayInstaGanModel
from options.parse import parse_training
from tests.batches import pair_of, random_batch, random_pair, trained_on
from tests.engine.test_parallel import RAGGED, assert_close, trained
from tests.engine.test_resume import assert_same_run
from tests.programs import ROOT, draw_set, sentence, test_program, train
from tests.ranks import on_ranks


def built(*flags: str) -> OneWayInstaGanModel:
    typed = ["--dataroot", str(ROOT), "--model", "one_way_insta_gan", "--ngf", "4", "--ndf", "4", "--netF_nc", "16"]
    torch.manual_seed(0)
    return OneWayInstaGanModel.from_options(parse_training([*typed, *flags]).values)


def moved(batch: InstanceBatch, pixels: int) -> InstanceBatch:
    return replace(batch, given_masks=batch.masks.roll(pixels, 3))


def squares(*lefts: int, slots: int = 3) -> InstanceBatch:
    """A row for each of these; its first slot is a square of 8 pixels a side from there on, its second always at 4."""
    masks = torch.full((len(lefts), slots, 32, 32), -1.0)
    for row, left in enumerate(lefts):
        masks[row, 0, 4:12, left : left + 8] = masks[row, 1, 20:28, 4:12] = 1
    return InstanceBatch.from_masks(torch.zeros(len(lefts), 3, 32, 32), masks)


def test_mask_agreement_is_free_beyond_its_least_and_1_where_nothing_is_shared():
    x = squares(4, 4, 4, 4)
    y = squares(4, 8, 6, 20)  # of the first instance, IoU 1, 1/3, 3/5, 0; of the second 1
    torch.testing.assert_close(mask_agreement(x, y, 0.5), torch.tensor([0, (1 - 2 / 3) / 2, 0, 0.5]))
    torch.testing.assert_close(mask_agreement(x, y, 1.0), torch.tensor([0, 2 / 3 / 2, 2 / 5 / 2, 0.5]))
    assert mask_agreement(random_batch([0, 2]), random_batch([0, 2]), 0.4).tolist() == [0, 0]


def test_mask_agreement_knows_no_order_no_other_rows_and_no_absent_slots():
    x = random_batch([3, 1, 2], slots=4)
    y, order = moved(x, 3), torch.tensor([[2, 0, 3, 1]] * 3)
    values = mask_agreement(x, y, 0.9)
    assert (values > 0).all()
    torch.testing.assert_close(mask_agreement(x.select(order), y.select(order), 0.9), values)
    torch.testing.assert_close(mask_agreement(x.slots(0, 6), y.slots(0, 6), 0.9), values)
    torch.testing.assert_close(torch.cat([mask_agreement(x[[k]], y[[k]], 0.9) for k in range(3)]), values)
    soft = y.masks.clone().requires_grad_()
    mask_agreement(x, replace(y, given_masks=soft), 0.9).sum().backward()
    assert soft.grad[x.present].abs().sum() > 0 and not soft.grad[~x.present].any()


def test_nce_is_about_background_alone_and_least_where_it_is_kept():
    model = built()
    initialise(model.G.image_encoder, "xavier", 1.0)
    initialise(model.H, "xavier", 1.0)
    x = random_batch([1, 2, 0])

    def nce(y: InstanceBatch, of: InstanceBatch = x) -> torch.Tensor:
        return model.background_nce(of, y, [torch.Generator().manual_seed(row) for row in range(len(of))])

    kept, mirrored = nce(x), nce(x.with_image(x.image.flip(3)))
    assert (kept < mirrored - 0.2).all()
    everywhere = replace(x, given_masks=torch.where(x.present[:, :, None, None], 1.0, -1.0).expand_as(x.masks))
    assert nce(everywhere, everywhere)[:2].tolist() == [0, 0] and nce(everywhere, everywhere)[2] > 0
    same = torch.zeros_like(x.image)
    assert nce(x.with_image(same), x.with_image(same)).max() < math.log(256) + 0.1


def test_losses_are_those_of_the_objective_and_no_way_back_is_shown():
    pair = random_pair([3, 0], [1, 2])
    losses, pictures = trained_on(built(), pair)
    assert list(losses) == ["G", "NCE", "mask", "ctx", "idt", "D"] and all(loss > 0 for loss in losses.values())
    assert {source: list(shown) for source, shown in pictures.items()} == {"A": ["real_A", "fake_B"]}
    shown = pictures["A"]["fake_B"]
    assert torch.equal(shown.image[1], pair["A"].image[1]) and not torch.equal(shown.image[0], pair["A"].image[0])
    assert "idt" not in trained_on(built("--lambda_idt", "0"), pair)[0]
    nobody, _ = trained_on(built(), pair_of(random_batch([0]), random_batch([0])))
    assert not nobody or all(loss == 0 for loss in nobody.values())


@pytest.mark.slow
def test_many_processes_or_batches_make_the_update_of_one(tmp_path):
    method = "one_way_insta_gan"
    losses, state = trained(ALONE, method, RAGGED, 4, 1, 3)
    apart, state_apart = trained(ALONE, method, RAGGED, 3, 2, 3)
    for other, of_other in [(apart, state_apart), *on_ranks(2, tmp_path, trained, method, RAGGED, 2, 1, 3)]:
        assert_close(other, losses, 1e-8)
        assert_close(of_other, state, 1e-7)


def test_a_run_has_one_generator_resumes_to_the_bit_and_translates_one_way(tmp_path, capsys):
    data = draw_set(tmp_path / "data", "train", a=(3, 1), b=(2, 1), size=(32, 32))
    flags = ("--name", "run", "--model", "one_way_insta_gan", "--netF_nc", "8", "--niter", "1", "--niter_decay", "1")
    flags += ("--print_freq", "1", "--no_html", "--direction", "BtoA")
    assert train(data, tmp_path / "straight", *flags) == 0
    assert train(data, tmp_path / "stopped", *flags, "--max_steps", "1") == 0
    assert train(data, tmp_path / "stopped", "--name", "run", "--continue_train", "--max_steps", "4") == 0
    kept = torch.load(tmp_path / "straight/run/latest.pth", weights_only=True)
    assert sorted(kept["networks"]) == ["D_A", "F_A", "G_A"]
    assert [(one["source"], one["target"], one["network"]) for one in kept["translators"]] == [("B", "A", "G_A")]
    assert_same_run(tmp_path / "straight/run", tmp_path / "stopped/run", range(1, 5))
    t = Translator.load(tmp_path / "straight/run", device="cpu")  # the only direction there is
    out = t(data / "trainB/b0.png", sorted((data / "trainB_seg").glob("b0_*.png")), strength=[1, 0.5])
    assert t.card["to"] == "a" and out.present == (True, True)
    assert isinstance(mini_batch_of(t.network.generator), OfSet)  # ONNX and torch.export have it
    with pytest.raises(InputError, match="translates to a only"):
        Translator.load(tmp_path / "straight/run", to="b")
    where = ("--dataroot", data, "--checkpoints_dir", tmp_path / "straight", "--name", "run", "--device", "cpu")
    assert "BtoA only" in sentence(capsys, test_program.main, *where, "--direction", "AtoB")


def test_what_cannot_be_is_said():
    for flags, said in (
        (("--nce_layers", "3,19"), "--nce_layers 3,19: the encoder's layers are 0 to 18"),
        (("--least_agreement", "0"), "'0' is not a number of more than 0 and at most 1"),
    ):
        with pytest.raises(InputError, match=said):
            built(*flags)
