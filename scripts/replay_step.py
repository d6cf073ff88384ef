#!/usr/bin/env python
"""Makes a training step again that was not finite, from what train.py kept of it, and tells where it begins.

    python scripts/replay_step.py checkpoints/horses/nonfinite/step_1234
    python scripts/replay_step.py checkpoints/horses/nonfinite/step_1234 --device cpu
    torchrun --nproc_per_node 2 scripts/replay_step.py ...        of a run on two ranks

The steps since the last checkpoint are made first, from the data set; then the step, from the batches that were kept.
Other flags are train.py's and stand in for the run's own. Nothing is written. Exit code 0 if the losses are the same to
the last bit, 1 if they are not (another device, changed pictures), 2 for wrong input.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine import step_dump  # noqa: E402
from engine.endings import ENDINGS, ending  # noqa: E402
from engine.finite import Finding, FiniteCheck  # noqa: E402
from engine.launch import joined  # noqa: E402
from engine.method import load_state, refused_updates, state_of  # noqa: E402
from engine.opening import Opened  # noqa: E402
from engine.optimizer import set_learning_rates  # noqa: E402
from engine.parallel import World  # noqa: E402
from engine.rounds import updates  # noqa: E402
from engine.run import ReadyRun  # noqa: E402
from engine.run_folder import RunFolder  # noqa: E402
from engine.step_dump import CHECKPOINT, StepDump  # noqa: E402
from engine.update import Update  # noqa: E402
from instagan.errors import InputError  # noqa: E402
from instagan.io.options_file import OPTIONS  # noqa: E402
from instagan.structures.instances import InstanceBatch, UnpairedBatch  # noqa: E402
from options.build import learning_rate, ready  # noqa: E402
from options.parse import Resolved, parse_training  # noqa: E402


@dataclass(frozen=True)
class Replayed:
    """steps: made before it. first: what was not finite first, in words."""

    steps: int
    finding: Finding
    first: str


def replay(folder: Path, flags: Sequence[str], world: World) -> tuple[StepDump, Replayed]:
    """Makes the step again. Every rank calls it. Raises ``InputError`` where that cannot be."""
    dump = world.from_main(lambda: step_dump.read(folder))
    if world.size != len(dump.pairs):
        raise InputError(
            f"{folder} was kept by {len(dump.pairs)} ranks; start them with torchrun --nproc_per_node {len(dump.pairs)}"
        )
    run = ready(world.from_main(lambda: _options(folder, flags)), world, lambda *_: _state(folder))
    _lead_up(run, dump)
    options, pairs = run.resolved.values, dump.pairs[world.rank]
    set_learning_rates(run.model.optimizers(), learning_rate(options, dump.before))
    refused = {name: count.item() for name, count in refused_updates(run.model).items()}
    before, update = copy.deepcopy(state_of(run.model)), _update(run, dump)
    run.model.training_step(update)
    values = {name: loss.item() for name, loss in update.losses().items()}
    more = tuple(name for name, count in refused_updates(run.model).items() if count.item() > refused[name])
    load_state(run.model, before)
    with first_not_finite(run.model.networks, pairs) as found:  # once more: layers with hooks round in another way
        run.model.training_step(_update(run, dump))
    first = next((of_rank for of_rank in world.all_gather_object(found[0] if found else "") if of_rank), "")
    return dump, Replayed(dump.before.steps - dump.start.steps, Finding(dump.before, values, more, pairs), first)


def _update(run: ReadyRun, dump: StepDump) -> Update:
    """Of the step that was kept."""
    pairs, seed = dump.pairs[run.world.rank], run.resolved.values.seed
    return next(updates(run.world, [pairs], lambda: 0, progress=dump.before, seed=seed)).to(run.device)


def _options(folder: Path, flags: Sequence[str]) -> Resolved:
    return parse_training(["--config", str(folder / OPTIONS), *flags])


def _state(folder: Path) -> Opened:
    path = folder / CHECKPOINT
    return Opened(RunFolder(folder.parent, folder.name).load(path.stem) if path.exists() else None)


def _lead_up(run: ReadyRun, dump: StepDump) -> None:
    """The steps from the checkpoint to the one that was kept, as train.py makes them."""
    progress, check = dump.start, FiniteCheck(run.model, run.world, "skip", limit=sys.maxsize)
    while progress.steps < dump.before.steps:
        for read in run.updates(progress):
            update = read.to(run.device)
            set_learning_rates(run.model.optimizers(), learning_rate(run.resolved.values, progress))
            run.model.training_step(update)
            before, progress = progress, progress.after_batch(update.pair_count)
            check.step(before, progress, update.losses(), read.pairs)
            if progress.steps == dump.before.steps:
                break
        if progress.in_epoch >= run.loader.pictures:
            progress = progress.next_epoch()
    check.finish(progress)


@contextmanager
def first_not_finite(networks: torch.nn.ModuleDict, pairs: Sequence[UnpairedBatch]) -> Iterator[list[str]]:
    """Within it, notes the first picture or layer that gives what is not finite out of what is."""
    found = [f"the picture {path} as it was read" for pair in pairs for path in _spoilt(pair)]
    handles = []

    def note(name: str) -> Any:
        def hook(module: torch.nn.Module, given: Any, made: Any) -> None:
            if not found and not _is_finite(made) and _is_finite(given):
                found.append(f"the output of {name} ({type(module).__name__}), whose input is finite")

        return hook

    for name, module in networks.named_modules():
        if not list(module.children()):
            handles.append(module.register_forward_hook(note(name)))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _spoilt(pair: UnpairedBatch) -> list[str]:
    return [
        path
        for letter, paths in pair.paths.items()
        for row, path in enumerate(paths)
        if not _is_finite(pair[letter].image[row])
    ]


def _is_finite(value: Any) -> bool:
    if isinstance(value, InstanceBatch):
        return _is_finite((value.image, value.masks))
    if isinstance(value, tuple | list):
        return all(map(_is_finite, value))
    return not isinstance(value, torch.Tensor) or bool(value.isfinite().all())


def told(dump: StepDump, again: Replayed) -> tuple[bool, list[str]]:
    """Whether it is the same step, and the report."""
    same = _same(dump.losses, again.finding.losses) and dump.refused == again.finding.refused
    lines = [
        f"step {dump.before.steps + 1}, epoch {dump.before.epoch}, after {again.steps} steps from the checkpoint",
        f"pictures: {', '.join(step_dump.paths(dump.pairs))}",
        *(f"{name:>8}: {value!r} then, {again.finding.losses.get(name)!r} now" for name, value in dump.losses.items()),
        f"updates refused: of {' and '.join(dump.refused) or 'none'} then, "
        f"of {' and '.join(again.finding.refused) or 'none'} now",
        f"not finite first: {again.first or 'nothing that a layer gives; a gradient, or the sum of a loss'}",
    ]
    if same:
        return True, [*lines, "the same step to the last bit"]
    finite = "; it is finite this time" if not again.finding.words() else ""
    return False, [*lines, f"not the same step{finite}: another device or version, or pictures that have changed"]


def _same(then: dict[str, float], now: dict[str, float]) -> bool:
    return then.keys() == now.keys() and all(
        value == now[name] or math.isnan(value) and math.isnan(now[name]) for name, value in then.items()
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="nonfinite/step_<number> in the folder of a run")
    known, flags = parser.parse_known_args(argv)
    try:
        with joined() as world:
            same, lines = told(*replay(known.folder, flags, world))
    except ENDINGS as error:
        return ending("replay_step.py", error, sys.stderr.write)
    if world.is_main:
        print(*lines, sep="\n")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
