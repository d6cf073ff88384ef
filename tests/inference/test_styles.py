"""Translating in styles: a generator of several networks, described and built again; codes, examples, drawn styles."""

import json

import numpy as np
import pytest
import torch

from instagan import InputError, Translator
from instagan.inference.network import Network
from instagan.inference.registry import Description
from instagan.networks.blocks import initialise
from instagan.networks.styled import StyledGenerator
from instagan.structures.one_way import OneWayTranslator
from scripts.export import main as export
from tests.batches import random_batch
from tests.programs import OF_SMALL
from tests.using import tiny_run

PARTS = {"content": "content_A", "style": "style_B", "decoder": "decoder_B"}


@pytest.fixture(scope="module")
def generator() -> StyledGenerator:
    torch.manual_seed(0)
    made = StyledGenerator.of(ngf=4, blocks=1, style_size=3, mlp_width=8)
    initialise(made, "kaiming")
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def t(generator) -> Translator:
    return Translator(Network(OneWayTranslator(generator, ("style",)), described(generator)))


def described(generator: StyledGenerator) -> Description:
    told = {"source": "A", "target": "B", "parts": PARTS, **OneWayTranslator(generator, ("style",)).description()}
    return Description.read(json.loads(json.dumps(told)), "x.pth")


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pixels(translation) -> np.ndarray:
    return np.asarray(translation.picture)


def test_a_description_builds_the_same_generator_of_its_parts_again(generator):
    told = described(generator)
    assert Description.read(told.as_entry(), "x.pth") == told and told.config["style_size"] == 3
    networks = told.split(generator.state_dict())
    assert {name: set(weights) for name, weights in networks.items()} == {
        name: set(getattr(generator, role).state_dict()) for role, name in PARTS.items()
    }
    again = told.build(told.joined(networks), "x.pth")
    source, style = random_batch([0, 0]), torch.randn(2, 3)
    assert torch.equal(again(source, style=style).image, generator(source, style=style).image)
    networks["style_B"].popitem()
    with pytest.raises(InputError, match="x.pth does not fit its generator .*style.layers.* is missing"):
        told.build(told.joined(networks), "x.pth")


def test_entries_with_one_network_are_read_and_written_as_ever():
    entry = {"source": "A", "target": "B", "network": "G_A", "kind": "set", "config": {"ngf": 4, "blocks": 1}}
    entry |= {"needs": ["masks"], "ins_per": 2, "set_order": "decreasing"}
    told = Description.read(entry, "x.pth")
    assert told.parts == {"": "G_A"} and told.as_entry() == entry
    weights = {"image_encoder.1.bias": torch.zeros(4)}
    assert told.joined({"G_A": weights}) == weights and told.split(weights) == {"G_A": weights}
    for wrong in ({}, {"content": 3}, []):
        with pytest.raises(InputError, match="x.pth is damaged"):
            Description.read({**{k: v for k, v in entry.items() if k != "network"}, "parts": wrong}, "x.pth")


def test_drawn_styles_differ_and_follow_the_random_seed(t):
    image = picture(21, 30)
    drawn = t.draw_styles(20, seed=1)
    assert drawn.shape == (20, 3) and not torch.equal(drawn, t.draw_styles(20, seed=2))
    assert torch.equal(drawn[:4], t.draw_styles(4, seed=1))
    made = t.batch([image] * 4, style=drawn[:4])
    assert made[0].picture.size == (30, 21) and made[0].masks == []
    assert all((pixels(made[0]) != pixels(other)).mean() > 0.5 for other in made[1:])
    for wrong in ({"count": 0}, {"count": 1, "seed": -1}):
        with pytest.raises(InputError, match="must be a whole number of"):
            t.draw_styles(**wrong)


def test_the_same_call_gives_the_same_picture(t):
    images = [picture(21, 30), picture(33, 18, 1)]
    first = [t(image) for image in images]
    torch.manual_seed(5)
    for one, again, together, told in zip(
        first, map(t, images), t.batch(images), t.batch(images, style=t.draw_styles(1)), strict=True
    ):
        assert (pixels(one) == pixels(again)).all()
        assert (pixels(one) == pixels(together)).all() and (pixels(one) == pixels(told)).all()


def test_a_model_without_styles_draws_none_and_takes_none():
    plain = Translator(Network(OneWayTranslator(lambda batch: batch)))
    assert not plain.has_styles
    with pytest.raises(InputError, match="translates without a style, so there is none to draw"):
        plain.draw_styles(2)
    with pytest.raises(InputError, match="translates without a style; drop it"):
        plain(picture(20, 20), style=[0.0, 1.0])


def test_codes_and_examples_as_one_picture_and_as_many(t, generator):
    images = [picture(20, 24), picture(33, 18, 1), picture(20, 24, 2)]
    codes = np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32)
    together = t.batch(images, style=codes)
    for image, code, made in zip(images, codes, together, strict=True):
        for form in (code, code.tolist(), torch.from_numpy(code)[None]):
            alone = t(image, style=form)
            assert np.abs(pixels(alone).astype(int) - pixels(made)).max() <= 1
    example = picture(40, 25, 3)
    padded = torch.from_numpy(np.pad(example, ((0, 0), (0, 3), (0, 0)), mode="reflect")).permute(2, 0, 1)
    encoded = generator.style(padded[None] / 127.5 - 1)
    by_example, by_code = t.batch(images, style=example), t.batch(images, style=encoded)
    for one, other in zip(by_example, by_code, strict=True):
        assert np.abs(pixels(one).astype(int) - pixels(other)).max() <= 1
    large = t(images[0], style=codes[0], max_side=16)
    assert large.picture.size == (24, 20) and (pixels(large) != images[0]).any()


@pytest.mark.parametrize(
    "style, said",
    [
        ([1.0, 2.0], r"a style of this model has 3 numbers, not \(2,\)"),
        (np.zeros((2, 3)), "there are 2 styles for 1 images; pass one, or one for each"),
        ([[1.0, float("nan"), 0.0]], "a style must be an image, or a list of numbers"),
        (["a", "b"], "a style must be an image, or a list of numbers"),
        (picture(8, 30), "a style image of 32x8 pixels is too small; use 16 or more a side"),
        ("nowhere.png", "nowhere.png: no such file"),
    ],
)
def test_a_style_that_cannot_be_is_one_sentence(t, style, said):
    with pytest.raises(InputError, match=said):
        t(picture(20, 20), style=style)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_a_run_and_its_export_translate_as_the_model(tmp_path, direction):
    flags = ("--n_res", "1", "--style_dim", "3", "--mlp_dim", "8", "--direction", direction, *OF_SMALL["munit"])
    run, model = tiny_run(tmp_path, "run", "--model", "munit", *flags)
    file = tmp_path / "out" / "model.safetensors"
    assert export(["--model", str(run.path), "--output", str(file)]) == 0
    batch, examples = random_batch([2, 0]), random_batch([0, 1], seed=1)
    for to in "ab":
        letter = to if direction == "AtoB" else {"a": "b", "b": "a"}[to]
        for style in (torch.tensor([[1.0, -1.0, 0.5]]), examples, examples[:1]):
            expected = model.translate(batch, letter, style).image
            for path in (run.path, run.checkpoint("latest"), file):
                t = Translator.load(path, to=to, device="cpu")
                torch.testing.assert_close(t.network.run(batch, style=style).image, expected, rtol=0, atol=2e-5)
        held = sum(weight.numel() for weight in t.network.generator.parameters())
        assert held == sum(
            weight.numel() for role in PARTS for weight in model.networks[f"{role}_{letter.upper()}"].parameters()
        )
