"""A stopped and resumed run is an uninterrupted one: bit for bit on a CPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from tests.programs import OF_SMALL, ROOT, draw_set, tiny, train

EPOCH = 4  # pairs of an epoch: two batches of two
RUN = ("--batch_size", "2", "--niter", "2", "--niter_decay", "2", "--pool_size", "3", "--print_freq", "1", "--no_html")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return draw_set(tmp_path_factory.mktemp("data"), "train", a=[4, 1, 0, 2], b=[2, 3, 1])


@pytest.fixture(scope="module")
def straight(data, tmp_path_factory) -> Path:
    """All 8 steps of the run without a stop."""
    checkpoints = tmp_path_factory.mktemp("straight")
    assert train(data, checkpoints, "--name", "run", *RUN) == 0
    return checkpoints / "run"


def assert_equal(one, other, place: str = "") -> None:
    """Equal to the last bit, all the way down."""
    assert type(one) is type(other), place
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), place
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key in one:
            assert_equal(one[key], other[key], f"{place}/{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), place
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_equal(*pair, f"{place}/{index}")
    else:
        assert one == other, place


def assert_same_run(one: Path, other: Path, told: Sequence[int] = range(1, 9)) -> None:
    """Same checkpoint (weights, optimizers, pools, random state, progress) and the same losses, once per step told."""
    assert_equal(*(torch.load(run / "latest.pth", weights_only=True) for run in (one, other)))
    logs = []
    for run in (one, other):
        lines = [json.loads(line) for line in (run / "loss_log.jsonl").read_text().splitlines()]
        timing = ("seconds_per_picture", "data_wait")
        logs.append([{key: value for key, value in line.items() if key not in timing} for line in lines])
    assert [line["step"] for line in logs[0]] == list(told)
    assert logs[0] == logs[1]


def test_the_run_is_what_this_file_assumes(straight):
    state = torch.load(straight / "latest.pth", weights_only=True)
    assert state["progress"] == {"epoch": 5, "in_epoch": 0, "steps": 8, "pictures": 16}
    assert all(len(pool["rows"]) == 3 for pool in state["pools"].values())  # full, so that draws matter
    rates = [json.loads(line)["lr"] for line in (straight / "loss_log.jsonl").read_text().splitlines()]
    assert rates[:4] == [2e-4] * 4 and rates[4] > rates[6] > 0  # the last four steps decay


@pytest.mark.parametrize("stops", [(1, 2, 5), (3, 6, 7)], ids=str)
def test_stopped_in_mid_epoch_at_its_end_and_in_the_decay(stops, data, straight, tmp_path):
    train(data, tmp_path, "--name", "run", *RUN, "--max_steps", str(stops[0]))
    for stop in stops[1:]:
        train(data, tmp_path, "--name", "run", *RUN, "--continue_train", "--max_steps", str(stop))
    assert train(data, tmp_path, "--name", "run", *RUN, "--continue_train") == 0
    assert_same_run(straight, tmp_path / "run")


@pytest.mark.parametrize(
    "flags",
    [
        ("cut", "--flip_equivariance", "true"),
        ("munit", "--lr_halve_steps", "2", *OF_SMALL["munit"]),
        ("insta_former", *OF_SMALL["insta_former"]),
        ("star_insta_gan", "--max_dataset_size", "4", *OF_SMALL["star_insta_gan"]),  # targets
        ("mguit", *OF_SMALL["mguit"]),  # and a memory, which goes on where it stood
    ],
    ids=" ".join,
)
def test_a_method_that_draws_random_numbers_goes_on_drawing_where_it_stood(flags, data, tmp_path):
    method = ("--name", "run", "--model", *flags, *RUN, "--niter", "1", "--niter_decay", "1")
    assert train(data, tmp_path / "straight", *method) == 0
    assert train(data, tmp_path / "stopped", *method, "--max_steps", "3") == 0
    assert train(data, tmp_path / "stopped", *method, "--continue_train") == 0
    assert_same_run(tmp_path / "straight" / "run", tmp_path / "stopped" / "run", told=range(1, 5))


@pytest.mark.parametrize("print_freq", ["1", "4"])
def test_in_the_middle_of_a_schedule_of_updates(print_freq, data, tmp_path):
    """DRIT trains all of itself in the last of three updates; what is due before is told then."""
    method = ("--name", "run", "--model", "drit", *OF_SMALL["drit"], *RUN, "--print_freq", print_freq)
    assert train(data, tmp_path / "straight", *method) == 0
    for stop in ("1", "3", "4"):
        assert train(data, tmp_path / stop, *method, "--max_steps", stop) == 0
        assert train(data, tmp_path / stop, *method, "--continue_train") == 0
        assert_same_run(tmp_path / "straight" / "run", tmp_path / stop / "run", told=(3, 6))


def test_continue_train_alone_takes_the_other_flags_from_the_run(data, straight, tmp_path):
    train(data, tmp_path, "--name", "run", *RUN, "--max_steps", "3")
    assert train(data, tmp_path, "--name", "run", "--continue_train") == 0
    assert_same_run(straight, tmp_path / "run")


def test_the_number_of_workers_changes_nothing(data, straight, tmp_path):
    train(data, tmp_path, "--name", "run", *RUN, "--num_threads", "2", "--max_steps", "3")
    assert train(data, tmp_path, "--name", "run", *RUN, "--num_threads", "1", "--continue_train") == 0
    assert_same_run(straight, tmp_path / "run")


def test_another_seed_is_another_run(data, straight, tmp_path):
    assert train(data, tmp_path, "--name", "run", *RUN, "--seed", "1", "--max_steps", "1") == 0
    first = json.loads((tmp_path / "run" / "loss_log.jsonl").read_text().splitlines()[0])
    assert first["cyc_A"] != json.loads((straight / "loss_log.jsonl").read_text().splitlines()[0])["cyc_A"]


def test_lines_that_a_killed_run_logged_after_its_checkpoint_are_not_doubled(data, straight, tmp_path):
    train(data, tmp_path, "--name", "run", *RUN, "--max_steps", "3")
    log = tmp_path / "run" / "loss_log.jsonl"
    with log.open("a") as file:
        file.write('{"step": 4, "epoch": 2, "pictures": 8, "cyc_A": 99}\n{"step": 5, "epo')
    assert train(data, tmp_path, "--name", "run", *RUN, "--continue_train") == 0
    assert_same_run(straight, tmp_path / "run")


def test_epoch_count_begins_an_epoch_anew_from_its_checkpoint(data, tmp_path):
    train(data, tmp_path, "--name", "run", *RUN, "--save_epoch_freq", "1", "--max_steps", "6")
    flags = ("--continue_train", "--epoch", "2", "--epoch_count", "4")
    assert train(data, tmp_path, "--name", "run", *RUN, *flags) == 0
    progress = torch.load(tmp_path / "run" / "latest.pth", weights_only=True)["progress"]
    assert progress == {"epoch": 5, "in_epoch": 0, "steps": 6, "pictures": 12}


def test_a_signal_ends_the_step_saves_and_says_so(data, straight, tmp_path):
    """SIGTERM, to train.py alone; SIGINT and both to a group of processes: test_endings.py."""
    words = [
        sys.executable, str(ROOT / "train.py"), "--dataroot", str(data), "--checkpoints_dir", str(tmp_path),
        "--name", "run", *tiny(*RUN), "--num_threads", "1",
    ]  # fmt: skip
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    log = tmp_path / "run" / "loss_log.jsonl"
    deadline = time.monotonic() + 300
    while not (log.exists() and log.read_text().count("\n") >= 1) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM, error
    assert "stopped by SIGTERM at step" in error and "latest.pth" in error
    assert "Traceback" not in error
    steps = torch.load(tmp_path / "run" / "latest.pth", weights_only=True)["progress"]["steps"]
    assert 1 <= steps < 8
    assert train(data, tmp_path, "--name", "run", "--continue_train") == 0
    assert_same_run(straight, tmp_path / "run")


def test_a_data_set_that_has_grown_or_shrunk_is_told_and_logged(tmp_path, capsys):
    root = draw_set(tmp_path / "data", "train", a=[2, 1], b=[1, 1])
    flags = ("--name", "run", "--no_html", "--niter", "9")
    assert train(root, tmp_path, *flags, "--max_steps", "1") == 0
    assert train(root, tmp_path, *flags, "--max_steps", "2", "--continue_train") == 0
    assert "the data set has changed" not in capsys.readouterr().err
    draw_set(root, "train", a=[2, 1, 3], b=[1, 1])
    (root / "trainB" / "b1.png").unlink()
    assert train(root, tmp_path, *flags, "--max_steps", "3", "--continue_train") == 0
    told = "domain A 2 -> 3 pictures, 3 -> 6 instances; domain B 2 -> 1 pictures, 2 -> 1 instances"
    assert f"the data set has changed since the last start: {told}" in capsys.readouterr().err
    lines = [json.loads(line) for line in (tmp_path / "run" / "starts.jsonl").read_text().splitlines()]
    assert lines[0]["data"] == {"A": [2, 3], "B": [2, 2]} and told in " ".join(lines[-1]["notes"])
