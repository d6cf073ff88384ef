"""--ema: averages of the generators' weights translate, are saved and resumed, and training does not know of them."""

import pytest
import torch
from torch import nn

from engine.averaging import Averages, averaged
from engine.run_folder import RunFolder, restore_networks
from instagan import Translator
from models import MODELS
from options.parse import parse_training
from scripts.export import main as export
from tests.batches import random_batch
from tests.engine.test_resume import assert_equal
from tests.programs import draw_set, tiny, train

FLAGS = ("--name", "run", "--no_html", "--print_freq", "1", "--niter", "9", "--upsample", "resize_conv")


class Averaging:
    def __init__(self, averages):
        self.averages = averages


def test_averages_are_exponential_and_begin_fast():
    networks = nn.ModuleDict({"G_A": nn.BatchNorm1d(1), "D_A": nn.Linear(1, 1)})
    averages, expected = Averages(networks, 0.25), 1.0
    for update, kept in enumerate((2 / 11, 0.25, 0.25), 1):  # (1 + 1) / (10 + 1), then 3 / 12 and 4 / 13
        with torch.no_grad():
            networks["G_A"].weight.fill_(10.0 * update)
            networks["G_A"].running_mean.fill_(update)
        averages.update()
        expected = kept * expected + (1 - kept) * 10 * update
        state = averages.state_dict()["networks"]
        assert state["G_A"]["weight"].item() == pytest.approx(expected) and list(state) == ["G_A"]
        assert state["G_A"]["running_mean"] == update  # no weight: as it is
    with pytest.raises(KeyError), averaged(Averaging(averages)):
        assert networks["G_A"].weight.item() == pytest.approx(expected)
        raise KeyError
    assert networks["G_A"].weight == 30
    with averaged(Averaging(None)):
        assert networks["G_A"].weight == 30


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same two steps: without averages, with them, and with them in two starts."""
    folder = tmp_path_factory.mktemp("averaging")
    data = draw_set(folder / "set", "train", a=(2, 1), b=(1, 2))
    found = {}
    for name, flags in {"plain": (), "straight": ("--ema", "0.5"), "stopped": ("--ema", "0.5")}.items():
        if name == "stopped":
            assert train(data, folder / name, *FLAGS, *flags, "--max_steps", "1") == 0
            flags += ("--continue_train",)
        assert train(data, folder / name, *FLAGS, *flags, "--max_steps", "2") == 0
        found[name] = RunFolder(folder / name, "run")
    return found


def test_resumed_to_the_bit_and_of_no_influence_on_training(runs):
    plain, straight, stopped = (torch.load(run.path / "latest.pth", weights_only=True) for run in runs.values())
    assert_equal(straight, stopped)
    assert straight["averages"]["count"] == 2 and set(straight["averages"]["networks"]) == {"G_A", "G_B"}
    for part in ("networks", "optimizers", "pools", "random"):
        assert_equal(plain[part], straight[part])
    assert "averages" not in plain


def test_averages_translate_and_are_exported(runs, tmp_path):
    run = runs["straight"]
    state = run.load("latest")
    options = parse_training(["--dataroot", ".", *tiny(*FLAGS)]).values
    model = MODELS["insta_gan"].from_options(options)
    restore_networks(state, model)
    assert_equal(model.networks["G_A"].state_dict(), state["averages"]["networks"]["G_A"])
    assert_equal(model.networks["D_A"].state_dict(), state["networks"]["D_A"])
    assert not torch.equal(next(model.networks["G_A"].parameters()), next(iter(state["networks"]["G_A"].values())))
    batch = random_batch([2])
    assert export(["--model", str(run.path), "--output", str(tmp_path / "model.safetensors")]) == 0
    for path in (run.path, tmp_path / "model.safetensors"):
        network = Translator.load(path, to="b", device="cpu").network
        assert network.description.config["upsample"] == "resize_conv"
        assert torch.allclose(network.run(batch).image, model.translate(batch, "b").image, atol=1e-5)
