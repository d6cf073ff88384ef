"""Laws of data/pictures.py: nothing is lost on the way, and drawing tells instances apart."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops

from instagan.io.contact_sheet import contact_sheet, enlarged
from instagan.io.overlay import TINT, colour, overlay
from instagan.io.pixels import mask_to_tensor, to_mask_picture, to_picture, to_tensor


def noise(width: int, height: int) -> Image.Image:
    levels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def square(size: int, left: int, right: int) -> torch.Tensor:
    inside = np.zeros((size, size), dtype=bool)
    inside[left:right, left:right] = True
    return mask_to_tensor(inside)


def test_every_level_survives_the_round_trip():
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    for picture in (Image.fromarray(levels), noise(31, 17)):
        tensor = to_tensor(picture)
        assert tensor.dtype == torch.float32 and tensor.shape == (3, picture.height, picture.width)
        assert tensor.min() >= -1 and tensor.max() <= 1
        assert to_picture(tensor).tobytes() == picture.tobytes()


def test_black_is_minus_one_and_white_is_one():
    assert to_tensor(Image.new("RGB", (2, 2), (0, 0, 0))).eq(-1).all()
    assert to_tensor(Image.new("RGB", (2, 2), (255, 255, 255))).eq(1).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_any_float_type_is_drawn_and_out_of_range_values_saturate(dtype):
    image = torch.tensor([-9.0, -1, 0, 1, 9]).to(dtype).expand(3, 1, 5)
    assert np.asarray(to_picture(image))[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_a_picture_of_a_diverged_network_can_still_be_shown():
    image = torch.tensor([float("nan"), float("inf"), -float("inf")]).expand(3, 1, 3)
    assert np.asarray(to_picture(image))[0, :, 0].tolist() == [128, 255, 0]


def test_a_mask_is_white_exactly_where_it_is_above_zero():
    mask = torch.tensor([[-1.0, -0.01, 0.0], [0.01, 0.5, 1.0]])
    assert np.asarray(to_mask_picture(mask)).tolist() == [[0, 0, 0], [255, 255, 255]]
    inside = np.array([[True, False]])
    assert mask_to_tensor(inside).tolist() == [[1.0, -1.0]]


def test_colours_of_slots_are_far_apart():
    colours = [np.array(colour(slot)) for slot in range(20)]
    for first in range(20):
        for second in range(first):
            apart = np.abs(colours[first] - colours[second]).sum()
            assert apart > (100 if first < 10 else 40), (first, second)


def test_overlay_changes_only_present_instances_and_keeps_a_slots_colour():
    image = torch.zeros(3, 40, 40)
    masks = torch.stack([square(40, 2, 14), square(40, 20, 30), square(40, 32, 39)])
    present = torch.tensor([True, False, True])
    drawn = np.asarray(overlay(image, masks, present, TINT))
    touched = (drawn != 128).any(2)
    expected = (masks[[0, 2]] > 0).any(0).numpy()
    assert (touched == expected).all()
    assert tuple(drawn[2, 2]) == colour(0) and tuple(drawn[32, 32]) == colour(2), "outline in the slot's own colour"
    assert not (drawn[8, 8] == drawn[2, 2]).all(), "inside is translucent"
    alone = np.asarray(overlay(image, masks, torch.tensor([False, False, True]), TINT))
    assert (alone[32:39, 32:39] == drawn[32:39, 32:39]).all(), "a colour does not depend on the other slots"


@pytest.mark.parametrize("tint, least", [(0.0, 204), (TINT, 160)])
def test_overlay_lets_the_picture_shine_through(tint, least):
    """An instance keeps its colours within its outline; tinted, it keeps most of their contrast."""
    dark, bright = torch.full((3, 30, 30), -0.8), torch.full((3, 30, 30), 0.8)
    masks, present = square(30, 5, 25)[None], torch.ones(1, dtype=torch.bool)
    inner = [np.asarray(overlay(image, masks, present, tint)).astype(int)[15, 15] for image in (dark, bright)]
    assert (inner[1] - inner[0] >= least).all()
    assert tint or (inner[0] == np.asarray(to_picture(dark))[15, 15]).all()


def test_overlay_of_a_picture_without_slots_is_the_picture():
    image = to_tensor(noise(12, 12))
    drawn = overlay(image.bfloat16(), torch.zeros(0, 12, 12), torch.zeros(0, dtype=torch.bool))
    assert drawn.tobytes() == to_picture(image.bfloat16()).tobytes()


def test_drawing_leaves_its_input_alone():
    image, masks = torch.zeros(3, 9, 9), square(9, 2, 6)[None]
    before = image.clone(), masks.clone()
    overlay(image, masks, torch.ones(1, dtype=torch.bool))
    assert image.equal(before[0]) and masks.equal(before[1])


def test_contact_sheet_shows_every_tile_pixel_for_pixel():
    rows = [[noise(200, 210), Image.new("RGB", (200, 200), (255, 0, 0))], [noise(220, 200)] * 2]
    sheet = contact_sheet(rows, ["real", "fake"], ["one.png", "two.png"])
    pixels = np.asarray(sheet)
    for row in rows:
        for tile in row:
            wanted = np.asarray(tile)
            corners = np.argwhere((pixels == wanted[0, 0]).all(2))
            height, width = wanted.shape[:2]
            assert any(np.array_equal(pixels[y : y + height, x : x + width], wanted) for y, x in corners)


def test_tiny_tiles_are_enlarged_by_a_whole_factor():
    tiny = noise(64, 48)
    big = enlarged(tiny)
    assert min(big.size) >= 192 and big.width % 64 == 0 and big.width / 64 == big.height / 48
    assert big.resize(tiny.size, Image.NEAREST).tobytes() == tiny.tobytes()
    assert enlarged(big) is big


def test_headings_and_captions_are_written_and_too_long_ones_do_not_widen_the_sheet():
    rows = [[Image.new("RGB", (200, 200), (255, 255, 255))] * 2]
    silent = contact_sheet(rows, ["", ""], [""])
    spoken = contact_sheet(rows, ["a heading much wider than its column can be", "b"], ["file " * 200])
    assert silent.size == spoken.size
    top, _, _, bottom = 0, 0, 0, spoken.height
    changed = ImageChops.difference(silent, spoken).getbbox()
    assert changed is not None and changed[1] < 40 and changed[3] > top + 200 and changed[3] <= bottom
