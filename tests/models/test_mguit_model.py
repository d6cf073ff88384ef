"""MGUIT's flags and what training does beyond the golden traces: empty classes, the memory as state, reading."""

from __future__ import annotations

import pytest
import torch

from engine.schedule import Progress
from engine.update import Update
from instagan import Translator
from instagan.errors import InputError
from models.mguit_model import MguitModel
from options.parse import parse_training
from tests.batches import random_pair, trained_on
from tests.programs import OF_SMALL, ROOT, draw_set, sentence, train, translate
from tests.programs import test_program as program
from tests.using import tiny_run

TINY = ("--ngf", "4", "--ndf", "4", "--fine_size", "32", "--load_size", "36", *OF_SMALL["mguit"])
PUBLISHED = ("--memory_losses", "published", "--memory_detached", "--memory_decay")


def model_of(*flags: str) -> MguitModel:
    torch.manual_seed(0)
    return MguitModel.from_options(
        parse_training(["--dataroot", str(ROOT), "--model", "mguit", *TINY, *flags]).values
    )


def test_published_defaults():
    options = parse_training(["--dataroot", str(ROOT), "--model", "mguit"]).values
    assert (options.lr, options.beta1, options.weight_decay, options.d_iter) == (1e-4, 0.5, 1e-4, 3)
    assert options.memory_items == [10, 5, 2, 3] and options.memory_noise == 0.1
    weights = [options.gan_w, options.content_w, options.cycle_w, options.recon_w, options.recon_c_w]
    assert weights == [1, 1, 50, 10, 1] and (options.style_w, options.small_w) == (0.01, 0.01)
    assert model_of().optimizer_content.param_groups[0]["lr"] == pytest.approx(4e-5)


@pytest.mark.parametrize("flags", [(), PUBLISHED], ids=["intended", "published"])
@pytest.mark.parametrize("counts", [([0], [0]), ([2], [0]), ([3], [1])], ids=str)
def test_images_without_boxes_and_empty_classes_train(flags, counts):
    model = model_of(*flags)
    before = model.memory.keys.clone()
    losses, pictures = trained_on(model, random_pair(*counts))
    assert all(loss.isfinite() for loss in losses.values())
    assert all(weight.isfinite().all() for weight in model.state_dict().values())
    moved = (model.memory.keys != before).any(1)
    assert moved[:10].any() and moved[10:15].any() == (0 not in (counts[0][0], counts[1][0])) and not moved[15:].any()
    assert {kind: list(shown) for kind, shown in pictures.items()} == {
        "A": ["real_A", "fake_B", "rand_B", "rec_A"], "B": ["real_B", "fake_A", "rand_A", "rec_B"],
    }  # fmt: skip


def test_gradients_reach_style_encoders_through_the_memory_unless_it_is_detached():
    for flags, through in (((), True), (("--memory_detached",), False)):
        model, pair = model_of("--style_w", "0", "--memory_w", "0", *flags), random_pair([1], [1])
        before = [weight.clone() for weight in model.networks["style_A"].parameters()]
        model.optimizer_G.param_groups[0]["weight_decay"] = 0.0
        trained_on(model, pair)
        moved = [not torch.equal(*both) for both in zip(before, model.networks["style_A"].parameters(), strict=True)]
        assert any(moved) == through


def test_only_full_updates_change_more_than_the_content_discriminator():
    model = model_of("--d_iter", "3")
    for number in range(3):
        before = {name: tensor.clone() for name, tensor in model.networks.state_dict().items()}
        model.training_step(Update([random_pair([1], [1])], progress=Progress(steps=number)))
        after = model.networks.state_dict()
        changed = {name.partition(".")[0] for name, one in after.items() if not torch.equal(one, before[name])}
        assert changed == ({"D_content"} if number < 2 else set(model.networks))


def test_a_temperature_of_zero_reads_nothing_and_is_refused():
    with pytest.raises(InputError, match="--memory_temperature: '0' is not a number of more than 0"):
        model_of("--memory_temperature", "0")


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory):
    root = tmp_path_factory.mktemp("mguit")
    data = draw_set(root / "data", "train", a=[2, 1], b=[1, 3])
    draw_set(data, "val", a=[2, 0], b=[1, 2])
    flags = ("--name", "run", "--model", "mguit", *OF_SMALL["mguit"], "--niter", "1", "--niter_decay", "0")
    assert train(data, root, *flags) == 0
    return data, root


def test_reading_by_class_looks_at_boxes_and_reading_by_all_items_does_not(trained_run, tmp_path):
    data, root = trained_run
    made = []
    for number, flags in enumerate(((), ("--by_class",))):
        assert translate(data, root, tmp_path / str(number), "--name", "run", "--phase", "val", *flags) == 0
        made.append({path.name: path.read_bytes() for path in (tmp_path / str(number)).rglob("*_fake_B.png")})
    assert made[0].keys() == made[1].keys() and made[0]["a0_fake_B.png"] != made[1]["a0_fake_B.png"]


def test_the_memory_is_read_unless_styles_are_drawn_and_no_style_comes_from_an_image(trained_run, tmp_path, capsys):
    data, root = trained_run
    t = Translator.load(root / "run", to="b", device="cpu")
    image = data / "valA" / "a0.png"
    own = t.network.translator.own_style
    assert own.shape == (20 * 8,) and t.has_styles
    plain, same, other = t(image), t(image, style=own), t(image, style=t.draw_styles(1)[0])
    assert plain.picture.tobytes() == same.picture.tobytes() != other.picture.tobytes()
    assert t.batch([image, image], style=torch.stack([own, own]))[1].picture.tobytes() == plain.picture.tobytes()
    with pytest.raises(InputError, match="takes no style from an image"):
        t(image, style=image)
    flags = ["--dataroot", data, "--checkpoints_dir", root, "--name", "run", "--results_dir", tmp_path]
    told = sentence(capsys, program.main, *flags, "--phase", "val", "--device", "cpu", "--style_image", image)
    assert "takes no style from an image; ask for drawn styles, or for none" in told
    assert translate(data, root, tmp_path, "--name", "run", "--phase", "val", "--styles", "2") == 0
    found = [path.read_bytes() for path in sorted((tmp_path / "run" / "val_latest").glob("a0_fake_B_style*.png"))]
    assert len(found) == 2 and found[0] != found[1]


def test_a_572_wide_image_comes_back_572_wide(tmp_path):
    run, _ = tiny_run(tmp_path, "run", "--model", "mguit", *OF_SMALL["mguit"], "--upsample", "resize_conv")
    t = Translator.load(run.path, to="a", device="cpu")
    for width, height in ((572, 24), (571, 23)):
        pixels = torch.rand(3, height, width)
        assert t(pixels).picture.size == (width, height)
