"""Large pictures: shrunk or cropped for the networks, whole again in the result, within little memory."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from instagan import InputError, Translator
from instagan.cli.main import main
from instagan.inference import network as network_module
from instagan.inference.memory import _left_of_group, needed, side_that_fits
from instagan.inference.published import to_published
from instagan.inference.windows import around, fading
from instagan.io.boxes import Box, box_of
from instagan.networks.blocks import initialise
from instagan.networks.generators import SetGenerator
from tests.io.test_pasting import nearest
from tests.programs import ROOT, sentence
from tests.using import tiny_run, with_small_masks


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return with_small_masks(tiny_run(tmp_path_factory.mktemp("runs"))[0])


@pytest.fixture(scope="module")
def t(model) -> Translator:
    return Translator.load(model, device="cpu")


def large(width: int = 160, height: int = 120, count: int = 3) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    masks = np.zeros((count, height, width), bool)
    for number in range(count):
        masks[number, 10 + 30 * number : 22 + 30 * number, 12 + 44 * number : 26 + 44 * number] = True
    return pixels, masks


def outside(out, masks: np.ndarray, feather: int) -> np.ndarray:
    kept = np.array(out.present)
    union = masks[kept].any(0) | out.inside[kept].any(0)
    return nearest(union, 400) > feather


@pytest.mark.parametrize(
    "how", [{"max_side": 80}, {"crop_instances": True}, {"crop_instances": True, "max_side": 24}], ids=str
)
@pytest.mark.parametrize("feather", [0, 2])
def test_what_belongs_to_nobody_stays_at_full_resolution(t, how, feather):
    pixels, masks = large()
    out = t(pixels, masks, feather=feather, **how)
    made = np.asarray(out.picture)
    assert made.shape == pixels.shape and out.inside.shape == masks.shape and out.present == (True,) * 3
    far = outside(out, masks, feather)
    assert far.mean() > 0.2 and np.array_equal(made[far], pixels[far])
    for mask in masks:
        assert (made[mask] != pixels[mask]).mean() > 0.5
    assert out.seam.interior > 0 and (out.seam.band > 0) == (feather > 0)


def test_shrinking_is_the_shrunk_picture_translated_and_enlarged(t):
    pixels, masks = large()
    small = Image.fromarray(pixels).resize((80, 60), Image.Resampling.BICUBIC)
    expected = t(small, masks[:, ::2, ::2])
    out = t(pixels, masks, max_side=80, feather=0)
    enlarged = np.asarray(expected.picture.resize((160, 120), Image.Resampling.BICUBIC))
    union = masks.any(0) | out.inside.any(0)
    assert np.array_equal(np.asarray(out.picture)[union], enlarged[union])
    assert (out.inside[:, ::2, ::2] != expected.inside).mean() < 0.05
    plain = t(small, masks[:, ::2, ::2], max_side=80)  # not larger: as it is
    assert plain.seam is None and np.array_equal(np.asarray(plain.picture), np.asarray(expected.picture))


def test_a_crop_is_the_crop_translated(t):
    pixels, masks = large(count=1)
    (window,) = around(masks, [0], 2, 32)
    place = window.box.place
    expected = t(pixels[place], masks[(slice(None), *place)])
    out = t(pixels, masks, crop_instances=True, max_side=max(32, window.box.longest), feather=0)
    (window,) = around(masks, [0], 2, max(32, window.box.longest))
    expected = t(pixels[window.box.place], masks[(slice(None), *window.box.place)])
    assert np.array_equal(out.inside[0][window.box.place], expected.inside[0])
    union = (masks[0] | out.inside[0])[window.box.place] & (fading(window.box, (120, 160), 0) == 1)
    made, inner = np.asarray(out.picture)[window.box.place], np.asarray(expected.picture)
    assert union.any() and np.array_equal(made[union], inner[union])


def test_order_limits_empty_masks_and_tensors(t):
    pixels, masks = large()
    masks[1] = False
    masks[2, 65:100, 90:130] = True
    for how in ({"max_side": 80}, {"crop_instances": True}):
        out = t(pixels, masks, ins_max=1, tensors=True, **how)
        assert out.present == (False, False, True) and not out.inside[:2].any()
        assert np.array_equal(np.asarray(out.picture)[masks[0]], pixels[masks[0]])
        assert out.image.shape == (3, 120, 160) and out.soft_masks.shape == (3, 120, 160)
        nobody = t(pixels, np.zeros_like(masks), **how)
        assert nobody.unchanged and np.array_equal(np.asarray(nobody.picture), pixels)
        assert t(pixels, **how).unchanged


def test_tiny_instances_do_not_vanish_when_shrunk(t):
    pixels = np.zeros((400, 300, 3), np.uint8)
    mask = np.zeros((400, 300), bool)
    mask[200, 100] = True
    out = t(pixels, [mask], max_side=20)
    assert out.present == (True,)


def test_methods_without_instances(tmp_path):
    pixels, masks = large()
    for flags, slots in (((), 0), (("--with_masks",), 1)):
        run, _ = tiny_run(tmp_path, f"run{slots}", "--model", "cycle_gan", *flags)
        t = Translator.load(with_small_masks(run) if slots else run.path, device="cpu")
        out = t(pixels, masks, max_side=80, feather=0)
        assert len(out.masks) == slots
        union = masks.any(0) | (out.inside.any(0) if slots else False)
        assert np.array_equal(np.asarray(out.picture)[~union], pixels[~union])
        whole = np.asarray(t(pixels, max_side=80).picture)
        assert (whole != pixels).mean() > 0.9
        cropped = np.asarray(t(pixels, masks, crop_instances=True, feather=0).picture)
        assert (cropped[masks.any(0)] != pixels[masks.any(0)]).any()


def test_windows_hold_their_instances_and_lie_in_the_picture():
    random = np.random.default_rng(0)
    for _ in range(50):
        size = tuple(int(side) for side in random.integers(20, 200, 2))
        masks = np.zeros((6, *size), bool)
        for mask in masks:
            top, left = random.integers(0, size[0]), random.integers(0, size[1])
            mask[top : top + random.integers(1, 60), left : left + random.integers(1, 60)] = True
        side, ins_per = int(random.integers(8, 80)), int(random.integers(1, 4))
        windows = around(masks, range(6), ins_per, side)
        assert sorted(number for window in windows for number in window.members) == list(range(6))
        for window in windows:
            box = window.box
            assert len(window.members) <= ins_per and 0 <= box.top < box.bottom <= size[0]
            assert 0 <= box.left < box.right <= size[1] and max(window.seen(side)) <= side
            assert box.height >= min(side, size[0]) and box.width >= min(side, size[1])
            for number in window.members:
                assert box.joined(box_of(masks[number])) == box
    near = np.zeros((3, 100, 300), bool)
    near[0, 40:50, 40:50], near[1, 40:50, 60:70], near[2, 40:50, 250:260] = True, True, True
    assert [window.members for window in around(near, [2, 0, 1], 2, 100)] == [(2,), (0, 1)]
    assert [window.members for window in around(near, [2, 0, 1], 1, 100)] == [(2,), (0,), (1,)]


def test_shares_fade_towards_edges_within_the_picture_only():
    share = fading(Box(0, 10, 20, 40), (20, 40), 4)
    assert share.shape == (20, 30) and np.allclose(share[:, 0], 0.2) and np.allclose(share[:, 3], 0.8)
    assert (share[:, 4:] == 1).all()


def test_the_command_takes_them(model, tmp_path, capsys):
    pixels, masks = large()
    Image.fromarray(pixels).save(tmp_path / "x.png")
    for number, mask in enumerate(masks):
        Image.fromarray(mask).save(tmp_path / f"m{number}.png")
    files = ["--masks", *(str(tmp_path / f"m{number}.png") for number in range(3))]
    start = ["translate", "--model", str(model), "--device", "cpu", "--image", str(tmp_path / "x.png"), *files]
    out = ["--output", str(tmp_path / "y.png")]
    t = Translator.load(model, device="cpu")
    for flags, how in (
        (("--max_side", "80"), {"max_side": 80}),
        (("--crop_instances", "--feather", "1"), {"crop_instances": True, "feather": 1}),
        (("--max_side", "80", "--paste_background"), {"max_side": 80}),
    ):
        assert main([*start, *flags, *out]) == 0
        assert np.array_equal(np.asarray(Image.open(tmp_path / "y.png")), np.asarray(t(pixels, masks, **how).picture))
        assert "seam: band" in capsys.readouterr().out
    assert "'4' is not a whole number of at least 8" in sentence(capsys, main, *start, "--max_side", "4", *out)
    with pytest.raises(InputError, match="max_side=4 must be"):
        t(pixels, masks, max_side=4)


def test_the_sentence_names_a_side_that_fits(t, monkeypatch, tmp_path):
    pixels, masks = large(400, 300)
    limit = needed(t.network.description, 200 * 152, 2)
    monkeypatch.setattr(network_module, "free_memory", lambda device: limit)
    with pytest.raises(InputError, match="400x300 pixels, 2 instances at a time, does not fit") as error:
        t(pixels, masks)
    side = int(re.search(r"\(--max_side (\d+)\) would fit", str(error.value))[1])
    assert 150 <= side < 200
    t(pixels, masks, max_side=side)
    small = np.array(pixels[:152, :200])
    assert len(t.batch([(small, masks[:, :152, :200])] * 3)) == 3  # not together, but one by one
    monkeypatch.setattr(network_module, "free_memory", lambda device: 10)
    with pytest.raises(InputError, match="no smaller one would fit"):
        t(pixels, masks)
    assert side_that_fits((300, 400), 1, None) == 192 and side_that_fits((300, 400), 100, 10**9) == 352
    for name, text in (("max", "1000"), ("current", "900"), ("stat", "anon 5\ninactive_file 300\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    assert _left_of_group(tmp_path) == 400
    (tmp_path / "memory.max").write_text("max")
    assert _left_of_group(tmp_path) is None


PEAK = """
import sys
from instagan.cli.main import main
code = main(sys.argv[1:])
(line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print("peak", int(line.split()[1]) // 1024, "MiB")
sys.exit(code)
"""
"""Not resource.getrusage: what that tells includes the peak of the process that started this one."""


def write_big(folder: Path) -> list[str]:
    """A 4000x3000 picture with five small instances; flags that name it."""
    random = np.random.default_rng(0)
    tiles = random.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(tiles).resize((4000, 3000), Image.Resampling.BICUBIC).save(folder / "x.png")
    names = []
    for number in range(5):
        mask = np.zeros((3000, 4000), np.uint8)
        mask[500 * number + 100 : 500 * number + 180, 700 * number + 200 : 700 * number + 260] = 255
        names.append(str(folder / f"m{number}.png"))
        Image.fromarray(mask).save(names[-1])
    return ["--image", str(folder / "x.png"), "--masks", *names]


@pytest.mark.slow
@pytest.mark.parametrize("how", [("--crop_instances",), ("--max_side", "512", "--ins_max", "2")], ids=" ".join)
def test_4000_by_3000_pixels_within_2_gb(tmp_path, how):
    """With generators of the published size."""
    torch.manual_seed(0)
    generator = SetGenerator(64)
    initialise(generator)
    generator.mask_decoder[-2].bias.data -= 8  # nobody comes where nobody was
    torch.save(to_published(generator.state_dict()), tmp_path / "latest_net_G_A.pth")
    flags = [*write_big(tmp_path), "--device", "cpu", *how, "--output", str(tmp_path / "y.png")]
    words = [sys.executable, "-c", PEAK, "translate", "--model", str(tmp_path / "latest_net_G_A.pth"), *flags]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr
    peak = int(re.search(r"peak (\d+) MiB", done.stdout)[1])
    print(done.stdout)
    assert peak < 2048
    before, after = np.asarray(Image.open(tmp_path / "x.png")), np.asarray(Image.open(tmp_path / "y.png"))
    untouched = (before == after).all(2).mean()
    assert 0.9 < untouched < 1


def test_a_picture_too_large_for_the_limit_is_one_sentence_and_its_advice_holds(tmp_path):
    torch.manual_seed(0)
    generator = SetGenerator(16)
    initialise(generator)
    torch.save(to_published(generator.state_dict()), tmp_path / "latest_net_G_A.pth")
    pixels, masks = large(1000, 800, 1)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    Image.fromarray(masks[0]).save(tmp_path / "m.png")
    code = (
        "import resource, sys, torch; torch.set_num_threads(1)\n"
        "from instagan.cli.main import main\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 500 * 2**20,) * 2); sys.exit(main(sys.argv[1:]))"
    )
    flags = ["--image", "x.png", "--masks", "m.png", "--device", "cpu", "--output", "y.png"]
    words = [sys.executable, "-c", code, "translate", "--model", "latest_net_G_A.pth", *flags]
    where = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 300, "env": _environment()}
    done = subprocess.run(words, **where)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    side = re.search(r"--max_side (\d+)\) would fit", done.stderr)[1]
    assert not (tmp_path / "y.png").exists() and int(side) < 1000
    done = subprocess.run([*words, "--max_side", side], **where)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "y.png").exists()


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}
