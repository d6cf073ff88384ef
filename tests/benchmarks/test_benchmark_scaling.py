"""The benchmark of several processes, and the report on a GPU: what they read out of runs, and what is written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import benchmark
from benchmarks.speed import scaling
from instagan.errors import InputError
from tests.programs import ROOT, sentence

TINY = ("--size", "32", "--ngf", "4", "--ndf", "4", "--device", "cpu", "--repeats", "1", "--steps", "2")


def run(tmp_path, *flags: str) -> dict:
    file = tmp_path / "figures.json"
    assert benchmark.main(["scaling", *TINY, "--warm_ups", "1", "--json", str(file), *flags]) == 0
    return json.loads(file.read_text())


def test_pictures_per_second_of_train(tmp_path, capsys):
    figures = run(tmp_path, "--world", "1", "--batch_size", "2", "--threads", "1")
    found = figures["worlds"]["1"]
    assert found["efficiency"]["median"] == 1
    assert found["pictures_per_second"]["median"] == pytest.approx(2 / found["seconds_per_step"]["median"])
    assert "batch 2 of each process" in capsys.readouterr().out


@pytest.mark.slow
def test_two_processes(tmp_path):
    found = run(tmp_path, "--world", "2", "1")["worlds"]
    assert list(found) == ["1", "2"] and found["2"]["efficiency"]["median"] > 0
    rate, step = found["2"]["pictures_per_second"]["median"], found["2"]["seconds_per_step"]["median"]
    assert rate == pytest.approx(2 / step)


def test_the_first_steps_do_not_count(tmp_path):
    log = tmp_path / "loss_log.jsonl"
    seconds = [9.0, 9.0, 0.5, 0.25]
    lines = [{"step": n + 1, "pictures": 4 * (n + 1), "seconds_per_picture": s} for n, s in enumerate(seconds)]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert scaling._progress(log, warm_ups=2) == (8, 3.0)


def test_a_run_that_fails_is_one_sentence(capsys):
    assert "--variant published" in sentence(capsys, benchmark.main, "scaling", *TINY, "--variant", "published")
    assert "no flag for it" in sentence(capsys, benchmark.main, "scaling", *TINY, "--variant", "ours-no_columns")
    broken = [sys.executable, "-c", "import sys; sys.exit('train.py: no such picture')"]
    with pytest.raises(InputError, match="ended with 1: train.py: no such picture"):
        scaling._run(broken, {})


def gpu_report(*flags: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHON": sys.executable}
    command = ["bash", str(ROOT / "benchmarks" / "gpu_report.sh"), *flags]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_report_is_one_sentence(tmp_path):
    done = gpu_report("--out", str(tmp_path / "report.md"))
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "no CUDA GPU" in done.stderr
    assert not list(tmp_path.iterdir())


def test_wrong_flags_of_the_report_are_one_sentence(tmp_path):
    for flags in (
        ("--batches", "2 x"),
        ("--minutes", "0"),
        ("--out",),
        ("--out", str(tmp_path / "none" / "report.md")),
    ):
        done = gpu_report(*flags)
        assert done.returncode == 2 and flags[0] in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_dry_run_of_the_report(tmp_path):
    sizes = ("--size", "32", "--ngf", "4", "--ndf", "4", "--batches", "2", "--growth", "1 2", "--repeats", "1")
    out: Path = tmp_path / "report.md"
    done = gpu_report("--device", "cpu", "--small", *sizes, "--out", str(out))
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    assert all(f"{command}: cpu" in text for command in ("step", "memory", "translate")) and "published/it" in text
    assert list(tmp_path.iterdir()) == [out]
