"""A step that was not finite can be made again from its dump, to the last bit; rolling back ends like other runs."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from engine import run_folder, step_dump
from engine.run_folder import RunFolder
from scripts import replay_step
from tests.engine.test_on_nan import saved, spoil_loader, weights_of
from tests.engine.test_resume import assert_equal
from tests.programs import draw_set, sentence, tiny, train, train_program
from tests.ranks import fork

FLAGS = ("--no_html", "--niter", "2", "--niter_decay", "1", "--name", "run", "--print_freq", "1", "--pool_size", "3")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return draw_set(tmp_path_factory.mktemp("data"), "train", a=(2, 1, 3, 2), b=(1, 2, 1, 1))


def dumps(checkpoints: Path) -> list[Path]:
    return sorted((checkpoints / "run" / "nonfinite").iterdir())


def log(checkpoints: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (checkpoints / "run" / "loss_log.jsonl").read_text().splitlines()]


def kill_after(monkeypatch, number: int) -> None:
    """The run ends there, with what was saved before."""
    step = train_program.Loggers.step

    def killed(watch, before, now, *more):
        step(watch, before, now, *more)
        if now.steps == number:
            raise KeyboardInterrupt

    monkeypatch.setattr(train_program.Loggers, "step", killed)


@pytest.mark.parametrize("save_freq", ["0", "2"])
def test_a_dump_makes_the_step_again_from_a_checkpoint_or_the_beginning(save_freq, data, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        spoil_loader(patch, "a2")
        assert train(data, tmp_path, *FLAGS, "--save_latest_freq", save_freq, "--serial_batches") == 1
    (folder,) = dumps(tmp_path)
    assert f"(make it again: scripts/replay_step.py {folder})" in capsys.readouterr().err
    assert (folder / "checkpoint.pth").exists() == (save_freq == "2")
    run_before = (tmp_path / "run" / "latest.pth").read_bytes()
    assert replay_step.main([str(folder)]) == 0
    told = capsys.readouterr().out
    assert f"after {0 if save_freq == '2' else 2} steps from the checkpoint" in told
    assert "a2.png as it was read" in told and "the same step to the last bit" in told
    assert (tmp_path / "run" / "latest.pth").read_bytes() == run_before


def test_a_step_that_its_weights_made_not_finite_is_made_again_and_a_finite_one_is_noticed(data, tmp_path, capsys):
    """A learning rate that blows up: no picture is to blame, and the steps before are needed."""
    flags = ("--lr", "1e18", "--save_latest_freq", "1000", "--norm", "none", "--model", "cycle_gan")
    assert train(data, tmp_path, *FLAGS, *flags) == 1
    (folder,) = dumps(tmp_path)
    assert int(folder.name.removeprefix("step_")) > 1
    capsys.readouterr()
    assert replay_step.main([str(folder)]) == 0
    assert "not finite first: the output of" in capsys.readouterr().out
    assert replay_step.main([str(folder), "--lr", "1e-4"]) == 1
    assert "finite this time" in capsys.readouterr().out


def test_rollback_goes_on_with_the_weights_of_the_checkpoint_and_other_pictures(data, tmp_path, monkeypatch, capsys):
    spoil_loader(monkeypatch, "a2")
    kept = {}
    restore = train_program.train.__globals__["finite_check"].__globals__["restore"]

    def noted(state, model):
        kept["state"] = state
        return restore(state, model)

    monkeypatch.setattr("engine.recovery.restore", noted)
    flags = ("--on_nan", "rollback", "--save_latest_freq", "2", "--serial_batches", "--max_steps", "3")
    assert train(data, tmp_path, *FLAGS, *flags) == 0
    error = capsys.readouterr().err
    assert "step 3 is not finite in G_A (nan)" in error and "a2.png" in error
    assert "the weights are again those of step 2, and the next pictures follow, 1 of at most 10 times" in error
    assert "rolled back steps that were not finite: 1" in error
    state = saved(tmp_path)
    assert state["progress"] == {"epoch": 1, "in_epoch": 3, "steps": 3, "pictures": 3}
    assert kept["state"]["progress"]["steps"] == 2
    for part in ("networks", "optimizers", "pools", "random"):
        assert_equal(state[part], kept["state"][part])


def test_rollback_is_bounded_keeps_the_log_and_resumes_to_the_same_weights(data, tmp_path, monkeypatch, capsys):
    """Nothing but going back saves here: the second dump is made again from where the first time led. A stop that is
    not a kill saves, too, and going back would lead there."""
    flags = ("--on_nan", "rollback", "--save_latest_freq", "0", "--serial_batches", "--niter_decay", "0")
    with monkeypatch.context() as patch:
        spoil_loader(patch, "a2")
        assert train(data, tmp_path / "straight", *FLAGS, *flags) == 0
        with monkeypatch.context() as killing:
            kill_after(killing, 5)
            assert train(data, tmp_path / "stopped", *FLAGS, *flags) == 130
        assert train(data, tmp_path / "stopped", "--name", "run", "--continue_train") == 0
    assert log(tmp_path / "straight") == log(tmp_path / "stopped") == list(range(1, 9))
    straight, stopped = saved(tmp_path / "straight"), saved(tmp_path / "stopped")
    for part in ("networks", "optimizers", "pools", "progress"):
        assert_equal(straight[part], stopped[part])
    second = dumps(tmp_path / "straight")[1]
    capsys.readouterr()
    assert replay_step.main([str(second)]) == 0
    assert "step 7, epoch 2, after 3 steps from the checkpoint" in capsys.readouterr().out
    with monkeypatch.context() as patch:
        spoil_loader(patch, "a2")
        assert train(data, tmp_path / "few", *FLAGS, *flags, "--on_nan_limit", "1") == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("train.py: step 7 is not finite") and "--on_nan_limit 1 allows" in last


def test_going_back_on_a_full_disk_costs_a_checkpoint_and_not_the_run(data, tmp_path, monkeypatch, capsys):
    spoil_loader(monkeypatch, "a2")
    save = run_folder.save_sealed

    def full_for_a_while(state, path):
        if state["progress"]["steps"] == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(state, path)

    monkeypatch.setattr(run_folder, "save_sealed", full_for_a_while)
    monkeypatch.setattr("engine.saving.PAUSES", (0.0,))
    flags = ("--on_nan", "rollback", "--save_latest_freq", "2", "--serial_batches", "--max_steps", "4")
    assert train(data, tmp_path, *FLAGS, *flags) == 0
    error = capsys.readouterr().err
    assert "No space left on device" in error and "training goes on, the newest checkpoint is of step 2" in error
    assert "the weights are again those of step 2" in error
    assert saved(tmp_path)["progress"]["steps"] == 4


def test_rollback_mends_weights_that_are_not_finite(data, tmp_path, monkeypatch, capsys):
    """No update does that; a broken memory may."""
    step = train_program.train.__globals__["ReadyRun"].__dict__["updates"]

    def broken(run, progress, *more):
        for number, given in enumerate(step(run, progress, *more)):
            if progress.steps + number == 2:
                next(run.model.networks["G_A"].parameters()).data[0] = float("inf")
            yield given

    monkeypatch.setattr("engine.run.ReadyRun.updates", broken)
    flags = ("--on_nan", "rollback", "--save_latest_freq", "1", "--max_steps", "4")
    assert train(data, tmp_path, *FLAGS, *flags) == 0
    assert "again those of step 2" in capsys.readouterr().err
    assert saved(tmp_path)["progress"]["steps"] == 4


def test_skipping_is_bounded_and_few_dumps_are_kept(data, tmp_path, monkeypatch, capsys):
    spoil_loader(monkeypatch, "a0", "a1", "a2", "a3")
    assert train(data, tmp_path, *FLAGS, "--on_nan", "skip", "--on_nan_limit", "5") == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "step 6 is not finite" in last and "--on_nan_limit 5 allows" in last
    assert len(dumps(tmp_path)) == step_dump.MOST
    state = saved(tmp_path)
    assert state["progress"]["steps"] == 6
    fresh = tmp_path / "fresh"
    assert train(data, fresh, *FLAGS, "--on_nan", "skip", "--max_steps", "1") == 0
    assert_equal(weights_of(state), weights_of(saved(fresh)))  # no step was taken


def test_a_dump_that_cannot_be_written_hides_nothing(data, tmp_path, monkeypatch, capsys):
    spoil_loader(monkeypatch, "a0")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.recovery.step_dump.write", full)
    assert train(data, tmp_path, *FLAGS, "--serial_batches") == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "step 1 is not finite" in last and "it could not be kept" in last and "No space left" in last


def test_overwriting_a_run_lets_its_dumps_go(data, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        spoil_loader(patch, "a0")
        assert train(data, tmp_path, *FLAGS, "--serial_batches") == 1
    assert dumps(tmp_path)
    assert train(data, tmp_path, *FLAGS, "--overwrite", "--max_steps", "1") == 0
    assert not (tmp_path / "run" / "nonfinite").exists()


def program(rank: int, argv: list[str]) -> int:
    with pytest.MonkeyPatch.context() as patch:
        spoil_loader(patch, "a1")
        return train_program.main(argv)


def replayed(rank: int, folder: str) -> int:
    return replay_step.main([folder])


def test_two_ranks_roll_back_alike_and_their_dump_needs_two(data, tmp_path, capsys):
    argv = ["--dataroot", str(data), "--checkpoints_dir", str(tmp_path), *tiny(*FLAGS), "--serial_batches"]
    rollback = ("--on_nan", "rollback", "--niter", "1", "--niter_decay", "0")
    first, second = fork(2, tmp_path, program, [*argv, *rollback])
    assert (first.result, second.result) == (0, 0), first.errors + second.errors
    assert "step 1 is not finite" in first.errors and "a0.png" in first.errors and "a1.png" in first.errors
    assert "those of step 0" in first.errors and second.errors == ""
    assert saved(tmp_path)["progress"]["steps"] == 2
    (folder,) = dumps(tmp_path)
    assert "torchrun --nproc_per_node 2" in sentence(capsys, replay_step.main, str(folder))
    first, second = fork(2, tmp_path, replayed, str(folder))
    assert (first.result, second.result) == (0, 0), first.printed + first.errors
    assert "the same step to the last bit" in first.printed and second.printed == ""


@pytest.mark.parametrize("damage", ["missing", "cut", "newer"])
def test_a_bad_dump_is_one_sentence(damage, data, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        spoil_loader(patch, "a0")
        assert train(data, tmp_path, *FLAGS, "--serial_batches") == 1
    file = dumps(tmp_path)[0] / "step.pth"
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:2000])
    else:
        torch.save({**torch.load(file, weights_only=True), "format": 99}, file)
    assert str(file) in sentence(capsys, replay_step.main, str(file.parent))


def test_constant_pictures_stay_finite_through_instance_norm(tmp_path):
    """Without variance instance norm divides by its epsilon alone: in both methods, for black, grey and white."""
    root = draw_set(tmp_path / "data", "train", a=(1, 2), b=(1, 1))
    for number, path in enumerate(sorted(root.glob("train?/*.png"))):
        with Image.open(path) as picture:
            size = picture.size
        Image.new("RGB", size, (0, 128, 255)[number % 3] * 0x010101).save(path)
    for model in ("insta_gan", "cycle_gan"):
        flags = [*FLAGS, "--model", model, "--max_steps", "6", "--overwrite"]
        assert train(root, tmp_path, *flags) == 0
        state = saved(tmp_path)
        assert state["progress"]["steps"] == 6
        updates = {moment["step"].item() for one in state["optimizers"].values() for moment in one["state"].values()}
        assert min(updates) >= 6  # none was refused


def test_the_dump_holds_what_ranks_were_given(data, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        spoil_loader(patch, "a1")
        assert train(data, tmp_path, *FLAGS, "--serial_batches", "--accumulate", "2") == 1
    dump = step_dump.read(dumps(tmp_path)[0])
    assert [[Path(path).stem for path in pair.paths["A"]] for pair in dump.pairs[0]] == [["a0"], ["a1"]]
    assert dump.pairs[0][1]["A"].image.isnan().all() and dump.pairs[0][0]["A"].image.isfinite().all()
    assert replace(dump.before, steps=0) == dump.start
    assert RunFolder(tmp_path, "run").load("latest")["progress"]["steps"] == 1
