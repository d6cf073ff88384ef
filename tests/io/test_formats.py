"""Values of any type and number of channels come back from files, networks and pastes as they were."""

import numpy as np
import pytest
import torch
from PIL import Image

from instagan.errors import InputError
from instagan.flag_types import levels_of
from instagan.io.formats import RGB, Format, formats_of
from instagan.io.pasting import paste_background
from instagan.io.pixels import as_shown, pixels_to_tensor, to_bytes, to_pixels
from instagan.io.value_files import image_size, read_values, write_values

tifffile = pytest.importorskip("tifffile")

HEIGHT, WIDTH = 6, 5


def random_values(kind: str, channels: int) -> np.ndarray:
    random, kind = np.random.default_rng(0), np.dtype(kind)
    if kind.kind == "f":
        return random.normal(size=(HEIGHT, WIDTH, channels)).astype(kind)
    limits = np.iinfo(kind)
    return random.integers(limits.min, limits.max, (HEIGHT, WIDTH, channels), kind, endpoint=True)


@pytest.mark.parametrize("ending", [".npy", ".tif", ".png"])
@pytest.mark.parametrize(("kind", "channels"), [
    ("uint8", 1), ("uint8", 3), ("uint8", 4), ("uint8", 6), ("uint16", 1), ("uint16", 3), ("uint16", 13), ("int16", 1),
    ("float32", 1), ("float32", 2),
])  # fmt: skip
def test_a_file_holds_what_was_written(tmp_path, kind, channels, ending):
    values, path, format = random_values(kind, channels), tmp_path / f"x{ending}", Format(channels, (-5, 5))
    if ending == ".png" and (kind, channels) not in (("uint8", 1), ("uint8", 3), ("uint8", 4), ("uint16", 1)):
        with pytest.raises(InputError, match=f"cannot hold {channels} channels of {kind}"):
            Format(channels, (-5, 5), f"{kind}{ending}", "input").write(path, np.zeros((4, 4, channels)))
        return
    write_values(path, values, ending)
    read = read_values(path)
    assert read.dtype == values.dtype and np.array_equal(read, values)
    assert image_size(path) == (WIDTH, HEIGHT)
    if channels != 3:
        assert format.like(path).kind == f"{kind}{ending}"


def test_pages_and_planes_of_a_tiff_are_channels(tmp_path):
    values = random_values("uint16", 4)
    tifffile.imwrite(tmp_path / "pages.tif", values.transpose(2, 0, 1), photometric="minisblack")
    tifffile.imwrite(
        tmp_path / "planes.tif", values.transpose(2, 0, 1), photometric="minisblack", planarconfig="separate"
    )
    grey = [Image.fromarray(np.ascontiguousarray(plane)) for plane in values.transpose(2, 0, 1)]
    grey[0].save(tmp_path / "pillow.tif", save_all=True, append_images=grey[1:])
    for name in ("pages", "planes", "pillow"):
        assert np.array_equal(read_values(tmp_path / f"{name}.tif"), values), name


def through_a_network(format: Format, values: np.ndarray) -> np.ndarray:
    """As a network that changes nothing gives them back."""
    image = pixels_to_tensor(format.pixels(values, "x"))
    assert image.dtype == torch.float32 and image.min() >= -1 and image.max() <= 1
    return format.values(to_pixels(image, whole=format.type == np.uint8))


@pytest.mark.parametrize(("kind", "levels"), [
    ("uint8", None), ("uint16", None), ("uint16", "0-4095"), ("int16", None), ("int16", "-1024:3071")
])  # fmt: skip
def test_what_changes_nothing_gives_back_every_level(kind, levels):
    ends = levels_of(levels, (0, 0)) if levels else None
    low, high = ends or (np.iinfo(kind).min, np.iinfo(kind).max)
    values = np.arange(low, high + 1).astype(kind)[None, :, None]
    assert np.array_equal(through_a_network(Format(1, ends, f"{kind}.tif"), values), values)


def test_ends_of_the_range_are_minus_one_and_one_and_nothing_is_beyond():
    values = np.array([0.0, 1.0, 3.0, 5.0, 9.0], np.float32)[None, :, None]
    image = pixels_to_tensor(Format(1, (1, 5), "float32.npy").pixels(values, "x"))
    assert image.flatten().tolist() == [-1, -1, 0, 1, 1]


