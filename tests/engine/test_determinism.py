"""The same seed gives the same weights: another process, any number of workers, and the numbers that were stored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.run_folder import RunFolder
from tests.engine.test_resume import assert_equal
from tests.programs import ROOT, draw_set, tiny
from tests.soak.reliability_checks.golden import FILE, METHODS, Losses, losses, worst


def assert_stored(found: Losses, method: str) -> None:
    stored = json.loads(FILE.read_text())
    share, which = worst(found, stored["losses"][method], stored["spread"][method])
    assert share <= 1, f"{which}: {share:.3g} times what rounding may do"


@pytest.mark.parametrize("method", METHODS)
def test_twenty_steps_on_the_shapes_give_the_stored_losses(method, tmp_path):
    assert_stored(losses(method, tmp_path), method)


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("method", METHODS)
def test_a_gpu_gives_the_stored_losses(method, tmp_path):
    assert_stored(losses(method, tmp_path, "cuda"), method)


@pytest.mark.parametrize("first, change", [(0, 1e-5), (1, 0.01), (19, 0.2)])
def test_the_comparison_notices_a_changed_loss(first, change):
    """From a step on: rounding grows with the steps, and what it can hide."""
    stored = json.loads(FILE.read_text())["losses"]["insta_gan"]
    values = stored["cyc_B"]
    changed = values[:first] + [value * (1 + change) for value in values[first:]]
    assert_stored(stored, "insta_gan")
    with pytest.raises(AssertionError, match=f"cyc_B of step {first + 1}: .* what rounding may do"):
        assert_stored(stored | {"cyc_B": changed}, "insta_gan")
    with pytest.raises(AssertionError, match="cyc_A.* and "):
        assert_stored({name: values for name, values in stored.items() if name != "G_A"}, "insta_gan")


def test_processes_and_workers_change_no_bit(tmp_path):
    """Each run in a process of its own, which hashes strings differently, without workers, with one and with two."""
    data = draw_set(tmp_path / "data", "train", a=[2, 1, 3, 0], b=[1, 2, 1])
    states = []
    for number, workers in enumerate(("0", "1", "2")):
        words = ("--dataroot", str(data), "--checkpoints_dir", str(tmp_path / str(number)), "--name", "run")
        flags = ("--no_html", "--niter", "1", "--niter_decay", "0", "--pool_size", "2", "--num_threads", workers)
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": str(number)}
        command = [sys.executable, str(ROOT / "train.py"), *words, *tiny(*flags)]
        subprocess.run(command, check=True, capture_output=True, timeout=300, env=environment)
        states.append(RunFolder(Path(tmp_path / str(number)), "run").load("latest"))
    for state in states[1:]:
        for part in ("networks", "optimizers", "pools", "progress", "random"):
            assert_equal(states[0][part], state[part])
