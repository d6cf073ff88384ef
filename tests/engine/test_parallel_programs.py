"""train.py on several ranks: one run, whatever happens to one of them, continued on any number of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from data.unaligned_instance_dataset import EpochSampler
from engine.device import choose_device, workers
from engine.launch import joined, launch_name
from engine.stop_request import StopRequest
from models.insta_gan_model import InstaGanModel
from options.parse import parse_training
from tests.engine.test_resume import assert_equal
from tests.programs import ROOT, draw_set, tiny, train_program
from tests.ranks import PATIENCE, Ended, fork

RUN = (
    *tiny(), "--no_html", "--print_freq", "1", "--niter", "1", "--niter_decay", "1", "--pool_size", "3", "--name", "run"
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Nine pairs: one more than two ranks, or four, share evenly; some pictures have no instance."""
    return draw_set(tmp_path_factory.mktemp("data"), "train", a=[4, 1, 0, 2, 0, 3, 1, 0, 2], b=[2, 3, 1, 0])


def arguments(data: Path, checkpoints: Path, *flags: str) -> list[str]:
    return ["--dataroot", str(data), "--checkpoints_dir", str(checkpoints), *RUN, *flags]


def program(rank: int, argv: list[str], trouble: tuple[int, int, int] | None = None) -> tuple[int, list[list[str]]]:
    """Exit code of train.py, and the pictures of A that this rank was given, step by step.

    trouble: a rank, the step after which it happens to it, and the signal that it gets."""
    seen: list[list[str]] = []
    step = InstaGanModel.training_step

    def noted(model, update):
        seen.append([Path(path).stem for pair in update.pairs for path in pair.paths["A"]])
        step(model, update)
        if trouble and (rank, len(seen)) == trouble[:2]:
            os.kill(os.getpid(), trouble[2])

    InstaGanModel.training_step = noted
    return train_program.main(argv), seen


def on_ranks(size: int, folder: Path, *work) -> list[Ended]:
    ended = fork(size, folder, program, *work)
    assert all("Traceback" not in one.errors for one in ended), [one.errors for one in ended]
    return ended


def alone(folder: Path, argv: list[str]) -> list[list[str]]:
    """The pictures of A that a single process is given, in a process of its own: what it patches is gone with it."""
    (one,) = on_ranks(1, folder, argv)
    assert one.result[0] == 0
    return one.result[1]


def checkpoint(checkpoints: Path) -> dict:
    return torch.load(checkpoints / "run" / "latest.pth", weights_only=True)


