"""Small trainings in child processes, forked from one that has imported everything, so that a start is cheap."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from data.shapes.writing import write_set

ROOT = Path(__file__).resolve().parents[3]
PICTURES = 4
FLAGS = (
    "--name", "run", "--device", "cpu", "--ngf", "1", "--ndf", "1", "--n_layers_D", "1",
    "--load_size", "18", "--fine_size", "16", "--num_threads", "0", "--display_id", "0", "--no_html",
    "--print_freq", "1", "--pool_size", "3", "--niter", "1", "--niter_decay", "1", "--save_latest_freq", "2",
    "--save_epoch_freq", "1",
)  # fmt: skip
"""Eight steps: two epochs, of which the second decays; pools that overflow; saves after every second picture."""
INSTA_GAN = ("--ins_max", "2", "--netG_blocks", "1")
PATIENCE = 600.0
"""Seconds for a child to end; it takes about two where nothing else is computed."""
TIMING = ("seconds_per_picture", "data_wait")


@dataclass(frozen=True)
class Ended:
    """code: as of subprocess, negative for a signal. said: what it wrote on stdout and stderr together."""

    code: int
    said: str


@cache
def program(name: str = "train") -> ModuleType:
    """A program of the checkout as a module, with all that it imports."""
    spec = importlib.util.spec_from_file_location(f"program_{name}", ROOT / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def warm_up() -> None:
    """Imports train.py, and keeps to one thread: what is forked must not have others."""
    torch.set_num_threads(1)
    program()


def data_set(folder: Path, seed: int = 0) -> Path:
    write_set(folder, seed, {"train": PICTURES}, 34)
    return folder


def arguments(data: Path, runs: Path, *flags: object) -> list[str]:
    """A command line of train.py; flags of InstaGAN alone are left out where another ``--model`` is asked for."""
    own = () if "--model" in flags and "insta_gan" not in flags else INSTA_GAN
    return ["--dataroot", str(data), "--checkpoints_dir", str(runs), *FLAGS, *own, *map(str, flags)]


def start(
    argv: Sequence[str],
    said: Path,
    first: Callable[[], object] | None = None,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Number of a new process, the leader of its group, that runs train.py. first: what it does before that."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        os.environ |= environment or {}
        if first:
            first()
        code = program().main(argv)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
        os._exit(code)


def wait(pid: int, said: Path, seconds: float | None = None) -> Ended | None:
    """How a child has ended; None if it has not after so many seconds. Without a limit it is killed in the end."""
    limit = time.monotonic() + (PATIENCE if seconds is None else seconds)
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return Ended(os.waitstatus_to_exitcode(status), said.read_text(errors="replace") if said.exists() else "")
        if time.monotonic() > limit:
            if seconds is not None:
                return None
            kill(pid)
            return Ended(-signal.SIGKILL, f"no end after {PATIENCE:.0f} s")
        time.sleep(0.002)


def kill(pid: int) -> None:
    """The process and all that it started, at once."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def trained(argv: Sequence[str], said: Path, first: Callable[[], object] | None = None) -> Ended:
    ended = wait(start(argv, said, first), said)
    assert ended is not None
    return ended


def differences(one: Path, other: Path) -> list[str]:
    """What differs between two runs' folders: newest checkpoint and losses of every step; empty if nothing does."""
    states = [torch.load(run / "latest.pth", weights_only=True) for run in (one, other)]
    for state in states:
        state.pop("launch")
    found = list(_unequal(*states, "latest"))
    logs = [losses(run) for run in (one, other)]
    steps = [line["step"] for line in logs[1]]
    if steps != sorted(set(steps)):
        found.append(f"steps in the loss log: {steps}")
    return found + ([] if logs[0] == logs[1] else ["the losses of some step"])


def losses(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "loss_log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMING} for line in lines]


def _unequal(one: Any, other: Any, place: str) -> list[str]:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if one.dtype == other.dtype and torch.equal(one, other) else [place]
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [found for key in one for found in _unequal(one[key], other[key], f"{place}/{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [found for number, pair in pairs for found in _unequal(*pair, f"{place}/{number}")]
    return [] if one == other else [place]
