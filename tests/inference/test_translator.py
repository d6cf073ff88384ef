"""Translator: any kind of input, any size, the numbers of test.py, one by one or together, from any thread."""

import doctest
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import instagan
from engine.method import load_networks
from instagan import InputError, Translator
from instagan.inference import translator as translator_module
from instagan.inference.inputs import prepare
from instagan.io.pixels import from_levels
from instagan.networks.generators import SetGenerator
from options.build import build_model
from options.parse import parse_training
from tests.batches import random_batch
from tests.io.test_pasting import nearest
from tests.programs import ROOT, draw_picture, draw_set, tiny, translate
from tests.using import tiny_run, with_small_masks


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def t(run) -> Translator:
    return Translator.load(run[0].path, device="cpu")


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def squares(width: int, height: int, count: int) -> np.ndarray:
    """Masks (count, height, width) bool of different sizes, at least a pixel each."""
    masks = np.zeros((count, height, width), bool)
    for number in range(count):
        left, top = number * 7 % width, number * 5 % height
        masks[number, top : top + 3 + number, left : left + 4] = True
    return masks


def same(one, other, levels: int = 0) -> None:
    """Same pictures but for rounding, same masks."""
    apart = np.abs(np.asarray(one.picture, np.int16) - np.asarray(other.picture, np.int16))
    assert apart.max() <= levels
    assert one.inside.shape == other.inside.shape
    assert (one.inside != other.inside).sum() <= 0.001 * (levels > 0) * one.inside.size
    assert one.present == other.present


def test_the_docstring_runs(run, tmp_path, monkeypatch):
    draw_picture(tmp_path / "in/photo.png", masks=2, size=(45, 38))
    Image.fromarray(noise(9, 7)).save(tmp_path / "small.png")
    Image.fromarray(squares(9, 7, 1)[0]).save(tmp_path / "small_0.png")
    for path in (*(tmp_path / "in").iterdir(), *(tmp_path / "in_seg").iterdir()):
        path.rename(tmp_path / path.name)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "shapes").symlink_to(run[0].path)
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(translator_module, extraglobs={}, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0 and result.attempted >= 6


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--set_order", "random", "--ins_per", "3"),
        ("--norm", "none"),
        ("--model", "cycle_gan", "--netG", "resnet_6blocks"),
        ("--model", "cycle_gan", "--with_masks"),
        ("--model", "cycle_gan_seg"),
        ("--model", "cut"),
    ],
    ids=" ".join,
)
def test_it_gives_what_the_model_gives(tmp_path, flags):
    run, _ = tiny_run(tmp_path, "run", *flags)
    options = parse_training(["--dataroot", ".", "--name", "run", *tiny(*flags)]).values
    options.ins_max = None  # of translating
    model = build_model(options, torch.device("cpu"))
    load_networks(model, run.load("latest"))
    batch = random_batch([4, 1, 0], slots=5)
    for to in (target.lower() for _, target in model.directions):
        ours, theirs = Translator.load(run.path, to=to, device="cpu").network.run(batch), model.translate(batch, to)
        assert torch.equal(ours.image, theirs.image) and torch.equal(ours.masks, theirs.masks)
        assert torch.equal(ours.present, theirs.present)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_pictures_are_those_of_test_py(tmp_path, direction):
    dataroot = draw_set(tmp_path / "data", "test", a=(2, 5), b=(3,), size=(32, 32))
    tiny_run(tmp_path / "runs", "run", "--direction", direction)
    assert translate(dataroot, tmp_path / "runs", tmp_path / "results", "--name", "run") == 0
    results = tmp_path / "results" / "run" / "test_latest"
    for source, to in (("A", "b"), ("B", "a")):
        t = Translator.load(tmp_path / "runs" / "run" / "latest.pth", to=to, device="cpu")
        for picture in sorted((dataroot / f"test{source}").iterdir()):
            masks = sorted((dataroot / f"test{source}_seg").glob(f"{picture.stem}_*.png"))
            out = t(picture, masks)
            stem = results / f"{picture.stem}_fake_{to.upper()}"
            assert np.array_equal(np.asarray(out.picture), np.asarray(Image.open(f"{stem}.png")))
            for number, mask in enumerate(out.masks):
                assert np.array_equal(np.asarray(mask), np.asarray(Image.open(f"{stem}_mask_{number}.png")))


