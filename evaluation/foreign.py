"""evaluate.py --results: a folder of translated pictures, of whatever system."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.entries import Entry
from data.folders import list_domain
from data.placement import resize_inside
from data.results import short_name
from evaluation.instances import Known, read_outcome, read_union
from evaluation.layout import LAYOUTS, Files, Layout, read_patterns
from evaluation.system import Direction, System
from instagan.errors import InputError
from instagan.io.reading import read_picture
from instagan.metrics.judges import References
from instagan.metrics.outcome import Outcome, Real, pieces
from instagan.metrics.shapes import Truth, read_truth
from instagan.structures.directions import FOLDERS


def read_results(flags: Namespace) -> System:
    """Raises ``InputError`` naming the file that is missing or does not fit."""
    wanted = FOLDERS[flags.direction]
    layouts: Sequence[Layout] = [read_patterns(flags.pattern)] if flags.pattern else LAYOUTS
    if not layouts[0].tells_direction() and flags.direction == "both":
        raise InputError("--pattern tells no direction by {source} or {target}; pass --direction AtoB or BtoA")
    folder: Path = flags.results
    layout, found = _open(folder, layouts, wanted)
    truth = read_truth(flags.dataroot) if flags.dataroot else None
    directions = [_direction(files, flags, *letters, truth) for letters, files in found.items() if letters in wanted]
    facts = {"Results": f"{folder}, {layout.name} names"}
    if flags.dataroot:
        facts["Data"] = f"{flags.dataroot}, {flags.phase}"
    return System(folder.resolve().name, directions, facts=facts)


def _open(folder: Path, layouts: Sequence[Layout], wanted: Sequence[str]) -> tuple[Layout, dict[str, Files]]:
    """The first layout that finds translations, and the files of each direction of which there are any."""
    if not folder.is_dir():
        raise InputError(f"--results {folder}: no such folder; pass the folder that test.py wrote")
    deep = any("/" in pattern for layout in layouts for pattern in layout.patterns.values())
    paths = folder.rglob("*") if deep else folder.iterdir()
    names = tuple(sorted(one.relative_to(folder).as_posix() for one in paths if one.is_file()))
    if not names:
        raise InputError(f"--results {folder} is empty; pass the folder that test.py wrote")
    for layout in layouts:
        found = {letters: Files(folder, layout, names, *letters) for letters in ("AB", "BA")}
        if not layout.tells_direction():
            found = {letters: found[letters] for letters in wanted}
        found = {letters: files for letters, files in found.items() if files.names("fake")}
        if set(found) & set(wanted):
            return layout, found
    told = " or ".join(layout.patterns["fake"] for layout in layouts)
    ways = " or ".join(f"{source} to {target}" for source, target in wanted)
    raise InputError(
        f"--results {folder} holds no translated image {told} of {ways}; pass another folder, or tell the names with "
        "--pattern"
    )


def _direction(files: Files, flags: Namespace, source: str, target: str, truth: dict[str, Any] | None) -> Direction:
    known = _known(flags, source) if flags.dataroot else None
    names = files.names("fake")[: flags.num_test]
    told = [read_outcome(files, name, known) for name in names]
    outcomes, notes = [outcome for outcome, _ in told], [note for _, note in told if note]
    size = outcomes[0].fake.shape[:2] if len({one.fake.shape for one in outcomes}) == 1 else None
    targets = _translated_back(files, flags, target, source) or _of_set(
        flags, flags.phase, target, size, flags.num_test
    )
    if not targets:
        notes.append(f"without real pictures of {target} there is no classifier, no FID and no KID; pass --dataroot")
    training = [_of_set(flags, flags.train_phase, letter, size, flags.train_pictures) for letter in (source, target)]
    sources = [_source(outcome) for outcome in outcomes]
    references = References(sources, targets, *training, Truth.known(truth, target))
    return Direction(source, target, outcomes, references, notes=list(dict.fromkeys(notes)))


def _source(outcome: Outcome) -> Real:
    """The picture that was translated, with its instances, or else the pieces of their mask."""
    masks = tuple(mask for mask in outcome.before if mask is not None)
    return Real(
        outcome.name, outcome.real, masks if len(masks) == outcome.count and masks else pieces(outcome.covered_before)
    )


def _known(flags: Namespace, letter: str) -> Known:
    entries = _entries(flags, flags.phase, letter)
    return Known({short_name(entry.stem): entry for entry in entries}, f"{flags.dataroot}/{flags.phase}{letter}")


def _entries(flags: Namespace, phase: str, letter: str) -> list[Entry]:
    """Those of the data set. Raises ``InputError`` where it has none."""
    entries = list_domain(flags.dataroot, phase, letter, True)
    return [replace(one, masks=tuple(replace(mask, parts=flags.parts) for mask in one.masks)) for one in entries]


def _translated_back(files: Files, flags: Namespace, letter: str, other: str) -> list[Real]:
    """Real pictures of the target domain that lie there because they were translated the other way."""
    if not files.layout.tells_direction():
        return []
    back = Files(files.folder, files.layout, files.all, letter, other)
    try:
        known = _known(flags, letter) if flags.dataroot else None
    except InputError:
        known = None
    reals = []
    for name in back.names("real")[: flags.num_test]:
        path = back.file("real", name)
        assert path
        picture = np.asarray(read_picture(path))
        union = read_union(back, "real_mask", name, picture, path)
        if known and name in known.entries:
            masks = tuple(known.masks(name, picture.shape[:2], union, path).values())
        else:
            masks = pieces(union) if union is not None else ()
        reals.append(Real(name, picture, tuple(mask for mask in masks if mask.any())))
    return reals


def _of_set(flags: Namespace, phase: str, letter: str, size: tuple[int, int] | None, most: int | None) -> list[Real]:
    """Pictures of the data set, at the size (H, W) of the results if those have one size; none where there are none."""
    if not flags.dataroot or most == 0:
        return []
    try:
        entries = _entries(flags, phase, letter)[:most]
    except InputError:
        return []
    reals = []
    for entry in entries:
        picture = entry.read_picture()
        masks = [mask.read(picture.size) for mask in entry.masks]
        if size and picture.size != size[::-1]:
            masks = [resize_inside(mask, size[::-1]) for mask in masks]
            picture = picture.resize(size[::-1], Image.Resampling.BICUBIC)
        reals.append(Real(entry.stem, np.asarray(picture), tuple(mask for mask in masks if mask.any())))
    return reals
