"""--gpu_ids 0,1 starts a process for each GPU: one run, signals and failures of which reach all of them."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch

from engine.device import choose_device
from engine.run_folder import RunFolder
from engine.several_gpus import start_ranks
from options.parse import parse_training
from tests.programs import ROOT, draw_set, sentence, tiny, train_program

STARTER = "import sys; from engine.several_gpus import start_ranks; sys.exit(start_ranks(sys.argv[1], sys.argv[2:], 2))"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return draw_set(tmp_path_factory.mktemp("data"), "train", a=[2, 1, 0, 1], b=[1, 2])


def arguments(data, checkpoints, *flags: str) -> list[str]:
    where = ["--dataroot", str(data), "--checkpoints_dir", str(checkpoints), "--name", "run"]
    return [*where, *tiny(), "--no_html", "--print_freq", "1", *flags]


def started(data, checkpoints, *flags: str) -> subprocess.Popen:
    """Two ranks on the CPU, started by a program of its own that can be sent signals."""
    command = [sys.executable, "-c", STARTER, str(ROOT / "train.py"), *arguments(data, checkpoints, *flags)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_wrong_input_is_one_sentence_of_one_rank(data, tmp_path, capfd):
    argv = arguments(data, tmp_path, "--continue_train", "--epoch", "7")
    assert start_ranks(str(ROOT / "train.py"), argv, 2) == 2
    told = capfd.readouterr().err
    assert len(told.splitlines()) == 1 and told.startswith("train.py: ")


def test_they_train_one_run_and_a_signal_saves_and_ends_all(data, tmp_path):
    ranks, log = started(data, tmp_path, "--niter", "500"), tmp_path / "run" / "loss_log.jsonl"
    until = time.monotonic() + 120
    while not (log.exists() and log.read_text()) and time.monotonic() < until:
        time.sleep(0.1)
    ranks.send_signal(signal.SIGTERM)
    printed, told = ranks.communicate(timeout=120)
    assert ranks.returncode == 143 and "Traceback" not in told and "stopped by SIGTERM" in printed + told
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    progress = torch.load(tmp_path / "run" / "latest.pth", weights_only=True)["progress"]
    assert progress["steps"] >= steps[-1] and progress["pictures"] == 2 * progress["steps"]


def test_ranks_that_end_well_end_well_together(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import os, sys\nopen(sys.argv[1] + os.environ['RANK'], 'w').close()\n")
    assert start_ranks(str(program), [f"{tmp_path}/rank_"], 2) == 0
    assert (tmp_path / "rank_0").exists() and (tmp_path / "rank_1").exists()


def test_a_rank_that_fails_ends_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.several_gpus.GRACE", 0.5)
    program = tmp_path / "program.py"
    program.write_text("import os, sys, time\nsys.exit(3) if os.environ['RANK'] == '1' else time.sleep(60)\n")
    began = time.monotonic()
    assert start_ranks(str(program), [], 2) == 3
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("saved", [False, True])
def test_train_py_starts_them_and_says_so(data, tmp_path, monkeypatch, capsys, saved):
    """Also where the run has saved the flag and --continue_train finds it."""
    calls = []
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.setattr(train_program, "start_ranks", lambda *asked: calls.append(asked) or 0)
    argv = arguments(data, tmp_path, "--device", "auto", "--gpu_ids", "1,3", "--batch_size", "2")
    if saved:
        resolved = parse_training([*argv, "--gpu_ids", "1,3"])
        run = RunFolder(tmp_path, "run")
        run.create()
        run.save_options(resolved.values)
        (run.path / "latest.pth").write_bytes(b"x")
        argv = ["--checkpoints_dir", str(tmp_path), "--name", "run", "--continue_train"]
    assert train_program.main(argv) == 0
    told = capsys.readouterr().out
    assert "starting 2 processes" in told and "together 4 image pairs" in told and len(told.splitlines()) == 1
    assert calls == [(str(ROOT / "train.py"), argv, 2)]


def test_other_programs_take_the_first_of_them(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert choose_device(parse_training(["--dataroot", str(ROOT), "--gpu_ids", "1,3"]).values) == torch.device("cuda:1")


def test_a_machine_without_gpus_says_how_many_there_are(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    told = sentence(capsys, train_program.main, *arguments(data, tmp_path, "--device", "auto", "--gpu_ids", "0,1,2,3"))
    assert "--gpu_ids 0,1,2,3: this machine has 0 CUDA GPUs; use --gpu_ids -1 for the CPU" in told