def log(checkpoints: Path) -> list[dict]:
    return [json.loads(line) for line in (checkpoints / "run" / "loss_log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def two(data, tmp_path_factory) -> tuple[Path, list[Ended]]:
    """A whole run of two ranks: two epochs of five steps, the last of each with a picture for rank 0 alone."""
    checkpoints = tmp_path_factory.mktemp("two")
    return checkpoints, on_ranks(2, checkpoints, arguments(data, checkpoints))


@pytest.mark.parametrize("ranks, accumulate, size", [(1, 1, 2), (2, 1, 2), (4, 1, 1), (3, 2, 2), (1, 3, 2), (5, 4, 1)])
def test_ranks_share_what_a_single_process_would_take(ranks, accumulate, size):
    whole = EpochSampler(23, ranks * accumulate * size, 5, serial=False)
    parts = [EpochSampler(23, size, 5, False, accumulate, rank, ranks) for rank in range(ranks)]
    for done in (0, 1, 8, 22, 23):
        for sampler in (whole, *parts):
            sampler.epoch, sampler.done = 3, done
        keys = [iter(list(part)) for part in parts]
        steps = list(zip(*(part.steps() for part in parts), strict=True))
        for together, step in zip(list(whole), steps, strict=True):
            dealt = [[next(keys[rank]) for _ in batches] for rank, batches in enumerate(step)]
            assert [key for of_rank in dealt for batch in of_rank for key in batch] == together
            assert all(0 < len(batch) <= size for of_rank in dealt for batch in of_rank)
            assert all(len(of_rank) <= accumulate for of_rank in dealt)
            rows = [sum(map(len, of_rank)) for of_rank in dealt]
            assert max(rows) - min(rows) <= 1 and rows[0] > 0
        assert all(next(rest, None) is None for rest in keys)


def test_two_ranks_make_the_run_of_one_process_with_twice_the_batch(data, two, tmp_path):
    checkpoints, ended = two
    assert [one.result[0] for one in ended] == [0, 0]
    pictures = alone(tmp_path, arguments(data, tmp_path, "--batch_size", "2"))
    first, second = (one.result[1] for one in ended)
    assert [mine + theirs for mine, theirs in zip(first, second, strict=True)] == pictures
    assert [len(step) for step in second] == [1, 1, 1, 1, 0] * 2
    assert checkpoint(checkpoints)["progress"] == checkpoint(tmp_path)["progress"]
    ours, theirs = log(checkpoints)[0], log(tmp_path)[0]
    for name in ("cyc_A", "cyc_B", "ctx_A", "idt_B", "G_A", "D_B"):
        assert ours.get(name) == pytest.approx(theirs.get(name), rel=1e-2), name
    assert [line["pictures"] for line in log(checkpoints)] == [line["pictures"] for line in log(tmp_path)]


def test_rank_0_alone_speaks(two):
    _, (first, second) = two
    assert "trainA: 9 pictures" in first.printed and "done at step 10, epoch 2 of 2" in first.errors
    assert second.printed == second.errors == ""


def test_two_ranks_stopped_and_continued_are_two_ranks_uninterrupted(data, two, tmp_path):
    on_ranks(2, tmp_path, arguments(data, tmp_path, "--max_steps", "7"))
    on_ranks(2, tmp_path, arguments(data, tmp_path, "--continue_train"))
    assert_equal(checkpoint(two[0]), checkpoint(tmp_path))


@pytest.mark.parametrize("before, after", [(2, 1), (1, 2), pytest.param(2, 4, marks=pytest.mark.slow)])
def test_continued_on_another_number_of_ranks_each_picture_of_the_epoch_comes_once(before, after, data, tmp_path):
    steps = {1: "3", 2: "2"}[before]  # 3 or 4 pictures of 9
    first = on_ranks(before, tmp_path, arguments(data, tmp_path, "--max_steps", steps))
    state = checkpoint(tmp_path)
    done = [stem for one in first for step in one.result[1] for stem in step]
    assert state["progress"]["in_epoch"] == len(done) == before * int(steps)
    rest = on_ranks(
        after, tmp_path, arguments(data, tmp_path, "--continue_train", "--niter_decay", "0", "--niter", "1")
    )
    assert {one.result[0] for one in rest} == {0}
    assert sorted(done + [stem for one in rest for step in one.result[1] for stem in step]) == [
        f"a{n}" for n in range(9)
    ]
    assert checkpoint(tmp_path)["progress"]["pictures"] == 9
    assert [line["step"] for line in log(tmp_path)] == list(range(1, 1 + len(log(tmp_path))))


def test_accumulated_batches_are_one_step(data, tmp_path):
    pictures = alone(
        tmp_path, arguments(data, tmp_path, "--accumulate", "4", "--batch_size", "2", "--niter_decay", "0")
    )
    assert [len(step) for step in pictures] == [8, 1]
    assert [line["pictures"] for line in log(tmp_path)] == [8, 9]


def test_four_ranks_of_which_some_have_no_instance_or_no_picture_end(data, tmp_path):
    ended = on_ranks(4, tmp_path, arguments(data, tmp_path, "--niter", "1", "--niter_decay", "0", "--serial_batches"))
    assert [one.result[0] for one in ended] == [0] * 4
    assert [one.result[1] for one in ended] == [
        [["a0"], ["a4"], ["a8"]], [["a1"], ["a5"], []], [["a2"], ["a6"], []], [["a3"], ["a7"], []]
    ]  # fmt: skip


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_rank_ends_all_after_the_same_step(rank, data, tmp_path):
    ended = on_ranks(2, tmp_path, arguments(data, tmp_path, "--niter", "1000"), (rank, 3, signal.SIGTERM))
    assert [one.result[0] for one in ended] == [143, 143]
    assert [len(one.result[1]) for one in ended] == [3, 3]
    assert checkpoint(tmp_path)["progress"]["steps"] == 3
    assert "stopped by SIGTERM at step 3" in ended[0].errors and ended[1].errors == ""


def test_a_picture_that_one_rank_cannot_read_ends_all_with_one_sentence(tmp_path):
    root = draw_set(tmp_path / "data", "train", a=[1] * 6, b=[1] * 6)
    broken = root / "trainA" / "a3.png"
    broken.write_bytes(broken.read_bytes()[:900])
    first, second = on_ranks(2, tmp_path, arguments(root, tmp_path, "--serial_batches"))
    assert first.result[0] == second.result[0] == 2
    assert "a3.png cannot be read as a picture" in first.errors.splitlines()[-1]
    assert second.errors == ""
    assert checkpoint(tmp_path)["progress"]["steps"] == 1


def test_a_wrong_flag_and_a_run_that_is_there_are_one_sentence(data, two, tmp_path):
    for flags, said in ((("--ngff", "3"), "unknown flag --ngff"), ((), "holds a run already")):
        first, second = on_ranks(2, tmp_path, arguments(data, two[0], *flags))
        assert first.result == second.result == (2, [])
        assert said in first.errors and len(first.errors.splitlines()) == 1 and second.errors == ""


def killed(rank: int, argv: list[str]) -> int:
    return program(rank, argv, (1, 2, signal.SIGKILL))[0]


def test_a_rank_that_is_killed_leaves_no_other_waiting(data, tmp_path):
    survivor, dead = fork(2, tmp_path, killed, arguments(data, tmp_path))
    assert dead.code == -signal.SIGKILL
    assert survivor.result == 1
    assert "rank 0 ends, because another rank has ended" in survivor.errors and "Traceback" not in survivor.errors


def test_a_checkpoint_of_one_process_from_before_there_were_several_is_continued(data, tmp_path):
    alone(tmp_path, arguments(data, tmp_path, "--batch_size", "2", "--max_steps", "3"))
    state = checkpoint(tmp_path)
    assert state["progress"].pop("in_epoch") == 6
    state["progress"]["batches"] = 3
    torch.save(state, tmp_path / "run" / "latest.pth")
    assert alone(tmp_path, arguments(data, tmp_path, "--continue_train", "--batch_size", "2", "--max_steps", "4"))
    assert checkpoint(tmp_path)["progress"] == {"epoch": 1, "in_epoch": 8, "steps": 4, "pictures": 8}


def test_ranks_take_a_gpu_each(monkeypatch):
    options = parse_training(["--dataroot", str(ROOT)]).values
    for name, value in {"RANK": 3, "WORLD_SIZE": 4, "LOCAL_RANK": 3, "LOCAL_WORLD_SIZE": 4, "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MASTER_ADDR", "here")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert str(choose_device(options)) == "cuda:3"
    assert workers(options) == 2
    options.device = "cuda:1"
    with pytest.raises(Exception, match="--device cuda:1: torchrun gives each process a GPU of its own"):
        choose_device(options)
    options.device = "cpu"
    assert str(choose_device(options)) == "cpu"
    options.device, options.gpu_ids = "auto", "3,2,0,1"
    assert str(choose_device(options)) == "cuda:1"
    options.gpu_ids = "0,1"
    with pytest.raises(Exception, match="--gpu_ids 0,1 names 2 GPUs, but there are 4 processes"):
        choose_device(options)
    options.device, options.gpu_ids = "cuda", None
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(Exception, match="torchrun --nproc_per_node 4 .* has 2 cuda devices"):
        choose_device(options)


def test_without_torchrun_there_is_one_rank(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")  # some clusters set it for other purposes
    with joined() as world:
        assert (world.rank, world.size) == (0, 1)
    assert launch_name() == ""


def test_a_launched_program_does_not_take_a_signal_that_comes_twice_for_impatience():
    with StopRequest(launched=True) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wish() == signal.SIGTERM and not stop.agreed
        assert stop.agree(stop.wish())
    assert stop.exit_code == 0


CRASHING = """
import os, sys
sys.path.insert(0, {root!r})
from tests.programs import train_program
from models.insta_gan_model import InstaGanModel
step, done = InstaGanModel.training_step, []
def crashing(model, update):
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and os.environ["RANK"] == "1" and len(done) == 7:
        os.kill(os.getpid(), 9)
    done.append(1)
    return step(model, update)
InstaGanModel.training_step = crashing
sys.exit(train_program.main())
"""


def torchrun(*words: object) -> subprocess.Popen:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_a_run_that_torchrun_restarts_after_a_crash_ends_like_one_that_had_none(data, two, tmp_path):
    script = tmp_path / "crashing.py"
    script.write_text(CRASHING.format(root=str(ROOT)))
    flags = ("--save_latest_freq", "3")
    process = torchrun("--max_restarts", "1", script, *arguments(data, tmp_path, *flags))
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    crashed, straight = checkpoint(tmp_path), checkpoint(two[0])
    assert crashed.pop("launch") != straight.pop("launch") == ""
    assert_equal(straight["networks"], crashed["networks"])
    assert_equal(straight["optimizers"], crashed["optimizers"])
    assert_equal(straight["pools"], crashed["pools"])
    assert [line["step"] for line in log(tmp_path)] == list(range(1, 11))


@pytest.mark.slow
def test_a_refused_run_is_refused_again_after_a_restart(data, two):
    before = checkpoint(two[0])
    process = torchrun("--max_restarts", "1", ROOT / "train.py", *arguments(data, two[0]))
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert errors.count("holds a run already") == 2
    assert_equal(before, checkpoint(two[0]))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_torchrun_ends_all_ranks_with_a_checkpoint(number, data, tmp_path):
    process = torchrun(ROOT / "train.py", *arguments(data, tmp_path, "--niter", "1000"))
    limit = time.monotonic() + PATIENCE
    lines = tmp_path / "run" / "loss_log.jsonl"
    while not (lines.exists() and lines.read_text().count("\n") > 2) and time.monotonic() < limit:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE)
    assert f"stopped by {number.name} at step {checkpoint(tmp_path)['progress']['steps']}," in errors
