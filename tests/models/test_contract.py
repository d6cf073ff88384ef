"""Every method keeps the contract: train, save, resume and translate a two-picture folder through the programs."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.method import load_state, state_of
from engine.schedule import Progress
from engine.update import Update
from models import MODELS
from options.build import build_model
from options.parse import parse_training
from tests.batches import assert_same, random_pair, trained_on
from tests.programs import OF_SMALL, ROOT, draw_set, train, translate

CASES = [(name, *OF_SMALL.get(name, ())) for name in MODELS] + [
    ("cycle_gan", "--with_masks"),
    ("cut", "--CUT_mode", "FastCUT"),
]
STEP = ("--niter", "1", "--niter_decay", "1", "--no_html", "--print_freq", "1")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = draw_set(tmp_path_factory.mktemp("data"), "train", a=[2, 1], b=[1, 3])
    return draw_set(root, "val", a=[3, 0], b=[1, 2])


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_train_save_resume_translate(case, data, tmp_path):
    method = ("--name", "run", "--model", *case)
    assert train(data, tmp_path, *method, *STEP, "--max_steps", "1") == 0
    first = torch.load(tmp_path / "run" / "latest.pth", weights_only=True)
    assert train(data, tmp_path, *method, *STEP, "--continue_train") == 0
    last = torch.load(tmp_path / "run" / "latest.pth", weights_only=True)
    assert (last["progress"]["epoch"], last["progress"]["in_epoch"]) == (3, 0)  # both epochs are done
    for name, weights in first["networks"].items():
        assert any(not torch.equal(tensor, last["networks"][name][key]) for key, tensor in weights.items()), name

    assert translate(data, tmp_path, tmp_path / "results", "--name", "run", "--phase", "val") == 0
    results = tmp_path / "results" / "run" / "val_latest"
    learned = MODELS[case[0]].directions
    for stem, source, target in (("a0", "A", "B"), ("a1", "A", "B"), ("b0", "B", "A"), ("b1", "B", "A")):
        there, back = (source, target) in learned, (target, source) in learned
        for what, expected in ((f"real_{source}", there), (f"fake_{target}", there), (f"rec_{source}", there and back)):
            assert (results / f"{stem}_{what}.png").exists() == expected
            if expected:
                with Image.open(results / f"{stem}_{what}.png") as picture:
                    assert picture.size == (32, 32) and picture.mode == "RGB"
    assert (results / "index.html").exists()
    real, fake = (np.asarray(Image.open(results / f"a0_{what}.png")) for what in ("real_A", "fake_B"))
    assert np.abs(real.astype(int) - fake).max() > 0


@pytest.mark.parametrize("name", ["cut", "drit", "mguit", "insta_former", "star_insta_gan"])  # all kinds of networks
def test_a_step_in_bf16_that_recomputes_gives_finite_losses_in_float32(name):
    flags = ["--model", name, "--ngf", "4", "--ndf", "2", "--precision", "bf16", "--checkpoint_activations"]
    options = parse_training(["--dataroot", str(ROOT), *flags, *OF_SMALL.get(name, ())]).values
    model = build_model(options, torch.device("cpu"))
    update = Update([random_pair([2, 1], [1, 3])], progress=Progress(steps=2))  # of three updates, one that is whole
    model.training_step(update)
    for kind, loss in update.losses().items():
        assert loss.isfinite() and loss.dtype == torch.float32, kind
    for pictures in update.pictures.values():
        assert all(batch.image.dtype == torch.float32 for batch in pictures.values())


@pytest.mark.parametrize("name", MODELS)
def test_state_restores_everything_that_training_depends_on(name):
    flags = ["--model", name, "--ngf", "2", "--ndf", "2", *OF_SMALL.get(name, ())]
    options = parse_training(["--dataroot", str(ROOT), *flags]).values
    torch.manual_seed(0)
    model = MODELS[name].from_options(options)
    trained_on(model, random_pair([2, 1], [1, 3]))
    torch.manual_seed(1)
    twin = MODELS[name].from_options(options)
    load_state(twin, copy.deepcopy(state_of(model)))  # as through a file
    for seed in (3, 4):
        losses, pictures = trained_on(model, random_pair([2, 0], [1, 3], seed=seed))
        again, twins = trained_on(twin, random_pair([2, 0], [1, 3], seed=seed))
        assert {key: value.item() for key, value in losses.items()} == {
            key: value.item() for key, value in again.items()
        }
        for source, batches in pictures.items():
            assert list(batches)[0] == f"real_{source}"
            for key, batch in batches.items():
                assert_same(batch, twins[source][key])


def test_programs_name_no_method():
    for program in ("train.py", "test.py"):
        text = (ROOT / program).read_text().replace("[--model insta_gan]", "")
        assert not re.search(rf"\b({'|'.join(MODELS)})\b", text), program
        assert len(text.splitlines()) <= 90, program


def test_a_method_speaks_of_no_ranks_and_no_accumulated_batches():
    for path in sorted((ROOT / "models").glob("*.py")):
        found = re.findall(r"\b(ranks?|world|joint|accumulate)\b", path.read_text())
        assert not found, (path.name, found)


def test_direction_b_to_a_exchanges_the_domains_in_training_and_back_in_translation(data, tmp_path):
    assert train(data, tmp_path, "--name", "there", *STEP, "--direction", "BtoA", "--serial_batches", "--no_flip") == 0
    swapped = tmp_path / "swapped"
    swapped.mkdir()
    for source, target in (("A", "B"), ("B", "A")):
        for kind in ("", "_seg"):
            (swapped / f"train{target}{kind}").symlink_to(data / f"train{source}{kind}")
            (swapped / f"val{target}{kind}").symlink_to(data / f"val{source}{kind}")
    assert train(swapped, tmp_path, "--name", "back", *STEP, "--serial_batches", "--no_flip") == 0
    one, other = (
        torch.load(tmp_path / name / "latest.pth", weights_only=True)["networks"] for name in ("there", "back")
    )
    assert all(torch.equal(tensor, other[net][key]) for net in one for key, tensor in one[net].items())
    for name, root in (("there", data), ("back", swapped)):
        assert translate(root, tmp_path, tmp_path / "results", "--name", name, "--phase", "val") == 0
    there, back = (tmp_path / "results" / name / "val_latest" for name in ("there", "back"))
    assert (there / "a0_fake_B.png").read_bytes() == (back / "a0_fake_A.png").read_bytes()


def test_a_method_with_one_direction_learns_the_other_with_b_to_a_and_says_what_it_cannot_translate(
    data, tmp_path, capsys
):
    assert train(data, tmp_path, "--name", "one_way", "--model", "cut", *STEP, "--direction", "BtoA") == 0
    results = tmp_path / "results"
    assert translate(data, tmp_path, results, "--name", "one_way", "--phase", "val") == 0
    written = {path.name for path in (results / "one_way" / "val_latest").glob("[ab]0_*.png")}
    assert written == {"b0_real_B.png", "b0_fake_A.png"}
    capsys.readouterr()
    assert translate(data, tmp_path, results, "--name", "one_way", "--phase", "val", "--direction", "AtoB") == 2
    said = "--direction AtoB: the run has learned BtoA only; use --direction BtoA"
    assert said in capsys.readouterr().err
