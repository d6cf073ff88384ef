"""A run's folder survives crashes, is never overwritten unasked, and its files name themselves when damaged."""

import os
import pickle
import shutil
from argparse import Namespace

import numpy as np
import pytest
import torch

from engine import run_folder
from engine.run_folder import RunFolder, restore, restore_networks
from engine.schedule import Progress
from instagan.errors import InputError
from models import MODELS
from options.parse import parse_training
from tests.programs import draw_set, sentence, tiny, train, train_program


@pytest.fixture(scope="module")
def options() -> Namespace:
    return parse_training(["--dataroot", ".", *tiny()]).values


@pytest.fixture
def model(options):
    return MODELS["insta_gan"].from_options(options)


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "runs", "run")
    folder.create()
    return folder


def files(run: RunFolder) -> set[str]:
    return {path.name for path in run.path.iterdir()}


def test_a_checkpoint_holds_progress_weights_and_random_state(run, model, options):
    torch.manual_seed(5)
    run.save(["latest"], model, Progress(3, 2, 17, 34))
    drawn = torch.rand(4)
    other = MODELS["insta_gan"].from_options(options)
    assert restore(run.load("latest"), other) == Progress(3, 2, 17, 34)
    assert torch.equal(torch.rand(4), drawn)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name])


def test_translating_takes_the_weights_and_leaves_the_random_state(run, model, options):
    run.save(["latest"], model, Progress())
    other = MODELS["insta_gan"].from_options(options)
    before = torch.get_rng_state()
    restore_networks(run.load("latest"), other)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(weight, other.state_dict()[name]) for name, weight in model.state_dict().items())


def test_tags_of_one_moment_share_their_bytes(run, model):
    run.save(["latest", "5", "iter_40"], model, Progress())
    assert run.tags() == ["5", "iter_40", "latest"]
    assert len({os.stat(run.checkpoint(tag)).st_ino for tag in run.tags()}) == 1
    kept = run.checkpoint("5").read_bytes()
    run.save(["latest"], model, Progress(steps=1))
    assert run.checkpoint("5").read_bytes() == kept != run.checkpoint("latest").read_bytes()


def test_where_files_cannot_be_linked_they_are_copied(run, model, monkeypatch):
    def unable(source, path):
        raise OSError("this file system has no links")

    monkeypatch.setattr("engine.durable.os.link", unable)
    run.save(["latest", "5"], model, Progress(steps=3))
    assert run.load("5")["progress"]["steps"] == 3


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), RuntimeError("writer failed")])
def test_a_failed_save_keeps_the_old_checkpoint_and_says_so(run, model, monkeypatch, failure):
    run.save(["latest"], model, Progress(steps=1))

    def fail(state, file):
        file.write(b"half a file")
        raise failure

    monkeypatch.setattr(run_folder.torch, "save", fail)
    with pytest.raises(InputError, match="latest.pth cannot be written"):
        run.save(["latest"], model, Progress(steps=2))
    assert files(run) == {"latest.pth"}
    assert run.load("latest")["progress"]["steps"] == 1


