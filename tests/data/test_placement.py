"""One placement moves a picture and all its masks, boxes and keypoints alike, in every mode."""

import numpy as np
import pytest
import torch
from PIL import Image

from data.placement import MODES, Framing, Placement, nearest, resize_inside, resize_pixels
from instagan.errors import InputError
from instagan.structures.boxes import boxes_of_masks, rasterise

SIZES = ((200, 150), (97, 131), (64, 64))
"""Width and height of the pictures that are placed."""


def framing(mode: str, random: bool = True, flip: bool = True, **changes) -> Framing:
    arguments = {"mode": mode, "load": (72, 60), "fine": (56, 48), "random": random, "flip": flip}
    return Framing(**arguments | changes)


def drawn(size: tuple[int, int]) -> tuple[Image.Image, list[Image.Image]]:
    """A black picture with a pure red, a pure green and a pure blue instance, and their masks."""
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    masks = []
    for colour, (left, top, right, bottom) in enumerate(
        ((0.1, 0.1, 0.4, 0.6), (0.5, 0.3, 0.95, 0.5), (0.45, 0.6, 0.7, 0.97))
    ):
        mask = np.zeros((height, width), np.uint8)
        mask[int(top * height) : int(bottom * height), int(left * width) : int(right * width)] = 255
        pixels[mask > 0, colour] = 255
        masks.append(Image.fromarray(mask))
    return Image.fromarray(pixels), masks


