"""Checkpoints that are damaged, a disk that fails, two runs in one folder: planted, and what becomes of the run."""

from __future__ import annotations

import errno
import os
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

from tests.soak.reliability_checks.children import (
    Ended,
    arguments,
    data_set,
    differences,
    kill,
    start,
    trained,
    wait,
    warm_up,
)
from tests.soak.reliability_checks.file_operations import Meet, Operations
from tests.soak.reliability_checks.rows import Budget, Row

HALF = 5
"""Steps of the run that is damaged, of eight: checkpoints of step 4 (epoch 1) and before, and of step 5."""

Damage = Callable[[Path], object]


def run(budget: Budget) -> list[Row]:
    warm_up()
    data = data_set(budget.folder / "data", budget.seed)
    straight, half = budget.folder / "straight", budget.folder / "half"
    for place, flags in ((straight, ()), (half, ("--max_steps", HALF))):
        ended = trained(arguments(data, place, *flags), budget.folder / "said.txt")
        if ended.code:
            raise RuntimeError(f"an undisturbed run ended with {ended.code}: {ended.said[-300:]}")
    return [
        damaged_rows(data, straight / "run", half / "run", budget),
        *disk_rows(data, straight / "run", budget.folder),
        second_run(data, budget.folder),
    ]


def damaged_rows(data: Path, straight: Path, half: Path, budget: Budget) -> Row:
    """Each damage to latest.pth of a copy of the run, which must be told and go on to the same end."""
    wrong, kinds = [], damages(half / "latest.pth", budget.places, budget.seed)
    for number, (name, damage) in enumerate(kinds):
        place = budget.folder / f"damaged_{number}"
        shutil.copytree(half, place / "run")
        damage(place / "run" / "latest.pth")
        ended = trained(arguments(data, place, "--continue_train"), place / "said.txt")
        told = next((line for line in ended.said.splitlines() if line.startswith("warning:")), "")
        if ended.code or "latest.pth" not in told or "going on from" not in told:
            wrong.append(f"{name}: ended with {ended.code}: {(told or ended.said)[-160:]}")
        elif found := differences(straight, place / "run"):
            wrong.append(f"{name}: {found[0]} differs")
        if sprung := list(place.rglob("sprung")):
            wrong.append(f"{name}: code ran, see {sprung[0]}")
        shutil.rmtree(place)
    how = "latest.pth cut, flipped, replaced (pickle, bomb, NaN, ...), then --continue_train"
    figure = f"{len(kinds)} damages told, all went on from a whole checkpoint to the same weights"
    return Row("3 damaged checkpoints", how, wrong[0] if wrong else figure, not wrong)


def damages(latest: Path, places: int, seed: int) -> list[tuple[str, Damage]]:
    """Cut at its ends and at so many places between, a bit flipped at twice as many, and replaced."""
    draw, size = random.Random(seed), latest.stat().st_size
    cuts = [0, 1, size - 1, *(draw.randrange(size) for _ in range(places))]
    found: list[tuple[str, Damage]] = [(f"cut at {length}", _cutter(length)) for length in cuts]
    flips = [draw.randrange(size) for _ in range(2 * places)]
    found += [(f"bit flipped at {place}", _flipper(place, 1 << draw.randrange(8))) for place in flips]
    return found + [
        ("pickle", lambda path: path.write_bytes(pickle.dumps(_Trap(path)))),
        ("code within", lambda path: torch.save({"networks": _Trap(path), "format": 1}, path)),
        ("bomb", _bomb),
        ("text", lambda path: path.write_text("no checkpoint")),
        ("NaN", _not_a_number),
        ("newer format", lambda path: _saved_anew(path, lambda state: state | {"format": 99})),
        ("other networks", lambda path: _saved_anew(path, _halved)),
        ("lost", Path.unlink),
        ("a folder", lambda path: (path.unlink(), path.mkdir())),
    ]


class _Trap:
    def __init__(self, path: Path) -> None:
        self.command = f"touch {path.parent}/sprung"

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (self.command,)


def _cutter(length: int) -> Damage:
    return lambda path: os.truncate(path, length)


