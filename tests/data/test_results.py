"""What test.py writes: which files, under which names, and what is in them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.folders import list_domain
from data.results import LONGEST_STEM, ResultFolder, short_name
from instagan.errors import InputError
from instagan.io.pixels import to_tensor
from instagan.structures.instances import InstanceBatch
from tests.programs import draw_picture, draw_set, train, translate


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder with a tiny run "run", made by one step."""
    folder = tmp_path_factory.mktemp("trained")
    draw_set(folder / "data", "train", a=(2, 1), b=(1, 2))
    draw_set(folder / "data", "val", a=(2, 0, 3), b=(1,))
    assert train(folder / "data", folder / "runs", "--name", "run", "--max_steps", "1", "--no_html") == 0
    return folder


def results(trained: Path, tmp_path: Path, *flags: str, root: Path | None = None) -> Path:
    code = translate(root or trained / "data", trained / "runs", tmp_path, "--name", "run", "--phase", "val", *flags)
    assert code == 0
    return tmp_path / "run" / "val_latest"


def names(folder: Path, start: str = "") -> set[str]:
    return {path.name.removesuffix(".png") for path in folder.glob(f"{start}*.png") if "contact_sheet" not in path.name}


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def expected(stem: str, source: str, target: str, masks: int) -> set[str]:
    shown = [f"{stem}_{kind}" for kind in (f"real_{source}", f"fake_{target}", f"rec_{source}")]
    drawn = [name + more for name in shown for more in ("_mask", "_overlay")]
    return {*shown, *(drawn if masks else []), *(f"{stem}_fake_{target}_mask_{number}" for number in range(masks))}


def test_names_that_leave_no_room_are_cut_and_stay_apart(trained, tmp_path):
    """The longest that a file system takes for a mask; they agree but for their ends, in letters of two bytes."""
    stems = ["\u00e9" * 124 + end for end in "xy"]
    for number, stem in enumerate(stems):
        draw_picture(tmp_path / "data" / "valA" / f"{stem}.png", masks=1, seed=number)
    folder = results(trained, tmp_path, "--direction", "AtoB", root=tmp_path / "data")
    found = sorted(names(folder))
    assert len(found) == 2 * len(expected("x", "A", "B", 1))
    assert len({name.partition("_")[0] for name in found}) == 2
    assert all(name.startswith("\u00e9" * 100) for name in found)
    assert short_name(stems[0]) == short_name(stems[0]) != short_name(stems[1])
    assert short_name("n" * LONGEST_STEM) == "n" * LONGEST_STEM
    assert len(f"{short_name('n' * 300)}_fake_B_mask_99999.png") <= 255


def test_every_picture_has_its_files(trained, tmp_path):
    folder = results(trained, tmp_path)
    assert names(folder) == (
        expected("a0", "A", "B", 2) | expected("a1", "A", "B", 0) | expected("a2", "A", "B", 3)
        | expected("b0", "B", "A", 1)
    )  # fmt: skip
    page = (folder / "index.html").read_text()
    assert all(f"{name}.png" in page for name in ("a0_real_A", "a2_fake_B_overlay", "b0_rec_B"))


@pytest.mark.parametrize("direction, starts", [("AtoB", "a"), ("BtoA", "b"), ("both", "ab")])
def test_direction_chooses_what_is_translated(trained, tmp_path, direction, starts):
    assert {name[0] for name in names(results(trained, tmp_path, "--direction", direction))} == set(starts)


def test_one_direction_needs_one_folder(trained, tmp_path):
    draw_picture(tmp_path / "data" / "valA" / "only.png", masks=1)
    folder = results(trained, tmp_path, "--direction", "AtoB", root=tmp_path / "data")
    assert names(folder) == expected("only", "A", "B", 1)


def test_num_test_is_counted_in_each_domain(trained, tmp_path):
    assert {name[:2] for name in names(results(trained, tmp_path, "--num_test", "2"))} == {"a0", "a1", "b0"}


def test_results_do_not_depend_on_batch_size_or_workers(trained, tmp_path):
    alone = results(trained, tmp_path / "1")
    together = results(trained, tmp_path / "3", "--batch_size", "3", "--num_threads", "2")
    assert names(alone) == names(together)
    for name in names(alone):
        one, other = (pixels(folder / f"{name}.png").astype(int) for folder in (alone, together))
        assert np.abs(one - other).max() <= (255 if "mask" in name or "overlay" in name else 2)
        assert np.mean(one != other) < 0.01


def test_a_picture_without_instances_stays_pixel_for_pixel(trained, tmp_path):
    folder = results(trained, tmp_path)
    real, fake, rec = (pixels(folder / f"a1_{name}.png") for name in ("real_A", "fake_B", "rec_A"))
    assert np.array_equal(fake, real) and np.array_equal(rec, real)
    assert not np.array_equal(pixels(folder / "a0_real_A.png"), pixels(folder / "a0_fake_B.png"))


def test_a_picture_without_instances_comes_back_as_its_own_file(trained, tmp_path):
    folder = results(trained, tmp_path, "--original_size")
    own = pixels(trained / "data" / "valA" / "a1.png")
    assert all(np.array_equal(pixels(folder / f"a1_{name}.png"), own) for name in ("real_A", "fake_B", "rec_A"))


