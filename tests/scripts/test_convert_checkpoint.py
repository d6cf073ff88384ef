"""scripts/convert_checkpoint.py: published weights become a run that can be tested and trained on, and the reverse."""

import pytest
import torch

from engine.method import load_networks
from engine.run_folder import RunFolder
from instagan import Translator
from instagan.io.tensor_files import read_tensors
from scripts.convert_checkpoint import main
from tests.batches import random_batch
from tests.inference.test_published import FORMS, golden
from tests.models.test_reference_parity import TRACES, WAYS, Trace, assert_golden
from tests.programs import draw_set, sentence, train, train_program, translate
from tests.using import state, tiny_run, write_published

METHODS = {
    "insta_gan": ("--n_layers_D", "2", "--norm", "none"),
    "cycle_gan": ("--model", "cycle_gan", "--netG", "resnet_6blocks", "--ndf", "8"),
    "cycle_gan with masks": ("--model", "cycle_gan", "--with_masks", "--direction", "BtoA"),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("old_format", [False, True])
def test_a_run_comes_back_as_it_was(method, old_format, tmp_path):
    run, model = tiny_run(tmp_path / "runs", "run", *METHODS[method])
    more = ["--old_format"] if old_format else []
    assert main(["--run", str(run.path), "--output", str(tmp_path / "published"), *more]) == 0
    names = {f"latest_net_{name}.pth" for name in ("G_A", "G_B", "D_A", "D_B")}
    assert {path.name for path in (tmp_path / "published").iterdir()} == names | {"opt.txt"}
    for name in names:
        assert (tmp_path / "published" / name).read_bytes().startswith(b"PK") != old_format
    flags = ["--checkpoints_dir", str(tmp_path / "runs"), "--name", "back"]
    assert main(["--published", str(tmp_path / "published"), *flags]) == 0
    back = RunFolder(tmp_path / "runs", "back").load("latest")
    for name, network in model.networks.items():
        for key, tensor in state(network).items():
            assert torch.equal(back["networks"][name][key], tensor), (name, key)
    saved, original = (RunFolder(tmp_path / "runs", name).read_options() for name in ("back", "run"))
    for name in ("model", "ngf", "ndf", "n_layers_D", "netG", "norm", "direction", "with_masks"):
        assert saved.get(name) == original.get(name), name
    batch = random_batch([2])
    for to in "ab":
        one, other = (Translator.load(tmp_path / "runs" / name, to=to, device="cpu") for name in ("back", "run"))
        assert torch.equal(one.network.run(batch).image, other.network.run(batch).image)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
@pytest.mark.parametrize(("zipped", "prefix"), FORMS[:1] + FORMS[-1:])
@torch.no_grad()
def test_golden_weights_become_a_run_that_gives_the_golden_scores(path, zipped, prefix, tmp_path):
    trace = Trace(path)
    (tmp_path / "published").mkdir()
    folder = golden(trace, tmp_path / "published", zipped, prefix)
    assert main(["--published", str(folder), "--checkpoints_dir", str(tmp_path), "--name", "run", "--lr", "0.1"]) == 0
    networks = RunFolder(tmp_path, "run").load("latest")["networks"]
    model = trace.model().eval()
    for network in model.networks.values():
        for parameter in network.parameters():
            parameter.zero_()
    load_networks(model, {"networks": networks})
    for source, target in WAYS:
        judged = trace.batch(target, model).largest(trace.meta["ins_max"])
        assert_golden(model.networks[f"D_{source}"](judged), path, f"forward/D_{source}(real_{target})")
    assert RunFolder(tmp_path, "run").read_options()["lr"] == 0.1


def test_training_goes_on_with_a_converted_run(tmp_path, capsys):
    dataroot = draw_set(tmp_path / "data", "train", a=(1, 2), b=(2, 1))
    draw_set(tmp_path / "data", "test", a=(1,), b=(1,))
    _, model = tiny_run(tmp_path / "runs", "first")
    folder = write_published(tmp_path / "runs" / "published", model, only="G")
    start = ("--dataroot", dataroot, "--checkpoints_dir", tmp_path / "runs", "--name", "published", "--continue_train")
    assert "convert_checkpoint.py" in sentence(capsys, train_program.main, *start, "--display_id", "0")
    sizes = ("--ndf", "4", "--load_size", "36", "--fine_size", "32", "--display_id", "0")
    where = ("--checkpoints_dir", str(tmp_path / "runs"), "--name", "run", "--dataroot", str(dataroot))
    assert main(["--published", str(folder / "latest_net_G_B.pth"), *where, *sizes, "--no_html"]) == 0
    assert "D_A, D_B were not there" in capsys.readouterr().out
    assert translate(dataroot, tmp_path / "runs", tmp_path / "results", "--name", "run") == 0
    assert train(dataroot, tmp_path / "runs", "--name", "run", "--continue_train", "--max_steps", "1") == 0
    moved = RunFolder(tmp_path / "runs", "run").load("latest")
    assert moved["progress"]["steps"] == 1
    change = moved["networks"]["G_A"]["image_encoder.1.weight"] - state(model.networks["G_A"])["image_encoder.1.weight"]
    assert 0 < change.abs().max() < 1e-3


def test_wrong_input_is_one_sentence(tmp_path, capsys):
    run, model = tiny_run(tmp_path / "runs", "run")
    folder = write_published(tmp_path / "published", model)
    there = ("--checkpoints_dir", tmp_path / "runs")
    for flags, reason in (
        (("--published", folder), "--name is missing"),
        (("--run", run.path), "--output is missing"),
        (("--run", run.path, "--output", tmp_path / "o", "--bogus", "1"), "--bogus is unknown"),
        (("--run", run.path, "--output", tmp_path / "o", "--epoch", "9"), "9.pth: no such file"),
        (("--run", folder / "latest_net_G_A.pth", "--output", tmp_path / "o"), "is no checkpoint of a run"),
        (("--published", folder, "--name", "x", *there, "--epoch", "7"), "7_net_G_A.pth: no such file"),
        (("--published", folder, "--name", "run", *there), "holds a run already"),
        (("--published", folder, "--name", "x", *there, "--bogus"), "unknown flag --bogus"),
        (("--published", folder, "--name", "published", "--checkpoints_dir", tmp_path), "choose another --name"),
        (("--published", folder, "--name", "x", *there, "--ngf", "8"), "does not fit the networks"),
    ):
        assert reason in sentence(capsys, main, *flags), flags
    assert not (tmp_path / "o").exists() and not (tmp_path / "runs" / "x").exists()
    assert len(list(folder.iterdir())) == 4
    torch.save({"networks": {"E": {"conv.weight": torch.zeros(1)}}}, run.path / "odd.pth")
    flags = ("--run", run.path / "odd.pth", "--output", tmp_path / "o")
    assert "'conv.weight' has no published name" in sentence(capsys, main, *flags)
    assert set(read_tensors(folder / "latest_net_D_A.pth")) >= {
        "feature_img.0.module.weight_bar",
        "classifier.3.module.bias",
    }
