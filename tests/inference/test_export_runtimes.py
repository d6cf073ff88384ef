"""scripts/export.py --format onnx and torch_export: the same numbers in other runtimes, for any size and number."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

import onnxruntime

from instagan import InputError, Translator
from instagan.inference.exporting import checking, onnx_format
from instagan.inference.exporting.checking import random_inputs
from instagan.inference.exporting.mini_batch import all_present, mini_batch_of
from instagan.networks.blocks import initialise
from instagan.networks.generators import ResnetGenerator, SetGenerator
from scripts.export import main
from tests.programs import sentence
from tests.test_floors import ROOT

UNSEEN = [(1, 8, 8), (1, 32, 48), (2, 20, 76), (7, 64, 64)]
"""Instances, height, width: none of them is checked at export, one is what was traced."""


def small(kind=SetGenerator, **sizes):
    """A generator with one residual block, which is traced quickly, and weights that move pixels."""
    torch.manual_seed(0)
    generator = kind(4, blocks=1, **sizes)
    initialise(generator, "xavier", 1.0)
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Both formats of one model -> its generator, the folder, what was printed."""
    folder = tmp_path_factory.mktemp("exported")
    generator = small()
    torch.save(generator.state_dict(), folder / "model.pth")
    for kind, name in (("onnx", "shapes.onnx"), ("torch_export", "shapes.pt2")):
        wanted = ["--model", str(folder / "model.pth"), "--output", str(folder / name), "--format", kind, "--to", "b"]
        assert main(wanted) == 0
    return generator, folder


def in_onnxruntime(path):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda *given: session.run(
        None, {name: x.numpy() for name, x in zip(("image", "masks"), given, strict=False)}
    )


def largest(made, wanted):
    return max(
        float(np.abs(np.asarray(one) - np.asarray(other)).max()) for one, other in zip(made, wanted, strict=True)
    )


@pytest.mark.parametrize("ending", ["onnx", "pt2"])
@pytest.mark.parametrize("count, height, width", UNSEEN)
def test_another_runtime_gives_what_torch_gives(exported, ending, count, height, width):
    generator, folder = exported
    file = folder / f"shapes.{ending}"
    run = in_onnxruntime(file) if ending == "onnx" else torch.export.load(file).module()
    inputs = random_inputs(height, width, count, torch.Generator().manual_seed(7))
    wanted = generator(all_present(*inputs))
    made = run(*inputs)
    assert np.shape(made[1]) == (count, height, width)
    assert largest(made, (wanted.image, wanted.masks[0])) < 1e-4
    assert largest((inputs[0],), (wanted.image,)) > 0.1  # it does something


def test_the_loop_in_the_documentation_translates_as_translator_does(exported, tmp_path, monkeypatch):
    text = (ROOT / "docs/using.md").read_text()
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "onnxruntime" in block)
    generator, folder = exported
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (40, 52, 3), dtype=np.uint8)).save("photo.png")
    files = []
    for number in range(5):
        mask = np.zeros((40, 52), np.uint8)
        mask[4 + number : 10 + 3 * number, 8 * number : 8 * number + 9] = 255
        files.append(f"photo_{number}.png")
        Image.fromarray(mask).save(files[-1])
    (tmp_path / "NAME.onnx").write_bytes((folder / "shapes.onnx").read_bytes())
    told: dict = {}
    exec(code, told)
    out = Translator.load(folder / "model.pth", device="cpu")("photo.png", files, ins_per=2)
    given = np.asarray(Image.open("translated.png")).astype(int)
    assert np.abs(given - np.asarray(out.picture)).max() <= 1  # of 255: values at a half may round either way
    assert ((told["masks_translated"] > 0) != out.inside).mean() < 1e-3


