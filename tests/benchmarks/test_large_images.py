"""The study of large pictures: edges, seams, a table and a picture, from tiny models."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from benchmarks import large_images
from instagan import Translator
from instagan.inference.inputs import Source
from instagan.inference.result import Translation
from scripts import make_shapes
from tests.programs import sentence
from tests.using import tiny_run


def test_an_edge_is_as_wide_as_it_is_blurred():
    mask = np.zeros((160, 160), bool)
    mask[40:110, 44:114] = True
    picture = np.where(mask[..., None], (200, 60, 40), (90, 120, 130))
    assert large_images.edge_width(picture.astype(np.uint8), mask) == pytest.approx(2, rel=0.05)
    for pixels in (5, 9):
        blurred = ndimage.uniform_filter(picture.astype(float), (pixels, pixels, 1))
        assert large_images.edge_width(blurred.round().astype(np.uint8), mask) == pytest.approx(pixels, rel=0.05)


def test_steps_are_those_that_the_translation_adds_along_windows_and_elsewhere(tmp_path):
    run, _ = tiny_run(tmp_path, "run", "--instance_crops")
    pixels = np.random.default_rng(0).integers(50, 200, (100, 100, 3), dtype=np.uint8)
    masks = np.zeros((1, 100, 100), bool)
    masks[0, 45:55, 45:55] = True  # its window of 32 pixels is 34 ... 66
    translator, source = Translator.load(run.path, device="cpu"), Source(pixels, masks, (0,))

    def steps(changed: np.ndarray) -> tuple[float, float]:
        made = Translation(Image.fromarray(changed), [Image.fromarray(masks[0])], (True,), unchanged=False)
        return tuple(float(each.mean()) for each in large_images.added_steps(translator, source, made))

    assert steps(pixels) == (0, 0)
    shifted = pixels.copy()
    shifted[34:66, 34:66] += 10
    assert steps(shifted) == (10, 0)
    elsewhere = pixels.copy()
    elsewhere[:10] += 10
    assert steps(elsewhere)[0] == 0 < steps(elsewhere)[1]


def test_runs_are_measured_shown_and_told(tmp_path, capsys):
    root = tmp_path / "shapes"
    drawn = ["--size", "96", "--sizes", "0.15", "0.2", "--train", "0", "--val", "1", "--instances", "2"]
    assert make_shapes.main(["--save_root", str(root), *drawn]) == 0
    runs = [tiny_run(tmp_path, name, *flags)[0].path for name, flags in
            (("windows", ("--instance_crops",)), ("shrunk", ()))]  # fmt: skip
    flags = ["--dataroot", str(root), "--results", str(tmp_path / "out"), "--runs", *map(str, runs)]
    assert large_images.main(flags) == 0
    real, windows, shrunk = json.loads((tmp_path / "out/large_images.json").read_text())
    assert 1 < real["edge"] < 3 and real["shape"] is None
    assert windows["border"] is not None and shrunk["border"] is None and shrunk["hidden"] > 0
    assert "| shrunk | " in (tmp_path / "out/large_images.md").read_text()
    assert Image.open(tmp_path / "out/large_images.png").width > 2 * large_images.SHOWN
    assert "has no shapes.json" in sentence(capsys, large_images.main, "--dataroot", str(tmp_path), "--runs", "x")