def test_every_kind_of_picture_is_the_same_picture(t, tmp_path):
    pixels, masks = noise(33, 30), squares(33, 30, 2)
    expected = t(Image.fromarray(pixels), masks)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    alpha = np.dstack([pixels, np.full((30, 33), 9, np.uint8)])
    for picture in (
        str(tmp_path / "x.png"), tmp_path / "x.png", pixels, pixels.astype(np.int64), pixels.astype(np.uint16) * 257,
        pixels / 255, (pixels / 255).astype(np.float32), tensor, tensor / 255, alpha, Image.fromarray(alpha),
        np.asfortranarray(pixels),
    ):  # fmt: skip
        same(t(picture, masks), expected, levels=1)
    grey = pixels[..., 0]
    expected = t(Image.fromarray(grey), masks)
    deep = grey.astype(np.uint16) * 257
    for picture in (grey, grey[..., None], torch.from_numpy(grey), torch.from_numpy(grey)[None], deep,
                    Image.fromarray(deep), np.dstack([grey] * 3), grey / 255):  # fmt: skip
        same(t(picture, masks), expected, levels=1)


def test_every_kind_of_mask_is_the_same_mask(t, tmp_path):
    pixels, masks = noise(33, 30), squares(33, 30, 3)
    expected = t(pixels, masks)
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for file, mask in zip(files, masks, strict=True):
        Image.fromarray(mask.astype(np.uint8) * 255).save(file)
    tensor = torch.from_numpy(masks)
    for given in (
        list(masks), tuple(masks), files, [str(file) for file in files], [Image.fromarray(mask) for mask in masks],
        masks.astype(np.uint8), masks.astype(np.uint16) * 65535, masks.astype(np.float32), tensor, tensor.float(),
        tensor.float() * 2 - 1, tensor[:, None], [masks[0], files[1], tensor[2]], (mask for mask in masks),
    ):  # fmt: skip
        same(t(pixels, given), expected)
    one = t(pixels, masks[:1])
    for given in (masks[0], files[0], str(files[0]), Image.fromarray(masks[0]), tensor[0]):
        same(t(pixels, given), one)


def test_orientation_turns_picture_and_masks(t, tmp_path):
    pixels, masks = noise(40, 24), squares(40, 24, 1)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, shown turned by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    Image.fromarray(masks[0]).convert("L").save(tmp_path / "m.png", exif=exif)
    expected = t(np.rot90(pixels, -1), np.rot90(masks[0], -1))
    assert expected.picture.size == (24, 40)
    same(t(tmp_path / "x.png", [tmp_path / "m.png"]), expected)
    same(t(Image.open(tmp_path / "x.png"), [Image.open(tmp_path / "m.png")]), expected)
    with pytest.raises(InputError, match="40x24 pixels and its image 24x40"):
        t(tmp_path / "x.png", masks)


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (2, 1), (3, 5), (4, 4), (5, 8), (8, 8), (13, 30), (31, 6), (2000, 2)]
)
def test_any_size_comes_back(t, width, height):
    pixels, masks = noise(width, height), squares(width, height, 2)
    out = t(pixels, masks, tensors=True)
    assert out.picture.size == (width, height) and all(mask.size == (width, height) for mask in out.masks)
    assert out.image.shape == (3, height, width) and out.soft_masks.shape == (2, height, width)
    assert not out.unchanged and out.image.isfinite().all()


def test_a_widened_picture_goes_on_as_a_mirror_shows_it(t):
    source = prepare(noise(33, 30), squares(33, 30, 2))
    image, masks = source.widening.image(source.image), source.widening.masks(torch.zeros(2, 30, 33))
    assert image.shape == (3, 32, 36) and masks.shape == (2, 32, 36)
    mirrored = torch.nn.functional.pad(source.image[None], (0, 3, 0, 2), mode="reflect")[0]
    assert torch.equal(image, mirrored) and (masks[:, 30:] == -1).all() and (masks[:, :, 33:] == -1).all()


def test_slots_of_empty_masks_are_kept_and_order_is_that_of_the_input(t):
    pixels, masks = noise(32, 32), squares(32, 32, 5)
    masks[1] = False
    out = t(pixels, masks)
    assert out.present == (True, False, True, True, True) and not out.inside[1].any()
    order = [3, 0, 4, 1, 2]
    turned = t(pixels, masks[order])
    assert np.array_equal(turned.inside, out.inside[order]) and same(t(pixels, masks), out) is None
    assert np.array_equal(np.asarray(turned.picture), np.asarray(out.picture))


