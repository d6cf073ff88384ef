"""--instance_crops: windows hold their instance at the picture's own resolution, and depend on (seed, epoch, index)."""

import numpy as np
import pytest
import torch
from PIL import Image

from data.cache import MemoryCache
from data.decoded import decode
from data.entries import Entry
from data.folders import list_domain
from data.instance_crops import draw_window
from data.placement import Framing
from data.unaligned_instance_dataset import UnalignedInstanceDataset, place
from instagan.io.boxes import CROP_CONTEXT

FINE = (32, 24)
CROPS = Framing("crop", (1, 1), FINE, random=True, flip=True, least_share=0.5, most=3, around_instances=True)


def holds(window, box) -> bool:
    return window[0] <= box[0] and window[1] <= box[1] and window[2] >= box[2] and window[3] >= box[3]


def drawn_box(random: np.random.Generator, size: tuple[int, int], most: int) -> tuple[float, ...]:
    """Of any place in a picture of this size, with sides of at most so many pixels, also between pixels."""
    sides = [min(float(random.uniform(1, most)), float(side)) for side in size]
    corner = [float(random.uniform(0, side - of_box)) for side, of_box in zip(size, sides, strict=True)]
    return (*corner, corner[0] + sides[0], corner[1] + sides[1])


def test_a_window_holds_its_instance_and_what_is_around_it():
    random = np.random.default_rng(0)
    for _ in range(500):
        size = tuple(int(side) for side in random.integers(10, 150, 2))
        box = drawn_box(random, size, 60)
        window = draw_window(size, FINE, box, random)
        width, height = window[2] - window[0], window[3] - window[1]
        assert window[0] >= 0 and window[1] >= 0 and window[2] <= size[0] and window[3] <= size[1]
        assert abs(width / FINE[0] - height / FINE[1]) <= 1 / FINE[1]  # its shape, but for a pixel
        largest = min(size[0] / FINE[0], size[1] / FINE[1])
        margin = CROP_CONTEXT * max(box[2] - box[0], box[3] - box[1])
        around = (box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin)
        loose = (*np.clip(np.floor(around[:2]), 0, None), *np.minimum(np.ceil(around[2:]), size))
        fits = max((loose[2] - loose[0]) / FINE[0], (loose[3] - loose[1]) / FINE[1])
        if fits <= largest:
            assert holds(window, loose)
        if max(fits, 1) <= largest:
            assert width <= np.ceil(max(fits, 1) * FINE[0])
            assert (width, height) == FINE or fits > 1  # at its own resolution wherever that can be
        if box[2] - box[0] <= width - 1 and box[3] - box[1] <= height - 1:
            assert holds(window, box)
        elif box[2] - box[0] >= width + 1:  # a part of it, and nothing else
            assert box[0] - 1 <= window[0] and window[2] <= box[2] + 1


def test_windows_lie_everywhere_where_they_may():
    random, box = np.random.default_rng(0), (50, 40, 62, 52)
    corners = {draw_window((100, 90), FINE, box, random)[:2] for _ in range(4000)}
    lefts, tops = ({corner[axis] for corner in corners} for axis in (0, 1))
    assert lefts == set(range(62 + 2 - 32, 50 - 2 + 1)) and tops == set(range(52 + 2 - 24, 40 - 2 + 1))
    anywhere = {draw_window((34, 25), FINE, None, random)[:2] for _ in range(100)}
    assert anywhere == {(left, top) for left in range(3) for top in range(2)}


def written(folder, name: str, size: tuple[int, int], boxes) -> None:
    """A picture whose red tells the column and whose green the line, blue where instances are, and their masks."""
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(width), np.arange(height)[:, None]
    seg = folder.with_name(folder.name + "_seg")
    for path in (folder, seg):
        path.mkdir(parents=True, exist_ok=True)
    for number, (left, top, right, bottom) in enumerate(boxes):
        mask = np.zeros((height, width), np.uint8)
        mask[top:bottom, left:right] = 255
        pixels[mask > 0, 2] = 200
        Image.fromarray(mask).save(seg / f"{name}_{number}.png")
    Image.fromarray(pixels).save(folder / f"{name}.png")


