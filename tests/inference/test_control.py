"""Which instances are translated, in which order and how strongly: batches, ``Translator``, test.py, translate."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from instagan import InputError, Translator
from instagan.cli.main import main
from instagan.cli.web.handling import UPLOADED, Desk, Order
from instagan.inference.control import Control
from instagan.networks.blocks import initialise
from instagan.networks.generators import SetGenerator
from instagan.structures.instances import InstanceBatch
from instagan.structures.one_way import OneWayTranslator
from tests.batches import assert_same, random_batch
from tests.programs import draw_set, sentence, test_program, translate
from tests.using import tiny_run, with_small_masks


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("runs"))[0]


@pytest.fixture(scope="module")
def t(run) -> Translator:
    return Translator.load(with_small_masks(run), device="cpu")


@pytest.fixture(scope="module")
def generator() -> SetGenerator:
    torch.manual_seed(0)
    made = SetGenerator(4, blocks=1).eval().requires_grad_(False)
    initialise(made, "xavier", 1.0)
    return made


def drawn(counts: list[int]) -> InstanceBatch:
    """Rows with so many instances, ranks and strengths."""
    batch = random_batch(counts, slots=4)
    ranks = torch.tensor([[2, 0, 1, 3]] * len(counts))
    strengths = torch.tensor([[0.2, 0.5, 1.0, 0.7]] * len(counts))
    return replace(batch, ranks=ranks, strengths=strengths)


def picture(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3), and masks (3, H, W), the second the largest and the first the smallest."""
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 44, 3), dtype=np.uint8)
    masks = np.zeros((3, 40, 44), bool)
    masks[0, 2:8, 3:9] = masks[1, 12:26, 20:34] = masks[2, 28:36, 4:14] = True
    return pixels, masks


@pytest.mark.parametrize("ins_per", [1, 2])
def test_masks_with_their_strengths_and_ranks_have_no_order(generator, ins_per):
    batch, order = drawn([4, 2, 0]), torch.tensor([[2, 0, 3, 1]] * 3)
    translator = OneWayTranslator(generator, ("masks",), ins_per)
    whole, permuted = translator(batch), translator(batch.select(order))
    assert_same(permuted, whole.select(order), tolerance=1e-4)
    rows = [translator(batch[[row]]) for row in range(3)]
    assert_same(InstanceBatch.cat(rows), whole, tolerance=1e-4)


def test_ranks_tell_the_order_and_the_rest_follow_in_the_models_own():
    seen = []

    def generator(x):
        seen.append(int((x.masks[0, 0] > 0).sum()))
        return x

    masks = torch.full((1, 4, 8, 8), -1.0)
    for slot, area in enumerate((3, 9, 5, 0)):
        masks[0, slot].view(-1)[:area] = 1.0
    source = InstanceBatch.from_masks(torch.zeros(1, 3, 8, 8), masks)
    OneWayTranslator(generator, ("masks",), 1)(Control.of(order=[2]).on(source, [[0, 1, 2]]))
    OneWayTranslator(generator, ("masks",), 1)(Control.of(order=[0, 2], instances=[1, 0]).on(source, [[0, 1, 2]]))
    assert seen == [5, 9, 3, 3, 9]


@pytest.mark.parametrize("ins_per", [1, 2])
def test_half_of_the_strength_is_half_of_the_way_where_the_instance_is(generator, ins_per):
    batch = random_batch([3, 1, 0])
    translator = OneWayTranslator(generator, ("masks",), ins_per)
    full = translator(batch)
    as_trained, half = (translator(replace(batch, strengths=torch.full((3, 3), s))) for s in (1.0, 0.5))
    assert_same(as_trained, full)
    belongs = (torch.maximum(batch.masks, full.masks) == 1).any(1, keepdim=True)  # (3, 1, H, W)
    assert belongs.any()
    between = (batch.image + full.image) / 2
    torch.testing.assert_close(*(one[belongs.expand_as(one)] for one in (half.image, between)), rtol=0, atol=1e-5)
    torch.testing.assert_close(half.masks, (batch.masks + full.masks) / 2)
    nobody = (torch.maximum(batch.masks, full.masks) == -1).all(1, keepdim=True).expand_as(full.image)
    assert torch.equal(half.image[nobody], full.image[nobody])
    fewer = translator(replace(batch, strengths=torch.full((3, 3), 0.5)), ins_max=1)  # the others are background
    assert torch.equal(fewer.present, translator(batch, ins_max=1).present)
    assert (fewer.masks[~fewer.present] == -1).all()


