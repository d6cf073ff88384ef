"""Files that vanish, break or change while a run lasts end it with their name, or are left out, a bounded number."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import get_worker_info

from data.cache import KINDS
from data.unaligned_instance_dataset import UnalignedInstanceDataset
from engine.run_folder import RunFolder
from tests.engine.test_resume import assert_equal
from tests.programs import TINY, draw_set, train, train_program
from tests.ranks import fork

FLAGS = (
    "--no_html", "--niter", "2", "--niter_decay", "0", "--name", "run", "--print_freq", "1", "--serial_batches",
)  # fmt: skip


@pytest.fixture
def data(tmp_path) -> Path:
    return draw_set(tmp_path / "data", "train", a=(1, 1, 2, 1), b=(1, 1, 1, 1))


def vanish(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def resize(path: Path) -> None:
    with Image.open(path) as picture:
        larger = picture.resize((55, 51))
    larger.save(path)


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


FAULTS = [
    (vanish, "trainA/a2.png"), (vanish, "trainA_seg/a2_1.png"), (truncate, "trainA_seg/a2_1.png"),
    (truncate, "trainA/a2.png"), (resize, "trainA/a2.png"), (resize, "trainA_seg/a2_0.png"),
    (become_a_folder, "trainA_seg/a2_1.png"), (empty, "trainA/a2.png"),
]  # fmt: skip
"""What happens to a file, a picture or one of its masks."""


def plant(monkeypatch, fault, path: Path, step: int) -> None:
    """Happens to the file once so many steps are done."""
    told = train_program.Loggers.step

    def planted(watch, before, now, *more):
        told(watch, before, now, *more)
        if now.steps == step:
            fault(path)

    monkeypatch.setattr(train_program.Loggers, "step", planted)


def progress(checkpoints: Path) -> dict[str, int]:
    return RunFolder(checkpoints, "run").load("latest")["progress"]


@pytest.mark.parametrize("fault, file", FAULTS[::2], ids=lambda value: getattr(value, "__name__", value))
def test_a_file_that_breaks_in_the_run_stops_it_with_its_name_and_all_steps(
    fault, file, data, tmp_path, monkeypatch, capsys
):
    plant(monkeypatch, fault, data / file, step=1)
    assert train(data, tmp_path, *FLAGS) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("train.py: ") and "a2" in last and "trainA" in last
    assert progress(tmp_path)["steps"] == 2


@pytest.mark.parametrize("fault, file", FAULTS[1::2], ids=lambda value: getattr(value, "__name__", value))
def test_skip_bad_names_it_once_and_goes_on(fault, file, data, tmp_path, monkeypatch, capsys):
    plant(monkeypatch, fault, data / file, step=1)
    assert train(data, tmp_path, *FLAGS, "--skip_bad") == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert line.endswith("left out, 1 of at most 10") and "a2" in line
    assert progress(tmp_path)["steps"] == 8


def test_workers_and_caches_leave_out_the_same_and_so_does_a_run_that_goes_on(data, tmp_path, capsys):
    vanish(data / "trainA" / "a2.png")
    (data / "trainA" / "a2.png").mkdir()  # it is listed, and cannot be read
    truncate(data / "trainB" / "b1.png")
    straight, kept = tmp_path / "straight", ("--cache_dir", str(tmp_path / "cache"))
    assert train(data, straight, *FLAGS, "--skip_bad") == 0
    for workers, cache in (("2", "none"), ("1", "disk"), ("0", "ram")):
        assert cache in KINDS
        other, flags = tmp_path / cache, ("--skip_bad", "--num_threads", workers, "--cache", cache, *kept)
        assert train(data, other, *FLAGS, *flags, "--max_steps", "5") == 0
        assert train(data, other, "--name", "run", "--continue_train") == 0
        for part in ("networks", "pools", "progress"):
            assert_equal(*(RunFolder(folder, "run").load("latest")[part] for folder in (straight, other)))


def test_one_too_many_stops_all_with_the_steps_before(data, tmp_path, capsys):
    for stem in ("a1", "a3"):
        truncate(data / "trainA" / f"{stem}.png")
    assert train(data, tmp_path, *FLAGS, "--skip_bad", "--skip_bad_limit", "1") == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "a3.png" in last and "--skip_bad_limit allows" in last and progress(tmp_path)["steps"] == 3


def test_a_domain_without_any_readable_picture_is_one_sentence(data, tmp_path, capsys):
    for path in (data / "trainB").iterdir():
        empty(path)
    assert train(data, tmp_path, *FLAGS, "--skip_bad") == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "b0.png" in last and "3 more after it cannot be read either" in last


def program(rank: int, argv: list[str]) -> int:
    return train_program.main(argv)


@pytest.mark.parametrize("limit, code", [("10", 0), ("1", 2)])
def test_what_one_rank_cannot_read_all_know(limit, code, data, tmp_path):
    """a1 and a3 belong to the second rank; the first one tells, and counts."""
    for stem in ("a1", "a3"):
        truncate(data / "trainA" / f"{stem}.png")
    argv = ["--dataroot", str(data), "--checkpoints_dir", str(tmp_path), *TINY, *FLAGS, "--skip_bad"]
    first, second = fork(2, tmp_path, program, [*argv, "--skip_bad_limit", limit])
    assert (first.result, second.result) == (code, code), first.errors
    assert "a1.png" in first.errors and "a3.png" in first.errors and second.errors == ""
    assert progress(tmp_path)["steps"] == (4 if code == 0 else 1)


class TwoWordsError(Exception):
    """Cannot be made of one string, as a DataLoader would make it again."""

    def __init__(self, one, other):
        super().__init__(one, other)


@pytest.mark.parametrize("error, workers", [(MemoryError(), "0"), (TwoWordsError("\n", 2), "1")], ids=str)
def test_whatever_reading_raises_arrives_with_the_file_name(error, workers, data, tmp_path, monkeypatch, capsys):
    def broken(path):
        if Path(path).stem == "a2_0":
            raise error
        return np.ones((36, 40), bool)

    monkeypatch.setattr("data.entries.read_inside", broken)
    assert train(data, tmp_path, *FLAGS, "--num_threads", workers) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"{data}/trainA/a2.png or one of its masks cannot be used ({type(error).__name__}" in last
    assert progress(tmp_path)["steps"] == 2


def test_a_worker_that_is_killed_ends_the_run_with_a_sentence_and_its_steps(data, tmp_path, monkeypatch, capsys):
    read = UnalignedInstanceDataset.__getitem__

    def killed(dataset, key):
        if key == (2, 1) and get_worker_info():
            os.kill(os.getpid(), signal.SIGKILL)
        return read(dataset, key)

    monkeypatch.setattr(UnalignedInstanceDataset, "__getitem__", killed)
    assert train(data, tmp_path, *FLAGS, "--num_threads", "1") == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "a process that reads pictures has ended" in last and "lower --num_threads" in last
    steps = progress(tmp_path)["steps"]
    assert 4 <= steps <= 5
    log = (tmp_path / "run" / "loss_log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == list(range(1, steps + 1))
    monkeypatch.undo()
    assert train(data, tmp_path, "--name", "run", "--continue_train") == 0
    assert train(data, tmp_path / "straight", *FLAGS) == 0
    states = [
        torch.load(folder / "run" / "latest.pth", weights_only=True) for folder in (tmp_path, tmp_path / "straight")
    ]
    assert_equal(states[0]["networks"], states[1]["networks"])