SCENE = [(10 + 40 * number, 20 + 15 * (number % 2), 24 + 40 * number, 32 + 15 * (number % 2)) for number in range(5)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("set")
    for domain in "AB":
        written(root / f"train{domain}", "scene", (220, 90), SCENE)
        written(root / f"train{domain}", "large", (200, 180), [(20, 10, 180, 150), (0, 170, 3, 175), (7, 7, 7, 7)])
        written(root / f"train{domain}", "nobody", (100, 80), [])
        written(root / f"train{domain}", "small", (20, 18), [(3, 3, 9, 9)])
    return root


def entry_of(root, name: str) -> Entry:
    (found,) = (entry for entry in list_domain(root, "train", "A", with_masks=True) if entry.picture.stem == name)
    return found


def placed(root, name: str, seed: int, framing: Framing = CROPS):
    entry = entry_of(root, name)
    return place(entry, decode(entry, framing), framing, np.random.default_rng(seed), shuffled=True)


def test_samples_are_pixels_of_the_picture_with_the_masks_that_belong_to_them(root):
    whole = np.asarray(Image.open(entry_of(root, "scene").picture))
    seen = set()
    for seed in range(60):
        sample = placed(root, "scene", seed)
        pixels = ((sample.image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        assert pixels.shape == (FINE[1], FINE[0], 3)
        flipped = pixels[0, 0, 0] > pixels[0, 1, 0]
        upright = pixels[:, ::-1] if flipped else pixels
        left, top = int(upright[0, 0, 0]), int(upright[0, 0, 1])
        assert np.array_equal(upright, whole[top : top + FINE[1], left : left + FINE[0]])  # nothing was resized
        inside = sample.masks.numpy() > 0
        assert 1 <= inside.any((1, 2)).sum() <= 3 and inside[0].any()
        assert inside[0].sum() == 14 * 12  # the chosen one is first, and whole
        assert not (inside.any(0) & (pixels[..., 2] == 0)).any()
        seen.add((bool(flipped), min(range(5), key=lambda one: abs(SCENE[one][0] - left - 9))))
    assert {flipped for flipped, _ in seen} == {False, True} and len({chosen for _, chosen in seen}) == 5


def test_what_is_cut_below_the_share_is_left_out_and_neighbours_stay_up_to_the_most(root):
    wide = Framing("crop", (1, 1), (96, 48), random=True, flip=False, least_share=0.5, most=3, around_instances=True)
    counts = set()
    for seed in range(40):
        sample = placed(root, "scene", seed, wide)
        areas = [area for area in (sample.masks > 0).flatten(1).sum(1).tolist() if area]
        counts.add(len(areas))
        assert all(area >= 14 * 12 / 2 for area in areas) and len(areas) <= 3
        blue = (sample.image[2] > 0).sum()
        assert sum(areas) <= blue
    assert max(counts) > 1
    alone = [int((placed(root, "scene", seed, Framing(**{**vars(wide), "most": 1})).masks > 0).any(2).any(1).sum())
             for seed in range(10)]  # fmt: skip
    assert alone == [1] * 10


def test_large_instances_are_shown_whole_small_pictures_enlarged_and_nobody_anywhere(root):
    for seed in range(12):
        sample = placed(root, "large", seed)
        assert sample.image.shape == (3, FINE[1], FINE[0]) and (sample.masks[0] > 0).any()
        assert (sample.masks > 0).flatten(1).any(1).sum() <= 2
        if (sample.image[2] > 0).float().mean() > 0.2:  # the large one was chosen; 160 x 140 pixels fit in 213 x 160
            inside = sample.masks[0] > 0
            assert 0.5 < inside.float().mean() < 0.8
            assert (inside != (sample.image[2] > -0.2)).float().mean() < 0.15  # but for its outline
        assert placed(root, "nobody", seed).masks.shape == (0, FINE[1], FINE[0])
        small = placed(root, "small", seed)
        assert (small.masks[0] > 0).any() and small.image.shape == (3, FINE[1], FINE[0])


def test_samples_depend_on_seed_epoch_and_index_alone_and_on_no_cache(root):
    a, b = (list_domain(root, "train", domain, with_masks=True) for domain in "AB")

    def dataset(**more) -> UnalignedInstanceDataset:
        return UnalignedInstanceDataset(a, b, CROPS, seed=3, serial=False, **more)

    keys = [(epoch, index) for epoch in (1, 2) for index in range(4)]
    plain, backwards = dataset(), dataset()
    cached = dataset(read=MemoryCache(a + b, CROPS, 2**20))
    seen = {key: plain[key] for key in keys}
    for other in (backwards, cached, cached):  # the second time out of the cache
        for key in reversed(keys):
            for one, same in zip(other[key], seen[key], strict=True):
                assert torch.equal(one.image, same.image) and torch.equal(one.masks, same.masks)
    assert any(not torch.equal(seen[1, index][0].image, seen[2, index][0].image) for index in range(4))
