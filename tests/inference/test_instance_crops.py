"""Models trained with --instance_crops: trained, resumed and used in windows, every instance once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.run_folder import RunFolder
from instagan import Translator
from instagan.inference.batches import translate_in_windows
from instagan.inference.large import TranslateConfig
from instagan.inference.network import Network
from instagan.inference.windows import around
from instagan.io.boxes import CROP_CONTEXT, box_of
from instagan.io.pixels import mask_to_tensor, pixels_to_tensor
from instagan.structures.instances import InstanceBatch
from instagan.structures.one_way import OneWayTranslator
from tests.programs import draw_picture, draw_set, sentence, tiny, train, train_program, translate

CROPS = ("--instance_crops", "--batch_size", "2", "--niter", "2", "--niter_decay", "0", "--no_html", "--seed", "3")
TRAINED = {"instance_crops": True, "fine_size_w": 32, "fine_size_h": 32}


def scene(width: int, height: int, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    masks = np.zeros((count, height, width), bool)
    for mask in masks:
        left, top = random.integers(0, width - 12), random.integers(0, height - 12)
        mask[top : top + random.integers(4, 12), left : left + random.integers(4, 12)] = True
    return pixels, masks


class Watching:
    """A generator that changes nothing, or paints what it is given; it keeps which masks it has seen, and how large."""

    def __init__(self, paint: bool = False) -> None:
        self.paint, self.seen, self.sizes = paint, [], []

    def __call__(self, x: InstanceBatch) -> InstanceBatch:
        self.sizes.append(tuple(x.image.shape[2:]))
        self.seen += [mask.sum().item() for mask in x.masks[x.present] > 0]
        if not self.paint:
            return x
        inside = (x.masks > 0).any(1, keepdim=True)
        return replace(x, image=torch.where(inside, 1.0, x.image))


def watching(paint: bool = False) -> tuple[Watching, OneWayTranslator]:
    generator = Watching(paint)
    return generator, OneWayTranslator(generator, ("masks",), ins_per=2)


def batch_of(pixels: np.ndarray, masks: np.ndarray) -> InstanceBatch:
    return InstanceBatch.from_masks(pixels_to_tensor(pixels)[None], mask_to_tensor(masks)[None])


@pytest.mark.parametrize("size", [(130, 90), (33, 50), (20, 22), (32, 32)], ids=str)
def test_every_instance_is_translated_once_in_its_own_slot_and_an_identity_changes_no_bit(size):
    pixels, masks = scene(*size, 5)
    masks = np.stack([*masks, np.zeros_like(masks[0])])
    config = TranslateConfig.as_trained(TRAINED, crop_instances=True)
    generator, translator = watching()
    source = batch_of(pixels, masks)
    made = translate_in_windows(translator, source, config)
    assert torch.equal(made.image, source.image) and torch.equal(made.masks, source.masks)
    assert torch.equal(made.present, torch.from_numpy(masks.any((1, 2)))[None])
    assert sorted(generator.seen) == sorted(float(mask.sum()) for mask in masks if mask.any())
    assert all(max(seen) <= 32 for seen in generator.sizes)
    painter, translator = watching(paint=True)
    painted = translate_in_windows(translator, source, replace(config, feather=0)).image[0]
    union = torch.from_numpy(masks.any(0))
    assert (painted[:, union] == 1).all() and torch.equal(painted[:, ~union], source.image[0][:, ~union])


def test_rows_strengths_limits_and_pictures_without_instances():
    first, second = scene(60, 44, 3), scene(60, 44, 3, seed=1)
    config = TranslateConfig.as_trained(TRAINED, crop_instances=True)
    pair = InstanceBatch.cat([batch_of(*first), batch_of(*second)])
    generator, translator = watching(paint=True)
    together = translate_in_windows(translator, pair, config)
    for row in (0, 1):
        assert torch.equal(together[[row]].image, translate_in_windows(translator, pair[[row]], config).image)
    largest = pair.masks[0].gt(0).sum((1, 2)).argmax()
    limited = translate_in_windows(replace(translator, ins_max=1), pair[[0]], config)
    assert limited.present[0].nonzero().tolist() == [[largest.item()]]
    nobody = pair.keeping(torch.zeros_like(pair.present))
    assert torch.equal(translate_in_windows(translator, nobody, config).image, nobody.image)
    half = replace(pair[[0]], strengths=torch.full((1, 3), 0.5))
    weak = translate_in_windows(translator, half, replace(config, feather=0)).image
    where = (pair.masks[0] > 0).any(0)
    assert torch.allclose(weak[0][:, where], (1 + pair.image[0][:, where]) / 2, atol=0.01)


def test_windows_are_those_of_training():
    """At the picture's own resolution while the instance is at most three quarters of the window."""
    for longest, seen in ((4, 32), (24, 32), (36, 48), (60, 80)):
        mask = np.zeros((1, 120, 150), bool)
        mask[0, 40:50, 50 : 50 + longest] = True
        (window,) = around(mask, [0], 2, 32, CROP_CONTEXT)
        assert window.box.width == seen and window.box.joined(box_of(mask[0])) == window.box
    apart = np.zeros((3, 60, 90), bool)
    apart[0, 5:9, 5:9], apart[1, 5:9, 27:31], apart[2, 5:9, 70:74] = True, True, True
    assert [window.members for window in around(apart, [0, 1, 2], 2, 32, CROP_CONTEXT)] == [(0, 1), (2,)]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = draw_set(tmp_path_factory.mktemp("set"), "train", (3, 1, 4, 2), (2, 5, 1, 0), size=(90, 61))
    for domain in "AB":
        draw_picture(root / f"val{domain}" / "one.png", 4, size=(97, 61))
        draw_picture(root / f"val{domain}" / "tiny.png", 1, size=(19, 21))
    return root