def test_those_that_are_left_out_are_as_if_nobody_had_told_of_them(t):
    pixels, masks = picture()
    told = t(pixels, [masks[0], np.zeros_like(masks[0]), masks[2]])
    for how in ({"instances": [0, 2]}, {"strength": [1, 0, 1]}, {"instances": [2, 0], "order": [2, 0]}):
        out = t(pixels, masks, **how)
        assert out.present == (True, False, True) and not out.inside[1].any()
        assert np.array_equal(np.asarray(out.picture), np.asarray(told.picture)) or "order" in how
    assert t(pixels, masks, strength=0).unchanged


@pytest.mark.parametrize("large", [{}, {"crop_instances": True}, {"max_side": 24}], ids=str)
def test_strength_0_leaves_every_pixel_of_the_instance_where_the_background_is_kept(t, large):
    pixels, masks = picture()
    out = t(pixels, masks, strength=[0, 1, 0.5], paste_background=True, feather=0, **large)
    changed = (np.asarray(out.picture) != pixels).any(2)
    assert not (changed & masks[0] & ~out.inside.any(0)).any()
    assert (changed & masks[1]).any() and (changed & masks[2]).any()
    if "max_side" not in large:  # which shrinks, and so blurs, whatever the strength
        made = (t(pixels, masks, strength=s, instances=[2], **large).picture for s in (1, 0.25))
        apart = [np.abs(np.asarray(one, int) - pixels)[masks[2]].mean() for one in made]
        assert apart[1] < 0.3 * apart[0]


def test_the_order_matters_to_the_networks_also_in_crops(t):
    pixels, masks = picture()
    for how in ({}, {"crop_instances": True, "max_side": 32}):
        orders = None, [1, 2, 0], [0, 2, 1]
        own, same, other = (np.asarray(t(pixels, masks, ins_per=1, order=one, **how).picture) for one in orders)
        assert np.array_equal(own, same) and not np.array_equal(own, other)


@pytest.mark.parametrize(
    "how, said",
    [
        ({"instances": [3]}, "instances tells of mask 3, and the masks are 0, 1, 2; pass the number of one"),
        ({"order": [0, 0]}, r"order=\[0, 0\] must be a list of different mask numbers, counted from 0"),
        ({"instances": "0"}, "instances='0' must be a list of different mask numbers"),
        ({"strength": 1.5}, "strength=1.5 must be a number from 0 to 1"),
        ({"strength": [1, 1, 1, 1]}, "strength tells of mask 3, and the masks are 0, 1, 2"),
        ({"strength": []}, "strength=.* must be a number from 0 to 1, or a list with one for each mask"),
    ],
)
def test_what_cannot_be_asked_for_is_a_sentence(t, how, said):
    with pytest.raises(InputError, match=said):
        t(*picture(), **how)


def test_several_pictures_are_asked_alike_and_numbers_that_one_lacks_are_passed_over(t):
    pixels, masks = picture()
    many, few = t.batch([(pixels, masks), (pixels, masks[:1])], instances=[2], strength=0.5)
    assert many.present == (False, False, True) and few.unchanged
    alone = t(pixels, masks, instances=[2], strength=0.5)
    assert np.array_equal(np.asarray(many.picture), np.asarray(alone.picture))


