"""One process trains in a run's folder: a second is refused, what a killed one left is taken over, aloud."""

import json
import os
import subprocess
import sys

import pytest

from engine import run_lock
from engine.run_lock import Owner, RunLock
from instagan.errors import InputError
from tests.programs import ROOT, draw_set, sentence, tiny, train, train_program


@pytest.fixture
def lock(tmp_path) -> RunLock:
    return RunLock(tmp_path / "lock.json")


def leave(lock: RunLock, **changes) -> None:
    """A lock of another process."""
    lock.path.write_text(json.dumps({**vars(Owner.this()), **changes}))


@pytest.fixture
def other():
    """A process that lives until the test ends."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate(b"\n")


def test_a_living_process_of_this_machine_is_named(lock, other):
    leave(lock, pid=other, birth=run_lock._birth(other))
    before = lock.path.read_bytes()
    with pytest.raises(InputError, match=f"is being trained by process {other} on .* since .*--name"):
        lock.take()
    lock.release()
    assert lock.path.read_bytes() == before


def test_another_machine_cannot_be_asked_and_the_way_out_is_told(lock):
    leave(lock, host="elsewhere", pid=1)
    with pytest.raises(InputError, match=f"elsewhere.*another machine.*remove {lock.path}"):
        lock.take()


@pytest.mark.parametrize("left", ["ended", "other birth", "zombie", "torn"])
def test_what_a_killed_process_left_is_taken_over_and_told(lock, other, left):
    if left == "ended":
        process = subprocess.Popen([sys.executable, "-c", ""])
        process.wait()
        leave(lock, pid=process.pid)
    elif left == "other birth":  # the number belongs to another process now
        leave(lock, pid=other, birth=run_lock._birth(other) + "0")
    elif left == "zombie":
        process = subprocess.Popen([sys.executable, "-c", ""])
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        leave(lock, pid=process.pid, birth="x")
    else:
        lock.path.write_text('{"host": "her')
    assert "exited without releasing the lock" in lock.take()
    assert lock.is_held() and Owner.this().is_same(Owner(**json.loads(lock.path.read_text())))
    lock.release()
    assert not lock.path.exists() and lock.take() == ""
    lock.release()


def test_a_process_that_torchrun_started_again_goes_on(lock, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job7")
    leave(lock, host="elsewhere", launch="job7")
    with pytest.raises(InputError):
        lock.take()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    lock.take()
    lock.release()


RACE = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from engine.run_lock import RunLock
from instagan.errors import InputError
while not Path({go!r}).exists():
    time.sleep(0.001)
try:
    RunLock(Path({path!r})).take()
    print("mine", flush=True)
    input()
except InputError:
    print("refused", flush=True)
"""


@pytest.mark.slow
def test_of_many_that_start_at_once_one_trains(lock, tmp_path):
    root, go = str(ROOT), tmp_path / "go"
    leave(lock, pid=2**22 + 1)  # a stale one, which all of them see
    code = RACE.format(root=root, go=str(go), path=str(lock.path))
    racers = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    go.write_text("")
    said = sorted(racer.stdout.readline().strip() for racer in racers)
    for racer in racers:
        racer.communicate("\n")
    assert said == ["mine"] + ["refused"] * 5


def test_the_second_run_in_a_folder_is_one_sentence_and_changes_nothing(tmp_path, other, capsys):
    root = draw_set(tmp_path / "data", "train", a=(1,), b=(1,))
    flags = ("--name", "run", "--no_html", "--niter", "3")
    assert train(root, tmp_path, *flags, "--max_steps", "1") == 0
    run = tmp_path / "run"
    assert not (run / "lock.json").exists()
    leave(RunLock(run / "lock.json"), pid=other, birth=run_lock._birth(other))
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    where = ("--dataroot", root, "--checkpoints_dir", tmp_path, *tiny(*flags))
    for way in ("--continue_train", "--overwrite"):
        assert f"is being trained by process {other}" in sentence(capsys, train_program.main, *where, way)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    leave(RunLock(run / "lock.json"), pid=2**22 + 1)
    capsys.readouterr()
    assert train(root, tmp_path, *flags, "--continue_train", "--lr", "0.1", "--max_steps", "2") == 0
    said = capsys.readouterr().err
    assert "its lock is taken over" in said and "other flags than before: --lr 0.0002 -> 0.1" in said
    *_, last = map(json.loads, (run / "starts.jsonl").read_text().splitlines())
    assert last["changed"] == {"lr": ["0.0002", "0.1"]} and last["step"] == 1 and len(last["notes"]) == 2


def test_all_contradicting_flags_are_told_with_both_values(tmp_path, capsys):
    root = draw_set(tmp_path / "data", "train", a=(1,), b=(1,))
    assert train(root, tmp_path, "--name", "run", "--no_html", "--max_steps", "1") == 0
    where = ("--checkpoints_dir", tmp_path, "--name", "run", "--continue_train")
    said = sentence(capsys, train_program.main, *where, "--ngf", "8", "--n_layers_D", "2", "--lr", "0.1")
    assert "--ngf 8, --n_layers_D 2 contradict the run, which was trained with --ngf 4, --n_layers_D 3;" in said