def test_large_pictures_stay_exact(exported):
    """onnxruntime's own instance norm is off by twenty times as much here: it adds up all pixels one by one."""
    generator, folder = exported
    inputs = random_inputs(256, 256, 1, torch.Generator().manual_seed(7))
    exact = generator.double()(all_present(*(x.double() for x in inputs)))
    generator.float()
    made = in_onnxruntime(folder / "shapes.onnx")(*inputs)
    assert largest(made, (exact.image, exact.masks[0])) < 5e-5


@pytest.mark.parametrize("with_union", [True, False])
def test_cyclegan_is_exported_too(tmp_path, with_union):
    generator = small(ResnetGenerator, with_union=with_union)
    torch.save(generator.state_dict(), tmp_path / "model.pth")
    file = tmp_path / "model.onnx"
    assert main(["--model", str(tmp_path / "model.pth"), "--output", str(file), "--format", "onnx", "--to", "b"]) == 0
    inputs = random_inputs(36, 60, 3, torch.Generator().manual_seed(7))
    wanted = generator(all_present(*inputs))
    made = in_onnxruntime(file)(*inputs[: 1 + with_union])
    assert largest(made, (wanted.image, wanted.masks[0])[: 1 + with_union]) < 1e-4


def test_the_file_tells_what_it_is(exported):
    _, folder = exported
    card = json.loads((folder / "shapes.json").read_text())
    assert set(card["exported"]) == {"b"} and card["exported"]["b"]["largest_difference"] < 1e-4
    assert card["exported"]["b"]["milliseconds"] > 0 < card["exported"]["b"]["milliseconds_in_torch"]
    session = onnxruntime.InferenceSession(str(folder / "shapes.onnx"), providers=["CPUExecutionProvider"])
    inside = json.loads(session.get_modelmeta().custom_metadata_map["instagan"])
    assert inside["to"] == "b" and inside["options"]["ngf"] == 4
    shapes = {value.name: value.shape for value in (*session.get_inputs(), *session.get_outputs())}
    assert shapes["image"] == shapes["translated"] == [1, 3, "height", "width"]
    assert shapes["masks"] == shapes["translated_masks"] == ["instances", "height", "width"]
    extra = {"instagan": ""}
    torch.export.load(folder / "shapes.pt2", extra_files=extra)
    assert json.loads(extra["instagan"])["to"] == "b"


def test_a_runtime_that_differs_writes_nothing(tmp_path, capsys, monkeypatch):
    torch.save(small(ResnetGenerator, with_union=False).state_dict(), tmp_path / "model.pth")
    file = tmp_path / "model.onnx"
    honest = onnx_format.runner
    monkeypatch.setattr(onnx_format, "runner", lambda content: lambda *x: tuple(y + 2e-4 for y in honest(content)(*x)))
    wanted = ("--model", tmp_path / "model.pth", "--output", file, "--format", "onnx", "--to", "b")
    told = sentence(capsys, main, *wanted)
    assert "onnxruntime differs from torch by 0.0002 for 1 instances at 32x32" in told
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]


def test_wrong_input_is_one_sentence(tmp_path, capsys, monkeypatch):
    torch.save(small().state_dict(), tmp_path / "model.pth")
    where = ("--model", tmp_path / "model.pth", "--output")
    assert "ends in .onnx" in sentence(capsys, main, *where, tmp_path / "model.pt2", "--format", "onnx")
    assert "ends in .pt2" in sentence(capsys, main, *where, tmp_path / "model.onnx", "--format", "torch_export")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    told = sentence(capsys, main, *where, tmp_path / "model.onnx", "--format", "onnx")
    assert "pip install onnxruntime" in told


def test_the_check_sees_every_output_and_shape():
    generator = small()
    inputs = []

    def crooked(image, masks):
        inputs.append((len(masks), *image.shape[2:]))
        wanted = generator(all_present(image, masks))
        return wanted.image, wanted.masks[0][:1]

    with pytest.raises(InputError, match="differs from torch by inf for 2 instances"):
        checking.largest_difference(crooked, mini_batch_of(generator), generator, "x")
    assert inputs == [(1, 32, 32), (2, 32, 32)]
