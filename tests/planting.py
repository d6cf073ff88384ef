"""Faults planted into a data set, one function each: what they put there, and what must be said of it."""

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.programs import draw_picture

Expected = set[tuple[str, str]]
"""Code of a finding and the file that it names."""

WIDTH, HEIGHT = 40, 36
FAULTS: dict[str, Callable[[Path], Expected]] = {}


def fault(plant: Callable[[Path], Expected]) -> Callable[[Path], Expected]:
    FAULTS[plant.__name__] = plant
    return plant


def good_set(root: Path) -> Path:
    """Two pictures of each domain that nothing is wrong with."""
    for name in ("trainA/a0", "trainA/a1", "trainB/b0", "trainB/b1"):
        draw_picture(root / f"{name}.png", masks=2)
    return root


def square(left: int, top: int, right: int, bottom: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    mask = np.zeros(size[::-1], np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


def picture(root: Path, name: str, *masks: np.ndarray | Image.Image, domain: str = "trainA") -> list[Path]:
    """A picture with the masks given; returns their files."""
    draw_picture(root / domain / f"{name}.png", masks=0)
    files = [root / f"{domain}_seg" / f"{name}_{number}.png" for number in range(len(masks))]
    for file, mask in zip(files, masks, strict=True):
        (Image.fromarray(mask) if isinstance(mask, np.ndarray) else mask).save(file)
    return files


def cut(file: Path, share: float = 0.6) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


def noise(size: tuple[int, int] = (WIDTH, HEIGHT), channels: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)


def write_deep_colours(path: Path, values: np.ndarray) -> None:
    """A png of 16 bits in each of several channels (H, W, 2 to 4), which Pillow does not write."""
    kind = {2: 4, 3: 2, 4: 6}[values.shape[2]]
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    written = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(written))


GOOD = square(5, 5, 20, 20)
OTHER = square(24, 20, 36, 34)


BOX_FAULTS: dict[str, Callable[[Path], Expected]] = {}
"""The same for a data set with boxes (``tests/data/test_check_boxes.py``), whose images are 0.png, 1.png, ..."""


def box_fault(plant: Callable[[Path], Expected]) -> Callable[[Path], Expected]:
    BOX_FAULTS[plant.__name__] = plant
    return plant


def change_annotations(root: Path, change: Callable[[dict], object], name: str = "trainA") -> None:
    content = json.loads((root / f"{name}.json").read_text())
    change(content)
    (root / f"{name}.json").write_text(json.dumps(content))


@box_fault
def bad_box(root):
    change_annotations(root, lambda content: content["annotations"][0].update(bbox=[1, 2, 0, 4]))
    return {("bad_annotation", "trainA.json")}


@box_fault
def empty_mask_in_json(root):
    runs = {"size": [48, 64], "counts": [48 * 64]}
    change_annotations(root, lambda content: content["annotations"][0].update(segmentation=runs))
    return {("bad_annotation", "trainA/0.png")}


@box_fault
def absent_image(root):
    (root.parent / "images1" / "2.png").unlink()
    return {("absent_image", "trainA.json")}


@box_fault
def tiny_box(root):
    change_annotations(root, lambda content: content["annotations"][1].update(bbox=[1, 2, 3, 4]), "trainB")
    return {("tiny_box", "trainB/0.png")}


@box_fault
def same_box(root):
    change_annotations(root, lambda content: content["annotations"][1].update(bbox=[24.5, 12, 16, 24]))
    return {("same_box", "trainA/0.png")}


@box_fault
def truncated_image_of_boxes(root):
    cut(root.parent / "images2" / "1.png")
    return {("truncated", "trainB/1.png")}


@box_fault
def image_of_another_size(root):
    Image.new("RGB", (32, 32), "red").save(root.parent / "images1" / "1.png")
    return {("size_mismatch", "trainA/1.png")}


@box_fault
def json_that_is_none(root):
    (root / "trainB.json").write_text("{")
    return {("refused", "trainB.json")}


@box_fault
def folder_of_images_is_gone(root):
    (root.parent / "images2").rename(root.parent / "elsewhere")
    return {("refused", "trainB.json")}


@box_fault
def a_domain_that_is_not_listed(root):
    index = json.loads((root / "boxes.json").read_text())
    index["sets"].pop("trainB")
    (root / "boxes.json").write_text(json.dumps(index))
    return {("one_domain", "trainA")}


@fault
def zero_byte_picture(root):
    picture(root, "nothing", GOOD)
    (root / "trainA/nothing.png").write_bytes(b"")
    return {("zero_bytes", "trainA/nothing.png")}


@fault
def zero_byte_mask(root):
    picture(root, "hollow", GOOD)[0].write_bytes(b"")
    return {("zero_bytes", "trainA_seg/hollow_0.png")}


@fault
def truncated_jpeg(root):
    picture(root, "half", GOOD)
    (root / "trainA/half.png").unlink()
    Image.fromarray(noise()).save(root / "trainA/half.jpg")
    cut(root / "trainA/half.jpg")
    return {("truncated", "trainA/half.jpg")}


@fault
def truncated_mask(root):
    (file,) = picture(root, "torn", Image.fromarray(noise(channels=1)[..., 0]))
    cut(file)
    return {("truncated", "trainA_seg/torn_0.png")}


@fault
def text_as_picture(root):
    picture(root, "prose", GOOD)
    (root / "trainA/prose.png").write_text("no picture at all, but long enough to be one\n" * 9)
    return {("unreadable", "trainA/prose.png")}


@fault
def text_as_mask(root):
    picture(root, "verse", GOOD)[0].write_text("roses are red\n" * 9)
    return {("unreadable", "trainA_seg/verse_0.png")}


@fault
def mask_of_another_size(root):
    picture(root, "tight", square(2, 2, 9, 9, (20, 18)))
    return {("size_mismatch", "trainA_seg/tight_0.png")}


@fault
def mask_lying_beside_a_standing_picture(root):
    """Masks drawn on the pixels as stored, where the picture's EXIF orientation turns it."""
    picture(root, "turned", GOOD)
    (root / "trainA/turned.png").unlink()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise()).save(root / "trainA/turned.jpg", exif=exif)
    return {("size_mismatch", "trainA_seg/turned_0.png")}