def _flipper(place: int, bit: int) -> Damage:
    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[place] ^= bit
        path.write_bytes(content)

    return flip


def _bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("latest/data.pkl", bytes(2**28))


def _saved_anew(path: Path, change: Callable[[dict], dict]) -> None:
    torch.save(change(torch.load(path, weights_only=True)), path)


def _not_a_number(path: Path) -> None:
    def spoil(state: dict) -> dict:
        next(iter(state["networks"]["G_A"].values())).view(-1)[0] = float("nan")
        return state

    _saved_anew(path, spoil)


def _halved(state: dict) -> dict:
    weights = state["networks"]["G_A"]
    return state | {"networks": state["networks"] | {"G_A": {name: weight[:0] for name, weight in weights.items()}}}


def disk_rows(data: Path, straight: Path, folder: Path) -> list[Row]:
    """Saves that are refused in the middle of a run, which must be reported, and end as if nothing had been."""
    law = "4 full or read-only disk"
    rows = []
    for number, name in ((errno.ENOSPC, "full"), (errno.EDQUOT, "over its quota"), (errno.EROFS, "read-only")):
        place = folder / f"disk_{number}"
        watch = Operations(place, refusing(number, 12)).watch
        ended = trained(arguments(data, place), place.with_suffix(".txt"), watch)
        wrong = _judged(ended, straight, place, os.strerror(number))
        rows.append(
            Row(law, f"the disk is {name} for 12 operations of saving", wrong or "reported; same weights", not wrong)
        )
    place = folder / "vanishing"
    ended = trained(arguments(data, place), place.with_suffix(".txt"), lambda: vanish_after(place / "run", 5))
    saved = (place / "run" / "latest.pth").exists() and (place / "run" / "options.yaml").exists()
    figure = (
        "made again, saved to the end" if saved and not ended.code else f"ended with {ended.code}: {ended.said[-160:]}"
    )
    return [*rows, Row(law, "the run's folder is removed after step 5", figure, saved and not ended.code)]


def refusing(number: int, count: int) -> Meet:
    """Refuses so many operations in a row, from the second save on."""
    opened, refused = [0], [0]

    def meet(moment: str, name: str, file: str) -> None:
        opened[0] += moment == "before" and name == "open" and file.startswith(".latest.pth")
        if (
            moment == "before"
            and opened[0] > 1
            and name in ("write", "fsync", "replace", "link")
            and refused[0] < count
        ):
            refused[0] += 1
            raise OSError(number, os.strerror(number))

    return meet


def _judged(ended: Ended, straight: Path, place: Path, reason: str) -> str:
    if ended.code or "training goes on" not in ended.said or reason not in ended.said:
        return f"ended with {ended.code}: {ended.said[-160:]}"
    return ", ".join(differences(straight, place / "run")[:2])


def vanish_after(folder: Path, step: int) -> None:
    """The folder is removed by somebody else."""
    from trackers.loggers import Loggers

    done = Loggers.step

    def vanishing(watch, before, now, *more):  # type: ignore[no-untyped-def]
        done(watch, before, now, *more)
        if now.steps == step:
            shutil.rmtree(folder)

    Loggers.step = vanishing  # type: ignore[method-assign]


def second_run(data: Path, folder: Path) -> Row:
    """A run is refused while another trains there, and taken over once that is killed."""
    place, said = folder / "two", folder / "first.txt"
    first = start(arguments(data, place, "--niter", "1000"), said)
    while wait(first, said, 0.05) is None and not (place / "run" / "latest.pth").exists():
        pass
    refused = trained(arguments(data, place, "--continue_train"), folder / "second.txt")
    kill(first)
    over = trained(arguments(data, place, "--continue_train", "--niter", "1", "--max_steps", "1"), folder / "third.txt")
    last = refused.said.splitlines()[-1] if refused.said else ""
    right = refused.code == 2 and f"process {first}" in last and not over.code and "its lock is taken over" in over.said
    figure = (
        "refused with process and host; the killed one's lock taken over"
        if right
        else f"{last[-120:]} {over.said[-120:]}"
    )
    return Row("7 two runs, one folder", "a second start beside a living run, a third after its SIGKILL", figure, right)
