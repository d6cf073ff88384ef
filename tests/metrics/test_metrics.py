"""Every metric has its exact value where that is known, and the value of an independent program elsewhere."""

import numpy as np
import pytest
import torch

from instagan.errors import InputError
from instagan.io.torchvision_import import import_torchvision
from instagan.metrics.agreement import matched, overlap
from instagan.metrics.background import (
    LARGEST_PSNR,
    LOST,
    background,
    claimed,
    mean_absolute_error,
    psnr,
    ssim_map,
)
from instagan.metrics.crops import as_batch, crops_of, real_crops
from instagan.metrics.distribution import frechet_distance, kernel_distance
from instagan.metrics.features import built_in, inception
from instagan.metrics.outcome import Outcome, Real, group_of, groups, pieces

CPU = torch.device("cpu")


def noise(seed: int, height: int = 40, width: int = 52) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return coarse.repeat(4, 0).repeat(4, 1)


def near(picture: np.ndarray, seed: int, by: int = 12) -> np.ndarray:
    change = np.random.default_rng(seed).integers(-by, by + 1, picture.shape)
    return (picture + change).clip(0, 255).astype(np.uint8)


def box(top: int, left: int, bottom: int, right: int, size: tuple[int, int] = (40, 52)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


EVERYWHERE = np.ones((40, 52), bool)


def test_error_and_psnr_have_their_exact_values():
    one = np.full((4, 4, 3), 100, np.uint8)
    other = one.copy()
    other[:2] = 151
    half = np.zeros((4, 4), bool)
    half[:2] = True
    assert mean_absolute_error(one, other, half) == 51 / 255
    assert mean_absolute_error(one, other, ~half) == 0
    assert mean_absolute_error(one, other, half | ~half) == pytest.approx(51 / 255 / 2)
    assert psnr(one, other, half) == pytest.approx(20 * np.log10(255 / 51))
    assert psnr(one, other, ~half) == LARGEST_PSNR
    assert psnr(other, one, half) == psnr(one, other, half)


@pytest.mark.parametrize("size", [(40, 52), (11, 12), (17, 64)])
def test_psnr_and_ssim_are_those_of_scikit_image(size):
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    one = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    other = near(one, 1, 40)
    assert psnr(one, other, np.ones(size, bool)) == pytest.approx(peak_signal_noise_ratio(one, other), rel=1e-12)
    _, expected = structural_similarity(
        one, other, channel_axis=2, data_range=255, full=True,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    )  # fmt: skip
    np.testing.assert_allclose(ssim_map(one, other), expected.mean(2), atol=1e-7)


def test_the_background_is_what_belongs_to_nobody_before_or_after():
    real = noise(0)
    before, after = box(4, 4, 14, 14), box(6, 8, 20, 22)
    fake = real.copy()
    fake[before | after] = 255 - fake[before | after]
    kept = background(real, fake, before, after)
    assert (kept.mae, kept.psnr, kept.ssim) == (0, LARGEST_PSNR, pytest.approx(1))
    assert background(real, fake, before, None).mae > 0  # what lies under the translated mask alone changed
    fake[30, 40] = 255 - fake[30, 40]
    hit = background(real, fake, before, after)
    change = np.abs(real[30, 40].astype(int) - fake[30, 40]).sum() / 255 / 3
    assert hit.mae == pytest.approx(change / np.count_nonzero(~(before | after)))
    assert hit.psnr < LARGEST_PSNR and hit.ssim < 1


def test_masks_that_claim_everything_lose_the_background_and_pictures_without_any_have_none():
    real = noise(0)
    assert background(real, real, box(0, 0, 5, 5), EVERYWHERE) == LOST
    assert background(real, real, EVERYWHERE, EVERYWHERE) is None
    assert claimed(box(0, 0, 20, 52), EVERYWHERE) == 1
    assert claimed(box(0, 0, 20, 52), box(0, 0, 30, 52)) == 0.5
    assert claimed(EVERYWHERE, EVERYWHERE) is None and claimed(EVERYWHERE, None) is None


def test_overlap_and_matching():
    one, other = box(0, 0, 10, 10), box(0, 5, 10, 15)
    assert overlap(one, one) == 1 and overlap(one, box(20, 20, 30, 30)) == 0
    assert overlap(one, other) == 50 / 150
    assert overlap(one & False, one & False) == 0
    # the second fits both found ones better than the first does; each is given away once
    wide = box(0, 0, 10, 20)
    assert matched([one, wide], [wide, one]) == [1, 1]
    assert matched([one, one], [one]) == [1, 0]
    assert matched([one, None, wide], [one & False]) == [0, 0, 0]
    assert matched([], [one]) == [] and matched([one], []) == [0]


@pytest.mark.parametrize(("n", "m", "dimensions"), [(60, 50, 16), (30, 24, 64)])
def test_fid_and_kid_are_those_of_torch_fidelity(n, m, dimensions):
    import_torchvision()
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric

    random = np.random.default_rng(dimensions)
    one = random.normal(0, 1, (n, dimensions)) @ random.normal(0, 1, (dimensions, dimensions))
    other = random.normal(0.3, 1.4, (m, dimensions))
    statistics = [fid_features_to_statistics(torch.from_numpy(features)) for features in (one, other)]
    expected = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-5)
    size = 20
    theirs = kid_features_to_metric(
        torch.from_numpy(one), torch.from_numpy(other), kid_subsets=7, kid_subset_size=size, rng_seed=5, verbose=False
    )
    ours = kernel_distance(one, other, seed=5, subsets=7, subset_size=size)
    assert ours.mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)
    assert ours.std == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-9)
    assert (ours.subsets, ours.subset_size) == (7, size)