@fault
def two_pictures_of_one_stem(root):
    picture(root, "twin", GOOD)
    Image.fromarray(noise()).save(root / "trainA/twin.webp")
    return {("same_stem", "trainA/twin.webp")}


@fault
def two_masks_of_one_number(root):
    picture(root, "twice", GOOD, OTHER)
    Image.fromarray(square(1, 1, 4, 36)).save(root / "trainA_seg/twice_01.png")
    return {("same_number", "trainA_seg/twice_1.png")}


@fault
def missing_folder(root):
    picture(root, "lonely", GOOD, domain="trainA")
    for folder in ("trainB", "trainB_seg"):
        (root / folder).rename(root / f".{folder}")
    return {("missing_folder", "trainB"), ("missing_folder", "trainB_seg")}


@fault
def missing_mask_folder(root):
    (root / "trainB_seg").rename(root / ".away")
    return {("missing_folder", "trainB_seg")}


@fault
def empty_folder(root):
    (root / "trainB").rename(root / ".away")
    (root / "trainB").mkdir()
    return {("empty_folder", "trainB")} | {
        ("mask_without_picture", f"trainB_seg/b{stem}_{number}.png") for stem in (0, 1) for number in (0, 1)
    }


@fault
def folder_that_is_a_link_to_itself(root):
    (root / "trainB").rename(root / ".away")
    (root / "trainB").symlink_to("trainB")
    return {("missing_folder", "trainB")} | {
        ("mask_without_picture", f"trainB_seg/b{stem}_{number}.png") for stem in (0, 1) for number in (0, 1)
    }


@fault
def no_mask_at_all(root):
    files = {path.name for domain in "AB" for path in (root / f"train{domain}").iterdir()}
    for domain in "AB":
        for mask in (root / f"train{domain}_seg").iterdir():
            mask.unlink()
    bare = {("picture_without_masks", f"train{name[0].upper()}/{name}") for name in files}
    return {("no_masks", "trainA_seg"), *bare}


@fault
def broken_dataset_json(root):
    (root / "dataset.json").write_text('{"format": 1, "pictures": ')
    return {("bad_dataset_json", "dataset.json")}


@fault
def picture_without_masks(root):
    picture(root, "bare")
    return {("picture_without_masks", "trainA/bare.png")}


@fault
def mask_without_picture(root):
    Image.fromarray(GOOD).save(root / "trainA_seg/orphan_0.png")
    return {("mask_without_picture", "trainA_seg/orphan_0.png")}