def test_test_py_asks_by_the_numbers_of_mask_files(run, tmp_path, capsys):
    data, runs = draw_set(tmp_path / "data", "test", a=(3, 1), b=(2,), size=(32, 32)), run.path.parent
    flags = ("--name", run.path.name, "--direction", "AtoB", "--instances", "0,2", "--order", "2")
    flags += ("--strength", "1,1,0.5")
    assert translate(data, runs, tmp_path / "out", *flags) == 0
    results = tmp_path / "out" / run.path.name / "test_latest"
    t = Translator.load(run.path, device="cpu")
    masks = sorted((data / "testA_seg").glob("a0_*.png"))
    expected = t(data / "testA/a0.png", masks, instances=[0, 2], order=[2], strength=[1, 1, 0.5])
    assert np.array_equal(np.asarray(Image.open(results / "a0_fake_B.png")), np.asarray(expected.picture))
    for number in range(3):
        written = np.asarray(Image.open(results / f"a0_fake_B_mask_{number}.png"))
        assert np.array_equal(written, np.asarray(expected.masks[number])) and written.any() == (number != 1)
    assert (results / "a1_real_A.png").read_bytes() != (results / "a1_fake_B.png").read_bytes()

    def said(name: str, *flags: str) -> str:
        argv = ("--dataroot", data, "--checkpoints_dir", runs, "--name", name, "--device", "cpu", *flags)
        return sentence(capsys, test_program.main, *argv)

    assert "--instances tells of mask 7, and the masks are 0, 1, 2" in said(run.path.name, "--instances", "7")
    assert "'0,0' is not a list of different mask numbers" in said(run.path.name, "--order", "0,0")
    assert "'2' is not a number of at least 0 and at most 1" in said(run.path.name, "--strength", "0.5,2")
    tiny_run(runs, "pictures", "--model", "cycle_gan")
    tiny_run(runs, "union", "--model", "cycle_gan_seg")
    union = ("--name", "union", "--direction", "AtoB", "--instances", "1")
    assert translate(data, runs, tmp_path / "out", *union) == 0
    only = Translator.load(runs / "union", device="cpu")(data / "testA/a0.png", masks[1])
    written = Image.open(tmp_path / "out/union/test_latest/a0_fake_B.png")
    assert np.array_equal(np.asarray(written), np.asarray(only.picture))
    assert "--instances: this model looks at no instances; drop it" in said("pictures", "--instances", "0")
    assert "--strength: this model does not translate instance by instance" in said("union", "--strength", "0.5")


def test_translate_asks_by_the_numbers_in_the_names_of_its_masks(run, tmp_path, capsys):
    data = draw_set(tmp_path / "data", "test", a=(3, 1), b=(), size=(32, 32))
    where = ["translate", "--model", str(run.path), "--device", "cpu", "--images", str(data / "testA")]
    where += ["--masks_dir", str(data / "testA_seg"), "--output_dir", str(tmp_path / "out")]
    assert main([*where, "--instances", "2,9", "--strength", "0.5"]) == 0
    told = capsys.readouterr().out
    assert "1 instance translated" in told and "1 unchanged" in told and "--instances tells of mask 9" in told
    masks = sorted((data / "testA_seg").glob("a0_*.png"))
    expected = Translator.load(run.path, device="cpu")(data / "testA/a0.png", masks, instances=[2], strength=0.5)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/a0.png")), np.asarray(expected.picture))
    one = ["translate", "--model", run.path, "--image", data / "testA/a0.png", "--masks", masks[0]]
    assert "--order tells of mask 1, and the masks are 0" in sentence(
        capsys, main, *one, "--output", tmp_path / "y.png", "--order", "1"
    )
    video = ["translate", "--model", run.path, "--video", "in.mp4", "--instances", "0"]
    assert "--instances does not go with --video; drop it" in sentence(capsys, main, *video)


def test_the_page_asks_in_the_words_of_the_flags(run, tmp_path):
    data, t = draw_set(tmp_path / "data", "test", a=(3,), b=(), size=(32, 32)), Translator.load(run.path, device="cpu")
    (tmp_path / "results").mkdir()
    desk = Desk({"b": t}, None, 10_000, tmp_path / "results")
    masks = sorted((data / "testA_seg").iterdir())

    def made(**how: str) -> np.ndarray:
        order = Order(data / "testA/a0.png", UPLOADED, [], True, masks, "b", 1, **how)
        return np.asarray(desk.translate(order).translated)

    expected = t(data / "testA/a0.png", masks, ins_per=1, instances=[0, 2], order=[2], strength=[1, 1, 0.5])
    assert np.array_equal(made(instances="0, 2", order="2", strength="1, 1, 0.5"), np.asarray(expected.picture))
    for how, said in (({"strength": "x"}, "strength: 'x' is not a number"), ({"order": "5"}, "order tells of mask 5")):
        with pytest.raises(InputError, match=said):
            made(**how)
