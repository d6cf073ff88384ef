"""test.py --styles and --style_image: several translations of each picture, numbered, drawn alike in every run."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.results import short_name
from evaluation.outputs import outputs_of
from tests.programs import OF_SMALL, draw_picture, draw_set, sentence, test_program, train, translate
from tests.using import tiny_run


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A data set, two example pictures, and a run of MUNIT of one step."""
    root = tmp_path_factory.mktemp("styles")
    draw_set(root / "data", "train", a=(1,), b=(1,))
    draw_set(root / "data", "val", a=(1, 1), b=(0,))
    for number in range(2):
        draw_picture(root / "nights" / "x" / f"night{number}.png", 0, (50, 44), seed=number + 5)
    flags = ("--name", "run", "--model", "munit", *OF_SMALL["munit"], "--max_steps", "1", "--no_html")
    assert train(root / "data", root / "runs", *flags) == 0
    return root


def results(trained: Path, out: Path, *flags: str) -> Path:
    assert translate(trained / "data", trained / "runs", out, "--name", "run", "--phase", "val", *flags) == 0
    return out / "run" / "val_latest"


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png") if "contact_sheet" not in path.name}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture, int)


def test_drawn_styles_are_numbered_differ_and_are_equal_in_every_run(trained, tmp_path):
    folder = results(trained, tmp_path / "three", "--styles", "3")
    made = pictures(folder)
    assert set(made) == {f"a{number}_{what}.png" for number in (0, 1) for what in ("real_A", *_styled("B", 3))} | {
        f"b0_{what}.png" for what in ("real_B", *_styled("A", 3))
    }
    found = outputs_of(folder, "B")
    assert {name: [path.name for path in paths] for name, paths in found.items()} == {
        f"a{number}": [f"a{number}_{style}.png" for style in _styled("B", 3)] for number in (0, 1)
    }
    for one, other in pairwise(found["a0"]):
        assert (pixels(one) != pixels(other)).mean() > 0.2
    page = (folder / "index.html").read_text("utf-8")
    assert page.count("<article") == 3 and "a1_fake_B_style2.png" in page and "rec_A" not in page
    with Image.open(folder / "contact_sheet_AtoB.png") as sheet:
        assert sheet.width > 4 * 192
    fewer = pictures(results(trained, tmp_path / "one", "--styles", "1", "--direction", "AtoB"))
    assert len(fewer) == 4 and fewer.items() <= made.items()
    other = pictures(results(trained, tmp_path / "other", "--styles", "1", "--direction", "AtoB", "--seed", "7"))
    assert other["a0_fake_B_style0.png"] != made["a0_fake_B_style0.png"]


def _styled(target: str, count: int) -> list[str]:
    return [f"fake_{target}_style{style}" for style in range(count)]


def test_without_a_flag_there_is_one_translation_and_a_way_back_in_the_own_style(trained, tmp_path):
    folder = results(trained, tmp_path, "--styles", "2", "--direction", "AtoB")
    numbered = pictures(folder)
    assert results(trained, tmp_path, "--direction", "AtoB") == folder
    plain = pictures(folder)
    assert set(plain) == {f"a{number}_{what}.png" for number in (0, 1) for what in ("real_A", "fake_B", "rec_A")}
    assert plain["a0_fake_B.png"] == numbered["a0_fake_B_style0.png"]
    assert [paths[0].name for paths in outputs_of(folder, "B").values()] == ["a0_fake_B.png", "a1_fake_B.png"]


def test_examples_give_a_column_each_and_stand_above(trained, tmp_path):
    nights = trained / "nights" / "x"
    flags = ("--direction", "AtoB", "--batch_size", "2")
    folder = results(trained, tmp_path / "both", "--style_image", str(nights), *flags)
    made = pictures(folder)
    assert {"example_B_style0.png", "example_B_style1.png"} < set(made) and len(made) == 8
    assert pixels(folder / "example_B_style1.png").shape == (32, 32, 3)
    assert made["a0_fake_B_style0.png"] != made["a0_fake_B_style1.png"]
    page = (folder / "index.html").read_text("utf-8")
    above, first = page.split("<article")[1:3]
    assert "night0.png of" in above and "example_B_style1.png" in above and 'class="gap"' in above
    assert "a0_fake_B_style1.png" in first and "gap" not in first
    alone = pictures(results(trained, tmp_path / "one", "--style_image", str(nights / "night1.png"), *flags))
    assert alone["a1_fake_B_style0.png"] == made["a1_fake_B_style1.png"]


def test_wrong_flags_for_styles_are_one_sentence(trained, tmp_path, capsys):
    tiny_run(tmp_path / "runs", "plain", "--model", "cycle_gan")
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "ok.png")
    (tmp_path / "bad.png").write_bytes(b"no image")

    def said(runs: Path, name: str, *flags: object) -> str:
        where = ("--dataroot", trained / "data", "--checkpoints_dir", runs, "--results_dir", tmp_path / "out")
        fixed = ("--name", name, "--phase", "val", "--device", "cpu", "--num_threads", "0")
        return sentence(capsys, test_program.main, *where, *fixed, *flags)

    for flag, value in (("--styles", 3), ("--style_image", tmp_path / "ok.png")):
        told = said(tmp_path / "runs", "plain", flag, value)
        assert told == f"test.py: {flag}: this model translates without a style; drop it"
    runs = trained / "runs"
    both = said(runs, "run", "--styles", 2, "--style_image", tmp_path / "ok.png")
    assert "--styles and --style_image both tell the styles" in both
    assert "--save_coco keeps one translation" in said(runs, "run", "--styles", 2, "--save_coco")
    assert "gone: no such file or folder" in said(runs, "run", "--style_image", tmp_path / "gone")
    assert "empty holds no image" in said(runs, "run", "--style_image", tmp_path / "empty")
    assert "bad.png" in said(runs, "run", "--style_image", tmp_path / "bad.png")
    small = said(runs, "run", "--style_image", tmp_path / "ok.png", "--fine_size", 8, "--load_size", 8)
    assert "ok.png: a style image of 8x8 pixels is too small; use 16 or more a side" in small
    assert "--styles" in said(runs, "run", "--styles", 0)


def test_the_longest_name_has_room_for_its_style():
    assert len(f"{short_name('n' * 300)}_fake_B_style999_mask_99999.png") <= 255