@fault
def mask_without_number(root):
    Image.fromarray(GOOD).save(root / "trainA_seg/a0.png")
    return {("mask_without_number", "trainA_seg/a0.png")}


@fault
def gap_in_the_numbers(root):
    files = picture(root, "gap", GOOD, OTHER, square(1, 1, 4, 36))
    files[1].unlink()
    return {("numbering_gap", "trainA/gap.png")}


@fault
def numbers_from_one(root):
    (file,) = picture(root, "one", GOOD)
    file.rename(file.with_name("one_1.png"))
    return {("numbering_gap", "trainA/one.png")}


@fault
def empty_mask(root):
    picture(root, "void", GOOD, square(0, 0, 0, 0))
    return {("empty_mask", "trainA_seg/void_1.png")}


@fault
def tiny_mask(root):
    picture(root, "speck", square(3, 3, 6, 6))
    return {("tiny_mask", "trainA_seg/speck_0.png")}


@fault
def inverted_mask(root):
    picture(root, "full", 255 - square(3, 3, 6, 6))
    return {("full_mask", "trainA_seg/full_0.png")}


@fault
def duplicate_mask(root):
    picture(root, "copy", GOOD, OTHER, GOOD)
    return {("duplicate_mask", "trainA_seg/copy_2.png")}


@fault
def overlapping_masks(root):
    picture(root, "lap", GOOD, square(6, 5, 21, 20))
    return {("overlapping_masks", "trainA_seg/lap_1.png")}


@fault
def antialiased_mask(root):
    soft = Image.fromarray(GOOD).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.BICUBIC).resize((WIDTH, HEIGHT))
    picture(root, "soft", soft)
    return {("not_binary", "trainA_seg/soft_0.png")}


@fault
def mask_with_jpeg_noise(root):
    (file,) = picture(root, "noisy", GOOD)
    file.unlink()
    Image.fromarray(GOOD).save(file.with_suffix(".jpg"), quality=60)
    return {("not_binary", "trainA_seg/noisy_0.jpg")}


