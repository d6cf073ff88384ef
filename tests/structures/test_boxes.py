"""Laws of the geometry of boxes, against masks drawn pixel by pixel and against each other."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from instagan.structures import boxes

WIDTH, HEIGHT = 24, 17
COORDINATE = st.floats(-30, 50, width=32)
WHOLE = st.integers(-5, 30)


def drawn(coordinate, count: int = 3) -> st.SearchStrategy[torch.Tensor]:
    """Boxes (3, 2, 4), some of which hold nothing, as rows of different pictures."""
    numbers = st.lists(coordinate, min_size=8 * count, max_size=8 * count)
    return numbers.map(lambda found: torch.tensor(found, dtype=torch.float64).view(count, 2, 4))


@settings(deadline=None, max_examples=50, derandomize=True)
@given(drawn(WHOLE))
def test_area_and_overlap_are_those_of_the_pixels(found):
    clipped = boxes.clip(found, WIDTH, HEIGHT)
    inside = boxes.rasterise(clipped, HEIGHT, WIDTH)  # (3, 2, H, W)
    assert torch.equal(boxes.area(clipped), inside.sum((2, 3)).double())
    one, other = inside[:, :, None], inside[:, None]
    both, either = (one & other).sum((3, 4)), (one | other).sum((3, 4))  # (3, 2, 2)
    expected = both / either.clamp(min=1)
    torch.testing.assert_close(boxes.intersection_over_union(clipped, clipped), expected.double())


@settings(deadline=None, max_examples=50, derandomize=True)
@given(drawn(WHOLE))
def test_boxes_of_masks_undo_rasterising(found):
    clipped = boxes.clip(found, WIDTH, HEIGHT)
    assert torch.equal(boxes.boxes_of_masks(boxes.rasterise(clipped, HEIGHT, WIDTH)).double(), clipped)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(drawn(COORDINATE))
def test_a_pixel_is_inside_if_its_centre_is(found):
    inside = boxes.rasterise(found, HEIGHT, WIDTH)
    for of_picture, masks in zip(found.tolist(), inside, strict=True):
        for (left, top, right, bottom), mask in zip(of_picture, masks, strict=True):
            for y, x in ((0, 0), (3, 5), (16, 23), (9, 20)):
                assert bool(mask[y, x]) == (left <= x + 0.5 < right and top <= y + 0.5 < bottom)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(drawn(COORDINATE))
def test_what_is_kept_of_a_box_is_its_clipped_part(found):
    kept, clipped = boxes.share_kept(found, WIDTH, HEIGHT), boxes.clip(found, WIDTH, HEIGHT)
    assert ((kept >= 0) & (kept <= 1)).all()
    torch.testing.assert_close(kept * boxes.area(found), boxes.area(clipped))
    assert (clipped[boxes.area(clipped) == 0] == 0).all()
    within = (found[..., :2] >= 0).all(-1) & (found[..., 2] <= WIDTH) & (found[..., 3] <= HEIGHT)
    whole = within & (boxes.area(found) > 0)
    assert torch.equal(clipped[whole], found[whole]) and (kept[whole] == 1).all()


@settings(deadline=None, max_examples=50, derandomize=True)
@given(drawn(COORDINATE))
def test_moving_and_mirroring_can_be_undone_and_keep_areas(found):
    torch.testing.assert_close(boxes.flip(boxes.flip(found, WIDTH), WIDTH), found)
    torch.testing.assert_close(boxes.shift(boxes.shift(found, 3, -2.5), -3, 2.5), found)
    torch.testing.assert_close(boxes.scale(boxes.scale(found, 0.5, 4), 2, 0.25), found)
    torch.testing.assert_close(boxes.area(boxes.flip(found, WIDTH)), boxes.area(found))
    torch.testing.assert_close(boxes.area(boxes.scale(found, 0.5, 4)), 2 * boxes.area(found))


@settings(deadline=None, max_examples=50, derandomize=True)
@given(drawn(COORDINATE))
def test_mirroring_a_box_mirrors_its_mask(found):
    found = found.round()  # an edge on a pixel's centre would belong to the other side
    mirrored = boxes.rasterise(boxes.flip(found, WIDTH), HEIGHT, WIDTH)
    assert torch.equal(mirrored, boxes.rasterise(found, HEIGHT, WIDTH).flip(-1))


def test_known_values():
    one, other = torch.tensor([[0.0, 0, 4, 2], [0, 0, 0, 0]]), torch.tensor([[2.0, 1, 6, 3], [9, 9, 9, 12]])
    torch.testing.assert_close(boxes.intersection_over_union(one, other), torch.tensor([[2 / 14, 0.0], [0.0, 0.0]]))
    assert boxes.share_kept(torch.tensor([-2.0, 0, 2, 4]), 8, 3).item() == 0.375
    empty = torch.zeros(2, 0, 4)
    assert boxes.rasterise(empty, 4, 5).shape == (2, 0, 4, 5) and boxes.area(empty).shape == (2, 0)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(drawn(COORDINATE))
def test_a_square_is_around_its_box_within_the_picture(found):
    clipped = boxes.clip(found, WIDTH, HEIGHT)
    square = boxes.squared(clipped, WIDTH, HEIGHT)
    size, side = clipped[..., 2:] - clipped[..., :2], square[..., 2:] - square[..., :2]
    torch.testing.assert_close(side, size.amax(-1, keepdim=True).clamp(max=HEIGHT).expand_as(side))
    torch.testing.assert_close(boxes.clip(square, WIDTH, HEIGHT), torch.where(side.amin(-1)[..., None] > 0, square, 0))
    fits = size.amax(-1) <= HEIGHT  # else the square is narrower than its box
    around = torch.minimum(square[..., :2], clipped[..., :2]), torch.maximum(square[..., 2:], clipped[..., 2:])
    torch.testing.assert_close(torch.cat(around, dim=-1)[fits], square[fits])