def test_a_run_resumes_to_the_bit_and_translates_in_windows(data, tmp_path, capsys):
    assert train(data, tmp_path, "--name", "whole", *CROPS) == 0
    assert train(data, tmp_path, "--name", "parts", *CROPS, "--max_steps", "3") == 0
    argv = ("--checkpoints_dir", str(tmp_path), "--name", "parts", "--continue_train")
    assert train_program.main([*argv, "--max_steps", "100"]) == 0
    whole, parts = (RunFolder(tmp_path, name).load("latest") for name in ("whole", "parts"))
    for name, network in whole["networks"].items():
        assert all(torch.equal(tensor, parts["networks"][name][key]) for key, tensor in network.items())
    told = RunFolder(tmp_path, "parts").read_options()
    assert (told["resize_or_crop"], told["box_least_share"], told["instance_crops"]) == ("crop", 0.5, True)
    results = tmp_path / "results"
    assert translate(data, tmp_path, results, "--name", "whole", "--phase", "val", "--direction", "AtoB") == 0
    folder = results / "whole" / "val_latest"
    t = Translator.load(tmp_path / "whole", device="cpu")
    assert t.config().crop_instances and not t.config(crop_instances=False).crop_instances
    for name, count in (("one", 4), ("tiny", 1)):
        picture = data / "valA" / f"{name}.png"
        out = t(picture, [data / "valA_seg" / f"{name}_{number}.png" for number in range(count)])
        before, after = (np.asarray(Image.open(path)) for path in (picture, folder / f"{name}_fake_B.png"))
        assert before.shape == after.shape and np.array_equal(np.asarray(out.picture), after)
        assert out.present == (True,) * count
        real = np.asarray(Image.open(folder / f"{name}_real_A.png"))
        assert np.array_equal(real, before)
        for number, mask in enumerate(out.masks):
            assert np.array_equal(np.asarray(mask), np.asarray(Image.open(folder / f"{name}_fake_B_mask_{number}.png")))


def test_the_checkpoint_tells_everybody_that_windows_are_wanted(data, tmp_path):
    assert train(data, tmp_path, "--name", "run", *CROPS, "--max_steps", "1") == 0
    alone = tmp_path / "alone.pth"
    alone.write_bytes((tmp_path / "run" / "latest.pth").read_bytes())
    t = Translator.load(alone, device="cpu")
    assert t.config() == TranslateConfig.as_trained(TRAINED, crop_instances=True)
    assert isinstance(t.network, Network)


def test_wrong_flags_are_one_sentence(data, tmp_path, capsys):
    where = ("--dataroot", str(data), "--checkpoints_dir", str(tmp_path), "--name", "run", "--instance_crops")
    said = sentence(capsys, train_program.main, *where, *tiny("--resize_or_crop", "resize_and_crop"))
    assert "--instance_crops does not go with --resize_or_crop resize_and_crop; use crop" in said
    for model in ("cycle_gan", "init"):
        said = sentence(capsys, train_program.main, *where, *tiny("--model", model))
        assert f"--instance_crops: --model {model} does not translate instances by masks; drop it" in said