@fault
def label_map_as_mask(root):
    picture(root, "labels", GOOD // 255 + OTHER // 255 * 2)
    return {("not_binary", "trainA_seg/labels_0.png")}


@fault
def coloured_instances_in_one_mask(root):
    picture(root, "colours", Image.merge("RGB", [Image.fromarray(mask) for mask in (GOOD, OTHER, 0 * GOOD)]))
    return {("not_binary", "trainA_seg/colours_0.png")}


@fault
def mask_of_zeros_and_ones(root):
    picture(root, "faint", GOOD // 255)
    return {("faint_mask", "trainA_seg/faint_0.png")}


@fault
def sixteen_bit_picture(root):
    picture(root, "deep", GOOD)
    Image.fromarray(noise()[..., 0].astype(np.uint16) * 257).save(root / "trainA/deep.png")
    return {("sixteen_bit", "trainA/deep.png")}


@fault
def twelve_bits_in_sixteen(root):
    picture(root, "dark", GOOD, domain="trainB")
    Image.fromarray(noise()[..., 0].astype(np.uint16) * 16).save(root / "trainB/dark.png")
    return {("sixteen_bit", "trainB/dark.png"), ("few_levels", "trainB")}


@fault
def twelve_bits_of_colour_in_sixteen(root):
    picture(root, "dim", GOOD, domain="trainB")
    write_deep_colours(root / "trainB/dim.png", noise().astype(np.uint16) * 16)
    return {("sixteen_bit", "trainB/dim.png"), ("few_levels", "trainB")}


@fault
def sixteen_bit_mask(root):
    picture(root, "deepmask", Image.fromarray(GOOD.astype(np.uint16) * 257))
    return {("sixteen_bit", "trainA_seg/deepmask_0.png")}


@fault
def cmyk_picture(root):
    picture(root, "print", GOOD)
    (root / "trainA/print.png").unlink()
    Image.fromarray(noise()).convert("CMYK").save(root / "trainA/print.jpg")
    return {("cmyk", "trainA/print.jpg")}


@fault
def animated_picture(root):
    picture(root, "film", GOOD)
    frames = [Image.fromarray(np.roll(noise(), shift, 1)) for shift in (0, 3, 6)]
    frames[0].save(root / "trainA/film.png", save_all=True, append_images=frames[1:])
    return {("animated", "trainA/film.png")}


@fault
def mask_drawn_in_transparency(root):
    inside = Image.fromarray(GOOD)
    picture(root, "veil", Image.merge("RGBA", (inside, inside, inside, inside)))
    return {("transparency", "trainA_seg/veil_0.png")}


@fault
def transparent_picture(root):
    picture(root, "glass", GOOD)
    Image.fromarray(noise(channels=4)).save(root / "trainA/glass.png")
    return {("transparency", "trainA/glass.png")}


@fault
def wrong_ending(root):
    picture(root, "mask", GOOD)
    Image.fromarray(noise()).save(root / "trainA/mask.png", "BMP")
    return {("wrong_ending", "trainA/mask.png")}


@fault
def damaged_exif(root):
    picture(root, "exif", GOOD)
    (root / "trainA/exif.png").unlink()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01\0\0\0\x01\0"
    Image.fromarray(noise()).save(root / "trainA/exif.jpg", exif=exif)
    return {("reader_warning", "trainA/exif.jpg")}


@fault
def notes(root):
    (root / "trainA/notes.txt").write_text("sheep of 2019\n")
    return {("other_file", "trainA/notes.txt")}


@fault
def hidden_file(root):
    (root / "trainA/.a0.png").write_bytes(b"")
    return {("other_file", "trainA/.a0.png")}


@fault
def pipe(root):
    os.mkfifo(root / "trainA/pipe.png")
    return {("other_file", "trainA/pipe.png")}


@fault
def folder_among_pictures(root):
    (root / "trainA/more.png").mkdir()
    return {("other_folder", "trainA/more.png")}


@fault
def strangers_in_the_root(root):
    (root / "masks").mkdir()
    Image.fromarray(noise()).save(root / "stray.jpg")
    return {("other_folder", "masks"), ("other_file", "stray.jpg")}


@fault
def link_loop(root):
    (root / "trainA/round.png").symlink_to("about.png")
    (root / "trainA/about.png").symlink_to("round.png")
    return {("link_loop", "trainA/round.png"), ("link_loop", "trainA/about.png")}


@fault
def link_to_its_own_folder(root):
    (root / "trainA/inward").symlink_to("..", target_is_directory=True)
    return {("link_loop", "trainA/inward")}


@fault
def broken_link(root):
    (root / "trainA_seg/a0_7.png").symlink_to("nowhere.png")
    return {("broken_link", "trainA_seg/a0_7.png")}


@fault
def name_that_is_no_utf8(root):
    name = os.fsdecode(b"caf\xe9")
    picture(root, name, GOOD)
    return {("odd_name", f"trainA/{name}.png")}


@fault
def name_with_markup_and_a_line_break(root):
    name = '<img src=x onerror="alert(1)">\n\x1b[31m&amp;'
    picture(root, name, GOOD)
    return {("odd_name", f"trainA/{name}.png")}


@fault
def long_name(root):
    name = "n" * 240
    picture(root, name, GOOD)
    return {("long_name", f"trainA/{name}.png")}


@fault
def lost_since_it_was_prepared_from_boxes(root):
    instance = {"id": 1, "category": 0, "box": [0, 0, 1, 1], "area": 1}
    told = {"trainA/a0.png": {"instances": [instance] * 3}, "trainA/lost.png": {"instances": [instance]}}
    masks = len(list((root / "trainB_seg").glob("b0_*.png")))
    told["trainB/b0.png"] = {"instances": [instance | {"from_box": True}] * masks}
    categories = {domain: [{"name": domain, "source_id": None}] for domain in "AB"}
    content = {"format": 1, "categories": categories, "pictures": told, "left_out": {}}
    (root / "dataset.json").write_text(json.dumps(content))
    lost = {("not_as_prepared", "trainA/a0.png"), ("not_as_prepared", "trainA/lost.png")}
    return lost | {("rectangles", "trainB_seg")}


@fault
def one_domain_for_translation(root):
    draw_picture(root / "holidayA/h.png", masks=1)
    return {("one_domain", "holidayA")}


@fault
def domains_of_very_different_size(root):
    for number in range(10):
        draw_picture(root / f"valA/v{number}.png", masks=1)
    draw_picture(root / "valB/w.png", masks=1)
    return {("domain_sizes", "valB")}


ALONE = (
    "missing_folder",
    "missing_mask_folder",
    "empty_folder",
    "folder_that_is_a_link_to_itself",
    "no_mask_at_all",
    "broken_dataset_json",
)
"""Faults that hide others, or that others hide."""