def test_ins_per_and_ins_max(t, run):
    source = prepare(noise(32, 32), squares(32, 32, 5))
    for ins_per, ins_max in ((1, None), (3, 4), (30, 2)):
        out = t(noise(32, 32), squares(32, 32, 5), ins_per=ins_per, ins_max=ins_max)
        assert sum(out.present) == min(5, ins_max or 5)
        assert out.present[4]  # the largest
    one, two = (t.translate([source], ins_per=n)[0] for n in (1, 2))
    assert np.abs(np.asarray(one.picture, int) - np.asarray(two.picture, int)).max() > 0
    same(two, t.translate([source])[0])  # as trained
    assert len(t(noise(32, 32), squares(32, 32, 30)).masks) == 30
    for wrong in ({"ins_per": 0}, {"ins_max": -1}, {"ins_per": 1.5}):
        with pytest.raises(InputError, match="whole number of 1 or more"):
            t(noise(8, 8), **wrong)


def test_without_instances_the_picture_is_unchanged(t):
    pixels = noise(17, 11)
    for masks in (None, [], np.zeros((0, 11, 17)), np.zeros((2, 11, 17), bool)):
        out = t(pixels, masks)
        assert out.unchanged and "unchanged" in out.note
        assert np.array_equal(np.asarray(out.picture), pixels) and not out.inside.any()
    assert len(out.masks) == 2 and out.inside.shape == (2, 11, 17)


def test_methods_without_instances(tmp_path):
    pixels, masks = noise(33, 30), squares(33, 30, 3)
    for flags, slots, note in (((), 0, "not looked at"), (("--with_masks",), 1, "as one")):
        run, _ = tiny_run(tmp_path, f"run{slots}", "--model", "cycle_gan", *flags)
        t = Translator.load(run.path, device="cpu")
        out = t(pixels, masks)
        assert len(out.masks) == slots == len(out.present) and note in out.note and not out.unchanged
        assert not t(pixels).unchanged and t(pixels).note == ""


def test_a_batch_of_unequal_pictures_is_what_each_of_them_gives(t):
    sizes = [(33, 30), (36, 32), (20, 17), (34, 29), (7, 40), (20, 20)]
    items = [(noise(*size, seed=n), squares(*size, n)) for n, size in enumerate(sizes)]
    together = t.batch(items, rows=2)
    for out, item in zip(together, items, strict=True):
        same(out, t(*item), levels=1)
    pictures, masks = [picture for picture, _ in items], [masks for _, masks in items]
    for out, other in zip(t(pictures, masks), together, strict=True):
        same(out, other, levels=1)
    with pytest.raises(InputError, match="6 images and masks of 5"):
        t(pictures, masks[1:])
    assert t([]) == []
    assert [out.picture.size for out in t.batch([noise(9, 9), (noise(8, 8), None, [])])] == [(9, 9), (8, 8)]


def test_eight_threads_get_what_one_gets(t):
    items = [(noise(32 + n % 3, 32, seed=n), squares(32 + n % 3, 32, 1 + n % 4)) for n in range(16)]
    expected = [t(*item) for item in items]
    before = {name: tensor.clone() for name, tensor in t.network.generator.state_dict().items()}
    with ThreadPoolExecutor(8) as pool:
        for out, alone in zip(pool.map(lambda item: t(*item), items), expected, strict=True):
            same(out, alone)
    assert all(torch.equal(tensor, before[name]) for name, tensor in t.network.generator.state_dict().items())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_less_precision_gives_nearly_the_same(run, t, precision):
    pixels, masks = noise(32, 32), squares(32, 32, 3)
    rough = Translator.load(run[0].path, device="cpu", precision=precision)(pixels, masks, tensors=True)
    exact = t(pixels, masks, tensors=True)
    assert rough.image.dtype == rough.soft_masks.dtype == torch.float32
    difference = (rough.image - exact.image).abs().mean().item()
    assert 0 < difference < 0.05