def test_an_interrupted_save_leaves_no_scratch_file(run, model, monkeypatch):
    def interrupt(state, file):
        file.write(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(run_folder.torch, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run.save(["latest"], model, Progress())
    assert files(run) == set()


class Trap:
    def __reduce__(self):
        return os.system, ("touch sprung",)


def test_a_checkpoint_that_holds_code_is_refused_and_does_not_run(run, monkeypatch):
    monkeypatch.chdir(run.path)
    torch.save({"networks": Trap(), "format": 1}, run.checkpoint("latest"))
    run.checkpoint("old").write_bytes(pickle.dumps({"networks": Trap()}, protocol=2))
    with pytest.raises(InputError, match=r"latest.pth holds more than tensors \(posix.system\) and was not loaded"):
        run.load("latest")
    with pytest.raises(InputError, match="old.pth is damaged or not a checkpoint"):
        run.load("old")
    assert not (run.path / "sprung").exists()


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.99])
def test_a_truncated_checkpoint_names_itself(run, model, keep):
    run.save(["latest"], model, Progress())
    whole = run.checkpoint("latest").read_bytes()
    run.checkpoint("latest").write_bytes(whole[: int(len(whole) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(InputError, match="latest.pth"):
        run.load("latest")


def test_flipped_bytes_give_a_checkpoint_or_the_file_name(run):
    random = np.random.default_rng(0)
    torch.save({"networks": {"G": torch.rand(8)}, "format": 1, "progress": {"epoch": 1}}, run.checkpoint("latest"))
    whole = run.checkpoint("latest").read_bytes()
    for _ in range(300):
        damaged = bytearray(whole)
        for place in random.integers(len(whole), size=4):
            damaged[place] = random.integers(256)
        run.checkpoint("latest").write_bytes(damaged)
        try:
            run.load("latest")
        except InputError as error:
            assert "latest.pth" in str(error)


def test_files_that_are_no_checkpoint_name_themselves(run):
    run.checkpoint("text").write_text("hello")
    torch.save([1, 2], run.checkpoint("list"))
    torch.save({"networks": {}, "format": 99}, run.checkpoint("newer"))
    run.checkpoint("folder").mkdir()
    for tag in ("text", "list", "newer", "folder"):
        with pytest.raises(InputError, match=f"{tag}.pth"):
            run.load(tag)
    with pytest.raises(InputError, match="gone.pth: no such checkpoint; there are: .*newer"):
        run.load("gone")


def test_a_checkpoint_of_other_networks_is_refused(run, model):
    run.save(["latest"], model, Progress())
    wider = MODELS["insta_gan"].from_options(parse_training(["--dataroot", ".", *tiny("--ngf", "8")]).values)
    for put in (restore, restore_networks):
        with pytest.raises(InputError, match="does not fit the networks"):
            put(run.load("latest"), wider)


def test_options_come_back_as_they_were(run, options):
    run.save_options(options)
    saved = run.read_options()
    assert saved["ngf"] == 4 and saved["load_size_w"] == 36 and saved["max_dataset_size"] == float("inf")
    assert not {"config", "continue_train", "overwrite"} & saved.keys()


def test_options_that_cannot_be_read_name_their_file(tmp_path, run):
    with pytest.raises(InputError, match="--name other: no such run; there is none"):
        RunFolder(tmp_path / "runs", "other").read_options()
    for content in (b"\xff\xfe\x00", b"[1, 2", b"- a\n- b\n", b"", b"ngf: 4\n"):
        (run.path / "options.yaml").write_bytes(content)
        with pytest.raises(InputError, match="options.yaml is damaged"):
            run.read_options()
    with pytest.raises(InputError, match="no such run; there are: run"):
        RunFolder(tmp_path / "runs", "other").read_options()
    (run.path / "options.yaml").unlink()
    (run.path / "options.yaml").mkdir()
    with pytest.raises(InputError, match="options.yaml cannot be read"):
        run.read_options()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/run/options.yaml"):
        RunFolder(tmp_path / "file", "run").read_options()


def test_clear_removes_what_a_run_left_and_nothing_else(run, model):
    run.save(["latest", "5"], model, Progress())
    run.loss_log.write_text("{}\n")
    (run.path / "web" / "images").mkdir(parents=True)
    (run.path / "tensorboard").mkdir()
    (run.path / "notes.txt").write_text("mine")
    run.clear()
    assert files(run) == {"notes.txt"}


@pytest.fixture(scope="module")
def dataroot(tmp_path_factory):
    return draw_set(tmp_path_factory.mktemp("data"), "train", a=(1,), b=(1,))


def test_a_run_is_not_overwritten_unasked(tmp_path, dataroot, capsys):
    flags = ("--name", "run", "--max_steps", "1", "--niter", "1", "--niter_decay", "0")
    assert train(dataroot, tmp_path, *flags) == 0
    kept = (tmp_path / "run" / "latest.pth").read_bytes()
    said = sentence(
        capsys, train_program.main, "--dataroot", dataroot, "--checkpoints_dir", tmp_path, *tiny(*flags), "--seed", "3"
    )
    assert "--continue_train" in said and "--overwrite" in said and "latest" in said
    assert (tmp_path / "run" / "latest.pth").read_bytes() == kept
    assert RunFolder(tmp_path, "run").read_options()["seed"] == 0
    shutil.copy(tmp_path / "run" / "latest.pth", tmp_path / "run" / "9.pth")
    assert train(dataroot, tmp_path, *flags, "--seed", "3", "--overwrite") == 0
    assert RunFolder(tmp_path, "run").tags() == ["latest"]
    assert (tmp_path / "run" / "latest.pth").read_bytes() != kept


def test_saves_come_as_often_as_asked_under_the_published_names(tmp_path, dataroot):
    flags = ("--name", "run", "--niter", "4", "--niter_decay", "1", "--no_html", "--no_flip")
    assert train(dataroot, tmp_path, *flags, "--save_epoch_freq", "2", "--save_latest_freq", "2", "--save_by_iter") == 0
    run = RunFolder(tmp_path, "run")
    assert run.tags() == ["2", "4", "iter_2", "iter_4", "latest"]
    assert run.load("2")["progress"] == {"epoch": 3, "in_epoch": 0, "steps": 2, "pictures": 2}
    assert run.load("latest")["progress"]["steps"] == 5


def test_a_save_that_is_due_with_the_last_step_is_kept(tmp_path, dataroot):
    flags = ("--name", "run", "--max_steps", "2", "--save_latest_freq", "2", "--save_by_iter", "--no_html")
    assert train(dataroot, tmp_path, *flags) == 0
    assert RunFolder(tmp_path, "run").tags() == ["iter_2", "latest"]


def test_a_folder_that_cannot_be_made_names_itself(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/run cannot be made.*--checkpoints_dir"):
        RunFolder(tmp_path / "file", "run").create()