def test_distances_have_their_exact_values():
    random = np.random.default_rng(0)
    features = random.normal(0, 1, (50, 5))
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(features, features + 2) == pytest.approx(5 * 4)  # a shift: |2, 2, 2, 2, 2|^2
    line = np.array([[-1.0], [1.0]])  # variance 2
    assert frechet_distance(line, 3 * line) == pytest.approx((3 * np.sqrt(2) - np.sqrt(2)) ** 2)
    two = np.array([[0.0], [1.0]])  # kernel (x y + 1)^3: within 1 and 1; across (1 + 1 + 1 + 8) / 4
    assert kernel_distance(two, two, 0, subsets=1).mean == pytest.approx(1 + 1 - 2 * 11 / 4)
    assert kernel_distance(features, features[:9], 0).subset_size == 4
    with pytest.raises(ValueError, match="too few"):
        frechet_distance(features, features[:1])
    with pytest.raises(ValueError, match="one D"):
        kernel_distance(features, features[:, :2], 0)


def test_built_in_features_are_the_same_everywhere_and_see_what_differs():
    pictures = [noise(seed, 40 + 4 * seed, 52) for seed in range(6)]  # of different sizes
    features = built_in(CPU)
    assert "not comparable with Inception" in features.name
    found = features.of(pictures)
    assert found.shape == (6, 99) and found.dtype == np.float64
    np.testing.assert_allclose(features.of(pictures[3:4]), found[3:4], rtol=1e-5, atol=1e-6)
    assert features.of([np.full((64, 64, 3), 255, np.uint8)])[0, :3] == pytest.approx(1)
    reds = [np.broadcast_to(np.array([200, k, 0], np.uint8), (64, 64, 3)) for k in range(8)]
    blues = [red[..., ::-1] for red in reds]
    apart, same = (frechet_distance(features.of(reds[:4]), features.of(other)) for other in (blues, reds[4:]))
    assert apart > 100 * same
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    built_in(CPU)
    assert torch.equal(torch.rand(2), expected)  # draws nothing


