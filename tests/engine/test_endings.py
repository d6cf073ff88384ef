"""However a program ends, it says why in one line, keeps what was done, and does end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.run_folder import RunFolder
from tests.programs import ROOT, draw_set, sentence, test_program, tiny, train, train_program

PATIENCE = 300
"""Seconds for a program to end; it takes about three."""

FLAGS = (*tiny(), "--no_html", "--no_flip", "--niter", "1000", "--name", "run")


def start(program: str, *argv: object) -> subprocess.Popen:
    """The program as the leader of a process group of its own, as a terminal starts it."""
    command = [sys.executable, str(ROOT / f"{program}.py"), *(str(word) for word in argv)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def end(process: subprocess.Popen) -> tuple[int, str]:
    """Exit code and what was said on stderr; fails if the program does not end."""
    try:
        _, error = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        pytest.fail("the program did not end")
    assert "Traceback" not in error, error
    return process.returncode, error


def break_picture(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:900])


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_broken_picture_ends_training_with_its_name_and_keeps_the_steps_before(tmp_path, workers, capsys):
    root = draw_set(tmp_path / "data", "train", a=(1,) * 6, b=(1,) * 6)
    break_picture(root / "trainA" / "a4.png")
    flags = (*FLAGS, "--serial_batches", "--num_threads", workers)
    if workers == "0":
        code, error = train(root, tmp_path, *flags), capsys.readouterr().err
    else:  # of a process that has others: it must not wait for them at its end
        code, error = end(start("train", "--dataroot", root, "--checkpoints_dir", tmp_path, *flags))
    assert code == 2 and "Traceback" not in error
    assert "a4.png cannot be read as a picture" in error.splitlines()[-1]
    assert RunFolder(tmp_path, "run").load("latest")["progress"] == {
        "epoch": 1, "in_epoch": 4, "steps": 4, "pictures": 4
    }  # fmt: skip


def test_a_broken_picture_ends_testing_with_its_name(tmp_path, capsys):
    root = draw_set(tmp_path / "data", "train", a=(1, 1), b=(1,))
    assert train(root, tmp_path, *FLAGS, "--max_steps", "1") == 0
    break_picture(root / "trainA" / "a1.png")
    where = ("--dataroot", root, "--checkpoints_dir", tmp_path, "--results_dir", tmp_path / "out", "--name", "run")
    flags = ("--phase", "train", "--device", "cpu", "--num_threads")
    assert "a1.png cannot be read" in sentence(capsys, test_program.main, *where, *flags, "0")
    code, error = end(start("test", *where, *flags, "1"))
    assert code == 2 and len(error.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_saves_says_so_and_ends(tmp_path, number):
    root = draw_set(tmp_path / "data", "train", a=(1, 2), b=(1, 1))
    latest = tmp_path / "run" / "latest.pth"
    flags = (*FLAGS, "--num_threads", "2", "--save_latest_freq", "1")
    process = start("train", "--dataroot", root, "--checkpoints_dir", tmp_path, *flags)
    limit = time.monotonic() + PATIENCE
    while not latest.exists() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.05)
    os.killpg(process.pid, number)
    code, error = end(process)
    assert code == 128 + number
    steps = RunFolder(tmp_path, "run").load("latest")["progress"]["steps"]
    assert f"stopped by {number.name} at step {steps}," in error


def test_a_second_signal_ends_at_once_with_what_was_saved(tmp_path, monkeypatch, capsys):
    root = draw_set(tmp_path / "data", "train", a=(1,), b=(1,))
    step = train_program.Loggers.step

    def interrupted(watch, before, now, *more):
        step(watch, before, now, *more)
        if now.steps == 3:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(train_program.Loggers, "step", interrupted)
    capsys.readouterr()
    assert train(root, tmp_path, *FLAGS, "--save_latest_freq", "2") == 130
    assert "interrupted" in capsys.readouterr().err.splitlines()[-1]
    assert RunFolder(tmp_path, "run").load("latest")["progress"]["steps"] == 2


def test_a_full_disk_names_the_checkpoint(tmp_path, monkeypatch, capsys):
    root = draw_set(tmp_path / "data", "train", a=(1,), b=(1,))

    def full(state, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.run_folder.torch.save", full)
    capsys.readouterr()
    assert train(root, tmp_path, *FLAGS, "--max_steps", "1") == 2
    assert "latest.pth cannot be written (No space left on device)" in capsys.readouterr().err.splitlines()[-1]


def test_fewer_steps_than_are_done_change_nothing(tmp_path):
    root = draw_set(tmp_path / "data", "train", a=(1,), b=(1,))
    assert train(root, tmp_path, *FLAGS, "--max_steps", "2") == 0
    before = RunFolder(tmp_path, "run").load("latest")
    again = ["--checkpoints_dir", str(tmp_path), "--name", "run", "--continue_train", "--max_steps", "1"]
    assert train_program.main(again) == 0
    after = RunFolder(tmp_path, "run").load("latest")
    assert after["progress"] == before["progress"]
    assert all(
        weight.equal(after["networks"][network][name])
        for network, weights in before["networks"].items()
        for name, weight in weights.items()
    )
