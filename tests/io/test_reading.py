"""A picture is upright RGB and a mask is 0 and 255, whatever kind of file they come in."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from instagan.errors import InputError
from instagan.io.reading import read_inside, read_mask, read_picture

INSIDE = np.zeros((6, 8), bool)
INSIDE[1:3, 2:7] = True
INSIDE[3:5, 2] = True


def rgb(inside, outside) -> Image.Image:
    return Image.fromarray(np.where(INSIDE[..., None], np.uint8(inside), np.uint8(outside)))


def palette(inside: int, outside: int, colours: dict[int, tuple[int, int, int]], **info) -> Image.Image:
    image = grey(inside, outside)
    image.putpalette([level for index in range(256) for level in colours.get(index, (0, 0, 0))])
    image.info.update(info)
    return image


def grey(inside: int, outside: int, dtype=np.uint8) -> Image.Image:
    return Image.fromarray(np.where(INSIDE, inside, outside).astype(dtype))


def with_alpha(image: Image.Image) -> Image.Image:
    image.putalpha(Image.fromarray(np.where(INSIDE, 255, 0).astype(np.uint8)))
    return image


def transparent_grey() -> Image.Image:
    image = grey(7, 9)
    image.info["transparency"] = 9
    return image


MASKS = {
    "grey 0 and 255": grey(255, 0),
    "grey 0 and 1": grey(1, 0),
    "grey, dim": grey(90, 20),
    "1 bit": Image.fromarray(INSIDE),
    "16 bit, full": grey(65535, 0, np.uint16),
    "16 bit, 0 and 1": grey(1, 0, np.uint16),
    "16 bit, 0 and 255": grey(255, 0, np.uint16),
    "RGB white": rgb((255, 255, 255), (0, 0, 0)),
    "RGB blue": rgb((0, 0, 255), (0, 0, 0)),
    "palette, red": palette(1, 0, {1: (128, 0, 0)}),
    "palette, light index 0": palette(0, 1, {0: (255, 255, 255), 1: (0, 0, 0)}),
    "palette, transparent": palette(1, 0, {0: (5, 5, 5), 1: (5, 5, 5)}, transparency=0),
    "alpha, white": with_alpha(rgb((255, 255, 255), (255, 255, 255))),
    "alpha, black": with_alpha(rgb((0, 0, 0), (0, 0, 0))),
    "alpha, all opaque": rgb((255, 255, 255), (0, 0, 0)).convert("RGBA"),
    "grey with alpha": with_alpha(grey(255, 255).convert("LA").convert("RGBA")).convert("LA"),
    "grey with a transparent level": transparent_grey(),
}


@pytest.mark.parametrize("kind", MASKS)
def test_a_mask_of_any_kind_is_the_same_mask(tmp_path, kind):
    MASKS[kind].save(tmp_path / "m.png", **MASKS[kind].info)
    read = read_mask(tmp_path / "m.png")
    assert read.mode == "L"
    assert np.array_equal(np.asarray(read), np.where(INSIDE, 255, 0))


@pytest.mark.parametrize("ending", ["jpg", "bmp", "webp"])
def test_a_mask_of_a_lossy_kind_keeps_its_shape(tmp_path, ending):
    inside = np.zeros((64, 64), bool)
    inside[16:40, 8:48] = True
    Image.fromarray(inside).convert("L").save(tmp_path / f"m.{ending}")
    assert np.array_equal(np.asarray(read_mask(tmp_path / f"m.{ending}")) > 0, inside)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, bool])
@pytest.mark.parametrize("value", [0, 1])
def test_an_empty_mask_is_empty_and_a_full_one_full(tmp_path, kind, value):
    Image.fromarray(np.full((5, 6), value, kind)).save(tmp_path / "m.png")
    assert np.all(np.asarray(read_mask(tmp_path / "m.png")) == 255 * value)


def test_a_mask_in_lab_colours_is_read_by_its_brightest_band(tmp_path):
    bands = np.random.default_rng(0).integers(0, 256, (3, 6, 7), np.uint8)
    picture = Image.merge("LAB", [Image.fromarray(band) for band in bands])
    picture.save(tmp_path / "mask.tif")
    brightest = np.asarray(picture).max(axis=2)
    assert np.array_equal(read_inside(tmp_path / "mask.tif"), brightest > brightest.max() // 2)


def test_noise_of_compression_is_no_instance(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 9, (32, 32), dtype=np.uint8)).save(tmp_path / "m.jpg")
    assert np.all(np.asarray(read_mask(tmp_path / "m.jpg")) == 0)


def test_a_16_bit_mask_with_a_transparent_level_can_be_read(tmp_path):
    grey(65535, 0, np.uint16).save(tmp_path / "m.png", transparency=0)
    assert np.array_equal(np.asarray(read_mask(tmp_path / "m.png")) > 0, INSIDE)


ORIENTATIONS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_pictures_and_masks_are_turned_upright(tmp_path, orientation):
    stored = rgb((250, 240, 230), (10, 20, 30))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "p.png", exif=exif)
    turn = ORIENTATIONS[orientation]
    upright = stored if turn is None else stored.transpose(turn)
    assert np.array_equal(np.asarray(read_picture(tmp_path / "p.png")), np.asarray(upright))
    mask = np.asarray(read_mask(tmp_path / "p.png")) > 0
    assert np.array_equal(mask, np.asarray(upright)[..., 0] > 100)


PICTURES = {
    "grey": (grey(200, 50), (200,) * 3, (50,) * 3),
    "1 bit": (Image.fromarray(INSIDE), (255,) * 3, (0,) * 3),
    "16 bit": (grey(200 * 257, 50 * 257, np.uint16), (200,) * 3, (50,) * 3),
    "palette": (palette(1, 0, {0: (1, 2, 3), 1: (9, 8, 7)}), (9, 8, 7), (1, 2, 3)),
    "alpha": (with_alpha(rgb((9, 8, 7), (1, 2, 3))), (9, 8, 7), (1, 2, 3)),
    "grey with alpha": (grey(200, 50).convert("LA"), (200,) * 3, (50,) * 3),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_of_any_kind_is_rgb(tmp_path, kind):
    stored, inside, outside = PICTURES[kind]
    stored.save(tmp_path / "p.png")
    read = read_picture(tmp_path / "p.png")
    assert read.mode == "RGB"
    assert np.array_equal(np.asarray(read), np.asarray(rgb(inside, outside)))


def test_cmyk_is_read_as_its_colours(tmp_path):
    Image.new("RGB", (16, 16), (240, 30, 20)).convert("CMYK").save(tmp_path / "p.jpg", quality=95)
    assert np.abs(np.asarray(read_picture(tmp_path / "p.jpg")).astype(int) - (240, 30, 20)).max() < 12


def noise(path: Path) -> bytes:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("read", [read_picture, read_mask])
@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "webp"])
@pytest.mark.parametrize("keep", [0, 1, 30, 0.5])
def test_a_truncated_file_names_itself(tmp_path, read, ending, keep):
    path = tmp_path / f"broken.{ending}"
    whole = noise(path)
    path.write_bytes(whole[: int(len(whole) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(InputError, match=f"broken.{ending}"):
        read(path)


@pytest.mark.parametrize("read", [read_picture, read_mask])
def test_a_fake_missing_or_odd_file_names_itself(tmp_path, read):
    (tmp_path / "text.png").write_text("<html>404 not found</html>")
    (tmp_path / "folder.png").mkdir()
    for name in ("text.png", "folder.png", "gone.png"):
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)


def test_flipped_bytes_give_a_picture_or_the_file_name(tmp_path):
    """Never another error, wherever the damage is: a worker's traceback tells nobody which file to fix."""
    random = np.random.default_rng(1)
    exif = Image.Exif()
    exif[0x0112] = 6
    for ending in ("png", "jpg", "webp"):
        path = tmp_path / f"p.{ending}"
        Image.fromarray(random.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(path, exif=exif)
        whole = path.read_bytes()
        for _ in range(300):
            damaged = bytearray(whole)
            for place in random.integers(len(damaged), size=3):
                damaged[place] = random.integers(256)
            path.write_bytes(damaged)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    read_picture(path)
                    read_mask(path)
                except InputError as error:
                    assert path.name in str(error)
