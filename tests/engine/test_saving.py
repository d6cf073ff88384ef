"""A disk that is full, read-only or gone costs checkpoints, not the run; how often and how many is as asked."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from engine import durable, run_folder, saving
from engine.run_folder import RunFolder
from engine.schedule import Progress
from tests.programs import draw_set, train, train_program
from tests.using import tiny_run

FLAGS = ("--name", "run", "--no_html", "--no_flip", "--niter", "4", "--niter_decay", "1", "--save_latest_freq", "1")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return draw_set(tmp_path_factory.mktemp("data"), "train", a=(1,), b=(1,))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(saving, "PAUSES", (0.0, 0.0, 0.0))


def steps_of(runs: Path, tag: str = "latest") -> int:
    return RunFolder(runs, "run").load(tag)["progress"]["steps"]


def failing(monkeypatch, at: dict[int, int], number: int = errno.ENOSPC) -> list[int]:
    """The save at step s fails at its first ``at[s]`` tries; returns the steps of all tries, as they come."""
    save, tries = RunFolder.save, []

    def tried(run, tags, model, progress):
        tries.append(progress.steps)
        if tries.count(progress.steps) > at.get(progress.steps, 0):
            return save(run, tags, model, progress)
        monkeypatch.setattr(os, "fsync", refuse)
        try:
            return save(run, tags, model, progress)
        finally:
            monkeypatch.setattr(os, "fsync", flush)

    def refuse(handle):
        raise OSError(number, os.strerror(number))

    flush = os.fsync
    monkeypatch.setattr(RunFolder, "save", tried)
    return tries


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.EROFS])
def test_a_save_that_fails_is_tried_again_reported_and_training_goes_on(data, tmp_path, monkeypatch, capsys, number):
    tries = failing(monkeypatch, {2: 1, 3: 99}, number)
    assert train(data, tmp_path, *FLAGS) == 0
    said = capsys.readouterr().err
    assert tries == [1, 2, 2, 3, 3, 3, 4, 5, 5]  # and once more where the last epoch ends
    assert said.count("warning: ") == 1 and f"latest.pth cannot be written ({os.strerror(number)}" in said
    assert "3 tries at step 3" in said and "training goes on, the newest checkpoint is of step 2" in said
    assert steps_of(tmp_path) == 5
    assert [path.name for path in (tmp_path / "run").glob(".*")] == [".lock.json.guard"]


def test_where_even_the_last_save_fails_the_newest_checkpoint_survives(data, tmp_path, monkeypatch, capsys):
    failing(monkeypatch, {3: 99, 4: 99, 5: 99})
    assert train(data, tmp_path, *FLAGS) == 2
    assert "the newest checkpoint is of step 2" in capsys.readouterr().err.splitlines()[-1]
    assert steps_of(tmp_path) == 2


def test_a_full_disk_takes_the_kept_one_before_latest_never_latest(tmp_path, monkeypatch):
    run, model = tiny_run(tmp_path)
    for steps in (1, 2):
        run.save(["latest"], model, Progress(steps=steps))
    run.make_room()
    assert not run.previous.exists() and steps_of(tmp_path) == 2
    run.save(["latest"], model, Progress(steps=3))
    content = bytearray(run.checkpoint("latest").read_bytes())
    content[9999] ^= 1
    run.checkpoint("latest").write_bytes(content)
    run.make_room()  # not now
    assert run.load_file(run.previous)["progress"]["steps"] == 2


def test_where_there_is_room_for_no_more_the_kept_one_makes_it(data, tmp_path, monkeypatch, capsys):
    save = run_folder.save_sealed

    def full(state, path):
        if (tmp_path / "run" / "latest.pth.previous").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        save(state, path)

    monkeypatch.setattr(run_folder, "save_sealed", full)
    assert train(data, tmp_path, *FLAGS) == 0
    assert "No space left" not in capsys.readouterr().err


def test_a_save_that_failed_is_tried_again_before_the_next_one_is_due(data, tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "LATER", 0.0)
    tries = failing(monkeypatch, {2: 99})
    assert train(data, tmp_path, *FLAGS, "--save_latest_freq", "2", "--save_epoch_freq", "0") == 0
    assert tries[:4] == [2, 2, 2, 3]


def test_a_folder_that_vanishes_is_made_again(data, tmp_path, monkeypatch, capsys):
    step = train_program.Loggers.step

    def vanishing(watch, before, now, *more):
        step(watch, before, now, *more)
        if now.steps == 3:
            shutil.rmtree(tmp_path / "run")

    monkeypatch.setattr(train_program.Loggers, "step", vanishing)
    assert train(data, tmp_path, *FLAGS) == 0
    assert steps_of(tmp_path) == 5
    assert RunFolder(tmp_path, "run").read_options()["niter"] == 4
    assert not (tmp_path / "run" / "lock.json").exists()
    assert train(data, tmp_path, "--name", "run", "--continue_train", "--niter", "5") == 0


def test_as_many_numbered_checkpoints_as_asked_are_kept(data, tmp_path):
    flags = ("--save_epoch_freq", "1", "--save_latest_freq", "1", "--save_by_iter", "--keep_last", "3")
    assert train(data, tmp_path, *FLAGS, *flags) == 0
    assert RunFolder(tmp_path, "run").tags() == ["4", "5", "iter_5", "latest"]


@pytest.mark.parametrize("minutes, steps", [("0.000001", [1, 2, 3, 4, 5, 5]), ("60", [5])])
def test_saves_come_by_the_clock_too(data, tmp_path, monkeypatch, minutes, steps):
    tries = failing(monkeypatch, {})
    assert train(data, tmp_path, *FLAGS, "--save_latest_freq", "0", "--save_minutes", minutes) == 0
    assert tries == steps


def test_what_was_just_saved_is_not_written_again(data, tmp_path, monkeypatch):
    tries = failing(monkeypatch, {})
    assert train(data, tmp_path, *FLAGS, "--max_steps", "2", "--save_epoch_freq", "1") == 0
    assert tries == [1, 1, 2, 2]  # in an epoch, and where it ends
    assert train(data, tmp_path, *FLAGS, "--continue_train", "--max_steps", "2", "--save_epoch_freq", "1") == 0
    assert tries == [1, 1, 2, 2, 2]


def test_a_save_and_a_signal_may_be_wished_for_at_once():
    stop = train_program.StopRequest()
    assert not stop.agree(saving.SAVE)
    assert stop.agree(saving.SAVE | 15) and stop.agreed == 15


def test_the_folder_is_flushed_after_each_rename_and_latest_comes_last(tmp_path, monkeypatch):
    run, model = tiny_run(tmp_path)
    run.save(["latest"], model, Progress())
    done = []
    for name in ("replace", "fsync"):
        real = getattr(os, name)

        def noted(*words, real=real, name=name):
            what = words[-1] if name == "replace" else os.readlink(f"/proc/self/fd/{words[0]}")
            done.append((name, Path(what).name))
            return real(*words)

        monkeypatch.setattr(durable.os, name, noted)
    run.save(["latest", "5"], model, Progress(steps=1))
    scratch = durable.scratch_of(run.checkpoint("latest")).name
    assert done == [
        ("fsync", scratch),
        ("replace", "5.pth"), ("fsync", "run"),
        ("replace", "latest.pth.previous"), ("fsync", "run"),
        ("replace", "latest.pth"), ("fsync", "run"),
    ]  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_real_full_disk(data, tmp_path, capsys):
    """Room for one checkpoint and a half: what was saved first survives, and each later save is reported."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2900k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        assert train(data, small, *FLAGS) == 2
        said = capsys.readouterr().err
        assert said.count("latest.pth cannot be written (No space left on device)") >= 2
        assert steps_of(small) == 1
        assert [path.name for path in (small / "run").glob(".*")] == [".lock.json.guard"]
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
