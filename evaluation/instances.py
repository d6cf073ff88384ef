"""Result files -> one outcome: which mask belongs to which instance, as far as files and data set tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.entries import Entry
from data.placement import resize_inside
from evaluation.layout import OURS, Files
from instagan.errors import InputError
from instagan.io.reading import read_inside, read_picture
from instagan.metrics.agreement import overlap, paired
from instagan.metrics.outcome import Mask, Masks, Outcome, pieces

LEAST_FIT = 0.7
"""Of the data set's masks with those of the results: less, and the pictures were framed otherwise."""
BY_PIECES = "instances are told apart as connected pieces of the masks; those that touch count as one"


@dataclass(frozen=True)
class Known:
    """The data set's pictures and masks of a domain, by the names of their results. where: for messages."""

    entries: Mapping[str, Entry]
    where: str

    def masks(self, name: str, size: tuple[int, int], union: Mask | None, path: Path) -> dict[int, Mask]:
        """Those of one picture by their numbers, at the size (H, W) of its results, of which ``union`` is the mask."""
        if name not in self.entries:
            raise InputError(f"{path}: {self.where} has no image {name}; pass another --dataroot or --phase")
        entry = self.entries[name]
        own = entry.read_picture().size
        masks = [resize_inside(mask.read(own), size[::-1]) for mask in entry.masks]
        whole = np.any([np.zeros(size, bool), *masks], axis=0)
        if union is not None and union.any() and overlap(whole, union) < LEAST_FIT:
            raise InputError(
                f"{path}: the masks of {self.where} do not fit those of the results, which were framed otherwise; "
                "leave out --dataroot, or pass --parts if they are label maps of parts"
            )
        return dict(zip(entry.mask_numbers, masks, strict=True))


def read_outcome(files: Files, name: str, known: Known | None) -> tuple[Outcome, str]:
    """One picture, and a note on how its instances were told apart. Raises ``InputError`` naming the file."""
    fake_path, real_path = files.file("fake", name), files.file("real", name)
    assert fake_path
    if real_path is None:
        raise InputError(
            f"{fake_path} has no {files.wanted('real', name)} beside it; put the image it was made from there"
        )
    real, fake = (np.asarray(read_picture(path)) for path in (real_path, fake_path))
    if real.shape != fake.shape:
        raise InputError(f"{fake_path} is {_size(fake)} but {real_path.name} is {_size(real)}; both must have one size")
    covered_before, covered_after = (
        read_union(files, kind, name, real, real_path) for kind in ("real_mask", "fake_mask")
    )
    numbered = files.numbered("fake_masks", name)
    after = {number: _mask(path, real, real_path) for number, path in numbered.items()}
    if known:
        before = known.masks(name, real.shape[:2], covered_before, real_path)
    else:
        found = files.numbered("real_masks", name)
        before = {number: _mask(path, real, real_path) for number, path in found.items()}
    told = known is not None or bool(before)
    if covered_before is None:
        covered_before = np.any([np.zeros(real.shape[:2], bool), *before.values()], axis=0)
        if not told and not _has_none(files, name):
            raise InputError(
                f"{real_path} has no mask, and background metrics need masks; pass the data set with "
                "--dataroot, or tell the names of masks with --pattern real_mask=..."
            )
    if after:  # the union that test.py writes adds up soft masks
        covered_after = np.any(list(after.values()), axis=0)
    pairs, note = _pairs(before if told else None, after, covered_before, covered_after)
    outcome = Outcome(name, real, fake, *_columns(pairs), covered_before, covered_after)
    return outcome, note


def read_union(files: Files, kind: str, name: str, picture: np.ndarray, of: Path) -> Mask | None:
    """The mask of all instances, None where there is no such file."""
    path = files.file(kind, name)
    return None if path is None else _mask(path, picture, of)


def _has_none(files: Files, name: str) -> bool:
    """test.py writes no masks of a picture without instances; anywhere else a mask is missing."""
    return files.layout is OURS and bool(files.names("real_mask")) and not files.numbered("fake_masks", name)


def _pairs(
    before: dict[int, Mask] | None, after: dict[int, Mask], covered_before: Mask, covered_after: Mask | None
) -> tuple[list[tuple[Mask | None, Mask | None]], str]:
    """Each instance before and after; ``before`` is None where nobody tells."""
    if before is None and after:
        return [(None, mask) for mask in after.values()], ""
    note = BY_PIECES if before is None or (before and not after and covered_after is not None) else ""
    there = dict(enumerate(pieces(covered_before))) if before is None else before
    there = {number: mask for number, mask in there.items() if mask.any()}
    if after or covered_after is None:
        return [(mask, after.get(number)) for number, mask in there.items()], note
    return list(zip(there.values(), _own_pieces(list(there.values()), covered_after), strict=True)), note


def _columns(pairs: Sequence[tuple[Mask | None, Mask | None]]) -> tuple[Masks, Masks]:
    return tuple(one for one, _ in pairs), tuple(other for _, other in pairs)


def _own_pieces(masks: Sequence[Mask], union: Mask) -> list[Mask]:
    """The piece of the translated union that is each instance's: that which it overlaps best; nothing without any."""
    found = pieces(union)
    return [np.zeros_like(union) if own is None else found[own] for own, _ in paired(masks, found)]


def _mask(path: Path, picture: np.ndarray, of: Path) -> Mask:
    inside = read_inside(path)
    if inside.shape != picture.shape[:2]:
        size = f"{inside.shape[1]}x{inside.shape[0]}"
        raise InputError(f"{path} is {size} but {of.name} is {_size(picture)}; masks must have its size")
    return inside


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
