"""A training step kept in files, so that it can be made again: ``checkpoints/<name>/nonfinite/step_<number>/``.

step.pth         where the run stood, losses as they were, and the batches of all ranks
checkpoint.pth   what the weights followed from; absent where that was the run's own beginning
options.yaml     the run's options

A step depends on its batches and on the weights before it. These are not kept, they would take as long to write as a
checkpoint: the few steps since the last one are made again first, from the data set (``scripts/replay_step.py``).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from engine.schedule import Progress
from instagan.errors import InputError
from instagan.io.options_file import OPTIONS
from instagan.structures.instances import InstanceBatch, UnpairedBatch

FORMAT = 2
STEP, CHECKPOINT = "step.pth", "checkpoint.pth"
MOST = 3
"""Dumps of a run; the oldest make room for new ones."""


@dataclass(frozen=True, eq=False)
class StepDump:
    """start: where the run stood when its weights were those of the checkpoint. before: where it stood before the step.
    pairs: the batches of each rank. random: torch's random state on the CPU of rank 0, after the step."""

    start: Progress
    before: Progress
    losses: dict[str, float]
    refused: tuple[str, ...]
    pairs: list[list[UnpairedBatch]]
    random: torch.Tensor


def write(folder: Path, dump: StepDump, options: Path, checkpoint: Path | None) -> None:
    """Whole or not at all. The checkpoint gets a second name, where the file system has links. Raises ``OSError``."""
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    state = {
        "format": FORMAT,
        "start": asdict(dump.start),
        "before": asdict(dump.before),
        "losses": dump.losses,
        "refused": list(dump.refused),
        "pairs": [[_plain(pair) for pair in of_rank] for of_rank in dump.pairs],
        "random": dump.random,
    }
    try:
        scratch.mkdir(parents=True)
        torch.save(state, scratch / STEP)
        shutil.copyfile(options, scratch / OPTIONS)
        if checkpoint:
            _second_name(checkpoint, scratch / CHECKPOINT)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(scratch, folder)
    except RuntimeError as error:  # torch.save raises it where the disk is full
        raise OSError(str(error).partition("\n")[0]) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    made = sorted(folder.parent.glob("step_*"), key=lambda path: path.stat().st_mtime)
    for old in made[:-MOST]:
        shutil.rmtree(old, ignore_errors=True)


def read(folder: Path) -> StepDump:
    """Never runs code from the file. Raises ``InputError`` naming it."""
    path = folder / STEP
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["format"] != FORMAT:
            raise InputError(f"{path} has format {state['format']}, this version reads {FORMAT}; use the matching one")
        start, before = Progress(**state["start"]), Progress(**state["before"])
        pairs = [[_pair(pair) for pair in of_rank] for of_rank in state["pairs"]]
        return StepDump(start, before, state["losses"], tuple(state["refused"]), pairs, state["random"])
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; pass a folder that a run has left in its folder nonfinite") from None
    except Exception as error:  # reading a damaged pickle can raise anything
        reason = str(error).strip().partition("\n")[0][:100]
        raise InputError(f"{path} is damaged ({reason}); the step cannot be made again from it") from None


def _plain(pair: UnpairedBatch) -> dict[str, Any]:
    tensors = {letter: batch.to("cpu").fields() for letter, batch in pair.domains.items()}
    return {"domains": tensors, "paths": {letter: list(paths) for letter, paths in pair.paths.items()}}


def _pair(plain: dict[str, Any]) -> UnpairedBatch:
    domains = {letter: InstanceBatch.from_fields(tensors) for letter, tensors in plain["domains"].items()}
    return UnpairedBatch(domains, {letter: tuple(paths) for letter, paths in plain["paths"].items()})


def _second_name(source: Path, path: Path) -> None:
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)


def paths(pairs: Sequence[Sequence[UnpairedBatch]]) -> list[str]:
    """The pictures of all ranks' batches."""
    return [path for of_rank in pairs for pair in of_rank for of_domain in pair.paths.values() for path in of_domain]