def test_inception_is_that_of_torch_fidelity(tmp_path):
    import_torchvision()
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    blank = FeatureExtractorInceptionV3.__new__(FeatureExtractorInceptionV3)
    state = random_inception(blank, tmp_path / "inception.pth")
    features = inception(tmp_path / "inception.pth", CPU)
    pictures = [noise(seed, 40, 52) for seed in range(2)]
    found = features.of(pictures)
    theirs = FeatureExtractorInceptionV3("x", ["2048"], str(tmp_path / "inception.pth"))
    with torch.no_grad():
        expected = theirs(as_batch(pictures, None))[0].numpy()
    assert found.shape == (2, 2048) and features.name == "Inception of torch-fidelity"
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    del state["fc.weight"]
    torch.save(state, tmp_path / "bad.pth")
    with pytest.raises(InputError, match=r"--weights inception=.*bad\.pth does not fit"):
        inception(tmp_path / "bad.pth", CPU)


def random_inception(blank, file):
    """Random weights of torch-fidelity's network, in a file; its constructor insists on one."""
    import torch_fidelity.feature_extractor_inceptionv3 as module

    keep = module.load_state_dict_from_url
    module.load_state_dict_from_url = lambda *_, **__: (_ for _ in ()).throw(ConnectionError)
    try:
        torch.manual_seed(0)
        type(blank).__init__(blank, "x", ["2048"])
    except ConnectionError:
        pass
    finally:
        module.load_state_dict_from_url = keep
    state = blank.state_dict()
    torch.save(state, file)
    return state


def test_pieces_of_a_mask_are_its_instances():
    mask = box(2, 2, 8, 9) | box(20, 20, 34, 30) | box(8, 9, 12, 12) | box(38, 50, 40, 52)  # corners touch; a crumb
    found = pieces(mask)
    assert [np.count_nonzero(one) for one in found] == [140, 42 + 12]
    assert np.array_equal(found[0], box(20, 20, 34, 30))
    cup = box(2, 2, 20, 6) | box(2, 20, 20, 24) | box(20, 2, 24, 24)  # two arms that join below
    assert len(pieces(cup)) == 1 and np.array_equal(pieces(cup)[0], cup)
    assert pieces(box(0, 0, 0, 0)) == ()
    from scipy import ndimage

    noisy = np.random.default_rng(0).random((40, 52)) < 0.42
    labels, count = ndimage.label(noisy, np.ones((3, 3)))
    sizes = sorted((size for size in np.bincount(labels.ravel())[1:] if size >= 8), reverse=True)
    assert count > 3 and [np.count_nonzero(one) for one in pieces(noisy)] == sizes


def test_outcomes_leave_out_who_is_not_there_and_refuse_what_does_not_fit():
    real, masks = noise(0), np.stack([box(2, 2, 12, 12), box(0, 0, 0, 0), box(20, 20, 30, 40)])
    outcome = Outcome.of("x", real, real, masks, masks)
    assert outcome.count == 2 and outcome.group == "2"
    union = Outcome.of("x", real, real, masks, masks.any(0, keepdims=True))
    assert union.after == (None, None) and np.array_equal(union.covered_after, masks.any(0))
    assert Outcome.of("x", real, real, masks, None).covered_after is None
    assert [group_of(count) for count in (0, 1, 3, 4, 9)] == ["0", "1", "3", "4+", "4+"]
    nobody = Outcome.of("y", real, real, masks[:0], masks[:0])
    assert list(groups([outcome, nobody, union])) == ["0", "2"]
    with pytest.raises(ValueError, match="was translated to"):
        Outcome.of("x", real, real[:20], masks, masks)
    with pytest.raises(ValueError, match="does not fit"):
        Outcome.of("x", real, real, masks[:, :20], None)


def test_crops_hold_the_instance_before_and_after():
    real = noise(0)
    outcome = Outcome.of("x", real, real, box(10, 10, 20, 20)[None], box(12, 14, 22, 34)[None])
    (crop,) = crops_of(outcome)
    assert crop.shape == (24, 24, 3)  # the wider side of both together
    assert np.array_equal(crop[5, 0], real[10 + 5 - 6, 10])
    gone = Outcome("x", real, real, (None,), (box(0, 0, 0, 0),), box(1, 1, 9, 9), box(0, 0, 0, 0))
    assert crops_of(gone) == [None]
    assert [c.shape for c in real_crops([Real("r", real, (box(0, 0, 2, 3), box(0, 0, 0, 0)))])] == [(8, 8, 3)]
