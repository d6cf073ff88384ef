"""Exported models with styles: the style is a second input of ONNX and torch.export; safetensors keep the encoders."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from instagan import Translator
from scripts.export import main
from tests.programs import OF_SMALL
from tests.using import tiny_run

onnxruntime = pytest.importorskip("onnxruntime")


CONCAT = [("drit", "--concat", "1"), ("drit", "--concat", "0")]
STYLED = [("munit", "--n_res", "1"), *CONCAT, ("insta_former",), ("mguit",)]
LONGER = [pytest.param(method, marks=pytest.mark.slow) for method in ("insta_former", "mguit")]


@pytest.fixture(scope="module", params=STYLED, ids=" ".join)
def run(request, tmp_path_factory) -> Path:
    return styled_run(*request.param, folder=tmp_path_factory.mktemp("styles"))


def styled_run(method: str, *flags: str, folder: Path) -> Path:
    return tiny_run(folder, "run", "--model", method, "--init_type", "kaiming", *OF_SMALL[method], *flags)[0].path


def exported(run: Path, file: Path, *flags: str) -> Path:
    assert main(["--model", str(run), "--output", str(file), *flags]) == 0
    return file


def image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1


def test_the_style_is_a_second_input_of_onnx(run, tmp_path, capsys):
    check_style(run, tmp_path, "onnx", "onnx", capsys)


@pytest.mark.parametrize("method", ["munit", *LONGER])
def test_the_style_is_a_second_input_of_torch_export(method, tmp_path, capsys):
    """ONNX is made from such a program of every method; here it is written, read and run itself."""
    check_style(styled_run(method, folder=tmp_path), tmp_path, "pt2", "torch_export", capsys)


def check_style(run, tmp_path, ending, name, capsys):
    file = exported(run, tmp_path / f"m.{ending}", "--format", name, "--to", "b")
    assert "within " in capsys.readouterr().out
    t, pixels = Translator.load(run, to="b", device="cpu"), image(44, 60)
    codes = t.draw_styles(2, seed=3)
    made = []
    for code in codes:
        wanted = t(pixels, style=code, tensors=True).image[None]
        if ending == "onnx":
            session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
            shapes = {value.name: value.shape for value in (*session.get_inputs(), *session.get_outputs())}
            sides = [1, 3, "height", "width"]
            assert shapes == {"image": sides, "style": [1, codes.shape[1]], "translated": sides}
            given = {"image": as_tensor(pixels).numpy(), "style": code[None].numpy()}
            made.append(torch.from_numpy(session.run(None, given)[0]))
        else:
            made.append(torch.export.load(file).module()(as_tensor(pixels), code[None])[0])
        assert float((made[-1] - wanted).abs().max()) < 1e-4
    assert float((made[0] - made[1]).abs().max()) > 0.05  # it looks at its style
    card = json.loads((tmp_path / "m.json").read_text())
    assert card["translators"][0]["needs"] == ["style"] and card["exported"]["b"]["largest_difference"] < 1e-4


def test_safetensors_translate_in_drawn_styles_and_of_examples(run, tmp_path):
    pytest.importorskip("safetensors")
    file = exported(run, tmp_path / "m.safetensors")
    pixels, example = image(30, 41), image(36, 24)[:, ::-1] // 2
    ways = json.loads((tmp_path / "m.json").read_text())["translators"]
    for to in {way["target"].lower() for way in ways}:
        ours, theirs = (Translator.load(path, to=to, device="cpu") for path in (run, file))
        assert theirs.has_styles
        of_example = [] if ours.network.translator.own_style is not None else [example]
        for style in (None, theirs.draw_styles(2, seed=1)[1], *of_example):
            one, other = (np.asarray(t(pixels, style=style).picture) for t in (ours, theirs))
            assert (one == other).all()
