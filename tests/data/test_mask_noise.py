"""--mask_noise: damage that is what it says, comes from the sample's key alone, and changes nothing but masks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.loading import TrainingLoader
from data.mask_noise import MaskNoise, grown_by, mask_noise
from instagan.structures.boxes import boxes_of_masks
from tests.data.test_dataset import batches, batches_agree, dataset
from tests.engine.test_resume import assert_same_run
from tests.programs import draw_set, sentence, train, train_program

ALL = "erode:0.5,dilate:0.5,shift:0.5,drop:0.3,merge:0.3"


@pytest.fixture(scope="module")
def dataroot(tmp_path_factory):
    return draw_set(tmp_path_factory.mktemp("set"), "train", a=(1, 0, 3, 2, 4), b=(2, 1, 0))


def squares(count: int = 3) -> np.ndarray:
    """Masks (count, 60, 60) bool of squares with a side of 10, from left to right."""
    masks = np.zeros((count, 60, 60), bool)
    for number in range(count):
        masks[number, 20:30, 2 + 15 * number : 12 + 15 * number] = True
    return masks


def damaged(text: str, masks: np.ndarray, seed: int = 0, full: bool = True) -> np.ndarray:
    noise = MaskNoise.of(text, full)
    assert noise is not None
    return noise.damaged(masks, np.random.default_rng(seed))


def test_each_kind_does_what_it_says_with_the_strength_it_says():
    masks = squares()
    assert (damaged("erode:0.2", masks).sum((1, 2)) == 6 * 6).all()  # 2 of 10 pixels on each side
    grown = damaged("dilate:0.2", masks)
    assert (grown & masks == masks).all() and (grown.sum((1, 2)) == 100 + 4 * 20 + 4).all()
    for seed in range(5):
        moved = damaged("shift:0.5", masks[1:], seed)
        middles = [[np.argwhere(mask).mean(0) for mask in of] for of in (masks[1:], moved)]
        assert np.allclose(np.linalg.norm(np.subtract(*middles), axis=1), 5, atol=0.8)
        assert (moved.sum((1, 2)) == 100).all()
    many = np.repeat(squares(1), 400, axis=0)
    assert 0.2 < 1 - damaged("drop:0.3", many).any((1, 2)).mean() < 0.4
    merged = damaged("merge:1", masks)
    assert merged.any((1, 2)).sum() == 1 and (merged.any(0) == masks.any(0)).all()
    pair = damaged("merge:1", masks[:2])
    assert (pair.any((1, 2)) == [True, False]).all() and pair[0].sum() == 200


def test_lengths_are_drawn_up_to_the_strength_unless_they_are_to_be_full():
    areas = {int(damaged("erode:0.4", squares(1), seed, full=False).sum()) for seed in range(60)}
    assert areas == {100, 64, 36, 16}
    both = [int(damaged("erode:0.3,dilate:0.3", squares(1), seed, full=False).sum()) for seed in range(60)]
    assert min(both) < 100 < max(both) and np.isclose(np.mean([area < 100 for area in both]), 1 / 3, atol=0.2)


def test_an_instance_never_vanishes_by_its_outline_and_strength_0_changes_nothing():
    thin = np.zeros((3, 20, 20), bool)
    thin[0, 5, 5], thin[1, :, 4:6], thin[2] = True, True, True
    for text in ("erode:1", "shift:1,erode:1", "dilate:1,erode:1"):
        for seed in range(5):
            assert damaged(text, thin, seed).any((1, 2)).all()
    assert grown_by(thin[2], -3).all()  # the picture's edge is no outline
    assert (damaged("erode:0,dilate:0,shift:0,drop:0,merge:0", squares()) == squares()).all()
    assert damaged(ALL, squares(0)).shape == (0, 60, 60)


def test_nothing_but_masks_changes_and_all_comes_from_the_key(dataroot):
    noisy, plain = dataset(dataroot, noise=MaskNoise.of(ALL)), dataset(dataroot)
    keys = [(epoch, index) for epoch in (1, 2) for index in range(5)]
    changed = 0
    for key in reversed(keys):
        again = dataset(dataroot, noise=MaskNoise.of(ALL))[key]
        for one, same, other in zip(noisy[key], again, plain[key], strict=True):
            assert torch.equal(one.masks, same.masks) and one.masks.shape == other.masks.shape
            assert torch.equal(one.image, other.image) and torch.equal(one.labels, other.labels)
            assert set(one.masks.unique().tolist()) <= {-1.0, 1.0}
            changed += not torch.equal(one.masks, other.masks)
    assert changed >= 10
    alone, helped = (TrainingLoader(noisy, 2, workers, False) for workers in (0, 2))
    for epoch, start in ((1, 0), (2, 1)):
        assert batches_agree(batches(helped, epoch, start), batches(alone, epoch, start))


def test_boxes_fit_the_damaged_masks_and_boxes_alone_stay(dataroot):
    noise, sample = MaskNoise.of(ALL), dataset(dataroot)[1, 4][0]
    boxed = noise.on(replace(sample, boxes=boxes_of_masks(sample.masks > 0)), np.random.default_rng(0))
    assert torch.equal(boxed.boxes, boxes_of_masks(boxed.masks > 0)) and not torch.equal(boxed.masks, sample.masks)
    bare = replace(sample, masks=None, boxes=boxed.boxes)
    assert noise.on(bare, np.random.default_rng(0)) is bare


@pytest.mark.slow
def test_a_run_on_damaged_masks_resumes_to_the_bit(dataroot, tmp_path):
    flags = ("--name", "run", "--mask_noise", ALL, "--niter", "1", "--niter_decay", "1", "--print_freq", "1")
    assert train(dataroot, tmp_path / "straight", *flags, "--max_steps", "4") == 0
    assert train(dataroot, tmp_path / "stopped", *flags, "--max_steps", "2") == 0
    stopped = ("--name", "run", "--continue_train", "--max_steps", "4")
    assert train(dataroot, tmp_path / "stopped", *stopped) == 0  # the flag is the run's
    assert_same_run(tmp_path / "straight/run", tmp_path / "stopped/run", range(1, 5))


def test_wrong_values_are_one_sentence(dataroot, tmp_path, capsys):
    def said(*flags: str) -> str:
        where = ("--dataroot", str(dataroot), "--checkpoints_dir", str(tmp_path), "--device", "cpu")
        return sentence(capsys, train_program.main, *where, *flags)

    for text in ("blur", "erode,erode:0.1", ""):
        assert f"--mask_noise: {text!r} is not a list of erode, dilate, " in said("--mask_noise", text)
    for text, wrong in (("erode:", ""), ("drop:2", "2")):
        assert f"--mask_noise: {wrong!r} is not a number of at least 0 and at most 1" in said("--mask_noise", text)
    for text in ("drop:1", "erode,drop:1.0"):
        assert f"{text!r} leaves no instance to learn from; drop less than 1" in said("--mask_noise", text)
    assert mask_noise("drop,erode:0.1") == "drop,erode:0.1"
    assert "--mask_noise: --model cut learns from no masks; drop it" in said("--model", "cut", "--mask_noise", "drop")