def away_from_edges(mask: np.ndarray, pixels: int = 2) -> np.ndarray:
    """Where all neighbours within some pixels are on the same side of the mask."""
    padded = np.pad(mask, pixels, mode="edge")
    shifts = range(2 * pixels + 1)
    height, width = mask.shape
    around = np.stack([padded[y : y + height, x : x + width] for y in shifts for x in shifts])
    return around.all(0) | ~around.any(0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_picture_and_masks_agree_under_every_placement(mode, size):
    frame, random = framing(mode), np.random.default_rng(5)
    picture, masks = drawn(size)
    placements = [frame.draw(size, random) for _ in range(40)]
    for placement in placements:
        placed = np.asarray(placement.picture(picture))
        for colour, mask in enumerate(masks):
            inside = np.asarray(placement.mask(mask)) > 0
            assert inside.shape == placed.shape[:2]
            sure = away_from_edges(inside)
            assert np.array_equal((placed[..., colour] > 127)[sure], inside[sure])
    expected = 1 if not mode.endswith("crop") else 20
    assert len({placement.crop for placement in placements}) >= expected
    assert {placement.flip for placement in placements} == {True, False}


@pytest.mark.parametrize("mode", MODES)
def test_a_mask_stays_a_mask(mode):
    frame, random = framing(mode), np.random.default_rng(0)
    for mask in drawn((97, 131))[1]:
        assert set(np.unique(np.asarray(frame.draw((97, 131), random).mask(mask)))) <= {0, 255}


def test_crops_reach_every_place_equally_often():
    frame, random = framing("resize_and_crop", load=(12, 10), fine=(8, 8)), np.random.default_rng(0)
    crops = [frame.draw((50, 50), random).crop for _ in range(6000)]
    assert all((right - left, bottom - top) == (8, 8) for left, top, right, bottom in crops)
    counts = np.zeros((5, 3))
    for left, top, _, _ in crops:
        counts[left, top] += 1
    assert np.abs(counts / 400 - 1).max() < 0.25


def test_half_of_the_placements_are_mirrored():
    frame, random = framing("resize_and_crop"), np.random.default_rng(0)
    assert 900 < sum(frame.draw((80, 80), random).flip for _ in range(2000)) < 1100
    unflipped = framing("resize_and_crop", flip=False)
    assert not any(unflipped.draw((80, 80), random).flip for _ in range(200))


@pytest.mark.parametrize("mode", MODES)
def test_without_chance_the_crop_is_central_and_nothing_is_drawn(mode):
    random = np.random.default_rng(3)
    before = random.bit_generator.state
    placement = framing(mode, random=False).draw((101, 80), random)
    assert random.bit_generator.state == before
    left, top, right, bottom = placement.crop
    width, height = placement.resize
    assert not placement.flip
    assert abs(left - (width - right)) <= 1 and abs(top - (height - bottom)) <= 1


def test_sizes_of_the_modes():
    def sizes(mode: str, size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        placement = framing(mode).draw(size, np.random.default_rng(0))
        left, top, right, bottom = placement.crop
        return placement.resize, (right - left, bottom - top)

    assert sizes("resize_and_crop", (31, 99)) == ((72, 60), (56, 48))
    assert sizes("crop", (97, 53)) == ((97, 53), (56, 48))
    assert sizes("scale_width", (144, 101)) == ((72, 48), (72, 48))  # 50.5 lines, rounded down to a multiple of 4
    assert sizes("scale_width_and_crop", (144, 101)) == ((72, 50), (56, 48))
    assert sizes("none", (37, 53)) == ((36, 52), (36, 52))


@pytest.mark.parametrize("mode", ["crop", "scale_width_and_crop"])
def test_a_crop_that_does_not_fit_names_the_picture(mode):
    with pytest.raises(InputError, match="wide.png.*56x48 does not fit"):
        framing(mode).draw((400, 40), np.random.default_rng(0), "wide.png")


@pytest.mark.parametrize("mode", ["none", "scale_width"])
@pytest.mark.parametrize("random", [True, False])
def test_a_picture_too_small_for_the_networks_names_itself(mode, random):
    frame = framing(mode, random=random, smallest=24)
    with pytest.raises(InputError, match="thin.png.*24"):
        frame.draw((400, 20), np.random.default_rng(0), "thin.png")
    assert frame.draw((72, 24), np.random.default_rng(0), "just.png").crop == (0, 0, 72, 24)


@pytest.mark.parametrize("size", [*SIZES, (72, 60), (30, 20)])
@pytest.mark.parametrize("mode", MODES)
def test_arrays_are_placed_as_images_are(mode, size):
    """Masks to the pixel; pictures to the rounding between two passes, with room for what overshoots black or white."""
    frame, random = framing(mode, fine=(16, 12)), np.random.default_rng(4)
    noise = random.integers(70, 186, (size[1], size[0], 3), dtype=np.uint8)
    mask = random.integers(0, 2, (size[1], size[0])).astype(bool)
    for _ in range(10):
        placement = frame.draw(size, random)
        of_image = np.asarray(placement.mask(Image.fromarray(mask))) > 0
        assert np.array_equal(placement.inside(mask), of_image)
        assert np.array_equal(placement.inside(resize_inside(mask, placement.resize)), of_image)
        placed = placement.pixels(noise)
        far = np.abs(placed.astype(int) - np.asarray(placement.picture(Image.fromarray(noise))))
        assert far.max() <= 2 and far.mean() < 0.5
        assert np.array_equal(placement.pixels(resize_pixels(noise, placement.resize)), placed)


def test_every_pixel_of_a_mask_is_taken_where_pil_takes_it():
    random = np.random.default_rng(0)
    for length, resized in random.integers(1, 700, (300, 2)).tolist():
        line = random.integers(0, 256, (1, length), dtype=np.uint8)
        of_image = np.asarray(Image.fromarray(line).resize((resized, 1), Image.Resampling.NEAREST))
        assert np.array_equal(line[:, nearest(length, resized)], of_image)


BOXES = torch.tensor([[20.0, 15, 80, 90], [100, 45, 190, 75], [90, 90, 140, 145], [40, 8, 64, 40]])
"""In a picture of 200 x 150; scaled to those of other sizes."""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_boxes_and_keypoints_stay_with_the_pixels_under_every_placement(mode, size):
    """A box is within a pixel of its mask's edges; its share is that of the mask; its middle is where the mask is."""
    frame, random = framing(mode), np.random.default_rng(6)
    width, height = size
    boxes = (BOXES * torch.tensor([width / 200, height / 150] * 2)).round()
    masks = rasterise(boxes, height, width).numpy()
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    keypoints = torch.stack([x, y, torch.tensor([2.0, 1, 2, 0])], dim=1)[:, None]  # (4, 1, 3)
    cut = 0
    for _ in range(40):
        placement = frame.draw(size, random)
        placed, share = placement.boxes(boxes, size)
        points = placement.keypoints(keypoints, size)[:, 0]
        for number, mask in enumerate(masks):
            inside = torch.from_numpy(placement.inside(mask).copy())
            whole = resize_inside(mask, placement.resize).sum()
            tight = boxes_of_masks(inside)
            if not inside.any():
                sides = placed[number, 2:] - placed[number, :2]
                assert sides.min() <= 1  # what is left is less than a pixel wide
                continue
            assert (tight - placed[number]).abs().max() <= 1
            assert abs(inside.sum() / whole - share[number]) < 0.15
            cut += bool(0 < share[number] < 0.99)
            left, top, visible = points[number].tolist()
            if visible:
                assert inside[int(top), int(left)] and visible == keypoints[number, 0, 2]
        assert (placed[share == 0] == 0).all() and (points[points[:, 2] == 0] == 0).all()
        assert points[3].tolist() == [0, 0, 0]  # it was unknown before
    assert cut > 0 or not mode.endswith("crop")


def test_mirroring_mirrors_boxes_and_keypoints_and_leaves_their_order():
    plain, mirrored = (Placement((40, 30), (4, 2, 36, 26), flip) for flip in (False, True))
    boxes = torch.tensor([[4.0, 2, 12, 9], [30, 20, 50, 40], [0, 0, 4, 30]])
    (one, share), (other, same) = (placement.boxes(boxes, (40, 30)) for placement in (plain, mirrored))
    assert one.tolist() == [[0, 0, 8, 7], [26, 18, 32, 24], [0, 0, 0, 0]]
    assert other.tolist() == [[24, 0, 32, 7], [0, 18, 6, 24], [0, 0, 0, 0]]
    assert torch.equal(share, same) and torch.allclose(share, torch.tensor([1, 36 / 400, 0]))
    points = torch.tensor([[[5.0, 3, 2], [35.5, 25.5, 1]], [[3.9, 3, 2], [0, 0, 0]], [[36, 3, 2], [5, 26, 1]]])
    assert plain.keypoints(points, (40, 30)).tolist() == [
        [[1, 1, 2], [31.5, 23.5, 1]], [[0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]
    ]  # fmt: skip
    assert mirrored.keypoints(points, (40, 30))[0].tolist() == [[31, 1, 2], [0.5, 23.5, 1]]
