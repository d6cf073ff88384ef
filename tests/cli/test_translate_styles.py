"""python -m instagan translate --styles and --style_image, with a model that has styles and with one that has none."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from instagan import Translator
from instagan.cli.main import main
from tests.programs import OF_SMALL, draw_picture, sentence
from tests.using import tiny_run


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Runs of MUNIT and of CycleGAN, pictures x and y, and two example pictures."""
    root = tmp_path_factory.mktemp("styles")
    tiny_run(root / "runs", "munit", "--model", "munit", *OF_SMALL["munit"])
    tiny_run(root / "runs", "plain", "--model", "cycle_gan")
    for folder, names in (("days", "xy"), ("nights", "pq")):
        for number, name in enumerate(names):
            draw_picture(root / folder / folder / f"{name}.png", 0, (27 + 9 * number, 30), seed=number)
    return root


def command(root: Path, *flags: object, model: str = "munit") -> list[str]:
    return ["translate", "--model", str(root / "runs" / model), "--device", "cpu", *(str(flag) for flag in flags)]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture, int)


def test_a_folder_in_several_drawn_styles(root, tmp_path, capsys):
    flags = ("--images", root / "days/days", "--output_dir", tmp_path / "out", "--styles", 3)
    assert main(command(root, *flags)) == 0
    told = capsys.readouterr().out
    assert told.startswith("2 pictures, 0 instances translated to b in 3 styles in ")
    made = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert set(made) == {f"{name}_style{style}.png" for name in "xy" for style in range(3)}
    t = Translator.load(root / "runs/munit", device="cpu")
    for style, code in enumerate(t.draw_styles(3, seed=0)):
        expected = np.asarray(t(root / "days/days/x.png", style=code).picture)
        assert (pixels(tmp_path / f"out/x_style{style}.png") == expected).all()
    assert main(command(root, *flags, "--seed", 1)) == 0
    assert made["x_style0.png"] != (tmp_path / "out/x_style0.png").read_bytes()


def test_one_image_in_the_styles_of_examples(root, tmp_path):
    nights, image = root / "nights/nights", root / "days/days/x.png"
    flags = ("--image", image, "--output", tmp_path / "y.png")
    assert main(command(root, *flags, "--style_image", nights)) == 0
    assert main(command(root, *flags)) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"y.png", "y_style0.png", "y_style1.png"}
    t = Translator.load(root / "runs/munit", device="cpu")
    for style, name in enumerate("pq"):
        expected = np.asarray(t(image, style=nights / f"{name}.png").picture)
        assert (pixels(tmp_path / f"y_style{style}.png") == expected).all()
    assert (pixels(tmp_path / "y.png") == np.asarray(t(image).picture)).all()
    assert main(command(root, "--image", image, "--output", tmp_path / "z.png", "--style_image", nights / "q.png")) == 0
    assert (tmp_path / "z_style0.png").read_bytes() == (tmp_path / "y_style1.png").read_bytes()


def test_wrong_flags_are_one_sentence(root, tmp_path, capsys):
    image, nights = root / "days/days/x.png", root / "nights/nights"
    Image.new("RGB", (8, 40)).save(tmp_path / "small.png")
    Image.new("RGB", (40, 40)).save(tmp_path / "y_style0.png")

    def said(*flags: object, model: str = "munit") -> str:
        given = ("--image", image, "--output", tmp_path / "y.png", *flags)
        return sentence(capsys, main, *command(root, *given, model=model))

    for flag, value in (("--styles", 3), ("--style_image", nights)):
        assert said(flag, value, model="plain").endswith(f"{flag}: this model translates without a style; drop it")
    assert "both tell the styles; drop one" in said("--styles", 2, "--style_image", nights)
    assert "small.png: a style image of 8x40 pixels is too small" in said("--style_image", tmp_path / "small.png")
    over = said("--style_image", tmp_path / "y_style0.png")
    assert "y_style0.png would be written over the input" in over
    video = command(root, "--video", "x.mp4", "--masks_dir", nights, "--output", "y.mp4", "--styles", 2)
    assert "--styles does not go with --video" in sentence(capsys, main, *video)
    assert not (tmp_path / "y.png").exists()