@pytest.mark.parametrize(("kind", "channels"), [("uint8", 1), ("uint16", 2), ("int16", 5), ("float32", 3)])
def test_a_pasted_background_is_the_input_bit_for_bit_also_beyond_the_range(kind, channels):
    format, values = Format(channels, (0.5, 1.5), f"{kind}.npy"), random_values(kind, channels)
    own, inside = format.pixels(values, "x"), np.zeros((HEIGHT, WIDTH), bool)
    inside[:2, :2] = True
    new = 1 - own if own.dtype != np.uint8 else 255 - own
    pasted, seam = paste_background(own, new, [inside])
    assert np.array_equal(format.values(pasted)[~inside], values[~inside])
    assert np.array_equal(pasted[inside], new[inside]) and seam.background > 0


def test_a_seam_is_told_in_levels_of_255_for_floats_as_well():
    random = np.random.default_rng(0)
    one, other = random.integers(0, 256, (2, 20, 20, 2), np.uint8)
    inside = np.zeros((20, 20), bool)
    inside[5:12, 5:12] = True
    whole = paste_background(one, other, [inside], 3)[1]
    floats = paste_background(one / 255, other / 255, [inside], 3)[1]
    for name in ("interior", "band", "step", "background"):
        assert getattr(floats, name) == pytest.approx(getattr(whole, name), abs=0.5)  # levels are rounded


def test_channels_are_shown_as_documented():
    image = torch.rand(5, HEIGHT, WIDTH) * 2 - 1
    levels = to_bytes(image[:3])
    assert np.array_equal(to_bytes(image), levels)
    two, one = to_bytes(image[:2]), to_bytes(image[:1])
    assert np.array_equal(two[..., :2], levels[..., :2]) and not two[..., 2].any()
    assert all(np.array_equal(one[..., channel], levels[..., 0]) for channel in range(3))
    assert np.array_equal(np.asarray(as_shown(levels)), levels)


def test_colours_become_grey_as_pillow_makes_it(tmp_path):
    picture = Image.fromarray(random_values("uint8", 3))
    picture.save(tmp_path / "x.png")
    found = Format(1).read(tmp_path / "x.png")[..., 0]
    assert np.abs(found.astype(int) - np.asarray(picture.convert("L"))).max() <= 1
    assert found.dtype == np.uint8 and found.std() > 10


def test_formats_follow_the_direction_of_the_networks():
    options = {"input_nc": 1, "input_range": "0-4095", "output_kind": "float32.npy", "output_range": "-1:1"}
    a, b = Format(1, (0, 4095), flags="input"), Format(3, (-1.0, 1.0), "float32.npy", "output")
    assert formats_of(options) == {"A": a, "B": b}
    assert formats_of(options | {"direction": "BtoA"}) == {"A": b, "B": a}
    assert formats_of(options | {"direction": "BtoA", "trained_direction": "AtoB"}) == {"A": a, "B": b}
    assert all(one.is_rgb for one in formats_of({}).values()) and RGB.is_rgb


def test_whatever_is_wrong_names_the_file_and_the_flag(tmp_path):
    def refused(format: Format, values: np.ndarray, *words: str) -> None:
        np.save(tmp_path / "x.npy", values)
        with pytest.raises(InputError) as error:
            format.read(tmp_path / "x.npy")
        for word in (str(tmp_path / "x.npy"), *words):
            assert word in str(error.value)

    two = Format(2, flags="output")
    refused(two, np.zeros((8, 9, 4), np.uint8), "has 4 channels and --output_nc is 2; pass --output_nc 4")
    refused(two, np.zeros((2, 8, 9), np.uint8), "its 2 channels come first")
    refused(two, np.zeros((8, 9, 2), np.float32), "--output_range LOW:HIGH")
    refused(two, np.full((8, 9, 2), np.nan), "not numbers")
    refused(two, np.zeros((8, 9, 2), complex), "complex")
    refused(two, np.zeros(8), "array 8")
    refused(two, np.array([{}], object), "cannot be read as an array")
    (tmp_path / "x.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"x\.npy cannot be read as an array"):
        two.read(tmp_path / "x.npy")
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((2, 3, 8, 9), np.uint16), photometric="minisblack")
    with pytest.raises(InputError, match="2 x 3 planes"):
        two.read(tmp_path / "x.tif")