def test_only_the_generator_of_the_direction_is_kept(run, t):
    held = sum(parameter.numel() for parameter in t.network.generator.parameters())
    assert held == sum(parameter.numel() for parameter in run[1].networks["G_A"].parameters())
    assert not any(parameter.requires_grad for parameter in t.network.generator.parameters())
    assert isinstance(t.network.generator, SetGenerator) and set(vars(t)) == {"network", "card", "takes", "gives"}
    assert not [value for value in vars(t.network).values() if isinstance(value, torch.Tensor | dict | list)]
    before = torch.get_rng_state()
    Translator.load(run[0].path, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_checkpoint_alone_suffices_and_older_ones_lean_on_their_folder(tmp_path):
    flags = ("--direction", "BtoA", "--norm", "none", "--ins_per", "3")
    run, model = tiny_run(tmp_path / "runs", "run", *flags)
    (tmp_path / "alone.pth").write_bytes(run.checkpoint("latest").read_bytes())
    content = run.load("latest")
    del content["options"], content["translators"]
    torch.save(content, run.checkpoint("5"))
    for path, epoch in ((tmp_path / "alone.pth", "latest"), (run.path, "5"), (run.checkpoint("5"), "latest")):
        t = Translator.load(path, device="cpu", epoch=epoch)
        config = t.network.description.config
        assert (config["norm"], t.network.ins_per, config["ngf"]) == ("none", 3, 4)
        assert torch.equal(t.network.generator.image_encoder[1].weight, model.networks["G_B"].image_encoder[1].weight)
    run.path.joinpath("options.yaml").unlink()
    t = Translator.load(run.checkpoint("5"), device="cpu")  # what weights tell, and else the defaults
    told = t.network.description
    assert (told.kind, told.config, told.ins_per) == ("set", {"ngf": 4, "blocks": 1, "norm": "instance"}, 2)


def test_the_background_is_kept_on_request(run):
    t = Translator.load(with_small_masks(run[0]), device="cpu")
    items = [(noise(40, 30), squares(40, 30, 2)), (noise(16, 20, 1), squares(16, 20, 1)), (noise(16, 20, 2), [])]
    plain = t.batch(items[:2])
    for feather in (None, 0, 2):
        kept = t.batch(items[:2], paste_background=True, feather=feather)
        for (pixels, masks), made, out in zip(items, plain, kept, strict=False):
            union = masks.any(0) | made.inside.any(0)
            far = nearest(union, 99) > (4 if feather is None else feather)
            got = np.asarray(out.picture)
            assert far.any() and (got[far] == pixels[far]).all() and out.seam and made.seam is None
            assert (got[union] == np.asarray(made.picture)[union]).all() and (out.inside == made.inside).all()
    pixels, masks = items[0]
    out = t(pixels / 255, masks, paste_background=True, tensors=True)
    assert np.allclose(out.image.permute(1, 2, 0), np.asarray(out.picture) / 127.5 - 1, atol=1e-6)
    assert t(*items[2], paste_background=True).unchanged


@pytest.mark.filterwarnings("error::UserWarning")
def test_what_is_handed_over_may_be_read_only_and_is_not_written_to(t):
    pixels, masks = noise(16, 12), squares(16, 12, 2)
    floats = (pixels / np.float32(255)).transpose(2, 0, 1)
    for image in (pixels, floats.transpose(1, 2, 0), pixels[..., :1], torch.from_numpy(floats.copy(order="C"))):
        before = image.clone() if isinstance(image, torch.Tensor) else image.copy()
        if isinstance(image, np.ndarray):
            image.flags.writeable = masks.flags.writeable = False
        t(image, masks)
        assert (image == before).all()


def test_bad_input_is_one_sentence_that_names_it(t, run, tmp_path):
    (tmp_path / "page.jpg").write_text("<html><body>not found</body></html>")
    good = noise(16, 12)
    for arguments, reason in (
        ((tmp_path / "page.jpg",), "page.jpg cannot be read as a picture"),
        ((tmp_path / "no.jpg",), "no.jpg: no such file"),
        ((good, [tmp_path / "page.jpg"]), "page.jpg cannot be read as a picture"),
        ((good, squares(12, 16, 1)), "mask 0 is 12x16 pixels and its image 16x12"),
        ((good, squares(16, 12, 2), [1]), "1 labels for 2 masks"),
        ((good * 1.0,), "floats in an image must be in"),
        ((good / -255,), "floats in an image must be in"),
        ((good.astype(int) - 300,), "whole numbers in an image"),
        ((np.full((4, 4), np.nan),), "floats in an image"),
        ((np.zeros((4, 4, 2), np.uint8),), r"array must be .* not \(4, 4, 2\)"),
        ((np.zeros((0, 4, 3), np.uint8),), "array must be"),
        ((torch.zeros(2, 4, 4),), "tensor must be"),
        ((torch.zeros(1, 3, 4, 4),), "tensor must be"),
        ((np.array([["a"]]),), "cannot be of type"),
        ((3,), "an image cannot be a int"),
        ((good, [3]), "mask 0 cannot be a int"),
        ((good, [np.full((12, 16), np.inf)]), "mask 0 holds values that are not numbers"),
        ((good, [np.zeros((12, 16, 3))]), "mask 0 must be numbers"),
    ):
        with pytest.raises(InputError, match=reason) as error:
            t(*arguments)
        assert len(str(error.value).splitlines()) == 1
    for changes, reason in (
        ({"to": "c"}, "must be 'a' or 'b'"),
        ({"precision": "int8"}, "one of fp32, bf16, fp16"),
        ({"device": "cuda:77"}, "device cuda:77"),
        ({"device": "abacus"}, "device abacus"),
        ({"epoch": 9}, "has no checkpoint '9'; there are: latest.pth"),
    ):
        with pytest.raises(InputError, match=reason):
            Translator.load(run[0].path, **changes)


def test_what_this_version_cannot_translate_is_one_sentence(tmp_path):
    run, _ = tiny_run(tmp_path)
    content = run.load("latest")
    entries = content["translators"]

    def refused(reason: str, **changes) -> None:
        torch.save({**content, **changes}, tmp_path / "other.pth")
        with pytest.raises(InputError, match=reason) as error:
            Translator.load(tmp_path / "other.pth")
        assert len(str(error.value).splitlines()) == 1

    for changes, reason in (
        ({"kind": "diffusion"}, "a generator 'diffusion', which this version does not know; update it"),
        ({"needs": ["masks", "depth"]}, "needs depth to translate, which this version cannot give; update it"),
        ({"config": {"ngf": 4, "norm": "layer2", "blocks": 9}}, "--norm layer2, which this version does not know"),
        ({"config": {"ngf": 8, "norm": "instance", "blocks": 9}}, r"weight is 4x3x7x7 instead of 8x3x7x7\); it is dam"),
        ({"config": {"ngf": 10**9}}, "what it tells of a direction cannot be"),
        ({"network": "G_C"}, "has no network G_C"),
        ({"ins_per": 0}, "what it tells of a direction cannot be"),
    ):
        refused(reason, translators=[{**entry, **changes} for entry in entries])
    (only_a,) = (entry for entry in entries if entry["target"] == "A")
    torch.save({**content, "translators": [only_a]}, tmp_path / "other.pth")
    assert Translator.load(tmp_path / "other.pth").card["to"] == "a"
    with pytest.raises(InputError, match=r"translates to a only; pass to='a' \(--to a\)"):
        Translator.load(tmp_path / "other.pth", to="b")
    refused("no generator G_A", networks={"E": {}}, translators=None)
    refused("trained with --model munit, which does not tell how", translators=[], options={"model": "munit"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty has no checkpoint 'latest'; it holds no checkpoint at all"):
        Translator.load(tmp_path / "empty")


def test_a_picture_that_memory_does_not_hold_is_one_sentence(t, monkeypatch):
    def exhausted(*_, **__):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(type(t.network.translator), "__call__", exhausted)
    with pytest.raises(
        InputError, match=r"36x32 pixels, 1 instance at a time, does not fit into the memory of cpu; max_side=\d+"
    ):
        t(noise(33, 30), squares(33, 30, 1))


def test_importing_the_package_brings_torch_alone():
    code = (
        "import sys, instagan; assert 'PIL' not in sys.modules and 'instagan.inference' not in sys.modules\n"
        "from instagan import Translator; assert Translator.__module__ == 'instagan.inference.translator'\n"
        "assert not {'data', 'models', 'options', 'yaml', 'safetensors'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)
    assert "Translator" in instagan.__all__
    with pytest.raises(AttributeError, match="no attribute 'Translater'"):
        instagan.Translater  # noqa: B018


def test_levels_come_back_exactly(t):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(np.asarray(t(levels).picture)[..., 0], levels)
    assert from_levels(levels).min() == -1 and from_levels(levels).max() == 1


def test_files_are_found_wherever_the_path_comes_from(run, tmp_path):
    assert Translator.load(str(run[0].path), device="cpu").card["progress"]["steps"] == 40
    assert Path(Translator.load(run[0].checkpoint("latest"), device="cpu").card["file"]).name == "latest.pth"


def test_every_room_of_the_package_is_installed():
    find_packages = pytest.importorskip("setuptools").find_packages
    rooms = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "instagan").rglob("*.py")}
    assert {name.replace(".", "/") for name in find_packages(str(ROOT), include=["instagan*"])} == rooms
