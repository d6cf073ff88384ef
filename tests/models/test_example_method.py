"""The method that docs/architecture.md adds works as it stands there."""

from __future__ import annotations

import re
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from instagan import Translator
from instagan.cli.web.handling import DRAWN, Desk, Order
from models import MODELS
from tests.programs import ROOT, draw_set, train, translate

NAME = "close_gan"
STEP = ("--name", "run", "--model", NAME, "--niter", "1", "--niter_decay", "1", "--no_html", "--print_freq", "1")


@pytest.fixture
def example(monkeypatch) -> type:
    """The class, which is in the table of methods for one test."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "architecture.md").read_text(), re.DOTALL)
    module = types.ModuleType("close_gan_model")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, "docs/architecture.md", "exec"), module.__dict__)
    monkeypatch.setitem(MODELS, NAME, module.CloseGanModel)
    assert len(code.splitlines()) <= 75
    return module.CloseGanModel


def latest(checkpoints) -> dict:
    return torch.load(checkpoints / "run" / "latest.pth", weights_only=True)


@pytest.mark.usefixtures("example")
def test_the_example_trains_resumes_to_the_bit_and_translates(tmp_path):
    data = draw_set(tmp_path / "data", "train", a=[1, 0], b=[1, 2])
    draw_set(data, "val", a=[1], b=[1])
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert train(data, whole, *STEP) == 0
    assert train(data, halves, *STEP, "--max_steps", "1") == 0
    first = latest(halves)["networks"]
    assert train(data, halves, *STEP, "--continue_train") == 0
    for name, network in latest(whole)["networks"].items():
        resumed = latest(halves)["networks"][name]
        assert all(torch.equal(tensor, resumed[key]) for key, tensor in network.items())
        assert not all(torch.equal(tensor, first[name][key]) for key, tensor in network.items())
    assert translate(data, halves, tmp_path / "results", "--name", "run", "--phase", "val") == 0
    results = tmp_path / "results" / "run" / "val_latest"
    t = Translator.load(halves / "run", device="cpu")
    with Image.open(results / "a0_real_A.png") as real, Image.open(results / "a0_fake_B.png") as fake:
        assert np.array_equal(np.asarray(t(real).picture), np.asarray(fake))
    (tmp_path / "shown").mkdir()
    desk = Desk({"b": t}, None, 10**6, tmp_path / "shown")  # what the app does with it
    shown = desk.translate(Order(results / "a0_real_A.png", DRAWN, [], True, [], "b", 1))
    assert np.array_equal(np.asarray(shown.translated), np.asarray(t(results / "a0_real_A.png").picture))
    assert not list(results.glob("*fake_A*")) and not list(results.glob("*rec*"))  # it has no way back