def test_original_size_is_that_of_each_picture(trained, tmp_path):
    for number, size in enumerate(((57, 31), (20, 90))):
        draw_picture(tmp_path / "data" / "valA" / f"p{number}.png", masks=2, size=size)
    flags = ("--direction", "AtoB", "--original_size")
    folder = results(trained, tmp_path, *flags, root=tmp_path / "data")
    for number, size in enumerate(((57, 31), (20, 90))):
        assert {Image.open(folder / f"{name}.png").size for name in names(folder, f"p{number}")} == {size}
        assert set(np.unique(pixels(folder / f"p{number}_real_A_mask.png"))) <= {0, 255}


@pytest.mark.parametrize("crop", [(), ("--load_size", "64"), ("--resize_or_crop", "scale_width_and_crop")])
def test_original_size_shows_whole_pictures(trained, tmp_path, crop):
    """Put back to its size, the mask of what was seen covers the mask file: nothing was cropped away."""
    folder = results(trained, tmp_path, "--direction", "AtoB", "--original_size", *crop)
    for stem, masks in (("a0", 2), ("a2", 3)):
        whole = np.zeros((36, 40), bool)
        for number in range(masks):
            whole |= pixels(trained / "data" / "valA_seg" / f"{stem}_{number}.png") > 0
        assert np.mean((pixels(folder / f"{stem}_real_A_mask.png") > 0) != whole) < 0.06


@pytest.mark.parametrize("ratio, size", [("2", (64, 32)), ("0.5", (32, 64)), ("1.0", (32, 32))])
@pytest.mark.parametrize("own", [(), ("--original_size",)])
def test_aspect_ratio_stretches_every_file(trained, tmp_path, ratio, size, own):
    folder = results(trained, tmp_path, "--aspect_ratio", ratio, *own)
    if own:
        size = (40 * size[0] // 32, 36 * size[1] // 32)
    assert {Image.open(folder / f"{name}.png").size for name in names(folder)} == {size}
    assert set(np.unique(pixels(folder / "a0_fake_B_mask.png"))) <= {0, 255}


def test_sizes_come_from_training(trained, tmp_path):
    assert Image.open(results(trained, tmp_path) / "a0_fake_B.png").size == (32, 32)


def test_masks_carry_the_numbers_of_their_files(tmp_path):
    """Slot k is the k-th mask file, gaps in the numbering and all."""
    image = Image.new("RGB", (8, 8), (10, 20, 30))
    for path in (tmp_path / "valA" / "p.png", *(tmp_path / "valA_seg" / f"p_{number}.png" for number in (0, 3, 11))):
        path.parent.mkdir(exist_ok=True)
        image.save(path)
    (entry,) = list_domain(tmp_path, "val", "A", with_masks=True)
    masks = torch.full((1, 3, 8, 8), -1.0)
    for slot in range(3):
        masks[0, slot, slot] = 1
    batch = InstanceBatch.from_masks(to_tensor(image)[None], masks)
    folder = ResultFolder(tmp_path / "out")
    files = folder.save(entry, batch, [batch], batch, "A", "B")
    for slot, number in enumerate((0, 3, 11)):
        lines = np.flatnonzero(pixels(tmp_path / "out" / f"p_fake_B_mask_{number}.png").any(axis=1))
        assert lines.tolist() == [slot]
    union = np.flatnonzero(pixels(tmp_path / "out" / files["fake_B_mask"]).any(axis=1))
    assert union.tolist() == [0, 1, 2]
    assert files.keys() <= {name for names in folder.columns("A", "B") for name in names}


def test_a_method_that_gives_the_union_writes_the_union_alone(tmp_path):
    assert train(*_small(tmp_path), "--name", "run", "--model", "cycle_gan", "--with_masks", "--max_steps", "1") == 0
    folder = results(tmp_path, tmp_path / "out", "--direction", "AtoB")
    shown = {f"p_{kind}{more}" for kind in ("real_A", "fake_B", "rec_A") for more in ("", "_mask", "_overlay")}
    assert names(folder) == shown


def test_a_method_without_masks_writes_pictures_alone(tmp_path):
    assert train(*_small(tmp_path), "--name", "run", "--model", "cycle_gan", "--max_steps", "1") == 0
    folder = results(tmp_path, tmp_path / "out", "--direction", "AtoB")
    assert {name for name in names(folder) if "mask" not in name and "overlay" not in name} == {
        "p_real_A", "p_fake_B", "p_rec_A"
    }  # fmt: skip
    assert not names(folder, "p_fake_B_")


def _small(tmp_path: Path) -> tuple[Path, Path]:
    draw_set(tmp_path / "data", "train", a=(2,), b=(2,))
    draw_picture(tmp_path / "data" / "valA" / "p.png", masks=2)
    return tmp_path / "data", tmp_path / "runs"


def test_a_run_trained_backwards_translates_the_same_folders(tmp_path):
    """--direction BtoA exchanges the domains of the networks; A to B is still from folder A to folder B."""
    root, runs = _small(tmp_path)
    draw_picture(root / "valB" / "q.png", masks=1)
    assert train(root, runs, "--name", "run", "--max_steps", "1", "--direction", "BtoA") == 0
    folder = results(tmp_path, tmp_path / "out")
    assert names(folder) == expected("p", "A", "B", 2) | expected("q", "B", "A", 1)


def test_earlier_results_make_room_and_nothing_else_does(trained, tmp_path):
    folder = results(trained, tmp_path)
    (folder / "notes_A.png").write_bytes(b"mine")
    (folder / "old_fake_B_mask_7.png").write_bytes(b"from an earlier run")
    assert names(results(trained, tmp_path, "--direction", "BtoA")) == expected("b0", "B", "A", 1) | {"notes_A"}


def test_a_folder_that_cannot_be_made_names_itself(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file.*--results_dir"):
        ResultFolder(tmp_path / "file" / "run")
