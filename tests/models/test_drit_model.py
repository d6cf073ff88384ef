"""DRIT beyond the golden traces: its schedule, its two phases, what is drawn, concat mode, flags and small images."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from engine.freezing import frozen
from engine.schedule import Progress
from engine.update import Update
from instagan.inference.registry import Description
from instagan.structures.instances import InstanceBatch
from models.drit_model import Content, DritModel
from options.parse import parse_training
from tests.batches import pair_of, random_batch, random_pair, rows_of
from tests.programs import OF_SMALL, ROOT, draw_set, sentence, train, train_program, translate

TINY = ("--ngf", "3", "--ndf", "2", *OF_SMALL["drit"])
MODES = pytest.mark.parametrize("concat", ["1", "0"], ids=["concat", "feature-wise"])


def model_of(*flags: str) -> DritModel:
    torch.manual_seed(0)
    return DritModel.from_options(parse_training(["--dataroot", str(ROOT), "--model", "drit", *TINY, *flags]).values)


def weights_of(model: DritModel) -> dict[str, list[Tensor]]:
    return {name: [one.detach().clone() for one in of.parameters()] for name, of in model.networks.items()}


def moved(before: dict[str, list[Tensor]], after: dict[str, list[Tensor]]) -> set[str]:
    return {
        name
        for name, weights in before.items()
        if any(not torch.equal(*pair) for pair in zip(weights, after[name], strict=True))
    }


def turn_of(model: DritModel, pair):
    update = Update([pair])
    return model.turn(None, pair, update.generators(pair))


def test_published_defaults():
    sizes = ("--load_size", "256", "--fine_size", "216")
    options = parse_training(["--dataroot", str(ROOT), "--model", "drit", *sizes]).values
    assert (options.concat, options.d_iter, options.dis_scale, options.dis_norm) == (1, 3, 3, "none")
    assert (options.niter, options.niter_decay, options.lr, options.content_layers) == (600, 600, 1e-4, 3)
    model = model_of()
    groups = {name: optimizer.param_groups[0] for name, optimizer in model.optimizers().items()}
    assert {name: group["lr"] for name, group in groups.items()} == {
        "G": 1e-4,
        "attribute": 1e-4,
        "D": 1e-4,
        "content": pytest.approx(4e-5),
    }
    assert all((group["betas"], group["weight_decay"]) == ((0.5, 0.999), 1e-4) for group in groups.values())
    trained = [weight for group in groups.values() for weight in group["params"]]
    assert len(trained) == len(set(trained)) == len(list(model.networks.parameters()))


@MODES
def test_of_three_updates_two_train_the_content_discriminator_alone(concat):
    model, pair, steps = model_of("--concat", concat), random_pair([0], [0]), []
    every = {name for name, network in model.networks.items() if any(True for _ in network.parameters())}
    for step in range(5):
        before, update = weights_of(model), Update([pair], progress=Progress(steps=step))
        model.training_step(update)
        losses = update.losses()
        changed = moved(before, weights_of(model))
        steps.append(update.whole)
        assert changed == (every if update.whole else {"D_content"})
        assert (set(losses) == {"D_content"}) == (not update.whole)
        assert set(update.pictures) == ({"A", "B"} if update.whole else set())
    assert steps == [False, False, True, False, False]
    kinds = ("D", "D_random", "G", "G_content", "recon", "cyc", "kl", "small", "G_random", "latent", "modes")
    update = Update([pair], progress=Progress(steps=5))
    model.training_step(update)
    assert set(update.losses()) == {"D_content"} | {f"{kind}_{letter}" for kind in kinds for letter in "AB"}


@MODES
def test_the_second_phase_leaves_attribute_encoders_alone_and_sees_what_the_first_one_stepped(concat, monkeypatch):
    model, pair, seen = model_of("--concat", concat, "--d_iter", "1"), random_pair([0], [0]), []
    model.optimizer_G.register_step_post_hook(lambda *_: seen.append(weights_of(model)))
    before, contents, encode = weights_of(model), [], model.contents
    monkeypatch.setattr(model, "contents", lambda turn: contents.append(encode(turn)) or contents[-1])
    model.training_step(Update([pair]))
    first, second = seen
    encoders = {"attribute_A", "attribute_B"}
    generators = {"stem_A", "stem_B", "decoder_A", "decoder_B", "shared"}
    judges = {"D_A", "D_B", "D_random_A", "D_random_B", "D_content"}
    assert moved(before, first) == judges | generators  # attribute encoders are stepped after, with the same gradients
    assert moved(first, weights_of(model)) == encoders | generators
    assert moved(second, weights_of(model)) == set()
    assert moved(first, second) == encoders | generators
    earlier, later = contents[-2:]
    assert not torch.equal(earlier["A"].features, later["A"].features)


def test_second_phase_alone_steps_no_attribute_encoder():
    model, pair = model_of("--d_iter", "1"), random_pair([0], [0])
    phases = []
    model.optimizer_G.register_step_pre_hook(
        lambda *_: phases.append([weight.grad is not None for one in model.attributes for weight in one.parameters()])
    )
    model.training_step(Update([pair]))
    assert all(phases[0]) and not any(phases[1])


def test_contents_are_taught_by_their_discriminator_which_is_not_taught_by_them():
    model, pair = model_of(), random_pair([0], [0])
    with frozen(model.D_content):
        losses = next(model.encoded_losses(None, turn_of(model, pair)))
    for letter, other in ("AB", "BA"):
        model.zero_grad()
        losses[f"G_content_{letter}"].mean().backward(retain_graph=True)
        gradients = {name: sum(w.grad is not None for w in one.parameters()) for name, one in model.networks.items()}
        assert gradients[f"stem_{letter}"] and gradients["shared"] and not gradients[f"stem_{other}"]
        assert not gradients["D_content"] and not gradients[f"decoder_{letter}"]
        assert any(weight.grad.abs().max() > 0 for weight in model.networks[f"stem_{letter}"].parameters())


@MODES
def test_a_row_of_a_batch_learns_what_it_learns_alone(concat):
    pair, losses = random_pair([0, 0], [0, 0]), []
    for batches in ([pair], [rows_of(pair, slice(0, 1)), rows_of(pair, slice(1, 2))]):
        model = model_of("--concat", concat, "--d_iter", "1").double()
        found = []
        for step in range(2):
            update = Update(
                [one.changed(lambda batch: batch.with_image(batch.image.double())) for one in batches],
                progress=Progress(steps=step),
            )
            model.training_step(update)
            found.append(torch.stack(list(update.losses().values())))
        losses.append(torch.stack(found))
    torch.testing.assert_close(*losses, rtol=1e-10, atol=1e-9)


def test_noise_and_attributes_are_drawn_for_each_row_and_step_and_nothing_else_is():
    model, pair = model_of(), random_pair([0, 0], [0, 0])
    state = torch.get_rng_state()
    turn = turn_of(model, pair)
    assert torch.equal(torch.get_rng_state(), state)
    assert turn.noise["A"].shape == (2, 12, 8, 8) and turn.z.shape == turn.spread["B"].shape == (2, 8)
    drawn = [turn.noise, turn.noise_again, turn.spread, turn.spread_again, {"A": turn.z, "B": turn.z_other}]
    rows = torch.stack([row.flatten()[:8] for one in drawn for letter in "AB" for row in one[letter]])
    assert torch.cdist(rows, rows).fill_diagonal_(1).min() > 0.1
    again = turn_of(model, pair)
    assert torch.equal(again.noise["B"], turn.noise["B"]) and torch.equal(again.z, turn.z)
    later = Update([pair], progress=Progress(steps=1))
    assert not torch.equal(model.turn(None, pair, later.generators(pair)).z, turn.z)


def test_images_of_the_domains_may_differ_in_size():
    model, pair = model_of("--d_iter", "1"), pair_of(random_batch([0], side=32), random_batch([0], side=48))
    update = Update([pair])
    model.training_step(update)
    assert all(loss.isfinite() for loss in update.losses().values())
    assert update.pictures["A"]["fake_B"].image.shape[2:] == (32, 32)


def test_attributes_are_drawn_around_their_means_and_pulled_to_the_normal_distribution(monkeypatch):
    model = model_of()
    mean, spread = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 3.0]])
    deviation = torch.tensor([[2.0, 0.1]])
    monkeypatch.setattr(model.domains["A"].attribute, "distribution", lambda image: (mean, deviation.square().log()))
    code, far = model.attribute("A", torch.zeros(1, 3, 32, 32), spread)
    torch.testing.assert_close(code, torch.tensor([[2.0, -1.7]]))
    found = kl_divergence(Normal(mean, deviation), Normal(0, 1))
    torch.testing.assert_close(far, found.sum(1))


@MODES
def test_translating_has_no_noise_and_takes_the_mean_of_an_example(concat):
    model, x, example = model_of("--concat", concat), random_batch([0]), random_batch([0], seed=5)
    code = model.domains["B"].attribute.distribution(example.image)[0].detach()
    with_code, with_example = (model.translate(x, "b", style).image for style in (code, example))
    torch.testing.assert_close(with_code, with_example)
    assert torch.equal(model.translate(x, "b", code).image, with_code)
    content = Content(model.shared.content(model.domains["A"].stem(x.image)))
    torch.testing.assert_close(model.decode("B", content, code), with_code)
    assert not torch.allclose(model.translate(x, "b", code + 1).image, with_code, atol=1e-6)


def test_a_pair_of_images_is_learned():
    model, found = model_of("--lr", "1e-2", "--d_iter", "1"), []
    pair = random_pair([0], [0]).changed(lambda batch: batch.with_image(batch.image * 0.1 + 0.6))
    for step in range(12):
        update = Update([pair], progress=Progress(steps=step))
        model.training_step(update)
        losses = update.losses()
        found.append((losses["recon_A"] + losses["recon_B"]).item())
    assert sum(found[:3]) > 1.2 * sum(found[-3:])


def test_mode_seeking_can_be_left_out():
    update = Update([random_pair([0], [0])])
    model_of("--d_iter", "1", "--modes_w", "0").training_step(update)
    assert not any(name.startswith("modes") for name in update.losses())


def test_mode_seeking_divides_by_the_distance_of_images_and_a_number_that_bounds_it():
    apart = []
    for added in (1e-5, 0.5):
        update = Update([random_pair([0], [0])])
        model_of("--d_iter", "1", "--modes_eps", str(added)).training_step(update)
        apart.append(1 / update.losses()["modes_A"].item() - added)
    assert apart[0] > 0 and apart[0] == pytest.approx(apart[1], rel=1e-3)


@pytest.mark.parametrize(
    ("flags", "layers"),
    [
        (("--fine_size", "212"), 3),
        (("--fine_size_w", "512", "--fine_size_h", "208", "--load_size", "512"), 2),
        (("--fine_size", "64"), 1),
        (("--fine_size", "32"), 0),
        (("--resize_or_crop", "scale_width"), 3),
        (("--fine_size", "64", "--content_layers", "0"), 0),
    ],
    ids=str,
)
def test_the_content_discriminator_is_as_deep_as_images_allow(flags, layers):
    options = parse_training(["--dataroot", str(ROOT), "--model", "drit", "--dis_scale", "2", *flags]).values
    assert options.content_layers == layers
    assert len(DritModel.remarks(options)) == (layers < 3)


def test_what_it_cannot_judge_is_refused_in_one_sentence(tmp_path, capsys):
    data = draw_set(tmp_path / "data", "train", a=[0], b=[0])
    flags = ["--dataroot", data, "--name", "run", "--model", "drit", "--load_size", 60, "--fine_size", 60]
    told = sentence(capsys, train_program.main, *flags)
    assert "--fine_size_w 60 is too small for --dis_scale 3: use 64 or more" in told
    told = sentence(capsys, train_program.main, *flags, "--dis_scale", 2, "--content_layers", 3)
    assert "--fine_size_w 60 is too small for --content_layers 3: use 212 or more" in told


def test_a_small_run_says_so_and_translates_larger_images(tmp_path, capsys):
    data = draw_set(draw_set(tmp_path / "data", "train", a=[0], b=[0]), "val", a=[0], b=[0])
    flags = ("--name", "run", "--model", "drit", *TINY, "--max_steps", "3", "--no_html", "--print_freq", "1")
    assert train(data, tmp_path, *flags, "--niter", "3") == 0
    said = capsys.readouterr().out
    assert "content discriminator: 0 of the 3 strided layers that images from 212 pixels on have" in said
    larger = ("--phase", "val", "--load_size", "64", "--fine_size", "64")
    assert translate(data, tmp_path, tmp_path / "results", "--name", "run", *larger) == 0


@MODES
@pytest.mark.parametrize("upsample", ["transposed", "resize_conv"])
def test_the_registry_builds_the_same_generator(concat, upsample):
    """A checkpoint tells of the upsampling only where it is not what was published."""
    model = model_of("--concat", concat, "--upsample", upsample)
    for translator in model.translators().values():
        told = translator.description()
        assert ("upsample" in told["config"]) == (upsample == "resize_conv")
        parts = {name: name for name, _ in translator.generator.named_children()}
        description = Description.read({"source": "A", "target": "B", "parts": parts, **told}, "here")
        twin = description.build(translator.generator.state_dict(), "here")
        x, code = random_batch([0]), torch.randn(1, 8)
        assert torch.equal(twin(x, style=code).image, translator(x, style=code).image)
        assert twin(InstanceBatch.from_images(x.image)).image.shape == x.image.shape
